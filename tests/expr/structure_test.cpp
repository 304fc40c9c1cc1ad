// Structure queries, constructors and the verifier on programs that were not parsed.
#include <gtest/gtest.h>

#include "expr/expr.h"
#include "pit/error.h"

namespace pit::expr {
namespace {

using Axes = std::vector<AxisId>;

TEST(Structure, FreeAndReducedAxes) {
  const Program p = parse("C[m,n] += A[m,k] * B[k,n]");
  const AxisId m = p.axis_named("m"), n = p.axis_named("n"), k = p.axis_named("k");
  EXPECT_EQ(free_axes(p.statements[0]), (Axes{m, n}));
  EXPECT_EQ(reduced_axes(p.statements[0]), (Axes{k}));
  EXPECT_EQ(p.axis_named("q"), -1);
  EXPECT_EQ(p.tensor("B"), 2);
  EXPECT_EQ(p.tensor("D"), -1);
}

TEST(Structure, LookupsBelongToTheirStatementAndExtentsDoNot) {
  const Program p = parse("Y[b] += T[ids[b,s],h] * cast_f32(|c|); Z[c] = X[c]", {"Y", "Z"});
  EXPECT_EQ(axes_of(p.statements[0].value), (Axes{p.axis_named("b"), p.axis_named("s"), p.axis_named("h")}));
  std::vector<std::string> names;
  for_each_access(p.statements[0].value,
                  [&](const Expr& e) { names.push_back(p.tensors[static_cast<std::size_t>(e->id)].name); });
  EXPECT_EQ(names, (std::vector<std::string>{"T", "ids"}));
}

TEST(Structure, BareAxis) {
  EXPECT_EQ(bare_axis(axis(3)), 3);
  EXPECT_FALSE(bare_axis(call(Fn::add, {axis(3), int_literal(0)})));
  EXPECT_FALSE(bare_axis(extent(3)));
  EXPECT_FALSE(bare_axis(nullptr));
}

TEST(Structure, EqualityIsStructural) {
  const Program p = parse("Y[i] = A[i] * 2.0 + A[i] * 2.0; Z[i] = A[i] * 2 + A[i|2.0]", {"Y", "Z"});
  const Expr& y = p.statements[0].value;
  const Expr& z = p.statements[1].value;
  EXPECT_TRUE(equal(y->args[0], y->args[1]));
  EXPECT_FALSE(equal(y->args[0], z->args[0])) << "2.0 and 2 are different literals";
  EXPECT_FALSE(equal(y->args[0]->args[0], z->args[1])) << "a default makes a difference";
  EXPECT_FALSE(equal(literal(0.0), literal(-0.0)));
  EXPECT_FALSE(equal(cast(DType::f32, axis(0)), cast(DType::f64, axis(0))));
}

TEST(Structure, TransformKeepsWhatDoesNotChange) {
  const Program p = parse("Y[i] = exp(A[i]) + B[i]");
  const TensorId a = p.tensor("A");
  const Expr e = transform(p.statements[0].value,
                           [&](const Expr& n) { return n->kind == Kind::access && n->id == a ? literal(1) : n; });
  EXPECT_EQ(print(p, e), "exp(1.0) + B[i]");
  EXPECT_EQ(e->args[1], p.statements[0].value->args[1]) << "shared, not copied";
  EXPECT_EQ(transform(e, [](const Expr& n) { return n; }), e);
}

TEST(Structure, TablesMatchTheSemantics) {
  EXPECT_TRUE(info(Fn::mul).annihilating);
  EXPECT_STREQ(info(Fn::select).name, "select");
  EXPECT_STREQ(info(Fn::cast).name, "cast");
  EXPECT_EQ(info(Combiner::product).identity, 1);
  EXPECT_STREQ(info(Combiner::logsumexp).text, "logsumexp=");
}

TEST(Structure, TypesOfSubexpressions) {
  Program p = parse("Y[i] = select(A[i] < 1.0, A[i] * $s, 2.0)");
  p.tensors[static_cast<std::size_t>(p.tensor("A"))].dtype = DType::f64;
  const Expr& v = p.statements[0].value;
  EXPECT_EQ(type_of(p, v), DType::f64);
  EXPECT_EQ(type_of(p, v->args[0]), DType::b8);
  EXPECT_EQ(type_of(p, v->args[2]), std::nullopt);
  EXPECT_EQ(check(p), std::nullopt);
  EXPECT_EQ(p.tensors[static_cast<std::size_t>(p.tensor("Y"))].dtype, DType::f64);
}

TEST(Verifier, BrokenPrograms) {
  const Program good = parse("C[m,n] += A[m,k] * B[k,n]");
  EXPECT_EQ(verify(good), std::nullopt);

  Program p = good;
  p.statements[0].out = 7;
  EXPECT_NE(verify(p), std::nullopt);
  p = good;
  p.statements[0].out_index.pop_back();
  EXPECT_NE(verify(p)->find("rank"), std::string::npos);
  p = good;
  p.tensors[0].role = Role::input;
  EXPECT_NE(verify(p)->find("input C is written"), std::string::npos);
  p = good;
  p.statements[0].value = access(1, {axis(0), axis(9)});
  EXPECT_NE(verify(p)->find("axis 9"), std::string::npos);
  p = good;
  p.statements[0].value = nullptr;
  EXPECT_NE(verify(p), std::nullopt);
  p = good;
  p.axes[1] = p.axes[0];
  EXPECT_NE(verify(p)->find("two axes"), std::string::npos);
  p = good;
  p.statements.clear();
  EXPECT_NE(verify(p)->find("C is written by no statement"), std::string::npos);
}

TEST(Extents, FromShapes) {
  const Program p = parse("C[m,n] += A[m,k] * B[k,n]");
  const auto extents = infer_extents(p, {{}, {2, 3}, {3, 5}});
  EXPECT_EQ(extents[static_cast<std::size_t>(p.axis_named("m"))], 2);
  EXPECT_EQ(extents[static_cast<std::size_t>(p.axis_named("k"))], 3);
  EXPECT_EQ(extents[static_cast<std::size_t>(p.axis_named("n"))], 5);
  EXPECT_THROW(infer_extents(p, {{}, {2, 3}, {4, 5}}), InputError);
  EXPECT_THROW(infer_extents(p, {{}, {2, 3}, {}}), InputError) << "n is nowhere";
  EXPECT_THROW(infer_extents(p, {{}, {2, 3}, {3, 5}}, {{p.axis_named("k"), 4}}), InputError);
}

TEST(Extents, ThroughTemporaries) {
  const Program p = parse("t[a:b] = X[a,b]; u[c+1] = t[c]; Y[d] = u[d]");
  std::vector<Shape> shapes(p.tensors.size());
  shapes[static_cast<std::size_t>(p.tensor("X"))] = {2, 3};
  const auto extents = infer_extents(p, shapes);
  EXPECT_EQ(extents[static_cast<std::size_t>(p.axis_named("c"))], 6);
  EXPECT_EQ(extents[static_cast<std::size_t>(p.axis_named("d"))], 7);
}

}  // namespace
}  // namespace pit::expr
