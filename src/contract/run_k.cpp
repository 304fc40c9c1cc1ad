// The k rule: each group of rows walks the steps of k that are live in it. SRead packs them side by side; B's rows are
// found through an index of byte offsets into a panel, which costs the tile next to nothing.
#include <algorithm>
#include <vector>

#include "contract/live_k.h"

namespace pit::contract {
namespace {

class KRuleBlock {
 public:
  KRuleBlock(const Call& call, const Task& task, const detect::LiveMap& map)
      : call_(call),
        task_(task),
        map_(map),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        blocks_(call.schedule.blocks),
        ranges_(std::max<std::int64_t>(1, (call.problem.k + blocks_.k - 1) / blocks_.k)),
        begin_(task.begin * map.g_rows),
        end_(std::min(task.end * map.g_rows, call.problem.m)),
        size_(call.sizes().a),
        panel_bytes_(call.panel_row()),
        runner_(call, Family::indexed, item_.b_number) {}

  // Panel by panel, in each one range of k after the other, in each all groups: a range of a panel stays in L2 while
  // the groups walk it, and the next one is on its way.
  void operator()() {
    allocate();
    const std::int64_t groups = task_.end - task_.begin;
    // A few tiles at a time: in between, the memory system gets something to do, but no more than it can take.
    constexpr double lines_at_once = 20, most_tiles = 4;
    const double lines = static_cast<double>(blocks_.k * panel_bytes_ * blocks_.panels) / 64;
    const std::int64_t tiles = (end_ - begin_) / call_.kernels.rows() + 1;
    tiles_at_once_ =
        static_cast<std::int64_t>(std::clamp(lines_at_once * static_cast<double>(tiles) / lines, 1.0, most_tiles));
    for (std::int64_t g = 0; g < groups; ++g) read_group(g);
    const std::int64_t panels = blocks_.panels;
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; p += panels) {
      const int count = static_cast<int>(std::min(panels, task_.last_panel - p));
      for (std::int64_t r = 0; r < ranges_; ++r)
        for (std::int64_t g = 0; g < groups; ++g) {
          multiply(groups_[static_cast<std::size_t>(g)], r, p, count);
          if (blocks_.streams_c) flush(groups_[static_cast<std::size_t>(g)], p, count);
        }
    }
  }

 private:
  struct Group {
    std::int64_t row, rows;  ///< within the block
    std::int64_t k_count;
    const char* a;
    const std::int32_t* k_offset;
    const std::int32_t* range;  ///< first step of k of each range, and the end
  };

  /// What is read next, while a group is multiplied: its share of the next range, in as many pieces as its macro-tiles.
  void prefetch_next(std::int64_t panel, int count, std::int64_t range, const Group& g, std::int64_t piece,
                     std::int64_t pieces) const {
    const std::int64_t next_panel = range + 1 < ranges_ ? panel : panel + count, next = (range + 1) % ranges_;
    if (next_panel >= task_.last_panel) return;
    if (blocks_.sparse_panels) {
      const std::int64_t begin = g.range[next], k_count = g.range[next + 1] - begin, from = k_count * piece / pieces;
      return runner_.prefetch(next_panel, count, g.k_offset + begin + from, k_count * (piece + 1) / pieces - from);
    }
    const std::int64_t k0 = next * blocks_.k, k1 = std::min(k0 + blocks_.k, call_.problem.k);
    const auto number = static_cast<std::int64_t>(&g - groups_.data()),
               all = static_cast<std::int64_t>(groups_.size()) * pieces;
    runner_.prefetch(next_panel, count, k0, k1, number * pieces + piece, all);
  }

  void allocate() {
    std::int64_t packed = kPackSlack * size_, k_count = 0;
    for (std::int64_t g = task_.begin; g < task_.end; ++g) {
      const std::int64_t bound = live_columns_bound(map_, number(g)),
                         rows = std::min(map_.g_rows, call_.problem.m - g * map_.g_rows);
      packed += (bound * rows * size_ + 63) / 64 * 64;
      k_count += bound + 16;
    }
    const std::int64_t rows = end_ - begin_, groups = task_.end - task_.begin,
                       row_bytes = blocks_.panels * call_.panel_of_c();
    const std::int64_t scratch = blocks_.streams_c ? map_.g_rows * row_bytes : 0;
    k_count += groups * (ranges_ + 1);
    buffer_ = call_.scratch(Buffer::rounded<char>(packed) + Buffer::rounded<std::int32_t>(k_count) +
                            2 * Buffer::rounded<void*>(rows + kMaxTileRows) + Buffer::rounded<char>(scratch));
    packed_ = buffer_.take<char>(packed);
    offsets_ = buffer_.take<std::int32_t>(k_count);
    a_rows_ = buffer_.take<void*>(rows + kMaxTileRows);
    c_rows_ = buffer_.take<void*>(rows + kMaxTileRows);
    auto* compact = buffer_.take<char>(scratch);
    groups_.reserve(static_cast<std::size_t>(groups));
    if (!blocks_.streams_c) {
      point_to_rows(call_, item_, begin_, end_, c_rows_);
    } else {
      for (std::int64_t i = 0; i < rows; ++i) c_rows_[i] = compact + i % map_.g_rows * row_bytes;
    }
    for (std::int64_t i = 0; i < rows; ++i) a_rows_[i] = const_cast<char*>(call_.a_row(item_, begin_ + i));
  }

  std::int64_t number(std::int64_t group) const { return item_.a_number * map_.row_groups() + group; }

  // SRead of one group.
  void read_group(std::int64_t i) {
    Group g;
    g.row = i * map_.g_rows;
    g.rows = std::min(map_.g_rows, end_ - begin_ - g.row);
    g.k_count = live_columns(map_, number(task_.begin + i), 1, offsets_);
    g.a = packed_;
    g.k_offset = offsets_;
    const int tile = call_.kernels.rows();
    for (std::int64_t r = 0; r < g.rows; r += tile) {
      const int count = static_cast<int>(std::min<std::int64_t>(tile, g.rows - r));
      pack_rows(call_.kernels.packs(), count, packed_, a_rows_ + g.row + r, count, g.k_count, call_.a_k(), offsets_);
      packed_ += g.k_count * count * size_;
    }
    packed_ = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(packed_) + 63) / 64 * 64);
    std::int32_t* range = offsets_ + g.k_count;
    g.range = range;
    for (std::int64_t r = 0; r < ranges_; ++r)
      *range++ = static_cast<std::int32_t>(std::lower_bound(offsets_, offsets_ + g.k_count, r * blocks_.k) - offsets_);
    *range++ = static_cast<std::int32_t>(g.k_count);
    for (std::int64_t t = 0; t < g.k_count; ++t) offsets_[t] *= static_cast<std::int32_t>(panel_bytes_);
    offsets_ = range;
    groups_.push_back(g);
  }

  void multiply(const Group& g, std::int64_t range, std::int64_t panel, int count) {
    const int tile = call_.kernels.rows();
    const std::int64_t begin = g.range[range], end = g.range[range + 1], whole = g.rows / tile * tile;
    const std::int64_t c_offset = blocks_.streams_c ? 0 : panel * call_.panel_of_c();
    if (begin == end && range > 0) return;
    // As many steps of k as k_near stay in L1 for all tiles of the group; with few tiles there is nothing to keep.
    // Blocks of about the same size.
    const std::int64_t parts =
        g.rows > 2 * tile ? std::max<std::int64_t>(1, (end - begin + blocks_.k_near / 2) / blocks_.k_near) : 1;
    const std::int64_t block = std::max<std::int64_t>(1, (end - begin + parts - 1) / parts);
    const std::int64_t tiles_at_once = tiles_at_once_,
                       calls = std::max<std::int64_t>(1, (whole / tile + tiles_at_once - 1) / tiles_at_once);
    const std::int64_t pieces = calls * std::max<std::int64_t>(1, (end - begin + block - 1) / block);
    std::int64_t piece = 0;
    for (std::int64_t t = begin; t == begin || t < end; t += block) {
      MacroTile s;
      s.k_count = std::min(block, end - t);
      s.k_offset = g.k_offset + t;
      s.first = range == 0 && t == begin;
      s.last = true;
      for (std::int64_t row = 0; row < whole; row += tiles_at_once * tile) {
        prefetch_next(panel, count, range, g, piece++, pieces);
        s.rows = tile, s.tiles = std::min(tiles_at_once, (whole - row) / tile);
        s.a = g.a + (row * g.k_count + t * tile) * size_, s.a_step = g.k_count * tile * size_,
        s.c_rows = c_rows_ + g.row + row, s.next = s.tiles * tile;
        runner_.run(s, panel, count, c_offset);
      }
      if (whole < g.rows) {
        if (whole == 0) prefetch_next(panel, count, range, g, piece++, pieces);
        s.rows = static_cast<int>(g.rows - whole), s.tiles = 1;
        s.a = g.a + (whole * g.k_count + t * s.rows) * size_, s.c_rows = c_rows_ + g.row + whole, s.next = s.rows;
        runner_.run(s, panel, count, c_offset);
      }
    }
  }

  // SWrite of a group's results.
  void flush(const Group& g, std::int64_t panel, int count) {
    const std::int64_t first = panel * call_.b.panels.width(),
                       columns = std::min(call_.problem.n - first, count * call_.b.panels.width()),
                       size = call_.sizes().c;
    for (std::int64_t i = g.row; i < g.row + g.rows; ++i)
      copy_row(call_.c_row(item_, begin_ + i) + first * size, static_cast<char*>(c_rows_[i]), columns * size, true);
  }

  const Call& call_;
  const Task& task_;
  const detect::LiveMap& map_;
  const Item& item_;
  const Blocking& blocks_;
  std::int64_t ranges_;
  std::int64_t begin_, end_, size_, panel_bytes_;  ///< rows of the block; bytes of an element of A, of a panel's row
  std::int64_t tiles_at_once_ = 1;
  MacroKernel runner_;
  Buffer buffer_;
  char* packed_ = nullptr;
  std::int32_t* offsets_ = nullptr;
  void** a_rows_ = nullptr;
  void** c_rows_ = nullptr;
  std::vector<Group> groups_;
};

}  // namespace

void run_k(const Call& call) {
  run_rows_of_groups<KRuleBlock>(call, *CoveredMap(*call.live.a, call.schedule.rule.g_rows, 1));
}

}  // namespace pit::contract
