// The both rule: zeros in A and in B. B's micro-tiles make the live k a matter of the panel, A's of the group of
// rows; what is multiplied is live in both. A is packed once, by its own list; each panel walks B through one index and
// packed A through another.
#include <algorithm>
#include <vector>

#include "contract/walk.h"

namespace pit::contract {
namespace {

class BothBlock : GroupWalk {
 public:
  BothBlock(const Call& call, const Task& task, const detect::LiveMap& map)
      : GroupWalk(call, task, Family::both, map) {}

  void operator()() {
    allocate();
    for (std::int64_t g = 0; g < groups_; ++g) read_group(g);
    over_panels([&](std::int64_t p, int) {
      const std::uint64_t* live = call_.b.live_k(*call_.live.b, item_.b_number, p);
      for (const Group& g : list_) multiply(g, p, live);
    });
  }

 private:
  struct Group {
    std::int64_t row, rows, k_count;
    const char* a;
    const std::int32_t* k;
  };

  void allocate() {
    const std::int64_t live = most_k(), k = call_.problem.k + 16;
    buffer_ = call_.scratch({{packed_, (live * height_ + kPackSlack) * size_},
                             {lists_, live + 16 * groups_},
                             {position_, k},
                             {k_offset_, k},
                             {a_offset_, k},
                             {c_rows_, rows_ + kMaxTileRows}});
    for (std::int64_t i = 0; i < rows_; ++i) c_rows_[i] = c_row(i);
  }

  void read_group(std::int64_t i) {
    const Group g{i * height_, rows_of(i), live_columns(map_, number(i), 1, lists_), packed_, lists_};
    packed_ = pack_tiles(packed_, g.row, g.rows, g.k_count, g.k);
    lists_ += g.k_count + 8;
    list_.push_back(g);
  }

  // The steps of k of the group that the panel has too.
  std::int64_t intersect(const Group& g, const std::uint64_t* live) {
    // Locals: none of the stores may be taken to change what is read.
    const auto row_bytes = static_cast<std::int32_t>(panel_row_);
    const std::int32_t* group_k = g.k;
    std::int32_t *position = position_, *offset = k_offset_;
    std::int64_t count = 0;
    for (std::int64_t t = 0, all = g.k_count; t < all; ++t) {
      const std::int32_t k = group_k[t];
      const auto there = static_cast<std::int64_t>(live[k >> 6] >> (k & 63) & 1);
      position[count] = static_cast<std::int32_t>(t);
      offset[count] = k * row_bytes;
      count += there;
    }
    return count;
  }

  void multiply(const Group& g, std::int64_t panel, const std::uint64_t* live) {
    const std::int64_t k_count = intersect(g, live);
    over_tiles(g.rows, [&](std::int64_t row, std::int64_t height, std::int64_t tiles) {
      MacroTile s = macro_tile(g.a, g.k_count, row, height, tiles, c_rows_ + g.row);
      s.k_count = k_count, s.k_offset = k_offset_, s.a_offset = a_offset_;
      const auto step = static_cast<std::int32_t>(size_ * height);
      for (std::int64_t t = 0; t < k_count; ++t) a_offset_[t] = position_[t] * step;
      run(s, panel, 1);
    });
  }

  char* packed_ = nullptr;
  std::int32_t* lists_ = nullptr;
  std::int32_t *position_ = nullptr, *k_offset_ = nullptr, *a_offset_ = nullptr;
  void** c_rows_ = nullptr;
  std::vector<Group> list_;
};

}  // namespace

void run_both(const Call& call) {
  const Rule& rule = call.schedule.rule;
  if (are_elements(rule.g_rows, rule.g_columns)) return run_both_elements(call);
  run_rows_of_groups<BothBlock>(call, *CoveredMap(*call.live.a, rule.g_rows, 1));
}

}  // namespace pit::contract
