// Measures tiles and packs on this machine, one thread.
//
// Estimator: the least time on this thread's CPU clock of several rounds of repetitions. Disturbances only add time,
// and rounds lie seconds apart, so a neighbour that is busy for a while does not spoil a key: all keys are measured in
// each round. Whatever is repeated walks addresses like the engine's (levels, strides, ascending gaps), not one buffer
// in L1.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "codegen/codegen.h"
#include "tune/limits.h"
#include "tune/tile_costs.h"

namespace pit::tuning {

struct Effort {
  int rounds = 10;              ///< over all keys
  double seconds = 0.00025;     ///< of one repetition
  int repetitions = 2;          ///< per round
  double wall_seconds = 27;     ///< of everything: on a busy machine there are fewer rounds, at least one
  double limits_seconds = 0.9;  ///< see measure_limits
};

using Progress = std::function<void(double share)>;

/// Least CPU time of a call of body(number of the call), refined by every round. `before` runs before each repetition,
/// off the clock.
class Least {
 public:
  void measure(const Effort& effort, const std::function<void(std::int64_t)>& body,
               const std::function<void()>& before = {});
  double ns() const { return best_ * 1e9; }

 private:
  double best_ = 1e300;
  std::int64_t calls_ = 0;  // of a repetition; found once
};

/// Times of one tile kernel in all the situations from which its costs follow. `scratch`: see TileTimes::scratch_bytes.
class TileTimes {
 public:
  TileTimes(const TileKey& key, const CpuTarget& target, codegen::KernelFn function, const Pages& scratch);
  TileTimes(TileTimes&&) noexcept;
  ~TileTimes();
  void round(const Effort& effort);
  TileCost cost() const;
  static std::size_t scratch_bytes();

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

class PackTimes {
 public:
  PackTimes(const PackKey& key, const CpuTarget& target, codegen::KernelFn function, const Pages& scratch);
  PackTimes(PackTimes&&) noexcept;
  ~PackTimes();
  void round(const Effort& effort);
  PackCost cost() const;
  static std::size_t scratch_bytes();
  /// The kernel that a key means.
  static codegen::Kernel kernel(const PackKey& key, const CpuTarget& target);

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

/// Steps of k that took longer than those of a tile that does all that they do and more (its shape at least as large,
/// the same indices and more) were disturbed: they get the other one's time, a tighter upper bound. Packed A and rows
/// in place are not compared.
void repair(std::vector<std::pair<TileKey, TileCost>>& tiles);

/// Everything: limits of one and of all threads, tiles, packs. `only`: these tiles instead of tiles_to_measure (tests).
TileCosts measure(const CpuTarget& target, const Effort& effort = {}, const Progress& progress = {},
                  const std::vector<TileKey>* only = nullptr);

}  // namespace pit::tuning
