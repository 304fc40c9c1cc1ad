#include "expr/scalar.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "support/check.h"

namespace pit::expr {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

double nan_min(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNan : std::min(a, b); }
double nan_max(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNan : std::max(a, b); }

// The sign of the divisor, as in Python and ONNX (Mod with fmod=0).
double floor_mod(double a, double b) {
  double r = std::fmod(a, b);
  if (r != 0 && (r < 0) != (b < 0)) r += b;
  return r;
}

double half_to_even(double v) {
  const double whole = std::floor(v), rest = v - whole;
  if (std::isnan(v) || std::isinf(v) || rest == 0) return v;
  if (rest != 0.5) return std::copysign(rest < 0.5 ? whole : whole + 1, v);
  return std::copysign(std::fmod(whole, 2) == 0 ? whole : whole + 1, v);
}

std::int64_t add(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
std::int64_t negate(std::int64_t a) { return static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(a)); }
std::int64_t multiply(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}

// The divisor -1 is apart because the lowest integer divided by it traps.
std::int64_t truncating_divide(std::int64_t a, std::int64_t b) { return b == 0 ? 0 : b == -1 ? negate(a) : a / b; }
std::int64_t remainder(std::int64_t a, std::int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }
bool signs_differ(std::int64_t a, std::int64_t b) { return (a < 0) != (b < 0); }

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  std::int64_t result = 1;
  for (; exponent > 0; exponent >>= 1, base = multiply(base, base)) {
    if (exponent & 1) result = multiply(result, base);
  }
  return result;
}

template <class T>
bool compare(Fn f, T a, T b) {
  switch (f) {
    case Fn::eq: return a == b;
    case Fn::ne: return a != b;
    case Fn::lt: return a < b;
    case Fn::le: return a <= b;
    case Fn::gt: return a > b;
    case Fn::ge: return a >= b;
    default: PIT_UNREACHABLE("{} is no comparison", info(f).name);
  }
}

}  // namespace

double float_function(Fn f, double a, double b) {
  switch (f) {
    case Fn::add: return a + b;
    case Fn::sub: return a - b;
    case Fn::mul: return a * b;
    case Fn::div: return a / b;
    case Fn::floordiv: return std::floor(a / b);
    case Fn::mod: return floor_mod(a, b);
    case Fn::fmod: return std::fmod(a, b);
    case Fn::pow: return std::pow(a, b);
    case Fn::min: return nan_min(a, b);
    case Fn::max: return nan_max(a, b);
    case Fn::neg: return -a;
    case Fn::abs: return std::fabs(a);
    case Fn::sqrt: return std::sqrt(a);
    case Fn::rsqrt: return 1 / std::sqrt(a);
    case Fn::exp: return std::exp(a);
    case Fn::log: return std::log(a);
    case Fn::erf: return std::erf(a);
    case Fn::tanh: return std::tanh(a);
    case Fn::sigmoid: return 1 / (1 + std::exp(-a));
    case Fn::sin: return std::sin(a);
    case Fn::cos: return std::cos(a);
    case Fn::floor: return std::floor(a);
    case Fn::ceil: return std::ceil(a);
    case Fn::round: return half_to_even(a);
    case Fn::sign: return std::isnan(a) ? a : static_cast<double>((a > 0) - (a < 0));
    case Fn::recip: return 1 / a;
    default: PIT_UNREACHABLE("{} on floating-point operands", info(f).name);
  }
}

std::int64_t int_function(Fn f, std::int64_t a, std::int64_t b) {
  switch (f) {
    case Fn::add: return add(a, b);
    case Fn::sub: return add(a, negate(b));
    case Fn::mul: return multiply(a, b);
    case Fn::div: return truncating_divide(a, b);
    case Fn::floordiv: return truncating_divide(a, b) - (remainder(a, b) != 0 && signs_differ(a, b) ? 1 : 0);
    case Fn::mod: {
      const std::int64_t r = remainder(a, b);
      return r != 0 && signs_differ(r, b) ? r + b : r;
    }
    case Fn::fmod: return remainder(a, b);
    case Fn::pow: return power(a, b);
    case Fn::min: return std::min(a, b);
    case Fn::max: return std::max(a, b);
    case Fn::neg: return negate(a);
    case Fn::abs: return a < 0 ? negate(a) : a;
    case Fn::sign: return (a > 0) - (a < 0);
    default: PIT_UNREACHABLE("{} on integer operands", info(f).name);
  }
}

std::int64_t wrap(DType t, std::int64_t v) {
  switch (t) {
    case DType::i32: return static_cast<std::int32_t>(static_cast<std::uint64_t>(v));
    case DType::i8: return static_cast<std::int8_t>(static_cast<std::uint64_t>(v));
    case DType::u8: return static_cast<std::uint8_t>(static_cast<std::uint64_t>(v));
    case DType::b8: return v != 0;
    default: return v;
  }
}

bool float_comparison(Fn f, double a, double b) { return compare(f, a, b); }
bool int_comparison(Fn f, std::int64_t a, std::int64_t b) { return compare(f, a, b); }

std::int64_t float_to_int(DType t, double v) {
  if (std::isnan(v)) return 0;
  double low = -0x1p63, high = 0x1p63;  // first double beyond the range, upwards
  switch (t) {
    case DType::i32: low = -0x1p31, high = 0x1p31; break;
    case DType::i8: low = -128, high = 128; break;
    case DType::u8: low = 0, high = 256; break;
    default: break;
  }
  const double whole = std::trunc(v);
  if (whole >= high) return t == DType::i64 ? INT64_MAX : static_cast<std::int64_t>(high) - 1;
  if (whole < low) return t == DType::i64 ? INT64_MIN : static_cast<std::int64_t>(low);
  return static_cast<std::int64_t>(whole);
}

std::optional<std::int64_t> as_integer(double v) {
  if (!(std::fabs(v) <= 0x1p53) || v != std::trunc(v)) return std::nullopt;
  return static_cast<std::int64_t>(v);
}

std::uint16_t to_half(double v) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(v) ? 0x8000 : 0);
  const double a = std::fabs(v);
  if (std::isnan(v)) return sign | 0x7E00;
  if (a >= 65520) return sign | 0x7C00;  // halfway between the largest half and the next power of two rounds up
  // Below 2^-14 the spacing is 2^-24 (subnormal); from there it is 2^(e-10). Scaling by a power of two is exact.
  const int e = a < 0x1p-14 ? -14 : std::ilogb(a);
  const auto units = static_cast<std::uint32_t>(half_to_even(std::ldexp(a, 10 - e)));  // 0..2048
  // A mantissa that rounded up to 2048 carries into the exponent by itself.
  return static_cast<std::uint16_t>(sign | (units < 1024 ? units : (static_cast<std::uint32_t>(e + 14) << 10) + units));
}

double from_half(std::uint16_t h) {
  const int e = (h >> 10) & 31, m = h & 1023;
  double v = e == 31 ? (m != 0 ? kNan : kInf) : e == 0 ? std::ldexp(m, -24) : std::ldexp(1024 + m, e - 25);
  return (h & 0x8000) != 0 ? -v : v;
}

double combine_float(Combiner c, double acc, double term) {
  switch (c) {
    case Combiner::assign:
    case Combiner::last: return term;
    case Combiner::sum: return acc + term;
    case Combiner::product: return acc * term;
    case Combiner::max: return nan_max(acc, term);
    case Combiner::min: return nan_min(acc, term);
    case Combiner::logsumexp: {
      const double top = nan_max(acc, term), bottom = nan_min(acc, term);
      if (std::isnan(top) || std::isinf(top) || bottom == -kInf) return top;
      return top + std::log1p(std::exp(bottom - top));
    }
    default: PIT_UNREACHABLE("{} on floating-point values", info(c).text);
  }
}

std::int64_t combine_int(Combiner c, std::int64_t acc, std::int64_t term) {
  switch (c) {
    case Combiner::assign:
    case Combiner::last: return term;
    case Combiner::sum: return add(acc, term);
    case Combiner::product: return multiply(acc, term);
    case Combiner::max: return std::max(acc, term);
    case Combiner::min: return std::min(acc, term);
    case Combiner::logical_and: return (acc != 0 && term != 0) ? 1 : 0;
    case Combiner::logical_or: return (acc != 0 || term != 0) ? 1 : 0;
    default: PIT_UNREACHABLE("{} on integers", info(c).text);
  }
}

double float_identity(Combiner c) { return info(c).identity; }

std::int64_t int_identity(Combiner c, DType t) {
  if (c == Combiner::max) return float_to_int(t, -kInf);
  if (c == Combiner::min) return float_to_int(t, kInf);
  return static_cast<std::int64_t>(info(c).identity);
}

}  // namespace pit::expr
