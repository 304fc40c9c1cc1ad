// Packing of constant operands at compile time.
#pragma once

#include "contract/pack.h"
#include "runtime/program.h"
#include "support/threads.h"

namespace pit::runtime {

using contract::aligned_floats;
using contract::MatrixB;
using contract::pack_panel;
using contract::pack_rows;
using contract::pack_slack;

/// A constant B as it lies in memory.
detect::Values weight_values(const Program& p, const fuse::Group& group);
/// All panels of a constant B, as step.panels says; uniform ones are the contraction engine's.
void pack_constant(const Program& p, const fuse::Group& group, const ThreadPool& pool, ContractionStep& step);

}  // namespace pit::runtime
