// Ending what is being computed: a token that one thread gives to a call and another thread cancels.
#pragma once

#include <functional>
#include <memory>

#include "pit/export.h"

namespace pit {

/// Copies are the same token. A call that was given a cancelled token ends soon (most within 50 ms) with a
/// CancelledError; models stay usable.
class PIT_API CancelToken {
 public:
  CancelToken();
  /// `ask` is called now and then (about every 20 ms) by the thread that made the call: true cancels. It must not
  /// throw.
  explicit CancelToken(std::function<bool()> ask);

  void cancel() const noexcept;
  bool cancelled() const noexcept;

  struct State;
  const std::shared_ptr<State>& state() const noexcept { return state_; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace pit
