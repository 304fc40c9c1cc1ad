// What a rule is expected to cost: tiles needed to cover the live micro-tiles, times what a tile costs on this machine
// (tile database), plus packing (SRead), plus what must move between the caches and memory. Shares of live micro-tiles
// come from the counts of the live maps, those of unions from a sample of rows, so a prediction takes microseconds.
#pragma once

#include <map>

#include "contract/blocking.h"
#include "contract/engine.h"
#include "contract/kernels.h"
#include "tune/tile_costs.h"

namespace pit::contract {

class CostModel {
 public:
  CostModel(const Kernels& kernels, const CacheSizes& caches, const std::string& cache_dir);

  /// The call by this rule: how it is blocked, and what that costs.
  Schedule schedule(const Problem& p, const Live& live, const LayoutB& b, const Rule& rule, int threads) const;
  /// Panels of a B of n columns and k rows that every rule can use: as narrow as what `live`, the map over its columns
  /// (B's or C's; null: all), leaves of them makes it worth, where tiles of this family compute it.
  Panels panels(std::int64_t n, std::int64_t k, const detect::LiveMap* live, Family family = Family::both) const;
  bool worth_detecting(const Problem& p, std::int64_t g_rows, std::int64_t g_columns, double fraction, const LayoutB& b,
                       int threads) const;

 private:
  class Pricing;
  double seconds(const Problem& p, const Shares& shares, const LayoutB& b, const Rule& rule, const Blocking& blocks,
                 int threads) const;
  double seconds(const Problem& p, const Shares& shares, const LayoutB& b, const Rule& rule, int threads) const;
  double predict_columns(const Problem& p, const Live& live, const LayoutB& b, const Rule& rule, int threads) const;
  Shares shares_of(const Live& live, const Rule& rule, const Panels& panels) const;
  tuning::TileCost tile(int rows, int vectors, int panels, Family family) const;

  const Kernels& kernels_;
  CacheSizes caches_;
  tuning::TileCosts costs_;
  std::map<std::array<int, 4>, tuning::TileCost> tiles_;  ///< rows, vectors, panels, family: looked up once
  double pack_a_ = 0, pack_a_index_ = 0, pack_b_ = 0;     ///< ns per element, from memory
  double pack_panel_of_a_ = 0;                            ///< the same, of A as panels
};

}  // namespace pit::contract
