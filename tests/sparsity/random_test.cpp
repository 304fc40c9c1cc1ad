// Soundness on random graphs: operators stacked at random over padded inputs. A failure prints its seed.
#include <gtest/gtest.h>

#include "checker.h"

#include "graph/opset.h"

namespace pit::sparsity {
namespace {

constexpr std::int64_t kWidth = 4;

/// Builds a graph whose values are all [b,s,4] floats, of moderate size.
class RandomGraph {
 public:
  explicit RandomGraph(unsigned seed) : random(seed) {
    pool.push_back(input("x", DType::f32, true));
    pool.push_back(input("y", DType::f32, true));
    mask = input("mask", DType::i64, false);
    other = input("other_mask", DType::i64, false);
    const int steps = pick(3, 9);
    for (int i = 0; i < steps; ++i) pool.push_back(step());
    ValueId out = pool.back();
    if (pick(0, 2) == 0) out = op("Gather", {out, ints({0})}, {{"axis", std::int64_t{1}}});
    else if (pick(0, 2) == 0)
      out = op("ReduceSum", {op("Mul", {out, real(false)}), ints({1})}, {{"keepdims", std::int64_t{1}}});
    g.outputs = {out};
    g.output_names = {"out"};
    tokens = g.outputs[0] == pool.back();
  }

  graph::Graph g;
  std::mt19937 random;
  ValueId mask = -1, other = -1;
  bool tokens = false;
  std::string trace;

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

 private:
  ValueId input(const std::string& name, DType t, bool wide) {
    graph::Value v;
    v.name = name;
    v.dtype = t;
    v.dims = {g.dims.symbol("b"), g.dims.symbol("s")};
    if (wide) v.dims.push_back(g.dims.constant(kWidth));
    v.input = static_cast<int>(g.inputs.size());
    const ValueId id = g.add_value(v);
    g.inputs.push_back(id);
    g.input_names.push_back(name);
    return id;
  }
  std::vector<ValueId> ops(const std::string& name, std::vector<ValueId> inputs, graph::Attributes attributes,
                           int outputs) {
    graph::OpCall c;
    c.op = name;
    c.name = name + std::to_string(g.nodes.size());
    c.opset = 18;
    c.inputs = std::move(inputs);
    for (int i = 0; i < outputs; ++i)
      c.output_names.push_back("v" + std::to_string(g.values.size()) + "_" + std::to_string(i));
    c.attributes = std::move(attributes);
    trace += name + " ";
    return graph::add_operator(g, c);
  }
  ValueId op(const std::string& name, std::vector<ValueId> inputs, graph::Attributes attributes = {}) {
    return ops(name, std::move(inputs), std::move(attributes), 1)[0];
  }
  ValueId scalar(float v) {
    Tensor t(DType::f32, {});
    t.as<float>()[0] = v;
    return g.add_constant("c" + std::to_string(g.values.size()), t);
  }
  ValueId ints(const std::vector<std::int64_t>& v) {
    Tensor t(DType::i64, v.size() == 1 && v[0] == 0 ? Shape{} : Shape{static_cast<std::int64_t>(v.size())});
    std::copy(v.begin(), v.end(), t.as<std::int64_t>());
    return g.add_constant("i" + std::to_string(g.values.size()), t);
  }
  ValueId list(const std::vector<std::int64_t>& v) {
    Tensor t(DType::i64, {static_cast<std::int64_t>(v.size())});
    std::copy(v.begin(), v.end(), t.as<std::int64_t>());
    return g.add_constant("l" + std::to_string(g.values.size()), t);
  }
  ValueId weight(std::int64_t n) {
    Tensor t(DType::f32, {kWidth, n});
    for (std::int64_t i = 0; i < t.size(); ++i) t.as<float>()[i] = static_cast<float>(pick(-4, 4)) / 8;
    return g.add_constant("w" + std::to_string(g.values.size()), t);
  }
  ValueId any() { return pool[static_cast<std::size_t>(pick(0, static_cast<int>(pool.size()) - 1))]; }
  ValueId some_mask() { return pick(0, 1) ? mask : other; }
  /// A mask as [b,s,1] (or [b,1,s]) booleans or floats.
  ValueId truth(bool keys) {
    return op("Cast", {op("Unsqueeze", {some_mask(), list({keys ? 1 : 2})})}, {{"to", std::int64_t{9}}});
  }
  ValueId real(bool keys) {
    return op("Cast", {op("Unsqueeze", {some_mask(), list({keys ? 1 : 2})})}, {{"to", std::int64_t{1}}});
  }

  ValueId attention(ValueId q, ValueId k, ValueId v) {
    const ValueId scores = op("MatMul", {q, op("Transpose", {k}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}})});
    const float low =
        std::vector<float>{-3.4028235e38F, -10000.0F, -HUGE_VALF, -1e9F}[static_cast<std::size_t>(pick(0, 3))];
    ValueId masked = -1;
    switch (pick(0, 3)) {
      case 0: masked = op("Add", {scores, op("Where", {truth(true), scalar(0), scalar(low)})}); break;
      case 1: masked = op("Where", {truth(true), scores, scalar(low)}); break;
      case 2: masked = op("Where", {op("And", {truth(true), truth(false)}), scores, scalar(low)}); break;
      default:
        masked = std::isinf(low) ? op("Add", {op("Where", {truth(true), scalar(0), scalar(low)}), scores})
                                 : op("Sub", {scores, op("Mul", {op("Sub", {scalar(1), real(true)}), scalar(-low)})});
    }
    ValueId p = op("Softmax", {masked}, {{"axis", std::int64_t{-1}}});
    if (std::isinf(low)) p = op("Where", {op("IsNaN", {p}), scalar(0), p});
    return op("MatMul", {p, v});
  }

  ValueId step() {
    const ValueId x = any(), y = any();
    const graph::Attributes axis1{{"axis", std::int64_t{1}}}, axis2{{"axis", std::int64_t{2}}};
    switch (pick(0, 16)) {
      case 0: return op(pick(0, 1) ? "Relu" : "Tanh", {x});
      case 1: return op("Tanh", {op(pick(0, 1) ? "Add" : "Sub", {x, y})});
      case 2: return op("Tanh", {op("Mul", {x, y})});
      case 3: return op("Mul", {x, real(false)});
      case 4: return op("Where", {truth(false), x, pick(0, 1) ? y : scalar(0)});
      case 5: return op("Tanh", {op("MatMul", {x, weight(kWidth)})});
      case 6:
      case 7: return attention(x, y, any());
      case 8: {  // rotate the last axis
        const ValueId a = op("Slice", {x, list({0}), list({2}), list({2})}),
                      b = op("Slice", {x, list({2}), list({4}), list({2})});
        return op("Concat", {op("Neg", {b}), a}, axis2);
      }
      case 9: {  // even and odd places
        const ValueId a = op("Slice", {x, list({0}), list({4}), list({2}), list({2})}),
                      b = op("Slice", {y, list({1}), list({4}), list({2}), list({2})});
        return op("Concat", {op("Mul", {a, real(false)}), b}, axis2);
      }
      case 10: {  // one projection, used in parts
        const auto qkv =
            ops("Split", {op("MatMul", {x, weight(3 * kWidth)}), list({kWidth, kWidth, kWidth})}, axis2, 3);
        return attention(qkv[0], qkv[1], qkv[2]);
      }
      case 11: return op("Tanh", {op("Add", {y, op("ReduceMean", {x, list({pick(1, 2)})})})});
      case 12:
        return op(
            "Tanh",
            {op("Sub", {y, op("ReduceMax", {op("Where", {truth(false), x, scalar(-3.4028235e38F)}), list({2})})})});
      case 13: {  // through merged and split axes
        const ValueId flat = op("Reshape", {x, list({-1, kWidth})});
        const ValueId shape = op("Shape", {x});
        return op("Reshape", {op("Tanh", {op("MatMul", {flat, weight(kWidth)})}), shape});
      }
      case 14: return op("Gather", {x, list({3, 1, 0, 0})}, axis2);
      case 15: return op("Tanh", {op("CumSum", {op("Mul", {x, real(false)}), ints({pick(0, 1) ? 1 : 2})})});
      default: {  // the sequence shifted by one
        const ValueId padded = op("Pad", {x, list({0, 1, 0, 0, 0, 0})});
        return op("Slice", {padded, list({0}), list({-1}), list({1})});
      }
    }
  }

  std::vector<ValueId> pool;
};

class Random : public ::testing::Test, public test::Checker {};

TEST_F(Random, GraphsAreSound) {
  for (unsigned seed = 1; seed <= 600; ++seed) {
    RandomGraph r(seed);
    const bool declare = r.tokens && r.pick(0, 1);
    const Analysis a = analyze(r.g, {{r.g.outputs[0], declare ? r.mask : -1}});
    const std::int64_t b = r.pick(1, 3), s = r.pick(1, 5);
    std::vector<Tensor> inputs;
    for (ValueId v : r.g.inputs) {
      const bool wide = r.g.values[static_cast<std::size_t>(v)].dims.size() == 3;
      Tensor t(wide ? DType::f32 : DType::i64, wide ? Shape{b, s, kWidth} : Shape{b, s});
      for (std::int64_t i = 0; i < t.size(); ++i) {
        if (wide) t.as<float>()[i] = static_cast<float>(r.pick(-8, 8)) / 8;
        else t.as<std::int64_t>()[i] = r.pick(0, 2) != 0;
      }
      inputs.push_back(t);
    }
    check(r.g, a, inputs, "seed " + std::to_string(seed) + ": " + r.trace);
    if (HasFailure()) {
      for (ValueId v : r.g.inputs) {
        std::printf("%s%s: demand %s\n", r.g.values[static_cast<std::size_t>(v)].name.c_str(),
                    a.control[static_cast<std::size_t>(v)] ? " (control)" : "",
                    a.masks.print(a.values[static_cast<std::size_t>(v)].demand).c_str());
      }
      for (std::size_t n = 0; n < r.g.nodes.size(); ++n) {
        std::printf("%s: %s\n", r.g.describe(static_cast<int>(n)).c_str(), expr::print(r.g.nodes[n].program).c_str());
        for (ValueId v : r.g.nodes[n].outputs) {
          const ValueMasks& m = a.values[static_cast<std::size_t>(v)];
          std::printf("    %s%s: nonzero %s; demand %s\n", r.g.values[static_cast<std::size_t>(v)].name.c_str(),
                      a.control[static_cast<std::size_t>(v)] ? " (control)" : "", a.masks.print(m.nonzero).c_str(),
                      a.masks.print(m.demand).c_str());
        }
      }
      return;
    }
  }
}

}  // namespace
}  // namespace pit::sparsity
