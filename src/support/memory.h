// Memory by the page: huge pages where blocks are large, and blocks that live as long as a model does.
#pragma once

#include <cstddef>
#include <memory>

#include "support/threads.h"

namespace pit {

/// Asks for huge pages for what lies whole within `bytes` from `data`: fresh memory costs a page fault per page.
/// Advice only: failure is no failure.
void advise_huge_pages(void* data, std::size_t bytes) noexcept;

/// `bytes` rounded up to whole pages.
constexpr std::size_t whole_pages(std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

/// Fresh memory, zeros, that begins at a huge page, on huge pages as far as it fills them; `bytes` is a multiple of a page. To
/// be given back with munmap. Throws std::bad_alloc.
void* map_huge_pages(std::size_t bytes);

/// Memory for what lives as long as a model, as weights do; of no particular value. Large blocks go back to the system
/// with the last copy of the pointer: the heap would keep them, and begin them in the middle of a page. Throws
/// std::bad_alloc.
std::shared_ptr<void> long_lived_memory(std::size_t bytes);

/// Behind copies: vector code may read whole registers.
inline constexpr std::size_t kCopySlack = 64;
/// The same, with a copy of `data` in it.
std::shared_ptr<void> long_lived_copy(const void* data, std::size_t bytes, const ThreadPool& pool);

/// While one lives in the process, large blocks of long-lived memory that are given back serve those that are asked for
/// next: a page that was touched costs no second fault and no second clearing.
class MemoryReuse {
 public:
  MemoryReuse() noexcept;
  ~MemoryReuse();
  MemoryReuse(const MemoryReuse&) = delete;
  MemoryReuse& operator=(const MemoryReuse&) = delete;
};

}  // namespace pit
