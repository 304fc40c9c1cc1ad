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

/// All panels of a constant B.
PackedWeights pack_constant(const Program& p, const fuse::Group& group, const ThreadPool& pool);

}  // namespace pit::runtime
