#include "support/threads.h"

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <xmmintrin.h>

#include <algorithm>
#include <atomic>

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

}  // namespace

struct ThreadPool::Impl {
  explicit Impl(int threads) : arena(allowed(threads), /*reserved_for_masters=*/1) {}
  // An arena larger than what TBB allows in this process would make TBB print a warning; its threads never came anyway.
  static int allowed(int threads) {
    const std::size_t most = tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
    return std::min(threads, static_cast<int>(std::clamp<std::size_t>(most, 1, 1 << 16)));
  }
  tbb::task_arena arena;
};

ThreadPool::ThreadPool(int threads) : threads_(std::max(threads, 1)) {
  if (threads_ > 1) impl_ = std::make_unique<Impl>(threads_);
}

ThreadPool::~ThreadPool() = default;

// TBB gets one task per worker; these draw from a shared counter. That balances as well as TBB's own splitting, costs
// an atomic increment per task instead of a TBB task, and makes the worker's number unique by construction: it is the
// number of the share, whichever thread runs it.
void ThreadPool::parallel_for(std::int64_t count, const std::function<void(std::int64_t, int)>& body) const {
  if (count <= 0) return;
  if (count == 1 || threads_ == 1) {
    for (std::int64_t task = 0; task < count; ++task) body(task, 0);
    return;
  }
  std::atomic<std::int64_t> next{0};
  const unsigned mxcsr = _mm_getcsr();
  const auto share = [&](int worker) {
    BorrowedMxcsr environment(mxcsr);
    try {
      for (std::int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(task, worker);
    } catch (...) {
      next.store(count, std::memory_order_relaxed);  // the others stop at their next task
      throw;
    }
  };
  const int shares = static_cast<int>(std::min<std::int64_t>(threads_, count));
  impl_->arena.execute([&] {
    // Isolated: while it waits, this thread must not start work of another call, which may be long.
    tbb::this_task_arena::isolate([&] {
      tbb::parallel_for(tbb::blocked_range<int>(0, shares, 1), [&](const tbb::blocked_range<int>& range) {
        for (int worker = range.begin(); worker != range.end(); ++worker) share(worker);
      }, tbb::simple_partitioner());
    });
  });
}

FloatEnvironment::FloatEnvironment() noexcept : saved_(_mm_getcsr()) { _mm_setcsr(kDefaultMxcsr); }
FloatEnvironment::~FloatEnvironment() { _mm_setcsr(saved_); }

}  // namespace pit
