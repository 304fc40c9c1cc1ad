// Graph invariants and passes on small graphs made by hand.
#include <gtest/gtest.h>

#include "graph/graph.h"
#include "graph/opset.h"
#include "graph/reference.h"
#include "pit/error.h"

namespace pit::graph {
namespace {

struct Builder {
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
  ValueId op(const std::string& name, const std::string& out, std::vector<ValueId> in, Attributes a = {}) {
    OpCall c;
    c.op = name;
    c.name = out;
    c.opset = 18;
    c.inputs = std::move(in);
    c.output_names = {out};
    c.attributes = std::move(a);
    return add_operator(g, c)[0];
  }
  ValueId ints(const std::string& name, std::vector<std::int64_t> v) {
    Tensor t(DType::i64, {static_cast<std::int64_t>(v.size())});
    std::copy(v.begin(), v.end(), t.as<std::int64_t>());
    return g.add_constant(name, t);
  }
  ValueId scalar(const std::string& name, float v) {
    Tensor t(DType::f32, {});
    t.as<float>()[0] = v;
    return g.add_constant(name, t);
  }
  void output(ValueId v) {
    g.outputs.push_back(v);
    g.output_names.push_back(g.values[static_cast<std::size_t>(v)].name);
  }
};

int live(const Graph& g) {
  int n = 0;
  for (const Node& x : g.nodes) n += x.removed ? 0 : 1;
  return n;
}

TEST(Passes, EqualNodesBecomeOne) {
  Builder b;
  const Dim s = b.g.dims.symbol("s");
  const ValueId x = b.input("x", DType::f32, {s});
  const ValueId a = b.op("Exp", "a", {x}), c = b.op("Exp", "c", {x});
  b.output(b.op("Add", "y", {a, c}));
  ASSERT_EQ(verify(b.g).value_or(""), "");
  run_passes(b.g);
  EXPECT_EQ(live(b.g), 2) << print(b.g);
}

TEST(Passes, DeadNodesAndUnusedValuesGo) {
  Builder b;
  const ValueId x = b.input("x", DType::f32, {b.g.dims.symbol("s")});
  b.op("Exp", "unused", {x});
  b.output(b.op("Neg", "y", {x}));
  run_passes(b.g);
  EXPECT_EQ(b.g.nodes.size(), 1u);
  EXPECT_EQ(b.g.find("unused"), -1);
}

TEST(Passes, ShapeComputationsLeaveNoNodes) {
  Builder b;
  const Dim s = b.g.dims.symbol("s"), n = b.g.dims.symbol("n");
  const ValueId x = b.input("x", DType::f32, {n, s, b.g.dims.constant(24)});
  const ValueId shape = b.op("Shape", "shape", {x});
  const ValueId batch = b.op("Gather", "batch", {shape, b.ints("zero", {0})}, {{"axis", std::int64_t{0}}});
  const ValueId target = b.op("Concat", "target", {batch, b.ints("rest", {-1, 4, 6})}, {{"axis", std::int64_t{0}}});
  const ValueId y = b.op("Reshape", "y", {x, target});
  b.output(y);
  run_passes(b.g);
  ASSERT_EQ(b.g.nodes.size(), 1u) << print(b.g);
  EXPECT_EQ(expr::print(b.g.nodes[0].program), expr::print(expr::parse("Y[i0,i1,i2,i3] = X[i0,i1,i2:i3]")));
  EXPECT_EQ(b.g.values[static_cast<std::size_t>(b.g.outputs[0])].dims[1], s);
}

TEST(Passes, ScalarConstantsBecomeLiterals) {
  Builder b;
  const ValueId x = b.input("x", DType::f32, {b.g.dims.symbol("s")});
  const ValueId y = b.op("Mul", "y", {x, b.scalar("c", -3.4028235e38f)});
  b.output(y);
  EXPECT_EQ(b.g.nodes[0].inputs, std::vector<ValueId>{x});
  EXPECT_EQ(b.g.nodes[0].program.statements[0].value->args[1]->number, static_cast<double>(-3.4028235e38f));
}

TEST(Passes, UnknownBroadcastIsMarkedAndDecidedByThePlan) {
  Builder b;
  const ValueId x = b.input("x", DType::f32, {b.g.dims.symbol("n")}),
                y = b.input("y", DType::f32, {b.g.dims.symbol("m")});
  b.output(b.op("Add", "z", {x, y}));
  EXPECT_EQ(b.g.nodes[0].maybe_broadcast.size(), 2u);
  Tensor one(DType::f32, {1}), three(DType::f32, {3});
  one.as<float>()[0] = 10;
  for (int i = 0; i < 3; ++i) three.as<float>()[i] = static_cast<float>(i);
  const Tensor left = run_reference(b.g, std::vector<Tensor>{one, three})[0],
               right = run_reference(b.g, std::vector<Tensor>{three, one})[0];
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(left.as<float>()[i], 10.0f + static_cast<float>(i));
    EXPECT_EQ(right.as<float>()[i], 10.0f + static_cast<float>(i));
  }
  Tensor two(DType::f32, {2});
  EXPECT_THROW(run_reference(b.g, std::vector<Tensor>{two, three}), InputError);
}

TEST(Passes, VerifyNamesWhatIsWrong) {
  Builder b;
  const ValueId x = b.input("x", DType::f32, {b.g.dims.constant(4)});
  b.output(b.op("Exp", "y", {x}));
  b.g.nodes[0].extents[0] = b.g.dims.constant(5);
  EXPECT_NE(verify(b.g).value_or("").find("extent 5"), std::string::npos) << verify(b.g).value_or("");
  b.g.nodes[0].inputs.clear();
  EXPECT_TRUE(verify(b.g).has_value());
}

// A rank, or a depth, that an extent says, and that no memory holds.
TEST(Operators, ExtentsThatAreRanksAreLimited) {
  for (const std::int64_t many : {std::int64_t{65}, std::int64_t{1} << 31, std::int64_t{1} << 32}) {
    Builder b;
    const ValueId x = b.input("x", DType::f32, {b.g.dims.constant(4)});
    const ValueId shape = b.input("shape", DType::i64, {b.g.dims.constant(many)});
    for (const char* op : {"Reshape", "Expand", "GatherND"})
      EXPECT_THROW(b.op(op, std::string(op) + ".y", {x, shape}), ModelError) << op << " of " << many;
    EXPECT_THROW(b.op("ConstantOfShape", "y", {shape}), ModelError) << many;
  }
}

// The lowest one has no absolute value.
TEST(Operators, IntegersThatNoLiteralHoldsAreOperands) {
  for (const std::int64_t far : {INT64_MIN, INT64_MAX}) {
    Builder b;
    const ValueId x = b.input("x", DType::i64, {b.g.dims.symbol("s")});
    b.op("Add", "y", {x, b.ints("far", {far})});
    ASSERT_EQ(b.g.nodes.size(), 1u);
    EXPECT_EQ(b.g.nodes[0].inputs.size(), 2u) << print(b.g);
  }
}

TEST(Operators, ErrorsNameOperatorAndTensor) {
  Builder b;
  const ValueId x = b.input("x", DType::f32, {b.g.dims.constant(2), b.g.dims.constant(3)});
  const ValueId w = b.input("w", DType::f32, {b.g.dims.constant(4), b.g.dims.constant(5)});
  try {
    b.op("MatMul", "y", {x, w});
    FAIL();
  } catch (const ModelError& e) {
    EXPECT_EQ(e.op(), "MatMul 'y'");
    EXPECT_NE(std::string(e.what()).find("'w'"), std::string::npos) << e.what();
  }
  const ValueId k = b.input("k", DType::i64, {b.g.dims.constant(3)});
  EXPECT_THROW(b.op("Add", "y", {x, k}), ModelError);
  EXPECT_THROW(b.op("Add", "y", {x, w}), ModelError);
  EXPECT_THROW(b.op("Frobnicate", "y", {x}), UnsupportedError);
  EXPECT_THROW(b.op("Reshape", "y", {x, b.ints("t", {7})}), ModelError);
  EXPECT_THROW(b.op("Transpose", "y", {x}, {{"perm", std::vector<std::int64_t>{0, 0}}}), ModelError);
  EXPECT_THROW(b.op("Softmax", "y", {x}, {{"axis", std::int64_t{5}}}), ModelError);
  EXPECT_THROW(b.op("Relu", "y", {}), ModelError);
}

}  // namespace
}  // namespace pit::graph
