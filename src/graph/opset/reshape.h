// Factoring of a reshape into groups of dimensions with equal products.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "graph/dim.h"

namespace pit::graph {

/// Dimensions [in_begin, in_end) become [out_begin, out_end): their products are equal. At least one side has one
/// dimension (or none: extents of 1 are not part of any group).
struct ReshapeGroup {
  std::vector<int> in, out;  ///< dimensions that are not the constant 1
  bool proven = true;        ///< otherwise the products must be equal because the total number of elements is
};

/// Nothing when the grouping cannot be proven.
std::optional<std::vector<ReshapeGroup>> factor_reshape(DimTable& table, const std::vector<Dim>& in,
                                                        const std::vector<Dim>& out);

}  // namespace pit::graph
