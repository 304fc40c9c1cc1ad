// The kernel IR by itself: its text, what the verifier refuses, what the builder folds, what the interpreter must get
// right where C++ or x86 would not by themselves.
#include "codegen/kernel_ir.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <limits>

#include "kernels.h"

#include "pit/error.h"

namespace pit::codegen {
namespace {

using B = Builder;
constexpr Type kF32{Scalar::f32, 1}, kI64{Scalar::i64, 1}, kI32{Scalar::i32, 1}, kF32x8{Scalar::f32, 8};

TEST(KernelText, Axpy) {
  B b("axpy");
  Value y = b.ptr_arg("y", true), x = b.ptr_arg("x"), n = b.int_arg("n");
  Value a = b.let("a", B::load(kF32, x, B::i(0)));
  b.loop("i", B::i(0), n, B::i(8), [&](const Value& i) {
    Value at = B::binary(Op::mul, i, B::i(4));
    Value live = b.let("live", B::lane_mask(B::binary(Op::sub, n, i), 8));
    b.store(y, at, B::fma(a, B::load(kF32x8, x, at, live), B::f(0.5, kF32x8)), live);
  });
  b.branch(B::binary(Op::gt, n, B::i(100)), [&] { b.store(y, B::i(0), B::i(-1, kI32)); }, [&] { b.prefetch(x, n); });
  EXPECT_EQ(
      print(b.finish()),
      "kernel axpy(y: ptr noalias, x: ptr, n: i64)\n"
      "  let a.0: f32 = load f32 [x + 0]\n"
      "  for i.1 = 0 .. n step 8\n"
      "    let live.2: i1x8 = lane_mask x8((n - i.1))\n"
      "    store [y + (i.1 * 4)] = fma(splat x8(a.0), load f32x8 [x + (i.1 * 4) if live.2], f32x8(0.5)) if live.2\n"
      "  if (n > 100)\n"
      "    store [y + 0] = i32(-1)\n"
      "  else\n"
      "    prefetch [x + n]\n");
}

TEST(KernelText, IndexedMatmul) {
  const std::string text = print(testing::matmul_tile(2, 1, 8, true));
  EXPECT_NE(text.find("let row.3: i64 = convert i64(load i32 [offsets + (p.2 * 4)])"), std::string::npos) << text;
  EXPECT_NE(text.find("acc.0 := fma(a.5, b.4, acc.0)"), std::string::npos) << text;
  EXPECT_EQ(text, print(testing::matmul_tile(2, 1, 8, true)));
}

TEST(KernelText, SharedValuesDoNotExplode) {
  B b("shared");
  Value p = b.ptr_arg("p");
  Value v = B::load(kF32, p, B::i(0));
  for (int i = 0; i < 60; ++i) v = B::binary(Op::add, v, v);
  b.store(p, B::i(0), v);
  const Kernel k = b.finish();
  EXPECT_LT(print(k).size(), 2000u);
  float cell = 1;
  void* ptrs[] = {&cell};
  interpret(k, ptrs, nullptr);
  EXPECT_EQ(cell, 0x1p60f);
}

TEST(KernelText, EverythingThatDecidesCodeIsPrinted) {
  const auto one_store = [](const Value& v) {
    B b("k");
    Value p = b.ptr_arg("p");
    b.store(p, B::i(0), v);
    return print(b.finish());
  };
  EXPECT_NE(one_store(B::f(1)), one_store(B::f(1, {Scalar::f64, 1})));
  EXPECT_NE(one_store(B::f(1)), one_store(B::i(1)));
  EXPECT_NE(one_store(B::i(1, kI32)), one_store(B::i(1)));
  EXPECT_NE(one_store(B::f(0.0)), one_store(B::f(-0.0)));
  EXPECT_NE(one_store(B::iota({Scalar::i32, 4})), one_store(B::iota({Scalar::i64, 4})));
  const Value four = B::iota({Scalar::i32, 4});
  EXPECT_NE(one_store(B::shuffle(four, four, {0, 1})), one_store(B::shuffle(four, four, {1, 0})));
  EXPECT_NE(one_store(B::extract(four, 0)), one_store(B::extract(four, 1)));
  EXPECT_NE(one_store(B::convert(four, Scalar::i8)), one_store(B::convert(four, Scalar::u8)));
  EXPECT_NE(one_store(B::f(0.1f)), one_store(B::f(0.10000001f)));
}

// --- refusals: kernels that the builder would not build ---

Value node(Op op, Type t, std::vector<Value> args, std::int64_t integer = 0) {
  auto n = std::make_shared<ValueNode>();
  n->op = op;
  n->type = t;
  n->args = std::move(args);
  n->integer = integer;
  return n;
}

Kernel with(Stmt s) {
  Kernel k;
  k.name = "k";
  k.ptrs = {{"p", false}};
  k.ints = {{"n", false}};
  k.names = {{"a", kF32}, {"i", kI64}};
  k.body = {std::move(s)};
  return k;
}

Stmt store_of(Value v, Value mask = nullptr, Value bytes = B::i(0)) {
  Stmt s;
  s.kind = StmtKind::store;
  s.pointer = node(Op::ptr_arg, {Scalar::ptr, 1}, {});
  s.bytes = std::move(bytes);
  s.value = std::move(v);
  s.mask = std::move(mask);
  return s;
}

std::string refusal(const Kernel& k) { return verify(k).value_or("accepted"); }

TEST(Verifier, RefusesIllTypedValues) {
  const Value f = B::f(1), d = B::f(1, {Scalar::f64, 1}), i = B::i(1), v = B::f(1, kF32x8);
  Kernel sound = with(store_of(f));
  sound.names.clear();
  EXPECT_EQ(refusal(sound), "accepted");
  EXPECT_EQ(refusal(with(store_of(node(Op::add, kF32, {f, d})))), "add of f32 and f64");
  EXPECT_EQ(refusal(with(store_of(node(Op::add, kF32, {f})))), "add with 1 operands");
  EXPECT_EQ(refusal(with(store_of(node(Op::add, kF32x8, {f, f})))), "add gives f32, not f32x8");
  EXPECT_EQ(refusal(with(store_of(node(Op::rem, kF32, {f, f})))), "rem does not exist for f32");
  EXPECT_EQ(refusal(with(store_of(node(Op::sqrt, kI64, {i})))), "sqrt does not exist for i64");
  EXPECT_EQ(refusal(with(store_of(node(Op::lt, kF32, {f, f})))), "lt gives i1, not f32");
  EXPECT_EQ(refusal(with(store_of(node(Op::bitcast, kI64, {f})))), "bitcast of f32 to i64");
  EXPECT_EQ(refusal(with(store_of(node(Op::convert, kI64, {v})))), "convert of f32x8 to i64");
  EXPECT_EQ(refusal(with(store_of(node(Op::convert, {Scalar::f16, 1}, {d})))), "f16 converts from and to f32, not f64");
  EXPECT_EQ(refusal(with(store_of(node(Op::extract, kF32, {v}, 8)))), "extract of lane 8 from f32x8");
  EXPECT_EQ(refusal(with(store_of(node(Op::shuffle, kF32, {v, v})))), "shuffle to f32 with 0 lanes in its map");
  EXPECT_EQ(refusal(with(store_of(node(Op::reduce_and, kF32, {v})))), "reduce_and does not exist for f32x8");
  EXPECT_EQ(refusal(with(store_of(node(Op::select, kF32, {f, f, f})))), "select by f32 among f32");
  EXPECT_EQ(refusal(with(store_of(node(Op::lane_mask, {Scalar::i1, 8}, {f})))), "lane_mask of f32, not of i64");
  EXPECT_EQ(refusal(with(store_of(node(Op::iota, {Scalar::i64, 3}, {})))), "type i64x3: lanes must be a power of two");
  EXPECT_EQ(refusal(with(store_of(node(Op::int_arg, kI64, {}, 1)))), "integer argument 1");
  EXPECT_EQ(refusal(with(store_of(node(Op::load, kF32, {i, i})))), "load from i64");
  EXPECT_EQ(refusal(with(store_of(nullptr))), "a statement or operation lacks an operand");
}

TEST(Verifier, RefusesBadStatements) {
  EXPECT_EQ(refusal(with(store_of(B::f(1, kF32x8), B::i(1, {Scalar::i1, 4})))), "mask of type i1x4 for 8 lanes");
  EXPECT_EQ(refusal(with(store_of(B::f(1), nullptr, B::i(0, kI32)))),
            "the offset of a store or prefetch is i32, not i64");
  EXPECT_EQ(refusal(with(store_of(node(Op::name, kF32, {}, 0)))), "'a.0' is not in scope");
  EXPECT_EQ(refusal(with(store_of(node(Op::name, kF32, {}, 7)))), "unknown name 7");

  Stmt let;
  let.name = 0;
  let.value = B::i(1);
  EXPECT_EQ(refusal(with(let)), "'a.0' is f32, its value i64");
  let.value = B::f(1);
  Kernel k = with(let);
  k.body.push_back(let);
  EXPECT_EQ(refusal(k), "'a.0' is declared twice");
  Stmt assign = let;
  assign.kind = StmtKind::assign;
  k.body[1] = assign;
  EXPECT_EQ(refusal(k), "assignment to 'a.0', which is no var in scope");

  Stmt loop;
  loop.kind = StmtKind::loop;
  loop.name = 1;
  loop.begin = loop.end = B::i(4);
  loop.step = B::i(0);
  EXPECT_EQ(refusal(with(loop)), "a loop step of 0");
  loop.step = B::i(1);
  loop.body = {let};
  k = with(loop);
  EXPECT_EQ(refusal(k), "accepted");
  k.body.push_back(store_of(node(Op::name, kF32, {}, 0)));
  EXPECT_EQ(refusal(k), "'a.0' is not in scope");  // declared in the loop's block
  k.body.back() = store_of(node(Op::name, kI64, {}, 1));
  EXPECT_EQ(refusal(k), "'i.1' is not in scope");

  Stmt branch;
  branch.kind = StmtKind::branch;
  branch.value = B::i(1);
  EXPECT_EQ(refusal(with(branch)), "a branch on i64");
}

// What the printed form would not show, or not as it is.
TEST(Verifier, RefusesWhatIsUnused) {
  const auto damaged = [](Value v, const std::function<void(ValueNode*)>& damage) {
    auto n = std::make_shared<ValueNode>(*v);
    damage(n.get());
    return refusal(with(store_of(n)));
  };
  const Value sum = node(Op::add, kF32, {B::f(1), B::f(1)});
  EXPECT_EQ(damaged(sum, [](ValueNode* n) { n->integer = 1; }), "add holds what it does not use");
  EXPECT_EQ(damaged(sum, [](ValueNode* n) { n->number = -0.0; }), "add holds what it does not use");
  EXPECT_EQ(damaged(sum, [](ValueNode* n) { n->lanes_map = {0}; }), "add holds what it does not use");
  EXPECT_EQ(damaged(B::i(1), [](ValueNode* n) { n->number = 1; }), "constant holds what it does not use");
  EXPECT_EQ(damaged(B::f(1), [](ValueNode* n) { n->integer = 1; }), "constant holds what it does not use");
  Stmt s = store_of(B::f(1));
  s.name = 0;
  EXPECT_EQ(refusal(with(s)), "a statement holds what its kind does not use");
  s = store_of(B::f(1));
  s.body = {s};
  EXPECT_EQ(refusal(with(s)), "a statement holds what its kind does not use");
  s.body = {};
  EXPECT_EQ(refusal(with(s)), "'a.0' is declared nowhere");
}

TEST(Verifier, RefusesConstantsOfOtherTypes) {
  const auto constant = [](Type t, double number, std::int64_t integer) {
    auto n = std::make_shared<ValueNode>();
    n->type = t;
    n->number = number;
    n->integer = integer;
    return refusal(with(store_of(n)));
  };
  EXPECT_EQ(constant({Scalar::i8, 1}, 0, 128), "128 is no constant of type i8");
  EXPECT_EQ(constant({Scalar::i1, 4}, 0, -1), "-1 is no constant of type i1x4");
  EXPECT_EQ(constant(kF32, 0.1, 0), "0.1 is no constant of type f32");
  EXPECT_EQ(constant(kF32, -std::nan(""), 0), "-nan is no constant of type f32");
}

TEST(Builder, MakesConstantsOfTheirType) {
  EXPECT_EQ(B::f(0.1)->number, static_cast<double>(0.1f));
  EXPECT_EQ(B::f(0.1, {Scalar::f64, 1})->number, 0.1);
  EXPECT_FALSE(std::signbit(B::f(-std::nan(""))->number));
  EXPECT_EQ(B::i(200, {Scalar::i8, 1})->integer, -56);
  EXPECT_EQ(B::i(-1, {Scalar::u8, 1})->integer, 255);
  EXPECT_EQ(B::i(-1, {Scalar::i1, 1})->integer, 1);
}

TEST(Verifier, RefusesBadNames) {
  Kernel k = with(store_of(B::f(1)));
  k.name = "a b";
  EXPECT_EQ(refusal(k), "kernel name 'a b' has unprintable characters");
  k.name = "k";
  k.ints[0].name = "p";
  EXPECT_EQ(refusal(k), "two arguments are named 'p'");
  k.ints[0].name = "1x";
  EXPECT_EQ(refusal(k), "argument name '1x' is no identifier");
  for (const char* word : {"load", "fma", "f32", "i1x8", "if"}) {
    k.ints[0].name = word;
    EXPECT_EQ(refusal(k), std::string("argument name '") + word + "' is a word of the printed form");
  }
}

TEST(Builder, ReportsMisuseAtTheCall) {
  B b("k");
  EXPECT_THROW(B::binary(Op::add, B::f(1), B::i(1)), InternalError);
  EXPECT_THROW(B::splat(B::f(1, kF32x8), 16), InternalError);
  EXPECT_THROW(B::select(B::f(1), B::f(1), B::f(2)), InternalError);
  EXPECT_THROW(b.assign(B::f(1), B::f(1)), InternalError);
  Value a = b.var("a", B::f(1));
  EXPECT_THROW(b.assign(a, B::i(1)), InternalError);
  b.store(b.ptr_arg("p"), B::i(0), node(Op::name, kF32, {}, 9));
  EXPECT_THROW(b.finish(), InternalError);
}

TEST(Builder, FoldsAddressArithmetic) {
  B b("k");
  Value n = b.int_arg("n");
  EXPECT_EQ(B::binary(Op::add, n, B::i(0)), n);
  EXPECT_EQ(B::binary(Op::mul, B::i(1), n), n);
  EXPECT_EQ(B::binary(Op::mul, n, B::i(0))->integer, 0);
  EXPECT_EQ(B::binary(Op::add, B::i(40), B::i(2))->integer, 42);
  EXPECT_EQ(B::binary(Op::sub, n, B::i(0)), n);
  EXPECT_EQ(B::binary(Op::sub, B::i(0), n)->op, Op::sub);
}

// --- semantics at the edges, in the interpreter (the differential tests carry them over to LLVM) ---

template <class T>
T evaluate(const Value& v) {
  B b("k");
  Value p = b.ptr_arg("p");
  b.store(p, B::i(0), v);
  const Kernel k = b.finish();
  T out[64] = {};
  void* ptrs[] = {out};
  interpret(k, ptrs, nullptr);
  return out[0];
}

TEST(Interpreter, IntegersWrapAndNeverTrap) {
  const std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(evaluate<std::int64_t>(B::binary(Op::div, B::i(lowest), B::i(-1))), lowest);
  EXPECT_EQ(evaluate<std::int64_t>(B::binary(Op::rem, B::i(lowest), B::i(-1))), 0);
  EXPECT_EQ(evaluate<std::int64_t>(B::binary(Op::div, B::i(5), B::i(0))), 0);
  EXPECT_EQ(evaluate<std::int64_t>(B::binary(Op::rem, B::i(5), B::i(0))), 0);
  EXPECT_EQ(evaluate<std::int64_t>(B::binary(Op::div, B::i(-7), B::i(2))), -3);
  EXPECT_EQ(evaluate<std::int64_t>(B::unary(Op::abs, B::i(lowest))), lowest);
  EXPECT_EQ(evaluate<std::int8_t>(B::binary(Op::add, B::i(127, {Scalar::i8, 1}), B::i(1, {Scalar::i8, 1}))), -128);
  EXPECT_EQ(evaluate<std::uint8_t>(B::binary(Op::max, B::i(200, {Scalar::u8, 1}), B::i(100, {Scalar::u8, 1}))), 200);
}

TEST(Interpreter, FloatsToIntegersSaturate) {
  const auto to = [](double v, Scalar s) { return B::convert(B::f(v, {Scalar::f64, 1}), s); };
  EXPECT_EQ(evaluate<std::int32_t>(to(1e20, Scalar::i32)), std::numeric_limits<std::int32_t>::max());
  EXPECT_EQ(evaluate<std::int64_t>(to(-1e20, Scalar::i64)), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(evaluate<std::int64_t>(to(std::nan(""), Scalar::i64)), 0);
  EXPECT_EQ(evaluate<std::uint8_t>(to(-3, Scalar::u8)), 0);
  EXPECT_EQ(evaluate<std::int8_t>(to(-2.9, Scalar::i8)), -2);
  EXPECT_EQ(evaluate<std::int8_t>(to(std::nan(""), Scalar::i1)), 1);
}

TEST(Interpreter, MinAndMaxPropagateNan) {
  const Value nan = B::f(std::nan("")), one = B::f(1);
  for (Op op : {Op::min, Op::max}) {
    EXPECT_TRUE(std::isnan(evaluate<float>(B::binary(op, nan, one))));
    EXPECT_TRUE(std::isnan(evaluate<float>(B::binary(op, one, nan))));
    EXPECT_TRUE(std::signbit(evaluate<float>(B::binary(op, B::f(0.0), B::f(-0.0)))));
    EXPECT_FALSE(std::signbit(evaluate<float>(B::binary(op, B::f(-0.0), B::f(0.0)))));
  }
  EXPECT_EQ(evaluate<std::int8_t>(B::binary(Op::eq, nan, nan)), 0);
  EXPECT_EQ(evaluate<std::int8_t>(B::binary(Op::ne, nan, nan)), 1);
}

TEST(Interpreter, HalvesRoundToNearestEven) {
  const auto half = [](float v) { return evaluate<std::uint16_t>(B::convert(B::f(v), Scalar::f16)); };
  EXPECT_EQ(half(1.0f), 0x3c00);
  EXPECT_EQ(half(-2.0f), 0xc000);
  EXPECT_EQ(half(65504.0f), 0x7bff);
  EXPECT_EQ(half(65519.9f), 0x7bff);
  EXPECT_EQ(half(65520.0f), 0x7c00);
  EXPECT_EQ(half(1.0f + 0x1p-11f), 0x3c00);  // half way: to even
  EXPECT_EQ(half(1.0f + 0x1.8p-10f), 0x3c02);
  EXPECT_EQ(half(2.0f - 0x1p-12f), 0x4000);  // carries into the exponent
  EXPECT_EQ(half(0x1p-24f), 0x0001);
  EXPECT_EQ(half(0x1p-25f), 0x0000);
  EXPECT_EQ(half(0x1.ffcp-15f), 0x0400);  // rounds up to the least normal
}

TEST(Interpreter, ReductionsFoldHalves) {
  // (1e8 + -1e8) + (1 + 1): any other tree loses the ones.
  const Type t{Scalar::f32, 4};
  Value v = B::select(B::binary(Op::eq, B::iota({Scalar::i32, 4}), B::i(0, kI32)), B::f(1e8, t), B::f(1, t));
  v = B::select(B::binary(Op::eq, B::iota({Scalar::i32, 4}), B::i(2, kI32)), B::f(-1e8, t), v);
  EXPECT_EQ(evaluate<float>(B::reduce(Op::reduce_add, v)), 2.0f);
}

TEST(Types, ToString) {
  EXPECT_EQ(to_string(Type{Scalar::f32, 16}), "f32x16");
  EXPECT_EQ(to_string(Type{Scalar::ptr, 1}), "ptr");
  EXPECT_EQ(scalar_of(DType::b8), Scalar::i8);
  EXPECT_EQ(bytes_of(Scalar::f16), 2);
}

}  // namespace
}  // namespace pit::codegen
