#include "support/files.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <mutex>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "pit/error.h"
#include "support/fork.h"
#include "support/memory.h"

namespace pit {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  bool close() {
    const int fd = fd_;
    fd_ = -1;
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

constexpr const char* kNul = "its name has a NUL byte";

// For messages, which end at a NUL.
std::string printable(std::string path) {
  for (std::size_t at = 0; (at = path.find('\0', at)) != std::string::npos; at += 2) path.replace(at, 1, "\\0");
  return path;
}

[[noreturn]] void throw_unreadable(const std::string& path, const std::string& why) {
  throw ModelError(fmt::format("cannot read file '{}': {}", printable(path), why));
}

// Opens a regular file: opening a pipe or a device would hang or never end.
int open_regular(const std::string& path, std::size_t* size) {
  if (has_nul(path)) throw_unreadable(path, kNul);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw_unreadable(path, std::strerror(errno));
  struct stat st{};
  const bool known = ::fstat(fd, &st) == 0;
  if (!known || !S_ISREG(st.st_mode)) {
    const std::string why = !known                ? std::strerror(errno)
                            : S_ISDIR(st.st_mode) ? "it is a directory"
                                                  : "it is not a regular file";
    ::close(fd);
    throw_unreadable(path, why);
  }
  *size = static_cast<std::size_t>(st.st_size);
  return fd;
}

bool write_all(int fd, std::string_view contents) {
  while (!contents.empty()) {
    const ssize_t n = ::write(fd, contents.data(), contents.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    contents.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool set_reason(std::string* reason, std::string text) {
  if (reason != nullptr) *reason = std::move(text);
  return false;
}

bool make_directories(const std::string& path) {
  for (std::size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    if (::mkdir(path.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST) {
      struct stat st{};
      // A parent that is there but whose parent is read-only gives EROFS or EACCES, not EEXIST.
      if (::stat(path.substr(0, at).c_str(), &st) != 0) return false;
    }
  }
  return true;
}

std::string cache_dir_path(const std::string& override_dir) {
  if (!override_dir.empty()) return override_dir;
  if (const char* dir = std::getenv("PIT_CACHE_DIR"); dir != nullptr && *dir != 0) return dir;
  if (const char* dir = std::getenv("XDG_CACHE_HOME"); dir != nullptr && *dir == '/') return std::string(dir) + "/pit";
  if (const char* dir = std::getenv("HOME"); dir != nullptr && *dir == '/') return std::string(dir) + "/.cache/pit";
  return {};
}

std::string checked_cache_dir(const std::string& override_dir, std::string* reason) {
  std::string dir = cache_dir_path(override_dir);
  if (dir == "none") return {};
  if (has_nul(dir)) {
    set_reason(reason, fmt::format("cannot use cache directory '{}': {}", printable(dir), kNul));
    return {};
  }
  if (dir.empty()) {
    set_reason(reason, "no cache directory: neither PIT_CACHE_DIR nor XDG_CACHE_HOME nor HOME is set");
    return {};
  }
  if (!make_directories(dir)) {
    set_reason(reason, fmt::format("cannot create cache directory '{}': {}", dir, std::strerror(errno)));
    return {};
  }
  struct stat st{};
  if (::stat(dir.c_str(), &st) != 0) {
    set_reason(reason, fmt::format("cannot use cache directory '{}': {}", dir, std::strerror(errno)));
  } else if (!S_ISDIR(st.st_mode)) {
    set_reason(reason, fmt::format("cannot use cache directory '{}': it is not a directory", dir));
  } else if (st.st_uid != ::geteuid() && st.st_uid != 0) {
    set_reason(reason,
               fmt::format("cache directory '{}' belongs to another user; unused, for code is loaded from it", dir));
  } else if ((st.st_mode & 022) != 0) {
    set_reason(reason, fmt::format("others may write to cache directory '{}' (mode {:04o}); unused, for code is loaded "
                                   "from it: set its mode to 0700 or 0755",
                                   dir, st.st_mode & 07777));
  } else if (::access(dir.c_str(), R_OK | X_OK) != 0) {
    set_reason(reason, fmt::format("cannot read cache directory '{}': {}", dir, std::strerror(errno)));
  } else {
    return dir;
  }
  return {};
}

}  // namespace

std::string read_file(const std::string& path) {
  std::size_t size = 0;
  Descriptor file(open_regular(path, &size));
  std::string contents(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(file.get(), contents.data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_unreadable(path, std::strerror(errno));
    if (n == 0) break;  // truncated while we read
    done += static_cast<std::size_t>(n);
  }
  contents.resize(done);
  return contents;
}

namespace {

struct Maps {
  Mutex mutex;
  std::set<const void*> all;
};

Maps& maps() {
  static Maps* m = new Maps;  // never destroyed: models may be destroyed later
  return *m;
}

}  // namespace

FileMap::FileMap(const std::string& path, bool lasting) : path_(path), lasting_(lasting) {
  Descriptor file(open_regular(path, &size_));
  struct stat st{};
  if (::fstat(file.get(), &st) == 0) written_[0] = st.st_mtim.tv_sec, written_[1] = st.st_mtim.tv_nsec;
  {
    const std::lock_guard lock(maps().mutex);
    maps().all.insert(this);
  }
  if (size_ == 0) return;  // mmap refuses empty maps
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (map == MAP_FAILED) {
    const int error = errno;
    {
      const std::lock_guard lock(maps().mutex);
      maps().all.erase(this);
    }
    throw_unreadable(path, std::strerror(error));
  }
  data_ = static_cast<const char*>(map);
  file_ = file.release();
}

FileMap::~FileMap() {
  {
    const std::lock_guard lock(maps().mutex);
    maps().all.erase(this);
  }
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
  if (file_ >= 0) ::close(file_);
}

bool FileMap::changed() const noexcept {
  struct stat st{};
  if (file_ < 0 || ::fstat(file_, &st) != 0) return false;
  return static_cast<std::size_t>(st.st_size) != size_ || st.st_mtim.tv_sec != written_[0] ||
         st.st_mtim.tv_nsec != written_[1];
}

bool FileMap::holds(const void* data, std::size_t bytes) const noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(data), first = reinterpret_cast<std::uintptr_t>(data_);
  return at >= first && at + bytes <= first + size_;
}

void FileMap::forget(const void* data, std::size_t bytes) const noexcept {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  if (!holds(data, bytes)) return;  // nothing else may be thrown away
  const auto at = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = (at + page - 1) / page * page, end = (at + bytes) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::shared_ptr<void> FileMap::copy(const void* data, std::size_t bytes, const ThreadPool& pool) const {
  constexpr std::size_t chunk = std::size_t{1} << 20;
  const auto from = static_cast<std::size_t>(static_cast<const char*>(data) - data_);
  std::shared_ptr<void> result = long_lived_memory(bytes + kCopySlack);
  pool.parallel_for(static_cast<std::int64_t>((bytes + chunk - 1) / chunk), [&](std::int64_t i, int) {
    std::size_t at = static_cast<std::size_t>(i) * chunk;
    const std::size_t end = std::min(at + chunk, bytes);
    while (at < end) {
      const ssize_t n = ::pread(file_, static_cast<char*>(result.get()) + at, end - at, static_cast<off_t>(from + at));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0)
        throw ModelError(fmt::format("cannot read '{}': {}", printable(path_),
                                     n < 0 ? std::strerror(errno) : "it was cut off while it was read"));
      at += static_cast<std::size_t>(n);
    }
  });
  return result;
}

const FileMap* FileMap::of(const std::shared_ptr<void>& owner) noexcept {
  const std::lock_guard lock(maps().mutex);
  return maps().all.contains(owner.get()) ? static_cast<const FileMap*>(owner.get()) : nullptr;
}

bool write_file_atomically(const std::string& path, std::string_view contents, std::string* reason) noexcept try {
  if (has_nul(path)) return set_reason(reason, fmt::format("cannot create '{}': {}", printable(path), kNul));
  static std::atomic<unsigned> serial{0};
  const std::string beside = fmt::format("{}.{}.{}.tmp", path, ::getpid(), serial.fetch_add(1));
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return set_reason(reason, fmt::format("cannot create '{}': {}", beside, std::strerror(errno)));
  Descriptor file(fd);
  const bool written = write_all(fd, contents) && file.close();
  if (!written || ::rename(beside.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(beside.c_str());
    return set_reason(reason, fmt::format("cannot write '{}': {}", path, std::strerror(error)));
  }
  return true;
} catch (...) {
  return false;
}

bool is_read_only_dir(const std::string& dir) noexcept {
  return ::access(dir.c_str(), F_OK) == 0 && ::access(dir.c_str(), W_OK | X_OK) != 0 &&
         (errno == EACCES || errno == EROFS);
}

bool is_trusted_file(const std::string& path) noexcept {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == ::geteuid() || st.st_uid == 0) &&
         (st.st_mode & 022) == 0;
}

void touch_file(const std::string& path) noexcept { ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }

// Several processes may do this at once, or a file may go while one looks: what is gone is gone.
void limit_dir(const std::string& dir, std::string_view prefix, std::uint64_t bytes, const std::string& keep) noexcept
    try {
  namespace fs = std::filesystem;
  constexpr auto abandoned = std::chrono::hours(1);
  struct Entry {
    fs::file_time_type used;
    std::uint64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  std::uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    const std::string name = it->path().filename().string();
    const auto used = it->last_write_time(gone);
    const std::uint64_t size = gone ? 0 : it->file_size(gone);
    if (gone) continue;
    if (name.ends_with(".tmp")) {
      if (fs::file_time_type::clock::now() - used > abandoned) fs::remove(it->path(), gone);
    } else if (name.starts_with(prefix)) {
      total += size;
      if (it->path() != fs::path(keep)) entries.push_back({used, size, it->path()});
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& e : entries) {
    if (total <= bytes) return;
    if (fs::remove(e.path, error)) total -= e.bytes;
  }
} catch (...) {
}

std::string usable_cache_dir(const std::string& override_dir, std::string* reason) noexcept try {
  return checked_cache_dir(override_dir, reason);
} catch (...) {
  return {};
}

}  // namespace pit
