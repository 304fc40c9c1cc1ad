// Threads: one crew of workers for the whole process, made when first needed and asleep when there is nothing to do.
#pragma once

#include <cstdint>
#include <functional>

namespace pit {

/// Room for `threads` workers of the crew, the caller included. Safe to use from many threads at once, and in children
/// of a fork, where the crew begins anew. Pools share the crew: many models do not mean many threads.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  int size() const noexcept { return threads_; }

  /// Calls body(task, worker) for every task in 0..count, dynamically balanced, each exactly once; returns when all
  /// are done. `worker` is 0..size()-1 and unique among the bodies running at the same time *within this call*.
  /// With one task or one thread it runs inline. The floating-point environment of the caller holds in every worker.
  /// An exception of a body is rethrown in the caller. Polls between tasks (support/cancel.h).
  void parallel_for(std::int64_t count, const std::function<void(std::int64_t task, int worker)>& body) const;

 private:
  int threads_;
};

/// Sets round-to-nearest, no flush-to-zero, all exceptions masked; restores the caller's state on destruction.
class FloatEnvironment {
 public:
  FloatEnvironment() noexcept;
  ~FloatEnvironment();
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  unsigned saved_;
};

}  // namespace pit
