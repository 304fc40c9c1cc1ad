// Constant operands at compile time.
#pragma once

#include "contract/pack.h"
#include "runtime/program.h"
#include "support/threads.h"

namespace pit::runtime {

using contract::aligned_floats;
using contract::kPackSlack;
using contract::MatrixB;
using contract::pack_panel;
using contract::pack_rows;

/// A constant B as it lies in memory.
detect::Values weight_values(const Program& p, const fuse::Group& group);
/// Packs it in step.panels; with a map of its live k by panels where it is pruned.
void pack_weights(const Program& p, const fuse::Group& group, const ThreadPool& pool, ContractionStep& step);

}  // namespace pit::runtime
