// What this machine can do, and what its kernels cost: measured once, used by every later selection of a rule.
#pragma once

#include <optional>
#include <string>

#include "pit/cancel.h"
#include "pit/export.h"

namespace pit {

/// What this machine can do, measured (about a second): the denominators of every "share of the limit".
struct MachineLimits {
  std::string cpu;     ///< model name
  std::string target;  ///< instruction set that the figures hold for, e.g. "x86-64-v3"
  int threads = 1;
  double fma_gflops = 0;    ///< independent FMA chains in registers, all threads together
  double read_gbytes = 0;   ///< streaming reads of memory far larger than the caches, all threads together, GB/s
  double write_gbytes = 0;  ///< streaming (non-temporal) writes
  double copy_gbytes = 0;   ///< bytes read plus bytes written per second of a large copy
  double l2_read_gbytes = 0, l3_read_gbytes = 0;  ///< of data that lie in those caches
};
PIT_API MachineLimits measure_limits(int threads = 1, const std::string& cpu = {},
                                     const std::optional<CancelToken>& cancel = {});

/// Measures this machine's dense tiles and stores them in the cache directory, for the selection of later processes.
/// Calls `progress` (may be empty) with a share of 0..1. Returns the file. Throws InputError if there is no usable
/// cache directory.
struct TuneOptions {
  std::string cpu, cache_dir;
  void (*progress)(double share, void* context) = nullptr;
  void* context = nullptr;
  std::optional<CancelToken> cancel{};
};
PIT_API std::string tune(const TuneOptions& options = {});

}  // namespace pit
