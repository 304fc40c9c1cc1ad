// Symbolic dimensions: equal formulas have equal handles, and evaluation agrees with plain arithmetic.
#include "graph/dim.h"

#include <functional>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace pit::graph {
namespace {

class Dims : public ::testing::Test {
 protected:
  DimTable t;
  Dim b = t.symbol("b"), s = t.symbol("s"), h = t.symbol("h");
  Dim c(std::int64_t v) { return t.constant(v); }
};

TEST_F(Dims, EqualFormulasAreEqualHandles) {
  EXPECT_EQ(t.mul(t.add(b, c(1)), s), t.add(t.mul(s, b), s));
  EXPECT_EQ(t.sub(t.add(b, s), s), b);
  EXPECT_EQ(t.sub(b, b), c(0));
  EXPECT_EQ(t.symbol("b"), b);
  EXPECT_NE(b, s);
  EXPECT_EQ(t.add(t.max(b, s), c(1)), t.add(c(1), t.max(s, b)));
}

TEST_F(Dims, ExactDivisionCancels) {
  const Dim total = t.mul(t.mul(b, s), c(24));
  EXPECT_EQ(t.div(total, t.mul(b, s)), c(24));
  EXPECT_EQ(t.div(total, c(24)), t.mul(b, s));
  EXPECT_EQ(t.div(t.mul(t.add(s, c(1)), b), t.add(s, c(1))), b);
  EXPECT_EQ(t.mod(total, s), c(0));
  EXPECT_EQ(t.floordiv(t.mul(t.mul(h, s), c(6)), t.mul(s, b)), t.floordiv(t.mul(h, c(6)), b));
}

TEST_F(Dims, FloorDivisionSplitsOffWholeParts) {
  EXPECT_EQ(t.floordiv(t.add(t.mul(s, c(4)), c(7)), c(4)), t.add(s, c(1)));
  EXPECT_EQ(t.floordiv(t.add(t.mul(s, c(4)), b), c(4)), t.add(s, t.floordiv(b, c(4))));
  EXPECT_EQ(t.floordiv(c(-7), c(2)), c(-4));
  EXPECT_EQ(t.div(c(-7), c(2)), c(-3));
  EXPECT_EQ(t.mod(c(-7), c(3)), c(2));
  EXPECT_EQ(t.ceildiv(c(7), c(2)), c(4));
  EXPECT_EQ(t.ceildiv(t.sub(c(0), s), c(-1)), s);
}

TEST_F(Dims, BoundsDecideMinAndMax) {
  EXPECT_EQ(t.max(s, c(0)), s);
  EXPECT_EQ(t.min(s, t.add(s, c(3))), s);
  EXPECT_EQ(t.min(s, c(INT64_MAX)), s);
  EXPECT_EQ(t.min(s, t.min(s, c(64))), t.min(s, c(64)));
  EXPECT_TRUE(t.at_least(t.add(s, c(2)), 2));
  EXPECT_FALSE(t.at_least(s, 1));
  EXPECT_TRUE(t.at_least(t.mul(b, s), 0));
}

TEST_F(Dims, BroadcastAndSelect) {
  EXPECT_EQ(t.broadcast(s, c(1)), s);
  EXPECT_EQ(t.broadcast(s, c(7)), c(7));
  EXPECT_EQ(t.broadcast(s, t.min(s, c(64))), s);
  EXPECT_EQ(t.broadcast(t.broadcast(b, s), s), t.broadcast(b, s));
  EXPECT_FALSE(t.may_stretch(t.min(s, c(64)), s));
  EXPECT_TRUE(t.may_stretch(b, t.broadcast(b, s)));
  EXPECT_EQ(t.select_eq(s, c(-1), c(1), s), s);  // an extent is never -1
  const Dim test = t.select_eq(s, c(3), c(1), c(0));
  EXPECT_EQ(t.select_eq(test, c(0), b, h), t.select_eq(s, c(3), h, b));
  EXPECT_EQ(t.select_lt(s, c(0), b, h), h);
}

TEST_F(Dims, EvaluationSaysWhatIsUnknown) {
  const Dim fits = t.broadcast(b, s), cut = t.floordiv(s, b);
  std::vector<std::int64_t> v = t.evaluate({4, 4, -1});
  EXPECT_EQ(v[fits.id], 4);
  EXPECT_EQ(v[h.id], DimTable::kUnknown);
  v = t.evaluate({2, 3, 1});
  EXPECT_EQ(v[fits.id], DimTable::kUnknown);
  v = t.evaluate({0, 3, 1});
  EXPECT_EQ(v[cut.id], DimTable::kUnknown);
  EXPECT_EQ(t.print(t.sub(t.mul(b, s), c(1))), "b*s - 1");
}

// A sum of symbols squared again and again would have C(4099, 3) terms, x * x * ... 4,000 factors: beyond a limit
// products and sums are opaque. They evaluate all the same.
TEST_F(Dims, LargeFormulasBecomeOpaque) {
  Dim sum = t.add(t.add(b, s), h), power = b, many = c(0);
  for (int i = 0; i < 12; ++i) sum = t.mul(sum, sum), power = t.mul(power, power);
  for (int i = 0; i < 3000; ++i) many = t.add(many, t.symbol("n" + std::to_string(i)));
  EXPECT_EQ(t.sub(sum, sum), c(0));
  EXPECT_EQ(t.mul(sum, power), t.mul(power, sum));
  EXPECT_TRUE(t.at_least(sum, 0));
  EXPECT_EQ(t.symbols_of(sum).size(), 3u);
  EXPECT_LT(t.print(sum).size(), 10000u);
  std::vector<std::int64_t> symbols(3003, 1);
  symbols[1] = symbols[2] = 0;
  const std::vector<std::int64_t> v = t.evaluate(symbols);
  EXPECT_EQ(v[sum.id], 1);
  EXPECT_EQ(v[power.id], 1);
  EXPECT_EQ(v[many.id], 3000);
  symbols[1] = 1;
  EXPECT_EQ(t.evaluate(symbols)[sum.id], DimTable::kUnknown);  // 2^4096
}

// Numbers that an i64 does not hold are unknown; they do not wrap around to extents that look harmless.
TEST_F(Dims, OverflowIsUnknown) {
  const Dim far = c(std::int64_t{1} << 62);
  const Dim formulas[] = {t.add(far, far), t.mul(far, far), t.mul(t.mul(far, b), c(4)), t.sub(c(INT64_MIN), c(1)),
                          t.mul(c(INT64_MIN), c(-1))};
  const std::vector<std::int64_t> v = t.evaluate({1, 1, 1});
  for (const Dim d : formulas) {
    EXPECT_EQ(v[d.id], DimTable::kUnknown) << t.print(d);
    EXPECT_FALSE(t.constant_value(d)) << t.print(d);
  }
  EXPECT_TRUE(t.at_least(formulas[1], std::int64_t{1} << 62));
  EXPECT_EQ(t.mod(c(5), c(INT64_MIN)), c(5 + INT64_MIN));
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - ((a % b != 0) && ((a < 0) != (b < 0))); }

// Random formulas: the simplified Dim evaluates to what the formula says.
RC_GTEST_PROP(DimsRandom, EvaluateAgreesWithArithmetic, ()) {
  DimTable t;
  const std::vector<std::int64_t> values = {*rc::gen::inRange(1, 9), *rc::gen::inRange(1, 9), *rc::gen::inRange(0, 9)};
  std::vector<std::pair<Dim, std::int64_t>> pool;
  for (int i = 0; i < 3; ++i)
    pool.emplace_back(t.symbol(std::string(1, static_cast<char>('x' + i))), values[static_cast<std::size_t>(i)]);
  for (int step = *rc::gen::inRange(1, 14); step > 0; --step) {
    const auto pick = [&] {
      return pool[static_cast<std::size_t>(*rc::gen::inRange(0, static_cast<int>(pool.size())))];
    };
    const auto [a, va] = pick();
    const auto [b, vb] = pick();
    const int op = *rc::gen::inRange(0, 10);
    if (std::abs(va) > 100000 || std::abs(vb) > 100000) continue;
    if ((op >= 3 && op <= 6) && vb == 0) continue;
    switch (op) {
      case 0: pool.emplace_back(t.add(a, b), va + vb); break;
      case 1: pool.emplace_back(t.sub(a, b), va - vb); break;
      case 2: pool.emplace_back(t.mul(a, b), va * vb); break;
      case 3: pool.emplace_back(t.div(a, b), va / vb); break;
      case 4: pool.emplace_back(t.floordiv(a, b), floor_div(va, vb)); break;
      case 5: pool.emplace_back(t.mod(a, b), va - floor_div(va, vb) * vb); break;
      case 6: pool.emplace_back(t.ceildiv(a, b), -floor_div(-va, vb)); break;
      case 7: pool.emplace_back(t.max(a, b), std::max(va, vb)); break;
      case 8: pool.emplace_back(t.min(a, b), std::min(va, vb)); break;
      default: pool.emplace_back(t.constant(va % 7), va % 7); break;
    }
  }
  for (int i = 0; i < 4; ++i) {
    const auto [a, va] = pool.back();
    const auto [b, vb] = pool[static_cast<std::size_t>(i) % pool.size()];
    pool.emplace_back(t.select_lt(a, b, a, b), va < vb ? va : vb);
    pool.emplace_back(t.select_eq(a, b, t.constant(1), t.constant(0)), va == vb ? 1 : 0);
  }
  const std::vector<std::int64_t> v = t.evaluate(values);
  for (const auto& [d, want] : pool) {
    // Cancelling assumes that a divisor is not zero; a formula that divides by zero somewhere inside may have no value.
    if (v[static_cast<std::size_t>(d.id)] == DimTable::kUnknown) continue;
    RC_ASSERT(v[static_cast<std::size_t>(d.id)] == want);
    RC_ASSERT(t.at_least(d, want + 1) == false);
  }
}

}  // namespace
}  // namespace pit::graph
