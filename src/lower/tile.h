// Contractions: the dense computation tile held in registers, its epilogue, and the packing kernels that feed it.
//
//     C[m,n] = epilogue( sum over k ascending, one chain of fused multiply-adds from +0, of A[m,k] * B[k,n] )
//
// SRead is the packing: rows of A come from a pointer per row (any gathered live rows), k may be walked through an index;
// SWrite is the tile's store through a pointer per row. The order of summation is the same for every tile shape, row set and split of k
// (partial sums go through memory unchanged), so results are bit-identical sparse or dense.
//
// Layouts (f32): packed A: [k][rows]; packed B: panels [k][vectors * lanes], zero beyond the last column.
// Driver and blocking: runtime/contraction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "codegen/kernel_ir.h"
#include "expr/expr.h"
#include "support/cpu.h"

namespace pit::lower {

/// How an epilogue operand is addressed by the tile.
enum class EpilogueAccess : std::uint8_t {
  scalar,   ///< one element: pointer
  per_n,    ///< bias: pointer at the tile's first column, consecutive
  per_m,    ///< one element per row: array of row pointers
  per_mn    ///< residual: array of row pointers at the tile's first column, consecutive
};

/// An element-wise program whose first input is the contraction's result at (m,n) ("acc"), with single-assignment statements
/// and one output at (m,n). Tensors besides acc are operands, in order.
struct Epilogue {
  expr::Program program;                    ///< inputs: acc, operands...; `=` statements only; empty program: store acc
  std::vector<EpilogueAccess> operands;     ///< per input after acc
  std::vector<DType> dtypes;                ///< per input after acc
  std::vector<int> absorbing;               ///< as in RowSpec
  std::vector<double> params;               ///< values of the program's parameters (constants by now)
};

struct TileSpec {
  int rows = 8;             ///< 1..MR
  int vectors = 3;          ///< 1..NV
  bool indexed_k = false;   ///< B rows are at b + k_offset[i] (i32 bytes) instead of consecutive; A is packed already in index order
  Epilogue epilogue;
  std::string epilogue_key; ///< names the epilogue in the kernel's name; equal keys mean equal epilogues
  CpuTarget target;
};

/// ptrs: a, b, [k_offset], c_rows (array of `rows` pointers at the tile's first column), then per epilogue operand a pointer
///       (scalar, per_n) or an array of `rows` pointers (per_m, per_mn).
/// ints: k, columns (live columns, 1..vectors*lanes; stores are masked beyond), first (1: accumulators start at +0; 0: they
///       are loaded from C), last (1: apply the epilogue; 0: store the partial sums).
codegen::Kernel lower_tile(const TileSpec& spec);

/// Why this element-wise program cannot be an epilogue, or nothing.
std::optional<std::string> refuse_epilogue(const Epilogue& e);

/// The register tile for a target: rows x vectors (8x3 with 32 registers of 16 lanes, 6x2 with 16 of 8).
struct TileShape { int rows, vectors, lanes; };
TileShape tile_shape(const CpuTarget& target);

/// dst[k][width] from `width` row pointers with consecutive k (the transposing SRead): vectorised in-register transposes.
/// ptrs: dst, row pointers (array of `width`), [k_index (i32)]; ints: k, rows (live rows, the rest packs as 0).
/// Requires 8 * width floats of slack behind dst. With k_index: element k_index[i] of each row.
codegen::Kernel lower_pack_transpose(int width, bool indexed_k, const CpuTarget& target);

/// dst[k][width] from rows along k: src + (k or k_index[k]) * k_stride, consecutive columns.
/// ptrs: dst, src, [k_index]; ints: k, columns (live, the rest packs as 0), k_stride (bytes).
codegen::Kernel lower_pack_copy(int width, bool indexed_k, const CpuTarget& target);

/// The general case: dst[k][i] = *(row[i] + k * k_stride). ptrs: dst, row pointers, [k_index]; ints: k, rows, k_stride (bytes).
codegen::Kernel lower_pack_gather(int width, bool indexed_k, const CpuTarget& target);

}  // namespace pit::lower
