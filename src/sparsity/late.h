// Internal: values that masks look at once a run has computed them: what a router chooses, a mask made of scores, tokens
// that are dropped on the way.
//
// Any element may turn out to be zero. Those are worth a look whose zeros the model itself makes, and which each decide
// about many others:
//   * truths of computed data (comparisons), and selections by them with a branch of zeros (one-hot);
//   * what is scattered over zeros, or over a mask.
#pragma once

#include <vector>

#include "sparsity/control.h"
#include "sparsity/facts.h"
#include "sparsity/governed.h"

namespace pit::sparsity {

class LateLeaves {
 public:
  LateLeaves(const graph::Graph& g, const Known& known);

  /// What masks may know of a result of node `n` once it is computed, added to its facts. `inputs`: facts by value;
  /// `f`: the analysis of its program, or null. Whether that is anything.
  bool add(MaskProgram& p, const graph::Node& n, graph::ValueId v, const std::vector<Facts>& facts, ProgramFacts* f,
           Facts& result);

 private:
  const graph::Graph& g_;
  const Known& known_;
  const Governed governed_;
};

}  // namespace pit::sparsity
