#include "contract/blocking.h"

#include <algorithm>
#include <cmath>

namespace pit::contract {

std::int64_t k_block(const Call& call) {
  if (!call.kernels.algebra().splits_k()) return std::max<std::int64_t>(1, call.problem.k);
  // Three quarters of L1: the rest is for A, C and the index.
  const auto bytes = static_cast<std::int64_t>(call.caches.l1d) * 3 / 4;
  return std::max<std::int64_t>(64, bytes / (call.kernels.width() * 4));
}

bool prefetches_b(const Kernels& kernels, const CacheSizes& caches, std::int64_t rows, std::int64_t b_bytes) {
  constexpr std::int64_t few_tiles = 12;
  const std::int64_t tile = kernels.rows();
  return kernels.algebra().splits_k() && rows >= tile && rows <= few_tiles * tile &&
         b_bytes > static_cast<std::int64_t>(caches.l2);
}

std::int64_t even_range(std::int64_t k, std::int64_t l2_bytes, std::int64_t width) {
  // Measured from 256 to 4096 steps of k: C's traffic below, L2 above.
  const std::int64_t most = std::max<std::int64_t>(64, l2_bytes / 5 / (width * 4)), ranges = (k + most - 1) / most;
  return (k + ranges - 1) / ranges;
}

std::int64_t dense_range(const Call& call, bool prefetching) {
  const std::int64_t k = std::max<std::int64_t>(1, call.problem.k);
  if (!call.kernels.algebra().splits_k()) return k;
  if (prefetching) return kPrefetchBytes / (call.kernels.width() * 4);
  return even_range(k, static_cast<std::int64_t>(call.caches.l2), call.kernels.width());
}

std::int64_t packed_range(const Call& call, std::int64_t rows, double density) {
  const std::int64_t whole = (std::max<std::int64_t>(1, call.problem.k) + 63) / 64 * 64;
  if (!call.kernels.algebra().splits_k()) return whole;
  const std::int64_t a_fits = static_cast<std::int64_t>(call.caches.l2) / 2 / (4 * std::max<std::int64_t>(1, rows));
  const auto b_fits = static_cast<std::int64_t>(static_cast<double>(call.caches.l1d) / 2 / (call.kernels.width() * 4) /
                                                std::max(density, 0.01));
  return std::min(whole, std::max<std::int64_t>(256, std::min(a_fits, b_fits) / 64 * 64));
}

std::int64_t element_range(const CacheSizes& caches, std::int64_t width, int panels_per_tile, double density) {
  constexpr double full = 0.1;  // from here down, ever fewer of B's rows are read at all
  const std::int64_t row = panels_per_tile * width * 4;
  const double near = static_cast<double>(caches.l1d) * 3 / 4 * std::max(1.0, full / std::max(density, 1e-6));
  const auto bytes = static_cast<std::int64_t>(std::min(near, static_cast<double>(caches.l2) / 2));
  return std::max<std::int64_t>(64, bytes / row / 64 * 64);
}

std::int64_t row_block(const Call& call, double live_share, std::int64_t step, std::int64_t least, std::int64_t most) {
  const Problem& p = call.problem;
  const double budget = static_cast<double>(call.caches.l3) / 8;
  const double per_row = std::max(64.0, 4 * live_share * static_cast<double>(p.k));
  auto rows = static_cast<std::int64_t>(budget / per_row);
  rows = std::clamp(rows, least, most);
  // At least a few blocks per worker, so that they balance; but blocks too small read B too often.
  const std::int64_t even = (p.m + call.pool.size() - 1) / call.pool.size();
  if (call.pool.size() > 1) rows = std::min(rows, std::max(least, (even + 1) / 2));
  rows = std::min(rows, p.m);
  return std::max(step, (rows + step - 1) / step * step);
}

}  // namespace pit::contract
