// Assertions for our own bugs: they throw InternalError and never abort.
#pragma once

#include <fmt/format.h>
#include <string>

#include "pit/error.h"

namespace pit {

[[noreturn]] void internal_error(const char* file, int line, const std::string& message);

}  // namespace pit

/// PIT_CHECK(condition, "format {}", args...): InternalError when the condition does not hold.
#define PIT_CHECK(cond, ...)                                                            \
  do {                                                                                  \
    if (!(cond)) ::pit::internal_error(__FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
#define PIT_UNREACHABLE(...) ::pit::internal_error(__FILE__, __LINE__, ::fmt::format(__VA_ARGS__))
