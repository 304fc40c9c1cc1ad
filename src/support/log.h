// Internal side of the log hook.
#pragma once

#include <fmt/format.h>

#include "pit/log.h"

namespace pit {

/// To the hook. Within a ForkHold the message is kept until it ends: a hook may wait for what the thread that forks
/// holds.
void log_message(LogLevel level, const std::string& message) noexcept;
void deliver_kept_messages() noexcept;

/// Whether anybody listens: saves making messages that nobody reads.
bool log_has_hook() noexcept;

template <class... Args>
void warn(fmt::format_string<Args...> f, Args&&... args) {
  log_message(LogLevel::warning, fmt::format(f, std::forward<Args>(args)...));
}

template <class... Args>
void info(fmt::format_string<Args...> f, Args&&... args) {
  if (log_has_hook()) log_message(LogLevel::info, fmt::format(f, std::forward<Args>(args)...));
}

}  // namespace pit
