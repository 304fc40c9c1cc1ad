// Live maps: which micro-tiles of a batch of matrices are live, found in one pass over values or made from masks,
// lengths, row lists and expert ids.
//
// A map is bits, one per micro-tile, row of micro-tiles after row of micro-tiles: 1/32 of a byte mask's traffic per f32
// element, unions and intersections by words, and counts by popcount. Lists of positions (what indexed loops walk) are
// expanded from it.
//
// Maps and lists are large and written once, so their memory is not cleared first (Buffer).
#pragma once

#include <cstdint>
#include <vector>

#include "detect/index_set.h"
#include "pit/tensor.h"
#include "support/buffer.h"
#include "support/cpu.h"
#include "support/threads.h"

namespace pit::detect {

/// Which back end of inner loops: all give the same maps. `native` is the one of $PIT_CPU or else of this machine.
enum class ScanIsa { native, avx2, avx512, avx512_vbmi2 };
/// The best one of this machine whose vectors are no wider than the target's.
ScanIsa scan_isa(const CpuTarget& target);

struct LiveMap {
  std::int64_t batch = 1, rows = 0, columns = 0;  ///< matrices, and their extents in elements
  std::int64_t g_rows = 1, g_columns = 1;         ///< micro-tile, in elements
  /// bit c % 64 of word (b * row_groups + r) * words + c / 64; bits from column_groups on are 0.
  Buffer<std::uint64_t> bits;
  Buffer<std::int32_t> counts;  ///< live micro-tiles per row of micro-tiles, [batch * row_groups]
  std::int64_t live = 0;        ///< sum of counts

  std::int64_t row_groups() const { return rows / g_rows + (rows % g_rows != 0); }
  std::int64_t column_groups() const { return columns / g_columns + (columns % g_columns != 0); }
  std::int64_t words() const { return (column_groups() + 63) / 64; }
  std::int64_t total() const { return batch * row_groups() * column_groups(); }
  double fraction() const { return total() == 0 ? 1.0 : static_cast<double>(live) / static_cast<double>(total()); }
  const std::uint64_t* row(std::int64_t batch_row) const { return bits.data() + batch_row * words(); }
  bool test(std::int64_t batch_row, std::int64_t column) const {
    return row(batch_row)[column / 64] >> (column % 64) & 1;
  }
};

/// A batch of f32 or f64 (or, one byte each, boolean) matrices in memory. Strides in elements.
struct Values {
  const void* data = nullptr;
  DType dtype = DType::f32;                       ///< f32, f64 or b8
  std::vector<std::int64_t> batch_offsets = {0};  ///< where each matrix begins, in elements
  std::int64_t rows = 0, columns = 0, row_stride = 0, column_stride = 1;
};

/// Live micro-tiles: those with an element that differs from `absent` (NaN differs from everything, -0 does not differ
/// from +0; booleans differ by their truth). One vectorised pass at memory bandwidth when columns (or rows) are
/// consecutive. Any extents, any strides (64 bit), any granularity. `reuse` is a map that is no longer needed: its
/// memory serves again if it is large enough, which saves page faults.
LiveMap scan(const Values& values, std::int64_t g_rows, std::int64_t g_columns, double absent, const ThreadPool& pool,
             LiveMap reuse = {}, ScanIsa isa = ScanIsa::native);

/// The share of live micro-tiles among about `samples` rows of micro-tiles (columns, where those are consecutive in
/// memory), spread over the matrices: a first impression (deterministic).
double sample_fraction(const Values& values, std::int64_t g_rows, std::int64_t g_columns, double absent,
                       std::int64_t samples, ScanIsa isa = ScanIsa::native);

/// From a byte per micro-tile ([batch, row groups, column groups], strides in bytes; non-zero is live).
LiveMap from_bytes(const std::uint8_t* mask, const std::vector<std::int64_t>& batch_offsets, std::int64_t row_stride,
                   std::int64_t column_stride, std::int64_t rows, std::int64_t columns, std::int64_t g_rows,
                   std::int64_t g_columns, const ThreadPool& pool);
/// The first lengths[b] rows (clamped to 0..rows), micro-tiles of 1 x columns.
LiveMap from_lengths(const std::vector<std::int64_t>& lengths, std::int64_t rows, std::int64_t columns);
/// These rows of one matrix (in range; any order, duplicates allowed), micro-tiles of 1 x columns.
LiveMap from_rows(const std::vector<std::int64_t>& indices, std::int64_t rows, std::int64_t columns);
/// experts[row * top_k + i] in -1 .. expert_count: matrix e has the rows that go to expert e, micro-tiles of 1 x
/// columns.
LiveMap from_experts(const std::vector<std::int64_t>& experts, std::int64_t top_k, std::int64_t expert_count,
                     std::int64_t columns);
/// Everything is live.
LiveMap full(std::int64_t batch, std::int64_t rows, std::int64_t columns, std::int64_t g_rows, std::int64_t g_columns);

/// The map with micro-tiles `row_factor` times as high and `column_factor` times as wide: live where any of the smaller
/// ones is.
LiveMap coarsen(const LiveMap& m, std::int64_t row_factor, std::int64_t column_factor);
/// Rows and columns exchanged.
LiveMap transposed(const LiveMap& m);
LiveMap transposed(const LiveMap& m, const ThreadPool& pool, LiveMap reuse = {}, ScanIsa isa = ScanIsa::native);

/// Positions in ascending order: one list per row of micro-tiles (outer = batch * row_groups). Expanded eight bits or
/// more at a time; rows in parallel, because their counts say where each list begins. `reuse` as above.
IndexSet lists(const LiveMap& m, const ThreadPool& pool, IndexSet reuse = {}, ScanIsa isa = ScanIsa::native);
/// The same of one row of `words` words into `out`: base + position * scale. Returns the count; entries up to 16 behind
/// it are overwritten. What walks each list once does better to expand it here, into a buffer that stays in cache, than
/// to send lists through memory.
std::int64_t expand(const std::uint64_t* row, std::int64_t words, std::int32_t base, std::int32_t scale,
                    std::int32_t* out, ScanIsa isa = ScanIsa::native);

}  // namespace pit::detect
