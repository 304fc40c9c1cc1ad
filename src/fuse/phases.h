// When what a run finds in its data becomes known.
#pragma once

#include "fuse/fuse.h"
#include "graph/finders.h"

namespace pit::fuse {

/// A phase is the position of the group behind which something is known; -1: it is known with the inputs.
class Phases {
 public:
  /// For the order that `groups` have now.
  Phases(const graph::Graph& g, const Fusion& f);

  /// Whether all is known with the inputs.
  bool none() const { return finders_.empty(); }
  const std::vector<graph::Finder>& finders() const { return finders_; }
  int of(Dim d) const;
  int of(const std::vector<Dim>& dims) const;
  /// Of what evaluating a mask needs beside control values.
  int of(const sparsity::MaskProgram& masks, sparsity::MaskId m) const;
  /// Of a value's shape, and of where its elements lie.
  int of_value(ValueId v) const;
  /// Of all that running the group as rows or as a contraction needs.
  int of(const Group& group) const;

 private:
  const graph::Graph& g_;
  const Fusion& f_;
  std::vector<graph::Finder> finders_;
  std::vector<int> of_symbol_;
  mutable std::vector<int> of_dim_, of_mask_;  ///< as far as they have been asked for
};

}  // namespace pit::fuse
