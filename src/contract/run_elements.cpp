// The element rule: zeros anywhere. Rows alone (or a few at a time), each with its own steps of k, by ranges of k so
// short that B's range of a few panels stays in L1: there a multiply-add with a memory operand runs at the full rate.
#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

#include "contract/live_k.h"

namespace pit::contract {
namespace {

class ElementsBlock {
 public:
  ElementsBlock(const Call& call, const Task& task, const detect::LiveMap& map)
      : call_(call),
        task_(task),
        map_(map),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        panels_(call.schedule.blocks.panels),
        range_(call.schedule.blocks.k),
        ranges_(std::max<std::int64_t>(1, (call.problem.k + range_ - 1) / range_)),
        streaming_(call.schedule.blocks.streams_c),
        first_row_(task.begin * map.g_rows),
        rows_(std::min(task.end * map.g_rows, call.problem.m) - first_row_),
        groups_(task.end - task.begin),
        whole_(rows_ / map.g_rows),
        width_(call.b.panels.width()),
        size_(call.sizes().a),
        panel_row_(call.panel_row()),
        runner_(call, Family::ragged, item_.b_number) {}

  void operator()() {
    allocate();
    for (std::int64_t r = 0; r < ranges_; ++r) {
      plan_range(r, 0, whole_);
      plan_range(r, whole_, groups_);
    }
    with_size(size_, [&](auto size) {
      for (std::int64_t g = 0; g < groups_; ++g) read_group<size>(g);
    });
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; p += panels_) {
      const int count = static_cast<int>(std::min<std::int64_t>(panels_, task_.last_panel - p));
      for (const MacroTile& s : macro_tiles_) runner_.run(s, p, count, scratch_ ? 0 : p * call_.panel_of_c());
      if (scratch_) flush(p, count);
    }
  }

 private:
  /// Where a group's elements of one range of k go.
  struct GroupRange {
    std::int32_t count;
    std::int64_t first;  ///< its first step, of all that the block has
  };

  void allocate() {
    std::int64_t live = 0;
    for (std::int64_t g = 0; g < groups_; ++g) live += live_columns_bound(map_, number(g));
    // With one range, results need no place to wait for the next one.
    const std::int64_t scratch = ranges_ > 1 ? rows_ * panels_ * call_.panel_of_c() : 0,
                       tables = ranges_ * rows_ + kMaxTileRows;
    const std::int64_t starts = ranges_ * (groups_ + 2), packed = (live * map_.g_rows + 16) * size_;
    buffer_ = call_.scratch(Buffer::rounded<char>(packed) + Buffer::rounded<std::int32_t>(live + 16) +
                            Buffer::rounded<std::int32_t>(call_.problem.k + 64) +
                            Buffer::rounded<std::int32_t>(starts) + Buffer::rounded<GroupRange>(ranges_ * groups_) +
                            Buffer::rounded<char>(scratch) + Buffer::rounded<void*>(tables));
    packed_ = buffer_.take<char>(packed);
    offsets_ = buffer_.take<std::int32_t>(live + 16);
    list_ = buffer_.take<std::int32_t>(call_.problem.k + 64);
    starts_ = buffer_.take<std::int32_t>(starts);
    k_ranges_ = buffer_.take<GroupRange>(ranges_ * groups_);
    if (scratch > 0) scratch_ = buffer_.take<char>(scratch);
    c_rows_ = buffer_.take<void*>(tables);
    macro_tiles_.reserve(static_cast<std::size_t>(2 * ranges_));
  }

  std::int64_t number(std::int64_t group) const { return item_.a_number * map_.row_groups() + task_.begin + group; }

  // The macro-tile of the groups begin..end (all with as many rows) in one range of k. The order of rows is free, so
  // groups with equally many elements follow each other: loops over the same number of steps of k again and again are
  // what branch predictors foresee.
  void plan_range(std::int64_t range, std::int64_t begin, std::int64_t end) {
    if (begin == end) return;
    MacroTile s;
    s.rows = static_cast<int>(std::min(map_.g_rows, rows_ - begin * map_.g_rows));
    s.tiles = end - begin;
    s.first = range == 0;
    s.b_shift = range * range_;
    s.a = packed_ + k_count_ * map_.g_rows * size_;
    s.k_offset = offsets_ + k_count_;
    s.starts = starts_;
    s.c_rows = c_rows_;
    sort_groups(range, begin, end);
    const std::int64_t first = k_count_;
    for (const std::int32_t g : order_) {
      GroupRange& here = k_ranges_[range * groups_ + g];
      here.first = k_count_;
      *starts_++ = static_cast<std::int32_t>(k_count_ - first);
      k_count_ += here.count;
      for (std::int64_t r = g * map_.g_rows; r < g * map_.g_rows + s.rows; ++r) *c_rows_++ = row_of_c(r);
    }
    *starts_++ = static_cast<std::int32_t>(k_count_ - first);
    if (s.first || k_count_ > first) macro_tiles_.push_back(s);
  }

  void* row_of_c(std::int64_t row) const {
    return scratch_ ? scratch_ + row * panels_ * call_.panel_of_c() : call_.c_row(item_, first_row_ + row);
  }

  // order_: the groups begin..end, by their number of elements in the range.
  void sort_groups(std::int64_t range, std::int64_t begin, std::int64_t end) {
    const std::int64_t first_word = range * range_ / 64, words = std::min(range_ / 64, map_.words() - first_word);
    bins_.assign(static_cast<std::size_t>(64 * words + 1), 0);
    for (std::int64_t g = begin; g < end; ++g) {
      const std::uint64_t* row = map_.row(number(g)) + first_word;
      std::int32_t live = 0;
      for (std::int64_t w = 0; w < words; ++w) live += std::popcount(row[w]);
      k_ranges_[range * groups_ + g].count = live;
      ++bins_[static_cast<std::size_t>(live)];
    }
    std::exclusive_scan(bins_.begin(), bins_.end(), bins_.begin(), 0);
    order_.resize(static_cast<std::size_t>(end - begin));
    for (std::int64_t g = begin; g < end; ++g) {
      const auto live = static_cast<std::size_t>(k_ranges_[range * groups_ + g].count);
      order_[static_cast<std::size_t>(bins_[live]++)] = static_cast<std::int32_t>(g);
    }
  }

  // SRead of a group: its live elements side by side, each range's where its macro-tile looks for them. All of a row is
  // read at once, as memory likes it.
  template <std::int64_t size>
  [[gnu::noinline]] void read_group(std::int64_t g) {
    detect::expand(map_.row(number(g)), map_.words(), 0, 1, list_);
    const std::int64_t rows = std::min(map_.g_rows, rows_ - g * map_.g_rows);
    const char* a_rows[kMaxTileRows];
    for (std::int64_t i = 0; i < rows; ++i) a_rows[i] = call_.a_row(item_, first_row_ + g * map_.g_rows + i);
    // Locals: none of the stores may be taken to change what is read.
    const std::int32_t* list = list_;
    const std::int64_t a_k = call_.a_k(), panel_row = panel_row_;
    for (std::int64_t r = 0; r < ranges_; ++r) {
      const GroupRange here = k_ranges_[r * groups_ + g];
      const std::int64_t first = r * range_;
      char* to = packed_ + here.first * map_.g_rows * size;
      // A last group of fewer rows is a macro-tile of its own, whose first step of k is the range's.
      std::int32_t* offset = offsets_ + here.first;
      for (std::int32_t t = 0; t < here.count; ++t) {
        const std::int64_t k = *list++;
        offset[t] = static_cast<std::int32_t>((k - first) * panel_row);
        for (std::int64_t i = 0; i < rows; ++i, to += size) move_element<size>(to, a_rows[i] + k * a_k);
      }
    }
  }

  void flush(std::int64_t panel, int count) const {
    const std::int64_t first = panel * width_, columns = std::min(call_.problem.n - first, count * width_),
                       size = call_.sizes().c;
    for (std::int64_t i = 0; i < rows_; ++i)
      copy_row(call_.c_row(item_, first_row_ + i) + first * size, scratch_ + i * panels_ * width_ * size,
               columns * size, streaming_);
  }

  const Call& call_;
  const Task& task_;
  const detect::LiveMap& map_;
  const Item& item_;
  int panels_;
  std::int64_t range_, ranges_;
  bool streaming_;
  std::int64_t first_row_, rows_, groups_, whole_, width_;
  std::int64_t size_, panel_row_;  ///< bytes of an element of A, of a step of k of a panel
  MacroKernel runner_;
  Buffer buffer_;
  char* packed_ = nullptr;
  std::int32_t *offsets_ = nullptr, *list_ = nullptr, *starts_ = nullptr;
  GroupRange* k_ranges_ = nullptr;
  char* scratch_ = nullptr;  ///< null: results go to C at once
  void** c_rows_ = nullptr;
  std::int64_t k_count_ = 0;
  std::vector<MacroTile> macro_tiles_;
  std::vector<std::int32_t> bins_, order_;
};

}  // namespace

void run_elements(const Call& call) {
  run_rows_of_groups<ElementsBlock>(call, *CoveredMap(*call.live.a, call.schedule.rule.g_rows, 1));
}

}  // namespace pit::contract
