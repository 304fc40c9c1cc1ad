// Internal: the backward analysis of one node.
#pragma once

#include <vector>

#include "sparsity/analysis.h"
#include "sparsity/facts.h"

namespace pit::sparsity {

/// Pushes the demand on a node's outputs (`demand`, per value of the graph) to its inputs, adding to `demand` there, and
/// fills in the facts about its statements.
void push_demand(ProgramFacts& facts, const IndexContext& c, std::vector<MaskId>& demand, NodeFacts& out);

/// m max= X; e = exp(X - m); z += e; Y = e / z.
bool is_softmax(const expr::Program& p);

}  // namespace pit::sparsity
