// Dense to CSR and BSR as a careful user of a sparse library would write it: two passes over the rows, vector compares,
// and only live values are touched one by one. Shared by the peers that have no fast conversion of their own.
#pragma once

#include <cstdint>
#include <immintrin.h>
#include <vector>

namespace bench {

template <class Int>
struct Csr {
  std::vector<Int> offsets, columns;
  std::vector<float> values;
};

inline std::uint32_t live_bits(const float* p, std::int64_t count) {  // count <= 8
  if (count == 8)
    return std::uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(p), _mm256_setzero_ps(), _CMP_NEQ_UQ)));
  std::uint32_t bits = 0;
  for (std::int64_t i = 0; i < count; ++i) bits |= std::uint32_t(p[i] != 0.0f) << i;
  return bits;
}

template <class Int>
void to_csr(const float* a, std::int64_t rows, std::int64_t columns, Csr<Int>& out) {
  out.offsets.resize(std::size_t(rows) + 1);
  out.offsets[0] = 0;
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < rows; ++r) {
    Int live = 0;
    for (std::int64_t c = 0; c < columns; c += 8)
      live += Int(__builtin_popcount(live_bits(a + r * columns + c, columns - c < 8 ? columns - c : 8)));
    out.offsets[std::size_t(r) + 1] = live;
  }
  for (std::int64_t r = 0; r < rows; ++r) out.offsets[std::size_t(r) + 1] += out.offsets[std::size_t(r)];
  const std::size_t live = std::size_t(out.offsets[std::size_t(rows)]);
  if (out.columns.size() < live) {  // grows only: fresh memory for every call would be charged to the peer
    out.columns.resize(live + live / 16);
    out.values.resize(live + live / 16);
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < rows; ++r) {
    std::size_t at = std::size_t(out.offsets[std::size_t(r)]);
    const float* row = a + r * columns;
    for (std::int64_t c = 0; c < columns; c += 8)
      for (std::uint32_t bits = live_bits(row + c, columns - c < 8 ? columns - c : 8); bits; bits &= bits - 1, ++at) {
        const std::int64_t column = c + __builtin_ctz(bits);
        out.columns[at] = Int(column);
        out.values[at] = row[column];
      }
  }
}

/// Which blocks of `height x width` hold a non-zero; extents must be multiples.
inline void live_blocks(const float* a, std::int64_t rows, std::int64_t columns, std::int64_t height,
                        std::int64_t width, std::vector<std::uint8_t>& live) {
  const std::int64_t across = columns / width;
  live.assign(std::size_t(rows / height * across), 0);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < rows / height; ++i) {
    std::uint8_t* flags = live.data() + i * across;
    for (std::int64_t r = i * height; r < (i + 1) * height; ++r) {
      const float* row = a + r * columns;
      if (width == 1) {
        for (std::int64_t c = 0; c < columns; ++c) flags[c] |= row[c] != 0.0f;
      } else {
        for (std::int64_t j = 0; j < across; ++j)
          for (std::int64_t c = 0; c < width && !flags[j]; c += 8)
            flags[j] = live_bits(row + j * width + c, width - c < 8 ? width - c : 8) != 0;
      }
    }
  }
}

}  // namespace bench
