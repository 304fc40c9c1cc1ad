// Zeros that no mask tells of: which values are made by expressions that give zero on a part of the real line (ReLU and
// its kin, thresholds, selections of zero), so that many of their elements may turn out to be zero, a different part in
// every run.
//
// A guess about what is worth a look while a model runs; nothing is left out because of it. Derived from the
// expressions alone:
//     max(x, 0), min(x, 0), select(c, x, 0)      make such zeros
//     f(x) with f(0)=0, x*y, x/y, min(x, y)      keep those of x (of either factor)
//     x+y, x-y, max(x, y)                        keep them where both have them
//     an assignment                              hands them on, wherever it moves them; reductions do not
#pragma once

#include <vector>

#include "graph/graph.h"

namespace pit::sparsity {

/// Per value of the graph.
std::vector<char> zeros_by_value(const graph::Graph& g);

}  // namespace pit::sparsity
