// The m rule: in each k-block (as wide as a micro-tile) the rows that are live there are gathered into whole
// tiles. Their results are added up in a compact C, a few panels wide, so that the read-modify-write per block of k
// stays in L2.
#include <algorithm>
#include <vector>

#include "contract/live_k.h"

namespace pit::contract {
namespace {

class RowsBlock {
 public:
  RowsBlock(const Call& call, const Task& task, const detect::LiveMap& map)
      : call_(call),
        task_(task),
        map_(map),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        size_(call.sizes().a),
        panels_(call.schedule.blocks.panels),
        streaming_(call.schedule.blocks.streams_c),
        rows_(std::min(task.end * map.g_rows, call.problem.m) - task.begin * map.g_rows),
        runner_(call, Family::plain, item_.b_number) {}

  void operator()() {
    allocate();
    for (std::int64_t g = 0; g < map_.column_groups(); ++g) read_k(g);
    const std::int64_t width = panels_ * call_.b.panels.width(), c_size = call_.sizes().c;
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; p += panels_) {
      const int count = static_cast<int>(std::min<std::int64_t>(panels_, task_.last_panel - p));
      const std::int64_t first = p * call_.b.panels.width(),
                         columns = std::min(call_.problem.n - first, count * call_.b.panels.width());
      fill(scratch_, rows_ * width, call_.identity());
      for (std::size_t i = 0; i < macro_tiles_.size(); ++i) {
        if (i + 1 < macro_tiles_.size() && macro_tiles_[i + 1].b_shift != macro_tiles_[i].b_shift)
          runner_.prefetch(p, count, macro_tiles_[i + 1].b_shift,
                           macro_tiles_[i + 1].b_shift + macro_tiles_[i + 1].k_count, 0, 1);
        runner_.run(macro_tiles_[i], p, count, 0);
      }
      for (std::int64_t i = 0; i < rows_; ++i)
        copy_row(call_.c_row(item_, task_.begin * map_.g_rows + i) + first * c_size, scratch_ + i * width * c_size,
                 columns * c_size, streaming_);
    }
  }

 private:
  void allocate() {
    std::int64_t live = 0;
    for (std::int64_t g = task_.begin; g < task_.end; ++g) live += map_.counts[static_cast<std::size_t>(number(g))];
    live *= map_.g_rows;
    const std::int64_t packed = (live * map_.g_columns + kPackSlack) * size_,
                       scratch = rows_ * panels_ * call_.panel_of_c();
    buffer_ = call_.scratch(Buffer::rounded<char>(packed) + Buffer::rounded<char>(scratch) +
                            Buffer::rounded<void*>(live + kMaxTileRows));
    packed_ = buffer_.take<char>(packed);
    scratch_ = buffer_.take<char>(scratch);
    c_rows_ = buffer_.take<void*>(live + kMaxTileRows);
  }

  std::int64_t number(std::int64_t group) const { return item_.a_number * map_.row_groups() + group; }

  // SRead of the rows that are live in one k-block.
  void read_k(std::int64_t column) {
    const Problem& p = call_.problem;
    const std::int64_t k0 = column * map_.g_columns, k_count = std::min(map_.g_columns, p.k - k0);
    const std::int64_t row_bytes = panels_ * call_.panel_of_c();
    void** c = c_rows_;
    live_.clear();
    for (std::int64_t g = task_.begin; g < task_.end; ++g) {
      if (!map_.test(number(g), column)) continue;
      const std::int64_t first = g * map_.g_rows, end = std::min(first + map_.g_rows, p.m);
      for (std::int64_t r = first; r < end; ++r) {
        live_.push_back(const_cast<char*>(call_.a_row(item_, r) + k0 * call_.a_k()));
        *c_rows_++ = scratch_ + (r - task_.begin * map_.g_rows) * row_bytes;
      }
    }
    const std::int64_t tile = call_.kernels.rows(), count = static_cast<std::int64_t>(live_.size()),
                       whole = count / tile * tile;
    MacroTile s;
    s.k_count = k_count, s.b_shift = k0, s.first = false, s.last = true, s.a_step = k_count * tile * size_;
    if (whole > 0) {
      s.rows = static_cast<int>(tile), s.tiles = whole / tile, s.a = packed_, s.c_rows = c, s.next = whole;
      for (std::int64_t r = 0; r < whole; r += tile, packed_ += k_count * tile * size_)
        pack_rows(call_.kernels.packs(), static_cast<int>(tile), packed_, live_.data() + r, static_cast<int>(tile),
                  k_count, call_.a_k(), nullptr);
      macro_tiles_.push_back(s);
    }
    if (whole < count) {
      s.rows = static_cast<int>(count - whole), s.tiles = 1, s.a = packed_, s.c_rows = c + whole, s.next = s.rows;
      pack_rows(call_.kernels.packs(), s.rows, packed_, live_.data() + whole, s.rows, k_count, call_.a_k(), nullptr);
      packed_ += k_count * s.rows * size_;
      macro_tiles_.push_back(s);
    }
  }

  const Call& call_;
  const Task& task_;
  const detect::LiveMap& map_;
  const Item& item_;
  std::int64_t size_;  ///< bytes of an element of A
  int panels_;
  bool streaming_;
  std::int64_t rows_;
  MacroKernel runner_;
  Buffer buffer_;
  char* packed_ = nullptr;
  char* scratch_ = nullptr;
  void** c_rows_ = nullptr;
  std::vector<void*> live_;
  std::vector<MacroTile> macro_tiles_;
};

}  // namespace

void run_rows(const Call& call) {
  run_rows_of_groups<RowsBlock>(call, *CoveredMap(*call.live.a, 1, call.schedule.rule.g_columns));
}

}  // namespace pit::contract
