// The both rule where A's micro-tiles are single elements (or two): each row of A and panel of B have steps of k of
// their own. Where B's micro-tiles leave little, these are so few that finding them costs as much as multiplying. So
// A's elements are read once, and for each panel those that it has too are put together without a branch; then all rows
// of a block walk theirs in one call of a ragged tile.
#include <algorithm>
#include <cstring>
#include <vector>

#include "contract/walk.h"

namespace pit::contract {
namespace {

/// Eight bits to eight bytes of 0 or 1: bit i is kept in byte i, then every byte that has one becomes 1.
void spread(std::uint64_t bits, std::uint8_t* out) {
  const std::uint64_t one_each = bits * 0x0101010101010101 & 0x8040201008040201;
  const std::uint64_t bytes = (one_each + 0x7f7f7f7f7f7f7f7f) >> 7 & 0x0101010101010101;
  std::memcpy(out, &bytes, sizeof bytes);
}

class BothElementsBlock : GroupWalk {
 public:
  BothElementsBlock(const Call& call, const Task& task, const detect::LiveMap& map)
      : GroupWalk(call, task, Family::ragged, map), panel_bytes_(static_cast<std::int32_t>(panel_row_)) {}

  void operator()() {
    allocate();
    with_size(size_, [&](auto size) { run_all<size>(); });
  }

 private:
  template <std::int64_t size>
  void run_all() {
    for (std::int64_t g = 0; g < groups_; ++g) read_group<size>(g);
    const std::int64_t whole = rows_ / height_;
    over_panels([&](std::int64_t p, int count) {
      join_panels(p, count);
      // A last group of fewer rows is a macro-tile of its own.
      multiply<size>(0, whole, p, count);
      multiply<size>(whole, groups_, p, count);
    });
  }

  void allocate() {
    const std::int64_t live = most_k(), elements = (live * height_ + 16) * size_;
    buffer_ = call_.scratch({{a_, elements},
                             {packed_, elements},
                             {live_k_, live + 16},
                             {offsets_, live + 16},
                             {first_, groups_ + 1},
                             {starts_, groups_ + 1},
                             {live_, map_.words() * 64},
                             {c_rows_, rows_ + kMaxTileRows}});
    first_[0] = 0;
    for (std::int64_t i = 0; i < rows_; ++i) c_rows_[i] = c_row(i);
  }

  // SRead of one group: its elements and their steps of k.
  template <std::int64_t size>
  [[gnu::noinline]] void read_group(std::int64_t group) {
    const std::int64_t rows = rows_of(group), from = first_[group];
    const char* a_rows[kMaxTileRows];
    for (std::int64_t i = 0; i < rows; ++i) a_rows[i] = a_row(group * height_ + i);
    const std::int64_t count = live_columns(map_, number(group), 1, live_k_ + from);
    // Locals, here and in `pick`: none of the stores may be taken to change what is read.
    const std::int32_t* live_k = live_k_;
    const std::int64_t a_k = call_.a_k();
    char* to = a_ + from * height_ * size;
    for (std::int64_t t = from; t < from + count; ++t)
      for (std::int64_t i = 0; i < rows; ++i, to += size) move_element<size>(to, a_rows[i] + live_k[t] * a_k);
    first_[group + 1] = static_cast<std::int32_t>(from + count);
  }

  // live_: the steps of k that any of the panels has.
  void join_panels(std::int64_t panel, int count) {
    for (std::int64_t w = 0; w < map_.words(); ++w) {
      std::uint64_t bits = 0;
      for (int q = 0; q < count; ++q) bits |= call_.b.live_k(*call_.live.b, item_.b_number, panel + q)[w];
      for (int i = 0; i < 64; i += 8) spread(bits >> i & 0xff, live_ + w * 64 + i);
    }
  }

  // Groups begin..end, of as many rows each.
  template <std::int64_t size>
  void multiply(std::int64_t begin, std::int64_t end, std::int64_t panel, int count) {
    if (begin == end) return;
    const std::int64_t rows = rows_of(begin);
    std::int64_t k_count = 0;
    for (std::int64_t g = begin; g < end; ++g) {
      starts_[g - begin] = static_cast<std::int32_t>(k_count);
      const std::int64_t found = rows == 1 ? pick<1, size>(g, k_count) : pick<2, size>(g, k_count);
      // on its way while the other groups' steps of k are picked
      kernel_.prefetch(panel, count, offsets_ + k_count, found);
      k_count += found;
    }
    starts_[end - begin] = static_cast<std::int32_t>(k_count);
    MacroTile s;
    s.rows = static_cast<int>(rows), s.tiles = end - begin;
    s.a = packed_, s.k_offset = offsets_, s.starts = starts_, s.c_rows = c_rows_ + begin * height_;
    run(s, panel, count);
  }

  // The group's steps of k that the panels have too, behind `at` others. Returns how many.
  template <int rows, std::int64_t size>
  [[gnu::noinline]] std::int64_t pick(std::int64_t group, std::int64_t at) {
    const std::int32_t *live_k = live_k_ + first_[group], bytes = panel_bytes_;
    const std::int64_t all = first_[group + 1] - first_[group];
    const std::uint8_t* live = live_;
    const char* a = a_ + first_[group] * height_ * size;
    std::int32_t *const first = offsets_ + at, *offset = first;
    char* to = packed_ + at * rows * size;
    for (std::int64_t t = 0; t < all; ++t, a += rows * size) {
      const std::int32_t k = live_k[t];
      const std::int64_t there = live[k];
      *offset = k * bytes;
      for (int i = 0; i < rows; ++i) move_element<size>(to + i * size, a + i * size);
      offset += there;
      to += there * rows * size;
    }
    return offset - first;
  }

  std::int32_t panel_bytes_;
  /// live elements of all groups; those that the panels have steps of k for
  char *a_ = nullptr, *packed_ = nullptr;
  std::int32_t *live_k_ = nullptr, *first_ = nullptr;  ///< k of each of a_, and where groups begin
  /// of packed_: bytes into the panel, and where groups begin
  std::int32_t *offsets_ = nullptr, *starts_ = nullptr;
  std::uint8_t* live_ = nullptr;  ///< per k: 1 where the panels have it
  void** c_rows_ = nullptr;
};

}  // namespace

void run_both_elements(const Call& call) {
  run_rows_of_groups<BothElementsBlock>(call, *CoveredMap(*call.live.a, call.schedule.rule.g_rows, 1));
}

}  // namespace pit::contract
