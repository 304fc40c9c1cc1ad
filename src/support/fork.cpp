#include "support/fork.h"

#include <chrono>
#include <new>
#include <pthread.h>
#include <thread>

#include "support/log.h"

namespace pit {
namespace {

// The gate: holders are counted, and a fork closes it and waits until the count is zero. Plain atomics, because the
// child has to put it right from any state.
std::atomic<std::int64_t> holders{0};
std::atomic<bool> closed{false};
std::atomic<std::uint64_t> generation{0};
thread_local int depth = 0;

void wait_a_little() { std::this_thread::sleep_for(std::chrono::microseconds(50)); }

void before_fork() {
  const std::int64_t own = depth > 0 ? 1 : 0;
  while (closed.exchange(true)) wait_a_little();
  while (holders.load() > own) wait_a_little();
}

void in_parent() { closed = false; }

void in_child() {
  generation.fetch_add(1);
  holders = depth > 0 ? 1 : 0;
  closed = false;
}

// Registered when the library is loaded: before any thread of ours can hold anything.
const int registered = pthread_atfork(before_fork, in_parent, in_child);

void enter_gate() noexcept {
  if (depth++ > 0) return;
  for (;;) {
    holders.fetch_add(1);
    if (!closed.load()) return;
    holders.fetch_sub(1);
    while (closed.load()) wait_a_little();
  }
}

void leave_gate() noexcept {
  if (depth == 1) holders.fetch_sub(1);
  if (--depth == 0) deliver_kept_messages();
}

}  // namespace

std::uint64_t fork_generation() noexcept { return generation.load(std::memory_order_relaxed); }

ForkHold::ForkHold() noexcept { enter_gate(); }
ForkHold::~ForkHold() { leave_gate(); }
bool ForkHold::held() noexcept { return depth > 0; }

void Mutex::enter() noexcept { enter_gate(); }
void Mutex::leave() noexcept { leave_gate(); }

bool Once::begin() {
  for (;; wait_a_little()) {
    const std::lock_guard lock(mutex_);
    if (done_.load(std::memory_order_relaxed)) return false;
    if (busy_ && generation_ == fork_generation()) continue;
    busy_ = true;
    generation_ = fork_generation();
    return true;
  }
}

void Once::end(bool done) {
  const std::lock_guard lock(mutex_);
  busy_ = false;
  done_.store(done, std::memory_order_release);
}

}  // namespace pit
