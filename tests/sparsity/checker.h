// Soundness of an analysis on a graph and inputs: whatever is not demanded may hold anything.
//
// Every node is run by the reference, with the terms that the analysis calls dead skipped, as kernels skip them. Then
// every element that nobody demands becomes NaN (an integer: 0, a valid index; a boolean: random), and every element
// said to be zero becomes zero. The demanded elements of the outputs must not change by a bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

#include "harness.h"

#include "graph/reference.h"

namespace pit::sparsity::test {

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

inline void set_random(Tensor& t, std::int64_t i, std::mt19937& random) {
  switch (t.dtype()) {
    case DType::f32: t.as<float>()[i] = NAN; break;
    case DType::i64: t.as<std::int64_t>()[i] = 0; break;  // it may be an index: any that is in range
    case DType::i32: t.as<std::int32_t>()[i] = 0; break;
    case DType::b8: t.as<std::uint8_t>()[i] = random() & 1; break;
    default: break;
  }
}

inline bool is_zero(const Tensor& t, std::int64_t i) {
  const char* p = static_cast<const char*>(t.data()) + i * static_cast<std::int64_t>(size_of(t.dtype()));
  if (t.dtype() == DType::f32) return t.as<float>()[i] == 0;
  for (std::size_t k = 0; k < size_of(t.dtype()); ++k)
    if (p[k] != 0) return false;
  return true;
}

inline Tensor copy_of(const Tensor& t) {
  Tensor c(t.dtype(), t.shape());
  std::memcpy(c.data(), t.data(), t.bytes());
  return c;
}

/// The live mask of a statement as a tensor over its program's axes.
inline Tensor as_tensor(const MaskArray& m) {
  Tensor t(DType::b8, m.extents);
  for_each_index(m.extents, [&](std::int64_t i, const std::int64_t* at) { t.as<std::uint8_t>()[i] = m.at(at); });
  return t;
}

/// The node as kernels run it: dead terms of reductions skipped, dead temporaries undefined, absorbing operands
/// absorbing.
inline graph::Node with_live_k(const graph::Graph& g, const graph::Node& n, const NodeFacts& facts,
                               const std::vector<MaskPtr>& masks, std::vector<Tensor>& inputs) {
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
    r.program.tensors.push_back(
        {"live" + std::to_string(i), expr::Role::input, static_cast<int>(n.extents.size()), DType::b8});
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
    for (const NodeFacts& n : a.nodes)
      for (const StatementFacts& f : n.statements) roots.push_back(f.live);
    const auto e = evaluate(g, a, roots, inputs);
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
        const char *x = static_cast<const char*>(clean[v].data()) + i * size,
                   *y = static_cast<const char*>(values[v].data()) + i * size;
        if (first_wrong.empty() && demand.at(at) && nonzero.at(at) &&
            std::memcmp(x, y, static_cast<std::size_t>(size)) != 0) {
          first_wrong = g.values[v].name;
          if (g.values[v].producer >= 0) first_wrong += " of " + g.describe(g.values[v].producer);
        }
        if (!demand.at(at)) set_random(t, i, random), ++undemanded;
        else if (!nonzero.at(at))
          std::memset(static_cast<char*>(t.data()) + i * static_cast<std::int64_t>(size_of(t.dtype())), 0,
                      size_of(t.dtype())),
              ++zeros;
      });
      EXPECT_EQ(wrong, 0) << name << ": elements of '" << g.values[v].name << "' said to be zero are not";
      values[v] = t;
    };
    for (ValueId v : g.inputs) corrupt(v);
    for (const graph::Node& n : g.nodes) {
      if (n.removed) continue;
      bool done = true;
      for (ValueId v : n.outputs)
        done = done && a.control[static_cast<std::size_t>(v)] && values[static_cast<std::size_t>(v)].defined();
      if (done) continue;
      std::vector<Tensor> in;
      for (ValueId v : n.inputs) in.push_back(values[static_cast<std::size_t>(v)]);
      const auto id = static_cast<std::size_t>(&n - g.nodes.data());
      const graph::Node masked = n.opaque.empty() ? with_live_k(g, n, a.nodes[id], e.masks, in) : n;
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
        const char *x = static_cast<const char*>(clean[v].data()) + i * size,
                   *y = static_cast<const char*>(values[v].data()) + i * size;
        // -0 may become +0 where a product with a known zero is not formed.
        if (std::memcmp(x, y, static_cast<std::size_t>(size)) != 0 && !(is_zero(clean[v], i) && is_zero(values[v], i)))
          ++wrong;
      });
      EXPECT_EQ(wrong, 0) << name << ": demanded elements of '" << g.values[v].name << "' changed; " << undemanded
                          << " elements were random, " << zeros << " zero; first seen in " << first_wrong;
    }
  }
};

}  // namespace pit::sparsity::test
