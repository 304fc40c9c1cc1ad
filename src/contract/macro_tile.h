// MacroTile: what one call of a tile works on, and the loop over panels of B that all rules share.
#pragma once

#include <algorithm>
#include <vector>

#include "contract/buffers.h"
#include "contract/elements.h"
#include "contract/engine.h"
#include "contract/kernels.h"
#include "contract/packed.h"

namespace pit::contract {

/// Everything a rule needs of a call.
struct Call {
  const Kernels& kernels;
  const Problem& problem;
  const Live& live;
  PackedB& b;
  const Schedule& schedule;
  const ThreadPool& pool;
  BufferPool& buffers;
  CacheSizes caches;
  Poison poison = Poison::none;

  Buffer scratch(std::initializer_list<Piece> pieces) const {
    return buffers.take(pieces, kernels.algebra().types.accumulator, poison);
  }
  const lower::ElementSizes& sizes() const { return kernels.sizes(); }
  /// Row i of the item; of C where sums fit it.
  const char* a_row(const Item& item, std::int64_t i) const {
    return item.a + problem.a_rows[Problem::row_of(item, i)];
  }
  char* c_row(const Item& item, std::int64_t i) const {
    return item.c + problem.c_rows[Problem::row_of(item, i)] * sizes().c;
  }
  /// Bytes from a step of k of A to the next one, of a step of k of a whole panel of B, of a whole panel's row of C.
  std::int64_t a_k() const { return problem.a_k * sizes().a; }
  std::int64_t panel_row() const { return b.panels.width() * sizes().b; }
  std::int64_t panel_of_c() const { return b.panels.width() * sizes().c; }
  /// What C holds where nothing is summed.
  ElementBits identity() const { return {kernels.algebra().types.c, kernels.algebra().identity()}; }
};

/// A piece of work for one worker: rows begin..end (or groups of rows) of an item, panels first..last.
struct Task {
  std::int64_t item = 0, begin = 0, end = 0, first_panel = 0, last_panel = 0;
};

/// Whether so few tasks are worth cutting once more: the last ones would leave workers without any.
inline bool leave_workers_idle(std::int64_t tasks, std::int64_t threads) {
  return tasks % threads != 0 && tasks < 4 * threads;
}
/// Splits items x rows x panels into tasks of about `block` rows, cut at multiples of `step`; panels are split only
/// where there are too few tasks for the workers. Of each item as many rows, or as many as it has.
std::vector<Task> make_tasks(const Call& call, std::int64_t rows, std::int64_t block, std::int64_t step = 1);
std::vector<Task> make_tasks_of_items(const Call& call, std::int64_t block, std::int64_t step);

/// The problem's epilogue, on sums that the task's rows and panels of C hold.
void apply_epilogue(const Call& call, const Task& task);

/// Whether the epilogue follows each task, while what it has stored is near. (What live.c leaves out is known only in
/// the end.)
inline bool tasks_apply_epilogue(const Call& call) {
  return call.problem.epilogue != nullptr && call.live.c == nullptr;
}

/// Runs `Block(call, task, args...)()` on the workers, for each of the tasks, which count `unit` rows as one.
template <class Block, class... Args>
void run_tasks(const Call& call, const std::vector<Task>& tasks, std::int64_t unit, const Args&... args) {
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t t, int) {
    Task task = tasks[static_cast<std::size_t>(t)];
    Block(call, task, args...)();
    if (!tasks_apply_epilogue(call)) return;
    task.begin *= unit, task.end = std::min(task.end * unit, call.problem.m);
    apply_epilogue(call, task);
  });
}
/// Tasks of the schedule's rows, whole tiles each.
template <class Block>
void run_rows_of_tiles(const Call& call) {
  run_tasks<Block>(call, make_tasks_of_items(call, call.schedule.blocks.rows, call.kernels.rows()), 1);
}
/// The same in whole groups of rows, as high as the map's micro-tiles: begin and end of a task count groups.
template <class Block>
void run_rows_of_groups(const Call& call, const detect::LiveMap& map) {
  const std::int64_t groups = std::max<std::int64_t>(1, call.schedule.blocks.rows / map.g_rows);
  run_tasks<Block>(call, make_tasks(call, map.row_groups(), groups), map.g_rows, map);
}

/// An epilogue operand of a block of rows: a pointer for scalar / per_n, row pointers for per_m / per_mn (at column 0).
struct EpilogueRows {
  lower::EpilogueAccess access;
  std::int64_t element = 0;     ///< bytes
  char* base = nullptr;         ///< scalar, per_n
  void* const* rows = nullptr;  ///< per_m, per_mn
};

/// `tiles` tiles of `rows` rows one below the other, over the same steps of k.
struct MacroTile {
  int rows = 0;
  std::int64_t tiles = 0;
  const char* a = nullptr;        ///< packed; in_place: unused
  std::int64_t a_step = 0;        ///< bytes from a tile's A to the next one's (in_place: to the first step of k)
  void* const* a_rows = nullptr;  ///< in_place: row pointers
  std::int64_t k_count = 0;
  std::int64_t b_shift = 0;                ///< the first step of k, in a panel
  const std::int32_t* k_offset = nullptr;  ///< indexed, both, ragged: bytes into the panel
  const std::int32_t* a_offset = nullptr;  ///< both
  const std::int32_t* starts = nullptr;    ///< ragged
  void* const* c_rows = nullptr;           ///< rows * tiles pointers
  /// the next macro-tile's pointers are c_rows + next (0: these again, a panel further right); its C is fetched
  std::int64_t next = 0;
  bool first = true, last = true;
  std::int64_t first_row = 0;  ///< of the epilogue's tables, to c_rows[0]
};

/// Runs macro-tiles over one or more panels side by side.
class MacroKernel {
 public:
  /// What becomes of sums.
  struct Result {
    std::int64_t c_element = 0;                           ///< bytes
    const std::vector<EpilogueRows>* epilogue = nullptr;  ///< of the tiles' operands
    /// Stores of rows that a tile has too many: as many elements as columns, of up to 8 bytes. Null where the tiles
    /// have every height.
    char* trash = nullptr;
  };

  MacroKernel(const Call& call, Family family, std::int64_t b_number);
  /// `b`: packed panels, of `k` rows each.
  MacroKernel(const TileTable& tiles, Family family, const Panels& panels, std::int64_t k, const char* b,
              std::int64_t b_element, const Result& result);

  /// The last panel, where no other one lies beside it in a tile, is read here: PackedB::narrow_last.
  void narrow_last(const char* panel) { narrow_last_ = panel; }
  /// `count` panels from `panel` on; column 0 of the first lies c_offset bytes behind the row pointers. Tiles of few
  /// rows cover several whole panels at once.
  void run(const MacroTile& s, std::int64_t panel, int count, std::int64_t c_offset) const;
  /// Asks for the part `piece` of `pieces` of rows k0..k1 of `count` panels: B from L3 or memory arrives in L2 while
  /// something else is multiplied. Hardware follows rows that are read one after the other by itself, but not rows that
  /// are picked by an index.
  void prefetch(std::int64_t panel, int count, std::int64_t k0, std::int64_t k1, std::int64_t piece,
                std::int64_t pieces) const;
  /// The same for the rows of an index alone.
  void prefetch(std::int64_t panel, int count, const std::int32_t* k_offset, std::int64_t k_count) const;

 private:
  const char* panel_at(std::int64_t p) const { return b_ + panels_.offset(p, k_) * b_element_; }
  void call(const MacroTile& s, std::int64_t panel, int panels, std::int64_t columns, std::int64_t c_offset) const;
  void call_with_epilogue(const MacroTile& s, int vectors, std::int64_t column, void** arguments, int count,
                          const lower::TileInts& ints) const;

  const TileTable& tiles_;
  const Panels& panels_;
  std::int64_t k_;
  Family family_;
  const char* b_;
  const char* narrow_last_ = nullptr;
  std::int64_t b_element_;  ///< bytes
  Result result_;
};

/// The steps of k that any row of the item's A has.
std::vector<std::int32_t> needed_k(const Call& call, const Item& item);

// The rules. Each computes all items.
void run_dense(const Call& call);
/// The epilogue alone, on sums that all of C holds.
void run_epilogue(const Call& call);
void run_k(const Call& call);              ///< k
void run_rows(const Call& call);           ///< m
void run_elements(const Call& call);       ///< element
void run_b_k(const Call& call);            ///< b_k
void run_transposed(const Call& call);     ///< bt_k
void run_both(const Call& call);           ///< both
void run_both_elements(const Call& call);  ///< both, where A's micro-tiles are elements
void run_output(const Call& call);         ///< c_m
void run_stream(const Call& call);         ///< stream
void run_columns(const Call& call);        ///< c_n
/// How the schedule, of bt_k, cuts B.
StripShape strip_shape(const Kernels& kernels, const Problem& p, const Schedule& schedule);
/// Whatever the rule computed: elements of C outside of live.c become the identity.
void mask_output(const Call& call);

}  // namespace pit::contract
