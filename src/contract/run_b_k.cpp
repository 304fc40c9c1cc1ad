// The B.k rule: zeros in B alone. A panel's live k are the same for all rows of A, so each block of rows finds them
// once per panel and range of k, and its tiles walk B and packed A through them. A range of the block's A stays in L2
// for all panels: only few of its elements are read each time, in no order that hardware would foresee.
#include <algorithm>
#include <utility>
#include <vector>

#include "contract/live_k.h"

namespace pit::contract {
namespace {

class PanelRuleBlock {
 public:
  PanelRuleBlock(const Call& call, const Task& task)
      : call_(call),
        task_(task),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        size_(call.sizes().a),
        range_(call.schedule.blocks.k),
        rows_(task.end - task.begin),
        tile_(call.kernels.rows()),
        whole_(rows_ / tile_ * tile_),
        panel_bytes_(static_cast<std::int32_t>(call.panel_row())),
        runner_(call, Family::both, item_.b_number) {}

  void operator()() {
    allocate();
    const std::int64_t k = call_.problem.k;
    for (std::int64_t k0 = 0; k0 < k; k0 += range_) {
      pack(k0, std::min(range_, k - k0));
      find_live_k(now_, task_.first_panel, k0);
      for (std::int64_t p = task_.first_panel; p < task_.last_panel; ++p) {
        if (p + 1 < task_.last_panel) {
          find_live_k(next_, p + 1, k0);
          runner_.prefetch(p + 1, 1, next_.k_offset, next_.k_count);
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
    const std::int64_t bytes = (rows_ * range_ + kPackSlack) * size_;
    buffer_ = call_.scratch(Buffer::rounded<char>(bytes) + 6 * Buffer::rounded<std::int32_t>(entries) +
                            2 * Buffer::rounded<void*>(rows_ + kMaxTileRows));
    packed_ = buffer_.take<char>(bytes);
    for (List* l : {&now_, &next_})
      for (std::int32_t** p : {&l->k_offset, &l->a_offset, &l->rest_offset}) *p = buffer_.take<std::int32_t>(entries);
    a_rows_ = buffer_.take<void*>(rows_ + kMaxTileRows);
    c_rows_ = buffer_.take<void*>(rows_ + kMaxTileRows);
    point_to_rows(call_, item_, task_.begin, task_.end, c_rows_);
  }

  void pack(std::int64_t k0, std::int64_t k_count) {
    for (std::int64_t r = 0; r < rows_; r += tile_) {
      const int count = static_cast<int>(std::min(tile_, rows_ - r));
      for (int i = 0; i < count; ++i)
        a_rows_[i] = const_cast<char*>(call_.a_row(item_, task_.begin + r + i) + k0 * call_.a_k());
      pack_rows(call_.kernels.packs(), count, packed_ + r * range_ * size_, a_rows_, count, k_count, call_.a_k(),
                nullptr);
    }
  }

  void find_live_k(List& l, std::int64_t panel, std::int64_t k0) {
    const std::uint64_t* live = call_.b.live_k(*call_.live.b, item_.b_number, panel) + k0 / 64;
    const std::int64_t words = (std::min(range_, call_.problem.k - k0) + 63) / 64;
    l.k_count = detect::expand(live, words, static_cast<std::int32_t>(k0) * panel_bytes_, panel_bytes_, l.k_offset);
    if (whole_ > 0) detect::expand(live, words, 0, static_cast<std::int32_t>(tile_ * size_), l.a_offset);
    if (whole_ < rows_)
      detect::expand(live, words, 0, static_cast<std::int32_t>((rows_ - whole_) * size_), l.rest_offset);
  }

  void multiply(const List& l, std::int64_t panel, std::int64_t k0) const {
    if (l.k_count == 0 && k0 > 0) return;
    MacroTile s;
    s.k_count = l.k_count;
    s.k_offset = l.k_offset;
    s.first = k0 == 0;
    const auto run = [&](std::int64_t row, std::int64_t rows, std::int64_t tiles, const std::int32_t* a_offset) {
      s.rows = static_cast<int>(rows), s.tiles = tiles, s.a_offset = a_offset;
      s.a = packed_ + row * range_ * size_, s.a_step = range_ * rows * size_, s.c_rows = c_rows_ + row,
      s.next = rows * tiles;
      runner_.run(s, panel, 1, panel * call_.panel_of_c());
    };
    if (whole_ > 0) run(0, tile_, whole_ / tile_, l.a_offset);
    if (whole_ < rows_) run(whole_, rows_ - whole_, 1, l.rest_offset);
  }

  const Call& call_;
  const Task& task_;
  const Item& item_;
  std::int64_t size_;  ///< bytes of an element of A
  std::int64_t range_, rows_, tile_, whole_;
  std::int32_t panel_bytes_;
  MacroKernel runner_;
  Buffer buffer_;
  char* packed_ = nullptr;  ///< tile after tile, range_ steps of k each
  List now_, next_;         ///< of this panel and of the next one
  void** a_rows_ = nullptr;
  void** c_rows_ = nullptr;
};

}  // namespace

void run_b_k(const Call& call) { run_rows_of_tiles<PanelRuleBlock>(call); }

}  // namespace pit::contract
