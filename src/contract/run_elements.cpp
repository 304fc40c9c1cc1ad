// The element rule: zeros anywhere. Rows alone (or a few at a time), each with its own steps of k, by ranges of k so
// short that B's range of a few panels stays in L1: there a multiply-add with a memory operand runs at the full rate.
#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

#include "contract/walk.h"

namespace pit::contract {
namespace {

class ElementsBlock : GroupWalk {
 public:
  ElementsBlock(const Call& call, const Task& task, const detect::LiveMap& map)
      : GroupWalk(call, task, Family::ragged, map),
        range_(blocks_.k),
        ranges_(std::max<std::int64_t>(1, (call.problem.k + range_ - 1) / range_)) {}

  void operator()() {
    allocate();
    const std::int64_t whole = rows_ / height_;
    for (std::int64_t r = 0; r < ranges_; ++r) {
      plan_range(r, 0, whole);
      plan_range(r, whole, groups_);
    }
    with_size(size_, [&](auto size) {
      for (std::int64_t g = 0; g < groups_; ++g) read_group<size>(g);
    });
    over_panels([&](std::int64_t p, int count) {
      for (const MacroTile& s : macro_tiles_) run(s, p, count);
      if (ranges_ > 1) flush(0, rows_, p, count);
    });
  }

 private:
  /// Where a group's elements of one range of k go.
  struct GroupRange {
    std::int32_t count;
    std::int64_t first;  ///< its first step, of all that the block has
  };

  void allocate() {
    // With one range, results need no place to wait for the next one.
    const std::int64_t live = most_k(), compact_bytes = ranges_ > 1 ? rows_ * compact_row_bytes() : 0;
    char* compact = nullptr;
    buffer_ = call_.scratch({{packed_, (live * height_ + 16) * size_},
                             {offsets_, live + 16},
                             {list_, call_.problem.k + 64},
                             {starts_, ranges_ * (groups_ + 2)},
                             {k_ranges_, ranges_ * groups_},
                             {compact, compact_bytes},
                             {c_rows_, ranges_ * rows_ + kMaxTileRows}});
    if (ranges_ > 1) keep_sums(compact, rows_);
    macro_tiles_.reserve(static_cast<std::size_t>(2 * ranges_));
  }

  // The macro-tile of the groups begin..end (all with as many rows) in one range of k. The order of rows is free, so
  // groups with equally many elements follow each other: loops over the same number of steps of k again and again are
  // what branch predictors foresee.
  void plan_range(std::int64_t range, std::int64_t begin, std::int64_t end) {
    if (begin == end) return;
    MacroTile s;
    s.rows = static_cast<int>(rows_of(begin));
    s.tiles = end - begin;
    s.first = range == 0;
    s.b_shift = range * range_;
    s.a = packed_ + k_count_ * height_ * size_;
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
      for (std::int64_t r = g * height_; r < g * height_ + s.rows; ++r) *c_rows_++ = sums(r);
    }
    *starts_++ = static_cast<std::int32_t>(k_count_ - first);
    if (s.first || k_count_ > first) macro_tiles_.push_back(s);
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
    const std::int64_t rows = rows_of(g);
    const char* a_rows[kMaxTileRows];
    for (std::int64_t i = 0; i < rows; ++i) a_rows[i] = a_row(g * height_ + i);
    // Locals: none of the stores may be taken to change what is read.
    const std::int32_t* list = list_;
    const std::int64_t a_k = call_.a_k(), panel_row = panel_row_;
    for (std::int64_t r = 0; r < ranges_; ++r) {
      const GroupRange here = k_ranges_[r * groups_ + g];
      const std::int64_t first = r * range_;
      char* to = packed_ + here.first * height_ * size;
      // A last group of fewer rows is a macro-tile of its own, whose first step of k is the range's.
      std::int32_t* offset = offsets_ + here.first;
      for (std::int32_t t = 0; t < here.count; ++t) {
        const std::int64_t k = *list++;
        offset[t] = static_cast<std::int32_t>((k - first) * panel_row);
        for (std::int64_t i = 0; i < rows; ++i, to += size) move_element<size>(to, a_rows[i] + k * a_k);
      }
    }
  }

  std::int64_t range_, ranges_;
  char* packed_ = nullptr;
  std::int32_t *offsets_ = nullptr, *list_ = nullptr, *starts_ = nullptr;
  GroupRange* k_ranges_ = nullptr;
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
