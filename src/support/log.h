// Internal side of the log hook.
#pragma once

#include <fmt/format.h>

#include "pit/log.h"

namespace pit {

void log_message(LogLevel level, const std::string& message) noexcept;

template <class... Args>
void warn(fmt::format_string<Args...> f, Args&&... args) {
  log_message(LogLevel::warning, fmt::format(f, std::forward<Args>(args)...));
}

}  // namespace pit
