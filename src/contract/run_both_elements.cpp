// The both rule where A's micro-tiles are single elements (or two): each row of A and panel of B have terms of their own, the meet of two rows of
// bits. Where B's micro-tiles leave little, these are so few that finding them costs as much as multiplying; so they are found word by word, with
// A's elements picked as they lie, and all rows of a block walk theirs in one call of a ragged tile.
#include <algorithm>
#include <bit>
#include <vector>

#include "contract/blocking.h"
#include "contract/terms.h"

namespace pit::contract {
namespace {

class BothElementsBlock {
 public:
  BothElementsBlock(const Call& call, const Task& task, const detect::LiveMap& map, int together)
      : call_(call), task_(task), map_(map), item_(call.problem.items[static_cast<std::size_t>(task.item)]), together_(together),
        first_row_(task.begin * map.g_rows), rows_(std::min(task.end * map.g_rows, call.problem.m) - first_row_), groups_(task.end - task.begin),
        whole_(rows_ / map.g_rows), panel_bytes_(static_cast<std::int32_t>(call.b.panels.width() * 4)), runner_(call, Family::ragged, item_.b_number) {}

  void operator()() {
    allocate();
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; p += together_) {
      const int count = static_cast<int>(std::min<std::int64_t>(together_, task_.last_panel - p));
      join_panels(p, count);
      // A last group of fewer rows is a strip of its own.
      run(0, whole_, map_.g_rows, p, count);
      if (whole_ < groups_) run(whole_, groups_, rows_ - whole_ * map_.g_rows, p, count);
    }
  }

 private:
  void allocate() {
    std::int64_t live = 0;
    for (std::int64_t g = 0; g < groups_; ++g) live += live_columns_bound(map_, number(g));
    buffer_ = call_.scratch(Buffer::rounded<float>(live * map_.g_rows + 64) + 2 * Buffer::rounded<std::int32_t>(live + 80) +
                            Buffer::rounded<std::int32_t>(groups_ + 1) + Buffer::rounded<std::uint64_t>(2 * map_.words()) +
                            Buffer::rounded<void*>(rows_ + max_tile_rows));
    packed_ = buffer_.take<float>(live * map_.g_rows + 64);
    terms_ = buffer_.take<std::int32_t>(live + 80);
    offsets_ = buffer_.take<std::int32_t>(live + 80);
    starts_ = buffer_.take<std::int32_t>(groups_ + 1);
    panels_ = buffer_.take<std::uint64_t>(map_.words());
    common_ = buffer_.take<std::uint64_t>(map_.words());
    c_rows_ = buffer_.take<void*>(rows_ + max_tile_rows);
    point_to_rows(call_.problem, item_.c, first_row_, first_row_ + rows_, c_rows_);
  }

  std::int64_t number(std::int64_t group) const { return item_.a_number * map_.row_groups() + task_.begin + group; }

  // The terms that any of the panels has.
  void join_panels(std::int64_t panel, int count) {
    const std::int64_t words = map_.words();
    std::copy_n(call_.b.terms(*call_.live.b, item_.b_number, panel), words, panels_);
    for (int q = 1; q < count; ++q) {
      const std::uint64_t* other = call_.b.terms(*call_.live.b, item_.b_number, panel + q);
      for (std::int64_t w = 0; w < words; ++w) panels_[w] |= other[w];
    }
  }

  // Groups begin..end of `rows` rows each.
  void run(std::int64_t begin, std::int64_t end, std::int64_t rows, std::int64_t panel, int count) {
    if (begin == end) return;
    std::int64_t terms = 0;
    float* to = packed_;
    for (std::int64_t g = begin; g < end; ++g) {
      starts_[g - begin] = static_cast<std::int32_t>(terms);
      const std::int64_t found = find_terms(g, terms_);
      for (std::int64_t t = 0; t < found; ++t) offsets_[terms + t] = terms_[t] * panel_bytes_;
      to = read_group(g, rows, found, to);
      terms += found;
    }
    starts_[end - begin] = static_cast<std::int32_t>(terms);
    Strip s;
    s.rows = static_cast<int>(rows), s.tiles = end - begin;
    s.a = packed_, s.k_offset = offsets_, s.starts = starts_, s.c_rows = c_rows_ + begin * map_.g_rows;
    runner_.run(s, panel, count, panel * panel_bytes_);
  }

  std::int64_t find_terms(std::int64_t group, std::int32_t* out) {
    const std::uint64_t* a = map_.row(number(group));
    for (std::int64_t w = 0; w < map_.words(); ++w) common_[w] = a[w] & panels_[w];
    return detect::expand(common_, map_.words(), 0, 1, out);
  }

  // SRead of one group, as its rows lie.
  float* read_group(std::int64_t group, std::int64_t rows, std::int64_t terms, float* to) const {
    const Problem& p = call_.problem;
    const std::int64_t* a_rows = p.a_rows.data() + first_row_ + group * map_.g_rows;
    for (std::int64_t t = 0; t < terms; ++t)
      for (std::int64_t i = 0; i < rows; ++i) *to++ = item_.a[a_rows[i] + terms_[t] * p.a_k];
    return to;
  }

  const Call& call_;
  const Task& task_;
  const detect::LiveMap& map_;
  const Item& item_;
  int together_;
  std::int64_t first_row_, rows_, groups_, whole_;
  std::int32_t panel_bytes_;
  StripRunner runner_;
  Buffer buffer_;
  float* packed_ = nullptr;
  std::int32_t *terms_ = nullptr, *offsets_ = nullptr, *starts_ = nullptr;  ///< k of one group; bytes into the panel, of all groups; of groups
  std::uint64_t *panels_ = nullptr, *common_ = nullptr;                     ///< bits per k
  void** c_rows_ = nullptr;
};

}  // namespace

void run_both_elements(const Call& call, const Rule& rule) {
  const CoveredMap map(*call.live.a, rule.g_rows, 1);
  const int together = std::min(2, call.kernels.wide(static_cast<int>(map->g_rows)));
  const std::int64_t rows = row_block(call, 2 * map->fraction(), map->g_rows, 64, 256);
  const std::vector<Task> tasks = make_tasks(call, map->row_groups(), std::max<std::int64_t>(1, rows / map->g_rows));
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()),
                         [&](std::int64_t t, int) { BothElementsBlock(call, tasks[static_cast<std::size_t>(t)], *map, together)(); });
}

}  // namespace pit::contract
