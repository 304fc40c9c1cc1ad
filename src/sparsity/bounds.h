// Internal: intervals of known integers, just enough to see that a comparison always holds.
//
// Exporters write masks such as arange(s) >= 0; looking at their elements at run time would make every mask depend on
// the query.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace pit::sparsity {

struct Interval {
  std::optional<std::int64_t> low, high;  ///< absent: unbounded
};

class Bounds {
 public:
  explicit Bounds(const graph::Graph& g);
  /// Whether all elements of a boolean value are surely true (surely false); nothing if neither.
  std::optional<bool> truth(graph::ValueId v) const;

 private:
  Interval of(const graph::Node& n, const std::vector<graph::ValueId>& values, const expr::Expr& e) const;
  Interval of_call(const graph::Node& n, const std::vector<graph::ValueId>& values, const expr::Node& e) const;
  const graph::Graph& g_;
  std::vector<Interval> values_;
};

}  // namespace pit::sparsity
