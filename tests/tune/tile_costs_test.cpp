// What is answered where nothing, or only something else, was measured.
#include "tune/tile_costs.h"

#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "tune/defaults.h"

namespace pit::tuning {
namespace {

std::vector<CpuTarget> targets() { return {{"x86-64-v3", "", 32}, {"x86-64-v4", "", 64}}; }

void expect_positive(const TileCost& cost, const std::string& name) {
  for (double v : {cost.k_step[0], cost.k_step[1], cost.k_step[2], cost.tile, cost.reload, cost.call})
    EXPECT_TRUE(v > 0 && std::isfinite(v)) << name << ": " << v;
}

TEST(TileCosts, KeysHaveNamesOfTheirOwn) {
  for (const CpuTarget& target : targets()) {
    std::set<std::string> names;
    for (const TileKey& key : tiles_to_measure(target)) {
      EXPECT_TRUE(names.insert(key.name()).second) << key.name();
      EXPECT_EQ(key_of(spec_of(key, target)), key) << key.name();
    }
    for (const PackKey& key : packs_to_measure(target)) EXPECT_TRUE(names.insert(key.name()).second) << key.name();
  }
  TileKey key{4, 3, 1};
  key.indexed_k = key.ragged = true;
  EXPECT_EQ(key.name(), "4x3x1 k-index ragged sum");
}

TEST(TileCosts, EveryTileThatIsMeasuredCanBeGenerated) {
  for (const CpuTarget& target : targets())
    for (const TileKey& key : tiles_to_measure(target))
      EXPECT_NO_THROW(lower::lower_tile(spec_of(key, target))) << key.name();
}

TEST(TileCosts, DefaultsArePositiveAndGrowWithTheWork) {
  for (const CpuTarget& target : targets()) {
    const TileCosts costs = TileCosts::defaults(target);
    EXPECT_FALSE(costs.measured());
    for (const TileKey& key : tiles_to_measure(target)) {
      const TileCost cost = costs.tile(key);
      expect_positive(cost, key.name());
      EXPECT_FALSE(cost.measured);
      EXPECT_LE(cost.at(Level::l1), cost.at(Level::l2)) << key.name();
      EXPECT_LE(cost.at(Level::l2), cost.at(Level::l3)) << key.name();
      TileKey more = key;
      for (int TileKey::* dimension : {&TileKey::rows, &TileKey::vectors, &TileKey::panels}) {
        more = key;
        more.*dimension += 1;
        const TileCost larger = costs.tile(more);
        for (std::size_t level = 0; level < 3; ++level)
          EXPECT_LE(cost.k_step[level], larger.k_step[level]) << key.name() << " and " << more.name();
        EXPECT_LT(cost.tile, larger.tile) << key.name() << " and " << more.name();
        EXPECT_LT(cost.reload, larger.reload) << key.name() << " and " << more.name();
      }
      if (!key.indexed_k && !key.ragged) {
        more = key;
        more.indexed_k = true;
        EXPECT_LE(cost.at(Level::l1), costs.tile(more).at(Level::l1)) << key.name();
        EXPECT_LE(cost.at(Level::l2), costs.tile(more).at(Level::l2)) << key.name();
      }
    }
    for (const PackKey& key : packs_to_measure(target)) {
      const PackCost cost = costs.pack(key);
      EXPECT_TRUE(cost.element > 0 && cost.call > 0) << key.name();
      EXPECT_LE(cost.element, cost.element_memory) << key.name();
    }
  }
}

TEST(TileCosts, FullTilesAreWorthTheirRegisters) {
  for (const CpuTarget& target : targets()) {
    const TileCosts costs = TileCosts::defaults(target);
    const double peak = costs.limits().fma_gflops;
    const TileKey full = tiles_to_measure(target).front();
    auto rate = [&](TileKey key, Level level) {
      key.indexed_k = true;
      return 2.0 * key.rows * key.vectors * key.panels * target.lanes(4) / costs.tile(key).at(level);
    };
    EXPECT_GT(rate(full, Level::l1), 0.8 * peak) << full.name();
    EXPECT_LE(rate(full, Level::l1), peak) << full.name();
    EXPECT_LT(rate({1, 3, 2}, Level::l1), rate({2, 3, 2}, Level::l1));
    EXPECT_LT(rate({1, 3, 2}, Level::l2), 0.6 * rate({1, 3, 2}, Level::l1));
  }
}

TEST(TileCosts, UnmeasuredKeysFollowTheMostSimilarMeasuredOne) {
  const CpuTarget target = targets()[0];
  TileCosts costs = TileCosts::defaults(target);
  TileKey known{4, 3, 1}, unknown{3, 3, 1}, tropical{4, 3, 1};
  tropical.arithmetic = Arithmetic::tropical;
  TileCost twice = default_tile(known, target);
  for (double& k_step : twice.k_step) k_step *= 2;
  twice.tile *= 3;
  twice.measured = true;
  costs.set(known, twice);
  costs.set(tropical, default_tile(tropical, target));
  EXPECT_TRUE(costs.measured());
  EXPECT_TRUE(costs.tile(known).measured);
  EXPECT_EQ(costs.tile(known).k_step, twice.k_step);
  EXPECT_FALSE(costs.tile(unknown).measured);
  EXPECT_DOUBLE_EQ(costs.tile(unknown).at(Level::l2), 2 * default_tile(unknown, target).at(Level::l2));
  EXPECT_DOUBLE_EQ(costs.tile(unknown).tile, 3 * default_tile(unknown, target).tile);
  tropical.rows = 3;
  EXPECT_DOUBLE_EQ(costs.tile(tropical).tile, default_tile(tropical, target).tile);

  const PackKey pack{PackKind::copy, 24, false};
  PackCost half = default_pack(pack, target);
  half.element /= 2;
  costs.set(pack, half);
  const PackKey other{PackKind::copy, 16, false};
  EXPECT_DOUBLE_EQ(costs.pack(other).element, default_pack(other, target).element / 2);
}

TEST(TileCosts, LimitsGrowWithThreadsUntilMemoryIsBusy) {
  TileCosts costs = TileCosts::defaults(targets()[0]);
  MachineLimits one = costs.limits(1), eight = one;
  eight.threads = 8;
  eight.fma_gflops = 7 * one.fma_gflops;  // a lower clock
  eight.read_gbytes = 3 * one.read_gbytes;
  costs.set(eight);
  EXPECT_EQ(costs.limits(1).read_gbytes, one.read_gbytes);
  EXPECT_EQ(costs.limits(0).threads, 1);
  EXPECT_EQ(costs.limits(8).read_gbytes, eight.read_gbytes);
  for (int threads : {3, 4, 5, 6, 7, 9, 100}) {
    const MachineLimits some = costs.limits(threads);
    EXPECT_EQ(some.threads, threads);
    EXPECT_DOUBLE_EQ(some.read_gbytes, eight.read_gbytes) << threads;
    EXPECT_DOUBLE_EQ(some.fma_gflops, eight.fma_gflops * std::min(threads, 8) / 8) << threads;
  }
  EXPECT_EQ(arithmetic_of({expr::Combiner::min, expr::Fn::add}), Arithmetic::tropical);
  EXPECT_EQ(arithmetic_of({expr::Combiner::logical_or, expr::Fn::logical_and}), Arithmetic::tropical);
  EXPECT_EQ(arithmetic_of({}), Arithmetic::sum_of_products);
}

}  // namespace
}  // namespace pit::tuning
