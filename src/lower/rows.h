// Row kernels: fused element-wise, normalising, reducing and gathering programs, one row at a time.
//
// A row kernel runs a whole program (all statements, in order) for each row of an *indexed* loop over live rows (SRead
// and SWrite are the address arithmetic of that loop), with vectors along one inner axis:
//
//     for p in 0..row_count:  r = row_index[p]
//       statement 1 over inner;  statement 2 over inner; ...
//
// Axis roles (chosen by the fuser): `inner` is the vector axis; `mid` an optional reduced axis between row and inner,
// walked through an index of its own (masked mean pooling: only live tokens); all others are `outer`. The kernel does
// not know how the outer axes are merged or nested: each operand has one byte stride per row index, and the driver
// calls the kernel again with other base pointers for outer axes that did not merge. So one kernel serves every shape.
//
// Operands are the distinct accesses of input and output tensors. Their indices are affine in the axes (bare axes,
// offsets, steps, merges, literals), so the driver turns them into a base and one stride per axis; lookups
// (T[ids[b,s],h]) are loaded in the kernel. Along the inner axis an operand is `unit` (consecutive elements),
// `broadcast` (the same element) or `strided` (its stride is an argument).
//
// Temporaries with the inner axis live in a per-call scratch row or, when produced and used in the same loop, in
// registers; the others in registers. Consecutive statements share one loop over inner until one needs a finished
// reduction. Reductions over inner use 4 vector accumulators, in blocks, folded in a fixed order (deterministic, the
// same for any row set). A reduction over `mid` with free inner axis accumulates in the output row.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "codegen/kernel_ir.h"
#include "expr/expr.h"
#include "support/cpu.h"

namespace pit::lower {

enum class AxisRole : std::uint8_t { outer, mid, inner };
/// `computed` (nests alone): by no stride, each lane's address by its own index.
enum class InnerAccess : std::uint8_t { broadcast, unit, strided, computed };

/// One distinct access of an input or output tensor.
struct Operand {
  expr::TensorId tensor = -1;
  std::vector<expr::Expr> index;  ///< affine, or lookups whose own indices are affine
  InnerAccess inner = InnerAccess::broadcast;
  bool written = false;
  DType dtype = DType::f32;
  /// nests: how many elements a strided access moves per step of the vectors, where that is known; else 0
  std::int64_t step = 0;
};

/// What an integer argument of a row kernel is; the driver fills them in order.
struct Slot {
  enum Kind : std::uint8_t {
    row_count,
    inner_extent,
    mid_count,
    row_stride,
    mid_stride,
    inner_stride,  ///< of operand `a`, bytes
    /// operand `a`, dimension `b` of the looked-up tensor: extent; stride in bytes
    lookup_extent,
    lookup_stride,
    /// parameter `a`: integer value, or the bits of a double where used as float
    param,
    extent,  ///< of axis `a`
    /// outer axis `a` used as a value: its coordinate is base + row_index * step
    coordinate_base,
    coordinate_step
  } kind;
  int a = 0, b = 0;
  bool as_double = false;  ///< param: pass the bits of the double
};

struct RowSpec {
  std::string name;               ///< prefix of the kernel's name; the rest spells program, roles, dtypes, target
  expr::Program program;          ///< every tensor has its dtype
  std::vector<AxisRole> roles;    ///< per axis; at most one inner and one mid
  std::vector<Operand> operands;  ///< from collect_operands, `inner` filled in by the caller
  /// Statements whose value is `x + operand` where the operand (program tensor) absorbs: emitted as
  /// select(op <= -1e30, op, x + op), because x may be undefined there. Indexed by statement; -1: none.
  std::vector<int> absorbing;
  /// Each row walks a list of its own along mid: that between two of the offsets (ptrs, below).
  bool lists_of_rows = false;
  CpuTarget target;
};

struct RowKernel {
  codegen::Kernel kernel;
  // ptrs: row_index (i32), mid_index (i32, if has_mid), mid_offset (i64, if lists_of_rows: the list of row r is
  // mid_index[mid_offset[r]] up to mid_index[mid_offset[r + 1]]), then every operand's base, then scratch (if
  // scratch_rows > 0)
  bool has_mid = false, lists_of_rows = false;
  int scratch_rows = 0;  ///< scratch is scratch_rows * round_up(inner extent, 64) * 8 bytes
  std::vector<Slot> ints;
};

/// The distinct accesses of input and output tensors, reads in order of appearance, then writes (lookup tables and
/// their indices are operands too: the inner access of a lookup is an operand of its own, the outer access follows it).
std::vector<Operand> collect_operands(const expr::Program& p);

/// Why this program cannot be a row kernel with these roles (in words), or nothing. Refusals: non-affine index, default
/// reads, two reduced axes in one statement other than {mid, inner}, an operand dtype without kernel support, ...
std::optional<std::string> refuse_rows(const RowSpec& spec);

RowKernel lower_rows(const RowSpec& spec);
/// The kernel's name: a hash of all that decides its code and its arguments.
std::string kernel_name(const RowSpec& spec);

}  // namespace pit::lower
