#include "support/stages.h"

#include <algorithm>
#include <utility>

#include "support/cancel.h"
#include "support/log.h"

namespace pit {
namespace {

thread_local Stages* t_stages = nullptr;

double milliseconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

}  // namespace

Stages::Stages(std::string what, Progress progress)
    : what_(std::move(what)),
      progress_(std::move(progress)),
      start_(Clock::now()),
      stage_start_(start_),
      outer_(t_stages) {
  t_stages = this;
}

Stages::~Stages() { t_stages = outer_; }

void Stages::finish_stage() {
  if (!stage_.empty())
    info("{}: {} {:.1f} ms{}", what_, stage_, milliseconds(Clock::now() - stage_start_),
         note_.empty() ? "" : ", " + note_);
  note_.clear();
}

void Stages::begin(std::string_view stage, double share) {
  poll_cancel();
  Stages* s = t_stages;
  if (!s) return;
  s->finish_stage();
  s->stage_ = stage;
  s->stage_start_ = Clock::now();
  s->share_ = s->shown_ = std::max(s->share_, share);
  if (s->progress_) s->progress_(s->stage_, s->share_);
}

void Stages::advance(double done, double end) {
  poll_cancel();
  Stages* s = t_stages;
  if (!s || !s->progress_) return;
  constexpr double worth_showing = 0.01;
  const double share = s->share_ + (end - s->share_) * std::clamp(done, 0.0, 1.0);
  if (share < s->shown_ + worth_showing) return;
  s->shown_ = share;
  s->progress_(s->stage_, share);
}

void Stages::note(std::string text) {
  if (t_stages) t_stages->note_ = std::move(text);
}

void Stages::end() {
  Stages* s = t_stages;
  if (!s) return;
  s->finish_stage();
  s->stage_.clear();
  info("{}: done, {:.1f} ms", s->what_, milliseconds(Clock::now() - s->start_));
  if (s->progress_) s->progress_("done", 1);
}

}  // namespace pit
