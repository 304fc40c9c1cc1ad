// Merging node programs into one group program by unifying their axes.
#pragma once

#include <set>
#include <utility>

#include "fuse/fuse.h"

namespace pit::fuse {

/// Grows one group. `start` takes the first node, `append` further ones that read what is already inside.
class Merger {
 public:
  Merger(graph::Graph& g, const sparsity::Analysis& analysis, Group& group)
      : g_(g), analysis_(analysis), group_(group) {}

  /// Takes the statements [first, last) of `n` as they are (all of them: first 0, last -1).
  void start(NodeId n, int first = 0, int last = -1);

  /// Adds an element-wise or reducing node whose axes are all axes of the group already. Refuses (false, group
  /// unchanged) otherwise.
  bool append(NodeId n);

  /// The index of a value written in the group, over the group's axes.
  const std::vector<expr::Expr>& index_of(ValueId v) const { return canonical_.at(v); }
  bool contains(ValueId v) const { return canonical_.count(v) != 0; }
  /// (value, dim) pairs whose extent may turn out to be 1 while the axis is longer.
  const std::set<std::pair<ValueId, int>>& maybe_broadcast() const { return maybe_broadcast_; }

 private:
  struct Mapping;
  bool unify_inputs(const graph::Node& n, Mapping& m) const;
  bool unify_frame(const graph::Node& n, Mapping& m) const;
  void take_statements(NodeId id, const graph::Node& n, const Mapping& m, int first, int last);
  expr::TensorId tensor_for(const graph::Node& n, expr::TensorId t, Mapping& m);
  expr::Expr rewrite(const graph::Node& n, const expr::Expr& e, Mapping& m);

  graph::Graph& g_;
  const sparsity::Analysis& analysis_;
  Group& group_;
  std::map<ValueId, expr::TensorId> tensor_of_;
  std::map<ValueId, std::vector<expr::Expr>> canonical_;
  std::set<std::pair<ValueId, int>> maybe_broadcast_;
  std::vector<int> frame_;  ///< axes of the group by dimension of its widest tensor, for stretched operands
};

}  // namespace pit::fuse
