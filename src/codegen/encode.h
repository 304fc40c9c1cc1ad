// A kernel as bytes: what cache keys are made of.
#pragma once

#include <string>

#include "codegen/kernel_ir.h"

namespace pit::codegen {

/// Equal bytes mean equal kernels; kernels that the same calls of a Builder made have equal bytes. Much cheaper than
/// `print`, which every load of a cached model would pay.
std::string encode(const Kernel& k);

}  // namespace pit::codegen
