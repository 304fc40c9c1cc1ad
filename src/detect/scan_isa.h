// The inner loops of live maps, one back end per instruction set: scan_avx2.cpp, scan_avx512.cpp,
// scan_avx512_vbmi2.cpp.
//
// The back ends are compiled for more than this library's baseline. An inline function that one of them leaves to the
// linker could replace everybody's copy and fail on a smaller machine, so they include intrinsics, this header and
// scan_passes.h (templates over types of the back end's own) and nothing else.
#pragma once

#include <cstdint>

namespace pit::detect {

/// Entries that `expand` may write behind the last position: what a vector of positions has beyond the first.
inline constexpr std::int64_t kExpandSlack = 16;

/// Rows of bits are arrays of words, column c in bit c % 64 of word c / 64; bits behind the last column are 0 on both
/// sides. Strides in elements. Bytes stand for their truth value.
struct ScanKernels {
  /// Rows of values into rows of bits, `height` rows (at least 1; fewer at the end) into one: whether an element of the
  /// column in them differs from `absent`. Rows of bits follow each other.
  void (*rows_f32)(const float* data, std::int64_t stride, std::int64_t rows, std::int64_t columns, std::int64_t height,
                   float absent, std::uint64_t* out);
  void (*rows_b8)(const std::uint8_t* data, std::int64_t stride, std::int64_t rows, std::int64_t columns,
                  std::int64_t height, bool absent, std::uint64_t* out);
  /// out[g]: whether any of g_columns neighbours is set; g_columns >= 1. `bits` is scratch, and may be `out`.
  void (*group_columns)(std::uint64_t* bits, std::int64_t columns, std::int64_t g_columns, std::uint64_t* out);
  /// 64 rows of 8 words, 8 blocks of 64 x 64 bits: bit i of out[64 * w + j] is bit j of in[i * stride + w].
  void (*transpose)(const std::uint64_t* in, std::int64_t stride, std::uint64_t* out);
  /// base + position * scale of every set bit, ascending; there are `live` of them. Writes up to kExpandSlack entries
  /// more.
  void (*expand)(const std::uint64_t* row, std::int64_t words, std::int64_t live, std::int32_t base, std::int32_t scale,
                 std::int32_t* out);
};

extern const ScanKernels scan_avx2, scan_avx512;

/// `expand` with AVX-512 VBMI2, the one thing that it makes faster.
void expand_avx512_vbmi2(const std::uint64_t* row, std::int64_t words, std::int64_t live, std::int32_t base,
                         std::int32_t scale, std::int32_t* out);

// Operations on rows of bits that no wider vector makes faster; AVX2 and BMI2, used by both back ends.
void group_columns(std::uint64_t* bits, std::int64_t columns, std::int64_t g_columns, std::uint64_t* out);
void transpose_blocks(const std::uint64_t* in, std::int64_t stride, std::uint64_t* out);

}  // namespace pit::detect
