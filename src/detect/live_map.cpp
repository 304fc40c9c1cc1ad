// Live maps from what is known without looking at values, and maps from maps.
#include "detect/live_map.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "detect/scan_dispatch.h"
#include "support/check.h"

namespace pit::detect {

namespace {

void count_row(LiveMap& m, std::int64_t row) {
  std::int32_t n = 0;
  const std::int64_t words = m.words();
  const std::uint64_t* bits = m.row(row);
  for (std::int64_t w = 0; w < words; ++w) n += std::popcount(bits[w]);
  m.counts[static_cast<std::size_t>(row)] = n;
}

void sum_counts(LiveMap& m) { m.live = std::accumulate(m.counts.begin(), m.counts.end(), std::int64_t{0}); }

/// Room for these micro-tiles, of no particular liveness.
LiveMap shaped(std::int64_t batch, std::int64_t rows, std::int64_t columns, std::int64_t g_rows, std::int64_t g_columns,
               LiveMap reuse = {}) {
  PIT_CHECK(batch >= 0 && rows >= 0 && columns >= 0 && g_rows >= 1 && g_columns >= 1,
            "a live map of {} matrices of {} x {} in micro-tiles of {} x {}", batch, rows, columns, g_rows, g_columns);
  LiveMap m = std::move(reuse);
  m.batch = batch, m.rows = rows, m.columns = columns, m.g_rows = g_rows, m.g_columns = g_columns;
  m.live = 0;
  PIT_CHECK(m.column_groups() <= INT32_MAX, "a live map of {} columns of micro-tiles", m.column_groups());
  resize_for_overwrite(m.bits, static_cast<std::size_t>(batch * m.row_groups() * m.words()));
  resize_for_overwrite(m.counts, static_cast<std::size_t>(batch * m.row_groups()));
  return m;
}

/// Nothing is live: micro-tiles of one row.
LiveMap no_rows(std::int64_t batch, std::int64_t rows, std::int64_t columns) {
  LiveMap m = shaped(batch, rows, columns, 1, std::max<std::int64_t>(columns, 1));
  std::fill(m.bits.begin(), m.bits.end(), 0);
  std::fill(m.counts.begin(), m.counts.end(), 0);
  return m;
}

void set_row(LiveMap& m, std::int64_t batch_row) {
  std::int32_t& count = m.counts[static_cast<std::size_t>(batch_row)];
  if (count != 0 || m.columns == 0) return;
  count = 1;
  m.bits[static_cast<std::size_t>(batch_row)] = 1;
  ++m.live;
}

/// Up to 8 x 8 blocks of 64 x 64 bits of a map: where they begin (rows of the whole batch; words), and how many there
/// are.
struct Corner {
  std::int64_t row, word, rows, words;
};

// Whole lines are read and written: in a map whose rows are a power of two apart, words of a column are in few sets of
// a cache.
void transpose_square(const ScanKernels& kernels, const LiveMap& from, const Corner& in, LiveMap& to,
                      const Corner& out) {
  const std::int64_t from_words = from.words(), to_words = to.words();
  const std::uint64_t* row = from.row(in.row) + in.word;
  std::uint64_t blocks[8][8][64];
  for (std::int64_t w = 0; w < out.words; ++w, row += 64 * from_words) {
    const std::int64_t rows = std::min<std::int64_t>(64, in.rows - 64 * w);
    if (rows == 64 && in.words == 8) {
      kernels.transpose(row, from_words, blocks[w][0]);
    } else {
      std::uint64_t padded[64][8] = {};
      for (std::int64_t r = 0; r < rows; ++r) std::copy_n(row + r * from_words, in.words, padded[r]);
      kernels.transpose(padded[0], 8, blocks[w][0]);
    }
  }
  std::uint64_t* line = to.bits.data() + out.row * to_words + out.word;
  for (std::int64_t r = 0; r < out.rows; ++r, line += to_words) {
    const std::uint64_t* first = &blocks[0][r / 64][r % 64];
    if (out.words == 8)
      for (std::int64_t w = 0; w < 8; ++w) line[w] = first[512 * w];
    else
      for (std::int64_t w = 0; w < out.words; ++w) line[w] = first[512 * w];
  }
}

}  // namespace

LiveMap from_lengths(const std::vector<std::int64_t>& lengths, std::int64_t rows, std::int64_t columns) {
  LiveMap m = no_rows(static_cast<std::int64_t>(lengths.size()), rows, columns);
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    const std::int64_t first = static_cast<std::int64_t>(b) * rows;
    for (std::int64_t r = 0; r < std::clamp<std::int64_t>(lengths[b], 0, rows); ++r) set_row(m, first + r);
  }
  return m;
}

LiveMap from_rows(const std::vector<std::int64_t>& indices, std::int64_t rows, std::int64_t columns) {
  LiveMap m = no_rows(1, rows, columns);
  for (std::int64_t r : indices) {
    PIT_CHECK(r >= 0 && r < rows, "row {} of {}", r, rows);
    set_row(m, r);
  }
  return m;
}

LiveMap from_experts(const std::vector<std::int64_t>& experts, std::int64_t top_k, std::int64_t expert_count,
                     std::int64_t columns) {
  PIT_CHECK(top_k >= 1 && static_cast<std::int64_t>(experts.size()) % top_k == 0, "{} experts, {} per row",
            experts.size(), top_k);
  const std::int64_t rows = static_cast<std::int64_t>(experts.size()) / top_k;
  LiveMap m = no_rows(expert_count, rows, columns);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < top_k; ++i) {
      const std::int64_t e = experts[static_cast<std::size_t>(r * top_k + i)];
      PIT_CHECK(e < expert_count, "expert {} of {}", e, expert_count);
      if (e >= 0) set_row(m, e * rows + r);
    }
  }
  return m;
}

LiveMap full(std::int64_t batch, std::int64_t rows, std::int64_t columns, std::int64_t g_rows, std::int64_t g_columns) {
  LiveMap m = shaped(batch, rows, columns, g_rows, g_columns);
  const std::int64_t words = m.words(), rest = m.column_groups() % 64;
  std::fill(m.bits.begin(), m.bits.end(), ~std::uint64_t{0});
  if (rest != 0) {
    for (std::size_t w = static_cast<std::size_t>(words) - 1; w < m.bits.size(); w += static_cast<std::size_t>(words)) {
      m.bits[w] = (std::uint64_t{1} << rest) - 1;
    }
  }
  std::fill(m.counts.begin(), m.counts.end(), static_cast<std::int32_t>(m.column_groups()));
  m.live = m.total();
  return m;
}

LiveMap coarsen(const LiveMap& m, std::int64_t row_factor, std::int64_t column_factor) {
  PIT_CHECK(row_factor >= 1 && column_factor >= 1, "micro-tiles joined by {} x {}", row_factor, column_factor);
  PIT_CHECK(row_factor <= INT64_MAX / m.g_rows && column_factor <= INT64_MAX / m.g_columns,
            "micro-tiles of {} x {} joined by {} x {}", m.g_rows, m.g_columns, row_factor, column_factor);
  LiveMap c = shaped(m.batch, m.rows, m.columns, m.g_rows * row_factor, m.g_columns * column_factor);
  const ScanKernels& kernels = scan_kernels(ScanIsa::native);
  const std::int64_t fine = m.row_groups(), coarse = c.row_groups(), words = m.words();
  Buffer<std::uint64_t> united(static_cast<std::size_t>(words));
  for (std::int64_t b = 0; b < m.batch; ++b) {
    for (std::int64_t r = 0; r < coarse; ++r) {
      const std::int64_t first = r * row_factor, rows = std::min(row_factor, fine - first);
      std::copy_n(m.row(b * fine + first), words, united.data());
      for (std::int64_t i = 1; i < rows; ++i) {
        const std::uint64_t* row = m.row(b * fine + first + i);
        for (std::int64_t w = 0; w < words; ++w) united[static_cast<std::size_t>(w)] |= row[w];
      }
      kernels.group_columns(united.data(), m.column_groups(), column_factor,
                            c.bits.data() + (b * coarse + r) * c.words());
      count_row(c, b * coarse + r);
    }
  }
  sum_counts(c);
  return c;
}

LiveMap transposed(const LiveMap& m) { return transposed(m, ThreadPool(1)); }

LiveMap transposed(const LiveMap& m, const ThreadPool& pool, LiveMap reuse, ScanIsa isa) {
  PIT_CHECK(m.row_groups() <= INT32_MAX, "a live map of {} columns of micro-tiles", m.row_groups());
  LiveMap t = shaped(m.batch, m.columns, m.rows, m.g_columns, m.g_rows, std::move(reuse));
  const ScanKernels& kernels = scan_kernels(isa);
  const std::int64_t from = m.row_groups(), to = t.row_groups(), in_words = m.words(), out_words = t.words();
  const std::int64_t across = (in_words + 7) / 8, down = (out_words + 7) / 8;
  pool.parallel_for(m.batch * across * down, [&](std::int64_t task, int) {
    const std::int64_t b = task / (across * down), column = task / down % across * 8, row = task % down * 8;
    const Corner in{b * from + 64 * row, column, std::min<std::int64_t>(512, from - 64 * row),
                    std::min<std::int64_t>(8, in_words - column)};
    const Corner out{b * to + 64 * column, row, std::min<std::int64_t>(512, to - 64 * column),
                     std::min<std::int64_t>(8, out_words - row)};
    transpose_square(kernels, m, in, t, out);
  });
  constexpr std::int64_t rows_per_task = 1024;
  const std::int64_t rows = m.batch * to;
  pool.parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](std::int64_t task, int) {
    for (std::int64_t r = task * rows_per_task; r < std::min((task + 1) * rows_per_task, rows); ++r) count_row(t, r);
  });
  sum_counts(t);
  return t;
}

}  // namespace pit::detect
