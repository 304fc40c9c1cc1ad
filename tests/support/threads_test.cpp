#include "support/threads.h"

#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>
#include <xmmintrin.h>

#include "sanitizers.h"

#include "pit/error.h"
#include "support/cancel.h"
#include "support/fork.h"

namespace pit {
namespace {

TEST(ThreadPool, EveryTaskOnceAndWorkersUnique) {
  for (const int threads : {1, 2, 3, 8}) {
    const ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int count : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(count));
      std::vector<std::atomic<int>> busy(static_cast<std::size_t>(threads));
      std::atomic<int> clashes{0};
      pool.parallel_for(count, [&](std::int64_t task, int worker) {
        if (busy.at(static_cast<std::size_t>(worker)).exchange(1) != 0) ++clashes;
        ++done.at(static_cast<std::size_t>(task));
        busy.at(static_cast<std::size_t>(worker)) = 0;
      });
      for (const auto& d : done) EXPECT_EQ(d, 1);
      EXPECT_EQ(clashes, 0);
    }
  }
}

// Only the caller is asked whether its call was cancelled: also while it waits for a task that takes long.
TEST(ThreadPool, LongTasksOfWorkersAreCancelled) {
  constexpr auto patience = std::chrono::seconds(20);
  std::atomic<bool> begun{false}, gave_up{false};
  const CancelToken token([&] { return begun.load(); });
  const CancelScope scope(token);
  const auto start = std::chrono::steady_clock::now();
  const auto waits_for = [&](const auto& ready) {
    while (!ready() && std::chrono::steady_clock::now() - start < patience) std::this_thread::yield();
    if (!ready()) gave_up = true;
  };
  EXPECT_THROW(ThreadPool(2).parallel_for(2,
                                          [&](std::int64_t, int worker) {
                                            if (worker == 0) return waits_for([&] { return begun.load(); });
                                            begun = true;
                                            waits_for([] { return poll_cancel(), false; });
                                          }),
               CancelledError);
  EXPECT_FALSE(gave_up);
}

TEST(ThreadPool, ManyCallersAtOnceAndNestedCalls) {
  const ThreadPool pool(2);
  std::atomic<std::int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 6; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        pool.parallel_for(
            10, [&](std::int64_t, int) { pool.parallel_for(3, [&](std::int64_t inner, int) { sum += inner; }); });
      }
    });
  }
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(sum, 6 * 50 * 10 * 3);
}

TEST(ThreadPool, ExceptionsReachTheCallerAndThePoolSurvives) {
  const ThreadPool pool(2);
  EXPECT_THROW(pool.parallel_for(100,
                                 [](std::int64_t t, int) {
                                   if (t == 40) throw std::runtime_error("x");
                                 }),
               std::runtime_error);
  std::atomic<int> n{0};
  pool.parallel_for(100, [&](std::int64_t, int) { ++n; });
  EXPECT_EQ(n, 100);
}

TEST(ThreadPool, CallersFloatingPointEnvironmentHoldsInWorkers) {
  const ThreadPool pool(2);
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);  // flush to zero, denormals are zero
  std::atomic<int> wrong{0};
  pool.parallel_for(200, [&](std::int64_t, int) { wrong += (_mm_getcsr() & 0x8040) != 0x8040; });
  {
    FloatEnvironment ieee;
    pool.parallel_for(200, [&](std::int64_t, int) { wrong += (_mm_getcsr() & 0xFFC0) != 0x1F80; });
  }
  EXPECT_EQ(_mm_getcsr() & 0x8040, 0x8040u);
  _mm_setcsr(saved);
  EXPECT_EQ(wrong, 0);
}

// A child has none of its parent's workers.
TEST(ThreadPool, WorksInChildrenOfAForkWhileTheParentWorks) {
  if (test::kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer allows no threads in a child of a process with threads";
  const ThreadPool pool(3);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) pool.parallel_for(50, [](std::int64_t, int) {});
  });
  for (int fork_number = 0; fork_number < 50; ++fork_number) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);
      std::atomic<int> n{0};
      for (int i = 0; i < 20; ++i) pool.parallel_for(50, [&](std::int64_t, int) { ++n; });
      _exit(n == 1000 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "fork " << fork_number << ", status " << status;
  }
  stop = true;
  busy.join();
}

// What is half done by another thread at the moment of a fork would stay so in the child.
TEST(Fork, WaitsForShortSectionsAndChildrenTakeOverLongOnes) {
  Mutex mutex;
  Once once;
  std::atomic<bool> stop{false}, began{false};
  int a = 0, b = 0;
  std::thread busy([&] {
    while (!stop) {
      const std::lock_guard lock(mutex);
      ++a;
      ++b;
    }
  });
  std::thread slow([&] {
    once.call([&] {
      began = true;
      while (!stop) std::this_thread::yield();
    });
  });
  while (!began) std::this_thread::yield();
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);
      int done = 0;
      once.call([&] { done = 1; });
      once.call([&] { done = 2; });
      const std::lock_guard lock(mutex);
      _exit(a == b && done == 1 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "fork " << i << ", status " << status;
  }
  stop = true;
  busy.join();
  slow.join();
}

TEST(Once, IsTriedAgainAfterAnException) {
  Once once;
  int n = 0;
  EXPECT_THROW(once.call([&] { throw std::runtime_error("x"); }), std::runtime_error);
  once.call([&] { ++n; });
  once.call([&] { ++n; });
  EXPECT_EQ(n, 1);
}

}  // namespace
}  // namespace pit
