// The LLVM backend behind an interface without LLVM types: kernels -> object file -> callable code.
// (Only the .cpp files and emit.h of this folder include LLVM's headers.)
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/kernel_ir.h"
#include "support/cpu.h"

namespace pit::codegen::llvm_backend {

/// "LLVM 19.1.7, <options that decide code>": part of the cache key.
std::string identity();

std::string host_cpu_name();

enum class Output { object, assembly };
/// Relocatable ELF object (or its assembly text) with one function per kernel. Kernels must be verified and uniquely
/// named. InputError for a CPU that LLVM does not know, InternalError for everything else.
std::string generate(const std::vector<Kernel>& kernels, const CpuTarget& target, Output output);

/// An object's code in executable memory.
class Loaded {
 public:
  virtual ~Loaded() = default;
  /// In the order of the names given to load().
  const std::vector<KernelFn>& functions() const { return functions_; }

 protected:
  std::vector<KernelFn> functions_;
};

/// Links objects into this process and finds their kernels. InternalError if that fails.
std::unique_ptr<Loaded> load(const std::vector<std::string_view>& objects,
                             const std::vector<std::string>& kernel_names);

}  // namespace pit::codegen::llvm_backend
