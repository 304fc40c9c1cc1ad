// Large scratch that outlives calls: fresh memory costs a page fault per page, which a sparse product would notice.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <vector>

#include "pit/poison.h"
#include "pit/tensor.h"
#include "support/fork.h"

namespace pit::contract {

class BufferPool;

/// A piece of memory, 64-byte aligned, uninitialised; goes back to its pool.
class Buffer {
 public:
  Buffer() = default;
  Buffer(BufferPool* pool, std::shared_ptr<void> memory, std::int64_t bytes)
      : pool_(pool), memory_(std::move(memory)), bytes_(bytes) {}
  Buffer(Buffer&& o) noexcept { *this = std::move(o); }
  Buffer& operator=(Buffer&& o) noexcept;
  ~Buffer();
  char* data() const { return static_cast<char*>(memory_.get()); }
  std::int64_t bytes() const { return bytes_; }

  /// Hands out consecutive pieces, 64-byte aligned. The whole must fit.
  template <class T>
  T* take(std::int64_t count) {
    T* p = reinterpret_cast<T*>(data() + used_);
    used_ += rounded<T>(count);
    return p;
  }
  /// What `take` uses.
  template <class T>
  static std::int64_t rounded(std::int64_t count) {
    return (count * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
  }

 private:
  friend class BufferPool;
  BufferPool* pool_ = nullptr;
  std::shared_ptr<void> memory_;
  std::int64_t bytes_ = 0, used_ = 0;
};

/// Of scratch: `count` elements, 64-byte aligned, whose address goes to `where`.
struct Piece {
  template <class T>
  Piece(T*& where, std::int64_t count)
      : bytes(Buffer::rounded<T>(count)),
        to(&where),
        assign([](void* pointer, char* p) { *static_cast<T**>(pointer) = reinterpret_cast<T*>(p); }) {}
  std::int64_t bytes;
  void* to;
  void (*assign)(void* to, char* p);
};

class BufferPool {
 public:
  BufferPool();
  /// At least `bytes`; the smallest free one that fits. Throws std::bad_alloc.
  Buffer take(std::int64_t bytes);
  /// The same for all pieces, filled with elements that are no values where `poison` says so.
  Buffer take(std::initializer_list<Piece> pieces, DType type, Poison poison);

 private:
  friend class Buffer;
  void give(std::shared_ptr<void> memory, std::int64_t bytes);
  Mutex mutex_;
  std::vector<std::pair<std::int64_t, std::shared_ptr<void>>> free_;
};

}  // namespace pit::contract
