// The disk cache of generated objects. An entry is one file, written beside and renamed:
//
//     "PITOBJ1\n"  key (32 hex digits)  '\n'  content hash of the payload (32 hex digits)  '\n'  payload length (16 hex
//     digits)  '\n'  payload
//
// An entry is read only if every field fits; anything else is a warning and a miss. Nothing here throws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pit::codegen {

/// The payload stored under this key (a content hash of everything that determines it), or nothing.
std::optional<std::string> cache_load(const std::string& dir, const std::string& key) noexcept;

/// Stores it; a warning if that fails, nothing at all where the directory is read-only. Keeps the directory below
/// cache_limit().
void cache_store(const std::string& dir, const std::string& key, std::string_view payload) noexcept;

/// What generated code may take on the disk, in bytes: $PIT_CACHE_MB megabytes, else 1 GB. The code that was not used
/// for longest goes first.
std::uint64_t cache_limit() noexcept;

/// The entry's path, for messages and tests.
std::string cache_path(const std::string& dir, const std::string& key);

}  // namespace pit::codegen
