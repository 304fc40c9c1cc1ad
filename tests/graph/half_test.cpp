// Half precision as operators are added: computed in f32, stored and moved in 16 bits (opset/half.h).
#include <algorithm>
#include <gtest/gtest.h>

#include "graph/graph.h"
#include "graph/numeric.h"
#include "graph/opset.h"
#include "graph/reference.h"

namespace pit::graph {
namespace {

struct Halves {
  Graph g;

  ValueId input(const std::string& name, DType t, std::vector<Dim> dims) {
    Value v;
    v.name = name;
    v.dtype = t;
    v.dims = std::move(dims);
    v.input = static_cast<int>(g.inputs.size());
    const ValueId id = g.add_value(std::move(v));
    g.inputs.push_back(id);
    g.input_names.push_back(name);
    return id;
  }
  ValueId constant(const std::string& name, Shape shape, float value) {
    Tensor t(DType::f16, std::move(shape));
    for (std::int64_t i = 0; i < t.size(); ++i) write_double(t, i, value);
    return g.add_constant(name, std::move(t));
  }
  ValueId op(const std::string& name, const std::string& out, std::vector<ValueId> in, Attributes a = {}) {
    OpCall c;
    c.op = name;
    c.name = out;
    c.opset = 17;
    c.inputs = std::move(in);
    c.output_names = {out};
    c.attributes = std::move(a);
    return add_operator(g, c)[0];
  }
  void output(ValueId v) {
    g.outputs.push_back(v);
    g.output_names.push_back(g.values[static_cast<std::size_t>(v)].name);
  }
  std::string operators() const {
    std::string s;
    for (const Node& n : g.nodes) s += (s.empty() ? "" : " ") + n.op;
    return s;
  }
  bool stores_constant(DType t) const {
    return std::any_of(g.values.begin(), g.values.end(),
                       [&](const Value& v) { return v.is_constant() && v.dtype == t; });
  }
};

TEST(Half, NothingIsRoundedBetweenOperators) {
  Halves b;
  const ValueId x = b.input("x", DType::f16, {b.g.dims.symbol("s")});
  const ValueId e = b.op("Exp", "e", {x}), n = b.op("Neg", "n", {x});
  EXPECT_EQ(b.g.values[static_cast<std::size_t>(e)].dtype, DType::f16) << "the model's type, as long as it is built";
  b.output(b.op("Add", "y", {e, n}));
  run_passes(b.g);
  EXPECT_EQ(b.operators(), "Cast Exp Neg Add Cast") << print(b.g);
  EXPECT_EQ(b.g.values[static_cast<std::size_t>(b.g.outputs[0])].dtype, DType::f16);
}

TEST(Half, SumsBeyondTheRangeOfHalves) {
  Halves b;
  b.output(b.op("ReduceMean", "y", {b.input("x", DType::f16, {b.g.dims.symbol("s")})}));
  run_passes(b.g);
  Tensor x(DType::f16, {4096});
  for (std::int64_t i = 0; i < x.size(); ++i) write_double(x, i, 60000);
  const Tensor y = run_reference(b.g, std::vector{x})[0];
  EXPECT_EQ(y.dtype(), DType::f16);
  EXPECT_EQ(read_double(y, 0), 60000);
}

TEST(Half, ConstantsAreWidenedWhereTheyAreComputedWith) {
  Halves b;
  const ValueId x = b.input("x", DType::f16, {b.g.dims.symbol("s"), b.g.dims.constant(300)});
  b.output(b.op("MatMul", "y", {x, b.op("Transpose", "t", {b.constant("w", {300, 300}, 0.5F)})}));
  run_passes(b.g);
  EXPECT_FALSE(b.stores_constant(DType::f16)) << print(b.g);
  EXPECT_TRUE(b.stores_constant(DType::f32));
  EXPECT_EQ(b.operators(), "Transpose Cast MatMul Cast") << print(b.g);
}

TEST(Half, TablesAreNotWidened) {
  Halves b;
  const ValueId ids = b.input("ids", DType::i64, {b.g.dims.symbol("s")});
  const ValueId e = b.op("Gather", "e", {b.constant("table", {1000, 96}, 0.5F), ids});
  b.output(b.op("Exp", "y", {e}));
  run_passes(b.g);
  EXPECT_FALSE(b.stores_constant(DType::f32)) << print(b.g);
  EXPECT_EQ(b.operators(), "Gather Cast Exp Cast") << print(b.g);
}

TEST(Half, CastsOfTheModelRoundAndTheirOppositesAreFree) {
  Halves b;
  const ValueId x = b.input("x", DType::f32, {b.g.dims.symbol("s")});
  const ValueId narrow = b.op("Cast", "narrow", {x}, {{"to", std::int64_t{10}}});
  const ValueId wide = b.op("Cast", "wide", {b.op("Neg", "n", {narrow})}, {{"to", std::int64_t{1}}});
  b.output(b.op("Exp", "y", {wide}));
  run_passes(b.g);
  EXPECT_EQ(b.operators(), "Cast Cast Neg Exp") << print(b.g);
}

TEST(Half, MovementStaysInHalfPrecision) {
  Halves b;
  const Dim s = b.g.dims.symbol("s");
  const ValueId x = b.input("x", DType::f16, {s, b.g.dims.constant(8)});
  b.output(b.op("Concat", "y", {x, b.op("Transpose", "t", {x})}, {{"axis", std::int64_t{0}}}));
  run_passes(b.g);
  EXPECT_EQ(b.operators(), "Transpose Concat") << print(b.g);
}

}  // namespace
}  // namespace pit::graph
