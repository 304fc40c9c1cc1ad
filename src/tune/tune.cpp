// The measurement as a whole, and the public function that stores it.
#include "pit/tune.h"

#include <algorithm>
#include <fmt/format.h>

#include "pit/error.h"
#include "support/cancel.h"
#include "support/files.h"
#include "support/log.h"
#include "support/threads.h"
#include "tune/measure.h"
#include "tune/tile_costs.h"

namespace pit::tuning {

namespace {

/// Each figure is a limit for more threads too: they may leave a core idle.
MachineLimits at_least(MachineLimits limits, const MachineLimits& fewer) {
  for (double MachineLimits::* rate :
       {&MachineLimits::fma_gflops, &MachineLimits::read_gbytes, &MachineLimits::write_gbytes,
        &MachineLimits::copy_gbytes, &MachineLimits::l2_read_gbytes, &MachineLimits::l3_read_gbytes})
    limits.*rate = std::max(limits.*rate, fewer.*rate);
  return limits;
}

/// Kernels, operands and times of all keys.
class Measurement {
 public:
  Measurement(const CpuTarget& target, const std::vector<TileKey>& tile_keys)
      : tile_keys_(tile_keys),
        pack_keys_(packs_to_measure(target)),
        scratch_(std::max(TileTimes::scratch_bytes(), PackTimes::scratch_bytes())) {
    std::vector<codegen::Kernel> kernels;
    for (const TileKey& key : tile_keys_) kernels.push_back(lower::lower_tile(spec_of(key, target)));
    for (const PackKey& key : pack_keys_) kernels.push_back(PackTimes::kernel(key, target));
    code_ = codegen::compile(kernels, {target, {}});
    for (std::size_t i = 0; i < scratch_.size() / 4; ++i) scratch_.floats()[i] = 0.01f * static_cast<float>(i % 17);
    for (std::size_t i = 0; i < kernels.size(); ++i) {
      const codegen::KernelFn function = code_->function(kernels[i].name);
      if (i < tile_keys_.size()) tiles_.emplace_back(tile_keys_[i], target, function, scratch_);
      else packs_.emplace_back(pack_keys_[i - tile_keys_.size()], target, function, scratch_);
    }
  }

  /// `left`: wall-clock seconds. The first round is always finished: prices of some keys only would not compare.
  void run(const Effort& effort, double left, const Progress& progress) {
    const double steps = static_cast<double>(effort.rounds) * static_cast<double>(tiles_.size() + packs_.size());
    const double start = wall_seconds();
    int done = 0;
    auto step = [&](auto& times) {
      const double of_time = (wall_seconds() - start) / left;
      if (of_time > 1 && done >= steps / effort.rounds) return;
      poll_cancel();
      times.round(effort);
      progress(std::clamp(std::max(++done / steps, of_time), 0.0, 1.0));
    };
    for (int round = 0; round < effort.rounds; ++round) {
      for (TileTimes& t : tiles_) step(t);
      for (PackTimes& p : packs_) step(p);
    }
    constexpr int few = 3;
    if (done < few * steps / effort.rounds && effort.rounds >= few)
      warn(
          "tune: the machine is busy, so figures rest on {:.1f} instead of {} rounds; 'pit tune' again when it is idle",
          done * effort.rounds / steps, effort.rounds);
  }

  void store(TileCosts& costs) const {
    std::vector<std::pair<TileKey, TileCost>> tiles;
    for (std::size_t i = 0; i < tiles_.size(); ++i) tiles.emplace_back(tile_keys_[i], tiles_[i].cost());
    repair(tiles);
    for (const auto& [key, cost] : tiles) costs.set(key, cost);
    for (std::size_t i = 0; i < packs_.size(); ++i) costs.set(pack_keys_[i], packs_[i].cost());
  }

 private:
  std::vector<TileKey> tile_keys_;
  std::vector<PackKey> pack_keys_;
  Pages scratch_;
  std::shared_ptr<const codegen::Code> code_;
  std::vector<TileTimes> tiles_;
  std::vector<PackTimes> packs_;
};

}  // namespace

TileCosts measure(const CpuTarget& target, const Effort& effort, const Progress& progress,
                  const std::vector<TileKey>* only) {
  double highest = 0;
  auto report = [&](double share) {
    highest = std::max(highest, share);
    if (progress) progress(highest);
  };
  FloatEnvironment environment;
  const double start = wall_seconds();
  report(0);
  TileCosts costs = TileCosts::defaults(target);
  const MachineLimits one = measure_limits(1, target, effort.limits_seconds);
  costs.set(one);
  report(0.08);
  if (const int all = default_threads(); all > 1)
    costs.set(at_least(measure_limits(all, target, effort.limits_seconds), one));
  report(0.16);
  Measurement measurement(target, only ? *only : tiles_to_measure(target));
  report(0.25);
  measurement.run(effort, std::max(1.0, effort.wall_seconds - (wall_seconds() - start)),
                  [&](double share) { report(0.25 + 0.75 * share); });
  measurement.store(costs);
  report(1);
  return costs;
}

}  // namespace pit::tuning

namespace pit {

std::string tune(const TuneOptions& options) {
  const CancelScope scope(options.cancel);
  const CpuTarget target = cpu_target(options.cpu);
  // Before anything is measured: half a minute for nothing would be rude.
  std::string reason;
  const std::string dir = usable_cache_dir(options.cache_dir, &reason);
  if (dir.empty())
    throw InputError(fmt::format("tune: nowhere to store the tile database: {}",
                                 reason.empty() ? "the cache is switched off ('none')" : reason));
  tuning::Progress progress;
  if (options.progress) progress = [&](double share) { options.progress(share, options.context); };
  const tuning::TileCosts costs = tuning::measure(target, {}, progress);
  if (!costs.store(dir, &reason)) throw InputError(fmt::format("tune: {}", reason));
  return tuning::TileCosts::path(dir, target);
}

}  // namespace pit
