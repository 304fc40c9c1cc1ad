// Contractions: the dense computation tile held in registers, its epilogue, and the packing kernels that feed it.
//
//     C[m,n] = epilogue( sum over k ascending, one chain of fused multiply-adds from +0, of A[m,k] * B[k,n] )
//
// SRead is the packing: rows of A come from a pointer per row (any gathered live rows), k may be walked through an
// index; SWrite is the tile's store through a pointer per row. The order of summation is the same for every tile shape,
// row set and split of k (partial sums go through memory unchanged), so results are bit-identical sparse or dense.
//
// Layouts: packed A: [k][rows]; packed B: panels [k][vectors * lanes], zero beyond the last column. Elements have the
// algebra's types; a vector has as many lanes as fit it of the accumulator's.
// Drivers and blocking: contract (block, macro_tile, blocking).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "codegen/kernel_ir.h"
#include "expr/expr.h"
#include "lower/algebra.h"
#include "support/cpu.h"

namespace pit::lower {

/// How an epilogue operand is addressed by the tile.
enum class EpilogueAccess : std::uint8_t {
  scalar,  ///< one element: pointer
  per_n,   ///< bias: pointer at the tile's first column, consecutive
  per_m,   ///< one element per row: array of row pointers
  per_mn   ///< residual: array of row pointers at the tile's first column, consecutive
};

inline bool is_per_row(EpilogueAccess a) { return a == EpilogueAccess::per_m || a == EpilogueAccess::per_mn; }

/// An element-wise program whose first input is the contraction's result at (m,n) ("acc"), with single-assignment
/// statements and one output at (m,n). Tensors besides acc are operands, in order.
struct Epilogue {
  expr::Program program;                 ///< inputs: acc, operands...; `=` statements only; empty program: store acc
  std::vector<EpilogueAccess> operands;  ///< per input after acc
  std::vector<DType> dtypes;             ///< per input after acc
  std::vector<int> absorbing;            ///< as in RowSpec
  std::vector<double> params;            ///< values of the program's parameters (constants by now)
  ElementTypes types;                    ///< of the contraction; acc is of its C
  DType result = DType::f32;             ///< of the output; of the sum's size
};

/// Where a tile finds A.
enum class TileA : std::uint8_t {
  packed,  ///< [k][rows], tile after tile
  /// a pointer per row, consecutive k: SRead without a copy, where packing would not pay (few columns, few rows)
  rows
};

/// A call computes a *macro-tile*: `tiles` tiles of `rows x (panels * vectors * lanes)` one below the other, all with
/// the same columns of B.
struct TileSpec {
  int rows = 8;            ///< 1..MR
  int vectors = 3;         ///< 1..NV, per panel
  int panels = 1;          ///< panels of B side by side: wider tiles for few rows
  bool indexed_k = false;  ///< the i-th step of k uses B's row at b + k_offset[i] (i32 bytes) instead of row i
  /// the i-th step of k uses A at a_offset[i] (i32 bytes from the tile's, or row's, beginning) instead of position i
  bool indexed_a = false;
  /// tile t walks positions starts[t] .. starts[t+1] (i32) of k_offset and packed A (a_step is not used) instead of
  /// 0..k
  bool ragged = false;
  TileA a = TileA::packed;
  int prefetch_bytes = 0;  ///< bytes: B so far ahead of each step of k is fetched (without an index)
  Algebra algebra = {};
  Epilogue epilogue;
  std::string epilogue_key;  ///< names the epilogue in the kernel's name; equal keys mean equal epilogues
  CpuTarget target;
};

/// ptrs: a (packed, or a table of `rows` row pointers per tile), b, [k_offset], [a_offset], [starts], c_rows (table of
///       `rows` pointers per tile), then per epilogue operand a pointer at the macro-tile's first column (scalar,
///       per_n) or a table of `rows` pointers per tile at it (per_m, per_mn).
/// ints: k, columns (live columns, 1..panels*vectors*lanes; stores are masked beyond), first (1: accumulators start at
///       the identity; 0: they are loaded from C), last (1: apply the epilogue; 0: store the partial results), tiles,
///       a_step (bytes: packed: from a tile's A to the next one's; rows: added to each row pointer), panel_step (bytes
///       from a panel of B to the next), c_offset (bytes added to each pointer of c_rows), next_rows and next_offset
///       (bytes from c_rows to the pointers of the tile that a later call begins with, and what is added to those: that
///       C is prefetched; `rows` pointers are read there, but nothing behind them).
codegen::Kernel lower_tile(const TileSpec& spec);

/// The ints of a tile's call, in order.
struct TileInts {
  std::int64_t k = 0, columns = 0, first = 1, last = 1, tiles = 1, a_step = 0, panel_step = 0, c_offset = 0,
               next_rows = 0, next_offset = 0;
};

/// Why this element-wise program cannot be an epilogue, or nothing.
std::optional<std::string> refuse_epilogue(const Epilogue& e);

/// The register tile for a target and an algebra: rows x vectors (sums of products: 8x3 with 32 registers of 64 bytes,
/// 4x3 with 16 of 32: a panel's width is the same for every algebra of a target and type).
struct TileShape {
  int rows, vectors, lanes;
};
TileShape tile_shape(const CpuTarget& target, const Algebra& algebra = {});

// Packing moves elements of 4 or 8 bytes as they are.

/// dst[k][width] from `width` row pointers with consecutive k (the transposing SRead): vectorised in-register
/// transposes. ptrs: dst, row pointers (array of `width`), [k_index (i32)]; ints: k, rows (live rows, the rest packs as
/// 0). Requires 8 * width elements of slack behind dst. With k_index: element k_index[i] of each row.
codegen::Kernel lower_pack_transpose(int width, bool indexed_k, const CpuTarget& target, DType type = DType::f32);

/// dst[k][width] from rows along k: src + (k or k_index[k]) * k_stride, consecutive columns.
/// ptrs: dst, src, [k_index]; ints: k, columns (live, the rest packs as 0), k_stride (bytes).
codegen::Kernel lower_pack_copy(int width, bool indexed_k, const CpuTarget& target, DType type = DType::f32);

/// The general case: dst[k][i] = *(row[i] + k * k_stride). ptrs: dst, row pointers, [k_index]; ints: k, rows, k_stride
/// (bytes).
codegen::Kernel lower_pack_gather(int width, bool indexed_k, const CpuTarget& target, DType type = DType::f32);

}  // namespace pit::lower
