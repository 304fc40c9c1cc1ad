// Permutation-invariance inference: which axes of a program may be permuted, derived from its expressions alone.
//
// Definition. Axis `a` of extent n is *permutable* if for every permutation s of 0..n-1 the program with each tensor dimension
// that `a` indexes permuted by s computes the outputs permuted by s in the dimensions that `a` indexes, and equal (for a
// reduced axis: up to reassociation of the combiner) elsewhere. That is what lets SRead gather micro-tiles along `a`
// into a dense tile in any order, and SWrite scatter them back.
//
// An axis is permutable iff, in every statement in which it occurs,
//   1. it stands only as a bare index of dimensions, never inside a compound index, a merge, an extent or a value (an iota);
//   2. if it is reduced there, the combiner is commutative and associative;
//   3. every dimension that it indexes, of every tensor that several statements share, is indexed by it in *all* of them:
//      a dimension indexed by it here and by a constant, another axis or nothing there would see the permutation;
//   4. a dimension that a lookup addresses is not also permuted (the looked-up table's dimension), nor is a dimension indexed
//      twice by the same access in a way that a permutation would break.
// An axis that fails only because it stands in a compound or merged index on a *read*, or in a merged index of the left side, may still be iterated in any order
// (`iteration`): SRead computes addresses (indirect convolution). The two kinds are kept apart by name.
#pragma once

#include <string>
#include <vector>

#include "expr/expr.h"

namespace pit::rules {

enum class Verdict {
  permutable,  ///< a PIT axis: data along it may be gathered and scattered in any order
  iteration,   ///< only the order of iteration is free: no rectangular micro-tile exists, addresses must be computed
  refused      ///< neither
};

struct AxisRule {
  expr::AxisId axis = -1;
  bool reduced = false;  ///< reduced in at least one statement
  Verdict verdict = Verdict::refused;
  std::string reason;    ///< why not permutable, naming the statement and index; empty when permutable
};

/// One entry per axis of the program, in order.
std::vector<AxisRule> infer(const expr::Program& p);

/// Program with the verdicts, as `pit explain` and `pit ops` print it: "m n k | i refused: compound index x+i in I".
std::string describe(const expr::Program& p, const std::vector<AxisRule>& rules);

const char* name_of(Verdict v);

}  // namespace pit::rules
