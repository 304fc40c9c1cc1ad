// Fresh memory costs a page fault per page; huge pages make that a few.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/mman.h>

namespace pit {

/// Asks for huge pages for what lies whole within `bytes` from `data`. Advice only: failure is no failure.
inline void advise_huge_pages(void* data, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t huge = 2 << 20;
  const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(data) + huge - 1) / huge * huge;
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(data) + bytes) / huge * huge;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace pit
