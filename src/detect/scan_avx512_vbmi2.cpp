// Expansion by whole words, for the AVX-512 back end of machines that compress bytes (Ice Lake, Zen 4 and later).
#include <immintrin.h>

#include "detect/scan_isa.h"

namespace pit::detect {

namespace {

struct Iota {
  alignas(64) std::uint8_t of[64] = {};
  constexpr Iota() {
    for (int i = 0; i < 64; ++i) of[i] = static_cast<std::uint8_t>(i);
  }
};
constexpr Iota iota;

// The positions of a word's bits are bytes, compressed at once. Sixteen entries are stored whatever there is, so that
// words with fewer bits, empty ones among them, take no branch that depends on the data.
template <bool Scaled>
void expand_words(const std::uint64_t* row, std::int64_t words, std::uint32_t base, std::uint32_t scale,
                  std::int32_t* out) {
  const __m512i positions = _mm512_load_si512(iota.of), factor = _mm512_set1_epi32(static_cast<std::int32_t>(scale));
  for (std::int64_t w = 0; w < words; ++w, base += 64 * scale) {
    const __m512i at = _mm512_maskz_compress_epi8(row[w], positions);
    const std::int64_t count = _mm_popcnt_u64(row[w]);
    const __m512i first = _mm512_set1_epi32(static_cast<std::int32_t>(base));
    const auto store = [&](__m128i bytes, std::int64_t i) {
      __m512i entries = _mm512_cvtepu8_epi32(bytes);
      if (Scaled) entries = _mm512_mullo_epi32(entries, factor);
      _mm512_storeu_si512(out + i, _mm512_add_epi32(entries, first));
    };
    store(_mm512_castsi512_si128(at), 0);
    if (count > 16) store(_mm512_extracti32x4_epi32(at, 1), 16);
    if (count > 32) store(_mm512_extracti32x4_epi32(at, 2), 32);
    if (count > 48) store(_mm512_extracti32x4_epi32(at, 3), 48);
    out += count;
  }
}

}  // namespace

void expand_avx512_vbmi2(const std::uint64_t* row, std::int64_t words, std::int64_t live, std::int32_t base,
                         std::int32_t scale, std::int32_t* out) {
  const auto b = static_cast<std::uint32_t>(base), s = static_cast<std::uint32_t>(scale);
  if (live == 0) return;
  if (scale == 1) expand_words<false>(row, words, b, 1, out);
  else expand_words<true>(row, words, b, s, out);
}

}  // namespace pit::detect
