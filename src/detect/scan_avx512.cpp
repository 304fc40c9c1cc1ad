// AVX-512 back end of the scan: comparisons give masks, masks are bits, and a masked load is the end of a row.
#include <immintrin.h>

#include "detect/scan_isa.h"
#include "detect/scan_passes.h"

namespace pit::detect {

namespace {

struct F32 {
  using Element = float;
  __m512 absent;

  // Unordered counts as different, and -0 equals +0.
  std::uint64_t word(const float* at) const {
    const auto differ = [&](int i) { return _mm512_cmp_ps_mask(_mm512_loadu_ps(at + i), absent, _CMP_NEQ_UQ); };
    const __mmask32 low = _mm512_kunpackw(differ(16), differ(0)), high = _mm512_kunpackw(differ(48), differ(32));
    return _mm512_kunpackd(high, low);
  }

  std::uint64_t rest(const float* at, std::int64_t n) const {
    std::uint64_t bits = 0;
    for (int i = 0; i < n; i += 16) {
      const auto lanes = static_cast<__mmask16>(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
      const __m512 x = _mm512_maskz_loadu_ps(lanes, at + i);
      bits |= static_cast<std::uint64_t>(_mm512_mask_cmp_ps_mask(lanes, x, absent, _CMP_NEQ_UQ)) << i;
    }
    return bits;
  }
};

struct B8 {
  using Element = std::uint8_t;
  std::uint64_t flip;  // of "is not zero"

  std::uint64_t word(const std::uint8_t* at) const {
    const __m512i x = _mm512_loadu_si512(at);
    return _mm512_test_epi8_mask(x, x) ^ flip;
  }

  std::uint64_t rest(const std::uint8_t* at, std::int64_t n) const {
    const std::uint64_t valid = (std::uint64_t{1} << n) - 1;
    const __m512i x = _mm512_maskz_loadu_epi8(valid, at);
    return (_mm512_test_epi8_mask(x, x) ^ flip) & valid;
  }
};

F32 f32(float absent) { return {_mm512_set1_ps(absent)}; }
B8 b8(bool absent) { return {absent ? ~std::uint64_t{0} : 0}; }

void rows_f32(const float* data, std::int64_t stride, std::int64_t rows, std::int64_t columns, std::int64_t height,
              float absent, std::uint64_t* out) {
  scan_rows(f32(absent), data, stride, rows, columns, height, out);
}
void rows_b8(const std::uint8_t* data, std::int64_t stride, std::int64_t rows, std::int64_t columns,
             std::int64_t height, bool absent, std::uint64_t* out) {
  scan_rows(b8(absent), data, stride, rows, columns, height, out);
}

void expand(const std::uint64_t* row, std::int64_t words, std::int64_t live, std::int32_t base, std::int32_t scale,
            std::int32_t* out) {
  if (live == 0) return;
  const auto factor = static_cast<std::uint32_t>(scale);
  const __m512i iota = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i step = _mm512_set1_epi32(static_cast<std::int32_t>(16 * factor));
  const __m512i scaled = _mm512_mullo_epi32(iota, _mm512_set1_epi32(scale));
  for (std::int64_t w = 0; w < words; ++w) {
    if (row[w] == 0) continue;
    const std::uint32_t first = static_cast<std::uint32_t>(base) + 64 * static_cast<std::uint32_t>(w) * factor;
    __m512i entries = _mm512_add_epi32(scaled, _mm512_set1_epi32(static_cast<std::int32_t>(first)));
    for (int i = 0; i < 64; i += 16) {
      const auto live_lanes = static_cast<__mmask16>(row[w] >> i);
      // Compressed in a register: compressing stores are microcoded on Zen 4.
      _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(live_lanes, entries));
      out += _mm_popcnt_u32(live_lanes);
      entries = _mm512_add_epi32(entries, step);
    }
  }
}

}  // namespace

const ScanKernels scan_avx512 = {rows_f32, rows_b8, group_columns, transpose_blocks, expand};

}  // namespace pit::detect
