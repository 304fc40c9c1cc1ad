#include "support/memory.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <utility>

#include "support/fork.h"

namespace pit {
namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20, kLine = 64;

// Blocks given back while somebody reuses memory.
class Spare {
 public:
  static Spare& instance() {
    static Spare* const spare = new Spare;  // never destroyed: blocks outlive static objects
    return *spare;
  }

  void open() noexcept {
    const ForkHold hold;
    const std::lock_guard lock(mutex_);
    ++users_;
  }

  void close() noexcept {
    const ForkHold hold;
    const std::lock_guard lock(mutex_);
    if (--users_ > 0) return;
    while (count_ > 0) munmap(blocks_[count_ - 1].data, blocks_[count_ - 1].bytes), --count_;
  }

  // The smallest that is large enough and not wastefully so, cut to size; null if there is none.
  void* take(std::size_t bytes) noexcept {
    const ForkHold hold;
    const std::lock_guard lock(mutex_);
    std::size_t best = count_;
    for (std::size_t b = 0; b < count_; ++b) {
      const std::size_t size = blocks_[b].bytes;
      if (size >= bytes && size <= 2 * bytes && (best == count_ || size < blocks_[best].bytes)) best = b;
    }
    if (best == count_) return nullptr;
    const Block block = std::exchange(blocks_[best], blocks_[--count_]);
    if (block.bytes > bytes) munmap(block.data + bytes, block.bytes - bytes);
    return block.data;
  }

  void give(void* data, std::size_t bytes) noexcept {
    const ForkHold hold;
    const std::lock_guard lock(mutex_);
    if (users_ > 0 && count_ < blocks_.size()) blocks_[count_++] = {static_cast<char*>(data), bytes};
    else munmap(data, bytes);
  }

 private:
  struct Block {
    char* data = nullptr;
    std::size_t bytes = 0;
  };
  std::mutex mutex_;
  std::array<Block, 32> blocks_;
  std::size_t count_ = 0;
  int users_ = 0;
};

}  // namespace

void advise_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef MADV_HUGEPAGE
  const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(data) + kHuge - 1) / kHuge * kHuge;
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(data) + bytes) / kHuge * kHuge;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

void* map_huge_pages(std::size_t bytes) {
  void* p = mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  char* const begin = static_cast<char*>(p);
  const std::size_t before = (kHuge - reinterpret_cast<std::uintptr_t>(begin) % kHuge) % kHuge;
  if (before != 0) munmap(begin, before);
  munmap(begin + before + bytes, kHuge - before);
  advise_huge_pages(begin + before, bytes);
  return begin + before;
}

std::shared_ptr<void> long_lived_memory(std::size_t bytes) {
  if (bytes < kHuge) {
    void* const p = std::aligned_alloc(kLine, std::max(kLine, (bytes + kLine - 1) / kLine * kLine));
    if (p == nullptr) throw std::bad_alloc();
    return {p, std::free};
  }
  if (bytes > SIZE_MAX / 2) throw std::bad_alloc();
  const std::size_t mapped = whole_pages(bytes);
  void* const spare = Spare::instance().take(mapped);
  return {spare != nullptr ? spare : map_huge_pages(mapped), [mapped](void* p) { Spare::instance().give(p, mapped); }};
}

std::shared_ptr<void> long_lived_copy(const void* data, std::size_t bytes, const ThreadPool& pool) {
  constexpr std::size_t chunk = kHuge / 2;
  std::shared_ptr<void> copy = long_lived_memory(bytes + kCopySlack);
  char* const to = static_cast<char*>(copy.get());
  pool.parallel_for(static_cast<std::int64_t>((bytes + chunk - 1) / chunk), [&](std::int64_t i, int) {
    const std::size_t begin = static_cast<std::size_t>(i) * chunk;
    std::memcpy(to + begin, static_cast<const char*>(data) + begin, std::min(chunk, bytes - begin));
  });
  return copy;
}

MemoryReuse::MemoryReuse() noexcept { Spare::instance().open(); }
MemoryReuse::~MemoryReuse() { Spare::instance().close(); }

}  // namespace pit
