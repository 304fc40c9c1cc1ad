// AVX-512 room of the scan: comparisons give masks, masks are bits, and a masked load is the end of a row.
#include <immintrin.h>

#include "detect/scan_isa.h"

namespace pit::detect {

namespace {

constexpr std::uint64_t low_bits(std::int64_t n) { return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1; }

// The rows of one pass; `First` sets the row of bits, later passes add to it.
template <int Rows, bool First>
void pass_f32(const float* data, std::int64_t stride, std::int64_t columns, __m512 absent, std::uint64_t* out) {
  for (std::int64_t c = 0; c < columns; c += 64) {
    const std::uint64_t valid = low_bits(columns - c);
    std::uint64_t word = 0;
    for (int i = 0; i < 64; i += 16) {
      const auto lanes = static_cast<__mmask16>(valid >> i);
      __mmask16 any = 0;
      for (int r = 0; r < Rows; ++r) {
        const __m512 x = _mm512_maskz_loadu_ps(lanes, data + r * stride + c + i);
        any = _kor_mask16(any, _mm512_mask_cmp_ps_mask(lanes, x, absent, _CMP_NEQ_UQ));
      }
      word |= static_cast<std::uint64_t>(any) << i;
    }
    out[c / 64] = (First ? 0 : out[c / 64]) | word;
  }
}

template <int Rows>
void add_f32(const float* data, std::int64_t stride, std::int64_t columns, __m512 absent, bool first,
             std::uint64_t* out) {
  if (first) pass_f32<Rows, true>(data, stride, columns, absent, out);
  else pass_f32<Rows, false>(data, stride, columns, absent, out);
}

void rows_f32(const float* data, std::int64_t stride, std::int64_t rows, std::int64_t columns, float value,
              std::uint64_t* out) {
  const __m512 absent = _mm512_set1_ps(value);
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4) add_f32<4>(data + r * stride, stride, columns, absent, r == 0, out);
  for (; r + 2 <= rows; r += 2) add_f32<2>(data + r * stride, stride, columns, absent, r == 0, out);
  for (; r < rows; ++r) add_f32<1>(data + r * stride, stride, columns, absent, r == 0, out);
}

void rows_b8(const std::uint8_t* data, std::int64_t stride, std::int64_t rows, std::int64_t columns, bool absent,
             std::uint64_t* out) {
  const std::uint64_t flip = absent ? ~std::uint64_t{0} : 0;  // of "is not zero"
  for (std::int64_t c = 0; c < columns; c += 64) {
    const std::uint64_t valid = low_bits(columns - c);
    std::uint64_t word = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const __m512i x = _mm512_maskz_loadu_epi8(valid, data + r * stride + c);
      word |= _mm512_test_epi8_mask(x, x) ^ flip;
    }
    out[c / 64] = word & valid;
  }
}

std::int64_t expand(const std::uint64_t* row, std::int64_t words, std::int32_t base, std::int32_t scale,
                    std::int32_t* out) {
  const __m512i iota = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i step = _mm512_set1_epi32(static_cast<std::int32_t>(16 * static_cast<std::uint32_t>(scale)));
  __m512i entries = _mm512_add_epi32(_mm512_mullo_epi32(iota, _mm512_set1_epi32(scale)), _mm512_set1_epi32(base));
  std::int32_t* const begin = out;
  for (std::int64_t w = 0; w < words; ++w) {
    for (int i = 0; i < 64; i += 16) {
      const auto live = static_cast<__mmask16>(row[w] >> i);
      // Compressed in a register: compressing stores are microcoded on Zen 4.
      _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(live, entries));
      out += _mm_popcnt_u32(live);
      entries = _mm512_add_epi32(entries, step);
    }
  }
  return out - begin;
}

}  // namespace

const ScanKernels scan_avx512 = {rows_f32, rows_b8, group_columns, transpose_block, expand};

}  // namespace pit::detect
