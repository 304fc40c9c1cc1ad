#pragma once

#include "fuse/fuse.h"
#include "fuse/merger.h"

namespace pit::fuse {

/// Restates the statements after the contraction as group.epilogue and appends their operands to group.operands (after
/// A, B, C). False with group.why when the tile cannot do it.
bool build_epilogue(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger);

}  // namespace pit::fuse
