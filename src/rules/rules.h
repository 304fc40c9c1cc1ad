// Permutation-invariance inference: which axes of a program may be permuted, derived from its expressions alone.
//
// Definition. The dimensions *of* axis `a` are those tensor dimensions in which it stands as a bare index. Axis `a` of
// extent n is *permutable* if it has dimensions, all of extent n (no part of a concatenation), and if for every
// permutation s of 0..n-1 the program, given inputs whose dimensions of `a` are permuted by s, computes outputs whose
// dimensions of `a` are permuted by s and that are equal elsewhere (for a reduced axis: up to reassociation of the
// combiner). That is what lets SRead gather micro-tiles along `a` into a dense tile in any order, and SWrite scatter
// them back.
//
// An axis is permutable if
//   1. it stands nowhere but as a bare index: not inside a compound index or a merge, not as a value (an iota). Its
//      extent |a| may be used freely: a permutation does not change it;
//   2. where it is reduced, or folded by a lookup on the left, the combiner is commutative and associative;
//   3. each of its dimensions is indexed by it, bare, in *every* access of that tensor in the program, on either side:
//      an access that indexes the dimension by a constant, another axis or a lookup would see the permutation. (So the
//      dimension that a lookup addresses is never also permuted; a diagonal X[a,a] is permuted in both dimensions.)
// These conditions are sufficient for every program: the permutation is a renaming of the values of `a`. They are also
// necessary, up to coincidences of arithmetic that no syntactic rule sees (x*0, i+0, a statement whose result nobody
// uses): the law tests search a counter-example for each refusal.
//
// An axis that fails only because it stands in a compound or merged index, or has no dimension of its own, may still be
// iterated in any order (`iteration`): SRead and SWrite compute addresses (indirect convolution, a merged row). The two
// kinds are kept apart by name.
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
  std::string reason;  ///< why not permutable, naming the statement and index; empty when permutable
};

/// One entry per axis of the program, in order.
std::vector<AxisRule> infer(const expr::Program& p);

/// Program with the verdicts in a second line, as `pit explain` and `pit ops` print it:
/// "  n f c | x i iteration only: compound index x+i in I; j refused: ...".
std::string describe(const expr::Program& p, const std::vector<AxisRule>& rules);

const char* name_of(Verdict v);

}  // namespace pit::rules
