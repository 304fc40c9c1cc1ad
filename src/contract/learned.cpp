#include "contract/learned.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tune/limits.h"

namespace pit::contract {
namespace {

std::int16_t octave(std::int64_t extent) {
  return static_cast<std::int16_t>(std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(extent, 0))));
}

std::int16_t half_octave(double share) {
  constexpr double least = 1.0 / (1 << 20);
  return static_cast<std::int16_t>(std::lround(-2 * std::log2(std::clamp(share, least, 1.0))));
}

}  // namespace

CallClass class_of(const Problem& p, const Live& live, bool packed, int threads) {
  CallClass c;
  c.extents = {octave(p.m), octave(p.n), octave(p.k), octave(static_cast<std::int64_t>(p.items.size()))};
  const std::array<const detect::LiveMap*, 3> maps{live.a, live.b, live.c};
  for (std::size_t i = 0; i < maps.size(); ++i) {
    if (!maps[i]) continue;
    c.shares[i] = half_octave(maps[i]->fraction());
    c.micro_tile[2 * i] = maps[i]->g_rows, c.micro_tile[2 * i + 1] = maps[i]->g_columns;
  }
  c.threads = threads;
  c.packed = packed;
  return c;
}

RunTimer::RunTimer(int threads) : alone_(threads == 1), begin_(now()) {}
double RunTimer::now() const { return alone_ ? tuning::thread_seconds() : tuning::wall_seconds(); }
double RunTimer::seconds() const { return now() - begin_; }

double LearnedPrices::Way::log() const {
  return *std::min_element(logs.begin(), logs.begin() + std::min<std::int64_t>(count, std::ssize(logs)));
}

double LearnedPrices::Way::known() const {
  constexpr double doubt = 0.25;  // observations
  return static_cast<double>(count) / (static_cast<double>(count) + doubt);
}

const LearnedPrices::Way* LearnedPrices::Class::find(const Rule& rule) const {
  const auto found = std::find_if(ways.begin(), ways.end(), [&](const Way& w) { return w.rule == rule; });
  return found == ways.end() ? nullptr : &*found;
}

LearnedPrices::Way& LearnedPrices::Class::way(const Rule& rule) {
  const auto found = std::find_if(ways.begin(), ways.end(), [&](const Way& w) { return w.rule == rule; });
  return found == ways.end() ? ways.emplace_back(Way{.rule = rule}) : *found;
}

double LearnedPrices::Class::common(const Way* but) const {
  double sum = 0, count = 1;
  for (const Way& w : ways)
    if (w.count > 0 && &w != but) sum += w.log(), ++count;
  return sum / count;
}

LearnedPrices::Class& LearnedPrices::class_for(const CallClass& of) {
  if (classes_.size() >= kClasses && !classes_.contains(of))
    classes_.erase(std::min_element(classes_.begin(), classes_.end(),
                                    [](const auto& x, const auto& y) { return x.second.used < y.second.used; }));
  Class& c = classes_[of];
  c.used = ++clock_;
  return c;
}

void LearnedPrices::correct(const Class& c, std::vector<Schedule>& ways) {
  const double common = c.common();
  for (Schedule& s : ways) {
    const Way* w = c.find(s.rule);
    const double known = w ? w->known() : 0;
    s.correction = std::exp(known > 0 ? known * w->log() + (1 - known) * common : common);
    s.seconds *= s.correction;
  }
  sort_by_price(ways);
}

// A way is tried because its own calls may mislead: they and the word of the others count alike.
double LearnedPrices::expected(const Class& c, const Schedule& way) {
  const Way* w = c.find(way.rule);
  return w && w->count > 0 ? std::sqrt(way.seconds * way.predicted() * std::exp(c.common(w))) : way.seconds;
}

bool LearnedPrices::deserves_trial(const Class& c, const Schedule& way, double best, double best_took) {
  const Way* w = c.find(way.rule);
  if (w && w->pending && c.calls - w->last < kFirstWait) return false;
  const bool dense = way.rule.kind == RuleKind::dense;
  if (!w || w->count == 0)
    return way.seconds <= (dense || c.calls > kFirstWait ? kFar : kNearby) * best ||
           (dense && way.predicted() < best_took);
  const double by_others = way.predicted() * std::exp(c.common(w));
  if (w->count == 1 && !w->looked_again) return by_others <= 1.1 * best || way.seconds <= kNearby * best;
  return c.calls - w->last >= w->wait && std::min(by_others, way.seconds) <= kNearby * best;
}

std::size_t LearnedPrices::trial(const Class& c, const std::vector<Schedule>& ways, bool packed) {
  const Schedule& best = ways.front();
  const Way* known = c.find(best.rule);
  if (!known || known->count == 0) return 0;
  const double best_took = best.predicted() * std::exp(known->log());
  const double allowed = 1 + 0.015 * static_cast<double>(c.calls);
  // A first stream makes a second layout of a packed B, and keeps it: too much memory for a trial.
  auto keeps_memory = [&](const Schedule& s) {
    return packed && s.rule.kind == RuleKind::stream && c.find(s.rule) == nullptr;
  };
  for (std::size_t i = 1; i < ways.size(); ++i)
    if (!keeps_memory(ways[i]) && deserves_trial(c, ways[i], best.seconds, best_took) &&
        c.charged + std::max(0.0, expected(c, ways[i]) / best.seconds - 1) <= allowed)
      return i;
  return 0;
}

void LearnedPrices::correct(const CallClass& of, std::vector<Schedule>& ways) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = classes_.find(of); found != classes_.end()) correct(found->second, ways);
}

Choice LearnedPrices::choose(const CallClass& of, std::vector<Schedule>& ways) {
  Choice choice{.of = of, .rule = ways.front().rule};
  if (ways.size() < 2) return choice;
  const std::lock_guard lock(mutex_);
  Class& c = class_for(of);
  ++c.calls;
  correct(c, ways);
  if (!(ways.front().seconds > 0)) return choice;  // empty products
  const double best = ways.front().seconds;
  const std::size_t tried = trial(c, ways, of.packed);
  Way& w = c.way(ways[tried].rule);
  if (tried > 0) {
    choice.best = best;
    choice.charged = std::max(0.0, expected(c, ways[tried]) / best - 1);
    c.charged += choice.charged;
    w.pending = true;
    w.looked_again = w.count > 0;
    if (w.count > 1) w.wait = std::min(2 * w.wait, kLastWait);
    std::rotate(ways.begin(), ways.begin() + static_cast<std::ptrdiff_t>(tried),
                ways.begin() + static_cast<std::ptrdiff_t>(tried) + 1);
  } else {
    w.wait = kFirstWait;
  }
  w.last = c.calls;
  choice.rule = ways.front().rule;
  choice.predicted = ways.front().predicted();
  return choice;
}

Choice choose_and_prepare(LearnedPrices& prices, const Engine& engine, const Problem& p, const Live& live,
                          PackedB* packed, int threads, std::vector<Schedule>& ways) {
  const Choice choice = prices.choose(class_of(p, live, packed != nullptr, threads), ways);
  if (ways.size() > 1) engine.prepare(p, live, packed, ways.front());
  return choice;
}

void LearnedPrices::observe(const Choice& choice, double seconds) {
  if (!(choice.predicted > 0) || !(seconds > 0)) return;
  const double most = std::log(kMostRatio);
  const std::lock_guard lock(mutex_);
  const auto found = classes_.find(choice.of);
  if (found == classes_.end()) return;
  Class& c = found->second;
  Way& w = c.way(choice.rule);
  w.logs[static_cast<std::size_t>(w.count++) % w.logs.size()] =
      std::clamp(std::log(seconds / choice.predicted), -most, most);
  if (choice.best <= 0) return;
  w.pending = false;
  // That a call was descheduled is not the trial's fault, and must not end all trials.
  c.charged += std::clamp(seconds / choice.best - 1, 0.0, kMostCharged) - choice.charged;
}

}  // namespace pit::contract
