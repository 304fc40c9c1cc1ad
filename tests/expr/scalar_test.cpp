#include "expr/scalar.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

namespace pit::expr {
namespace {

TEST(Half, EveryValueSurvives) {
  for (int h = 0; h < 0x10000; ++h) {
    const double v = from_half(static_cast<std::uint16_t>(h));
    if (std::isnan(v)) {
      EXPECT_TRUE(std::isnan(from_half(to_half(v))));
    } else {
      EXPECT_EQ(to_half(v), h);
    }
  }
}

TEST(Half, RoundsToNearestAndTiesToEven) {
  for (int h = 0; h < 0x7BFF; ++h) {
    const auto low = static_cast<std::uint16_t>(h), high = static_cast<std::uint16_t>(h + 1);
    const double middle = (from_half(low) + from_half(high)) / 2;
    EXPECT_EQ(to_half(middle), h % 2 == 0 ? low : high);
    EXPECT_EQ(to_half(std::nextafter(middle, 0)), low);
    EXPECT_EQ(to_half(std::nextafter(middle, 1e9)), high);
    EXPECT_EQ(to_half(-middle), (h % 2 == 0 ? low : high) | 0x8000);
  }
}

TEST(Integers, AreRecognisedAmongLiterals) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double v : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN(), 0.5, 1e19, -1e300})
    EXPECT_FALSE(as_integer(v)) << v;
  for (const double v : {0.0, -0.0, -1.0, 0x1p53}) EXPECT_EQ(as_integer(v), static_cast<std::int64_t>(v));
}

TEST(Integers, NeverTrap) {
  const std::int64_t low = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(int_function(Fn::div, low, -1), low);
  EXPECT_EQ(int_function(Fn::mod, low, -1), 0);
  EXPECT_EQ(int_function(Fn::fmod, low, -1), 0);
  EXPECT_EQ(int_function(Fn::floordiv, 5, 0), 0);
  EXPECT_EQ(int_function(Fn::mod, 5, 0), 0);
}

TEST(Integers, FloorDivisionLaw) {
  for (std::int64_t a = -9; a <= 9; ++a) {
    for (std::int64_t b = -4; b <= 4; ++b) {
      if (b == 0) continue;
      EXPECT_EQ(int_function(Fn::floordiv, a, b) * b + int_function(Fn::mod, a, b), a);
      EXPECT_EQ(int_function(Fn::floordiv, a, b),
                static_cast<std::int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b))));
      EXPECT_EQ(int_function(Fn::div, a, b) * b + int_function(Fn::fmod, a, b), a);
    }
  }
}

// What FnInfo claims, tried on every function.
TEST(Functions, ClaimedAlgebraHolds) {
  for (int i = 0; i < static_cast<int>(Fn::select); ++i) {
    const Fn f = static_cast<Fn>(i);
    const bool logical = f == Fn::logical_and || f == Fn::logical_or || f == Fn::logical_xor || f == Fn::logical_not;
    const bool comparison = f >= Fn::eq && f <= Fn::ge;
    if (logical || f == Fn::isnan || f == Fn::isinf) continue;
    const auto value = [&](double a, double b) {
      return comparison ? static_cast<double>(float_comparison(f, a, b)) : float_function(f, a, b);
    };
    EXPECT_EQ(value(0, 0) == 0, info(f).zero_preserving) << info(f).name;
    if (info(f).arity != 2) continue;
    bool annihilates = value(0, 0) == 0;
    for (const double x : {-3.0, 0.5, 7.0}) annihilates = annihilates && value(0, x) == 0 && value(x, 0) == 0;
    EXPECT_EQ(annihilates, info(f).annihilating) << info(f).name;
  }
}

TEST(Combiners, IdentitiesAreIdentities) {
  for (const Combiner c : {Combiner::sum, Combiner::product, Combiner::max, Combiner::min, Combiner::logsumexp}) {
    for (const double x : {-3.0, 0.0, 5.0, -HUGE_VAL, HUGE_VAL})
      EXPECT_EQ(combine_float(c, float_identity(c), x), x) << info(c).text;
  }
  for (const Combiner c : {Combiner::sum, Combiner::product, Combiner::max, Combiner::min}) {
    for (const std::int64_t x : {-128, 0, 127})
      EXPECT_EQ(combine_int(c, int_identity(c, DType::i8), x), x) << info(c).text;
  }
  for (const Combiner c : {Combiner::logical_and, Combiner::logical_or}) {
    for (const std::int64_t x : {0, 1}) EXPECT_EQ(combine_int(c, int_identity(c, DType::b8), x), x) << info(c).text;
  }
}

TEST(Rounding, HalfToEvenIgnoresTheEnvironment) {
  EXPECT_EQ(float_function(Fn::round, 0.5, 0), 0);
  EXPECT_EQ(float_function(Fn::round, 1.5, 0), 2);
  EXPECT_EQ(float_function(Fn::round, -2.5, 0), -2);
  EXPECT_TRUE(std::signbit(float_function(Fn::round, -0.2, 0)));
  EXPECT_EQ(float_function(Fn::round, 4503599627370497.0, 0), 4503599627370497.0);
}

}  // namespace
}  // namespace pit::expr
