// The m rule: in each k-block (as wide as a micro-tile) the rows that are live there are gathered into whole
// tiles. Their results are added up in a compact C, a few panels wide, so that the read-modify-write per block of k
// stays in L2.
#include <algorithm>
#include <vector>

#include "contract/walk.h"

namespace pit::contract {
namespace {

class RowsBlock : GroupWalk {
 public:
  RowsBlock(const Call& call, const Task& task, const detect::LiveMap& map)
      : GroupWalk(call, task, Family::plain, map) {}

  void operator()() {
    allocate();
    for (std::int64_t c = 0; c < map_.column_groups(); ++c) read_k(c);
    clear_dead_rows();
    over_panels([&](std::int64_t p, int count) {
      for (const std::int64_t row : cleared_)
        fill(sums(row), blocks_.panels * call_.b.panels.width(), call_.identity());
      for (std::size_t i = 0; i < macro_tiles_.size(); ++i) {
        if (i + 1 < macro_tiles_.size() && macro_tiles_[i + 1].b_shift != macro_tiles_[i].b_shift)
          kernel_.prefetch(p, count, macro_tiles_[i + 1].b_shift,
                           macro_tiles_[i + 1].b_shift + macro_tiles_[i + 1].k_count, 0, 1);
        run(macro_tiles_[i], p, count);
      }
      flush(0, rows_, p, count, begun_);
    });
  }

 private:
  void allocate() {
    std::int64_t live = 0;
    for (std::int64_t g = 0; g < groups_; ++g) live += map_.counts[static_cast<std::size_t>(number(g))];
    live *= height_;
    char* compact = nullptr;
    buffer_ = call_.scratch({{packed_, (live * map_.g_columns + kPackSlack) * size_},
                             {compact, rows_ * compact_row_bytes()},
                             {c_rows_, live + kMaxTileRows},
                             {begun_, rows_}});
    keep_sums(compact, rows_);
    std::fill_n(begun_, rows_, std::uint8_t{0});
  }

  // From end to end, as memory likes it.
  void clear_dead_rows() const {
    const std::int64_t width = call_.b.panels.width(), first = task_.first_panel * width,
                       columns = std::min(call_.problem.n, task_.last_panel * width) - first;
    for (std::int64_t i = 0; i < rows_; ++i)
      if (!begun_[i]) fill(c_row(i) + first * call_.sizes().c, columns, call_.identity(), blocks_.streams_c);
  }

  // SRead of the rows that are live in one k-block. Those that no earlier one had begin their sums, whole tiles of them;
  // the others add to what is there.
  void read_k(std::int64_t column) {
    fresh_.clear();
    again_.clear();
    for (std::int64_t g = 0; g < groups_; ++g) {
      if (!map_.test(number(g), column)) continue;
      for (std::int64_t row = g * height_; row < g * height_ + rows_of(g); ++row) {
        (begun_[row] ? again_ : fresh_).push_back(row);
        begun_[row] = 1;
      }
    }
    const auto whole = static_cast<std::ptrdiff_t>(static_cast<std::int64_t>(fresh_.size()) / tile_ * tile_);
    again_.insert(again_.end(), fresh_.begin() + whole, fresh_.end());
    cleared_.insert(cleared_.end(), fresh_.begin() + whole, fresh_.end());
    fresh_.resize(static_cast<std::size_t>(whole));
    add_tiles(fresh_, column, true);
    add_tiles(again_, column, false);
  }

  void add_tiles(const std::vector<std::int64_t>& rows, std::int64_t column, bool first) {
    const std::int64_t k0 = column * map_.g_columns, k_count = std::min(map_.g_columns, call_.problem.k - k0);
    over_tiles(static_cast<std::int64_t>(rows.size()),
               [&](std::int64_t begin, std::int64_t height, std::int64_t tiles) {
                 MacroTile s = macro_tile(packed_, k_count, 0, height, tiles, c_rows_);
                 s.k_count = k_count, s.b_shift = k0, s.first = first;
                 macro_tiles_.push_back(s);
                 for (std::int64_t t = 0; t < tiles; ++t, packed_ += k_count * height * size_) {
                   void* a_rows[kMaxTileRows];
                   for (std::int64_t i = 0; i < height; ++i) {
                     const std::int64_t row = rows[static_cast<std::size_t>(begin + t * height + i)];
                     a_rows[i] = const_cast<char*>(a_row(row) + k0 * call_.a_k());
                     *c_rows_++ = sums(row);
                   }
                   const int count = static_cast<int>(height);
                   pack_rows(call_.kernels.packs(), count, packed_, a_rows, count, k_count, call_.a_k(), nullptr);
                 }
               });
  }

  char* packed_ = nullptr;
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
