// AVX2 back end of the scan.
#include <immintrin.h>

#include "detect/scan_isa.h"
#include "detect/scan_passes.h"

namespace pit::detect {

namespace {

// 32 columns: four masks of eight lanes shrink to bytes. Packing works within halves of a vector, so it leaves quads of
// columns in the order 0 2 4 6 1 3 5 7.
std::uint64_t bits32(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order)));
}

struct F32 {
  using Element = float;
  __m256 absent;

  // Unordered counts as different, and -0 equals +0.
  __m256i differs(__m256 x) const { return _mm256_castps_si256(_mm256_cmp_ps(x, absent, _CMP_NEQ_UQ)); }

  std::uint64_t word(const float* at) const {
    const auto mask = [&](int i) { return differs(_mm256_loadu_ps(at + 8 * i)); };
    const std::uint64_t low = bits32(mask(0), mask(1), mask(2), mask(3));
    return low | bits32(mask(4), mask(5), mask(6), mask(7)) << 32;
  }

  std::uint64_t rest(const float* at, std::int64_t n) const {
    std::uint64_t bits = 0;
    for (int i = 0; i < n; i += 8) {
      const __m256i lanes =
          _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n) - i), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
      const __m256i any = differs(_mm256_maskload_ps(at + i, lanes));
      const int live = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_and_si256(any, lanes)));
      bits |= static_cast<std::uint64_t>(live) << i;
    }
    return bits;
  }
};

struct B8 {
  using Element = std::uint8_t;
  std::uint64_t flip;  // of "is zero"

  std::uint64_t word(const std::uint8_t* at) const {
    const auto zeros = [](const std::uint8_t* half) -> std::uint64_t {
      const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(half));
      return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_setzero_si256())));
    };
    return (zeros(at) | zeros(at + 32) << 32) ^ flip;
  }

  std::uint64_t rest(const std::uint8_t* at, std::int64_t n) const {
    std::uint64_t bits = 0;
    for (int i = 0; i < n; ++i) bits |= static_cast<std::uint64_t>((at[i] == 0) != (flip != 0)) << i;
    return bits;
  }
};

F32 f32(float absent) { return {_mm256_set1_ps(absent)}; }
B8 b8(bool absent) { return {absent ? 0 : ~std::uint64_t{0}}; }

void rows_f32(const float* data, std::int64_t stride, std::int64_t rows, std::int64_t columns, std::int64_t height,
              float absent, std::uint64_t* out) {
  scan_rows(f32(absent), data, stride, rows, columns, height, out);
}
void rows_b8(const std::uint8_t* data, std::int64_t stride, std::int64_t rows, std::int64_t columns,
             std::int64_t height, bool absent, std::uint64_t* out) {
  scan_rows(b8(absent), data, stride, rows, columns, height, out);
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

// position -> entry. The scale is 1 but for lists of addresses, and a multiplication per entry shows.
struct Shifted {
  std::uint32_t base;
  std::int32_t operator()(std::uint64_t at) const {
    return static_cast<std::int32_t>(base + static_cast<std::uint32_t>(at));
  }
  __m256i operator()(std::uint64_t at, __m256i more) const {
    return _mm256_add_epi32(_mm256_set1_epi32((*this)(at)), more);
  }
};
struct Scaled {
  std::uint32_t base, scale;
  std::int32_t operator()(std::uint64_t at) const {
    return static_cast<std::int32_t>(base + static_cast<std::uint32_t>(at) * scale);
  }
  __m256i operator()(std::uint64_t at, __m256i more) const {
    const __m256i scaled = _mm256_mullo_epi32(more, _mm256_set1_epi32(static_cast<int>(scale)));
    return _mm256_add_epi32(_mm256_set1_epi32((*this)(at)), scaled);
  }
};

// By bytes. Without a branch on the data but for empty words.
template <class Entry>
void expand_bytes(const std::uint64_t* row, std::int64_t words, Entry entry, std::int32_t* out) {
  for (std::int64_t w = 0; w < words; ++w) {
    if (row[w] == 0) continue;
    std::uint64_t left = row[w];
    for (std::uint64_t i = 0; i < 64; i += 8, left >>= 8) {
      const std::uint64_t byte = left & 255;
      const __m256i at = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(positions.of[byte])));
      const __m256i entries = entry(64 * static_cast<std::uint64_t>(w) + i, at);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), entries);
      out += _mm_popcnt_u64(byte);
    }
  }
}

// By bits, always `Few` of them, so that the branch that asks for more is hardly ever taken where words have fewer.
template <int Few, class Entry>
void expand_bits(const std::uint64_t* row, std::int64_t words, Entry entry, std::int32_t* out) {
  for (std::int64_t w = 0; w < words; ++w) {
    const auto count = static_cast<std::int64_t>(_mm_popcnt_u64(row[w]));
    const std::uint64_t at = 64 * static_cast<std::uint64_t>(w);
    std::uint64_t left = row[w];
    for (int i = 0; i < Few; ++i, left = _blsr_u64(left)) out[i] = entry(at + _tzcnt_u64(left));
    for (std::int64_t i = Few; i < count; ++i, left = _blsr_u64(left)) out[i] = entry(at + _tzcnt_u64(left));
    out += count;
  }
}

// Where the next one up becomes faster was measured on random bits.
template <class Entry>
void expand(const std::uint64_t* row, std::int64_t words, std::int64_t live, Entry entry, std::int32_t* out) {
  if (live == 0) return;
  if (4 * live <= 3 * words) expand_bits<2>(row, words, entry, out);
  else if (2 * live <= 3 * words) expand_bits<4>(row, words, entry, out);
  else if (live <= 5 * words) expand_bits<8>(row, words, entry, out);
  else expand_bytes(row, words, entry, out);
}

void expand(const std::uint64_t* row, std::int64_t words, std::int64_t live, std::int32_t base, std::int32_t scale,
            std::int32_t* out) {
  const auto b = static_cast<std::uint32_t>(base), s = static_cast<std::uint32_t>(scale);
  if (scale == 1) expand(row, words, live, Shifted{b}, out);
  else expand(row, words, live, Scaled{b, s}, out);
}

}  // namespace

const ScanKernels scan_avx2 = {rows_f32, rows_b8, group_columns, transpose_blocks, expand};

}  // namespace pit::detect
