// Growing groups and filling in what lowering and the runtime need.
#pragma once

#include "fuse/fuse.h"
#include "fuse/merger.h"

namespace pit::fuse {

/// Chooses inner, mid and outer axes of a row group from its first node's statements. False if there is no choice.
bool choose_roles(Group& group);

/// The distinct accesses with their bases and strides. False (with group.why) if an access has no affine form.
bool resolve_operands(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger);

/// A value's layout as a group reads it: dimensions that turn out to be stretched do not move.
Layout stretched_layout(graph::Graph& g, const std::vector<Layout>& layouts, ValueId v, const Merger& merger);

/// The lowering's view of a row group.
lower::RowSpec row_spec(const Group& group, const CpuTarget& target);

}  // namespace pit::fuse
