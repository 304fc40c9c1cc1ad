// The k rule: each group of rows walks the steps of k that are live in it. SRead packs them side by side; B's rows are
// found through an index of byte offsets into a panel, which costs the tile next to nothing.
#include <algorithm>
#include <vector>

#include "contract/walk.h"

namespace pit::contract {
namespace {

class KBlock : GroupWalk {
 public:
  KBlock(const Call& call, const Task& task, const detect::LiveMap& map)
      : GroupWalk(call, task, Family::indexed, map),
        ranges_(std::max<std::int64_t>(1, (call.problem.k + blocks_.k - 1) / blocks_.k)) {
    // A few tiles at a time: in between, the memory system gets something to do, but no more than it can take.
    constexpr double lines_at_once = 20, most_tiles = 4;
    const std::int64_t tiles = rows_ / tile_ + 1;
    const double lines = static_cast<double>(blocks_.k * panel_row_ * blocks_.panels) / 64;
    tiles_at_once_ =
        static_cast<std::int64_t>(std::clamp(lines_at_once * static_cast<double>(tiles) / lines, 1.0, most_tiles));
  }

  // Panel by panel, in each one range of k after the other, in each all groups: a range of a panel stays in L2 while
  // the groups walk it, and the next one is on its way.
  void operator()() {
    allocate();
    for (std::int64_t g = 0; g < groups_; ++g) read_group(g);
    over_panels([&](std::int64_t p, int count) {
      for (std::int64_t r = 0; r < ranges_; ++r)
        for (const Group& g : list_) {
          multiply(g, r, p, count);
          if (blocks_.streams_c) flush(g.row, g.rows, p, count);
        }
    });
  }

 private:
  struct Group {
    std::int64_t row, rows, k_count;
    const char* a;
    const std::int32_t* k_offset;
    const std::int32_t* range;  ///< first step of k of each range, and the end
  };

  void allocate() {
    const std::int64_t k_count = most_k();
    char* compact = nullptr;
    buffer_ = call_.scratch({{packed_, (k_count * height_ + kPackSlack) * size_ + 64 * groups_},
                             {offsets_, k_count + groups_ * (ranges_ + 17)},
                             {c_rows_, rows_ + kMaxTileRows},
                             {compact, blocks_.streams_c ? height_ * compact_row_bytes() : 0}});
    if (blocks_.streams_c) keep_sums(compact, height_);
    for (std::int64_t i = 0; i < rows_; ++i) c_rows_[i] = sums(i);
    list_.reserve(static_cast<std::size_t>(groups_));
  }

  // SRead of one group, on a cache line of its own.
  void read_group(std::int64_t i) {
    Group g{i * height_, rows_of(i), live_columns(map_, number(i), 1, offsets_), packed_, offsets_, nullptr};
    packed_ = pack_tiles(packed_, g.row, g.rows, g.k_count, offsets_);
    packed_ = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(packed_) + 63) / 64 * 64);
    std::int32_t* range = offsets_ + g.k_count;
    g.range = range;
    for (std::int64_t r = 0; r < ranges_; ++r)
      *range++ = static_cast<std::int32_t>(std::lower_bound(offsets_, offsets_ + g.k_count, r * blocks_.k) - offsets_);
    *range++ = static_cast<std::int32_t>(g.k_count);
    for (std::int64_t t = 0; t < g.k_count; ++t) offsets_[t] *= static_cast<std::int32_t>(panel_row_);
    offsets_ = range;
    list_.push_back(g);
  }

  /// What is read next, while a group is multiplied: its share of the next range, in as many pieces as its macro-tiles.
  void prefetch_next(std::int64_t panel, int count, std::int64_t range, const Group& g, std::int64_t piece,
                     std::int64_t pieces) const {
    const std::int64_t next_panel = range + 1 < ranges_ ? panel : panel + count, next = (range + 1) % ranges_;
    if (next_panel >= task_.last_panel) return;
    if (blocks_.sparse_panels) {
      const std::int64_t begin = g.range[next], k_count = g.range[next + 1] - begin, from = k_count * piece / pieces;
      return kernel_.prefetch(next_panel, count, g.k_offset + begin + from, k_count * (piece + 1) / pieces - from);
    }
    const std::int64_t k0 = next * blocks_.k, k1 = std::min(k0 + blocks_.k, call_.problem.k);
    const std::int64_t number = &g - list_.data();
    kernel_.prefetch(next_panel, count, k0, k1, number * pieces + piece, groups_ * pieces);
  }

  void multiply(const Group& g, std::int64_t range, std::int64_t panel, int count) {
    const std::int64_t begin = g.range[range], end = g.range[range + 1];
    if (begin == end && range > 0) return;
    // As many steps of k as k_near stay in L1 for all tiles of the group; with few tiles there is nothing to keep.
    // Blocks of about the same size.
    const std::int64_t parts =
        g.rows > 2 * tile_ ? std::max<std::int64_t>(1, (end - begin + blocks_.k_near / 2) / blocks_.k_near) : 1;
    const std::int64_t block = std::max<std::int64_t>(1, (end - begin + parts - 1) / parts);
    const std::int64_t calls = std::max<std::int64_t>(1, (g.rows / tile_ + tiles_at_once_ - 1) / tiles_at_once_);
    const std::int64_t pieces = calls * std::max<std::int64_t>(1, (end - begin + block - 1) / block);
    std::int64_t piece = 0;
    for (std::int64_t t = begin; t == begin || t < end; t += block)
      over_tiles(g.rows, [&](std::int64_t first, std::int64_t height, std::int64_t tiles) {
        for (std::int64_t i = 0; i < tiles; i += tiles_at_once_) {
          if (height == tile_ || first == 0) prefetch_next(panel, count, range, g, piece++, pieces);
          MacroTile s = macro_tile(g.a, g.k_count, first + i * height, height, std::min(tiles_at_once_, tiles - i),
                                   c_rows_ + g.row, t);
          s.k_count = std::min(block, end - t);
          s.k_offset = g.k_offset + t;
          s.first = range == 0 && t == begin;
          run(s, panel, count);
        }
      });
  }

  std::int64_t ranges_, tiles_at_once_;
  char* packed_ = nullptr;
  std::int32_t* offsets_ = nullptr;
  void** c_rows_ = nullptr;
  std::vector<Group> list_;
};

}  // namespace

void run_k(const Call& call) {
  run_rows_of_groups<KBlock>(call, *CoveredMap(*call.live.a, call.schedule.rule.g_rows, 1));
}

}  // namespace pit::contract
