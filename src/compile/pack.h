// Constant operands at compile time.
#pragma once

#include "compile/program.h"

#include "contract/pack.h"
#include "support/threads.h"

namespace pit::compile {

/// A constant B as it lies in memory: its matrices in the order of group.matrix_axes, the last one fastest.
detect::Values weight_values(const Program& p, const fuse::Group& group);
/// Per batch axis of the group: how far the number of B's matrix is from one position to the next (0: the same matrix).
std::vector<std::int64_t> matrix_steps(const Program& p, const fuse::Group& group);
/// Packs all of it in step.panels.
void pack_weights(const Program& p, const fuse::Group& group, const ThreadPool& pool, ContractionStep& step);

}  // namespace pit::compile
