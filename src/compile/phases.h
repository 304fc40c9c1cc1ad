// Which steps make what known.
#pragma once

#include "compile/program.h"

namespace pit::compile {

/// The phases of a program whose steps and element values are there. `masks`: those that runs evaluate. InternalError
/// if a step would need what only a later one tells.
std::vector<Phase> find_phases(const Program& p, const std::vector<sparsity::MaskId>& masks);

}  // namespace pit::compile
