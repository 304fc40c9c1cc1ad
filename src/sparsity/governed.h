// Internal: how much a mask decides about. Looking at an element of a mask costs about what an element-wise operator costs, so
// it pays only where one element stands for many.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace pit::sparsity {

class Governed {
 public:
  explicit Governed(const graph::Graph& g);
  /// Whether elements of `v` decide about at least `times` as many elements of other values, directly or through values that
  /// are no larger, as far as one looks.
  bool by(graph::ValueId v, double times) const;

 private:
  /// How many elements, about, of other operands node `n` has that elements of `v` decide about.
  double by_node(const graph::Node& n, graph::ValueId v) const;
  double size(const std::vector<graph::Dim>& dims) const;

  const graph::Graph& g_;
  std::vector<std::vector<std::pair<graph::NodeId, int>>> users_;
  std::vector<std::int64_t> some_;  ///< all Dims, where every symbol is the same middling number
};

}  // namespace pit::sparsity
