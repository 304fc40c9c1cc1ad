#include "tensor/poison.h"

#include <cstring>

namespace pit {
namespace {

template <class T>
void alternate(void* data, std::int64_t count, T even, T odd) {
  char* p = static_cast<char*>(data);
  for (std::int64_t i = 0; i < count; ++i, p += sizeof(T)) std::memcpy(p, i % 2 == 0 ? &even : &odd, sizeof(T));
}

void fill_nan(void* data, DType dtype, std::int64_t count) {
  const bool wide = dtype == DType::i64 || dtype == DType::i32;
  std::memset(data, dtype == DType::b8 ? 0xA5 : wide ? 0x7A : 0xFF, static_cast<std::size_t>(count) * size_of(dtype));
}

void fill_large(void* data, DType dtype, std::int64_t count) {
  constexpr std::uint16_t half = 0x7B53, sign = 0x8000;  // 60000
  switch (dtype) {
    case DType::f32: return alternate(data, count, 1e30f, -1e30f);
    case DType::f64: return alternate(data, count, 1e30, -1e30);
    case DType::f16: return alternate<std::uint16_t>(data, count, half, half | sign);
    case DType::i64: return alternate<std::int64_t>(data, count, 0x7A7A7A7A7A7A7A7A, -0x7A7A7A7A7A7A7A7A);
    case DType::i32: return alternate<std::int32_t>(data, count, 0x7A7A7A7A, -0x7A7A7A7A);
    case DType::i8: return alternate<std::int8_t>(data, count, 0x7A, -0x7A);
    case DType::u8: return alternate<std::uint8_t>(data, count, 0xFA, 0x7A);
    case DType::b8: return alternate<std::uint8_t>(data, count, 1, 0);
  }
}

}  // namespace

void fill_poison(void* data, DType dtype, std::int64_t count, Poison poison) {
  if (count == 0) return;
  if (poison == Poison::nan) fill_nan(data, dtype, count);
  if (poison == Poison::large) fill_large(data, dtype, count);
}

}  // namespace pit
