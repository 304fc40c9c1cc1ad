#include "codegen/cache.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "support/check.h"
#include "support/files.h"
#include "support/log.h"

namespace pit::codegen {
namespace {

constexpr std::string_view kMagic = "PITOBJ1\n";
constexpr std::size_t kHeader = kMagic.size() + 33 + 33 + 17;

std::string header(const std::string& key, std::string_view payload) {
  return fmt::format("{}{}\n{}\n{:016x}\n", kMagic, key, content_hash(payload), payload.size());
}

constexpr std::uint64_t kDefaultLimit = std::uint64_t{1} << 30;

}  // namespace

std::uint64_t cache_limit() noexcept {
  const char* text = std::getenv("PIT_CACHE_MB");
  if (text == nullptr || *text == 0) return kDefaultLimit;
  std::uint64_t megabytes = 0;
  const char* end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, megabytes);
  if (error == std::errc() && at == end && megabytes <= (std::uint64_t{1} << 40)) return megabytes << 20;
  warn("PIT_CACHE_MB is a number of megabytes, not '{}'; the cache is limited to {} MB", text, kDefaultLimit >> 20);
  return kDefaultLimit;
}

std::string cache_path(const std::string& dir, const std::string& key) { return dir + "/kernels-" + key + ".o"; }

std::optional<std::string> cache_load(const std::string& dir, const std::string& key) noexcept {
  try {
    const std::string path = cache_path(dir, key);
    std::error_code error;
    if (!std::filesystem::exists(path, error)) return std::nullopt;
    if (!is_trusted_file(path)) {
      warn("ignoring the cached code in {}: it belongs to another user, or others may write to it", path);
      return std::nullopt;
    }
    const std::string file = read_file(path);
    const std::string_view payload = std::string_view(file).substr(std::min(kHeader, file.size()));
    if (file.size() >= kHeader && std::string_view(file).substr(0, kHeader) == header(key, payload)) {
      touch_file(path);
      return std::string(payload);
    }
    warn("ignoring the cached code in {}: it is truncated, damaged or not PIT's; it will be written again", path);
  } catch (const std::exception& e) {
    warn("cannot read cached code: {}", e.what());
  }
  return std::nullopt;
}

void cache_store(const std::string& dir, const std::string& key, std::string_view payload) noexcept {
  try {
    std::string reason;
    const std::string path = cache_path(dir, key);
    if (is_read_only_dir(dir)) {
      info("generated code is not stored: {} is read-only", dir);
    } else if (write_file_atomically(path, header(key, payload) + std::string(payload), &reason)) {
      limit_dir(dir, "kernels-", cache_limit(), path);
    } else {
      warn("cannot store generated code in {}: {}", path, reason);
    }
  } catch (const std::exception& e) {
    warn("cannot store generated code: {}", e.what());
  }
}

}  // namespace pit::codegen
