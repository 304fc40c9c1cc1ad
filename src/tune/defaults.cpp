// The model: a step of k takes as long as its busiest resource (two FMA pipes, two load ports, the latency of an
// accumulator's chain), plus a share of its loads for what out-of-order execution does not hide. Rows of B that come
// from a farther cache overlap with that partly: a p-norm with p = 3 is between the maximum (full overlap) and the sum
// (none), and matches tiles of all shapes measured on Zen 3 within some 10 %.
#include "tune/defaults.h"

#include <algorithm>
#include <cmath>

namespace pit::tuning {

namespace {

constexpr double kClock = 3.0;        // cycles per ns
constexpr double kFmaPerCycle = 2;    // vector FMAs
constexpr double kLoadsPerCycle = 2;  // of a vector or less
constexpr double kLatency = 4;        // of an FMA; also of max and add
constexpr double kUnhidden = 0.06;    // cycles per load
constexpr double kDispatch = 5;       // instructions per cycle

// Vectors per cycle of a consecutive walk and of ascending rows with gaps, which the prefetchers guess wrong.
constexpr double kL2Consecutive = 0.9, kL2Gathered = 0.65;
constexpr double kL3Consecutive = 0.5, kL3Gathered = 0.33;

double overlap(double a, double b) { return std::cbrt(a * a * a + b * b * b); }

/// Vector instructions on the busiest pipes for one multiply-add of the algebra; minima and maxima propagate NaN.
double operations(Arithmetic a) {
  switch (a) {
    case Arithmetic::sum_of_products: return 1;
    case Arithmetic::tropical: return 3;
    case Arithmetic::logsumexp: return 3 + 25;  // the maximum, then a subtraction, an exponential and a sum
  }
  return 1;
}

}  // namespace

TileCost default_tile(const TileKey& key, const CpuTarget& target) {
  const double vectors = key.vectors * key.panels, accumulators = key.rows * vectors;
  const double walks = key.arithmetic == Arithmetic::logsumexp ? 2 : 1;
  const double loads = walks * (key.rows + vectors + (key.indexed_k ? 1 : 0) + (key.indexed_a ? 1 : 0));
  const double work = accumulators * operations(key.arithmetic);
  const double latency = kLatency * (key.arithmetic == Arithmetic::sum_of_products ? 1 : 2 * walks);
  // Beyond the register file every accumulator is loaded and stored for each step of k.
  const double registers = target.vector_bytes == 64 ? 32 : 16;
  const double spilled = std::max(0.0, accumulators + std::min<double>(key.rows, vectors) + 1 - registers);
  const double cycles = std::max({work / kFmaPerCycle, (loads + 2 * spilled) / kLoadsPerCycle,
                                  (work + loads + 2 * spilled + 2 * walks) / kDispatch, latency}) +
                        kUnhidden * loads;
  const bool gathered = key.indexed_k;
  TileCost cost;
  cost.k_step[0] = cycles / kClock;
  cost.k_step[1] = overlap(cycles, vectors / (gathered ? kL2Gathered : kL2Consecutive)) / kClock;
  cost.k_step[2] = overlap(cycles, vectors / (gathered ? kL3Gathered : kL3Consecutive)) / kClock;
  // The end of the loop over k is mispredicted about once a tile; each row has a pointer, each vector is stored.
  const double per_element = key.arithmetic == Arithmetic::logsumexp ? 30 : 1;
  cost.tile = (20 + key.rows + accumulators * per_element + (key.ragged ? 2 : 0)) / kClock;
  cost.reload = (2 + key.rows + accumulators) / kClock;
  cost.call = 15 / kClock;
  return cost;
}

PackCost default_pack(const PackKey& key, const CpuTarget& target) {
  // Cycles per element, and bytes that come from memory for it. Walks across the rows of a matrix use part of each
  // line, and at the usual strides, multiples of large powers of two, many lines are gone before their neighbours are
  // wanted.
  double cycles = 0, bytes = 0;
  switch (key.kind) {
    case PackKind::transpose:
      // Eight elements of a row in one load and some shuffles; through an index each is loaded alone.
      cycles = key.indexed_k ? 0.8 + 0.6 / key.width : 0.25;
      bytes = key.indexed_k ? 16 : 4;
      break;
    case PackKind::copy:
      cycles = 1.5 / target.lanes(4) + 1.5 / key.width;
      bytes = key.indexed_k ? 16 : 10;
      break;
    case PackKind::gather:
      cycles = key.indexed_k ? 1.3 : 1.1;
      bytes = key.indexed_k ? 28 : 14;
      break;
  }
  PackCost cost;
  cost.element = cycles / kClock;
  cost.element_memory = std::max(cost.element, bytes / default_limits(1, target).read_gbytes);
  cost.call = (30 + 2 * (key.kind == PackKind::copy ? 0 : key.width)) / kClock;
  return cost;
}

MachineLimits default_limits(int threads, const CpuTarget& target) {
  const double together = std::max(threads, 1), lanes = target.lanes(4);
  // One core cannot use all of the memory's bandwidth, a few of them can.
  const double memory = std::min(together, 3.0);
  MachineLimits limits;
  limits.cpu = cpu_model();
  limits.target = target.name;
  limits.threads = std::max(threads, 1);
  limits.fma_gflops = together * 2 * kFmaPerCycle * lanes * kClock;
  limits.read_gbytes = 16 * memory;
  limits.write_gbytes = 12 * memory;
  limits.copy_gbytes = 16 * memory;
  limits.l2_read_gbytes = together * kL2Consecutive * 0.9 * target.vector_bytes * kClock;
  limits.l3_read_gbytes = together * kL3Consecutive * target.vector_bytes * kClock;
  return limits;
}

}  // namespace pit::tuning
