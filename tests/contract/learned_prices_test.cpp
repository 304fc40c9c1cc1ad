// Learned prices on a simulated machine: predictions that are wrong, noise, neighbours, changing shares, many threads.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "contract/learned.h"

namespace pit::contract {
namespace {

/// Ways of one product: what the model says, and what they take, in seconds. The first one is the dense one.
class Machine {
 public:
  Machine(std::vector<double> predicted, std::vector<double> seconds, unsigned seed = 1)
      : takes(std::move(seconds)), predicted_(std::move(predicted)), random_(seed) {}

  std::vector<Schedule> ways() const {
    std::vector<Schedule> ways;
    for (std::size_t i = 0; i < predicted_.size(); ++i) {
      Rule rule{.kind = i == 0 ? RuleKind::dense : RuleKind::k, .g_rows = static_cast<std::int64_t>(i)};
      ways.push_back({.rule = rule, .blocks = {}, .seconds = predicted_[i]});
    }
    std::stable_sort(ways.begin(), ways.end(), [](const auto& x, const auto& y) { return x.seconds < y.seconds; });
    return ways;
  }
  static std::size_t number_of(const Rule& rule) { return static_cast<std::size_t>(rule.g_rows); }
  double best() const { return *std::min_element(takes.begin(), takes.end()); }

  /// One call, observed with noise. Returns what the way takes without it.
  double call(LearnedPrices& prices, const CallClass& of = {}) {
    std::vector<Schedule> all = ways();
    const Choice choice = prices.choose(of, all);
    const double seconds = takes[number_of(choice.rule)];
    const double slower = std::exp(std::abs(std::normal_distribution(0.0, noise)(random_)));
    const double cold = std::exchange(warm_[number_of(choice.rule)], true) ? 1 : first_call;
    prices.observe(choice, seconds * cold * slower * (std::bernoulli_distribution(descheduled)(random_) ? 20 : 1));
    return seconds;
  }
  /// What would run next if nothing were tried.
  double settled(const LearnedPrices& prices, const CallClass& of = {}) const {
    std::vector<Schedule> all = ways();
    prices.correct(of, all);
    return takes[number_of(all.front().rule)];
  }

  std::vector<double> takes;
  double noise = 0, descheduled = 0;
  double first_call = 1;  ///< how many times as long the first call of a way takes

 private:
  std::map<std::size_t, bool> warm_;
  std::vector<double> predicted_;
  std::mt19937 random_;
};

/// Calls until the last one of `calls` that took more than `factor` times the best.
int last_bad(Machine& machine, LearnedPrices& prices, int calls, double factor, const CallClass& of = {}) {
  int last = 0;
  for (int i = 1; i <= calls; ++i)
    if (machine.call(prices, of) > factor * machine.best()) last = i;
  return last;
}

TEST(LearnedPrices, TheFirstChoiceIsTheModels) {
  const Machine machine({3, 2, 1, 4}, {1, 1, 1, 1});
  LearnedPrices prices;
  std::vector<Schedule> ways = machine.ways();
  const Choice choice = prices.choose({}, ways);
  EXPECT_EQ(Machine::number_of(choice.rule), 2U);
  EXPECT_DOUBLE_EQ(choice.predicted, 1);
  for (std::size_t i = 0; i < ways.size(); ++i) EXPECT_DOUBLE_EQ(ways[i].seconds, static_cast<double>(i + 1));
}

TEST(LearnedPrices, AWrongOrderIsRightWithinFiveCalls) {
  Machine machine({1.25, 1, 1.1, 1.2}, {1.4, 1.5, 1, 1.2});
  LearnedPrices prices;
  for (int i = 0; i < 5; ++i) machine.call(prices);
  EXPECT_DOUBLE_EQ(machine.settled(prices), 1);
}

TEST(LearnedPrices, DenseRunsOnceASparseWayTookLongerThanItsPrediction) {
  Machine machine({2, 1}, {2, 2.6});  // by the common ratio dense would be expected to be slower, too
  LearnedPrices prices;
  machine.call(prices);
  EXPECT_DOUBLE_EQ(machine.call(prices), 2);
  for (int i = 0; i < 6; ++i) {
    EXPECT_DOUBLE_EQ(machine.settled(prices), 2);
    machine.call(prices);
  }
}

TEST(LearnedPrices, HopelessWaysAreNeverTried) {
  Machine machine({2, 1, 1.6, 9}, {2, 1, 1.6, 0.1});
  LearnedPrices prices;
  for (int i = 0; i < 500; ++i) EXPECT_DOUBLE_EQ(machine.call(prices), 1);
}

TEST(LearnedPrices, RatiosAreBounded) {
  Machine machine({10, 1}, {10, 1000});
  LearnedPrices prices;
  machine.call(prices);
  std::vector<Schedule> ways = machine.ways();
  prices.choose({}, ways);
  for (const Schedule& s : ways) {
    EXPECT_LE(s.correction, LearnedPrices::kMostRatio);
    EXPECT_NEAR(s.predicted(), s.rule.kind == RuleKind::dense ? 10 : 1, 1e-9);
  }
}

TEST(LearnedPrices, ADescheduledCallChangesNothing) {
  Machine machine({1.3, 1, 1.2}, {1.3, 1, 1.2});
  LearnedPrices prices;
  for (int i = 0; i < 6; ++i) machine.call(prices);
  std::vector<Schedule> ways = machine.ways();
  prices.observe(prices.choose({}, ways), 100);
  for (int i = 0; i < 20; ++i) machine.call(prices);
  EXPECT_DOUBLE_EQ(machine.call(prices), 1);
}

TEST(LearnedPrices, AFirstCallThatWasDescheduledIsLookedAtAgain) {
  Machine machine({3, 1, 1.2}, {3, 1, 1.2});
  LearnedPrices prices;
  std::vector<Schedule> ways = machine.ways();
  prices.observe(prices.choose({}, ways), 50);
  for (int i = 0; i < 4; ++i) machine.call(prices);
  EXPECT_DOUBLE_EQ(machine.call(prices), 1);
}

TEST(LearnedPrices, ANeighbourIsForgotten) {
  Machine machine({1.5, 1, 1.2}, {1.5, 1, 1.2});
  LearnedPrices prices;
  for (int i = 0; i < 50; ++i) machine.call(prices);
  machine.takes[1] = 2;
  EXPECT_LE(last_bad(machine, prices, 7, 1.01), 5);  // three calls to believe it, and the ways between
  for (int i = 0; i < 200; ++i) machine.call(prices);
  machine.takes[1] = 1;
  EXPECT_LE(last_bad(machine, prices, 90, 1.01), 80);
  EXPECT_DOUBLE_EQ(machine.settled(prices), 1);
}

TEST(LearnedPrices, ClassesLearnApart) {
  Machine few({1.25, 1, 1.1}, {1.25, 1.5, 1}), many({2, 1, 1.1}, {2, 1, 1.4});
  CallClass sparse, dense;
  sparse.shares[0] = 6;
  LearnedPrices prices;
  for (int i = 0; i < 8; ++i) few.call(prices, sparse), many.call(prices, dense);
  EXPECT_DOUBLE_EQ(few.call(prices, sparse), 1);
  EXPECT_DOUBLE_EQ(many.call(prices, dense), 1);
}

TEST(LearnedPrices, OldClassesGo) {
  LearnedPrices prices;
  Machine machine({1.25, 1}, {1, 1.25});
  CallClass kept;
  for (int i = 0; i < 10; ++i) machine.call(prices, kept);
  for (std::int16_t i = 1; i < 1000; ++i) {
    CallClass other;
    other.extents[0] = i;
    machine.call(prices, other);
    EXPECT_DOUBLE_EQ(machine.settled(prices, kept), 1);
    machine.call(prices, kept);
  }
}

/// What becomes of machines whose predictions are wrong by `error` (of the logarithm) and whose times are noisy.
struct Outcome {
  int machines = 0;
  double near_at_first = 0, near = 0, near_later = 0;  ///< share within 5 %: the model's, after 5 calls, after 20
  double slower_than_dense = 0;  ///< share whose choice after five calls takes more than 1.03 times dense
  double lost = 0;               ///< of 100 calls, on average
  double most_lost = 0;          ///< by one of them
  double lost_much = 0;          ///< share that lost more than 3 %
};

Outcome simulate(double error, double noise, double descheduled, double first_call = 1) {
  Outcome o;
  o.machines = 2000;
  for (int seed = 0; seed < o.machines; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<double> predicted, takes;
    for (std::size_t left = 2 + random() % 7; left > 0; --left) {
      predicted.push_back(std::exp(std::normal_distribution(0.0, 0.5)(random)));
      takes.push_back(predicted.back() * std::exp(std::normal_distribution(0.0, error)(random)));
    }
    Machine machine(predicted, takes, static_cast<unsigned>(seed));
    machine.noise = noise, machine.descheduled = descheduled, machine.first_call = first_call;
    LearnedPrices prices;
    double sum = 0;
    for (int call = 0; call < 100; ++call) {
      const double settled = machine.settled(prices);
      if (call == 0) o.near_at_first += settled <= 1.05 * machine.best();
      if (call == 5) o.near += settled <= 1.05 * machine.best();
      if (call == 20) o.near_later += settled <= 1.05 * machine.best();
      if (call == 5) o.slower_than_dense += settled > 1.03 * takes[0];
      sum += machine.call(prices) / machine.best() - 1;
    }
    o.lost += sum / 100;
    o.most_lost = std::max(o.most_lost, sum / 100);
    o.lost_much += sum > 3;
  }
  for (double* share : {&o.near_at_first, &o.near, &o.near_later, &o.slower_than_dense, &o.lost, &o.lost_much})
    *share /= o.machines;
  return o;
}

TEST(LearnedPrices, FiveCallsAreEnough) {
  for (const double first_call : {1.0, 1.3})
    for (const double noise : {0.0, 0.02, 0.1}) {
      const Outcome o = simulate(0.15, noise, noise > 0 ? 0.02 : 0, first_call);
      std::printf(
          "noise %.2f: within 5 %% at first %.3f, after 5 calls %.3f, after 20 %.3f; slower than dense %.4f; lost "
          "%.4f\n",
          noise, o.near_at_first, o.near, o.near_later, o.slower_than_dense, o.lost);
      EXPECT_GT(o.near, noise < 0.05 ? 0.95 : 0.85);
      EXPECT_LT(o.slower_than_dense, noise < 0.05 ? 0.01 : 0.02);
      EXPECT_LT(o.lost, 0.03);
    }
}

TEST(LearnedPrices, TrialsKeepWithinTheirBound) {
  const Outcome right = simulate(0, 0, 0), noisy = simulate(0, 0.02, 0.02);
  std::printf("right predictions: lost %.4f, at most %.4f; with noise %.4f, more than 3 %% by %.4f\n", right.lost,
              right.most_lost, noisy.lost, noisy.lost_much);
  EXPECT_LE(right.most_lost, 0.025);
  EXPECT_LE(noisy.lost, 0.01);
  EXPECT_LE(noisy.lost_much, 0.005);
}

TEST(RunTimer, WaitingIsNoPriceOfWhoWorksAlone) {
  const RunTimer alone(1), together(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_LT(alone.seconds(), 0.01);
  EXPECT_GE(together.seconds(), 0.02);
}

TEST(LearnedPrices, ManyThreads) {
  LearnedPrices prices;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&prices, t] {
      Machine machine({1.25, 1, 1.1, 1.2}, {1.4, 1.5, 1, 1.2}, t);
      for (std::int16_t i = 0; i < 2000; ++i) {
        CallClass of;
        of.extents[0] = static_cast<std::int16_t>(i % 100);  // some are dropped while another thread runs one
        machine.call(prices, of);
      }
      for (int i = 0; i < 100; ++i) machine.call(prices);
    });
  for (std::thread& t : threads) t.join();
  Machine machine({1.25, 1, 1.1, 1.2}, {1.4, 1.5, 1, 1.2});
  EXPECT_DOUBLE_EQ(machine.settled(prices), 1);
}

}  // namespace
}  // namespace pit::contract
