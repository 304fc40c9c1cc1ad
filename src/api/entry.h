// What every way into the library has in common: options that mean the same everywhere, and typed errors only.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "pit/error.h"
#include "pit/poison.h"
#include "support/threads.h"

namespace pit::api {

/// PIT_POISON: empty or 0, 1 or nan, large. Throws InputError for anything else.
Poison environment_poison();
/// `option`, unless PIT_LEARN is 0. Throws InputError for anything else than empty, 0 and 1.
bool learns(bool option);
/// 0: from the process's affinity and cgroup quota. Throws InputError for numbers that make no sense.
int thread_count(int threads);
/// The cache directory, or empty with a warning.
std::string cache_directory(const std::string& option);

/// Nothing but pit::Error leaves the library, whatever a library below it throws. The caller's floating-point
/// environment decides nothing.
template <class MemoryError, class F>
auto typed(const char* out_of_memory, F&& f) {
  const FloatEnvironment environment;
  try {
    return f();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw MemoryError(out_of_memory);
  } catch (const std::exception& e) {
    throw InternalError(std::string("internal error: ") + e.what());
  }
}

}  // namespace pit::api
