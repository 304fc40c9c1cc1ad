// Arrays that are written before they are read: no pass of zeros over fresh memory, huge pages for large ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include "support/memory.h"

namespace pit {

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
    if (bytes >= 4 * kHuge) return static_cast<T*>(map_huge_pages(mapped_bytes(n)));
    void* const p = ::operator new(bytes, alignment(bytes));
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
