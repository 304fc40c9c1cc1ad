// fork: a child has the memory of its parent and none of its threads. Whatever another thread was changing just then
// would stay half changed for ever, and what it had locked stay locked. So a fork waits (pthread_atfork) until nobody
// holds a ForkHold, and everything that threads share is changed under one: `Mutex` brings its own. Sections are short,
// and call neither back into the application nor wait for its locks (Python's GIL, say): the thread that forks may hold
// them. Messages of the log are therefore kept until the hold ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace pit {

/// How many forks lie between the first process and this one. Threads that were made in another generation are gone.
std::uint64_t fork_generation() noexcept;

/// While it lives, no fork of this process happens. May be nested. Do not keep it while waiting for other threads that
/// may need one.
class ForkHold {
 public:
  ForkHold() noexcept;
  ~ForkHold();
  ForkHold(const ForkHold&) = delete;
  ForkHold& operator=(const ForkHold&) = delete;

  /// Whether this thread holds one.
  static bool held() noexcept;
};

/// std::mutex for short sections; no fork happens within.
class Mutex {
 public:
  void lock() {
    enter();
    mutex_.lock();
  }
  void unlock() {
    mutex_.unlock();
    leave();
  }

 private:
  static void enter() noexcept;
  static void leave() noexcept;
  friend class ForkHold;
  std::mutex mutex_;
};

/// std::once_flag for work that takes long (generating code): nothing is held meanwhile, so forks need not wait; a
/// child in which nobody goes on with it does it itself. Work that throws may be tried again.
class Once {
 public:
  template <class F>
  void call(F&& work) {
    if (done_.load(std::memory_order_acquire) || !begin()) return;
    try {
      work();
    } catch (...) {
      end(false);
      throw;
    }
    end(true);
  }

 private:
  bool begin();  ///< waits for a thread that is at it; false: that one did it
  void end(bool done);

  Mutex mutex_;
  std::atomic<bool> done_{false};
  bool busy_ = false;
  std::uint64_t generation_ = 0;  ///< of the thread that is at it
};

}  // namespace pit
