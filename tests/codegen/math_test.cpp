// The stated error bounds of math.h, against long double, over all exponents, for both vector widths and the
// interpreter.
#include "codegen/math.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <random>

#include "codegen/codegen.h"

namespace pit::codegen {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

using Unary = Value (*)(Builder&, Value);
using Binary = Value (*)(Builder&, Value, Value);

/// out[i] = f(in[i]) over n elements (a multiple of lanes); ptrs: in, in2, out.
template <class F>
Kernel map_kernel(const std::string& name, Scalar scalar, int lanes, F f) {
  Builder b(name + "_" + to_string({scalar, lanes}));
  Value in = b.ptr_arg("in", true), in2 = b.ptr_arg("in2", true), out = b.ptr_arg("out", true), n = b.int_arg("n");
  const Type t{scalar, lanes};
  b.loop("i", Builder::i(0), n, Builder::i(lanes), [&](const Value& i) {
    Value at = b.let("at", Builder::binary(Op::mul, i, Builder::i(bytes_of(scalar))));
    b.store(out, at, f(b, b.let("x", Builder::load(t, in, at)), b.let("y", Builder::load(t, in2, at))));
  });
  return b.finish();
}

Kernel unary_kernel(const std::string& name, Scalar scalar, int lanes, Unary f) {
  return map_kernel(name, scalar, lanes, [f](Builder& b, Value x, const Value&) { return f(b, std::move(x)); });
}

template <class T>
Scalar scalar_kind() {
  return sizeof(T) == 4 ? Scalar::f32 : Scalar::f64;
}

template <class T>
bool same(T a, T b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

/// Runs a kernel maker on both targets and in the interpreter (on a part), requires equal bits, gives the results.
template <class T, class Make>
std::vector<T> run_everywhere(Make make, std::vector<T> x, std::vector<T> y) {
  const std::size_t wanted = x.size();
  x.resize((wanted + 15) / 16 * 16, T{1});
  y.resize(x.size(), T{1});
  std::vector<T> first;
  for (const char* cpu : {"native", "haswell"}) {
    Options options;
    options.target = cpu_target(cpu);
    const Kernel k = make(options.target.lanes(sizeof(T)));
    std::vector<T> out(x.size());
    void* ptrs[] = {x.data(), y.data(), out.data()};
    const std::int64_t ints[] = {static_cast<std::int64_t>(x.size())};
    compile({k}, options)->function(k.name)(ptrs, ints);
    const std::int64_t part[] = {std::min<std::int64_t>(ints[0], 2048)};
    std::vector<T> interpreted(out.size());
    ptrs[2] = interpreted.data();
    interpret(k, ptrs, part);
    for (std::int64_t i = 0; i < part[0]; ++i) {
      EXPECT_TRUE(same(interpreted[i], out[i]))
          << k.name << "(" << x[i] << ", " << y[i] << "): " << interpreted[i] << " " << out[i];
    }
    if (first.empty()) first = out;
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_TRUE(same(first[i], out[i])) << k.name << "(" << x[i] << ")";
  }
  first.resize(wanted);
  return first;
}

template <class T>
std::vector<T> run_unary(const char* name, Unary f, const std::vector<T>& x) {
  return run_everywhere<T>([&](int lanes) { return unary_kernel(name, scalar_kind<T>(), lanes, f); }, x, {});
}

template <class T>
std::vector<T> run_binary(const char* name, Binary f, const std::vector<T>& x, const std::vector<T>& y) {
  return run_everywhere<T>([&](int lanes) { return map_kernel(name, scalar_kind<T>(), lanes, f); }, x, y);
}

/// Floats of both signs over all exponents: every 2^16-th bit pattern or so, and a dense part of small magnitudes.
std::vector<float> sweep(float limit = std::numeric_limits<float>::infinity()) {
  std::vector<float> out;
  for (std::uint64_t bits = 0; bits < (1ull << 32); bits += 9973) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (!std::isnan(x) && std::fabs(x) <= limit) out.push_back(x);
  }
  for (int i = -200000; i <= 200000; ++i) {
    const float x = static_cast<float>(i) * 5.001e-4f;
    if (std::fabs(x) <= limit) out.push_back(x);
  }
  return out;
}

template <class T>
long double ulp_at(long double v) {
  int e = 0;
  std::frexp(v, &e);
  const int least = std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits;
  return std::ldexp(1.0L, std::max(e - std::numeric_limits<T>::digits, least));
}

struct Worst {
  double ulps = 0, absolute = 0, at = 0;
};

/// The largest error in ulps of those that exceed `absolute`.
template <class T>
Worst worst_error(const std::vector<T>& x, const std::vector<T>& got, const std::function<long double(long double)>& f,
                  double absolute, double least_result = 0) {
  Worst worst;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double want = f(x[i]);
    if (std::isnan(want) || std::fabs(want) > std::numeric_limits<T>::max() || std::fabs(want) < least_result) continue;
    const long double error = std::fabs(static_cast<long double>(got[i]) - want);
    if (!(error <= absolute)) {
      const double ulps = static_cast<double>(error / ulp_at<T>(want));
      if (!(ulps <= worst.ulps)) worst.ulps = ulps, worst.at = x[i];
    }
    worst.absolute = std::max(worst.absolute, static_cast<double>(error));
  }
  ::testing::Test::RecordProperty("ulps", std::to_string(worst.ulps));
  ::testing::Test::RecordProperty("worst_at", std::to_string(worst.at));
  return worst;
}

TEST(Math, Exp) {
  const auto x = sweep();
  const auto got = run_unary("exp", math::exp, x);
  EXPECT_LE(worst_error<float>(x, got, [](long double v) { return std::exp(v); }, 0, 1.1754944e-38).ulps, 2);
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_TRUE(x[i] >= -104 || got[i] == 0) << x[i];
    ASSERT_TRUE(x[i] <= 88.73f || got[i] == static_cast<float>(kInf)) << x[i];
    ASSERT_TRUE(x[i] >= 88.72f || got[i] < static_cast<float>(kInf)) << x[i];
  }
  const std::vector<float> special{static_cast<float>(-kInf),
                                   static_cast<float>(kInf),
                                   static_cast<float>(kNan),
                                   std::bit_cast<float>(0x7fffffffu),
                                   0.0f,
                                   -0.0f};
  const auto s = run_unary("exp", math::exp, special);
  EXPECT_EQ(s[0], 0.0f);
  EXPECT_EQ(s[1], static_cast<float>(kInf));
  EXPECT_TRUE(std::isnan(s[2]) && std::isnan(s[3]));
  EXPECT_EQ(s[4], 1.0f);
  EXPECT_EQ(s[5], 1.0f);
}

TEST(Math, Log) {
  const auto x = sweep();
  const auto got = run_unary("log", math::log, x);
  EXPECT_LE(worst_error<float>(x, got, [](long double v) { return std::log(v); }, 0).ulps, 2);
  const auto s = run_unary<float>("log", math::log,
                                  {0.0f, -0.0f, -1.0f, static_cast<float>(kInf), static_cast<float>(-kInf),
                                   static_cast<float>(kNan), 1.0f, 1e-45f});
  EXPECT_EQ(s[0], static_cast<float>(-kInf));
  EXPECT_EQ(s[1], static_cast<float>(-kInf));
  EXPECT_TRUE(std::isnan(s[2]) && std::isnan(s[4]) && std::isnan(s[5]));
  EXPECT_EQ(s[3], static_cast<float>(kInf));
  EXPECT_EQ(s[6], 0.0f);
  EXPECT_NEAR(s[7], -103.2789f, 1e-4);
}

void check_bounded(const char* name, Unary f, long double (*reference)(long double), double ulps, double absolute,
                   float limit) {
  SCOPED_TRACE(name);
  const auto x = sweep(limit);
  const auto got = run_unary(name, f, x);
  EXPECT_LE(worst_error<float>(x, got, reference, absolute).ulps, ulps);
  for (float v : got) ASSERT_LE(std::fabs(v), 1.0f);
  EXPECT_TRUE(std::isnan(run_unary<float>(name, f, {std::bit_cast<float>(0x7fffffffu)})[0]));
}

long double sigmoid_reference(long double v) { return 1 / (1 + std::exp(-v)); }

TEST(Math, Erf) { check_bounded("erf", math::erf, std::erf, 5, 1e-7, static_cast<float>(kInf)); }
TEST(Math, Tanh) { check_bounded("tanh", math::tanh, std::tanh, 5, 1e-7, static_cast<float>(kInf)); }
TEST(Math, Sigmoid) { check_bounded("sigmoid", math::sigmoid, sigmoid_reference, 4, 0, static_cast<float>(kInf)); }
TEST(Math, Sin) { check_bounded("sin", math::sin, std::sin, 4, 2e-7, 1e5f); }
TEST(Math, Cos) { check_bounded("cos", math::cos, std::cos, 4, 2e-7, 1e5f); }

TEST(Math, ExpAndLogOfDoubles) {
  std::mt19937_64 rng(3);
  std::vector<double> x, positive;
  for (int i = 0; i < 200000; ++i) {
    x.push_back(std::uniform_real_distribution<double>(-740, 709)(rng));
    x.push_back(std::uniform_real_distribution<double>(-2, 2)(rng));
    positive.push_back(std::bit_cast<double>(rng() >> 1 & 0x7fefffffffffffff));
    positive.push_back(std::uniform_real_distribution<double>(0.5, 2)(rng));
  }
  EXPECT_LE(worst_error<double>(
                x, run_unary("exp", math::exp, x), [](long double v) { return std::exp(v); }, 0, 2.3e-308)
                .ulps,
            2);
  EXPECT_LE(worst_error<double>(
                positive, run_unary("log", math::log, positive), [](long double v) { return std::log(v); }, 0)
                .ulps,
            2);
  const auto e = run_unary<double>("exp", math::exp, {-kInf, kInf, kNan, 0, 710, -746});
  EXPECT_EQ(e[0], 0);
  EXPECT_EQ(e[1], kInf);
  EXPECT_TRUE(std::isnan(e[2]));
  EXPECT_EQ(e[3], 1);
  EXPECT_EQ(e[4], kInf);
  EXPECT_EQ(e[5], 0);
}

TEST(Math, OtherFunctionsOfDoubles) {
  std::vector<double> x;
  for (int i = -4000; i <= 4000; ++i) x.push_back(i / 200.0);
  EXPECT_LE(worst_error<double>(
                x, run_unary("tanh", math::tanh, x), [](long double v) { return std::tanh(v); }, 1e-15)
                .ulps,
            2);
  EXPECT_LE(worst_error<double>(x, run_unary("sigmoid", math::sigmoid, x), sigmoid_reference, 0).ulps, 4);
  EXPECT_LE(worst_error<double>(
                x, run_unary("erf", math::erf, x), [](long double v) { return std::erf(v); }, 0)
                .absolute,
            3e-7);
  // The argument itself is rounded to f32.
  EXPECT_LE(worst_error<double>(
                x, run_unary("sin", math::sin, x), [](long double v) { return std::sin(v); }, 0)
                .absolute,
            2e-6);
  EXPECT_LE(worst_error<double>(
                x, run_unary("cos", math::cos, x), [](long double v) { return std::cos(v); }, 0)
                .absolute,
            2e-6);
}

TEST(Math, PowAgreesWithC) {
  std::mt19937_64 rng(5);
  std::vector<float> x, y;
  const float special[] = {0.0f,
                           -0.0f,
                           1.0f,
                           -1.0f,
                           2.0f,
                           -2.0f,
                           0.5f,
                           -0.5f,
                           3.0f,
                           -3.0f,
                           1e-40f,
                           16777217.0f,
                           33554433.0f,
                           static_cast<float>(kInf),
                           static_cast<float>(-kInf),
                           static_cast<float>(kNan),
                           1e30f,
                           -7.25f};
  for (float a : special) {
    for (float b : special) x.push_back(a), y.push_back(b);
  }
  for (int i = 0; i < 100000; ++i) {
    x.push_back(std::ldexp(1.0f + static_cast<float>(rng() % 8388608) / 8388608.0f, static_cast<int>(rng() % 60) - 30));
    y.push_back(static_cast<float>(static_cast<std::int64_t>(rng() % 20001) - 10000) / 500.0f);
  }
  const auto got = run_binary("pow", math::pow, x, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float want = std::pow(x[i], y[i]);
    const std::string what = "pow(" + std::to_string(x[i]) + ", " + std::to_string(y[i]) + ")";
    if (!std::isfinite(want) || want == 0 || !std::isfinite(got[i])) {
      EXPECT_TRUE(same(want, got[i])) << what << " = " << got[i] << ", not " << want;
    } else {
      EXPECT_TRUE(std::fabs(want) < 1.2e-38f || std::fabs(got[i] - want) <= 1e-6 * std::fabs(want)) << what;
    }
  }
}

TEST(Math, FmodIsExact) {
  std::mt19937_64 rng(9);
  std::vector<float> x{5.5f, -5.5f, 5.5f,  0.0f, -0.0f, 1.0f, static_cast<float>(kInf),
                       3.0f, 3e38f, 3e38f, 6.0f, -6.0f, 2.0f};
  std::vector<float> y{2.0f,
                       2.0f,
                       -2.0f,
                       3.0f,
                       3.0f,
                       0.0f,
                       2.0f,
                       static_cast<float>(-kInf),
                       1e-45f,
                       0.7f,
                       3.0f,
                       3.0f,
                       static_cast<float>(kNan)};
  for (int i = 0; i < 50000; ++i) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(rng())));
    y.push_back(i % 2 == 0 ? std::bit_cast<float>(static_cast<std::uint32_t>(rng()))
                           : static_cast<float>(rng() % 1000) / 8.0f);
  }
  const auto got = run_binary("fmod", math::fmod, x, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_TRUE(same(std::fmod(x[i], y[i]), got[i])) << "fmod(" << x[i] << ", " << y[i] << ") = " << got[i];
  }
  std::vector<double> xd, yd;
  for (int i = 0; i < 20000; ++i) {
    xd.push_back(std::ldexp(static_cast<double>(rng() >> 11), static_cast<int>(rng() % 600) - 300));
    yd.push_back(std::ldexp(static_cast<double>(rng() >> 11) + 1, static_cast<int>(rng() % 600) - 300));
    xd.push_back(std::bit_cast<double>(rng()));  // any exponent, and divisors that are subnormal
    yd.push_back(std::bit_cast<double>(i % 2 == 0 ? rng() : rng() >> (12 + rng() % 52)));
  }
  for (const double tiny : {5e-324, 1e-308, 0x1p-1022}) {
    xd.push_back(std::numeric_limits<double>::max());
    yd.push_back(tiny);
  }
  const auto gotd = run_binary("fmod", math::fmod, xd, yd);
  for (std::size_t i = 0; i < xd.size(); ++i) {
    ASSERT_TRUE(same(std::fmod(xd[i], yd[i]), gotd[i])) << "fmod(" << xd[i] << ", " << yd[i] << ") = " << gotd[i];
  }
}

}  // namespace
}  // namespace pit::codegen
