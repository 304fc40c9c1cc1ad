// When what a run finds in its data becomes known.
#pragma once

#include "fuse/fuse.h"
#include "graph/finders.h"

namespace pit::fuse {

/// A phase is the position of the group behind which something is known; -1: it is known with the inputs.
class Phases {
 public:
  /// For the order that `groups` have now.
  Phases(const graph::Graph& g, const sparsity::Analysis& a, const Fusion& f);

  const std::vector<graph::Finder>& finders() const { return finders_; }
  int of(Dim d) const;
  int of(const std::vector<Dim>& dims) const;
  /// Of what evaluating a mask needs.
  int of(sparsity::MaskId m) const;
  /// Of the elements of what masks read: known with the inputs, but for late leaves.
  int of_leaf(ValueId v) const { return late_[v] ? f_.group_of[g_.values[v].producer] : -1; }
  /// Of a value's shape, and of where its elements lie: in memory whose size is known by then.
  int of_value(ValueId v) const;
  /// Of all that running the group as rows or as a contraction needs.
  int of(const Group& group) const;

 private:
  const graph::Graph& g_;
  const sparsity::MaskProgram masks_;
  const std::vector<char>& late_;
  const Fusion& f_;
  bool none_ = false;  ///< all is known with the inputs
  std::vector<graph::Finder> finders_;
  std::vector<int> of_symbol_;
  mutable std::vector<int> of_dim_, of_mask_;  ///< as far as they have been asked for
};

}  // namespace pit::fuse
