// The kernel IR as values: its text, what the verifier refuses, what the builder folds. What can be said in text is in
// the .pit files.
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

// --- refusals: kernels that neither the builder nor text would make (verifier.pit has the others) ---

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

TEST(Verifier, RefusesWhatNoTextSays) {
  const Value f = B::f(1), v = B::f(1, kF32x8);
  Kernel sound = with(store_of(f));
  sound.names.clear();
  EXPECT_EQ(refusal(sound), "accepted");
  EXPECT_EQ(refusal(with(store_of(node(Op::add, kF32, {f})))), "add with 1 operands");
  EXPECT_EQ(refusal(with(store_of(node(Op::add, kF32x8, {f, f})))), "add gives f32, not f32x8");
  EXPECT_EQ(refusal(with(store_of(node(Op::lt, kF32, {f, f})))), "lt gives i1, not f32");
  EXPECT_EQ(refusal(with(store_of(node(Op::reduce_add, kF32x8, {v})))), "reduce_add gives f32x8");
  EXPECT_EQ(refusal(with(store_of(node(Op::shuffle, kF32, {v, v})))), "shuffle to f32 with 0 lanes in its map");
  EXPECT_EQ(refusal(with(store_of(node(Op::ptr_arg, {Scalar::ptr, 1}, {}, 1)))), "pointer argument 1");
  EXPECT_EQ(refusal(with(store_of(node(Op::int_arg, kI64, {}, 1)))), "integer argument 1");
  EXPECT_EQ(refusal(with(store_of(node(Op::name, kF32, {}, 7)))), "unknown name 7");
  EXPECT_EQ(refusal(with(store_of(nullptr))), "a statement or operation lacks an operand");

  Stmt let;
  let.name = 0;
  let.value = f;
  Kernel k = with(let);
  k.body.push_back(let);
  EXPECT_EQ(refusal(k), "'a.0' is declared twice");
  let.name = 2;
  EXPECT_EQ(refusal(with(let)), "declaration of an unknown name 2");
  let.kind = StmtKind::assign;
  EXPECT_EQ(refusal(with(let)), "assignment to an unknown name 2");
  let.kind = StmtKind::var;
  let.name = 1;
  let.value = B::i(1);
  k = with(let);
  k.names[0].first = "a b";
  EXPECT_EQ(refusal(k), "name 'a b' is no identifier");
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

TEST(Verifier, RefusesArguments) {
  Kernel k = with(store_of(B::f(1)));
  k.ints[0].name = "1x";
  EXPECT_EQ(refusal(k), "argument name '1x' is no identifier");
  k.ints[0] = {"n", true};
  EXPECT_EQ(refusal(k), "integer argument 'n' is noalias");
}

TEST(Builder, MakesConstantsOfTheirType) {
  EXPECT_EQ(B::f(0.1)->number, static_cast<double>(0.1f));
  EXPECT_EQ(B::f(0.1, {Scalar::f64, 1})->number, 0.1);
  EXPECT_FALSE(std::signbit(B::f(-std::nan(""))->number));
  EXPECT_EQ(B::i(200, {Scalar::i8, 1})->integer, -56);
  EXPECT_EQ(B::i(-1, {Scalar::u8, 1})->integer, 255);
  EXPECT_EQ(B::i(-1, {Scalar::i1, 1})->integer, 1);
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

// --- half precision, in the interpreter (run.pit has the rest of the specification, the differential tests carry it to LLVM) ---

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

TEST(Types, ToString) {
  EXPECT_EQ(to_string(Type{Scalar::f32, 16}), "f32x16");
  EXPECT_EQ(to_string(Type{Scalar::ptr, 1}), "ptr");
  EXPECT_EQ(scalar_of(DType::b8), Scalar::i8);
  EXPECT_EQ(bytes_of(Scalar::f16), 2);
}

}  // namespace
}  // namespace pit::codegen
