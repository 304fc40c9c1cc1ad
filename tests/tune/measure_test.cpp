// That measurements are complete and not absurd. How good they are is for tune_bench to show: tests run on busy
// machines.
#include "tune/measure.h"

#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>
#include <vector>

#include "pit/error.h"

namespace pit::tuning {
namespace {

constexpr Effort kQuick{1, 0.0001, 1, 25, 0.05};

TEST(Limits, ArePositiveAndFinite) {
  for (int threads : {1, 2}) {
    const MachineLimits limits = measure_limits(threads, cpu_target(), 0.2);
    EXPECT_EQ(limits.threads, threads);
    EXPECT_EQ(limits.target, cpu_target().name);
    EXPECT_EQ(limits.cpu, cpu_model());
    for (double v : {limits.fma_gflops, limits.read_gbytes, limits.write_gbytes, limits.copy_gbytes,
                     limits.l2_read_gbytes, limits.l3_read_gbytes})
      EXPECT_TRUE(v > 0.05 && v < 1e6) << v;
  }
  EXPECT_GT(pit::measure_limits().fma_gflops, 1);
  EXPECT_THROW(pit::measure_limits(-1), InputError);
  EXPECT_THROW(pit::measure_limits(1 << 20), InputError);
  EXPECT_THROW(pit::measure_limits(1, "no such cpu"), InputError);
}

TEST(Measure, GivesEveryFigureOfTheKeysAndProgress) {
  const CpuTarget target = cpu_target();
  std::vector<TileKey> keys;
  for (const TileKey& key : tiles_to_measure(target))
    if (key.rows <= 2 && key.panels <= 2 && key.arithmetic != Arithmetic::logsumexp) keys.push_back(key);
  std::vector<double> shares;
  const TileCosts costs = measure(target, kQuick, [&](double share) { shares.push_back(share); }, &keys);
  for (const TileKey& key : keys) {
    const TileCost cost = costs.tile(key);
    EXPECT_TRUE(cost.measured) << key.name();
    for (double v : {cost.k_step[0], cost.k_step[1], cost.k_step[2], cost.tile, cost.reload, cost.call})
      EXPECT_TRUE(v > 0 && v < 1e6) << key.name() << ": " << v;
  }
  for (const PackKey& key : packs_to_measure(target)) {
    EXPECT_TRUE(costs.pack(key).measured) << key.name();
    EXPECT_LE(costs.pack(key).element, costs.pack(key).element_memory) << key.name();
  }
  EXPECT_EQ(costs.limits(1).threads, 1);
  ASSERT_GT(shares.size(), 10u);
  EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
  EXPECT_EQ(shares.front(), 0);
  EXPECT_DOUBLE_EQ(shares.back(), 1);
}

TEST(Measure, DisturbedPricesAreBoundedByTilesThatDoMore) {
  TileKey plain{2, 3, 1}, both = plain, rows = plain, tall{4, 3, 1};
  both.indexed_k = both.indexed_a = true;
  rows.a = lower::TileA::rows;
  TileCost disturbed, good, slow, fast;
  disturbed.k_step = {9, 9, 9};
  good.k_step = {2, 3, 10};
  slow.k_step = {4, 8, 8};
  fast.k_step = {1, 1, 1};
  std::vector<std::pair<TileKey, TileCost>> tiles{{plain, disturbed}, {both, good}, {tall, slow}, {rows, fast}};
  repair(tiles);
  EXPECT_EQ(tiles[0].second.k_step, (std::array<double, 3>{2, 3, 8}));
  EXPECT_EQ(tiles[1].second.k_step, good.k_step);
  EXPECT_EQ(tiles[2].second.k_step, slow.k_step);
  EXPECT_EQ(tiles[3].second.k_step, fast.k_step);
}

TEST(Tune, RefusesToMeasureForNothing) {
  TuneOptions options;
  options.cache_dir = "none";
  options.progress = [](double, void*) { FAIL() << "it measures"; };
  EXPECT_THROW(pit::tune(options), InputError);
}

}  // namespace
}  // namespace pit::tuning
