// The dense rule: blocks of rows, A packed as it is.
#include <algorithm>
#include <vector>

#include "contract/blocking.h"

namespace pit::contract {
namespace {

struct Blocks {
  std::int64_t terms = 0;    ///< of k: one panel's stay in L1
  std::int64_t rows = 0;     ///< whose packed A stays in L2
  std::int64_t panels = 0;   ///< whose terms stay in L3 while several blocks of rows meet them
  std::int64_t whole_a = 0;  ///< bytes of A up to which all of k is packed at once
};

class DenseBlock {
 public:
  DenseBlock(const Call& call, const Task& task, const Blocks& blocks)
      : call_(call), task_(task), item_(call.problem.items[static_cast<std::size_t>(task.item)]), blocks_(blocks), kb_(blocks.terms),
        rows_(task.end - task.begin), tile_(call.kernels.rows()), runner_(call, Family::plain, item_.b_number) {}

  // Where all of the task's A fits L2, panels of B are walked from end to end, which memory likes best; else a block of terms at a time, with
  // partial results in C.
  void operator()() {
    const std::int64_t k = call_.problem.k;
    const bool whole = rows_ * k * 4 <= blocks_.whole_a || !call_.kernels.algebra().splits_k();
    const std::int64_t packed_k = whole ? k : kb_;
    buffer_ = call_.buffers.take(Buffer::rounded<float>(rows_ * packed_k + pack_slack) + 2 * Buffer::rounded<void*>(rows_));
    packed_ = buffer_.take<float>(rows_ * packed_k + pack_slack);
    a_rows_ = buffer_.take<void*>(rows_);
    c_rows_ = buffer_.take<void*>(rows_);
    point_to_rows(call_.problem, item_.c, task_.begin, task_.end, c_rows_);
    if (whole) return by_panels();
    for (std::int64_t k0 = 0; k0 < k; k0 += kb_) by_terms(k0, std::min(kb_, k - k0));
  }

 private:
  void by_panels() {
    const std::int64_t k = call_.problem.k;
    pack(0, k);
    for (std::int64_t p = task_.first_panel; p < task_.last_panel;) {
      const int count = rows_ < tile_ ? static_cast<int>(std::min<std::int64_t>(4, task_.last_panel - p)) : 1;
      for (std::int64_t k0 = 0; k0 < k; k0 += kb_) run(0, rows_, p, count, k0, std::min(kb_, k - k0), k);
      p += count;
    }
  }

  void by_terms(std::int64_t k0, std::int64_t terms) {
    constexpr std::int64_t rows_at_once = 32;
    pack(k0, terms);
    for (std::int64_t p0 = task_.first_panel; p0 < task_.last_panel; p0 += blocks_.panels) {
      const std::int64_t p1 = std::min(p0 + blocks_.panels, task_.last_panel);
      for (std::int64_t r0 = 0; r0 < rows_; r0 += blocks_.rows) {
        const std::int64_t r1 = std::min(r0 + blocks_.rows, rows_), pieces = (r1 - r0 + rows_at_once - 1) / rows_at_once;
        for (std::int64_t p = p0; p < p1; ++p)
          for (std::int64_t i = 0; i < pieces; ++i) {
            const std::int64_t row = r0 + i * rows_at_once;
            if (p + 1 < p1) runner_.prefetch(p + 1, 1, k0, k0 + terms, i, pieces);
            run(row, std::min(row + rows_at_once, r1), p, 1, k0, terms, terms);
          }
      }
    }
  }

  void pack(std::int64_t k0, std::int64_t terms) {
    const Problem& p = call_.problem;
    for (std::int64_t r = 0; r < rows_; r += tile_) {
      const int count = static_cast<int>(std::min<std::int64_t>(tile_, rows_ - r));
      for (int i = 0; i < count; ++i) a_rows_[i] = const_cast<float*>(item_.a + (task_.begin + r + i) * p.a_row + k0 * p.a_k);
      pack_rows(call_.kernels.packs(), count, packed_ + r * terms, a_rows_, count, terms, p.a_k * 4, nullptr);
    }
  }

  /// Rows begin..end, terms k0 .. k0+terms, of a packed A that has `packed_k` terms per tile, the first of which is k0 where it was packed by
  /// blocks. `begin` is a multiple of the tile.
  void run(std::int64_t begin, std::int64_t end, std::int64_t panel, int count, std::int64_t k0, std::int64_t terms, std::int64_t packed_k) {
    const std::int64_t ahead = packed_k == terms ? 0 : k0;
    Strip s;
    s.terms = terms;
    s.b_shift = k0;
    s.first = k0 == 0;
    s.last = k0 + terms >= call_.problem.k;
    const std::int64_t whole = begin + (end - begin) / tile_ * tile_, offset = panel * call_.b.panels.width() * 4;
    if (whole > begin) {
      s.rows = tile_, s.tiles = (whole - begin) / tile_;
      s.a = packed_ + begin * packed_k + ahead * tile_, s.a_step = packed_k * tile_ * 4, s.c_rows = c_rows_ + begin;
      runner_.run(s, panel, count, offset);
    }
    if (whole < end) {
      s.rows = static_cast<int>(end - whole), s.tiles = 1;
      s.a = packed_ + whole * packed_k + ahead * s.rows, s.c_rows = c_rows_ + whole;
      runner_.run(s, panel, count, offset);
    }
  }

  const Call& call_;
  const Task& task_;
  const Item& item_;
  const Blocks& blocks_;
  std::int64_t kb_, rows_;
  int tile_;
  StripRunner runner_;
  Buffer buffer_;
  float* packed_ = nullptr;
  void** a_rows_ = nullptr;
  void** c_rows_ = nullptr;
};

}  // namespace

void run_dense(const Call& call) {
  const std::int64_t tile = call.kernels.rows(), l2 = static_cast<std::int64_t>(call.caches.l2), l3 = static_cast<std::int64_t>(call.caches.l3);
  Blocks b;
  b.terms = term_block(call);
  b.rows = std::max(tile, l2 * 3 / 8 / (b.terms * 4) / (8 * tile) * (8 * tile));
  b.panels = std::max<std::int64_t>(1, l3 / 32 / (b.terms * call.b.panels.width() * 4));
  b.whole_a = l2 * 3 / 4;
  const std::int64_t block = row_block(call, 0.0, tile, std::min<std::int64_t>(b.rows, 16 * tile), 4 * b.rows);
  const std::vector<Task> tasks = make_tasks(call, call.problem.m, block);
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t t, int) { DenseBlock(call, tasks[static_cast<std::size_t>(t)], b)(); });
}

}  // namespace pit::contract
