// Sampled results: per panel of B only the rows that somebody wants there (C.m). The rows of a tile differ from panel
// to panel, so A is read in place, through a pointer per row.
#include <algorithm>
#include <immintrin.h>
#include <vector>

#include "contract/live_k.h"

namespace pit::contract {
namespace {

class OutputBlock {
 public:
  OutputBlock(const Call& call, const Task& task)
      : call_(call),
        task_(task),
        map_(*call.live.c),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        kb_(call.schedule.blocks.k),
        runner_(call, Family::in_place, item_.b_number) {}

  void operator()() {
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; ++p) {
      find_rows(p);
      const std::int64_t tile = call_.kernels.rows(), rows = static_cast<std::int64_t>(a_rows_.size()),
                         whole = rows / tile * tile;
      for (std::int64_t k0 = 0; k0 == 0 || k0 < call_.problem.k; k0 += kb_) {
        if (whole > 0) run(p, k0, 0, tile, whole / tile);
        if (whole < rows) run(p, k0, whole, rows - whole, 1);
      }
    }
  }

 private:
  void find_rows(std::int64_t panel) {
    const Problem& p = call_.problem;
    const std::int64_t width = call_.b.panels.width(), first = panel * width, end = std::min(first + width, p.n);
    const std::int64_t from = first / map_.g_columns, to = (end - 1) / map_.g_columns;
    a_rows_.clear();
    c_rows_.clear();
    for (std::int64_t g = task_.begin / map_.g_rows; g * map_.g_rows < task_.end; ++g) {
      const std::int64_t row = item_.c_number * map_.row_groups() + g;
      bool any = false;
      for (std::int64_t c = from; c <= to && !any; ++c) any = map_.test(row, c);
      if (!any) continue;
      for (std::int64_t r = std::max(task_.begin, g * map_.g_rows); r < std::min(task_.end, (g + 1) * map_.g_rows);
           ++r) {
        a_rows_.push_back(const_cast<char*>(call_.a_row(item_, r)));
        c_rows_.push_back(call_.c_row(item_, r));
      }
    }
  }

  void run(std::int64_t panel, std::int64_t k0, std::int64_t row, std::int64_t rows, std::int64_t tiles) {
    MacroTile s;
    s.rows = static_cast<int>(rows), s.tiles = tiles;
    s.k_count = std::min(kb_, call_.problem.k - k0);
    s.b_shift = k0;
    s.a_rows = a_rows_.data() + row, s.a_step = k0 * call_.sizes().a, s.c_rows = c_rows_.data() + row;
    s.first = k0 == 0, s.last = k0 + kb_ >= call_.problem.k;
    runner_.run(s, panel, 1, panel * call_.panel_of_c());
  }

  const Call& call_;
  const Task& task_;
  const detect::LiveMap& map_;
  const Item& item_;
  std::int64_t kb_;
  MacroKernel runner_;
  std::vector<void*> a_rows_, c_rows_;
};

}  // namespace

void run_output(const Call& call) { run_rows_of_tiles<OutputBlock>(call); }

void mask_output(const Call& call) {
  const Problem& p = call.problem;
  const detect::LiveMap& map = *call.live.c;
  const ElementBits identity = call.identity();
  const std::int64_t groups = map.row_groups();
  const bool streaming = p.m * p.n * identity.size * static_cast<std::int64_t>(p.items.size()) >
                         static_cast<std::int64_t>(call.caches.l3 / 4);
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
