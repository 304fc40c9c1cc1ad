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
    case DType::i32: put(*this, static_cast<std::int32_t>(value)); break;
    default: PIT_UNREACHABLE("sums of {}", name_of(type));
  }
}

namespace {

constexpr std::int64_t kLine = 64;  // of the caches

/// Bytes until the next line begins.
std::int64_t to_line(const char* p) {
  return static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(p) & (kLine - 1));
}

/// Whole lines from `to` on, where one begins; returns how many bytes that were.
std::int64_t stream_lines(char* to, std::int64_t bytes, const ElementBits& value) {
  char line[kLine];
  for (std::int64_t i = 0; i < kLine; i += value.size)
    std::memcpy(line + i, value.bytes, static_cast<std::size_t>(value.size));
  const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(line));
  const std::int64_t whole = bytes / kLine * kLine;
  for (std::int64_t at = 0; at < whole; at += 16) _mm_stream_si128(reinterpret_cast<__m128i*>(to + at), part);
  return whole;
}

}  // namespace

void fill(char* p, std::int64_t count, const ElementBits& value, bool streaming) {
  const std::int64_t head = to_line(p);
  if (streaming && head % value.size == 0 && count * value.size >= head + kLine) {
    fill(p, head / value.size, value);
    const std::int64_t streamed = stream_lines(p + head, count * value.size - head, value);
    p += head + streamed, count -= (head + streamed) / value.size;
  }
  if (value.is_zero()) return static_cast<void>(std::memset(p, 0, static_cast<std::size_t>(count * value.size)));
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
  const std::int64_t head = std::min(bytes, to_line(to));
  std::memcpy(to, from, static_cast<std::size_t>(head));
  to += head, from += head, bytes -= head;
  for (; bytes >= kLine; bytes -= kLine, to += kLine, from += kLine)
    for (std::int64_t i = 0; i < kLine; i += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

}  // namespace pit::contract
