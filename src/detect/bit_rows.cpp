// Rows of bits: neighbouring columns joined, blocks transposed.
#include <immintrin.h>

#include "detect/scan_isa.h"

namespace pit::detect {

namespace {

constexpr std::uint64_t low_bits(std::int64_t n) { return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1; }

// Shifts instead of pext, which takes hundreds of cycles on Zen 1 and 2, and which vectors do not have.
std::uint64_t halve(std::uint64_t x) {
  x = (x | x >> 1) & 0x5555555555555555;
  x = (x | x >> 1) & 0x3333333333333333;
  x = (x | x >> 2) & 0x0f0f0f0f0f0f0f0f;
  x = (x | x >> 4) & 0x00ff00ff00ff00ff;
  x = (x | x >> 8) & 0x0000ffff0000ffff;
  return (x | x >> 16) & 0x00000000ffffffff;
}

template <int Shift>
__m256i fold(__m256i x, long long mask) {
  return _mm256_and_si256(_mm256_or_si256(x, _mm256_srli_epi64(x, Shift)), _mm256_set1_epi64x(mask));
}

__m128i halve(__m256i x) {
  x = fold<1>(x, 0x5555555555555555);
  x = fold<1>(x, 0x3333333333333333);
  x = fold<2>(x, 0x0f0f0f0f0f0f0f0f);
  x = fold<4>(x, 0x00ff00ff00ff00ff);
  x = fold<8>(x, 0x0000ffff0000ffff);
  x = _mm256_or_si256(x, _mm256_srli_epi64(x, 16));  // the low half of each word
  return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
}

void join_pairs(const std::uint64_t* in, std::int64_t words, std::uint64_t* out) {
  std::int64_t i = 0;
  for (; i + 4 <= words; i += 4) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i / 2), halve(x));
  }
  for (; i + 2 <= words; i += 2) out[i / 2] = halve(in[i]) | halve(in[i + 1]) << 32;
  if (i < words) out[i / 2] = halve(in[i]);
}

// A byte is a group of 8.
void join_bytes(const std::uint64_t* in, std::int64_t words, std::uint64_t* out) {
  const auto live = [](__m256i x) -> std::uint64_t {
    return static_cast<std::uint32_t>(~_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_setzero_si256())));
  };
  std::int64_t i = 0;
  for (; i + 8 <= words; i += 8) {
    const auto* at = reinterpret_cast<const __m256i*>(in + i);
    const std::uint64_t low = live(_mm256_loadu_si256(at));
    out[i / 8] = low | live(_mm256_loadu_si256(at + 1)) << 32;
  }
  if (i == words) return;
  alignas(32) std::uint64_t rest[8] = {};
  for (std::int64_t j = i; j < words; ++j) rest[j - i] = in[j];
  const auto* at = reinterpret_cast<const __m256i*>(rest);
  out[i / 8] = live(_mm256_load_si256(at)) | live(_mm256_load_si256(at + 1)) << 32;
}

// Which of n <= 64 words are not zero.
std::uint64_t live_words(const std::uint64_t* in, std::int64_t n) {
  std::uint64_t live = 0;
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i));
    const int zeros = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(x, _mm256_setzero_si256())));
    live |= static_cast<std::uint64_t>(zeros ^ 15) << i;
  }
  for (; i < n; ++i) live |= static_cast<std::uint64_t>(in[i] != 0) << i;
  return live;
}

// A word is a group of 64.
void join_words(const std::uint64_t* in, std::int64_t words, std::uint64_t* out) {
  for (std::int64_t i = 0; i < words; i += 64) out[i / 64] = live_words(in + i, words - i < 64 ? words - i : 64);
}

// Bits appended to a row. It may be the row that they are read from: groups never overtake what they are made of.
class Appender {
 public:
  explicit Appender(std::uint64_t* out) : out_(out) {}
  void append(std::uint64_t bits, std::int64_t n) {
    word_ |= bits << filled_;
    if (filled_ + n >= 64) {
      *out_++ = word_;
      word_ = filled_ == 0 ? 0 : bits >> (64 - filled_);
    }
    filled_ = (filled_ + n) % 64;
  }
  void finish() {
    if (filled_ != 0) *out_ = word_;
  }

 private:
  std::uint64_t* out_;
  std::uint64_t word_ = 0;
  std::int64_t filled_ = 0;
};

// g < 64: every bit becomes the union of the g bits from it on (doubling the span), then those where groups begin are
// picked.
void join_few(const std::uint64_t* in, std::int64_t columns, std::int64_t g, std::uint64_t* out) {
  std::uint64_t begins = 0;
  for (std::int64_t i = 0; i < 64; i += g) begins |= std::uint64_t{1} << i;
  const std::int64_t words = (columns + 63) / 64;
  Appender to(out);
  std::int64_t phase = 0;  // of the word's first bit in its group
  const std::int64_t step = 64 % g;
  for (std::int64_t w = 0; w < words; ++w) {
    unsigned __int128 x = in[w];
    if (w + 1 < words) x |= static_cast<unsigned __int128>(in[w + 1]) << 64;
    std::int64_t span = 1;
    for (; 2 * span <= g; span *= 2) x |= x >> span;
    x |= x >> (g - span);
    const std::uint64_t picked = (begins << (phase == 0 ? 0 : g - phase)) & low_bits(columns - 64 * w);
    to.append(_pext_u64(static_cast<std::uint64_t>(x), picked), _mm_popcnt_u64(picked));
    phase = phase + step < g ? phase + step : phase + step - g;
  }
  to.finish();
}

bool any(const std::uint64_t* bits, std::int64_t from, std::int64_t to) {
  const std::int64_t first = from / 64, last = (to - 1) / 64;
  const std::uint64_t head = ~std::uint64_t{0} << from % 64, tail = low_bits((to - 1) % 64 + 1);
  if (first == last) return (bits[first] & head & tail) != 0;
  std::uint64_t all = (bits[first] & head) | (bits[last] & tail);
  for (std::int64_t w = first + 1; w < last; ++w) all |= bits[w];
  return all != 0;
}

void join_many(const std::uint64_t* in, std::int64_t columns, std::int64_t g, std::uint64_t* out) {
  Appender to(out);
  for (std::int64_t c = 0; c < columns; c += g) to.append(any(in, c, columns - c < g ? columns : c + g), 1);
  to.finish();
}

template <int Shift>
void exchange(__m256i& upper, __m256i& lower, std::uint64_t low_halves) {
  const __m256i mask = _mm256_set1_epi64x(static_cast<long long>(low_halves));
  const __m256i t = _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi64(upper, Shift), lower), mask);
  upper = _mm256_xor_si256(upper, _mm256_slli_epi64(t, Shift));
  lower = _mm256_xor_si256(lower, t);
}

// Words Shift apart are in vectors Shift / 4 apart.
template <int Shift>
void exchange_vectors(__m256i* v, std::uint64_t low_halves) {
  for (int i = 0; i < 16; ++i) {
    if ((i & Shift / 4) == 0) exchange<Shift>(v[i], v[i + Shift / 4], low_halves);
  }
}

// A block of 64 x 64 bits. Squares of 32, 16, ..., 1 bits: the upper right one changes places with the lower left one.
// The two last rounds, whose partners share a vector, take them apart into two first.
void transpose_words(__m256i* v, std::uint64_t* out) {
  exchange_vectors<32>(v, 0x00000000ffffffff);
  exchange_vectors<16>(v, 0x0000ffff0000ffff);
  exchange_vectors<8>(v, 0x00ff00ff00ff00ff);
  exchange_vectors<4>(v, 0x0f0f0f0f0f0f0f0f);
  for (int i = 0; i < 16; i += 2) {
    __m256i even = _mm256_permute2x128_si256(v[i], v[i + 1], 0x20),
            odd = _mm256_permute2x128_si256(v[i], v[i + 1], 0x31);
    exchange<2>(even, odd, 0x3333333333333333);
    const __m256i first = _mm256_permute2x128_si256(even, odd, 0x20),
                  second = _mm256_permute2x128_si256(even, odd, 0x31);
    even = _mm256_unpacklo_epi64(first, second), odd = _mm256_unpackhi_epi64(first, second);
    exchange<1>(even, odd, 0x5555555555555555);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 4 * i), _mm256_unpacklo_epi64(even, odd));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 4 * i + 4), _mm256_unpackhi_epi64(even, odd));
  }
}

}  // namespace

// Factors of 64, 8 and 2 first: they are cheap, and shorten the row for what is left.
void group_columns(std::uint64_t* bits, std::int64_t columns, std::int64_t g, std::uint64_t* out) {
  if (columns == 0) return;
  if (g > columns) g = columns;  // one group: no sums of positions and sizes that overflow
  if (g == 1 && out != bits) {
    for (std::int64_t w = 0; w < (columns + 63) / 64; ++w) out[w] = bits[w];
  }
  const auto shorten = [&](std::int64_t by) {
    g /= by;
    columns = (columns + by - 1) / by;
  };
  std::uint64_t* at = bits;
  const auto target = [&](std::int64_t by) { return g == by ? out : bits; };
  while (g % 64 == 0) {
    join_words(at, (columns + 63) / 64, target(64));
    shorten(64);
  }
  while (g % 8 == 0) {
    join_bytes(at, (columns + 63) / 64, target(8));
    shorten(8);
  }
  while (g % 2 == 0) {
    join_pairs(at, (columns + 63) / 64, target(2));
    shorten(2);
  }
  if (g > 64) join_many(at, columns, g, out);
  else if (g > 1) join_few(at, columns, g, out);
}

// Four words of each row at a time, so that a vector holds a word of four rows.
void transpose_blocks(const std::uint64_t* in, std::int64_t stride, std::uint64_t* out) {
  for (int half = 0; half < 2; ++half) {
    __m256i v[4][16];
    for (int i = 0; i < 16; ++i) {
      const auto row = [&](int r) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + (4 * i + r) * stride + 4 * half));
      };
      const __m256i a = row(0), b = row(1), c = row(2), d = row(3);
      const __m256i ab_even = _mm256_unpacklo_epi64(a, b), ab_odd = _mm256_unpackhi_epi64(a, b);
      const __m256i cd_even = _mm256_unpacklo_epi64(c, d), cd_odd = _mm256_unpackhi_epi64(c, d);
      v[0][i] = _mm256_permute2x128_si256(ab_even, cd_even, 0x20);
      v[1][i] = _mm256_permute2x128_si256(ab_odd, cd_odd, 0x20);
      v[2][i] = _mm256_permute2x128_si256(ab_even, cd_even, 0x31);
      v[3][i] = _mm256_permute2x128_si256(ab_odd, cd_odd, 0x31);
    }
    for (int k = 0; k < 4; ++k) transpose_words(v[k], out + 64 * (4 * half + k));
  }
}

}  // namespace pit::detect
