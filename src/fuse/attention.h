// Products around a softmax that run as one attention.
#pragma once

#include "fuse/fuse.h"

namespace pit::fuse {

/// Finds scores -> softmax -> output, each value read only by the next, the softmax along the scores' columns.
/// `stored`: values that somebody beside the groups reads.
void find_attentions(const graph::Graph& g, const sparsity::Analysis& analysis, const std::set<ValueId>& stored,
                     Fusion& f);

}  // namespace pit::fuse
