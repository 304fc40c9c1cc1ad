// Internal: what is known about every element of a value or sub-expression (forward analysis), and the transfer functions over
// expression nodes.
//
// Upper facts say what *may* be (too much is safe), lower facts what *surely* is (too little is safe).
#pragma once

#include <unordered_map>
#include <vector>

#include "sparsity/index_map.h"

namespace pit::sparsity {

struct Facts {
  MaskId nz;    ///< upper: may be non-zero
  MaskId live;  ///< upper: may be more than -1e4, i.e. not surely masked; its complement is `dead`
  MaskId sure;  ///< lower: surely more than -1e4. Values that are not masks are taken to be moderate: sure
  MaskId sd;    ///< lower: surely <= -1e30: absorbs whatever moderate value is added
  MaskId ninf;  ///< lower: surely -inf
  MaskId nan;   ///< lower: surely NaN
  MaskId tru;   ///< lower: surely non-zero (true)
};

/// Nothing is known (and nothing is masked).
Facts ordinary(MaskProgram& p, const std::vector<Dim>& extents);

/// Facts of constants: scanned once, here.
Facts constant_facts(MaskProgram& p, const graph::Graph& g, ValueId v);
/// Facts of a known value by its leaves. `finite`: it holds no infinity and no NaN.
Facts leaf_facts(MaskProgram& p, const graph::Graph& g, ValueId v, bool finite);

/// The forward analysis of one node, statement by statement; also answers for the backward one.
class ProgramFacts {
 public:
  /// `values`: facts per value of the graph (inputs of the node must be there).
  ProgramFacts(MaskProgram p, const IndexContext& c, const std::vector<Facts>& values);

  /// Before questions about the expressions of a statement.
  void enter(const expr::Statement& s);
  /// Facts of the sub-expression, over the program's axes.
  const Facts& of(const expr::Expr& e);
  const Facts& tensor(expr::TensorId t) const { return tensors_[static_cast<std::size_t>(t)]; }
  const std::vector<Dim>& dims(expr::TensorId t) const { return dims_[static_cast<std::size_t>(t)]; }
  IndexMap map_of(const expr::Expr& access) const;
  IndexMap map_of(const expr::Statement& s) const;
  /// The terms of the statement's reduction that can matter, of those demanded (a mask over the program's axes).
  MaskId terms(const expr::Statement& s, MaskId demanded);
  /// The operand of the statement's addition (its position among the tensors) that absorbs, and where; -1 if none does. Where it absorbs, the
  /// other operand is surely moderate: of two masks that meet, both count.
  int absorbing(const expr::Statement& s, MaskId* where);
  /// False if a temporary has dimensions that cannot be expressed: then nothing is known about the node.
  bool analysable() const { return analysable_; }
  bool widened() const { return widened_; }
  MaskProgram& masks() { return p_; }

 private:
  Facts compute(const expr::Expr& e);
  Facts compute_call(const expr::Node& e);
  Facts access(const expr::Expr& e);
  Facts addition(const Facts& a, const Facts& b);
  Facts subtraction(const expr::Expr& ea, const expr::Expr& eb);
  Facts selection(const Facts& c, const Facts& x, const Facts& y);
  Facts reduced(const expr::Statement& s, const Facts& v);
  Facts literal(double v);
  MaskId positive(const expr::Expr& e);
  ValueId value_of(const expr::Expr& access) const;
  Facts none_written(const std::vector<Dim>& dims);

  MaskProgram p_;
  const IndexContext& c_;
  std::vector<Dim> axes_;
  Facts ordinary_;  ///< over the program's axes
  std::vector<std::vector<Dim>> dims_;
  std::vector<Facts> tensors_;
  std::unordered_map<const expr::Node*, Facts> memo_;
  std::vector<expr::Expr> keep_alive_;
  bool analysable_ = true, widened_ = false, skips_ = false;
};

}  // namespace pit::sparsity
