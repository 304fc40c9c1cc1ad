// print and parse are each other's inverse, on kernels of every kind.
#include "round_trip.h"

#include <cmath>
#include <limits>

#include "kernels.h"
#include "random_kernel.h"

#include "pit/error.h"

namespace pit::codegen {
namespace {

using B = Builder;
using testing::expect_round_trip;

Kernel storing(const Value& v) {
  B b("k");
  b.store(b.ptr_arg("p"), B::i(0), v);
  return b.finish();
}

TEST(RoundTrip, RandomKernels) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    expect_round_trip(testing::RandomKernelMaker(seed).make().kernel);
    if (HasFailure()) return;
  }
}

TEST(RoundTrip, Tiles) {
  for (const Kernel& k : testing::tile_set(4, 3, 8)) expect_round_trip(k);
}

TEST(RoundTrip, Constants) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const Scalar s : {Scalar::f32, Scalar::f64, Scalar::f16}) {
    for (const double v : {0.0, -0.0, 0.1, 1e-45, 5e-324, 3.4028234663852886e38, 1.7976931348623157e308, 1 / 3.0, 1e22,
                           inf, -inf, std::nan(""), 123456789.0, -65504.0}) {
      expect_round_trip(storing(B::f(v, {s, 1})));
      expect_round_trip(storing(B::f(v, {s, 16})));
    }
  }
  for (const Scalar s : {Scalar::i64, Scalar::i32, Scalar::i8, Scalar::u8, Scalar::i1}) {
    for (const std::int64_t v :
         {INT64_MIN, INT64_MAX, std::int64_t{INT32_MIN}, std::int64_t{-1}, std::int64_t{0}, std::int64_t{255}}) {
      expect_round_trip(storing(B::i(v, {s, 1})));
      expect_round_trip(storing(B::i(v, {s, 4})));
    }
  }
}

// Any character but a blank may stand in a kernel's name, and argument names may look like the text around them.
TEST(RoundTrip, Names) {
  B b("rows(a:ptr)[=]\"x\",kernel");
  const Value let = b.ptr_arg("let"), x16 = b.ptr_arg("x16"), noalias = b.ptr_arg("noalias", true),
              add = b.int_arg("add");
  const Value load = b.let("load", B::load({Scalar::f32, 1}, x16, add));
  const Value sum = b.var("if", B::binary(Op::add, load, load)), other = b.var("else", load),
              more = b.var("elsewhere", load);
  const auto nothing = [&] { b.prefetch(let, B::i(0)); };
  b.branch(B::binary(Op::lt, sum, sum), nothing);
  b.assign(other, sum);
  b.branch(B::binary(Op::lt, sum, sum), nothing);
  b.assign(more, sum);
  b.store(let, b.int_arg("else"), b.let("f32", B::load({Scalar::i8, 1}, noalias, add)));
  expect_round_trip(b.finish());
}

// Values that are equal without being one node print as if they were.
TEST(RoundTrip, SharingIsNoPartOfAKernel) {
  const auto sum = [](const Value& p, bool apart) {
    const auto term = [&] {
      Value v = B::load({Scalar::f32, 1}, p, B::i(0));
      for (int i = 0; i < 12; ++i) v = B::unary(Op::sqrt, v);
      return v;
    };
    const Value once = term();
    return B::binary(Op::add, once, apart ? term() : once);
  };
  std::string bytes[2], text[2];
  for (const bool apart : {false, true}) {
    B b("k");
    const Value p = b.ptr_arg("p");
    b.store(p, B::i(0), sum(p, apart));
    const Kernel k = b.finish();
    expect_round_trip(k);
    bytes[apart] = encode(shared(k)), text[apart] = print(k);
  }
  EXPECT_EQ(bytes[0], bytes[1]);
  EXPECT_EQ(text[0], text[1]);
  EXPECT_NE(text[0].find("(@1="), std::string::npos) << text[0];
}

TEST(Parse, SkipsEmptyLines) {
  const std::string text =
      "kernel k(p: ptr, n: i64)\n  if (n == 0)\n    prefetch [p + 0]\n  else\n    prefetch [p + 8]\n";
  std::string spaced;
  for (const char c : text) spaced += c == '\n' ? std::string("\n\n  \n") : std::string(1, c);
  EXPECT_EQ(print(parse(spaced)), text);
  EXPECT_EQ(print(parse(text.substr(0, text.size() - 1))), text);
}

// Text that no kernel prints as, against which the parser has its limits.
TEST(Parse, TakesHostileText) {
  const std::string head = "kernel k(p: ptr)\n";
  const auto refused = [&](const std::string& body) {
    EXPECT_THROW(parse(head + body), InputError) << body.substr(0, 200);
  };
  const auto repeated = [](const std::string& s, int n) {
    std::string all;
    for (int i = 0; i < n; ++i) all += s;
    return all;
  };
  for (const std::string open : {"(", "neg(", "load f32 [", "@1=", "@1=(", "fma(0, 1, "})
    refused("  prefetch [p + " + repeated(open, 1 << 16));
  std::string blocks;
  for (int i = 1; i < 2000; ++i) blocks += std::string(2 * static_cast<std::size_t>(i), ' ') + "if i1(1)\n";
  refused(blocks);
  // Short forms make a value deep without nesting: here each refers to the one before.
  std::string chain = "@1=neg(1)";
  for (int i = 2; i < 1 << 12; ++i)
    chain = "(" + chain + " + @" + std::to_string(i) + "=neg(@" + std::to_string(i - 1) + "))";
  refused("  prefetch [p + " + chain + "]\n");
  refused("  let a.2147483647: i64 = 1\n");
  refused("  let a.99999999999999999999: i64 = 1\n");
  refused("  store [p + 0] = splat x2147483647(1)\n");
  refused("  store [p + 0] = i64x2147483648(1)\n");
  refused("  store [p + 0] = shuffle [" + repeated("0 ", 1 << 16) + "](1, 1)\n");
  refused(std::string("  prefetch [p + \0]\n", 19));
}

}  // namespace
}  // namespace pit::codegen
