// From maps to lists of positions.
#include <algorithm>
#include <cstring>

#include "detect/live_map.h"
#include "detect/scan_rooms.h"
#include "support/check.h"

namespace pit::detect {

namespace {

constexpr std::int64_t padding = 16;        // IndexSet's readable entries behind the end
constexpr std::int64_t block_words = 4096;  // of a map per task

// A row whose list ends where another thread's begins: `expand` writes behind the end, so it writes into a buffer.
void expand_exactly(const ScanKernels& kernels, const std::uint64_t* row, std::int64_t words, std::int32_t* out) {
  constexpr std::int64_t piece = 16;
  std::int32_t buffer[64 * piece + expand_slack];
  for (std::int64_t w = 0; w < words; w += piece) {
    const std::int64_t n =
        kernels.expand(row + w, std::min(piece, words - w), static_cast<std::int32_t>(64 * w), 1, buffer);
    std::memcpy(out, buffer, static_cast<std::size_t>(n) * sizeof *out);
    out += n;
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
  resize_for_overwrite(s.index, static_cast<std::size_t>(m.live + padding));
  std::fill_n(s.index.end() - padding, padding, 0);

  const ScanKernels& kernels = scan_kernels(isa);
  const std::int64_t words = m.words(),
                     block = std::max<std::int64_t>(block_words / std::max<std::int64_t>(words, 1), 1);
  pool.parallel_for((s.outer + block - 1) / block, [&](std::int64_t task, int) {
    const std::int64_t first = task * block, last = std::min(first + block, s.outer);
    const std::int64_t end = s.offset[static_cast<std::size_t>(last)];
    for (std::int64_t o = first; o < last; ++o) {
      if (m.counts[static_cast<std::size_t>(o)] == 0) continue;
      std::int32_t* out = s.index.data() + s.offset[static_cast<std::size_t>(o)];
      // Later rows of this task overwrite what one writes behind its end.
      if (s.offset[static_cast<std::size_t>(o) + 1] + expand_slack <= end) kernels.expand(m.row(o), words, 0, 1, out);
      else expand_exactly(kernels, m.row(o), words, out);
    }
  });
  return s;
}

std::int64_t expand(const std::uint64_t* row, std::int64_t words, std::int32_t base, std::int32_t scale,
                    std::int32_t* out, ScanIsa isa) {
  return scan_kernels(isa).expand(row, words, base, scale, out);
}

}  // namespace pit::detect
