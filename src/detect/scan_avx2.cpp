// AVX2 room of the scan.
#include <immintrin.h>

#include "detect/scan_isa.h"

namespace pit::detect {

namespace {

constexpr std::uint64_t low_bits(std::int64_t n) { return (std::uint64_t{1} << n) - 1; }

// Lanes of eight columns in which one of `Rows` rows differs. Unordered counts as different, and -0 equals +0.
template <int Rows, class Load>
__m256i differs(const Load& load, __m256 absent) {
  __m256 any = _mm256_cmp_ps(load(0), absent, _CMP_NEQ_UQ);
  for (int r = 1; r < Rows; ++r) any = _mm256_or_ps(any, _mm256_cmp_ps(load(r), absent, _CMP_NEQ_UQ));
  return _mm256_castps_si256(any);
}

// 32 columns: four masks of eight lanes shrink to bytes. Packing works within halves of a vector, so it leaves quads of
// columns in the order 0 2 4 6 1 3 5 7.
std::uint32_t bits32(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order)));
}

// The rows of one pass; `First` sets the row of bits, later passes add to it.
template <int Rows, bool First>
void pass_f32(const float* data, std::int64_t stride, std::int64_t columns, __m256 absent, std::uint64_t* out) {
  std::int64_t c = 0;
  for (; c + 64 <= columns; c += 64) {
    const auto mask = [&](int i) {
      return differs<Rows>([&](int r) { return _mm256_loadu_ps(data + r * stride + c + 8 * i); }, absent);
    };
    const std::uint64_t low = bits32(mask(0), mask(1), mask(2), mask(3));
    const std::uint64_t high = bits32(mask(4), mask(5), mask(6), mask(7));
    out[c / 64] = (First ? 0 : out[c / 64]) | low | high << 32;
  }
  if (c == columns) return;
  std::uint64_t word = 0;
  for (int shift = 0; c + shift < columns; shift += 8) {
    const std::int64_t left = columns - c - shift;
    const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? static_cast<int>(left) : 8),
                                             _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256i any =
        differs<Rows>([&](int r) { return _mm256_maskload_ps(data + r * stride + c + shift, lanes); }, absent);
    const int live = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_and_si256(any, lanes)));
    word |= static_cast<std::uint64_t>(live) << shift;
  }
  out[c / 64] = (First ? 0 : out[c / 64]) | word;
}

template <int Rows>
void add_f32(const float* data, std::int64_t stride, std::int64_t columns, __m256 absent, bool first,
             std::uint64_t* out) {
  if (first) pass_f32<Rows, true>(data, stride, columns, absent, out);
  else pass_f32<Rows, false>(data, stride, columns, absent, out);
}

void rows_f32(const float* data, std::int64_t stride, std::int64_t rows, std::int64_t columns, float value,
              std::uint64_t* out) {
  const __m256 absent = _mm256_set1_ps(value);
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4) add_f32<4>(data + r * stride, stride, columns, absent, r == 0, out);
  for (; r + 2 <= rows; r += 2) add_f32<2>(data + r * stride, stride, columns, absent, r == 0, out);
  for (; r < rows; ++r) add_f32<1>(data + r * stride, stride, columns, absent, r == 0, out);
}

void rows_b8(const std::uint8_t* data, std::int64_t stride, std::int64_t rows, std::int64_t columns, bool absent,
             std::uint64_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  const std::uint64_t flip = absent ? 0 : ~std::uint64_t{0};  // of "is zero"
  for (std::int64_t c = 0; c < columns; c += 64) {
    std::uint64_t word = 0;
    const std::int64_t n = columns - c;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::uint8_t* at = data + r * stride + c;
      if (n >= 64) {
        const auto zeros = [&](int i) {
          const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + i));
          return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, zero)));
        };
        word |= (zeros(0) | static_cast<std::uint64_t>(zeros(32)) << 32) ^ flip;
      } else {
        for (std::int64_t i = 0; i < n; ++i) word |= static_cast<std::uint64_t>((at[i] != 0) != absent) << i;
      }
    }
    out[c / 64] = n >= 64 ? word : word & low_bits(n);
  }
}

// The positions of the bits of every byte, ascending, then zeros: eight entries are stored and as many kept as the byte
// has bits.
struct Positions {
  alignas(64) std::uint8_t of[256][8] = {};
  constexpr Positions() {
    for (int byte = 0; byte < 256; ++byte) {
      for (int bit = 0, n = 0; bit < 8; ++bit) {
        if (byte >> bit & 1) of[byte][n++] = static_cast<std::uint8_t>(bit);
      }
    }
  }
};
constexpr Positions positions;

std::int64_t expand(const std::uint64_t* row, std::int64_t words, std::int32_t base, std::int32_t scale,
                    std::int32_t* out) {
  const __m256i scales = _mm256_set1_epi32(scale);
  std::int32_t* const begin = out;
  for (std::int64_t w = 0; w < words; ++w) {
    for (std::uint64_t left = row[w], at = 64 * static_cast<std::uint64_t>(w); left != 0; left >>= 8, at += 8) {
      const auto byte = static_cast<std::uint8_t>(left);
      const auto first = static_cast<std::int32_t>(static_cast<std::uint32_t>(base) +
                                                   static_cast<std::uint32_t>(at) * static_cast<std::uint32_t>(scale));
      const __m256i bits = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(positions.of[byte])));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                          _mm256_add_epi32(_mm256_mullo_epi32(bits, scales), _mm256_set1_epi32(first)));
      out += _mm_popcnt_u32(byte);
    }
  }
  return out - begin;
}

}  // namespace

const ScanKernels scan_avx2 = {rows_f32, rows_b8, group_columns, transpose_block, expand};

}  // namespace pit::detect
