#include "support/log.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "support/fork.h"

namespace pit {
namespace {

// The one process-wide piece of state of the library. The hook is called outside the lock, so that it may log or
// replace itself.
struct HookHolder {
  Mutex mutex;
  std::shared_ptr<const LogHook> hook;
  std::atomic<bool> set{false};
};

HookHolder& holder() {
  static HookHolder* h = new HookHolder;  // never destroyed: messages may come from other static destructors
  return *h;
}

using Message = std::pair<LogLevel, std::string>;
thread_local std::vector<Message> kept;

}  // namespace

LogHook set_log_hook(LogHook hook) {
  auto next = hook ? std::make_shared<const LogHook>(std::move(hook)) : nullptr;
  HookHolder& h = holder();
  const std::lock_guard lock(h.mutex);
  std::swap(h.hook, next);
  h.set = h.hook != nullptr;
  return next ? *next : LogHook();
}

bool log_has_hook() noexcept { return holder().set.load(std::memory_order_relaxed); }

void log_message(LogLevel level, const std::string& message) noexcept {
  try {
    if (ForkHold::held()) {
      kept.emplace_back(level, message);
      return;
    }
    std::shared_ptr<const LogHook> hook;
    {
      HookHolder& h = holder();
      const std::lock_guard lock(h.mutex);
      hook = h.hook;
    }
    if (hook) (*hook)(level, message);
  } catch (...) {
    // A hook that throws must not change what the library does.
  }
}

void deliver_kept_messages() noexcept {
  while (!kept.empty()) {
    std::vector<Message> now;
    now.swap(kept);
    for (const auto& [level, message] : now) log_message(level, message);
  }
}

}  // namespace pit
