// The loops around a back end's comparisons. A back end gives a type `V` of its own per element type (in an unnamed
// namespace, so that what is instantiated here stays in the back end):
//
//     using Element = float;
//     template <int Rows> std::uint64_t word(const float* const* rows, std::int64_t c) const;    // columns c .. c + 64
//     template <int Rows> std::uint64_t rest(const float* const* rows, std::int64_t c, std::int64_t n) const;   // n <
//     64
//
// whose bits say in which columns one of `Rows` rows differs from absent.
#pragma once

#include <cstdint>

namespace pit::detect {

/// `Rows` rows into one row of bits; `First` sets it, later passes add to it.
template <int Rows, bool First, class V>
void scan_pass(const V& v, const typename V::Element* data, std::int64_t stride, std::int64_t columns,
               std::uint64_t* out) {
  const typename V::Element* rows[Rows];
  for (int r = 0; r < Rows; ++r) rows[r] = data + r * stride;
  std::int64_t c = 0;
  for (; c + 64 <= columns; c += 64) out[c / 64] = (First ? 0 : out[c / 64]) | v.template word<Rows>(rows, c);
  if (c < columns) out[c / 64] = (First ? 0 : out[c / 64]) | v.template rest<Rows>(rows, c, columns - c);
}

template <int Rows, class V>
void scan_pass(const V& v, const typename V::Element* data, std::int64_t stride, std::int64_t columns, bool first,
               std::uint64_t* out) {
  if (first) scan_pass<Rows, true>(v, data, stride, columns, out);
  else scan_pass<Rows, false>(v, data, stride, columns, out);
}

// Four streams a pass, a quarter of the rows apart: neighbours would be one stream where rows are short. What is left
// is never a row alone.
template <class V>
void scan_united(const V& v, const typename V::Element* data, std::int64_t stride, std::int64_t rows,
                 std::int64_t columns, std::uint64_t* out) {
  if (rows == 1) return scan_pass<1>(v, data, stride, columns, true, out);
  const std::int64_t passes = rows % 4 == 1 ? rows / 4 - 1 : rows / 4;
  for (std::int64_t r = 0; r < passes; ++r) scan_pass<4>(v, data + r * stride, passes * stride, columns, r == 0, out);
  std::int64_t r = 4 * passes;
  if (rows - r == 3 || rows - r == 5) scan_pass<3>(v, data + r * stride, stride, columns, r == 0, out), r += 3;
  if (rows - r == 2) scan_pass<2>(v, data + r * stride, stride, columns, r == 0, out);
}

/// `N` rows into a row of bits each.
template <int N, bool First, class V>
void scan_apart(const V& v, const typename V::Element* const* rows, std::int64_t columns, std::uint64_t* const* out) {
  const auto add = [&](int i, std::int64_t c, std::uint64_t bits) {
    out[i][c / 64] = (First ? 0 : out[i][c / 64]) | bits;
  };
  std::int64_t c = 0;
  for (; c + 64 <= columns; c += 64) {
    for (int i = 0; i < N; ++i) add(i, c, v.template word<1>(rows + i, c));
  }
  if (c == columns) return;
  for (int i = 0; i < N; ++i) add(i, c, v.template rest<1>(rows + i, c, columns - c));
}

template <class V>
void scan_apart(const V& v, const typename V::Element* const* rows, int n, std::int64_t columns, bool first,
                std::uint64_t* const* out) {
  if (n == 4) return first ? scan_apart<4, true>(v, rows, columns, out) : scan_apart<4, false>(v, rows, columns, out);
  for (int i = 0; i < n; ++i) {
    if (first) scan_apart<1, true>(v, rows + i, columns, out + i);
    else scan_apart<1, false>(v, rows + i, columns, out + i);
  }
}

}  // namespace pit::detect
