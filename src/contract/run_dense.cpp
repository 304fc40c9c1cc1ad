// The dense rule: blocks of rows, A packed as it is.
#include <algorithm>
#include <vector>

#include "contract/blocking.h"

namespace pit::contract {
namespace {

class DenseBlock {
 public:
  DenseBlock(const Call& call, const Task& task, std::int64_t term_block)
      : call_(call), task_(task), item_(call.problem.items[static_cast<std::size_t>(task.item)]), kb_(term_block), rows_(task.end - task.begin),
        tile_(call.kernels.rows()), runner_(call, Family::plain, item_.b_number) {}

  // Panels of B are walked from end to end, which memory likes best, a block of terms at a time: that stays in L1 while all of the rows meet it, and
  // partial results in C are still near. Packed A passes once per panel, from L3. (Blocks of A in L2, with all panels inside a block of terms, are
  // 10 % slower: panels are then read in pieces, and C is fetched again for each block.)
  void operator()() {
    const std::int64_t k = call_.problem.k;
    buffer_ = call_.scratch(Buffer::rounded<float>(rows_ * k + pack_slack) + 2 * Buffer::rounded<void*>(rows_));
    packed_ = buffer_.take<float>(rows_ * k + pack_slack);
    a_rows_ = buffer_.take<void*>(rows_);
    c_rows_ = buffer_.take<void*>(rows_);
    point_to_rows(call_.problem, item_.c, task_.begin, task_.end, c_rows_);
    pack();
    for (std::int64_t p = task_.first_panel; p < task_.last_panel;) {
      const int count = rows_ < tile_ ? static_cast<int>(std::min<std::int64_t>(4, task_.last_panel - p)) : 1;
      for (std::int64_t k0 = 0; k0 < k; k0 += kb_) run(p, count, k0, std::min(kb_, k - k0));
      p += count;
    }
  }

 private:
  void pack() {
    const Problem& p = call_.problem;
    for (std::int64_t r = 0; r < rows_; r += tile_) {
      const int count = static_cast<int>(std::min<std::int64_t>(tile_, rows_ - r));
      for (int i = 0; i < count; ++i) a_rows_[i] = const_cast<float*>(item_.a + (task_.begin + r + i) * p.a_row);
      pack_rows(call_.kernels.packs(), count, packed_ + r * p.k, a_rows_, count, p.k, p.a_k * 4, nullptr);
    }
  }

  void run(std::int64_t panel, int count, std::int64_t k0, std::int64_t terms) {
    const std::int64_t k = call_.problem.k, whole = rows_ / tile_ * tile_, offset = panel * call_.b.panels.width() * 4;
    Strip s;
    s.terms = terms;
    s.b_shift = k0;
    s.first = k0 == 0;
    s.last = k0 + terms >= k;
    if (whole > 0) {
      s.rows = tile_, s.tiles = whole / tile_;
      s.a = packed_ + k0 * tile_, s.a_step = k * tile_ * 4, s.c_rows = c_rows_;
      runner_.run(s, panel, count, offset);
    }
    if (whole < rows_) {
      s.rows = static_cast<int>(rows_ - whole), s.tiles = 1;
      s.a = packed_ + whole * k + k0 * s.rows, s.c_rows = c_rows_ + whole;
      runner_.run(s, panel, count, offset);
    }
  }

  const Call& call_;
  const Task& task_;
  const Item& item_;
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
  const std::int64_t tile = call.kernels.rows(), terms = term_block(call);
  // Twice the usual share of L3 for A: B passes once per block, from memory where it is large.
  const std::vector<Task> tasks = make_tasks(call, call.problem.m, row_block(call, 0.5, tile, 16 * tile, 128 * tile));
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()),
                         [&](std::int64_t t, int) { DenseBlock(call, tasks[static_cast<std::size_t>(t)], terms)(); });
}

}  // namespace pit::contract
