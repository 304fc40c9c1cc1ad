// The read contract, checked: what a schedule claims and what its kernels use are the same thing.
//
// Forwards over the groups, with what their kernels do (the lists they walk, the rows they visit whole): from "operands
// hold the dense model's values where they are demanded, and anything elsewhere" follows "so do results". This takes
// another way than reads.h, which went backwards from results to operands; neither uses what the other derived but the
// demand itself and the lists that the kernels get.
#pragma once

#include "fuse/fuse.h"

namespace pit::fuse {

/// All obligations of a schedule whose live sets are attached.
std::vector<Obligation> obligations(graph::Graph& g, const sparsity::Analysis& analysis, const Fusion& fusion);

}  // namespace pit::fuse
