// Why no library of threads: none (oneTBB, OpenMP) can begin anew in a child of a fork, and their static objects are
// destroyed at exit under threads that still run. What is needed here is little: a list of open loops, workers that
// join one, and a caller that waits until they have left.
#include "support/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <immintrin.h>
#include <mutex>
#include <sched.h>
#include <signal.h>
#include <system_error>
#include <thread>
#include <vector>

#include "support/cancel.h"
#include "support/fork.h"

namespace pit {
namespace {

constexpr unsigned kDefaultMxcsr = 0x1F80;  // round to nearest, all exceptions masked, no FTZ, no DAZ

// The MXCSR of the caller for the time of a worker's share.
class BorrowedMxcsr {
 public:
  explicit BorrowedMxcsr(unsigned value) noexcept : saved_(_mm_getcsr()) { _mm_setcsr(value); }
  ~BorrowedMxcsr() { _mm_setcsr(saved_); }
  BorrowedMxcsr(const BorrowedMxcsr&) = delete;
  BorrowedMxcsr& operator=(const BorrowedMxcsr&) = delete;

 private:
  unsigned saved_;
};

using Body = std::function<void(std::int64_t, int)>;

/// One call of parallel_for, on its caller's stack. Workers draw tasks from a shared counter: an atomic increment per
/// task, and a worker's number is that of the seat it took, so it is unique by construction.
class Loop {
 public:
  Loop(std::int64_t count, int seats, const Body& body)
      : count_(count), seats_(seats), body_(body), mxcsr_(_mm_getcsr()), scope_(CancelScope::current()) {}

  void work(int seat) noexcept {
    const BorrowedMxcsr environment(mxcsr_);
    try {
      const CancelScope::Borrowed scope(scope_);
      for (std::int64_t task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
        poll_cancel();
        body_(task, seat);
      }
    } catch (...) {
      fail();
    }
  }
  /// Keeps the exception that is being handled, if it is the first; the others stop at their next task.
  void fail() noexcept {
    next_.store(count_, std::memory_order_relaxed);
    if (!failed_.exchange(true)) error_ = std::current_exception();
  }
  bool has_work() const noexcept { return next_.load(std::memory_order_relaxed) < count_; }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

  // Guarded by the crew's mutex, but `inside`, which is counted up under it.
  int taken = 1;  ///< seats; 0 is the caller's
  bool has_seat() const { return taken < seats_; }
  std::atomic<int> inside{0};  ///< workers that have not left yet

 private:
  const std::int64_t count_;
  const int seats_;
  const Body& body_;
  const unsigned mxcsr_;
  CancelScope* const scope_;  ///< the caller's
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
};

/// Threads made meanwhile get no signals: those are for the application's own.
class NoSignals {
 public:
  NoSignals() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved_);
  }
  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t saved_;
};

/// Calls `ready` until it is true, for about as long as it takes to wake a thread; whether it was.
template <class F>
bool spin(F&& ready) {
  using Clock = std::chrono::steady_clock;
  constexpr auto patience = std::chrono::microseconds(60);
  for (int i = 0; i < 100; ++i) {
    if (ready()) return true;
    _mm_pause();
  }
  for (const Clock::time_point start = Clock::now(); Clock::now() - start < patience;) {
    for (int i = 0; i < 20; ++i) {
      if (ready()) return true;
      _mm_pause();
    }
    sched_yield();  // somebody else may want this core: another process, or the worker that is waited for
  }
  return ready();
}

class Crew {
 public:
  void run(Loop& loop, int helpers) {
    {
      const std::lock_guard lock(mutex_);
      hire(helpers);
      loops_.push_back(&loop);
      opened_.fetch_add(1);
      for (int i = std::min(helpers, asleep_); i > 0; --i) wake_.notify_one();
    }
    loop.work(0);
    {
      const std::lock_guard lock(mutex_);
      loops_.erase(std::find(loops_.begin(), loops_.end(), &loop));
    }
    wait_for_workers(loop);
  }

  const std::uint64_t generation = fork_generation();

 private:
  // More than any pool asks for would only be in each other's way. Without another thread the caller does the work.
  void hire(int helpers) {
    try {
      while (workers_ < helpers) {
        const NoSignals inherited;
        std::thread([this] { live(); }).detach();
        ++workers_;
      }
    } catch (const std::system_error&) {
    }
  }

  void live() {
    for (;;) {
      Loop* loop = nullptr;
      int seat = 0;
      std::int64_t seen = 0;
      {
        const std::lock_guard lock(mutex_);
        seen = opened_.load();
        for (Loop* l : loops_) {
          if (!l->has_seat() || !l->has_work()) continue;
          loop = l;
          seat = l->taken++;
          l->inside.fetch_add(1);
          break;
        }
      }
      if (loop == nullptr) {
        rest(seen);
        continue;
      }
      loop->work(seat);
      loop->inside.fetch_sub(1);  // it may be gone from here on
      if (waiting_.load() > 0) {
        {
          const std::lock_guard lock(mutex_);
        }
        left_.notify_all();
      }
    }
  }

  // Loops follow each other closely while a model runs.
  void rest(std::int64_t seen) {
    auto more = [&] { return opened_.load() != seen; };
    if (spin(more)) return;
    std::unique_lock lock(mutex_);
    ++asleep_;
    wake_.wait(lock, more);
    --asleep_;
  }

  // Tasks may be long, with loops of their own: only the caller is asked whether they are cancelled, so it looks now and
  // then.
  void wait_for_workers(Loop& loop) {
    constexpr auto now_and_then = std::chrono::milliseconds(10);
    auto empty = [&] { return loop.inside.load() == 0; };
    if (spin(empty)) return;
    while (!wait_a_while(empty, now_and_then)) {
      try {
        if (CancelScope* scope = CancelScope::current()) scope->ask();
      } catch (...) {
        loop.fail();
      }
    }
  }

  template <class F>
  bool wait_a_while(const F& ready, std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    waiting_.fetch_add(1);
    const bool is_ready = left_.wait_for(lock, time, ready);
    waiting_.fetch_sub(1);
    return is_ready;
  }

  std::mutex mutex_;
  std::condition_variable wake_, left_;
  std::vector<Loop*> loops_;
  int workers_ = 0, asleep_ = 0;
  std::atomic<std::int64_t> opened_{0};  ///< loops, ever
  std::atomic<int> waiting_{0};
};

// Never destroyed: its workers live as long as the process. Those of another generation are not in this process, so it
// gets a crew of its own.
Crew& crew() {
  static Mutex mutex;
  static std::atomic<Crew*> current{nullptr};
  const auto usable = [](const Crew* c) { return c != nullptr && c->generation == fork_generation(); };
  if (Crew* c = current.load(std::memory_order_acquire); usable(c)) return *c;
  const std::lock_guard lock(mutex);
  if (!usable(current.load())) current = new Crew;
  return *current.load();
}

}  // namespace

ThreadPool::ThreadPool(int threads) : threads_(std::max(threads, 1)) {}

void ThreadPool::parallel_for(std::int64_t count, const Body& body) const {
  if (count <= 0) return;
  if (count == 1 || threads_ == 1) {
    for (std::int64_t task = 0; task < count; ++task) {
      poll_cancel();
      body(task, 0);
    }
    return;
  }
  const int seats = static_cast<int>(std::min<std::int64_t>(threads_, count));
  Loop loop(count, seats, body);
  crew().run(loop, seats - 1);
  loop.rethrow();
}

FloatEnvironment::FloatEnvironment() noexcept : saved_(_mm_getcsr()) { _mm_setcsr(kDefaultMxcsr); }
FloatEnvironment::~FloatEnvironment() { _mm_setcsr(saved_); }

}  // namespace pit
