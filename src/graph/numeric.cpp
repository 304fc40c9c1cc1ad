#include "graph/numeric.h"

#include <bit>
#include <cmath>
#include <limits>

namespace pit::graph {

float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const int exponent = (h >> 10) & 31;
  const std::uint32_t mantissa = h & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | (static_cast<std::uint32_t>(exponent + 112) << 23) | (mantissa << 13));
  const float f = std::ldexp(static_cast<float>(mantissa), -24);
  return sign != 0 ? -f : f;
}

std::uint16_t float_to_half(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const float a = std::fabs(f);
  if (std::isnan(f)) return sign | 0x7e00u;
  if (a >= 65520.0f) return sign | 0x7c00u;
  if (a < 6.103515625e-05f) return sign | static_cast<std::uint16_t>(std::nearbyint(std::ldexp(a, 24)));
  std::uint32_t v = std::bit_cast<std::uint32_t>(a) - (112u << 23);
  v += 0xfffu + ((v >> 13) & 1u);  // ties to even
  return sign | static_cast<std::uint16_t>(v >> 13);
}

double read_double(const Tensor& t, std::int64_t i) {
  switch (t.dtype()) {
    case DType::f32: return t.as<float>()[i];
    case DType::f64: return t.as<double>()[i];
    case DType::f16: return half_to_float(t.as<std::uint16_t>()[i]);
    default: return static_cast<double>(read_int(t, i));
  }
}

std::int64_t read_int(const Tensor& t, std::int64_t i) {
  switch (t.dtype()) {
    case DType::i64: return t.as<std::int64_t>()[i];
    case DType::i32: return t.as<std::int32_t>()[i];
    case DType::i8: return t.as<std::int8_t>()[i];
    case DType::u8: return t.as<std::uint8_t>()[i];
    case DType::b8: return t.as<std::uint8_t>()[i] != 0;
    default: break;
  }
  const double v = read_double(t, i);
  if (std::isnan(v)) return 0;
  if (v >= 9223372036854775808.0) return std::numeric_limits<std::int64_t>::max();
  if (v < -9223372036854775808.0) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(v);
}

void write_double(Tensor& t, std::int64_t i, double v) {
  switch (t.dtype()) {
    case DType::f32: t.as<float>()[i] = static_cast<float>(v); return;
    case DType::f64: t.as<double>()[i] = v; return;
    case DType::f16: t.as<std::uint16_t>()[i] = float_to_half(static_cast<float>(v)); return;
    case DType::b8: t.as<std::uint8_t>()[i] = v != 0; return;
    default: break;
  }
  if (std::isnan(v)) v = 0;
  write_int(t, i,
            v >= 9223372036854775808.0   ? INT64_MAX
            : v < -9223372036854775808.0 ? INT64_MIN
                                         : static_cast<std::int64_t>(v));
}

void write_int(Tensor& t, std::int64_t i, std::int64_t v) {
  switch (t.dtype()) {
    case DType::i64: t.as<std::int64_t>()[i] = v; return;
    case DType::i32: t.as<std::int32_t>()[i] = static_cast<std::int32_t>(v); return;
    case DType::i8: t.as<std::int8_t>()[i] = static_cast<std::int8_t>(v); return;
    case DType::u8: t.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(v); return;
    case DType::b8: t.as<std::uint8_t>()[i] = v != 0; return;
    default: write_double(t, i, static_cast<double>(v));
  }
}

}  // namespace pit::graph
