// What a rule is expected to cost: tiles needed to cover the live micro-tiles, times what a tile costs on this machine (tile database), plus
// packing, plus traffic. Counts come from the live maps, so a prediction takes microseconds.
#pragma once

#include "contract/engine.h"
#include "contract/kernels.h"

namespace pit::contract {

class CostModel {
 public:
  CostModel(const Kernels& kernels, const CacheSizes& caches, const std::string& cache_dir);

  /// Seconds of the whole call by this rule, detection not included.
  double predict(const Problem& p, const Live& live, bool packed, const Rule& rule, int threads) const;
  bool worth_detecting(const Problem& p, std::int64_t g_rows, std::int64_t g_columns, double fraction, bool packed, int threads) const;

 private:
  const Kernels& kernels_;
  CacheSizes caches_;
};

}  // namespace pit::contract
