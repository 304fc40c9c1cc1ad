// Stacks of attention whose live sets differ from layer to layer: sliding windows. What a layer costs must not depend
// on how many there are, and what it demands must stay exact.
#include <ctime>
#include <gtest/gtest.h>

#include "harness.h"

#include "graph/opset.h"
#include "sparsity/analysis.h"

namespace pit::sparsity {
namespace {

enum class Head { first_token, mean };

/// `layers` layers of attention x + softmax(q k^T + bias) v over a window (an input: near[q,k]), every `global_every`th
/// over all keys.
class Stack {
 public:
  Stack(int layers, int global_every, Head head) {
    const ValueId in = input("x", DType::f32, {b_, s_, h_});
    mask = input("mask", DType::i64, {b_, s_});
    near = input("near", DType::b8, {s_, s_});
    const ValueId key = op("Unsqueeze", {op("Cast", {mask}, {{"to", std::int64_t{9}}}), ints({1})});
    const ValueId window = op("And", {near, key});
    ValueId x = in;
    for (int i = 0; i < layers; ++i) {
      inputs.push_back(x);
      x = op("Add", {x, attention(x, i % global_every == global_every - 1 ? key : window)});
    }
    g.outputs = {head == Head::first_token ? op("Gather", {x, ints({0})}, {{"axis", std::int64_t{1}}}) : mean(x)};
    g.output_names = {"y"};
  }

  graph::Graph g;
  ValueId mask = -1, near = -1;
  std::vector<ValueId> inputs;  ///< of each layer

 private:
  ValueId input(const std::string& name, DType t, std::vector<Dim> dims) {
    graph::Value v;
    v.name = name;
    v.dtype = t;
    v.dims = std::move(dims);
    v.input = static_cast<int>(g.inputs.size());
    const ValueId id = g.add_value(v);
    g.inputs.push_back(id);
    g.input_names.push_back(name);
    return id;
  }
  ValueId op(const std::string& name, std::vector<ValueId> args, graph::Attributes attributes = {}) {
    graph::OpCall c;
    c.op = name;
    c.name = name + std::to_string(g.nodes.size());
    c.opset = 18;
    c.inputs = std::move(args);
    c.output_names = {"y" + std::to_string(g.values.size())};
    c.attributes = std::move(attributes);
    return graph::add_operator(g, c)[0];
  }
  ValueId ints(const std::vector<std::int64_t>& v) {
    Tensor t(DType::i64, {static_cast<std::int64_t>(v.size())});
    std::copy(v.begin(), v.end(), t.as<std::int64_t>());
    return g.add_constant("i" + std::to_string(g.values.size()), t);
  }
  ValueId scalar(float v) {
    Tensor t(DType::f32, {});
    t.as<float>()[0] = v;
    return g.add_constant("c" + std::to_string(g.values.size()), t);
  }
  ValueId projected(ValueId x) {
    Tensor t(DType::f32, {4, 4});
    for (std::int64_t i = 0; i < 16; ++i) t.as<float>()[i] = 0.5F + static_cast<float>(i % 7);
    return op("MatMul", {x, g.add_constant("w" + std::to_string(g.values.size()), t)});
  }
  ValueId attention(ValueId x, ValueId attended) {
    const ValueId q = projected(x), k = op("Transpose", {projected(x)}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}}),
                  v = projected(x);
    const ValueId bias = op("Where", {attended, scalar(0), scalar(-3.4028235e38F)});
    return op("MatMul", {op("Softmax", {op("Add", {op("MatMul", {q, k}), bias})}, {{"axis", std::int64_t{-1}}}), v});
  }
  ValueId mean(ValueId x) {
    const ValueId real = op("Cast", {op("Unsqueeze", {mask, ints({2})})}, {{"to", std::int64_t{1}}});
    return op("ReduceSum", {op("Mul", {x, real}), ints({1})}, {{"keepdims", std::int64_t{0}}});
  }

  Dim b_ = g.dims.symbol("b"), s_ = g.dims.symbol("s"), h_ = g.dims.constant(4);
};

int mask_nodes(int layers, int global_every, Head head) {
  const Stack stack(layers, global_every, head);
  return analyze(stack.g, {{stack.g.outputs[0], -1}}).masks.size();
}

double seconds(int layers) {
  const Stack stack(layers, 3, Head::first_token);
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const std::clock_t start = std::clock();
    analyze(stack.g, {{stack.g.outputs[0], -1}});
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

TEST(Depth, MaskNodesGrowAsLayersDo) {
  for (const Head head : {Head::first_token, Head::mean}) {
    for (const int global_every : {3, 1000}) {
      const int few = mask_nodes(25, global_every, head), some = mask_nodes(50, global_every, head),
                many = mask_nodes(100, global_every, head);
      EXPECT_LE(many - some, 2.2 * (some - few))
          << few << ", " << some << ", " << many << " nodes, global every " << global_every;
    }
  }
}

// Four times the layers: 4 if linear, 16 if quadratic.
TEST(Depth, TimeGrowsAsLayersDo) { EXPECT_LE(seconds(100), 9 * seconds(25)); }

/// Keys that `demanded` queries attend: what a layer adds.
std::vector<char> attended(const std::vector<char>& demanded, const std::vector<char>& real, std::int64_t reach) {
  std::vector<char> keys = demanded;
  const auto n = static_cast<std::int64_t>(demanded.size());
  for (std::int64_t q = 0; q < n; ++q) {
    for (std::int64_t k = std::max<std::int64_t>(0, q - reach); k < std::min(n, q + reach + 1); ++k) {
      if (demanded[static_cast<std::size_t>(q)] && real[static_cast<std::size_t>(k)])
        keys[static_cast<std::size_t>(k)] = 1;
    }
  }
  return keys;
}

TEST(Depth, WindowsReachAsFarAsTheirLayers) {
  constexpr std::int64_t sequence = 90, batch = 2;
  constexpr int layers = 60;
  for (const int global_every : {1000, 40}) {
    Stack stack(layers, global_every, Head::first_token);
    const Analysis a = analyze(stack.g, {{stack.g.outputs[0], -1}});
    Tensor x(DType::f32, {batch, sequence, 4}), mask(DType::i64, {batch, sequence}),
        near(DType::b8, {sequence, sequence});
    std::fill_n(x.as<float>(), x.size(), 1.0F);
    const std::int64_t length[] = {sequence, 50};
    std::vector<char> real[2];
    for (std::int64_t i = 0; i < batch * sequence; ++i) {
      mask.as<std::int64_t>()[i] = i % sequence < length[i / sequence];
      real[i / sequence].push_back(i % sequence < length[i / sequence]);
    }
    for (std::int64_t i = 0; i < sequence * sequence; ++i)
      near.as<std::uint8_t>()[i] = std::abs(i / sequence - i % sequence) <= 1;
    std::vector<MaskId> roots;
    for (ValueId v : stack.inputs) roots.push_back(a.values[static_cast<std::size_t>(v)].demand);
    const auto e = test::evaluate(stack.g, a, roots, {x, mask, near});
    for (std::int64_t b = 0; b < batch; ++b) {
      std::vector<char> expected(sequence, 0);
      expected[0] = 1;
      for (int layer = layers - 1; layer >= 0; --layer) {
        expected = attended(expected, real[b], layer % global_every == global_every - 1 ? sequence : 1);
        const MaskArray& m = *e.masks[static_cast<std::size_t>(roots[static_cast<std::size_t>(layer)].id)];
        for (std::int64_t s = 0; s < sequence; ++s) {
          const std::int64_t at[] = {b, s, 0};
          ASSERT_EQ(m.at(at), expected[static_cast<std::size_t>(s)] != 0)
              << "layer " << layer << ", position " << b << ", " << s;
        }
      }
    }
  }
}

}  // namespace
}  // namespace pit::sparsity
