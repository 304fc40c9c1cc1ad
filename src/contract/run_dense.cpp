// The dense rule: blocks of rows, A packed as it is.
#include <algorithm>
#include <vector>

#include "contract/macro_tile.h"

namespace pit::contract {
namespace {

class DenseBlock {
 public:
  DenseBlock(const Call& call, const Task& task)
      : call_(call),
        task_(task),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        rows_(task.end - task.begin),
        blocks_(call.schedule.blocks),
        kb_(blocks_.k),
        tile_(call.kernels.rows()),
        runner_(call, blocks_.prefetches ? Family::prefetching : Family::plain, item_.b_number) {}

  void operator()() {
    const std::int64_t k = call_.problem.k;
    const bool whole = blocks_.packs_all;
    const std::int64_t packed_k = whole ? k : kb_;
    buffer_ = call_.scratch(Buffer::rounded<float>(rows_ * packed_k + kPackSlack) + 2 * Buffer::rounded<void*>(rows_));
    packed_ = buffer_.take<float>(rows_ * packed_k + kPackSlack);
    a_rows_ = buffer_.take<void*>(rows_);
    c_rows_ = buffer_.take<void*>(rows_);
    point_to_rows(call_.problem, item_.c, task_.begin, task_.end, c_rows_);
    if (whole) {
      pack(0, k);
      for (std::int64_t p = task_.first_panel; p < task_.last_panel;) {
        const int count = static_cast<int>(std::min<std::int64_t>(blocks_.panels, task_.last_panel - p));
        if (k == 0) run(p, count, 0, 0, 0);
        for (std::int64_t k0 = 0; k0 < k; k0 += kb_) run(p, count, k0, std::min(kb_, k - k0), k);
        p += count;
      }
      return;
    }
    for (std::int64_t k0 = 0; k0 < k; k0 += kb_) {
      const std::int64_t k_count = std::min(kb_, k - k0);
      pack(k0, k_count);
      for (std::int64_t p = task_.first_panel; p < task_.last_panel; ++p) run(p, 1, k0, k_count, k_count);
    }
  }

 private:
  void pack(std::int64_t k0, std::int64_t k_count) {
    const Problem& p = call_.problem;
    for (std::int64_t r = 0; r < rows_; r += tile_) {
      const int count = static_cast<int>(std::min<std::int64_t>(tile_, rows_ - r));
      for (int i = 0; i < count; ++i)
        a_rows_[i] = const_cast<float*>(item_.a + p.a_rows[static_cast<std::size_t>(task_.begin + r + i)] + k0 * p.a_k);
      pack_rows(call_.kernels.packs(), count, packed_ + r * k_count, a_rows_, count, k_count, p.a_k * 4, nullptr);
    }
  }

  /// Steps k0 .. k0 + k_count. Packed A has `packed_k` steps of k per tile, from k0 on where it was packed k-block by
  /// k-block, else from 0.
  void run(std::int64_t panel, int count, std::int64_t k0, std::int64_t k_count, std::int64_t packed_k) {
    const std::int64_t ahead = packed_k == k_count ? 0 : k0;
    MacroTile s;
    s.k_count = k_count;
    s.b_shift = k0;
    s.first = k0 == 0;
    s.last = k0 + k_count >= call_.problem.k;
    const std::int64_t whole = rows_ / tile_ * tile_, offset = panel * call_.b.panels.width() * 4;
    if (whole > 0) {
      s.rows = tile_, s.tiles = whole / tile_;
      s.a = packed_ + ahead * tile_, s.a_step = packed_k * tile_ * 4, s.c_rows = c_rows_;
      runner_.run(s, panel, count, offset);
    }
    if (whole < rows_) {
      s.rows = static_cast<int>(rows_ - whole), s.tiles = 1;
      s.a = packed_ + whole * packed_k + ahead * s.rows, s.c_rows = c_rows_ + whole;
      runner_.run(s, panel, count, offset);
    }
  }

  const Call& call_;
  const Task& task_;
  const Item& item_;
  std::int64_t rows_;
  const Blocking& blocks_;
  std::int64_t kb_;
  int tile_;
  MacroKernel runner_;
  Buffer buffer_;
  float* packed_ = nullptr;
  void** a_rows_ = nullptr;
  void** c_rows_ = nullptr;
};

}  // namespace

void run_dense(const Call& call) { run_rows_of_tiles<DenseBlock>(call); }

}  // namespace pit::contract
