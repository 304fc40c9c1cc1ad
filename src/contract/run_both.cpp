// The both rule: zeros in A and in B. B's micro-tiles make the live k a matter of the panel, A's of the group of
// rows; what is multiplied is live in both. A is packed once, by its own list; each panel walks B through one index and
// packed A through another.
#include <algorithm>
#include <vector>

#include "contract/live_k.h"
#include "support/check.h"

namespace pit::contract {
namespace {

class BothBlock {
 public:
  BothBlock(const Call& call, const Task& task, const detect::LiveMap& a_map)
      : call_(call),
        task_(task),
        a_map_(a_map),
        size_(call.sizes().a),
        group_rows_(a_map.g_rows),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        begin_(task.begin * group_rows_),
        end_(std::min(task.end * group_rows_, call.problem.m)),
        runner_(call, Family::both, item_.b_number) {}

  void operator()() {
    allocate();
    for (std::int64_t g = task_.begin; g < task_.end; ++g) read_group(g);
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; ++p) {
      const std::uint64_t* live = call_.b.live_k(*call_.live.b, item_.b_number, p);
      for (const Group& g : groups_) multiply(g, p, live);
    }
  }

 private:
  struct Group {
    std::int64_t row, rows, k_count;
    const char* a;
    const std::int32_t* k;
  };

  std::int64_t number(std::int64_t group) const { return item_.a_number * a_map_.row_groups() + group; }

  void allocate() {
    std::int64_t elements = kPackSlack, k_count = 0;
    for (std::int64_t g = task_.begin; g < task_.end; ++g) {
      const std::int64_t bound = live_columns_bound(a_map_, number(g));
      elements += bound * group_rows_ + 16;
      k_count += bound + 16;
    }
    const std::int64_t rows = end_ - begin_, k = call_.problem.k + 16;
    buffer_ = call_.scratch(Buffer::rounded<char>(elements * size_) + Buffer::rounded<std::int32_t>(k_count) +
                            3 * Buffer::rounded<std::int32_t>(k) + 2 * Buffer::rounded<void*>(rows + kMaxTileRows));
    packed_ = buffer_.take<char>(elements * size_);
    lists_ = buffer_.take<std::int32_t>(k_count);
    for (std::int32_t** p : {&position_, &k_offset_, &a_offset_}) *p = buffer_.take<std::int32_t>(k);
    a_rows_ = buffer_.take<void*>(rows + kMaxTileRows);
    c_rows_ = buffer_.take<void*>(rows + kMaxTileRows);
    point_to_rows(call_, item_, begin_, end_, c_rows_);
    for (std::int64_t i = 0; i < rows; ++i) a_rows_[i] = const_cast<char*>(call_.a_row(item_, begin_ + i));
  }

  void read_group(std::int64_t group) {
    Group g;
    g.row = (group - task_.begin) * group_rows_;
    g.rows = std::min(group_rows_, end_ - begin_ - g.row);
    g.a = packed_;
    g.k = lists_;
    g.k_count = live_columns(a_map_, number(group), 1, lists_);
    const int tile = call_.kernels.rows();
    for (std::int64_t r = 0; r < g.rows; r += tile) {
      const int count = static_cast<int>(std::min<std::int64_t>(tile, g.rows - r));
      pack_rows(call_.kernels.packs(), count, packed_, a_rows_ + g.row + r, count, g.k_count, call_.a_k(), lists_);
      packed_ += g.k_count * count * size_;
    }
    lists_ += g.k_count + 8;
    groups_.push_back(g);
  }

  // The steps of k of the group that the panel has too.
  std::int64_t intersect(const Group& g, const std::uint64_t* live) {
    // Locals: none of the stores may be taken to change what is read.
    const auto row_bytes = static_cast<std::int32_t>(call_.panel_row());
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
    const int tile = call_.kernels.rows();
    const std::int64_t whole = g.rows / tile * tile, c_offset = panel * call_.panel_of_c();
    MacroTile s;
    s.k_count = intersect(g, live);
    s.k_offset = k_offset_;
    s.a_offset = a_offset_;
    auto run = [&](std::int64_t row, std::int64_t rows, std::int64_t tiles) {
      s.rows = static_cast<int>(rows), s.tiles = tiles;
      s.a = g.a + row * g.k_count * size_, s.a_step = g.k_count * rows * size_, s.c_rows = c_rows_ + g.row + row,
      s.next = rows * tiles;
      const auto step = static_cast<std::int32_t>(size_ * rows);
      for (std::int64_t t = 0; t < s.k_count; ++t) a_offset_[t] = position_[t] * step;
      runner_.run(s, panel, 1, c_offset);
    };
    if (whole > 0) run(0, tile, whole / tile);
    if (whole < g.rows) run(whole, g.rows - whole, 1);
  }

  const Call& call_;
  const Task& task_;
  const detect::LiveMap& a_map_;
  std::int64_t size_;  ///< bytes of an element of A
  std::int64_t group_rows_;
  const Item& item_;
  std::int64_t begin_, end_;
  MacroKernel runner_;
  Buffer buffer_;
  char* packed_ = nullptr;
  std::int32_t* lists_ = nullptr;
  std::int32_t *position_ = nullptr, *k_offset_ = nullptr, *a_offset_ = nullptr;
  void** a_rows_ = nullptr;
  void** c_rows_ = nullptr;
  std::vector<Group> groups_;
};

}  // namespace

void run_both(const Call& call) {
  const Rule& rule = call.schedule.rule;
  if (are_elements(rule.g_rows, rule.g_columns)) return run_both_elements(call);
  run_rows_of_groups<BothBlock>(call, *CoveredMap(*call.live.a, rule.g_rows, 1));
}

}  // namespace pit::contract
