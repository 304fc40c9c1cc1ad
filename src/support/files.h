// Files: whole reads, atomic writes (written beside, then renamed), read-only maps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "support/threads.h"

namespace pit {

/// Whether the system would see another path than the one given: it reads up to a NUL byte, and a file of the part
/// before it may exist.
inline bool has_nul(std::string_view path) { return path.find('\0') != std::string_view::npos; }

/// The whole file. Throws ModelError naming the path.
std::string read_file(const std::string& path);

/// A read-only memory map of a whole file; the map lives as long as the object.
class FileMap {
 public:
  /// `lasting`: what lies in it may stay there for the life of a model, rather than be copied. Throws ModelError naming
  /// the path.
  explicit FileMap(const std::string& path, bool lasting = false);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;
  const char* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  const std::string& path() const noexcept { return path_; }
  bool lasting() const noexcept { return lasting_; }

  /// Whether the file was written to or cut off since; reading what was cut off would end the process. A file that
  /// takes its name does not count.
  bool changed() const noexcept;
  /// Whether it lies in the map.
  bool holds(const void* data, std::size_t bytes) const noexcept;
  /// The memory of what lies whole within `bytes` from `data` is given back until it is read again.
  void forget(const void* data, std::size_t bytes) const noexcept;

  /// A copy of what lies there in the map, with slack as long_lived_copy has it. It is read from the file: through the map, each page
  /// would be made and dropped again. Throws ModelError if the file cannot be read any more.
  std::shared_ptr<void> copy(const void* data, std::size_t bytes, const ThreadPool& pool) const;

  /// The map that keeps a tensor alive, or null.
  static const FileMap* of(const std::shared_ptr<void>& owner) noexcept;

 private:
  std::string path_;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  int file_ = -1;
  std::int64_t written_[2] = {};  ///< seconds, nanoseconds
  bool lasting_;
};

/// Writes beside and renames; returns false with `reason` set instead of throwing.
bool write_file_atomically(const std::string& path, std::string_view contents, std::string* reason) noexcept;

/// The user's cache directory for PIT ("~/.cache/pit" or $XDG_CACHE_HOME/pit, $PIT_CACHE_DIR first), or `override_dir`.
/// Created with mode 0700. Empty, with `reason` set, when it cannot be used: it cannot be made or read, belongs to
/// another user (but root), or others may write to it, for code is loaded from it. It may be read-only: an image may
/// bring it. "none" gives empty, no reason.
std::string usable_cache_dir(const std::string& override_dir, std::string* reason) noexcept;

/// Whether it is there, but files cannot be created in it.
bool is_read_only_dir(const std::string& dir) noexcept;
/// Whether code may be loaded from this file: it is ours or root's, and nobody else may write to it.
bool is_trusted_file(const std::string& path) noexcept;
/// Marks it as used just now: `limit_dir` removes what was not used for longest.
void touch_file(const std::string& path) noexcept;

/// Removes the files of `dir` whose names begin with `prefix` that were not used for longest, until the others have at
/// most `bytes`; and what writers that died left behind an hour ago and earlier. `keep` stays.
void limit_dir(const std::string& dir, std::string_view prefix, std::uint64_t bytes, const std::string& keep) noexcept;

/// 128-bit content hash as 32 hex digits (not cryptographic; detects corruption and keys caches).
std::string content_hash(std::string_view bytes);

}  // namespace pit
