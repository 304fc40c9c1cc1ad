// Constant operands at compile time.
#pragma once

#include "compile/program.h"

#include "contract/pack.h"
#include "support/threads.h"

namespace pit::compile {

/// A constant B as it lies in memory.
detect::Values weight_values(const Program& p, const fuse::Group& group);
/// Packs it in step.panels.
void pack_weights(const Program& p, const fuse::Group& group, const ThreadPool& pool, ContractionStep& step);

}  // namespace pit::compile
