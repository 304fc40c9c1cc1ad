// The scan: from values to live maps, blocks of rows of micro-tiles over threads.
//
// Elements are read in the order of memory, row by row, and fetched some KiB ahead (scan_passes.h). The comparisons of
// all rows of a micro-tile are united in a row of bits, one per column, which stays in L1. Walking a micro-tile at a
// time instead would touch as many pages as it has rows for every 64 bytes of each.
#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "detect/live_map.h"
#include "detect/scan_dispatch.h"
#include "detect/scan_isa.h"
#include "support/check.h"

namespace pit::detect {

namespace {

// Of values per task. Small ones balance threads; large ones fetch less of what other threads read, and lose less time
// where a stream begins.
constexpr std::int64_t kLeastTask = 256 << 10, kMostTask = 1 << 20;
constexpr std::int64_t kScratchWords = 1024;  // of bits per column before columns are grouped: a part of L1

/// The columns of a map's matrices may be the columns of memory or its rows; here they are those of memory.
struct Matrices {
  const char* data;
  bool f32, f64;
  const std::vector<std::int64_t>* offsets;
  std::int64_t rows, columns, row_stride, column_stride;
  std::int64_t g_rows, g_columns;
  float absent;
  double wide_absent;  ///< f64

  std::int64_t element() const { return f64 ? 8 : f32 ? 4 : 1; }
};

Matrices swapped(Matrices m) {
  std::swap(m.rows, m.columns);
  std::swap(m.row_stride, m.column_stride);
  std::swap(m.g_rows, m.g_columns);
  return m;
}

// Rows of memory are long runs of consecutive elements. A stride along an extent of 1 says nothing.
bool transposed_in_memory(const Values& v) {
  if (v.rows <= 1 || (v.column_stride == 1 && v.columns > 1)) return false;
  return v.row_stride == 1;
}

Matrices matrices_of(const Values& v, std::int64_t g_rows, std::int64_t g_columns, double absent) {
  PIT_CHECK(v.dtype == DType::f32 || v.dtype == DType::f64 || v.dtype == DType::b8, "a scan of {}", name_of(v.dtype));
  PIT_CHECK(g_rows >= 1 && g_columns >= 1, "micro-tiles of {} x {}", g_rows, g_columns);
  PIT_CHECK(v.rows >= 0 && v.columns >= 0, "matrices of {} x {}", v.rows, v.columns);
  Matrices m{static_cast<const char*>(v.data),
             v.dtype == DType::f32,
             v.dtype == DType::f64,
             &v.batch_offsets,
             v.rows,
             v.columns,
             v.row_stride,
             v.column_stride,
             g_rows,
             g_columns,
             static_cast<float>(absent),
             absent};
  if (m.columns == 1) m.column_stride = 1;
  return m;
}

std::int32_t count_bits(const std::uint64_t* row, std::int64_t words) {
  std::int32_t n = 0;
  for (std::int64_t w = 0; w < words; ++w) n += std::popcount(row[w]);
  return n;
}

class Scanner {
 public:
  Scanner(const Matrices& m, const ScanKernels& kernels) : m_(m), kernels_(kernels) {}

  std::int64_t column_words() const { return (m_.columns + 63) / 64; }

  /// Rows of elements of a matrix into rows of bits (column_words() each), `height` of them united in one: whether an
  /// element of the column differs from absent.
  void columns(std::int64_t batch, std::int64_t first, std::int64_t rows, std::int64_t height,
               std::uint64_t* out) const {
    const std::int64_t at = (*m_.offsets)[static_cast<std::size_t>(batch)] + first * m_.row_stride;
    if (m_.column_stride != 1 || m_.f64) strided(at, rows, height, out);
    else if (m_.f32) kernels_.rows_f32(f32() + at, m_.row_stride, rows, m_.columns, height, m_.absent, out);
    else kernels_.rows_b8(b8() + at, m_.row_stride, rows, m_.columns, height, m_.absent != 0, out);
  }

  /// `count` rows of micro-tiles of one matrix; `scratch`: column_words() for each, where columns are grouped.
  void tiles(std::int64_t batch, std::int64_t first, std::int64_t count, std::uint64_t* scratch,
             std::uint64_t* out) const {
    const std::int64_t from = first * m_.g_rows, words = column_words(), height = std::min(m_.g_rows, m_.rows);
    const std::int64_t rows = std::min(count * height, m_.rows - from);
    if (m_.g_columns == 1) return columns(batch, from, rows, height, out);
    columns(batch, from, rows, height, scratch);
    const std::int64_t out_words = ((m_.columns - 1) / m_.g_columns + 64) / 64;
    for (std::int64_t i = 0; i < count; ++i)
      kernels_.group_columns(scratch + i * words, m_.columns, m_.g_columns, out + i * out_words);
  }

  /// Rows first .. last of micro-tiles of the map.
  void block(std::int64_t first, std::int64_t last, LiveMap& map) const {
    const std::int64_t groups = map.row_groups(), words = map.words(), from_words = column_words();
    const bool grouped = m_.g_columns != 1;
    const std::int64_t most = grouped ? std::max<std::int64_t>(kScratchWords / from_words, 1) : last - first;
    Buffer<std::uint64_t> scratch(static_cast<std::size_t>(grouped ? std::min(most, last - first) * from_words : 0));
    for (std::int64_t r = first; r < last;) {
      const std::int64_t in_matrix = r % groups, count = std::min({groups - in_matrix, last - r, most});
      tiles(r / groups, in_matrix, count, scratch.data(), map.bits.data() + r * words);
      r += count;
    }
    for (std::int64_t r = first; r < last; ++r) map.counts[static_cast<std::size_t>(r)] = count_bits(map.row(r), words);
  }

 private:
  const float* f32() const { return reinterpret_cast<const float*>(m_.data); }
  const double* f64() const { return reinterpret_cast<const double*>(m_.data); }
  const std::uint8_t* b8() const { return reinterpret_cast<const std::uint8_t*>(m_.data); }

  // Neither rows nor columns are consecutive: pieces of rows are gathered first. So are truths about f64, of which there
  // is no vectorised pass.
  void strided(std::int64_t at, std::int64_t rows, std::int64_t height, std::uint64_t* out) const {
    constexpr std::int64_t piece = 1024;
    float values[piece];
    std::uint8_t bytes[piece];
    std::uint64_t bits[piece / 64];
    for (std::int64_t r = 0; r < rows; ++r) {
      std::uint64_t* to = out + r / height * column_words();
      if (r % height == 0) std::fill_n(to, column_words(), 0);
      for (std::int64_t c = 0; c < m_.columns; c += piece) {
        const std::int64_t n = std::min(piece, m_.columns - c), from = at + r * m_.row_stride + c * m_.column_stride;
        if (m_.f32) {
          for (std::int64_t i = 0; i < n; ++i) values[i] = f32()[from + i * m_.column_stride];
          kernels_.rows_f32(values, 0, 1, n, 1, m_.absent, bits);
        } else if (m_.f64) {
          for (std::int64_t i = 0; i < n; ++i) bytes[i] = f64()[from + i * m_.column_stride] != m_.wide_absent;
          kernels_.rows_b8(bytes, 0, 1, n, 1, false, bits);
        } else {
          for (std::int64_t i = 0; i < n; ++i) bytes[i] = b8()[from + i * m_.column_stride];
          kernels_.rows_b8(bytes, 0, 1, n, 1, m_.absent != 0, bits);
        }
        for (std::int64_t w = 0; w < (n + 63) / 64; ++w) to[c / 64 + w] |= bits[w];
      }
    }
  }

  const Matrices& m_;
  const ScanKernels& kernels_;
};

/// Fewer rows of micro-tiles than threads (high micro-tiles): each is cut into `parts` of its rows, whose columns are
/// united afterwards.
void scan_in_parts(const Matrices& m, const Scanner& scanner, std::int64_t parts, const ScanKernels& kernels,
                   const ThreadPool& pool, LiveMap& map) {
  const std::int64_t groups = map.row_groups(), words = scanner.column_words();
  const std::int64_t height = (std::min(m.g_rows, m.rows) + parts - 1) / parts;
  Buffer<std::uint64_t> columns(static_cast<std::size_t>(map.batch * groups * parts * words));
  pool.parallel_for(map.batch * groups * parts, [&](std::int64_t task, int) {
    const std::int64_t row = task / parts, first = row % groups * m.g_rows;
    const std::int64_t end = first + std::min(m.g_rows, m.rows - first);
    const std::int64_t from = std::min(first + task % parts * height, end), to = std::min(from + height, end);
    std::uint64_t* out = columns.data() + task * words;
    if (from == to) std::fill_n(out, words, 0);
    else scanner.columns(row / groups, from, to - from, to - from, out);
  });
  for (std::int64_t row = 0; row < map.batch * groups; ++row) {
    std::uint64_t* all = columns.data() + row * parts * words;
    for (std::int64_t i = words; i < parts * words; ++i) all[i % words] |= all[i];
    std::uint64_t* out = map.bits.data() + row * map.words();
    kernels.group_columns(all, m.columns, m.g_columns, out);
    map.counts[static_cast<std::size_t>(row)] = count_bits(out, map.words());
  }
}

LiveMap scan_rows(const Matrices& m, const ScanKernels& kernels, const ThreadPool& pool, LiveMap reuse) {
  LiveMap map = std::move(reuse);
  map.batch = static_cast<std::int64_t>(m.offsets->size());
  map.rows = m.rows, map.columns = m.columns, map.g_rows = m.g_rows, map.g_columns = m.g_columns;
  PIT_CHECK(map.column_groups() <= INT32_MAX, "a live map of {} columns of micro-tiles", map.column_groups());
  const std::int64_t groups = map.row_groups(), rows = map.batch * groups, words = map.words();
  resize_for_overwrite(map.bits, static_cast<std::size_t>(rows * words));
  resize_for_overwrite(map.counts, static_cast<std::size_t>(rows));
  if (map.total() == 0) {
    std::fill(map.counts.begin(), map.counts.end(), 0);
    map.live = 0;
    return map;
  }
  const Scanner scanner(m, kernels);
  const std::int64_t row_bytes = std::max<std::int64_t>(std::min(m.g_rows, m.rows) * m.columns * m.element(), 1);
  const std::int64_t tasks = 4 * static_cast<std::int64_t>(pool.size());  // or more
  const std::int64_t wanted = std::min(tasks, rows * row_bytes / kLeastTask);
  if (pool.size() > 1 && rows < wanted && m.g_rows > 1) {
    const std::int64_t parts = std::min((wanted + rows - 1) / rows, std::min(m.g_rows, m.rows));
    scan_in_parts(m, scanner, parts, kernels, pool, map);
  } else {
    const std::int64_t bytes = std::clamp(rows * row_bytes / tasks, kLeastTask, kMostTask);
    const std::int64_t block = std::clamp<std::int64_t>(bytes / row_bytes, 1, rows);
    pool.parallel_for((rows + block - 1) / block, [&](std::int64_t task, int) {
      scanner.block(task * block, std::min((task + 1) * block, rows), map);
    });
  }
  map.live = std::accumulate(map.counts.begin(), map.counts.end(), std::int64_t{0});
  return map;
}

// Where in stratum i of `strata` over n: pseudo-random, so that a pattern with a period does not meet the samples' own.
std::int64_t sample_at(std::int64_t i, std::int64_t strata, std::int64_t n) {
  const std::int64_t from = n / strata * i + n % strata * i / strata;
  const std::int64_t to = n / strata * (i + 1) + n % strata * (i + 1) / strata;
  std::uint64_t x = static_cast<std::uint64_t>(i) + 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return from + static_cast<std::int64_t>((x ^ x >> 31) % static_cast<std::uint64_t>(to - from));
}

}  // namespace

ScanIsa scan_isa(const CpuTarget& target) {
  static const bool vbmi2 = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vbmi2") != 0;
  }();
  if (target.vector_bytes < 64) return ScanIsa::avx2;
  return vbmi2 ? ScanIsa::avx512_vbmi2 : ScanIsa::avx512;
}

const ScanKernels& scan_kernels(ScanIsa isa) {
  // Once per process: asking costs more than a small scan. Back ends differ in speed only, so a change of $PIT_CPU
  // loses nothing.
  static const ScanIsa native = scan_isa(cpu_target());
  static const ScanKernels vbmi2 = [] {
    ScanKernels kernels = scan_avx512;
    kernels.expand = expand_avx512_vbmi2;
    return kernels;
  }();
  switch (isa == ScanIsa::native ? native : isa) {
    case ScanIsa::avx512_vbmi2: return vbmi2;
    case ScanIsa::avx512: return scan_avx512;
    default: return scan_avx2;
  }
}

LiveMap scan(const Values& values, std::int64_t g_rows, std::int64_t g_columns, double absent, const ThreadPool& pool,
             LiveMap reuse, ScanIsa isa) {
  const Matrices m = matrices_of(values, g_rows, g_columns, absent);
  const ScanKernels& kernels = scan_kernels(isa);
  if (!transposed_in_memory(values)) return scan_rows(m, kernels, pool, std::move(reuse));
  return transposed(scan_rows(swapped(m), kernels, pool, {}), pool, std::move(reuse), isa);
}

double sample_fraction(const Values& values, std::int64_t g_rows, std::int64_t g_columns, double absent,
                       std::int64_t samples, ScanIsa isa) {
  Matrices m = matrices_of(values, g_rows, g_columns, absent);
  if (transposed_in_memory(values)) m = swapped(m);
  LiveMap shape;
  shape.batch = static_cast<std::int64_t>(m.offsets->size());
  shape.rows = m.rows, shape.columns = m.columns, shape.g_rows = m.g_rows, shape.g_columns = m.g_columns;
  if (shape.total() == 0) return 1.0;
  const std::int64_t groups = shape.row_groups(), rows = shape.batch * groups;
  const std::int64_t strata = std::clamp<std::int64_t>(samples, 1, rows);
  const Scanner scanner(m, scan_kernels(isa));
  Buffer<std::uint64_t> scratch(static_cast<std::size_t>(scanner.column_words()));
  Buffer<std::uint64_t> out(static_cast<std::size_t>(shape.words()));
  std::int64_t live = 0;
  for (std::int64_t i = 0; i < strata; ++i) {
    const std::int64_t row = sample_at(i, strata, rows);
    scanner.tiles(row / groups, row % groups, 1, scratch.data(), out.data());
    live += count_bits(out.data(), shape.words());
  }
  return static_cast<double>(live) / static_cast<double>(strata * shape.column_groups());
}

LiveMap from_bytes(const std::uint8_t* mask, const std::vector<std::int64_t>& batch_offsets, std::int64_t row_stride,
                   std::int64_t column_stride, std::int64_t rows, std::int64_t columns, std::int64_t g_rows,
                   std::int64_t g_columns, const ThreadPool& pool) {
  LiveMap shape;
  shape.rows = rows, shape.columns = columns, shape.g_rows = g_rows, shape.g_columns = g_columns;
  const Values bytes{mask,       DType::b8,    batch_offsets, shape.row_groups(), shape.column_groups(),
                     row_stride, column_stride};
  LiveMap map = scan(bytes, 1, 1, 0.0f, pool);
  map.rows = rows, map.columns = columns, map.g_rows = g_rows, map.g_columns = g_columns;
  return map;
}

}  // namespace pit::detect
