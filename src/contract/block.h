// The loop nest of dense blocks: rows whose A is packed, panels of B, steps of k; for rules, attention and whatever
// multiplies on one worker.
#pragma once

#include <vector>

#include "contract/macro_tile.h"

namespace pit::contract {

/// Consecutive steps of k: `count` of them from A's position a and B's row b.
struct KRange {
  std::int64_t a, b, count;
};

/// A block of rows against panels of B. All pointers are of live rows.
struct Block {
  const TileTable* tiles = nullptr;
  const PackSet* packs = nullptr;  ///< which know the size of A's and B's elements
  int tile_rows = 8;
  std::int64_t rows = 0;
  void* const* a = nullptr;     ///< per row; element (row, k=0)
  std::int64_t a_k_stride = 0;  ///< bytes
  const std::int32_t* k_index = nullptr;
  std::int64_t k = 0, k_block = 512;  ///< steps of k between which partial sums wait in C
  const char* b = nullptr;            ///< packed panels
  const char* b_last = nullptr;       ///< PackedB::narrow_last, or null
  Panels panels;
  std::int64_t first_panel = 0, last_panel = 0;
  int panels_at_once = 1;    ///< side by side in a macro-tile, where there are tiles for that
  std::int64_t b_k = 0;      ///< rows per panel of the packed B (its k)
  void* const* c = nullptr;  ///< per row; element (row, column 0)
  std::int64_t c_element = 0;
  const std::vector<EpilogueRows>* epilogue = nullptr;
  char* packed = nullptr;  ///< packed_elements(rows, ...) of them
  bool packs_all = false;  ///< `packed` has room for all k
  char* trash = nullptr;   ///< as MacroKernel::Result has it
  /// Only these panels, their columns side by side in C and in per-column epilogue operands; null: [first_panel,
  /// last_panel).
  const std::vector<int>* panel_list = nullptr;
  /// Only these ranges of k, consecutive in A and in B; null: all k.
  const std::vector<KRange>* k_ranges = nullptr;
  bool resumes = false;  ///< C holds sums already: these steps of k, and the epilogue, are added to it
  /// Steps of k of A that are 0 here are absent and pack as zeros; null: all are there
  const std::uint8_t* live_k = nullptr;

  /// Of `packed`, for blocks of up to `rows` rows: a last tile may be higher than what is left.
  static std::int64_t packed_elements(std::int64_t rows, int tile_rows, std::int64_t k) {
    return (rows + tile_rows) * k + kPackSlack;
  }
};

/// C[rows, panels] = epilogue(A * B), the sums in ascending k.
void run_block(const Block& block);

}  // namespace pit::contract
