// What the machine can do at most: arithmetic in registers, and bytes per second of each level of memory.
#pragma once

#include <cstddef>
#include <memory>

#include "pit/tune.h"
#include "support/cpu.h"

namespace pit::tuning {

/// All figures of MachineLimits in about `seconds`, plus what code generation and touching the buffers take (some 0.2
/// s).
MachineLimits measure_limits(int threads, const CpuTarget& target, double seconds = 0.9);

/// Memory for measurements: zeros, in huge pages where the system has them.
class Pages {
 public:
  explicit Pages(std::size_t bytes);
  char* bytes(std::size_t offset = 0) const { return data_.get() + offset; }
  float* floats(std::size_t byte_offset = 0) const { return reinterpret_cast<float*>(bytes(byte_offset)); }
  std::size_t size() const { return size_; }

 private:
  struct Unmap {
    std::size_t size;
    void operator()(char* data) const;
  };
  std::size_t size_;
  std::unique_ptr<char, Unmap> data_;
};

/// Bytes that certainly do not stay in the caches while as many others are read.
std::size_t beyond_caches();

double wall_seconds();
/// Of this thread on a CPU: does not run while others have the core.
double thread_seconds();

}  // namespace pit::tuning
