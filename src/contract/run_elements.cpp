// The element rule: zeros anywhere. Rows alone (or a few at a time), each with its own terms, by ranges of k so short that B's range of a few
// panels stays in L1: there a multiply-add with a memory operand runs at the full rate.
#include <algorithm>
#include <vector>

#include "contract/blocking.h"
#include "contract/terms.h"

namespace pit::contract {
namespace {

class ElementsBlock {
 public:
  ElementsBlock(const Call& call, const Task& task, const detect::LiveMap& map, int together, std::int64_t range, bool streaming)
      : call_(call), task_(task), map_(map), item_(call.problem.items[static_cast<std::size_t>(task.item)]), together_(together), range_(range),
        streaming_(streaming), first_row_(task.begin * map.g_rows), rows_(std::min(task.end * map.g_rows, call.problem.m) - first_row_),
        runner_(call, Family::ragged, item_.b_number) {}

  void operator()() {
    allocate();
    for (std::int64_t k0 = 0; k0 < call_.problem.k; k0 += range_) read_range(k0);
    const std::int64_t width = together_ * call_.b.panels.width();
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; p += together_) {
      const int count = static_cast<int>(std::min<std::int64_t>(together_, task_.last_panel - p));
      const std::int64_t first = p * call_.b.panels.width(), columns = std::min(call_.problem.n - first, count * call_.b.panels.width());
      fill(scratch_, rows_ * width, static_cast<float>(call_.kernels.algebra().identity()));
      for (const Strip& s : strips_) runner_.run(s, p, count, 0);
      for (std::int64_t i = 0; i < rows_; ++i)
        copy_row(item_.c + call_.problem.c_rows[static_cast<std::size_t>(first_row_ + i)] + first, scratch_ + i * width, columns, streaming_);
    }
  }

 private:
  void allocate() {
    std::int64_t live = 0, rows = rows_;
    for (std::int64_t g = task_.begin; g < task_.end; ++g) live += live_columns_bound(map_, number(g));
    const std::int64_t ranges = (call_.problem.k + range_ - 1) / range_, groups = task_.end - task_.begin;
    const std::int64_t scratch = rows * together_ * call_.b.panels.width();
    buffer_ = call_.scratch(Buffer::rounded<float>(live * map_.g_rows + 16) + Buffer::rounded<std::int32_t>(live + 16) +
                                 Buffer::rounded<std::int32_t>(ranges * (groups + 2)) + Buffer::rounded<float>(scratch) + Buffer::rounded<void*>(rows + max_tile_rows));
    packed_ = buffer_.take<float>(live * map_.g_rows + 16);
    offsets_ = buffer_.take<std::int32_t>(live + 16);
    starts_ = buffer_.take<std::int32_t>(ranges * (groups + 2));
    scratch_ = buffer_.take<float>(scratch);
    c_rows_ = buffer_.take<void*>(rows + max_tile_rows);
    for (std::int64_t i = 0; i < rows; ++i) c_rows_[i] = scratch_ + i * together_ * call_.b.panels.width();
    strips_.reserve(static_cast<std::size_t>(2 * ranges));
  }

  std::int64_t number(std::int64_t group) const { return item_.a_number * map_.row_groups() + group; }

  // SRead of one range of k: per group its live elements, side by side. The last group may have fewer rows: it gets a strip of its own.
  void read_range(std::int64_t k0) {
    const std::int64_t groups = task_.end - task_.begin, rest = rows_ % map_.g_rows, whole = groups - (rest != 0);
    Strip s;
    s.first = false;
    s.b_shift = k0;
    s.c_rows = c_rows_;
    s.tiles = whole;
    s.rows = static_cast<int>(map_.g_rows);
    if (whole > 0) read_groups(s, 0, whole, k0);
    if (rest == 0) return;
    s.tiles = 1;
    s.rows = static_cast<int>(rest);
    s.c_rows = c_rows_ + whole * map_.g_rows;
    read_groups(s, whole, 1, k0);
  }

  void read_groups(Strip s, std::int64_t begin, std::int64_t count, std::int64_t k0) {
    const Problem& p = call_.problem;
    const std::int64_t end = std::min(k0 + range_, p.k), words = (end - k0 + 63) / 64;
    s.a = packed_;
    s.k_offset = offsets_;
    s.starts = starts_;
    std::int32_t position = 0;
    const std::int64_t row_bytes = call_.b.panels.width() * 4;
    for (std::int64_t g = begin; g < begin + count; ++g) {
      *starts_++ = position;
      const auto found = static_cast<std::int32_t>(
          detect::expand(map_.row(number(task_.begin + g)) + k0 / 64, words, 0, 1, offsets_));
      const float* a = item_.a + (first_row_ + g * map_.g_rows) * p.a_row + k0 * p.a_k;
      for (std::int32_t t = 0; t < found; ++t) {
        for (int r = 0; r < s.rows; ++r) *packed_++ = a[offsets_[t] * p.a_k + r * p.a_row];
        offsets_[t] *= static_cast<std::int32_t>(row_bytes);
      }
      offsets_ += found;
      position += found;
    }
    *starts_++ = position;
    if (position > 0) strips_.push_back(s);
  }

  const Call& call_;
  const Task& task_;
  const detect::LiveMap& map_;
  const Item& item_;
  int together_;
  std::int64_t range_;
  bool streaming_;
  std::int64_t first_row_, rows_;
  StripRunner runner_;
  Buffer buffer_;
  float* packed_ = nullptr;
  std::int32_t* offsets_ = nullptr;
  std::int32_t* starts_ = nullptr;
  float* scratch_ = nullptr;
  void** c_rows_ = nullptr;
  std::vector<Strip> strips_;
};

}  // namespace

void run_elements(const Call& call, const Rule& rule) {
  const CoveredMap map(*call.live.a, rule.g_rows, 1);
  const int together = std::min(2, call.kernels.wide(static_cast<int>(map->g_rows)));
  const std::int64_t range = element_range(call.caches, call.b.panels.width(), together, map->fraction());
  const std::int64_t fits = static_cast<std::int64_t>(call.caches.l2) / 2 / (together * call.b.panels.width() * 4);
  const std::int64_t rows = row_block(call, 2 * map->fraction(), map->g_rows, std::min<std::int64_t>(fits, 256), fits);
  const std::vector<Task> tasks = make_tasks(call, map->row_groups(), std::max<std::int64_t>(1, rows / map->g_rows));
  const bool streaming = streams_c(call);
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()),
                         [&](std::int64_t t, int) { ElementsBlock(call, tasks[static_cast<std::size_t>(t)], *map, together, range, streaming)(); });
}

}  // namespace pit::contract
