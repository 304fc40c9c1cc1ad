// The dense rule: blocks of rows, A packed as it is, the epilogue as tiles store. It alone takes items of which parts
// are absent: rows (they are not in the problem's tables), steps of k, panels and columns of B.
#include <algorithm>
#include <cstring>
#include <vector>

#include "contract/block.h"

namespace pit::contract {
namespace {

/// What an epilogue may make of a sum.
constexpr std::int64_t kMostBytes = 8;

class DenseBlock {
 public:
  DenseBlock(const Call& call, const Task& task, bool epilogue_alone)
      : call_(call),
        problem_(call.problem),
        task_(task),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        blocks_(call.schedule.blocks),
        alone_(epilogue_alone),
        separate_(problem_.epilogue != nullptr && (blocks_.panels > 1 || blocks_.prefetches)),
        rows_(epilogue_alone ? task.end - task.begin : std::min(blocks_.rows, task.end - task.begin)),
        k_(epilogue_alone ? 0
           : item_.k_list ? item_.k_count
                          : problem_.k) {}

  void operator()() {
    Block b;
    b.packs = &call_.kernels.packs();
    b.tile_rows = call_.kernels.rows();
    b.a_k_stride = call_.a_k();
    b.k = k_;
    b.k_block = blocks_.k;
    b.packs_all = blocks_.packs_all;
    b.panels = call_.b.panels;
    b.first_panel = task_.first_panel, b.last_panel = task_.last_panel;
    b.panels_at_once = blocks_.panels;
    b.resumes = alone_;
    allocate(b);
    if (!alone_) find_b(b);
    for (std::int64_t begin = task_.begin; begin < task_.end; begin += rows_) {
      b.rows = std::min(rows_, task_.end - begin);
      find_rows(begin, b);
      multiply_live(b);
    }
  }

 private:
  std::size_t operands() const { return problem_.epilogue ? problem_.epilogue->operands.size() : 0; }
  std::int64_t c_element() const {
    return problem_.epilogue ? static_cast<std::int64_t>(size_of(problem_.epilogue->result)) : call_.sizes().c;
  }
  bool packs_b() const { return blocks_.packs_b && !alone_; }

  void allocate(Block& b) {
    const std::int64_t k = item_.k_list && !alone_ ? problem_.k : k_;  // with zeros for what is absent
    const lower::ElementSizes& size = call_.sizes();
    const std::int64_t tables = rows_ + kMaxTileRows;
    buffer_ = call_.scratch(
        {{b.packed, Block::packed_elements(rows_, b.tile_rows, b.packs_all ? k : std::min(k, b.k_block)) * size.a},
         {b.trash, kMostBytes * b.panels.width()},
         {packed_b_, packs_b() ? task_elements(b) * size.b : 0},
         {live_k_, item_.k_list ? problem_.k : 0},
         {a_rows_, tables},
         {c_rows_, tables},
         {operand_rows_, static_cast<std::int64_t>(operands()) * tables}});
    b.a = a_rows_, b.c = c_rows_;
    epilogue_.resize(operands());
    for (std::size_t o = 0; o < operands(); ++o) {
      const Epilogue::Operand& from = problem_.epilogue->operands[o];
      epilogue_[o] = {.access = from.access, .element = from.element, .base = item_.operands[o]};
      if (lower::is_per_row(from.access)) epilogue_[o].rows = operand_rows_ + static_cast<std::int64_t>(o) * tables;
    }
  }

  std::int64_t task_elements(const Block& b) const {
    return b.panels.offset(task_.last_panel - task_.first_panel, k_) + kPackSlack;
  }

  // B in panels, its steps of k in the order of the item's list, packed here or before. Constant panels hold all k: of
  // these long runs are walked one after the other, with partial sums in C; scattered ones are cheaper as a whole, with
  // zeros for what is absent.
  void find_b(Block& b) {
    if (k_ == 0) return;
    if (packs_b()) {
      const std::int64_t size = call_.sizes().b;
      const MatrixB matrix{.data = item_.b,
                           .k_stride = problem_.b_k * size,
                           .n_stride = problem_.b_n * size,
                           .k_list = item_.k_list,
                           .n_live = item_.n_live};
      char* const panel_0 = packed_b_ - b.panels.offset(task_.first_panel, k_) * size;
      pack_panels(call_.kernels.packs(), b.panels, task_.first_panel, task_.last_panel, matrix, k_, k_, panel_0);
      b.b = panel_0;
      b.b_k = k_;
      b.k_index = item_.k_list;
      return;
    }
    b.b = call_.b.data[static_cast<std::size_t>(item_.b_number)].get();
    b.b_k = call_.b.k;
    // An epilogue's tiles are as wide as the panels.
    if (problem_.epilogue == nullptr) b.b_last = call_.b.narrow_last(item_.b_number);
    if (!item_.k_list) return;
    if (item_.b != nullptr) {  // packed for this call, through the list
      b.k_index = item_.k_list;
      return;
    }
    constexpr std::int64_t worthwhile = 64;
    for (std::int64_t i = 0; i < k_; ++i) {
      const std::int64_t k = item_.k_list[i];
      if (!k_ranges_.empty() && k_ranges_.back().a + k_ranges_.back().count == k) ++k_ranges_.back().count;
      else k_ranges_.push_back({k, k, 1});
    }
    const auto runs = static_cast<std::int64_t>(k_ranges_.size());
    if (runs <= 1 || (problem_.sums_fit_c(call_.kernels.algebra()) && k_ >= worthwhile * runs)) {
      b.k_ranges = &k_ranges_;
      return;
    }
    std::memset(live_k_, 0, static_cast<std::size_t>(problem_.k));
    for (std::int64_t i = 0; i < k_; ++i) live_k_[item_.k_list[i]] = 1;
    b.live_k = live_k_;
    b.k = problem_.k;
  }

  void find_rows(std::int64_t first, Block& b) {
    for (std::int64_t i = 0; i < b.rows; ++i) {
      const std::int64_t row = Problem::row_of(item_, first + i);
      if (!alone_) a_rows_[i] = const_cast<char*>(call_.a_row(item_, first + i));
      c_rows_[i] = item_.c + problem_.c_rows[row] * c_element();
    }
    for (std::size_t o = 0; o < operands(); ++o) {
      const Epilogue::Operand& from = problem_.epilogue->operands[o];
      for (std::int64_t i = 0; lower::is_per_row(from.access) && i < b.rows; ++i)
        const_cast<void**>(epilogue_[o].rows)[i] = item_.operands[o] + from.rows[Problem::row_of(item_, first + i)];
    }
  }

  // Panels without a live column take no k: their epilogue runs on zero, so that they hold what a mask makes of them.
  void multiply_live(Block& b) const {
    if (!item_.n_live || alone_) return multiply(b);
    const Block whole = b;
    auto live = [&](std::int64_t p) {
      const std::uint8_t* columns = item_.n_live + p * b.panels.width();
      return std::any_of(columns, columns + b.panels.columns_of(p), [](std::uint8_t c) { return c != 0; });
    };
    for (std::int64_t p = whole.first_panel; p < whole.last_panel;) {
      const bool alive = live(p);
      b.first_panel = p;
      while (p < whole.last_panel && live(p) == alive) ++p;
      b.last_panel = p;
      b.k = alive ? whole.k : 0;
      b.k_ranges = alive ? whole.k_ranges : nullptr;
      multiply(b);
    }
    b = whole;
  }

  // Tiles that cover several panels or fetch ahead do not apply epilogues: those follow while C is near.
  void multiply(Block b) const {
    const TileTable* with_epilogue = problem_.epilogue ? problem_.epilogue->tiles : nullptr;
    b.c_element = c_element();
    if (separate_ || !with_epilogue) {
      b.tiles = &call_.kernels.tiles(blocks_.prefetches ? Family::prefetching : Family::plain);
      if (!alone_) run_block(b);
      if (!with_epilogue) return;
      b.k = 0, b.k_ranges = nullptr, b.k_index = nullptr, b.live_k = nullptr, b.resumes = true;
    }
    b.tiles = with_epilogue;
    b.epilogue = &epilogue_;
    run_block(b);
  }

  const Call& call_;
  const Problem& problem_;
  const Task& task_;
  const Item& item_;
  const Blocking& blocks_;
  bool alone_, separate_;
  std::int64_t rows_, k_;
  Buffer buffer_;
  char* packed_b_ = nullptr;
  std::uint8_t* live_k_ = nullptr;
  void** a_rows_ = nullptr;
  void** c_rows_ = nullptr;
  void** operand_rows_ = nullptr;
  std::vector<EpilogueRows> epilogue_;
  std::vector<KRange> k_ranges_;
};

}  // namespace

void apply_epilogue(const Call& call, const Task& task) { DenseBlock(call, task, true)(); }

void run_dense(const Call& call) {
  // A task that packs B does so for all of an item's rows.
  const std::int64_t rows = call.schedule.blocks.packs_b ? call.problem.m : call.schedule.blocks.rows;
  const std::vector<Task> tasks = make_tasks_of_items(call, std::max<std::int64_t>(rows, 1), call.kernels.rows());
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()),
                         [&](std::int64_t t, int) { DenseBlock(call, tasks[static_cast<std::size_t>(t)], false)(); });
}

void run_epilogue(const Call& call) {
  const std::vector<Task> tasks = make_tasks_of_items(call, 8 * call.kernels.rows(), call.kernels.rows());
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()),
                         [&](std::int64_t t, int) { apply_epilogue(call, tasks[static_cast<std::size_t>(t)]); });
}

}  // namespace pit::contract
