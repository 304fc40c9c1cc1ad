// Internal: what is known about every element of a value or sub-expression (forward analysis), and the transfer
// functions over expression nodes.
//
// Upper facts say what *may* be (too much is safe), lower facts what *surely* is (too little is safe).
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "sparsity/control.h"
#include "sparsity/index_map.h"

namespace pit::sparsity {

struct Facts {
  MaskId nonzero;  ///< upper: may be non-zero
  MaskId live;     ///< upper: not surely masked (<= -9900); its complement is `dead`
  /// lower: surely of moderate size: no mask. What is computed from data by sums of products is taken to be so
  MaskId sure;
  MaskId tame;            ///< lower: surely far smaller than what absorbs (|x| <= 1e20): added to it, it is lost
  MaskId absorbs;         ///< lower: surely <= -1e30: absorbs whatever moderate value is added
  MaskId minus_infinity;  ///< lower: surely -inf
  MaskId nan;             ///< lower: surely NaN
  MaskId truth;           ///< lower: surely non-zero (true)
  MaskId one;             ///< lower: surely 1; of truths, where they are cast to numbers
};

/// Data: nothing is known but that nothing is masked.
Facts ordinary(MaskProgram& p, const std::vector<Dim>& extents);
/// Nothing is known: what a caller passes in or a library routine makes may be a mask.
Facts unknown(MaskProgram& p, const std::vector<Dim>& extents, DType t);

/// Whether zeros of the same shape would have the same facts.
bool reads_like_zeros(const Tensor& t);

/// Facts of constants: scanned once, here.
Facts constant_facts(MaskProgram& p, const graph::Graph& g, ValueId v, const Known& known);
/// Facts of a known value by its leaves.
Facts leaf_facts(MaskProgram& p, const graph::Graph& g, ValueId v, const Known& known);

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
  /// The operand of the statement's addition (its position among the tensors) that absorbs, and where; -1 if none does.
  /// Where it absorbs, the other operand is surely tame: of two masks that meet, both count.
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
  Facts coordinate() const;
  /// The expression's value, if it is one number known now.
  std::optional<double> number(const expr::Expr& e) const;
  bool keeps_masks(const expr::Expr& by, bool divides) const;
  /// Whether it is an element of an input of which nothing is known, moved at most: it may be zero.
  bool is_given(const expr::Expr& e) const;
  ValueId value_of(const expr::Expr& access) const;
  std::optional<DType> type_of(const expr::Expr& access) const;
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
