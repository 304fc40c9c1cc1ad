// Measures this machine and prints what it found, beside what the defaults say: limits, tiles, packs.
#include <cstdio>
#include <fmt/format.h>

#include "support/cpu.h"
#include "tune/defaults.h"
#include "tune/measure.h"

using namespace pit;
using namespace pit::tuning;

namespace {

void print(const MachineLimits& l) {
  fmt::print("{} {}, {} threads: FMA {:.1f} GF/s; read {:.1f}, write {:.1f}, copy {:.1f}, L2 {:.0f}, L3 {:.0f} GB/s\n",
             l.cpu, l.target, l.threads, l.fma_gflops, l.read_gbytes, l.write_gbytes, l.copy_gbytes, l.l2_read_gbytes,
             l.l3_read_gbytes);
}

}  // namespace

int main(int argc, char** argv) {
  const CpuTarget target = cpu_target(argc > 1 ? argv[1] : "");
  const double start = wall_seconds();
  const TileCosts costs = measure(target);
  fmt::print("measured in {:.1f} s\n", wall_seconds() - start);
  print(costs.limits(1));
  print(costs.limits(default_threads()));
  print(default_limits(1, target));
  fmt::print("{:36} {:>28}   {:>21}   {:>28}\n", "tile", "GF/s with B in L1, L2, L3", "ns: tile, reload, call",
             "defaults: GF/s, ns a tile");
  for (const auto& [key, cost] : costs.tiles()) {
    const double flops = 2.0 * key.rows * key.vectors * key.panels * target.lanes(4);
    const TileCost assumed = default_tile(key, target);
    fmt::print("{:36} {:10.1f} {:8.1f} {:8.1f}   {:7.1f} {:6.1f} {:6.1f}   {:8.1f} {:6.1f} {:6.1f} {:5.1f}\n",
               key.name(), flops / cost.k_step[0], flops / cost.k_step[1], flops / cost.k_step[2], cost.tile,
               cost.reload, cost.call, flops / assumed.k_step[0], flops / assumed.k_step[1], flops / assumed.k_step[2],
               assumed.tile);
  }
  fmt::print("{:24} {:>40}   {:>20}\n", "pack", "ns an element: L2, memory; ns a call", "defaults");
  for (const auto& [key, cost] : costs.packs()) {
    const PackCost assumed = default_pack(key, target);
    fmt::print("{:24} {:20.3f} {:8.3f} {:10.1f}   {:8.3f} {:6.3f} {:5.1f}\n", key.name(), cost.element,
               cost.element_memory, cost.call, assumed.element, assumed.element_memory, assumed.call);
  }
}
