#include "tune/tile_costs.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>

#include "support/check.h"
#include "tune/defaults.h"

namespace pit::tuning {

namespace {

const char* name_of(Arithmetic a) {
  switch (a) {
    case Arithmetic::sum_of_products: return "sum";
    case Arithmetic::tropical: return "tropical";
    case Arithmetic::logsumexp: return "logsumexp";
  }
  return "?";
}

const char* name_of(PackKind k) {
  switch (k) {
    case PackKind::transpose: return "transpose";
    case PackKind::copy: return "copy";
    case PackKind::gather: return "gather";
  }
  return "?";
}

/// What prices are asked of f32 for others: bytes of an element, in elements of f32.
double in_f32(DType element) {
  return static_cast<double>(size_of(element)) / static_cast<double>(size_of(DType::f32));
}

std::string suffix(DType element) { return element == DType::f32 ? "" : fmt::format(" {}", pit::name_of(element)); }

/// How unlike two tiles are: the arithmetic first, then how they are driven, then their shape.
int distance(const TileKey& x, const TileKey& y) {
  const int driven =
      (x.indexed_k != y.indexed_k) * 3 + (x.indexed_a != y.indexed_a) + (x.ragged != y.ragged) + (x.a != y.a) * 2;
  const int shape = std::abs(x.rows - y.rows) + std::abs(x.vectors - y.vectors) + 2 * std::abs(x.panels - y.panels);
  return (x.arithmetic != y.arithmetic) * 10000 + driven * 100 + shape;
}

int distance(const PackKey& x, const PackKey& y) {
  return (x.kind != y.kind) * 10000 + (x.indexed_k != y.indexed_k) * 1000 + std::abs(x.width - y.width);
}

/// The entry of `measured` that is most like `key`; the first one of equals.
template <class Key, class Cost>
const std::pair<const Key, Cost>& nearest(const std::map<Key, Cost>& measured, const Key& key) {
  return *std::min_element(measured.begin(), measured.end(), [&](const auto& x, const auto& y) {
    return distance(x.first, key) < distance(y.first, key);
  });
}

/// What a measurement says of the defaults. Small figures are differences that noise may have eaten: factors are
/// clamped.
double factor(double measured, double assumed) { return std::clamp(measured / assumed, 0.1, 10.0); }

}  // namespace

Arithmetic arithmetic_of(const lower::Algebra& algebra) {
  if (algebra.is_sum_of_products()) return Arithmetic::sum_of_products;
  return algebra.combiner == expr::Combiner::logsumexp ? Arithmetic::logsumexp : Arithmetic::tropical;
}

std::string TileKey::name() const {
  return fmt::format("{}x{}x{}{}{}{}{} {}{}", rows, vectors, panels, a == lower::TileA::rows ? " rows" : "",
                     indexed_k ? " k-index" : "", indexed_a ? " a-index" : "", ragged ? " ragged" : "",
                     name_of(arithmetic), suffix(element));
}

std::string PackKey::name() const {
  return fmt::format("{} {}{}{}", name_of(kind), width, indexed_k ? " k-index" : "", suffix(element));
}

TileKey key_of(const lower::TileSpec& spec) {
  return {spec.rows,
          spec.vectors,
          spec.panels,
          spec.indexed_k,
          spec.indexed_a,
          spec.ragged,
          spec.a,
          arithmetic_of(spec.algebra),
          spec.algebra.types.accumulator};
}

lower::TileSpec spec_of(const TileKey& key, const CpuTarget& target) {
  lower::TileSpec spec;
  spec.rows = key.rows;
  spec.vectors = key.vectors;
  spec.panels = key.panels;
  spec.indexed_k = key.indexed_k;
  spec.indexed_a = key.indexed_a;
  spec.ragged = key.ragged;
  spec.a = key.a;
  spec.target = target;
  if (key.arithmetic == Arithmetic::tropical) spec.algebra = {expr::Combiner::max, expr::Fn::add};
  if (key.arithmetic == Arithmetic::logsumexp) spec.algebra = {expr::Combiner::logsumexp, expr::Fn::add};
  spec.algebra.types = lower::ElementTypes::all(key.element);
  return spec;
}

TileCosts TileCosts::defaults(const CpuTarget& target) {
  TileCosts costs(target);
  costs.set(default_limits(1, target));
  if (const int all = default_threads(); all > 1) costs.set(default_limits(all, target));
  return costs;
}

TileCost TileCosts::tile(const TileKey& key) const {
  if (auto found = tiles_.find(key); found != tiles_.end()) return found->second;
  if (key.element != DType::f32) {
    TileKey like = key;
    like.element = DType::f32;
    return tile(like);
  }
  TileCost cost = default_tile(key, target_);
  if (tiles_.empty()) return cost;
  const auto& [like, known] = nearest(tiles_, key);
  const TileCost assumed = default_tile(like, target_);
  for (std::size_t level = 0; level < cost.k_step.size(); ++level)
    cost.k_step[level] *= factor(known.k_step[level], assumed.k_step[level]);
  cost.tile *= factor(known.tile, assumed.tile);
  cost.reload *= factor(known.reload, assumed.reload);
  cost.call *= factor(known.call, assumed.call);
  return cost;
}

PackCost TileCosts::pack(const PackKey& key) const {
  if (auto found = packs_.find(key); found != packs_.end()) return found->second;
  if (key.element != DType::f32) {
    PackKey like = key;
    like.element = DType::f32;
    if (key.kind == PackKind::copy) like.width = static_cast<int>(key.width * in_f32(key.element));
    PackCost cost = pack(like);
    cost.element *= in_f32(key.element), cost.element_memory *= in_f32(key.element);
    return cost;
  }
  PackCost cost = default_pack(key, target_);
  if (packs_.empty()) return cost;
  const auto& [like, known] = nearest(packs_, key);
  const PackCost assumed = default_pack(like, target_);
  cost.element *= factor(known.element, assumed.element);
  cost.element_memory *= factor(known.element_memory, assumed.element_memory);
  cost.call *= factor(known.call, assumed.call);
  return cost;
}

double TileCosts::fma_gflops(DType element) const { return limits(1).fma_gflops / in_f32(element); }

MachineLimits TileCosts::limits(int threads) const {
  threads = std::max(threads, 1);
  if (auto found = limits_.find(threads); found != limits_.end()) return found->second;
  const MachineLimits& few = limits_.begin()->second;
  const MachineLimits& many = limits_.rbegin()->second;
  const double times = static_cast<double>(std::min(threads, many.threads)) / few.threads;
  const double share = static_cast<double>(std::min(threads, many.threads)) / many.threads;
  MachineLimits limits = many;
  limits.threads = threads;
  limits.fma_gflops = many.fma_gflops * share;
  limits.l2_read_gbytes = many.l2_read_gbytes * share;
  for (double MachineLimits::* shared : {&MachineLimits::read_gbytes, &MachineLimits::write_gbytes,
                                         &MachineLimits::copy_gbytes, &MachineLimits::l3_read_gbytes})
    limits.*shared = std::min(few.*shared * times, many.*shared);
  return limits;
}

// ---------------------------------------------------------------------------------------------------------------------
// What is measured.

namespace {

struct Shape {
  int rows, vectors, panels;
};

constexpr int kVectors = 3;  // of a panel, everywhere

/// 12 accumulators of 16 registers, 24 of 32.
int most_rows(const CpuTarget& target) { return target.vector_bytes == 64 ? 8 : 4; }

/// Register tiles of every height, among them the wide ones that the engine uses for few rows (contract/kernels.h):
/// powers of two of panels; then those for narrow panels.
std::vector<Shape> shapes(int most) {
  std::vector<Shape> all;
  for (int rows = most; rows >= 1; --rows)
    for (int panels = 1; panels <= std::clamp(most / rows, 1, 4); panels *= 2) all.push_back({rows, kVectors, panels});
  for (int vectors = kVectors - 1; vectors > 0; --vectors) all.push_back({most, vectors, 1});
  return all;
}

/// How rules drive a tile: the families of contract/kernels.h.
std::vector<TileKey> ways() {
  std::vector<TileKey> all(5);
  all[1].indexed_k = true;                     // k
  all[2].indexed_k = all[2].indexed_a = true;  // both, B.k
  all[3].indexed_k = all[3].ragged = true;     // m, element
  all[4].a = lower::TileA::rows;               // C.m
  return all;
}

}  // namespace

std::vector<TileKey> tiles_to_measure(const CpuTarget& target) {
  std::vector<TileKey> keys;
  auto add = [&](const std::vector<Shape>& all, Arithmetic arithmetic) {
    for (TileKey key : ways()) {
      key.arithmetic = arithmetic;
      for (const Shape& shape : all) {
        key.rows = shape.rows;
        key.vectors = shape.vectors;
        key.panels = shape.panels;
        keys.push_back(key);
      }
    }
  };
  const int rows = most_rows(target);
  add(shapes(rows), Arithmetic::sum_of_products);
  // Arithmetic is the bottleneck of these: shapes matter less. An exponential needs half of the registers.
  add({{rows, kVectors, 1}, {rows / 2, kVectors, 1}, {1, kVectors, 2}}, Arithmetic::tropical);
  add({{rows / 2, kVectors, 1}, {1, kVectors, 2}}, Arithmetic::logsumexp);
  return keys;
}

std::vector<PackKey> packs_to_measure(const CpuTarget& target) {
  const int rows = most_rows(target), panel = kVectors * target.lanes(4);
  std::vector<PackKey> keys;
  for (bool indexed : {false, true}) {
    for (int width = rows; width >= 1; width /= 2) keys.push_back({PackKind::transpose, width, indexed});
    for (int width : {panel, panel / 3}) keys.push_back({PackKind::copy, width, indexed});
    keys.push_back({PackKind::transpose, panel, indexed});
    keys.push_back({PackKind::gather, rows, indexed});
  }
  return keys;
}

}  // namespace pit::tuning
