// The machine that code is generated for and the resources we may use on it.
#pragma once

#include <cstddef>
#include <string>

namespace pit {

/// Everything about the target CPU that decides what code is generated. A value: part of every cache key.
struct CpuTarget {
  std::string name;       ///< LLVM's CPU name, e.g. "znver4", "haswell"
  std::string features;   ///< LLVM's feature string beyond the name; empty for a named CPU
  int vector_bytes = 32;  ///< 64 with AVX-512 (F, VL, BW, DQ), else 32
  bool operator==(const CpuTarget&) const = default;
  int lanes(std::size_t element_bytes) const { return vector_bytes / static_cast<int>(element_bytes); }
};

/// The target: `override_name`, else $PIT_CPU, else this machine. Throws InputError for a CPU that this machine cannot
/// execute (AVX2 and FMA are the least) or that is unknown.
CpuTarget cpu_target(const std::string& override_name = {});

struct CacheSizes {
  std::size_t l1d = 32 << 10, l2 = 512 << 10, l3 = 8 << 20;
};
/// Per-core data caches of this machine (sysfs), sane defaults when unknown.
const CacheSizes& cache_sizes();

/// Threads to use by default: CPUs in the process's affinity mask, limited by the cgroup's CPU quota; at least 1.
int default_threads();

}  // namespace pit
