#include "support/log.h"

#include <memory>
#include <mutex>
#include <utility>

namespace pit {
namespace {

// The one process-wide piece of state of the library. The hook is called outside the lock, so that it may log or
// replace itself.
struct HookHolder {
  std::mutex mutex;
  std::shared_ptr<const LogHook> hook;
};

HookHolder& holder() {
  static HookHolder* h = new HookHolder;  // never destroyed: messages may come from other static destructors
  return *h;
}

}  // namespace

LogHook set_log_hook(LogHook hook) {
  auto next = hook ? std::make_shared<const LogHook>(std::move(hook)) : nullptr;
  HookHolder& h = holder();
  std::lock_guard<std::mutex> lock(h.mutex);
  std::swap(h.hook, next);
  return next ? *next : LogHook();
}

void log_message(LogLevel level, const std::string& message) noexcept {
  try {
    std::shared_ptr<const LogHook> hook;
    {
      HookHolder& h = holder();
      std::lock_guard<std::mutex> lock(h.mutex);
      hook = h.hook;
    }
    if (hook) (*hook)(level, message);
  } catch (...) {
    // A hook that throws must not change what the library does.
  }
}

}  // namespace pit
