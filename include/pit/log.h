// The log hook: where warnings go (a corrupt cache entry, an unusable cache directory). Silent by default.
#pragma once

#include <functional>
#include <string_view>

#include "pit/export.h"

namespace pit {

enum class LogLevel { debug, info, warning };

/// Receives every message. Must be callable from any thread and must not throw.
using LogHook = std::function<void(LogLevel, std::string_view message)>;

/// Replaces the process-wide hook; an empty function silences the library again. Returns the hook before.
PIT_API LogHook set_log_hook(LogHook hook);

}  // namespace pit
