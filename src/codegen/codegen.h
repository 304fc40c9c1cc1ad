// From kernel IR to callable code.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "codegen/kernel_ir.h"
#include "support/cpu.h"

namespace pit::codegen {

/// Compiled kernels; keeps their code alive. Immutable, safe to share between threads.
class Code {
 public:
  virtual ~Code() = default;
  /// The function of the kernel with this name; InternalError if there is none.
  virtual KernelFn function(const std::string& kernel_name) const = 0;
  /// Whether it came out of the disk cache, and how long it took (seconds).
  bool from_cache = false;
  double seconds = 0;
  std::string assembly;  ///< with Options::dump_assembly
};

struct Options {
  CpuTarget target;
  std::string cache_dir;       ///< usable directory or empty (no disk cache)
  bool dump_assembly = false;  ///< fills `assembly` of the result (tests, perf work)
  int threads = 1;             ///< that generate code; the same code for any number
  /// For reading: the kernels are appended here and nothing is generated, the functions are null.
  std::vector<Kernel>* list = nullptr;
};

/// Compiles all kernels into one object. Equal sets of kernels share one disk cache entry, keyed by the kernels' text,
/// the target, LLVM's and our version; entries are length- and hash-checked before they are loaded, anything odd is a
/// warning and a recompile. InputError for a CPU that LLVM does not know; InternalError for kernels that do not verify,
/// for two different kernels of one name, and for whatever LLVM reports. May be called from many threads at once.
std::shared_ptr<const Code> compile(const std::vector<Kernel>& kernels, const Options& options);

/// The assembly of the kernels for reading (pit explain --dump=asm, tests).
std::string assembly(const std::vector<Kernel>& kernels, const CpuTarget& target);

/// LLVM's name of this machine's CPU, for the cache key.
std::string host_cpu_name();

}  // namespace pit::codegen
