// What the sparse rules share: a task's rows and memory, and the loops over panels of B and tiles of rows. A rule says
// what it gathers.
#pragma once

#include "contract/live_k.h"
#include "contract/macro_tile.h"

namespace pit::contract {

/// One task of a rule. Rows are counted from the task's first one.
class Walk {
 protected:
  /// A task's begin and end count `unit` rows as one.
  Walk(const Call& call, const Task& task, Family family, std::int64_t unit = 1);

  const char* a_row(std::int64_t i) const { return call_.a_row(item_, begin_ + i); }
  char* c_row(std::int64_t i) const { return call_.c_row(item_, begin_ + i); }

  /// SRead of rows row .. row + rows, tile after tile: `k_count` steps each, those of `k`, or from k0 on. A tile has
  /// room for k_room steps (-1: for so many). Returns the end.
  char* pack_tiles(char* to, std::int64_t row, std::int64_t rows, std::int64_t k_count, const std::int32_t* k,
                   std::int64_t k0 = 0, std::int64_t k_room = -1) const;
  /// Whole tiles or one lower one from `row` on of what pack_tiles packed to `a`, from step `t` on.
  MacroTile macro_tile(const char* a, std::int64_t k_room, std::int64_t row, std::int64_t height, std::int64_t tiles,
                       void* const* c_rows, std::int64_t t = 0) const;

  /// body(row, height, tiles): whole tiles of `rows` rows, then the lower one that is left.
  template <class Body>
  void over_tiles(std::int64_t rows, Body&& body) const {
    const std::int64_t whole = rows / tile_ * tile_;
    if (whole > 0) body(std::int64_t{0}, tile_, whole / tile_);
    if (whole < rows) body(whole, rows - whole, std::int64_t{1});
  }
  /// body(panel, count): the task's panels, as many side by side as the blocking says.
  template <class Body>
  void over_panels(Body&& body) const {
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; p += blocks_.panels)
      body(p, static_cast<int>(std::min<std::int64_t>(blocks_.panels, task_.last_panel - p)));
  }
  void run(const MacroTile& s, std::int64_t panel, int count) const {
    kernel_.run(s, panel, count, compact_ ? 0 : panel * call_.panel_of_c());
  }

  /// Where sums wait in a compact C, as wide as the panels side by side: its row of row i; else C's.
  std::int64_t compact_row_bytes() const { return blocks_.panels * call_.panel_of_c(); }
  char* sums(std::int64_t i) const { return compact_ ? compact_ + i % compact_rows_ * compact_row_bytes() : c_row(i); }
  /// Memory of a compact C of `rows` rows; `memory` is a piece of scratch.
  void keep_sums(char* memory, std::int64_t rows) { compact_ = memory, compact_rows_ = rows; }
  /// SWrite of what waits of row .. row + rows, where `wanted` (null: all) is not 0.
  void flush(std::int64_t row, std::int64_t rows, std::int64_t panel, int count,
             const std::uint8_t* wanted = nullptr) const;

  const Call& call_;
  const Task& task_;
  const Item& item_;
  const Blocking& blocks_;
  const std::int64_t begin_, rows_;      ///< of A and C
  const std::int64_t tile_;              ///< rows of a whole one
  const std::int64_t size_, panel_row_;  ///< bytes of an element of A, of a step of k of a panel
  MacroKernel kernel_;
  Buffer buffer_;

 private:
  char* compact_ = nullptr;
  std::int64_t compact_rows_ = 0;
};

/// The same in groups of rows, as high as the micro-tiles of A's map; numbers of groups are the task's.
class GroupWalk : public Walk {
 protected:
  GroupWalk(const Call& call, const Task& task, Family family, const detect::LiveMap& map)
      : Walk(call, task, family, map.g_rows), map_(map), groups_(task.end - task.begin), height_(map.g_rows) {}

  /// In the map.
  std::int64_t number(std::int64_t g) const { return item_.a_number * map_.row_groups() + task_.begin + g; }
  std::int64_t rows_of(std::int64_t g) const { return std::min(height_, rows_ - g * height_); }
  /// Steps of k of a group, of all groups, at most.
  std::int64_t most_k(std::int64_t g) const { return live_columns_bound(map_, number(g)); }
  std::int64_t most_k() const {
    std::int64_t sum = 0;
    for (std::int64_t g = 0; g < groups_; ++g) sum += most_k(g);
    return sum;
  }

  const detect::LiveMap& map_;
  const std::int64_t groups_, height_;  ///< how many, of how many rows each (but the last one)
};

}  // namespace pit::contract
