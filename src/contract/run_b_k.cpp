// The B.k rule: zeros in B alone. A panel's live k are the same for all rows of A, so each block of rows finds them
// once per panel and range of k, and its tiles walk B and packed A through them. A range of the block's A stays in L2
// for all panels: only few of its elements are read each time, in no order that hardware would foresee.
#include <algorithm>
#include <utility>
#include <vector>

#include "contract/walk.h"

namespace pit::contract {
namespace {

class PanelRuleBlock : Walk {
 public:
  PanelRuleBlock(const Call& call, const Task& task) : Walk(call, task, Family::both), range_(blocks_.k) {}

  void operator()() {
    allocate();
    const std::int64_t k = call_.problem.k;
    for (std::int64_t k0 = 0; k0 < k; k0 += range_) {
      pack_tiles(packed_, 0, rows_, std::min(range_, k - k0), nullptr, k0, range_);
      find_live_k(now_, task_.first_panel, k0);
      for (std::int64_t p = task_.first_panel; p < task_.last_panel; ++p) {
        if (p + 1 < task_.last_panel) {
          find_live_k(next_, p + 1, k0);
          kernel_.prefetch(p + 1, 1, next_.k_offset, next_.k_count);
        }
        multiply(now_, p, k0);
        std::swap(now_, next_);
      }
    }
  }

 private:
  struct List {
    std::int64_t k_count = 0;
    /// a_offset: of whole tiles, of the last one
    std::int32_t *k_offset = nullptr, *a_offset = nullptr, *rest_offset = nullptr;
  };

  void allocate() {
    const std::int64_t entries = range_ + 16;
    buffer_ = call_.scratch({{packed_, (rows_ * range_ + kPackSlack) * size_},
                             {now_.k_offset, entries},
                             {now_.a_offset, entries},
                             {now_.rest_offset, entries},
                             {next_.k_offset, entries},
                             {next_.a_offset, entries},
                             {next_.rest_offset, entries},
                             {listed_, item_.k_list ? call_.problem.k / 64 + 1 : 0},
                             {common_, item_.k_list ? range_ / 64 + 1 : 0},
                             {c_rows_, rows_ + kMaxTileRows}});
    if (item_.k_list) std::fill_n(listed_, call_.problem.k / 64 + 1, std::uint64_t{0});
    for (std::int64_t i = 0; item_.k_list && i < item_.k_count; ++i)
      listed_[item_.k_list[i] / 64] |= std::uint64_t{1} << (item_.k_list[i] % 64);
    for (std::int64_t i = 0; i < rows_; ++i) c_rows_[i] = c_row(i);
  }

  void find_live_k(List& l, std::int64_t panel, std::int64_t k0) const {
    const std::uint64_t* live = call_.b.live_k(*call_.live.b, item_.b_number, panel) + k0 / 64;
    const std::int64_t words = (std::min(range_, call_.problem.k - k0) + 63) / 64;
    if (item_.k_list) {
      for (std::int64_t w = 0; w < words; ++w) common_[w] = live[w] & listed_[k0 / 64 + w];
      live = common_;
    }
    const auto bytes = static_cast<std::int32_t>(panel_row_);
    l.k_count = detect::expand(live, words, static_cast<std::int32_t>(k0) * bytes, bytes, l.k_offset);
    over_tiles(rows_, [&](std::int64_t, std::int64_t height, std::int64_t) {
      detect::expand(live, words, 0, static_cast<std::int32_t>(height * size_), of(l, height));
    });
  }

  std::int32_t* of(const List& l, std::int64_t height) const { return height == tile_ ? l.a_offset : l.rest_offset; }

  void multiply(const List& l, std::int64_t panel, std::int64_t k0) const {
    if (l.k_count == 0 && k0 > 0) return;
    over_tiles(rows_, [&](std::int64_t row, std::int64_t height, std::int64_t tiles) {
      MacroTile s = macro_tile(packed_, range_, row, height, tiles, c_rows_);
      s.k_count = l.k_count, s.k_offset = l.k_offset, s.a_offset = of(l, height), s.first = k0 == 0;
      run(s, panel, 1);
    });
  }

  std::int64_t range_;
  char* packed_ = nullptr;                               ///< tile after tile, range_ steps of k each
  List now_, next_;                                      ///< of this panel and of the next one
  std::uint64_t *listed_ = nullptr, *common_ = nullptr;  ///< the item's list as bits; what a panel has of them
  void** c_rows_ = nullptr;
};

}  // namespace

void run_b_k(const Call& call) { run_rows_of_tiles<PanelRuleBlock>(call); }

}  // namespace pit::contract
