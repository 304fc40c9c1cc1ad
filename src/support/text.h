// What parsers of our texts share: messages that point at a place.
#pragma once

#include <algorithm>
#include <fmt/format.h>
#include <string>
#include <string_view>

namespace pit {

/// "LINE:COLUMN: message", the line of `text` that byte `at` lies in, and a caret below that byte.
inline std::string point_at(std::string_view text, std::size_t at, std::string_view message) {
  at = std::min(at, text.size());
  const std::size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;  // npos + 1 == 0
  const auto line = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n') + 1;
  const std::string_view shown = text.substr(begin, text.find('\n', begin) - begin);
  return fmt::format("{}:{}: {}\n  {}\n  {}^", line, at - begin + 1, message, shown, std::string(at - begin, ' '));
}

}  // namespace pit
