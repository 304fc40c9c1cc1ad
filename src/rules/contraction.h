// Recognising contractions by the structure of their statement, and classifying their axes.
//
//     C[c...] combine= product(A[a...], B[b...])
//
// or with both factors cast to one type, product(cast_i32(A[a...]), cast_i32(B[b...])),
//
// with bare axes as indices (or literals, for stretched operands). Any combiner that reduces, any binary function;
// whether the pair is an algebra that a tile can compute is for lower::refuse_algebra to say.
//
// Every axis has a part in it: *batch* (both operands and the result), *m* (the first operand and the result), *n* (the
// second and the result), *k* (both operands, reduced). The operands are swapped where that is needed for the result's
// last axis that is not of both to be the second operand's, because that is what vectors run along. n is the run of the
// second operand's own axes that ends there; other axes of the second operand alone are not columns of the same rows,
// so they count as batch axes along which the first operand does not move.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "expr/expr.h"
#include "rules/rules.h"

namespace pit::rules {

struct Contraction {
  expr::Combiner combiner = expr::Combiner::sum;
  expr::Fn product = expr::Fn::mul;
  expr::Expr a, b;  ///< accesses, after the swap
  /// The factors are casts of the elements to this type (the sum's, for narrower ones); unset: the elements themselves.
  std::optional<DType> widened;
  bool swapped = false;                   ///< a is the statement's second factor
  std::vector<expr::AxisId> batch, m, n;  ///< in the order of the result
  std::vector<expr::AxisId> k;            ///< in the order of the statement's first factor
};

/// The tensor element in a factor, which may be cast.
expr::Expr element_of(const expr::Expr& factor);

/// The contraction in statement `s` of `p`, or why it is none.
std::optional<Contraction> contraction_in(const expr::Program& p, const expr::Statement& s, std::string* why = nullptr);

/// What a matrix of a contraction may be sparse along.
enum class Operand { first, second, result };

/// Zeros of `operand` along `axis`: whether micro-tiles may be gathered along it, which is what makes them worth
/// knowing.
struct SparseRule {
  Operand operand = Operand::first;
  expr::AxisId axis = -1;
  bool admitted = false;
  std::string reason;              ///< why not, or what happens to absent micro-tiles
  std::vector<std::string> reads;  ///< admitted: tensors that are gathered along it (SRead)
  bool writes = false;             ///< admitted: the result is scattered along it (SWrite)
};

/// One entry per operand (and the result) and axis of its matrices (batch axes choose matrices, so they have none),
/// derived from the verdicts of `infer`.
std::vector<SparseRule> sparse_rules(const expr::Program& p, const Contraction& c);

}  // namespace pit::rules
