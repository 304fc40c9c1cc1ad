// Threads: oneTBB in an arena of our own (no global_control: other libraries of the process may share TBB).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace pit {

/// A pool of `threads` workers, the caller included. Safe to use from many threads at once.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  int size() const noexcept { return threads_; }

  /// Calls body(task, worker) for every task in 0..count, dynamically balanced, each exactly once; returns when all
  /// are done. `worker` is 0..size()-1 and unique among the bodies running at the same time *within this call*.
  /// With one task or one thread it runs inline. The floating-point environment of the caller holds in every worker.
  /// An exception of a body is rethrown in the caller.
  void parallel_for(std::int64_t count, const std::function<void(std::int64_t task, int worker)>& body) const;

 private:
  struct Impl;
  int threads_;
  std::unique_ptr<Impl> impl_;
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
