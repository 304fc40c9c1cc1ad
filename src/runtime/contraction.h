// Running contractions: blocking, packing (SRead), tiles, stores through row pointers (SWrite).
#pragma once

#include "compile/pack.h"

#include "runtime/run.h"

namespace pit::runtime {

/// Hands out pieces of a worker's scratch.
class Scratch {
 public:
  explicit Scratch(char* p) : p_(p) {}
  template <class T>
  T* take(std::int64_t count) {
    T* r = reinterpret_cast<T*>(p_);
    p_ += (count * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
    return r;
  }

 private:
  char* p_;
};

/// An epilogue operand of a block of rows: a pointer for scalar / per_n, row pointers for per_m / per_mn (at column 0).
struct EpilogueRows {
  lower::EpilogueAccess access;
  std::int64_t element = 4;     ///< bytes
  char* base = nullptr;         ///< scalar, per_n
  void* const* rows = nullptr;  ///< per_m, per_mn
};

/// Consecutive steps of k: `count` of them from A's position a and B's row b.
struct KRange {
  std::int64_t a, b, count;
};

/// A block of rows against panels of B. All pointers are of live rows.
struct Block {
  const TileSet* tiles = nullptr;
  const PackSet* packs = nullptr;
  int tile_rows = 8, lanes = 16;
  int rows = 0;
  void* const* a = nullptr;  ///< per row; element (row, k=0)
  std::int64_t a_k_stride = 4;
  const std::int32_t* k_index = nullptr;
  std::int64_t k = 0, k_block = 512;  ///< steps of k between which partial sums wait in C
  const float* b = nullptr;           ///< packed panels
  Panels panels;
  std::int64_t first_panel = 0, last_panel = 0;
  std::int64_t b_k = 0;      ///< rows per panel of the packed B (its k)
  void* const* c = nullptr;  ///< per row; element (row, column 0)
  std::int64_t c_element = 4;
  const std::vector<EpilogueRows>* epilogue = nullptr;
  float* packed = nullptr;    ///< rows (of whole tiles) * k_block floats + slack
  bool room_for_all = false;  ///< packed has room for all k
  float* trash = nullptr;     ///< stores of rows that pad the last tile: panels.width() floats of 8 bytes
  /// Only these panels, their columns side by side in C and in per-column epilogue operands; null: [first_panel,
  /// last_panel).
  const std::vector<int>* panel_list = nullptr;
  /// Only these ranges of k, consecutive in A and in B; null: all k.
  const std::vector<KRange>* k_ranges = nullptr;
  bool resumes = false;  ///< C holds sums already: these steps of k, and the epilogue, are added to it
  /// Steps of k of A that are 0 here are absent and pack as zeros; null: all are there
  const std::uint8_t* live_k = nullptr;
};

/// C[rows, panels] = epilogue(A * B), the sums in ascending k.
void multiply(const Block& block);

class ContractionRunner {
 public:
  ContractionRunner(Run& run, const Step& step, const ContractionPlan& plan);
  void operator()();

  /// Byte offset of operand `o` at flat batch and row positions.
  std::int64_t batch_offset(std::size_t o, std::int64_t batch) const;
  std::int64_t row_offset(std::size_t o, std::int64_t m) const;
  /// Zeros for the rows of the result that must hold them though no kernel visits them.
  void clear_zero_rows() const;

 private:
  /// Panels with the same live rows. Usually one group; fused QKV has one per segment of its columns.
  struct PanelGroup {
    LiveList rows;
    std::int64_t first_panel = 0, last_panel = 0;
    bool has_k = true;  ///< false: nothing of A reaches these rows, their epilogue runs on zero
  };
  struct Task {
    const PanelGroup* group;
    std::int64_t batch, begin, end, first_panel, last_panel;
  };
  void make_panel_groups();
  void split_rows_without_k();
  /// Few rows, or zeros in values that it pays to leave out: the contraction engine sums, and true is returned. Then
  /// only the epilogue is missing.
  bool sum_by_engine();
  bool rows_are_whole() const;
  void make_tasks(const PanelGroup& group, std::vector<Task>& tasks) const;
  void run_task(const Task& t, int worker) const;
  const std::uint8_t* pack_b(const Task& t, Block& b, Scratch& scratch) const;
  void find_rows(const Task& t, const std::int32_t* list, int rows, void** a_rows, void** c_rows) const;
  void find_epilogue_rows(const Task& t, const std::int32_t* list, int rows, std::vector<EpilogueRows>& epilogue,
                          Scratch& scratch) const;
  void multiply_live(Block& b, const std::uint8_t* live_n) const;
  void choose_k(std::int64_t batch, Block& b, std::vector<KRange>& k_ranges, Scratch& scratch) const;

  Run& run_;
  const Step& step_;
  const ContractionPlan& plan_;
  const fuse::Group& group_;
  Panels panels_;
  std::vector<PanelGroup> panel_groups_;
  bool summed_ = false;  ///< C holds the sums
  LiveList rows_, reached_rows_, live_k_, live_n_;
  bool some_rows_absent_ = false;  ///< there are rows to be written that have no k
};

}  // namespace pit::runtime
