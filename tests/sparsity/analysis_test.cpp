// The analysis on hand-written graphs: each transfer function of the README, element by element.
#include "sparsity/analysis.h"

#include <cmath>
#include <gtest/gtest.h>

#include "harness.h"

#include "graph/opset.h"
#include "pit/error.h"
#include "sparsity/value_zeros.h"

namespace pit::sparsity {
namespace {

/// A graph over inputs [b,s] and [b,s,h], built operator by operator.
class Analyze : public testing::Test {
 protected:
  ValueId input(const std::string& name, DType t, const std::vector<std::string>& dims) {
    graph::Value v;
    v.name = name;
    v.dtype = t;
    for (const auto& d : dims) {
      v.dims.push_back(std::isdigit(d[0]) ? g.dims.constant(std::stoi(d)) : g.dims.symbol(d));
    }
    v.input = static_cast<int>(g.inputs.size());
    const ValueId id = g.add_value(v);
    g.inputs.push_back(id);
    g.input_names.push_back(name);
    return id;
  }
  ValueId op(const std::string& name, std::vector<ValueId> inputs, graph::Attributes attributes = {}) {
    graph::OpCall c;
    c.op = name;
    c.name = name + std::to_string(g.nodes.size());
    c.opset = 18;
    c.inputs = std::move(inputs);
    c.output_names = {"y" + std::to_string(g.values.size())};
    c.attributes = std::move(attributes);
    return graph::add_operator(g, c)[0];
  }
  ValueId scalar(float v) {
    Tensor t(DType::f32, {});
    t.as<float>()[0] = v;
    return g.add_constant("c" + std::to_string(g.values.size()), t);
  }
  ValueId ints(const std::vector<std::int64_t>& v) {
    Tensor t(DType::i64, {static_cast<std::int64_t>(v.size())});
    std::copy(v.begin(), v.end(), t.as<std::int64_t>());
    return g.add_constant("i" + std::to_string(g.values.size()), t);
  }
  ValueId weight(std::int64_t rows, std::int64_t columns) {
    Tensor t(DType::f32, {rows, columns});
    for (std::int64_t i = 0; i < t.size(); ++i) t.as<float>()[i] = 0.5F + static_cast<float>(i % 7);
    return g.add_constant("w" + std::to_string(g.values.size()), t);
  }
  void output(ValueId v) {
    g.outputs = {v};
    g.output_names = {g.values[static_cast<std::size_t>(v)].name};
  }

  /// Rows of a [b,s,...] mask as text, one character per (b,s) position: live if any element behind it is.
  std::vector<std::string> rows(const Analysis& a, MaskId m, const std::vector<Tensor>& inputs) {
    const auto e = test::evaluate(g, a, {m}, inputs);
    const MaskArray& x = *e.masks[static_cast<std::size_t>(m.id)];
    std::vector<std::string> text(static_cast<std::size_t>(x.extents[0]),
                                  std::string(static_cast<std::size_t>(x.extents[1]), '.'));
    std::vector<std::int64_t> at(x.extents.size(), 0);
    std::int64_t n = 1;
    for (auto k : x.extents) n *= k;
    for (std::int64_t i = 0; i < n; ++i) {
      if (x.at(at.data())) text[static_cast<std::size_t>(at[0])][static_cast<std::size_t>(at[1])] = 'x';
      for (std::size_t d = at.size(); d-- > 0;) {
        if (++at[d] < x.extents[d]) break;
        at[d] = 0;
      }
    }
    return text;
  }
  static Tensor mask_of(const std::vector<std::string>& text, DType t = DType::i64) {
    Tensor m(t, {static_cast<std::int64_t>(text.size()), static_cast<std::int64_t>(text[0].size())});
    for (std::size_t b = 0; b < text.size(); ++b) {
      for (std::size_t s = 0; s < text[b].size(); ++s) {
        const auto i = b * text[0].size() + s;
        if (t == DType::i64) m.as<std::int64_t>()[i] = text[b][s] == 'x';
        else m.as<std::uint8_t>()[i] = text[b][s] == 'x';
      }
    }
    return m;
  }
  Tensor data(std::int64_t b, std::int64_t s, std::int64_t h) {
    Tensor t(DType::f32, {b, s, h});
    for (std::int64_t i = 0; i < t.size(); ++i) t.as<float>()[i] = static_cast<float>(i % 5) - 2;
    return t;
  }
  /// Attention over x with an additive bias [b,1,s] made of the mask.
  ValueId attention(ValueId x, ValueId bias) {
    const ValueId q = op("MatMul", {x, weight(4, 4)});
    key_ = op("MatMul", {x, weight(4, 4)});
    value_ = op("MatMul", {x, weight(4, 4)});
    scores_ = op("MatMul", {q, op("Transpose", {key_}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}})});
    softmax_ = op("Softmax", {op("Add", {scores_, bias})}, {{"axis", std::int64_t{-1}}});
    return op("MatMul", {softmax_, value_});
  }
  /// (1 - mask) * low, as [b,1,s].
  ValueId bias_of(ValueId mask, float low) {
    const ValueId real = op("Cast", {op("Unsqueeze", {mask, ints({1})})}, {{"to", std::int64_t{1}}});
    return op("Mul", {op("Sub", {scalar(1), real}), scalar(low)});
  }
  const ValueMasks& masks(const Analysis& a, ValueId v) { return a.values[static_cast<std::size_t>(v)]; }

  graph::Graph g;
  ValueId key_ = -1, value_ = -1, scores_ = -1, softmax_ = -1;
};

const std::vector<std::string> padded{"xxx.", "x.x.", "...."};

TEST_F(Analyze, KeysAttendedByDemandedQueries) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "s"});
  output(attention(x, bias_of(mask, -3.4028235e38F)));
  const std::vector<Tensor> in{data(3, 4, 4), mask_of(padded)};
  const Analysis a = analyze(g, {{g.outputs[0], -1}});
  // A fully masked row is uniform over all keys.
  EXPECT_EQ(rows(a, masks(a, value_).computed, in), (std::vector<std::string>{"xxx.", "x.x.", "xxxx"}));
  // There the scores are absorbed: nobody needs those keys.
  EXPECT_EQ(rows(a, masks(a, key_).computed, in), (std::vector<std::string>{"xxx.", "x.x.", "...."}));
  EXPECT_EQ(rows(a, masks(a, x).demand, in), (std::vector<std::string>{"xxxx", "xxxx", "xxxx"}));
  const Analysis declared = analyze(g, {{g.outputs[0], mask}});
  EXPECT_EQ(rows(declared, masks(declared, value_).computed, in), (std::vector<std::string>{"xxx.", "x.x.", "...."}));
  EXPECT_EQ(rows(declared, masks(declared, x).demand, in), (std::vector<std::string>{"xxx.", "x.x.", "...."}));
  const auto node = static_cast<std::size_t>(g.values[static_cast<std::size_t>(softmax_)].producer);
  EXPECT_TRUE(a.nodes[node].is_softmax);
  EXPECT_TRUE(a.control[static_cast<std::size_t>(mask)]);
  EXPECT_FALSE(a.control[static_cast<std::size_t>(x)]);
}

TEST_F(Analyze, MasksOfTenThousandDoNotAbsorb) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "s"});
  output(attention(x, bias_of(mask, -10000)));
  const std::vector<Tensor> in{data(3, 4, 4), mask_of(padded)};
  const Analysis a = analyze(g, {{g.outputs[0], -1}});
  EXPECT_EQ(rows(a, masks(a, key_).computed, in), (std::vector<std::string>{"xxx.", "x.x.", "xxxx"}));
}

TEST_F(Analyze, SmallBiasesAreNoMasks) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "s"});
  output(attention(x, bias_of(mask, -5)));
  const std::vector<Tensor> in{data(3, 4, 4), mask_of(padded)};
  const Analysis a = analyze(g, {{g.outputs[0], -1}});
  EXPECT_EQ(rows(a, masks(a, key_).computed, in), (std::vector<std::string>{"xxxx", "xxxx", "xxxx"}));
}

TEST_F(Analyze, NanRowsBecomeZero) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::b8, {"b", "s"});
  const ValueId bias = op("Where", {op("Unsqueeze", {mask, ints({1})}), scalar(0), scalar(-HUGE_VALF)});
  const ValueId scores = op("MatMul", {x, op("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}})});
  const ValueId p = op("Softmax", {op("Add", {scores, bias})}, {{"axis", std::int64_t{-1}}});
  const ValueId v = op("Relu", {x});
  output(op("MatMul", {op("Where", {op("IsNaN", {p}), scalar(0), p}), v}));
  const std::vector<Tensor> in{data(3, 4, 4), mask_of(padded, DType::b8)};
  const Analysis a = analyze(g, {{g.outputs[0], -1}});
  EXPECT_EQ(rows(a, masks(a, v).computed, in), (std::vector<std::string>{"xxx.", "x.x.", "...."}));
  EXPECT_EQ(rows(a, masks(a, p).computed, in), (std::vector<std::string>{"xxxx", "xxxx", "...."}));
}

TEST_F(Analyze, WhereAndSubCarryMasks) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::b8, {"b", "s"});
  const ValueId real = op("Unsqueeze", {mask, ints({1})});
  const ValueId scores = op("MatMul", {x, op("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}})});
  const ValueId v = op("Relu", {x}), u = op("Relu", {op("Tanh", {x})});
  const ValueId chosen = op("Where", {real, scores, scalar(-3.4028235e38F)});
  const ValueId low = op("Mul", {op("Cast", {op("Not", {real})}, {{"to", std::int64_t{1}}}), scalar(1e6F)});
  const ValueId less = op("Sub", {scores, low});
  const graph::Attributes last{{"axis", std::int64_t{-1}}};
  output(op("Add", {op("MatMul", {op("Softmax", {chosen}, last), v}), op("MatMul", {op("Softmax", {less}, last), u})}));
  const std::vector<Tensor> in{data(3, 4, 4), mask_of(padded, DType::b8)};
  const Analysis a = analyze(g, {{g.outputs[0], -1}});
  const std::vector<std::string> expected{"xxx.", "x.x.", "xxxx"};
  EXPECT_EQ(rows(a, masks(a, v).computed, in), expected);
  EXPECT_EQ(rows(a, masks(a, u).computed, in), expected);
}

TEST_F(Analyze, PoolingAndTheFirstTokenAskForTheirRowsOnly) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "s"});
  const ValueId row_wise = op("Relu", {op("MatMul", {x, weight(4, 4)})});
  const ValueId real = op("Cast", {op("Unsqueeze", {mask, ints({2})})}, {{"to", std::int64_t{1}}});
  const ValueId sum = op("ReduceSum", {op("Mul", {row_wise, real}), ints({1})}, {{"keepdims", std::int64_t{0}}});
  output(sum);
  const std::vector<Tensor> in{data(3, 4, 4), mask_of(padded)};
  const Analysis a = analyze(g, {{sum, -1}});
  EXPECT_EQ(rows(a, masks(a, row_wise).computed, in), padded);
  EXPECT_EQ(rows(a, masks(a, x).demand, in), padded);
  const ValueId first = op("Gather", {row_wise, ints({0})}, {{"axis", std::int64_t{1}}});
  output(first);
  const Analysis b = analyze(g, {{first, -1}});
  EXPECT_EQ(rows(b, masks(b, x).demand, in), (std::vector<std::string>{"x...", "x...", "x..."}));
  EXPECT_TRUE(b.masks.is_nothing(masks(b, sum).demand));
}

TEST_F(Analyze, FusedProjectionsAskForOtherRowsPerPiece) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "s"});
  const ValueId qkv = op("MatMul", {x, weight(4, 12)});
  auto part = [&](std::int64_t from) { return op("Slice", {qkv, ints({from}), ints({from + 4}), ints({2})}); };
  const ValueId q = part(0), k = part(4), v = part(8);
  const ValueId scores = op("MatMul", {q, op("Transpose", {k}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}})});
  const ValueId p = op("Softmax", {op("Add", {scores, bias_of(mask, -3.4028235e38F)})}, {{"axis", std::int64_t{-1}}});
  output(op("MatMul", {p, v}));
  const Analysis a = analyze(g, {{g.outputs[0], -1}});
  const auto& forms = a.masks.forms(masks(a, qkv).computed);
  EXPECT_EQ(forms[2].form, Form::segments);
  EXPECT_EQ(forms[2].boundaries, (std::vector<Position>{Position::at(4), Position::at(8)}));
  const auto e = test::evaluate(g, a, {masks(a, qkv).computed}, {data(2, 4, 4), mask_of({"xx..", "xxxx"})});
  const MaskArray& m = *e.masks[static_cast<std::size_t>(masks(a, qkv).computed.id)];
  const std::int64_t query[] = {0, 3, 0}, key[] = {0, 3, 4}, value[] = {0, 3, 11}, real[] = {0, 1, 5};
  EXPECT_TRUE(m.at(query));
  EXPECT_FALSE(m.at(key));
  EXPECT_FALSE(m.at(value));
  EXPECT_TRUE(m.at(real));
}

TEST_F(Analyze, OpaqueOperatorsWiden) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "s"});
  const ValueId up = op("Relu", {x});
  output(op("Hardmax", {up}, {{"axis", std::int64_t{2}}}));
  const Analysis a = analyze(g, {{g.outputs[0], mask}});
  EXPECT_TRUE(a.masks.is_everything(masks(a, up).demand));
  const auto node = static_cast<std::size_t>(g.values[static_cast<std::size_t>(g.outputs[0])].producer);
  ASSERT_EQ(a.nodes[node].notes.size(), 1U);
  EXPECT_NE(a.nodes[node].notes[0].find("widened"), std::string::npos);
}

// What a router chooses is known behind it: rows of an expert come from there. That itself is demanded wherever it may
// matter, whatever it turns out to be.
TEST_F(Analyze, WhatIsComputedTellsRowsToo) {
  const ValueId x = input("x", DType::f32, {"b", "s", "32"}), mask = input("mask", DType::i64, {"b", "s"});
  const ValueId chosen =
      op("ArgMax", {op("MatMul", {x, weight(32, 3)})}, {{"axis", std::int64_t{-1}}, {"keepdims", std::int64_t{1}}});
  const ValueId first = op("Equal", {chosen, ints({0})});
  const ValueId up = op("Relu", {op("MatMul", {x, weight(32, 32)})});
  const ValueId down = op("MatMul", {up, weight(32, 32)});
  output(op("Where", {first, down, scalar(0)}));
  Analysis a = analyze(g, {{g.outputs[0], mask}});
  EXPECT_TRUE(a.late[static_cast<std::size_t>(first)]);
  EXPECT_FALSE(a.late[static_cast<std::size_t>(up)]);
  Tensor t = data(3, 4, 32);
  for (std::int64_t i = 0; i < t.size(); ++i) t.as<float>()[i] *= static_cast<float>(i / 32 % 3) - 1;
  const std::vector<Tensor> in{t, mask_of(padded)};
  const auto chosen_rows = rows(a, a.masks.leaf(first, Predicate::nonzero), in);
  std::vector<std::string> both = padded;
  for (std::size_t b = 0; b < both.size(); ++b)
    for (std::size_t s = 0; s < both[b].size(); ++s)
      if (chosen_rows[b][s] == '.') both[b][s] = '.';
  EXPECT_NE(both, padded);
  EXPECT_NE(both, (std::vector<std::string>{"....", "....", "...."}));
  EXPECT_EQ(rows(a, masks(a, up).computed, in), both);
  EXPECT_EQ(rows(a, a.relied[static_cast<std::size_t>(first)], in), padded);
  for (ValueId v : a.masks.leaves({a.relied[static_cast<std::size_t>(first)]})) EXPECT_EQ(v, mask);
}

// Keys that a model excludes because of what it computed, in the ways in which exporters write such masks.
TEST_F(Analyze, MasksMadeOfComputedTruths) {
  for (const bool multiplied : {true, false}) {
    g = graph::Graph();
    const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "s"});
    const ValueId score = op("MatMul", {x, weight(4, 1)});
    const ValueId kept = op("Greater", {op("Squeeze", {score, ints({2})}), scalar(0)});
    const ValueId number = op("Cast", {op("Unsqueeze", {kept, ints({1})})}, {{"to", std::int64_t{1}}});
    const ValueId dropped = op("Sub", {scalar(1), number});
    const ValueId low = scalar(-3.4028235e38F);
    const ValueId bias = multiplied ? op("Mul", {dropped, low})
                                    : op("Where", {op("Cast", {dropped}, {{"to", std::int64_t{9}}}), low, dropped});
    output(attention(x, bias));
    Analysis a = analyze(g, {{g.outputs[0], mask}});
    EXPECT_TRUE(a.late[static_cast<std::size_t>(kept)]);
    Tensor t = data(3, 4, 4);
    for (std::int64_t i = 0; i < t.size(); ++i) t.as<float>()[i] *= i / 4 % 3 == 1 ? -1.0F : 1.0F;
    const std::vector<Tensor> in{t, mask_of(padded)};
    auto left = rows(a, a.masks.leaf(kept, Predicate::nonzero), in);
    left[2] = padded[2];
    EXPECT_NE(left[0], "....");
    EXPECT_NE(left[0], "xxxx");
    EXPECT_EQ(rows(a, masks(a, key_).computed, in), left) << multiplied;
  }
}

// A truth that decides about nothing but itself is not worth a look.
TEST_F(Analyze, TruthsOfSingleElementsAreNotLookedAt) {
  const ValueId x = input("x", DType::f32, {"b", "s", "32"});
  const ValueId large = op("Greater", {x, scalar(1)});
  output(op("MatMul", {op("Where", {large, x, scalar(0)}), weight(32, 32)}));
  const Analysis a = analyze(g, {{g.outputs[0], -1}});
  EXPECT_FALSE(a.late[static_cast<std::size_t>(large)]);
}

TEST_F(Analyze, DisabledMeansEverything) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "s"});
  output(attention(x, bias_of(mask, -3.4028235e38F)));
  const ValueId unused = op("Relu", {x});
  const Analysis a = analyze(g, {{g.outputs[0], mask}}, {.enabled = false});
  EXPECT_TRUE(a.masks.is_everything(masks(a, key_).computed));
  EXPECT_TRUE(a.masks.is_everything(masks(a, g.outputs[0]).demand));
  EXPECT_TRUE(a.masks.is_nothing(masks(a, unused).demand));
  for (const NodeFacts& n : a.nodes)
    for (const StatementFacts& s : n.statements) EXPECT_EQ(s.absorbing, -1);
}

TEST_F(Analyze, MasksThatDoNotFitAreNamed) {
  const ValueId x = input("x", DType::f32, {"b", "s", "4"}), mask = input("mask", DType::i64, {"b", "5"});
  output(op("Relu", {x}));
  const ValueId pooled = op("ReduceSum", {x, ints({1})}, {{"keepdims", std::int64_t{0}}});
  auto message = [&](ValueId out, ValueId m) {
    try {
      analyze(g, {{out, m}});
    } catch (const InputError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(message(g.outputs[0], mask).find("axis 1 has extent 5, the output's s"), std::string::npos)
      << message(g.outputs[0], mask);
  EXPECT_NE(message(pooled, mask).find("axis 1 has extent 5, the output's 4"), std::string::npos);
  EXPECT_NE(message(g.outputs[0], x).find("must be an integer or boolean input"), std::string::npos);
}

// Which expressions make zeros that no mask tells of.
TEST_F(Analyze, ZerosByValue) {
  const ValueId x = input("x", DType::f32, {"b", "s", "8"}), y = input("y", DType::f32, {"b", "s", "8"}),
                c = input("c", DType::b8, {"b", "s", "8"});
  const ValueId relu = op("Relu", {x}), other = op("Relu", {y});
  const std::vector<ValueId> zeros = {relu,
                                      op("Clip", {x, scalar(0), scalar(6)}),
                                      op("ThresholdedRelu", {x}),
                                      op("HardSwish", {x}),
                                      op("Where", {c, x, scalar(0)}),
                                      op("Mul", {relu, y}),
                                      op("Mul", {relu, relu}),
                                      op("Add", {relu, other}),
                                      op("Max", {relu, other}),
                                      op("Sqrt", {relu}),
                                      op("Transpose", {relu}),
                                      op("Div", {relu, scalar(3)}),
                                      op("Where", {c, relu, other}),
                                      op("Min", {op("Neg", {x}), scalar(0)})};
  const std::vector<ValueId> none = {x,
                                     op("Clip", {x, scalar(-1), scalar(1)}),
                                     op("LeakyRelu", {x}),
                                     op("Gelu", {x}),
                                     op("Add", {relu, y}),
                                     op("Max", {relu, y}),
                                     op("Exp", {relu}),
                                     op("MatMul", {relu, weight(8, 8)}),
                                     op("Where", {c, x, y}),
                                     op("Div", {y, relu}),
                                     op("Softmax", {relu}),
                                     op("Sigmoid", {relu})};
  output(relu);
  const std::vector<char> found = zeros_by_value(g);
  for (const ValueId v : zeros)
    EXPECT_TRUE(found[static_cast<std::size_t>(v)]) << g.describe(g.values[static_cast<std::size_t>(v)].producer);
  for (const ValueId v : none)
    EXPECT_FALSE(found[static_cast<std::size_t>(v)]) << g.values[static_cast<std::size_t>(v)].name << " " << v;
}

}  // namespace
}  // namespace pit::sparsity
