#include "contract/elements.h"

#include <algorithm>
#include <emmintrin.h>

namespace pit::contract {
namespace {

template <class T>
void put(ElementBits& bits, T value) {
  bits.size = sizeof value;
  std::memcpy(bits.bytes, &value, sizeof value);
}

}  // namespace

// The types that sums can have.
ElementBits::ElementBits(DType type, double value) {
  switch (type) {
    case DType::f32: put(*this, static_cast<float>(value)); break;
    case DType::f64: put(*this, value); break;
    default: PIT_UNREACHABLE("sums of {}", name_of(type));
  }
}

void fill(char* p, std::int64_t count, const ElementBits& value) {
  with_size(value.size, [&](auto size) {
    const ElementBits local = value;  // not what the stores may change
    for (std::int64_t i = 0; i < count; ++i) move_element<size>(p + i * size, local.bytes);
  });
}

void copy_row(char* to, const char* from, std::int64_t bytes, bool streaming) {
  if (!streaming) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
    return;
  }
  // Around the caches go whole lines only: memory would have to read the rest of a line that is written in part.
  constexpr std::int64_t line = 64;
  const auto misaligned = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) & (line - 1)),
             head = std::min(bytes, (line - misaligned) % line);
  std::memcpy(to, from, static_cast<std::size_t>(head));
  to += head, from += head, bytes -= head;
  for (; bytes >= line; bytes -= line, to += line, from += line)
    for (std::int64_t i = 0; i < line; i += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

}  // namespace pit::contract
