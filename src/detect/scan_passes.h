// The loops around a back end's comparisons. A back end gives a type `V` of its own per element type (in an unnamed
// namespace, so that what is instantiated here stays in the back end):
//
//     using Element = float;
//     std::uint64_t word(const float* at) const;                     // 64 elements
//     std::uint64_t rest(const float* at, std::int64_t n) const;     // n < 64
//
// whose bits say which elements differ from absent.
#pragma once

#include <cstdint>

namespace pit::detect {

/// Bytes between what is read and what is fetched for later. Measured on Zen 5: half of it fetches too late for memory,
/// twice as much begins to push out of L1 what has not been read yet.
inline constexpr std::int64_t kFetchAhead = 8192;

/// Elements from .. to of a row into its row of bits, and fetches as many from the address `later` on, which may lie
/// behind the end of an array: nobody reads there. `from` is a multiple of 64; `First` sets the bits, later rows add to
/// them.
template <bool First, class V>
void scan_piece(const V& v, const typename V::Element* row, std::int64_t from, std::int64_t to, std::uintptr_t later,
                std::uint64_t* out) {
  constexpr std::int64_t word_bytes = 64 * sizeof(typename V::Element);
  const auto fetch = [](std::uintptr_t at) { __builtin_prefetch(reinterpret_cast<const void*>(at)); };
  std::int64_t c = from;
  for (; c + 64 <= to; c += 64, later += word_bytes) {
    for (std::int64_t line = 0; line < word_bytes; line += 64) fetch(later + static_cast<std::uintptr_t>(line));
    out[c / 64] = (First ? 0 : out[c / 64]) | v.word(row + c);
  }
  if (c == to) return;
  fetch(later);
  out[c / 64] = (First ? 0 : out[c / 64]) | v.rest(row + c, to - c);
}

template <class V>
void scan_piece(const V& v, const typename V::Element* row, std::int64_t from, std::int64_t to, std::uintptr_t later,
                bool first, std::uint64_t* out) {
  if (first) scan_piece<true>(v, row, from, to, later, out);
  else scan_piece<false>(v, row, from, to, later, out);
}

/// Rows, `height` at a time united in a row of bits: one row after the other, in the order of memory. What is fetched
/// ahead follows the rows, which need not be next to each other.
template <class V>
void scan_rows(const V& v, const typename V::Element* data, std::int64_t stride, std::int64_t rows,
               std::int64_t columns, std::int64_t height, std::uint64_t* out) {
  constexpr std::int64_t element = sizeof(typename V::Element), ahead = kFetchAhead / element;
  const auto address = [&](std::int64_t row, std::int64_t column) {
    return reinterpret_cast<std::uintptr_t>(data) + static_cast<std::uintptr_t>((row * stride + column) * element);
  };
  // A long row fetches the rest of itself, then the beginning of the next one; short ones fetch some row below.
  const std::int64_t same = columns > ahead ? (columns - ahead) / 64 * 64 : 0;
  const std::int64_t below = columns > ahead ? 1 : ahead / (columns > 0 ? columns : 1);
  const std::int64_t words = (columns + 63) / 64;
  for (std::int64_t r = 0, united = 0; r < rows; ++r) {
    const typename V::Element* row = data + r * stride;
    if (same > 0) scan_piece(v, row, 0, same, address(r, ahead), united == 0, out);
    scan_piece(v, row, same, columns, address(r + below, 0), united == 0, out);
    if (++united == height) united = 0, out += words;
  }
}

}  // namespace pit::detect
