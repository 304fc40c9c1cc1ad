// What a model may ask for while it is compiled. A file of a few KB can say anything: functions that call each other
// for ever, constants of terabytes. Beyond these limits it is refused, with a ModelError that names the limit, before
// memory or time is spent.
#pragma once

#include <cstdint>
#include <string_view>

#include "pit/export.h"

namespace pit {

struct CompileLimits {
  int rank = 64;                                  ///< dimensions of a tensor
  std::int64_t elements = std::int64_t{1} << 44;  ///< of a tensor, where its extents are known
  int operators = 20'000;                         ///< that functions and branches may add to those of the file
  int nesting = 64;                               ///< functions called by functions, branches inside of branches
  /// Elements that are computed while the model is compiled, in all: constants and shapes. What lies beyond is computed
  /// in each run.
  std::int64_t folding = std::int64_t{1} << 23;
};

/// Sets the limit called `name` (a member's name). Values beyond what PIT can bear are lowered to that. Throws
/// InputError: no such limit, or a negative value.
PIT_API void set_limit(CompileLimits& limits, std::string_view name, std::int64_t value);

}  // namespace pit
