// The inside of CancelToken. A call keeps a CancelScope; what takes long polls, between pieces of a few milliseconds.
// Tasks of a ThreadPool are such pieces: parallel_for polls by itself. Nothing is handed down: a scope holds for its
// thread, and for the workers of its loops.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "pit/cancel.h"

namespace pit {

struct CancelToken::State {
  std::atomic<bool> cancelled{false};
  std::function<bool()> ask;
};

class CancelScope {
 public:
  /// Without a token, the scope around it stays the one that counts.
  explicit CancelScope(const std::optional<CancelToken>& token) noexcept;
  ~CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  /// Of this thread; null: nothing can be cancelled.
  static CancelScope* current() noexcept;
  void poll();
  /// The first half of `poll`, for who waits for others that poll: looks whether the call was cancelled meanwhile, and
  /// throws nothing but what whoever is asked throws.
  void ask();

  /// The caller's scope, for a worker while it works for it. Only the caller is asked.
  class Borrowed {
   public:
    explicit Borrowed(CancelScope* scope) noexcept;
    ~Borrowed();
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;

   private:
    CancelScope* outer_;
  };

 private:
  CancelToken::State* state_ = nullptr;
  CancelScope* outer_;
  const void* thread_;      ///< that made it
  std::uint64_t next_ = 0;  ///< when to ask
};

/// Throws CancelledError if this thread's call was cancelled. Cheap enough for every task of a loop, not for every
/// element.
inline void poll_cancel() {
  if (CancelScope* scope = CancelScope::current()) scope->poll();
}

}  // namespace pit
