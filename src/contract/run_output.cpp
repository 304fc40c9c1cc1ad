// Sampled results: per panel of B only the rows that somebody wants there (C.m). The rows of a tile differ from panel
// to panel, so A is read in place, through a pointer per row.
#include <algorithm>
#include <immintrin.h>
#include <vector>

#include "contract/walk.h"

namespace pit::contract {
namespace {

class OutputBlock : Walk {
 public:
  OutputBlock(const Call& call, const Task& task) : Walk(call, task, Family::in_place), map_(*call.live.c) {}

  void operator()() {
    const std::int64_t k = call_.problem.k;
    over_panels([&](std::int64_t p, int count) {
      find_rows(p);
      for (std::int64_t k0 = 0; k0 < k; k0 += blocks_.k)
        over_tiles(static_cast<std::int64_t>(a_rows_.size()),
                   [&](std::int64_t row, std::int64_t height, std::int64_t tiles) {
                     MacroTile s = macro_tile(nullptr, 0, row, height, tiles, c_rows_.data());
                     s.a_rows = a_rows_.data() + row, s.a_step = k0 * size_, s.b_shift = k0, s.next = 0;
                     s.k_count = std::min(blocks_.k, k - k0), s.first = k0 == 0, s.last = k0 + blocks_.k >= k;
                     run(s, p, count);
                   });
    });
  }

 private:
  void find_rows(std::int64_t panel) {
    const std::int64_t width = call_.b.panels.width(), first = panel * width,
                       end = std::min(first + width, call_.problem.n);
    const std::int64_t from = first / map_.g_columns, to = (end - 1) / map_.g_columns;
    a_rows_.clear();
    c_rows_.clear();
    for (std::int64_t g = begin_ / map_.g_rows; g * map_.g_rows < begin_ + rows_; ++g) {
      const std::int64_t row = item_.c_number * map_.row_groups() + g;
      bool any = false;
      for (std::int64_t c = from; c <= to && !any; ++c) any = map_.test(row, c);
      if (!any) continue;
      const std::int64_t last = std::min(rows_, (g + 1) * map_.g_rows - begin_);
      for (std::int64_t i = std::max<std::int64_t>(0, g * map_.g_rows - begin_); i < last; ++i) {
        a_rows_.push_back(const_cast<char*>(a_row(i)));
        c_rows_.push_back(c_row(i));
      }
    }
  }

  const detect::LiveMap& map_;
  std::vector<void*> a_rows_, c_rows_;
};

}  // namespace

void run_output(const Call& call) { run_rows_of_tiles<OutputBlock>(call); }

void mask_output(const Call& call) {
  const Problem& p = call.problem;
  const detect::LiveMap& map = *call.live.c;
  const ElementBits identity = call.identity();
  const std::int64_t groups = map.row_groups();
  const bool streaming = call.schedule.blocks.streams_dead;
  call.pool.parallel_for(static_cast<std::int64_t>(p.items.size()) * groups, [&](std::int64_t t, int) {
    const Item& item = p.items[static_cast<std::size_t>(t / groups)];
    const std::int64_t g = t % groups, row = item.c_number * groups + g;
    for (std::int64_t c = 0; c < map.column_groups();) {
      if (map.test(row, c)) {
        ++c;
        continue;
      }
      std::int64_t end = c;
      while (end < map.column_groups() && !map.test(row, end)) ++end;
      const std::int64_t first = c * map.g_columns, last = std::min(end * map.g_columns, p.n);
      for (std::int64_t r = g * map.g_rows; r < std::min((g + 1) * map.g_rows, p.m); ++r)
        fill(call.c_row(item, r) + first * identity.size, last - first, identity, streaming);
      c = end;
    }
    if (streaming) _mm_sfence();
  });
}

}  // namespace pit::contract
