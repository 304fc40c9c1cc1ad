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
    clear_dead_rows();
    const std::int64_t width = panels_ * call_.b.panels.width(), c_size = call_.sizes().c;
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; p += panels_) {
      const int count = static_cast<int>(std::min<std::int64_t>(panels_, task_.last_panel - p));
      const std::int64_t first = p * call_.b.panels.width(),
                         columns = std::min(call_.problem.n - first, count * call_.b.panels.width());
      for (const std::int64_t row : cleared_) fill(scratch_ + row * width * c_size, width, call_.identity());
      for (std::size_t i = 0; i < macro_tiles_.size(); ++i) {
        if (i + 1 < macro_tiles_.size() && macro_tiles_[i + 1].b_shift != macro_tiles_[i].b_shift)
          runner_.prefetch(p, count, macro_tiles_[i + 1].b_shift,
                           macro_tiles_[i + 1].b_shift + macro_tiles_[i + 1].k_count, 0, 1);
        runner_.run(macro_tiles_[i], p, count, 0);
      }
      for (std::int64_t i = 0; i < rows_; ++i)
        if (begun_[i]) copy_row(c_row(i) + first * c_size, scratch_ + i * width * c_size, columns * c_size, streaming_);
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
                            Buffer::rounded<void*>(live + kMaxTileRows) + Buffer::rounded<std::uint8_t>(rows_));
    packed_ = buffer_.take<char>(packed);
    scratch_ = buffer_.take<char>(scratch);
    c_rows_ = buffer_.take<void*>(live + kMaxTileRows);
    begun_ = buffer_.take<std::uint8_t>(rows_);
    std::fill_n(begun_, rows_, std::uint8_t{0});
  }

  char* c_row(std::int64_t row) const { return call_.c_row(item_, task_.begin * map_.g_rows + row); }

  // From end to end, as memory likes it.
  void clear_dead_rows() const {
    const std::int64_t width = call_.b.panels.width(), first = task_.first_panel * width,
                       columns = std::min(call_.problem.n, task_.last_panel * width) - first;
    for (std::int64_t i = 0; i < rows_; ++i)
      if (!begun_[i]) fill(c_row(i) + first * call_.sizes().c, columns, call_.identity(), streaming_);
  }

  std::int64_t number(std::int64_t group) const { return item_.a_number * map_.row_groups() + group; }

  // SRead of the rows that are live in one k-block. Those that no earlier one had begin their sums, whole tiles of them;
  // the others add to what is there.
  void read_k(std::int64_t column) {
    const std::int64_t tile = call_.kernels.rows();
    fresh_.clear();
    again_.clear();
    for (std::int64_t g = task_.begin; g < task_.end; ++g) {
      if (!map_.test(number(g), column)) continue;
      for (std::int64_t r = g * map_.g_rows; r < std::min((g + 1) * map_.g_rows, call_.problem.m); ++r) {
        const std::int64_t row = r - task_.begin * map_.g_rows;
        (begun_[row] ? again_ : fresh_).push_back(row);
        begun_[row] = 1;
      }
    }
    const auto whole = static_cast<std::ptrdiff_t>(static_cast<std::int64_t>(fresh_.size()) / tile * tile);
    again_.insert(again_.end(), fresh_.begin() + whole, fresh_.end());
    cleared_.insert(cleared_.end(), fresh_.begin() + whole, fresh_.end());
    fresh_.resize(static_cast<std::size_t>(whole));
    add_tiles(fresh_, column, true);
    add_tiles(again_, column, false);
  }

  void add_tiles(const std::vector<std::int64_t>& rows, std::int64_t column, bool first) {
    const std::int64_t k0 = column * map_.g_columns, k_count = std::min(map_.g_columns, call_.problem.k - k0),
                       tile = call_.kernels.rows(), row_bytes = panels_ * call_.panel_of_c(),
                       count = static_cast<std::int64_t>(rows.size());
    for (std::int64_t r = 0; r < count; r += tile) {
      const int height = static_cast<int>(std::min(tile, count - r));
      if (r == 0 || height < tile) {
        MacroTile s;
        s.k_count = k_count, s.b_shift = k0, s.first = first, s.last = true, s.a_step = k_count * tile * size_;
        s.rows = height, s.a = packed_, s.c_rows = c_rows_;
        macro_tiles_.push_back(s);
      }
      MacroTile& s = macro_tiles_.back();
      ++s.tiles, s.next = s.tiles * height;
      void* a_rows[kMaxTileRows];
      for (int i = 0; i < height; ++i) {
        const std::int64_t row = rows[static_cast<std::size_t>(r + i)];
        a_rows[i] = const_cast<char*>(call_.a_row(item_, task_.begin * map_.g_rows + row) + k0 * call_.a_k());
        *c_rows_++ = scratch_ + row * row_bytes;
      }
      pack_rows(call_.kernels.packs(), height, packed_, a_rows, height, k_count, call_.a_k(), nullptr);
      packed_ += k_count * height * size_;
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
  std::vector<std::int64_t> fresh_, again_;  ///< rows of the k-block at hand
  std::vector<std::int64_t> cleared_;        ///< rows whose first sums are added to
  std::uint8_t* begun_ = nullptr;            ///< per row: some k-block has it
  std::vector<MacroTile> macro_tiles_;
};

}  // namespace

void run_rows(const Call& call) {
  run_rows_of_groups<RowsBlock>(call, *CoveredMap(*call.live.a, 1, call.schedule.rule.g_columns));
}

}  // namespace pit::contract
