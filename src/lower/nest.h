// Loop nests: any one statement of tensor expressions, whatever its indices are.
//
// What has rows in the sense of rows.h gets a row kernel, and a product its tiles. Everything else is a nest: windows
// with padding around them, reductions over many axes, tables that are looked up in several dimensions, indices with
// divisions. One kernel runs one statement:
//
//     for p in 0..row_count:  r = rows[p]                        (SRead and SWrite: r is a position of the outer axes)
//       outer axes from r;  for each vector of the vector axis:
//         acc = identity;  for the reduced axes:  acc = combine(acc, value);   store acc
//
// or, where the vector axis is reduced, the same with the vectors inside, folded at the end. Addresses are made of the
// coordinates, one extent and one byte stride per dimension of each tensor, so layouts and views cost nothing.
//
// The innermost loop is unrolled where its extent is known (windows): what its steps have of their own then stands before the
// loops around it. Accesses that skip every other element are read whole and taken apart.
//
// Reads outside of a tensor that has a default are *guarded* where the term then is the combiner's identity (padding of
// a convolution or a pool): the condition is looked at in the loop that decides it, and the loops inside are left out.
// Along the vector axis, and elsewhere, lanes are masked and take the default.
//
// A *scan*, a statement whose terms are those up to the element's own place, `Y[i] += select(j <= i, X[j], 0)`, is one walk
// along the axis: each element is stored on the way.
//
// A sum of products is one chain of fused multiply-adds over the reduced axes in their order, where the vector axis is
// free. Where it is reduced, terms are summed in lanes, in blocks, and folded in a fixed order: deterministic, and the
// same for any set of rows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lower/rows.h"

namespace pit::lower {

/// A statement whose value at `place` folds the terms of `term` before it (or behind it, backwards), its own among them
/// or not: `Y[i] += select(j <= i, f(j), 0)`, with any of <, <=, >, >=.
struct Scan {
  expr::AxisId place = -1, term = -1;
  bool inclusive = true, backwards = false;
};
/// Nothing if the statement is no scan. Both axes must have one extent.
std::optional<Scan> scan_of(const expr::Statement& s);

/// Requires one statement in `program`; its output tensor is the only one that is not an input.
struct NestSpec {
  expr::Program program;            ///< every tensor has its dtype
  std::vector<expr::AxisId> outer;  ///< free axes that make the row index, outermost first
  expr::AxisId vector = -1;         ///< the axis of the vectors: the one free axis that is not outer, or a reduced one
  bool scans = false;               ///< as scan_of says: its axes are neither outer nor the vectors'
  /// From nest_operands, with `inner` as along `vector`: `broadcast` where the access does not move with it.
  std::vector<Operand> operands;
  /// Per axis: its extent where it is known and short, so that its loop may be unrolled; else 0.
  std::vector<std::int64_t> extents;
  CpuTarget target;
};

struct NestKernel {
  codegen::Kernel kernel;
  // ptrs: rows (i32), status (i64, if has_status), every operand's element 0 of its tensor.
  // An index that is looked up, or computed otherwise than linearly, and out of range is not read with; the kernel stores 1 + its operand in status[0], and the
  // index in status[1].
  bool has_status = false;
  /// Slot::row_count, extent, param, inner_stride (of operand `a` along `vector`), lookup_extent and lookup_stride (of
  /// operand `a`, dimension `b`).
  std::vector<Slot> ints;
};

/// The distinct accesses of a program with one statement, reads first (what is looked up before where), then the write.
std::vector<Operand> nest_operands(const expr::Program& p);

/// Why there is no nest for this statement (in words), or nothing: writes through lookups, logsumexp, types.
std::optional<std::string> refuse_nest(const NestSpec& spec);

NestKernel lower_nest(const NestSpec& spec);
/// The kernel's name: a hash of all that decides its code and its arguments.
std::string kernel_name(const NestSpec& spec);

}  // namespace pit::lower
