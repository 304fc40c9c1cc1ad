// Groups of one node that run as loop nests (lower/nest.h): what neither rows nor tiles take.
#pragma once

#include "fuse/fuse.h"
#include "fuse/merger.h"

namespace pit::fuse {

/// Fills in how each statement of the group's program runs: axes, operands, temporaries. False (with group.why) if one
/// of them cannot. Parameters that are known become literals, so that kernels are made for them.
bool build_nests(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger,
                 const CpuTarget& target);

/// The lowering's view of one statement.
lower::NestSpec nest_spec(const Group& group, const Nest& nest, const CpuTarget& target);

}  // namespace pit::fuse
