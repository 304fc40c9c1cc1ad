#include "api/entry.h"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <limits>
#include <string_view>

#include "pit/limits.h"
#include "support/cpu.h"
#include "support/files.h"
#include "support/log.h"

namespace pit::api {

Poison environment_poison() {
  const char* v = std::getenv("PIT_POISON");
  const std::string_view text = v ? v : "";
  if (text.empty() || text == "0") return Poison::none;
  if (text == "1" || text == "nan") return Poison::nan;
  if (text == "large") return Poison::large;
  throw InputError(fmt::format("PIT_POISON is 0, 1, nan or large, not '{}'", text));
}

bool learns(bool option) {
  const char* v = std::getenv("PIT_LEARN");
  const std::string_view text = v ? v : "";
  if (!text.empty() && text != "0" && text != "1") throw InputError(fmt::format("PIT_LEARN is 0 or 1, not '{}'", text));
  return option && text != "0";
}

int thread_count(int threads) {
  constexpr int most_threads = 1024;
  if (threads < 0 || threads > most_threads)
    throw InputError(fmt::format("threads = {}: give 1 to {}, or 0 for the default", threads, most_threads));
  return threads > 0 ? threads : default_threads();
}

std::string cache_directory(const std::string& option) {
  std::string reason;
  std::string dir = usable_cache_dir(option, &reason);
  if (has_nul(option)) throw InputError(reason);  // no oddity of the system, but of the call
  if (dir.empty() && !reason.empty()) warn("compiled code is not cached: {}", reason);
  return dir;
}

}  // namespace pit::api

namespace pit {

void set_limit(CompileLimits& limits, std::string_view name, std::int64_t value) {
  constexpr std::int64_t deepest = 1000;  // what stacks bear
  if (value < 0) throw InputError(fmt::format("limit '{}' is {}; it is 0 or more", name, value));
  const int count = static_cast<int>(std::min<std::int64_t>(value, std::numeric_limits<int>::max()));
  if (name == "rank") limits.rank = count;
  else if (name == "elements") limits.elements = std::min(value, CompileLimits().elements);
  else if (name == "operators") limits.operators = count;
  else if (name == "nesting") limits.nesting = static_cast<int>(std::min(value, deepest));
  else if (name == "folding") limits.folding = value;
  else
    throw InputError(
        fmt::format("there is no limit '{}'; there are rank, elements, operators, nesting and folding", name));
}

}  // namespace pit
