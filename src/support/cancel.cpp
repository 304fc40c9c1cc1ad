#include "support/cancel.h"

#include <x86intrin.h>

#include "pit/error.h"
#include "support/fork.h"

namespace pit {
namespace {

// In ticks of the processor, of which there are two to five in a nanosecond: a clock would cost more than the rest of a
// poll.
constexpr std::uint64_t kBetweenQuestions = 40'000'000;
thread_local CancelScope* t_scope = nullptr;

}  // namespace

CancelToken::CancelToken() : state_(std::make_shared<State>()) {}
CancelToken::CancelToken(std::function<bool()> ask) : CancelToken() { state_->ask = std::move(ask); }
void CancelToken::cancel() const noexcept { state_->cancelled = true; }
bool CancelToken::cancelled() const noexcept { return state_->cancelled; }

CancelScope::CancelScope(const std::optional<CancelToken>& token) noexcept
    : outer_(t_scope), thread_(&t_scope), next_(__rdtsc() + kBetweenQuestions) {
  if (!token) return;
  state_ = token->state().get();
  t_scope = this;
}

CancelScope::~CancelScope() { t_scope = outer_; }

CancelScope::Borrowed::Borrowed(CancelScope* scope) noexcept : outer_(t_scope) { t_scope = scope; }
CancelScope::Borrowed::~Borrowed() { t_scope = outer_; }

CancelScope* CancelScope::current() noexcept { return t_scope; }

void CancelScope::ask() {
  // Whoever is asked may wait for what a thread that forks holds.
  if (state_->ask && thread_ == &t_scope && __rdtsc() >= next_ && !ForkHold::held()) {
    if (state_->ask()) state_->cancelled = true;
    next_ = __rdtsc() + kBetweenQuestions;
  }
}

void CancelScope::poll() {
  ask();
  if (state_->cancelled.load(std::memory_order_relaxed)) throw CancelledError("cancelled");
}

}  // namespace pit
