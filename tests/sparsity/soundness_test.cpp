// The promise of the analysis, tried on exported models: whatever is not demanded may hold anything.
//
// Every node is run by the reference, with the terms that the analysis calls dead skipped, as kernels skip them. Then
// every element that nobody demands becomes NaN (an integer: 0, a valid index; a boolean: random), and every element said to be zero becomes
// zero. The demanded elements of the outputs must not change by a bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>

#include "frontend/onnx/onnx.h"
#include "pit/error.h"
#include "graph/reference.h"
#include "graph/npz.h"
#include "harness.h"

namespace pit::sparsity {
namespace {

struct Batch {
  const char* name;
  std::vector<std::vector<int>> mask;
};

const std::vector<Batch>& batches() {
  static const std::vector<Batch> b = {
      {"right", {{1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 0}}},
      {"left", {{0, 0, 0, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 1}}},
      {"holes_and_empty", {{1, 0, 1, 1, 0, 1, 0}, {0, 0, 0, 0, 0, 0, 0}, {0, 1, 0, 0, 1, 1, 1}}},
      {"single", {{1}}},
  };
  return b;
}

std::vector<Tensor> inputs_of(const graph::Graph& g, const Batch& batch) {
  const auto b = static_cast<std::int64_t>(batch.mask.size()), s = static_cast<std::int64_t>(batch.mask[0].size());
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(b), s);
  std::vector<Tensor> inputs = test::text_inputs(g, lengths, s, false);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (g.input_names[i].find("mask") == std::string::npos) continue;
    Tensor& t = inputs[i];
    for (std::int64_t k = 0; k < t.size(); ++k) {
      const int v = batch.mask[static_cast<std::size_t>(k / s)][static_cast<std::size_t>(k % s)];
      if (t.dtype() == DType::i64) t.as<std::int64_t>()[k] = v;
      else if (t.dtype() == DType::f32) t.as<float>()[k] = static_cast<float>(v);
      else if (t.dtype() == DType::b8) t.as<std::uint8_t>()[k] = static_cast<std::uint8_t>(v);
    }
  }
  return inputs;
}

template <class F>
void for_each_index(const Shape& shape, F&& f) {
  std::vector<std::int64_t> at(shape.size(), 0);
  const std::int64_t n = element_count(shape);
  for (std::int64_t i = 0; i < n; ++i) {
    f(i, at.data());
    for (std::size_t a = shape.size(); a-- > 0;) {
      if (++at[a] < shape[a]) break;
      at[a] = 0;
    }
  }
}

void set_random(Tensor& t, std::int64_t i, std::mt19937& random) {
  switch (t.dtype()) {
    case DType::f32: t.as<float>()[i] = NAN; break;
    case DType::i64: t.as<std::int64_t>()[i] = 0; break;  // it may be an index: any that is in range
    case DType::i32: t.as<std::int32_t>()[i] = 0; break;
    case DType::b8: t.as<std::uint8_t>()[i] = random() & 1; break;
    default: break;
  }
}

bool is_zero(const Tensor& t, std::int64_t i) {
  const char* p = static_cast<const char*>(t.data()) + i * static_cast<std::int64_t>(size_of(t.dtype()));
  if (t.dtype() == DType::f32) return t.as<float>()[i] == 0;
  for (std::size_t k = 0; k < size_of(t.dtype()); ++k) if (p[k] != 0) return false;
  return true;
}

Tensor copy_of(const Tensor& t) {
  Tensor c(t.dtype(), t.shape());
  std::memcpy(c.data(), t.data(), t.bytes());
  return c;
}

/// The live mask of a statement as a tensor over its program's axes.
Tensor as_tensor(const MaskArray& m) {
  Tensor t(DType::b8, m.extents);
  for_each_index(m.extents, [&](std::int64_t i, const std::int64_t* at) { t.as<std::uint8_t>()[i] = m.at(at); });
  return t;
}

/// The node as kernels run it: dead terms of reductions skipped, dead temporaries undefined, absorbing operands absorbing.
graph::Node with_live_terms(const graph::Graph& g, const graph::Node& n, const NodeFacts& facts, const std::vector<MaskPtr>& masks,
                            std::vector<Tensor>& inputs) {
  graph::Node r = n;
  const bool is_float = g.values[static_cast<std::size_t>(n.outputs[0])].dtype == DType::f32;
  for (std::size_t i = 0; i < n.program.statements.size(); ++i) {
    expr::Statement& s = r.program.statements[i];
    const StatementFacts& f = facts.statements[i];
    if (f.absorbing >= 0) {
      const bool second = s.value->args[1]->kind == expr::Kind::access && s.value->args[1]->id == f.absorbing;
      const expr::Expr x = s.value->args[second ? 1 : 0];
      s.value = expr::call(expr::Fn::select, {expr::call(expr::Fn::le, {x, expr::literal(-1e30)}), x, s.value});
    }
    const MaskArray& live = *masks[static_cast<std::size_t>(f.live.id)];
    const bool temporary = n.program.tensors[static_cast<std::size_t>(s.out)].role == expr::Role::temp;
    if (live.all || (s.combiner == expr::Combiner::assign && !temporary)) continue;
    expr::Expr absent;
    switch (s.combiner) {
      case expr::Combiner::sum: absent = is_float ? expr::literal(0) : expr::int_literal(0); break;
      case expr::Combiner::max: absent = is_float ? expr::literal(-HUGE_VAL) : nullptr; break;
      case expr::Combiner::logical_or: absent = expr::bool_literal(false); break;
      case expr::Combiner::assign: absent = is_float ? expr::literal(NAN) : nullptr; break;
      default: break;
    }
    if (!absent) continue;
    r.program.tensors.push_back({"live" + std::to_string(i), expr::Role::input, static_cast<int>(n.extents.size()), DType::b8});
    std::vector<expr::Expr> axes;
    for (std::size_t a = 0; a < n.extents.size(); ++a) {
      // Axes of other statements do not occur in this one: the mask does not depend on them.
      const auto used = expr::axes_of(s.value);
      const auto free = expr::free_axes(s);
      const auto id = static_cast<expr::AxisId>(a);
      const bool here = std::count(used.begin(), used.end(), id) + std::count(free.begin(), free.end(), id) > 0;
      axes.push_back(here ? expr::axis(id) : expr::int_literal(0));
    }
    const auto tensor = static_cast<expr::TensorId>(r.program.tensors.size()) - 1;
    s.value = expr::call(expr::Fn::select, {expr::access(tensor, axes), s.value, absent});
    inputs.push_back(as_tensor(live));
  }
  return r;
}

class Checker {
 public:
  void check(const graph::Graph& g, const Analysis& a, const std::vector<Tensor>& inputs, const std::string& name) {
    std::vector<MaskId> roots;
    for (const ValueMasks& v : a.values) roots.push_back(v.demand), roots.push_back(v.nonzero);
    for (const NodeFacts& n : a.nodes) for (const StatementFacts& f : n.statements) roots.push_back(f.live);
    const auto e = test::evaluate(g, a, roots, inputs);
    const std::vector<Tensor> clean = graph::run_reference_values(g, inputs);
    std::vector<Tensor> values = e.control;
    for (std::size_t v = 0; v < g.values.size(); ++v) {
      if (!a.control[v] && g.values[v].producer >= 0) values[v] = Tensor();
    }
    std::mt19937 random(7);
    std::int64_t undemanded = 0, zeros = 0;
    std::string first_wrong;  // the first value whose demanded elements are not those of the clean run
    auto corrupt = [&](ValueId id) {
      const auto v = static_cast<std::size_t>(id);
      if (a.control[v] || !values[v].defined()) return;
      Tensor t = copy_of(values[v]);
      const MaskArray& demand = *e.masks[static_cast<std::size_t>(a.values[v].demand.id)];
      const MaskArray& nonzero = *e.masks[static_cast<std::size_t>(a.values[v].nonzero.id)];
      int wrong = 0;
      for_each_index(t.shape(), [&](std::int64_t i, const std::int64_t* at) {
        if (!nonzero.at(at) && !is_zero(clean[v], i)) ++wrong;
        const auto size = static_cast<std::int64_t>(size_of(t.dtype()));
        const char *x = static_cast<const char*>(clean[v].data()) + i * size, *y = static_cast<const char*>(values[v].data()) + i * size;
        if (first_wrong.empty() && demand.at(at) && nonzero.at(at) && std::memcmp(x, y, static_cast<std::size_t>(size)) != 0) {
          first_wrong = g.values[v].name;
          if (g.values[v].producer >= 0) first_wrong += " of " + g.describe(g.values[v].producer);
        }
        if (!demand.at(at)) set_random(t, i, random), ++undemanded;
        else if (!nonzero.at(at)) std::memset(static_cast<char*>(t.data()) + i * static_cast<std::int64_t>(size_of(t.dtype())), 0, size_of(t.dtype())), ++zeros;
      });
      EXPECT_EQ(wrong, 0) << name << ": elements of '" << g.values[v].name << "' said to be zero are not";
      values[v] = t;
    };
    for (ValueId v : g.inputs) corrupt(v);
    for (const graph::Node& n : g.nodes) {
      if (n.removed) continue;
      bool done = true;
      for (ValueId v : n.outputs) done = done && a.control[static_cast<std::size_t>(v)] && values[static_cast<std::size_t>(v)].defined();
      if (done) continue;
      std::vector<Tensor> in;
      for (ValueId v : n.inputs) in.push_back(values[static_cast<std::size_t>(v)]);
      const auto id = static_cast<std::size_t>(&n - g.nodes.data());
      const graph::Node masked = n.opaque.empty() ? with_live_terms(g, n, a.nodes[id], e.masks, in) : n;
      const auto out = graph::run_node(g, masked, in, e.dims);
      for (std::size_t i = 0; i < out.size(); ++i) {
        values[static_cast<std::size_t>(n.outputs[i])] = out[i];
        corrupt(n.outputs[i]);
      }
    }
    for (ValueId id : g.outputs) {
      const auto v = static_cast<std::size_t>(id);
      const MaskArray& demand = *e.masks[static_cast<std::size_t>(a.values[v].demand.id)];
      int wrong = 0;
      for_each_index(clean[v].shape(), [&](std::int64_t i, const std::int64_t* at) {
        if (!demand.at(at)) return;
        const auto size = static_cast<std::int64_t>(size_of(clean[v].dtype()));
        const char *x = static_cast<const char*>(clean[v].data()) + i * size, *y = static_cast<const char*>(values[v].data()) + i * size;
        if (std::memcmp(x, y, static_cast<std::size_t>(size)) != 0) ++wrong;
      });
      EXPECT_EQ(wrong, 0) << name << ": demanded elements of '" << g.values[v].name << "' changed; " << undemanded
                          << " elements were random, " << zeros << " zero; first seen in " << first_wrong;
    }
  }
};

class Soundness : public ::testing::TestWithParam<std::string>, public Checker {};
class StoredCases : public ::testing::Test, public Checker {};

TEST_P(Soundness, UndemandedElementsMayHoldAnything) {
  graph::Graph g;
  try {
    g = frontend::read_onnx_file(std::string(PIT_SOURCE_DIR) + "/tests/fixtures/" + GetParam() + ".onnx");
  } catch (const UnsupportedError& e) {
    GTEST_SKIP() << e.what();
  }
  for (const bool declare : {false, true}) {
    std::vector<OutputDemand> outputs;
    for (ValueId v : g.outputs) {
      const ValueId mask = test::mask_input(g);
      const auto& d = g.values[static_cast<std::size_t>(v)].dims;
      const bool tokens = mask >= 0 && d.size() > 2 && d[1] == g.values[static_cast<std::size_t>(mask)].dims[1];
      outputs.push_back({v, declare && tokens ? mask : -1});
    }
    const Analysis a = analyze(g, outputs);
    for (const Batch& b : batches()) check(g, a, inputs_of(g, b), std::string(b.name) + (declare ? ", declared" : ""));
  }
}

std::vector<std::string> models() {
  std::vector<std::string> names;
  for (const auto& f : std::filesystem::directory_iterator(std::string(PIT_SOURCE_DIR) + "/tests/fixtures")) {
    const std::string name = f.path().stem();
    // The text models whose inputs are all [batch, sequence].
    if (f.path().extension() != ".onnx" || name.find("past") != std::string::npos) continue;
    if (name.find("vit") == 0 || name.find("resnet") == 0 || name.find("big") != std::string::npos) continue;
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Models whose inputs are not all [batch, sequence]: images, caches. Their inputs are the stored cases.
TEST_F(StoredCases, OtherModelsOnTheirStoredCases) {
  const std::string folder = std::string(PIT_SOURCE_DIR) + "/tests/fixtures/";
  for (const char* name : {"vit-dynamo", "vit-script", "resnet-dynamo", "resnet-script", "llama-past-dynamo", "llama-past-script"}) {
    const graph::Graph g = frontend::read_onnx_file(folder + name + ".onnx");
    const auto stored = testing::read_npz(folder + name + ".npz");
    std::vector<OutputDemand> outputs;
    for (ValueId v : g.outputs) outputs.push_back({v, -1});
    const Analysis a = analyze(g, outputs);
    int cases = 0;
    for (; cases < 6; ++cases) {
      std::vector<Tensor> inputs;
      for (const std::string& input : g.input_names) {
        const auto it = stored.find("case" + std::to_string(cases) + ".in." + input);
        if (it != stored.end()) inputs.push_back(it->second);
      }
      if (inputs.size() != g.inputs.size()) break;
      check(g, a, inputs, std::string(name) + ", case " + std::to_string(cases));
    }
    EXPECT_GT(cases, 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Soundness, ::testing::ValuesIn(models()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace pit::sparsity
