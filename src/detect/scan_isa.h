// The inner loops of live maps, one room per instruction set: scan_avx2.cpp, scan_avx512.cpp.
//
// The rooms are compiled for more than this library's baseline. An inline function of a shared header that one of them
// leaves to the linker could replace everybody's copy and fail on a smaller machine, so they include nothing but this
// header and intrinsics.
#pragma once

#include <cstdint>

namespace pit::detect {

/// Entries that `expand` may write behind the last position: what a vector of positions has beyond the first.
inline constexpr std::int64_t expand_slack = 16;

/// Rows of bits are arrays of words, column c in bit c % 64 of word c / 64; bits behind the last column are 0 on both
/// sides.
struct ScanKernels {
  /// out[c]: whether any of `rows` elements data[r * row_stride + c] differs from `absent`; for `columns` columns.
  /// Strides in elements.
  void (*rows_f32)(const float* data, std::int64_t row_stride, std::int64_t rows, std::int64_t columns, float absent,
                   std::uint64_t* out);
  /// The same of bytes that stand for their truth value.
  void (*rows_b8)(const std::uint8_t* data, std::int64_t row_stride, std::int64_t rows, std::int64_t columns,
                  bool absent, std::uint64_t* out);
  /// out[g]: whether any of g_columns neighbours is set. g_columns >= 1; out may be `bits`. Uses `bits` as scratch.
  void (*group_columns)(std::uint64_t* bits, std::int64_t columns, std::int64_t g_columns, std::uint64_t* out);
  /// A block of 64 x 64 bits: bit i of out[j] is bit j of in[i * stride]; rows from `rows` on (at most 64) are 0.
  void (*transpose)(const std::uint64_t* in, std::int64_t stride, std::int64_t rows, std::uint64_t* out);
  /// base + position * scale of every set bit, ascending. Writes up to expand_slack entries behind those; returns how
  /// many there are.
  std::int64_t (*expand)(const std::uint64_t* row, std::int64_t words, std::int32_t base, std::int32_t scale,
                         std::int32_t* out);
};

extern const ScanKernels scan_avx2, scan_avx512;

// Operations on rows of bits that no wider vector makes faster; AVX2 and BMI2, used by both rooms.
void group_columns(std::uint64_t* bits, std::int64_t columns, std::int64_t g_columns, std::uint64_t* out);
void transpose_block(const std::uint64_t* in, std::int64_t stride, std::int64_t rows, std::uint64_t* out);

}  // namespace pit::detect
