// From maps to lists of positions.
#include <algorithm>
#include <bit>
#include <utility>

#include "detect/live_map.h"
#include "detect/scan_dispatch.h"
#include "detect/scan_isa.h"
#include "support/check.h"

namespace pit::detect {

namespace {

constexpr std::int64_t kPadding = 16;       // IndexSet's readable entries behind the end
constexpr std::int64_t kBlockWords = 4096;  // of a map per task
std::int64_t count_bits(const std::uint64_t* row, std::int64_t words) {
  std::int64_t n = 0;
  for (std::int64_t w = 0; w < words; ++w) n += std::popcount(row[w]);
  return n;
}

// `expand` writes behind the end, and another thread's list may begin there: pieces of the row through a buffer.
void expand_exactly(const ScanKernels& kernels, const std::uint64_t* row, std::int64_t words, std::int32_t* out) {
  constexpr std::int64_t piece = 16;
  std::int32_t buffer[64 * piece + kExpandSlack];
  for (std::int64_t w = 0; w < words; w += piece) {
    const std::int64_t n = std::min(piece, words - w), live = count_bits(row + w, n);
    kernels.expand(row + w, n, live, static_cast<std::int32_t>(64 * w), 1, buffer);
    out = std::copy_n(buffer, live, out);
  }
}

// The lists of rows first .. last of micro-tiles. Plain stores: streaming ones, past the caches, were measured to be
// slower even where the lists are as large as the caches, because they wait for memory where plain ones let expansion
// go on.
void expand_rows(const ScanKernels& kernels, const LiveMap& m, std::int64_t first, std::int64_t last, IndexSet& s) {
  const auto offset = [&](std::int64_t row) { return s.offset[static_cast<std::size_t>(row)]; };
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t live = offset(row + 1) - offset(row);
    std::int32_t* out = s.index.data() + offset(row);
    // Later rows of this task overwrite what one writes behind its end.
    if (offset(row + 1) + kExpandSlack <= offset(last)) kernels.expand(m.row(row), m.words(), live, 0, 1, out);
    else if (live != 0) expand_exactly(kernels, m.row(row), m.words(), out);
  }
}

}  // namespace

IndexSet lists(const LiveMap& m, const ThreadPool& pool, IndexSet reuse, ScanIsa isa) {
  IndexSet s = std::move(reuse);
  s.outer = m.batch * m.row_groups();
  s.extent = m.column_groups();
  PIT_CHECK(s.extent <= INT32_MAX, "an index set over {} positions", s.extent);
  s.all = m.live == s.outer * s.extent;
  s.offset.resize(static_cast<std::size_t>(s.outer) + 1);
  s.offset[0] = 0;
  for (std::size_t o = 0; o < static_cast<std::size_t>(s.outer); ++o) s.offset[o + 1] = s.offset[o] + m.counts[o];
  resize_for_overwrite(s.index, static_cast<std::size_t>(m.live + kPadding));
  std::fill_n(s.index.end() - kPadding, kPadding, 0);

  const ScanKernels& kernels = scan_kernels(isa);
  const std::int64_t block = std::max<std::int64_t>(kBlockWords / std::max<std::int64_t>(m.words(), 1), 1);
  pool.parallel_for((s.outer + block - 1) / block, [&](std::int64_t task, int) {
    expand_rows(kernels, m, task * block, std::min((task + 1) * block, s.outer), s);
  });
  return s;
}

std::int64_t expand(const std::uint64_t* row, std::int64_t words, std::int32_t base, std::int32_t scale,
                    std::int32_t* out, ScanIsa isa) {
  const std::int64_t live = count_bits(row, words);
  scan_kernels(isa).expand(row, words, live, base, scale, out);
  return live;
}

}  // namespace pit::detect
