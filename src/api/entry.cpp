#include "api/entry.h"

#include <cstdlib>
#include <fmt/format.h>
#include <string_view>

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
