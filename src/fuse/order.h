// The order in which groups run.
#pragma once

#include "fuse/fuse.h"

namespace pit::fuse {

/// Topological order of the groups: control first, then by the model's order, but what masks wait for comes early.
/// `sources`: per node, what must be there before it runs. `awaited`: the nodes that make late leaves which masks read.
void order_groups(const graph::Graph& g, const std::vector<std::vector<ValueId>>& sources,
                  const std::set<NodeId>& awaited, Fusion& f);

}  // namespace pit::fuse
