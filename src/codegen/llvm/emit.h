// Kernel IR -> LLVM IR.
#pragma once

#include <llvm/IR/Module.h>

#include "codegen/kernel_ir.h"
#include "codegen/llvm/values.h"

namespace pit::codegen::llvm_backend {

/// Adds the function of a verified kernel to the module (whose data layout must be set). SSA form is built directly:
/// the IR is structured, so phis stand where a loop or branch assigns a variable declared outside.
void emit(const Kernel& kernel, llvm::Module& module, const Features& features);

}  // namespace pit::codegen::llvm_backend
