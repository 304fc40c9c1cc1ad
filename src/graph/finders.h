// Extents that a run finds in its data: symbols that no input gives (how many elements NonZero finds, how far a Range
// goes).
#pragma once

#include <vector>

#include "graph/graph.h"

namespace pit::graph {

/// The symbol is the extent of dimension `dim` of result `output` of the node.
struct Finder {
  NodeId node = -1;
  int output = 0, dim = 0, symbol = 0;
};

/// In order of nodes; every symbol has one (the first that gives it).
std::vector<Finder> finders(const Graph& g);

/// Per node: results of finders, beside its inputs, that must be there before the node's extents, parameters and known
/// elements are known.
std::vector<std::vector<ValueId>> extent_inputs(const Graph& g);

}  // namespace pit::graph
