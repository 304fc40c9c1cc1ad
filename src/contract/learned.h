// Prices that learn: the measured times of a product's calls correct what the cost model predicts for its ways.
//
// All ways give the same bits, so a wrong choice costs time and nothing else. Whoever has the same product again and
// again (a step of a model; a pit::Contraction) owns a LearnedPrices and hands it each choice and each measured time:
//
//     const Choice choice = choose_and_prepare(prices, engine, problem, live, packed, threads, ways);
//     // ways.front() is to run
//     const RunTimer timer(threads);
//     ... run ...
//     prices.observe(choice, timer.seconds());
//
// Calls that look alike (CallClass) learn together, each class apart from the others:
//
//   ratio  of a way: measured / predicted, within 1/4..4. Of its last three calls the fastest: a descheduled call is
//          slow, none is fast by chance; and what a neighbour on the machine did is forgotten after three. While there
//          are few, it is drawn to the class's common ratio.
//   common ratio: the geometric mean of all ways that ran, and of one more that runs as predicted. A busy machine slows
//          all down, and says nothing about those that were not tried.
//   price  predicted seconds * ratio; of a way that never ran, * common ratio. The cheapest runs,
//   trial  but for trials: another way that may be cheaper runs once, because its price is not known, or not any more.
//            - it never ran, and costs up to kNearby times the best by its price; dense, and after eight calls any, up to
//              kFar times; dense also if its prediction is less than the best took;
//            - it ran once, and costs up to kNearby times the best by its price, or would be the best but for a tenth by
//              what is known of the others: a second look, because a first run finds nothing of its own in the caches;
//            - it did not run for a while, and costs up to kNearby times the best by either. The while doubles with
//              each trial that changes nothing, from 8 calls to 64.
//
// Bound: what trials cost more than the best way would have, in calls of the best, is charged (expected when one is
// decided on, measured afterwards, but not more than 1.5), and no trial begins that may bring the sum beyond 1 + 0.015
// per call. So N calls of a class lose at most that by trials, 2.5 % of 100 calls, and what single ones took beyond
// what was expected of them. A new class begins with none tried; its first call is the model's choice.
//
// A first stream of a packed B makes a second layout of it: that is no trial's. Calls that throw are not observed. May be
// used by many threads at once: one lock, microseconds. At most kClasses classes are kept, those used last.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "contract/engine.h"
#include "support/fork.h"

namespace pit::contract {

/// What calls have in common for whom one ratio holds: extents by powers of two, shares of live micro-tiles by steps of
/// half of one, and micro-tiles.
struct CallClass {
  std::array<std::int16_t, 4> extents{};     ///< m, n, k, items
  std::array<std::int16_t, 3> shares{};      ///< of A, B, C; 0: all live
  std::array<std::int64_t, 6> micro_tile{};  ///< rows and columns of A's, B's, C's
  std::int32_t threads = 1;
  bool packed = false;
  auto operator<=>(const CallClass&) const = default;
};

CallClass class_of(const Problem& p, const Live& live, bool packed, int threads);

/// What was decided for one call; hand it back with the time that it took.
struct Choice {
  CallClass of;
  Rule rule;
  double predicted = 0;  ///< seconds, by the cost model; 0: nothing to learn (there was no choice)
  double best = 0;       ///< seconds, price of the way that would have run if this is a trial; else 0
  double charged = 0;    ///< calls of the best
};

/// Seconds since it was made. Where the calling thread works alone, but for those in which it had no CPU: that is nobody's
/// price.
class RunTimer {
 public:
  explicit RunTimer(int threads);
  double seconds() const;

 private:
  double now() const;
  bool alone_;
  double begin_;
};

class LearnedPrices {
 public:
  /// A way's ratio is within 1 / kMostRatio..kMostRatio, whatever was measured.
  static constexpr double kMostRatio = 4;
  static constexpr double kNearby = 1.3, kFar = 1.5;
  static constexpr std::size_t kClasses = 64;

  /// Multiplies the ways' predicted seconds by their ratios (Schedule::correction) and sorts them, cheapest first; then
  /// a trial's way, if there is one, goes to the front. `ways` is not empty.
  Choice choose(const CallClass& of, std::vector<Schedule>& ways);
  /// The first half of `choose`: nothing is decided.
  void correct(const CallClass& of, std::vector<Schedule>& ways) const;
  /// The engine's run alone took so long (RunTimer).
  void observe(const Choice& choice, double seconds);

 private:
  struct Way {
    Rule rule;
    std::array<double, 3> logs{};  ///< of measured / predicted, the last ones
    std::int64_t count = 0;        ///< of observations
    bool looked_again = false;
    bool pending = false;            ///< a trial began; one that was cancelled is forgotten after kFirstWait calls
    std::int64_t last = 0;           ///< the class's call in which it was chosen last
    std::int64_t wait = kFirstWait;  ///< calls until it is tried again
    double log() const;              ///< of its ratio, by its own calls
    double known() const;            ///< how much `log` counts against the common one, below 1
  };
  struct Class {
    std::int64_t calls = 0, used = 0;
    double charged = 0;
    std::vector<Way> ways;
    Way& way(const Rule& rule);
    const Way* find(const Rule& rule) const;
    /// Logarithm of the common ratio, without this way.
    double common(const Way* but = nullptr) const;
  };
  static constexpr std::int64_t kFirstWait = 8, kLastWait = 64;
  static constexpr double kMostCharged = 1.5;

  Class& class_for(const CallClass& of);
  static void correct(const Class& c, std::vector<Schedule>& ways);
  static bool deserves_trial(const Class& c, const Schedule& way, double best, double best_took);
  static double expected(const Class& c, const Schedule& way);
  static std::size_t trial(const Class& c, const std::vector<Schedule>& ways, bool packed);

  mutable Mutex mutex_;
  std::int64_t clock_ = 0;
  std::map<CallClass, Class> classes_;
};

/// Chooses among `ways`, of which the first is then to run, and makes now what it would make when it first runs: that is
/// not for the clock that teaches.
Choice choose_and_prepare(LearnedPrices& prices, const Engine& engine, const Problem& p, const Live& live,
                          PackedB* packed, int threads, std::vector<Schedule>& ways);

}  // namespace pit::contract
