#include "api/door.h"

#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "support/cpu.h"
#include "support/files.h"
#include "support/log.h"

namespace pit::api {

bool environment_flag(const char* name) {
  const char* v = std::getenv(name);
  return v && *v && std::strcmp(v, "0") != 0;
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
  if (dir.empty() && !reason.empty()) warn("compiled code is not cached: {}", reason);
  return dir;
}

}  // namespace pit::api
