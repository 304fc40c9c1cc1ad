// The k rule on B's transpose (Bt.k): zeros in B of micro-tiles narrower than a panel. Columns of B that share steps of k
// are the rows of a tile, rows of A its columns: C^T = B^T A^T, every element the same chain. A panel of A's transpose
// stays in L2 while all strips of B pick from it, and what tiles leave is transposed into C while it is in L1. Of B only
// what is live is read.
#include <algorithm>
#include <numeric>
#include <vector>

#include "contract/macro_tile.h"
#include "contract/strips.h"
#include "support/check.h"

namespace pit::contract {
namespace {

// B^T of an item and what its tasks have in common.
struct Operands {
  const std::vector<Strips>& matrices;
  Panels panels;  ///< of A's transpose
};

/// Some panels of A's transpose (in Task: first_panel..last_panel) and columns begin..end of B.
class TransposedBlock {
 public:
  TransposedBlock(const Call& call, const Task& task, const Operands& operands)
      : call_(call),
        task_(task),
        panels_(operands.panels),
        item_(call.problem.items[static_cast<std::size_t>(task.item)]),
        strips_(operands.matrices[static_cast<std::size_t>(item_.b_number)]),
        first_row_(task.first_panel * panels_.width()),
        rows_(std::min(call.problem.m, task.last_panel * panels_.width()) - first_row_),
        strip_(call.schedule.rule.g_columns),
        row_bytes_((task.last_panel - task.first_panel) * panels_.width() * call.sizes().c) {}

  void operator()() {
    allocate();
    read_a();
    const std::int64_t columns = call_.schedule.blocks.columns;
    const MacroKernel runner(call_.kernels.tiles(Family::ragged), Family::ragged, panels_, call_.problem.k, a_,
                             call_.sizes().b, {.c_element = call_.sizes().c});
    for (std::int64_t n = task_.begin; n < task_.end; n += columns) {
      const std::int64_t count = std::min(columns, task_.end - n);
      for (std::int64_t r = 0; r < strips_.ranges; ++r) multiply(runner, r, n, count);
      store(n, count);
    }
  }

 private:
  void allocate() {
    const std::int64_t a_bytes =
        ((task_.last_panel - task_.first_panel) * panels_.width() * call_.problem.k + kPackSlack) * call_.sizes().a;
    const std::int64_t columns = (call_.schedule.blocks.columns + strip_ - 1) / strip_ * strip_,
                       square = panels_.width() * call_.kernels.width() + kPackSlack;
    char* c = nullptr;
    buffer_ = call_.scratch({{a_, a_bytes},
                             {c, columns * row_bytes_},
                             {square_, square * call_.sizes().c},
                             {columns_, columns + kMaxTileRows}});
    for (std::int64_t i = 0; i < columns + kMaxTileRows; ++i) columns_[i] = c + std::min(i, columns - 1) * row_bytes_;
  }

  // SRead: rows of A side by side.
  void read_a() {
    const std::int64_t k = call_.problem.k;
    char* to = a_;
    void* rows[kMaxTileVectors * 16];
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; ++p) {
      const std::int64_t count = panels_.columns_of(p), width = panels_.width();
      for (std::int64_t i = 0; i < count; ++i) rows[i] = const_cast<char*>(call_.a_row(item_, p * width + i));
      pack_rows(call_.kernels.packs(), static_cast<int>(width), to, rows, static_cast<int>(count), k, call_.a_k(),
                nullptr);
      to += width * k * call_.sizes().a;
    }
  }

  // Strips of `count` columns from n on, in one range of k.
  void multiply(const MacroKernel& runner, std::int64_t range, std::int64_t n, std::int64_t count) const {
    const std::int64_t first = n / strip_, strips = (count + strip_ - 1) / strip_;
    const std::int32_t* starts = strips_.starts_of(range, first);
    if (range > 0 && starts[0] == starts[strips]) return;
    MacroTile s;
    s.rows = static_cast<int>(strip_), s.tiles = strips;
    s.a = strips_.values, s.k_offset = strips_.k_offset, s.starts = starts;
    s.c_rows = columns_;
    s.first = range == 0;
    runner.run(s, 0, static_cast<int>(task_.last_panel - task_.first_panel), 0);
  }

  // SWrite: as many columns as are transposed together at a time.
  void store(std::int64_t n, std::int64_t count) const {
    const std::int64_t together = call_.kernels.width();
    for (std::int64_t j = 0; j < count; j += together)
      for (std::int64_t i = 0; i < rows_; i += panels_.width())
        store_square(n, j, std::min(together, count - j), i, std::min(panels_.width(), rows_ - i));
  }

  void store_square(std::int64_t n, std::int64_t column, std::int64_t columns, std::int64_t row,
                    std::int64_t rows) const {
    const std::int64_t size = call_.sizes().c, together = call_.kernels.width();
    void* from[kMaxTileVectors * 16];
    for (std::int64_t j = 0; j < columns; ++j) from[j] = static_cast<char*>(columns_[column + j]) + row * size;
    pack_rows(call_.kernels.packs(), static_cast<int>(together), square_, from, static_cast<int>(columns), rows, size,
              nullptr);
    for (std::int64_t i = 0; i < rows; ++i)
      copy_row(call_.c_row(item_, first_row_ + row + i) + (n + column) * size, square_ + i * together * size,
               columns * size, call_.schedule.blocks.streams_c);
  }

  const Call& call_;
  const Task& task_;
  const Panels& panels_;
  const Item& item_;
  const Strips& strips_;
  std::int64_t first_row_, rows_, strip_;
  std::int64_t row_bytes_;  ///< of the task's part of a row of C's transpose
  Buffer buffer_;
  char* a_ = nullptr;         ///< panels of A's transpose
  char* square_ = nullptr;    ///< a piece of C
  void** columns_ = nullptr;  ///< rows of C's transpose
};

Panels panels_of_a(const Kernels& kernels, const Problem& p) {
  Panels panels = kernels.panels(p.m);
  PIT_CHECK(panels.uniform, "panels of an operand that an index walks");
  return panels;
}

/// Panels of A x pieces of columns, as many as workers have use for; pieces end where panels of B do, which an epilogue
/// walks.
std::vector<Task> tasks_of(const Call& call, const Panels& panels) {
  const Problem& p = call.problem;
  const std::int64_t at_once = call.schedule.blocks.panels, threads = call.pool.size(),
                     blocks = (panels.count() + at_once - 1) / at_once,
                     all = blocks * static_cast<std::int64_t>(p.items.size()),
                     unit = std::max<std::int64_t>(1, std::lcm(call.schedule.blocks.columns, call.b.panels.width())),
                     units = (p.n + unit - 1) / unit,
                     pieces = leave_workers_idle(all, threads) ? std::min(units, threads) : 1;
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < p.items.size(); ++i)
    for (std::int64_t b = 0; b < blocks; ++b)
      for (std::int64_t q = 0; q < pieces; ++q)
        tasks.push_back({static_cast<std::int64_t>(i), units * q / pieces * unit,
                         std::min(p.n, units * (q + 1) / pieces * unit), b * at_once,
                         std::min((b + 1) * at_once, panels.count())});
  return tasks;
}

/// Rows of A, panels of B.
Task epilogue_of(const Call& call, const Task& task, const Panels& panels) {
  const std::int64_t width = call.b.panels.width();
  return {task.item, task.first_panel * panels.width(), std::min(call.problem.m, task.last_panel * panels.width()),
          task.begin / width, (task.end + width - 1) / width};
}

/// The strips of a B that comes with the call, in `buffer`.
std::vector<Strips> read_strips(const Call& call, const StripShape& shape, Buffer& buffer) {
  const Problem& p = call.problem;
  const std::int64_t size = call.sizes().b;
  const std::vector<const Item*> item_of = p.items_of_b();
  StripReader reader(*call.live.b, shape, size, call.pool);
  std::vector<std::int64_t> bytes(item_of.size());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (item_of[i]) bytes[i] = Buffer::rounded<char>(reader.bytes(static_cast<std::int64_t>(i)));
  char* at = nullptr;
  buffer = call.scratch({{at, std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0})}});
  std::vector<Strips> matrices(item_of.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (!item_of[i]) continue;
    matrices[i] =
        reader.read(static_cast<std::int64_t>(i), at, [&, b = item_of[i]->b](std::int64_t column) -> StripSource {
          return {b + column * p.b_n * size, p.b_k * size, p.b_n * size};
        });
    at += bytes[i];
  }
  return matrices;
}

}  // namespace

StripShape strip_shape(const Kernels& kernels, const Problem& p, const Schedule& schedule) {
  return {.columns = schedule.rule.g_columns,
          .range = schedule.blocks.k,
          .step_bytes = panels_of_a(kernels, p).width() * kernels.sizes().a};
}

void run_transposed(const Call& call) {
  const StripShape shape = strip_shape(call.kernels, call.problem, call.schedule);
  const Panels panels = panels_of_a(call.kernels, call.problem);
  Buffer buffer;
  std::vector<Strips> here;
  const bool packed = !call.b.data.empty();
  if (!packed) here = read_strips(call, shape, buffer);
  const Operands operands{packed ? call.b.strips(*call.live.b, shape, call.pool) : here, panels};
  const std::vector<Task> tasks = tasks_of(call, panels);
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t t, int) {
    const Task& task = tasks[static_cast<std::size_t>(t)];
    TransposedBlock(call, task, operands)();
    if (tasks_apply_epilogue(call)) apply_epilogue(call, epilogue_of(call, task, panels));
  });
}

}  // namespace pit::contract
