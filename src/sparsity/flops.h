// The live share of contractions, for explain: what the analysis saves, apart from any kernel.
#pragma once

#include <vector>

#include "sparsity/analysis.h"

namespace pit::sparsity {

/// Multiply-adds (not halved or doubled) of all contractions on data: sums of a product of two tensors over a reduced
/// axis.
struct LiveFlops {
  double weight_live = 0, weight_dense = 0;        ///< one operand is a constant
  double attention_live = 0, attention_dense = 0;  ///< both are computed
};

/// Which statements of a node are contractions. `weight`: whether an operand is constant.
struct Contraction {
  graph::NodeId node = -1;
  int statement = -1;
  bool weight = false;
};
std::vector<Contraction> contractions(const graph::Graph& g, const Analysis& a);

/// The masks that live_flops reads: to be evaluated (MaskProgram::evaluate with these roots).
std::vector<MaskId> flops_roots(const graph::Graph& g, const Analysis& a);

/// `masks`: evaluated, at least for flops_roots; `dims`: DimTable::evaluate's result.
LiveFlops live_flops(const graph::Graph& g, const Analysis& a, const std::vector<MaskPtr>& masks,
                     const std::vector<std::int64_t>& dims);

}  // namespace pit::sparsity
