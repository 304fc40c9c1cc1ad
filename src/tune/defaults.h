// What tiles, packs and memory cost where nothing was measured: a few rules about pipelines and caches that have held
// for all x86 cores with AVX2 so far, at an assumed clock.
#pragma once

#include "tune/tile_costs.h"

namespace pit::tuning {

TileCost default_tile(const TileKey& key, const CpuTarget& target);
PackCost default_pack(const PackKey& key, const CpuTarget& target);
MachineLimits default_limits(int threads, const CpuTarget& target);

}  // namespace pit::tuning
