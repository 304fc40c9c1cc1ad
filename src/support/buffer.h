// Arrays that are written before they are read: no pass of zeros over fresh memory, huge pages for large ones.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "support/memory.h"

namespace pit {

/// Fresh memory that begins at a huge page; `bytes` is a multiple of a page. To be given back with munmap. Throws
/// std::bad_alloc.
inline void* map_huge_pages(std::size_t bytes) {
  constexpr std::size_t huge = std::size_t{2} << 20;
  void* p = mmap(nullptr, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  char* const begin = static_cast<char*>(p);
  const std::size_t before = (huge - reinterpret_cast<std::uintptr_t>(begin) % huge) % huge;
  if (before != 0) munmap(begin, before);
  munmap(begin + before + bytes, huge - before);
  return begin + before;
}

/// Fresh memory that lives for long, as weights do: large blocks lie on huge pages as far as they fill them, and go back
/// to the system with the last copy of the pointer. (The heap would keep them, and begin them in the middle of a page.)
/// Throws std::bad_alloc.
inline std::shared_ptr<void> long_lived_memory(std::size_t bytes) {
  constexpr std::size_t huge = std::size_t{2} << 20, page = 4096, line = 64;
  if (bytes < huge) {
    void* const p = std::aligned_alloc(line, std::max(line, (bytes + line - 1) / line * line));
    if (p == nullptr) throw std::bad_alloc();
    return {p, std::free};
  }
  const std::size_t mapped = (bytes + page - 1) / page * page;
  void* const p = map_huge_pages(mapped);
  advise_huge_pages(p, mapped);
  return {p, [mapped](void* q) { munmap(q, mapped); }};
}

/// std::allocator, but elements without an initial value stay uninitialised, and large blocks ask for huge pages.
template <class T>
struct UninitialisedAllocator {
  using value_type = T;
  static constexpr std::size_t kHuge = std::size_t{2} << 20;

  UninitialisedAllocator() = default;
  template <class U>
  UninitialisedAllocator(const UninitialisedAllocator<U>&) noexcept {}

  // A cache line for small blocks (vectors want it), a huge page for those that fill one. Large ones are mapped: the
  // heap would give their pages back and take them again, in small ones.
  static std::align_val_t alignment(std::size_t bytes) { return std::align_val_t{bytes >= kHuge ? kHuge : 64}; }
  static std::size_t mapped_bytes(std::size_t n) { return (n * sizeof(T) + kHuge - 1) / kHuge * kHuge; }

  T* allocate(std::size_t n) {
    if (n > static_cast<std::size_t>(-1) / 2 / sizeof(T)) throw std::bad_array_new_length();
    const std::size_t bytes = n * sizeof(T);
    void* p = bytes >= 4 * kHuge ? map_huge_pages(mapped_bytes(n)) : ::operator new(bytes, alignment(bytes));
    if (bytes >= kHuge) advise_huge_pages(p, bytes);
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t n) noexcept {
    const std::size_t bytes = n * sizeof(T);
    if (bytes >= 4 * kHuge) munmap(p, mapped_bytes(n));
    else ::operator delete(p, alignment(bytes));
  }

  template <class U>
  void construct(U* p) noexcept {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }

  bool operator==(const UninitialisedAllocator&) const noexcept { return true; }
};

/// A std::vector whose resize(n) does not write the new elements; resize(n, 0) does.
template <class T>
using Buffer = std::vector<T, UninitialisedAllocator<T>>;

/// `n` elements of no particular value: keeps the memory if there is enough of it, and copies nothing if there is not.
template <class T>
void resize_for_overwrite(Buffer<T>& buffer, std::size_t n) {
  if (buffer.capacity() < n) buffer = Buffer<T>();
  buffer.resize(n);
}

}  // namespace pit
