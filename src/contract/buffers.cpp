#include "contract/buffers.h"

#include <algorithm>

#include "contract/pack.h"
#include "support/memory.h"
#include "tensor/poison.h"

namespace pit::contract {
namespace {

constexpr std::size_t kKept = 16;  // buffers that wait for the next call; the smallest go first

}  // namespace

Buffer& Buffer::operator=(Buffer&& o) noexcept {
  std::swap(pool_, o.pool_);
  std::swap(memory_, o.memory_);
  std::swap(bytes_, o.bytes_);
  std::swap(used_, o.used_);
  return *this;
}

Buffer::~Buffer() {
  if (pool_ && memory_) pool_->give(std::move(memory_), bytes_);
}

// Buffers go back while exceptions are on their way, std::bad_alloc among them: that must take no memory.
BufferPool::BufferPool() { free_.reserve(kKept); }

Buffer BufferPool::take(std::int64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it)
      if (it->first >= bytes && (best == free_.end() || it->first < best->first)) best = it;
    if (best != free_.end()) {
      Buffer b(this, std::move(best->second), best->first);
      free_.erase(best);
      return b;
    }
  }
  // A little more than asked for, so that calls of slightly different sparsity find each other's buffers.
  const std::int64_t size = bytes + bytes / 4 + 4096;
  return {this, long_lived_memory(static_cast<std::size_t>(size)), size};
}

Buffer BufferPool::take(std::initializer_list<Piece> pieces, DType type, Poison poison) {
  std::int64_t bytes = 0;
  for (const Piece& p : pieces) bytes += p.bytes;
  Buffer buffer = take(bytes);
  fill_poison(buffer.data(), type, buffer.bytes() / static_cast<std::int64_t>(size_of(type)), poison);
  for (const Piece& p : pieces) p.assign(p.to, buffer.take<char>(p.bytes));
  return buffer;
}

void BufferPool::give(std::shared_ptr<void> memory, std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (free_.size() >= kKept) {
    const auto smallest = std::min_element(free_.begin(), free_.end());
    if (smallest->first >= bytes) return;
    free_.erase(smallest);
  }
  free_.emplace_back(bytes, std::move(memory));
}

}  // namespace pit::contract
