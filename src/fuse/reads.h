// What the kernels of a schedule read, and the lists that follow: the last word about demand.
//
// The analysis knows what an ideal reader would need. A kernel reads more: whole rows where it has no list along them,
// every pair of a listed row and a listed k, the interpreter everything. So when the groups are known, demand is found
// once more, backwards over the groups: the demand on what a group writes is complete when all of its readers have been
// seen; its lists follow from that demand, and what the group reads from its lists. Whatever a kernel uses is thereby
// demanded, and each demanded element is
//   * computed: its row is in the list `live_rows`, and kernels compute the whole row from operands that are demanded
//     for that; or
//   * zero, where the dense value is zero (facts) and no listed row passes: its row is in `zero_rows`, filled before
//     the kernel runs.
// Everything else is undefined, and no kernel uses it.
#pragma once

#include "fuse/fuse.h"

namespace pit::fuse {

/// Fills in the live sets of all groups, and puts the schedule's demand in the place of the ideal one in
/// `analysis.values`.
void attach_reads(graph::Graph& g, sparsity::Analysis& analysis, Fusion& fusion);

/// Control values that the lists of the groups read, and the obligations that each run has to look at.
std::vector<ValueId> leaves_of_lists(const sparsity::Analysis& analysis, const Fusion& fusion);

}  // namespace pit::fuse
