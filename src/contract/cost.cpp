#include "contract/cost.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "contract/rules.h"

namespace pit::contract {
namespace {

/// The share of live columns in unions of `factor` rows of micro-tiles: a sample of unions, spread over the map.
double share_of_unions(const detect::LiveMap& m, std::int64_t factor) {
  if (factor <= 1 || m.row_groups() == 0 || m.column_groups() == 0) return m.fraction();
  constexpr std::int64_t samples = 48;
  const std::int64_t rows = m.batch * m.row_groups(), unions = (rows + factor - 1) / factor,
                     step = std::max<std::int64_t>(1, unions / samples);
  std::int64_t live = 0, seen = 0;
  for (std::int64_t u = 0; u < unions; u += step, ++seen) {
    const std::int64_t begin = u * factor, end = std::min(begin + factor, rows);
    for (std::int64_t w = 0; w < m.words(); ++w) {
      std::uint64_t any = 0;
      for (std::int64_t r = begin; r < end; ++r) any |= m.row(r)[w];
      live += std::popcount(any);
    }
  }
  return static_cast<double>(live) / static_cast<double>(seen * m.column_groups());
}

/// The share of rows that a panel of `width` columns needs, where micro-tiles are `g` columns wide: panels that lie
/// across a border need both.
double share_in_panel(double fraction, std::int64_t g, std::int64_t width) {
  const double touched = 1 + static_cast<double>(width - 1) / static_cast<double>(g);
  return 1 - std::pow(1 - fraction, touched);
}

}  // namespace

CostModel::CostModel(const Kernels& kernels, const CacheSizes& caches, const std::string& cache_dir)
    : kernels_(kernels), caches_(caches), costs_(tuning::TileCosts::load(cache_dir, kernels.target())) {
  for (int rows = 1; rows <= kernels.rows(); ++rows)
    for (int panels = 1; panels <= kernels.max_panels(rows); panels *= 2)
      for (int family = 0; family < kFamilyCount; ++family) {
        tuning::TileKey key;
        key.rows = rows, key.vectors = kernels.vectors(), key.panels = panels;
        const auto f = static_cast<Family>(family);
        key.indexed_k = f == Family::indexed || f == Family::both || f == Family::ragged;
        key.indexed_a = f == Family::both;
        key.ragged = f == Family::ragged;
        key.a = f == Family::in_place ? lower::TileA::rows : lower::TileA::packed;
        key.arithmetic = tuning::arithmetic_of(kernels.algebra());
        key.element = kernels.algebra().types.accumulator;
        tiles_[{rows, panels, family}] = costs_.tile(key);
      }
  const DType a = kernels.algebra().types.a, b = kernels.algebra().types.b;
  pack_a_ = costs_.pack({tuning::PackKind::transpose, kernels.rows(), false, a}).element;
  pack_a_index_ = costs_.pack({tuning::PackKind::transpose, kernels.rows(), true, a}).element;
  pack_b_ = costs_.pack({tuning::PackKind::copy, kernels.width(), false, b}).element_memory;
}

tuning::TileCost CostModel::tile(int rows, int panels, Family family) const {
  rows = std::clamp(rows, 1, kernels_.rows());
  return tiles_.at({rows, std::min(panels, kernels_.max_panels(rows)), static_cast<int>(family)});
}

/// The terms of the sum; all in ns of one thread, but for traffic.
struct CostModel::Call {
  double m, n, k, items, panels, width;
  double packing = 0, compute = 0;
  double traffic = 0;  ///< bytes of B from beyond L2
};

double CostModel::seconds(const Problem& p, const Shares& s, bool packed, const Rule& rule, int threads) const {
  return seconds(p, s, packed, rule, blocking_of(kernels_, caches_, p, s, rule, packed, threads), threads);
}

double CostModel::seconds(const Problem& p, const Shares& s, bool packed, const Rule& rule, const Blocking& blocks,
                          int threads) const {
  const double width = kernels_.width(), mr = kernels_.rows();
  Call c{static_cast<double>(p.m),
         static_cast<double>(p.n),
         static_cast<double>(p.k),
         static_cast<double>(p.items.size()),
         std::ceil(static_cast<double>(p.n) / width),
         width};
  const double b_size = static_cast<double>(kernels_.sizes().b), c_size = static_cast<double>(kernels_.sizes().c);
  const double b_bytes = c.k * c.panels * width * b_size, l2 = static_cast<double>(caches_.l2),
               l3 = static_cast<double>(caches_.l3);
  const bool prefetching = blocks.prefetches;
  const double rows_per_block = static_cast<double>(std::max<std::int64_t>(1, blocks.rows)),
               ranges = std::max(1.0, std::ceil(c.k / static_cast<double>(std::max<std::int64_t>(1, blocks.k))));
  // Of a tile: not every height has tiles as wide as the blocking would like.
  auto side_by_side = [&](int rows) { return std::min(blocks.panels, kernels_.max_panels(rows)); };
  auto tiles_of = [&](double rows, double height) { return std::ceil(rows / height); };
  // One panel (or several side by side): `tiles` tiles that share `k_count` steps of k in L1, `groups` times.
  auto macro_tile_ns = [&](double groups, double tiles, double k_count, double k_blocks, const tuning::TileCost& t) {
    return groups * (k_count * (t.at(tuning::Level::l2) + (tiles - 1) * t.at(tuning::Level::l1)) +
                     tiles * k_blocks * (t.tile + t.reload) + k_blocks * t.call);
  };
  switch (rule.kind) {
    case RuleKind::dense: {
      const double tiles = tiles_of(c.m, mr), rest = std::fmod(c.m, mr);
      const int height = static_cast<int>(std::min(c.m, mr)), panels = side_by_side(height);
      const tuning::TileCost t = tile(height, panels, Family::plain);
      c.compute =
          macro_tile_ns(std::ceil(c.panels / panels), rest > 0 && c.m > mr ? tiles - 0.25 : tiles, c.k, ranges, t);
      if (!prefetching)
        c.compute +=
            std::ceil(c.panels / panels) * (tiles - 1) * c.k * (t.at(tuning::Level::l2) - t.at(tuning::Level::l1));
      c.packing = c.m * c.k * pack_a_;
      break;
    }
    case RuleKind::k:
    case RuleKind::both:
    case RuleKind::b_k: {
      if (rule.kind == RuleKind::both && are_elements(rule.g_rows, rule.g_columns)) {
        const int panels = blocks.panels;
        const double pairs = c.m / static_cast<double>(rule.g_rows) * std::ceil(c.panels / panels),
                     k_count = c.k * s.a * s.b;
        const tuning::TileCost t = tile(rule.tile_rows, panels, Family::ragged);
        // ns: a step of k of A is tried; B's rows of one that is common are asked for
        constexpr double picked = 0.8, fetched = 3;
        c.compute =
            pairs * (k_count * (t.at(tuning::Level::l2) + fetched) + c.k * s.a * picked + t.tile + t.call / 16) +
            c.panels / panels * c.k * 0.1;
        c.packing = c.m * c.k * s.a * 1.5;
        break;
      }
      const double g =
          rule.kind == RuleKind::b_k ? std::min(c.m, rows_per_block) : std::min(c.m, static_cast<double>(rule.g_rows));
      const double groups = std::ceil(c.m / g), tiles = tiles_of(g, mr), a_live_k = c.k * s.a, k_count = a_live_k * s.b;
      const bool index_a = rule.kind != RuleKind::k;
      const int rows = static_cast<int>(std::min(g, mr)), panels = side_by_side(rows);
      const tuning::TileCost t = tile(rows, panels, index_a ? Family::both : Family::indexed);
      const double k_blocks = rule.kind == RuleKind::both ? 1 : ranges;
      c.compute = macro_tile_ns(groups * std::ceil(c.panels / panels), tiles, k_count, k_blocks, t);
      // Rows that are picked from a panel too large for L2 come from L3; groups of a few tiles pay for each call.
      const double range_bytes = c.k / k_blocks * b_size * width * panels;
      if (range_bytes > 0.6 * l2)
        c.compute +=
            groups * std::ceil(c.panels / panels) * k_count * (t.at(tuning::Level::l3) - t.at(tuning::Level::l2)) / 2;
      // Rarer single rows than those that were priced (one of four) share no lines with their neighbours.
      if (!index_a && panels > 1 && rule.g_columns < 8) c.compute *= 1 + 0.35 * (1 - std::min(1.0, 4 * s.a));
      constexpr double per_call = 60;
      if (!index_a) c.compute += per_call * groups * std::ceil(c.panels / panels);
      if (rule.kind == RuleKind::both) {
        constexpr double found = 2,
                         alone = 1.5;  // ns: a step of k is tried; a tile that shares what it picks with no other
        c.compute = c.compute * (tiles > 1 ? 1 : alone) + groups * c.panels * a_live_k * found;
      }
      c.packing = c.m * a_live_k * pack_a_index_;
      break;
    }
    case RuleKind::m: {
      constexpr double compact = 0.4;  // ns: an element of C is prepared and copied
      const double row_blocks = std::ceil(c.m / rows_per_block);
      const tuning::TileCost t = tile(static_cast<int>(mr), 1, Family::plain);
      const double tiles = c.m * s.a * ranges / mr + row_blocks * ranges * 0.5,
                   k_count = static_cast<double>(rule.g_columns);
      c.compute = c.panels *
                  (tiles * (k_count * t.at(tuning::Level::l1) + t.tile + t.reload) +
                   row_blocks * ranges * (2 * t.call + k_count * (t.at(tuning::Level::l2) - t.at(tuning::Level::l1))));
      c.packing = c.m * c.k * s.a * pack_a_ + c.m * c.n * compact;
      break;
    }
    case RuleKind::element: {
      const int panels = blocks.panels;
      const tuning::TileCost t = tile(rule.tile_rows, panels, Family::ragged);
      const auto range = static_cast<double>(blocks.k);
      const double groups = c.m / static_cast<double>(rule.g_rows);
      const bool in_l1 = range * panels * width * b_size <= static_cast<double>(caches_.l1d);
      // ns: some ranges of k end where nobody foresees it (measured with a fresh pattern per call)
      constexpr double mispredicted = 4;
      c.compute = std::ceil(c.panels / panels) * groups *
                  (c.k * s.a * t.at(in_l1 ? tuning::Level::l1 : tuning::Level::l2) +
                   ranges * (t.tile + t.reload + mispredicted));
      c.packing = c.m * c.k * s.a * 1.5;
      break;
    }
    case RuleKind::c_m: {
      const tuning::TileCost t = tile(static_cast<int>(mr), 1, Family::in_place);
      c.compute = macro_tile_ns(c.panels, tiles_of(c.m * s.c, mr), c.k, ranges, t);
      break;
    }
    case RuleKind::c_n: break;  // predict_columns
    case RuleKind::stream: {
      const double rate = (rule.tile_rows == 1 ? 0.4 : 0.5) * costs_.fma_gflops(kernels_.algebra().types.accumulator);
      c.compute = 2 * c.m * c.k * s.a * c.n / rate + 60 * std::ceil(c.m / std::max(1, rule.tile_rows));
      c.packing = c.m * c.k * s.a * 2;
      break;
    }
  }
  // B passes once per block of rows, from wherever it fits (L3 is shared with whoever else runs on the machine); one
  // thread's loads are hidden behind its arithmetic but for a part.
  const bool stream = rule.kind == RuleKind::stream;
  const double passes = stream ? s.a * std::ceil(c.m / std::max(1, rule.tile_rows)) : std::ceil(c.m / rows_per_block);
  const bool k_rule = rule.kind == RuleKind::k || rule.kind == RuleKind::both;
  const double reached = k_rule || rule.kind == RuleKind::element
                             ? std::min(1.0, s.a * std::min(c.m, rows_per_block) / static_cast<double>(rule.g_rows))
                             : 1;
  c.traffic = b_bytes * passes * reached * s.b;
  const MachineLimits limits = costs_.limits(threads);
  // Groups that stream one after the other find B in L3, a piece of its columns at a time.
  const bool again = stream && c.m > rule.tile_rows;
  // Rows of a panel that are picked from memory come line by line.
  double picked = k_rule && b_bytes > l2 && rule.g_rows <= 2 * mr ? 0.5 : 1;
  if (k_rule && reached < 1 && b_bytes > l3 / 4) picked = 0.2;
  // Ranges that single rows pick from come line by line, too, and one panel after the other is one stream where memory
  // likes several.
  if (rule.kind == RuleKind::element && b_bytes > l2) picked = 0.35;
  if (rule.kind == RuleKind::b_k && b_bytes > l2) picked = b_bytes > l3 / 4 ? 0.35 : 0.6;
  if (prefetching && b_bytes > l3 / 2) picked = 0.65;
  if (stream && !again) picked = 0.85;  // rows that are picked begin anew each
  const double rate = again ? limits.l3_read_gbytes * (b_bytes <= l3 / 8 ? 1 : 0.45)
                            : picked * (b_bytes <= l2       ? limits.l2_read_gbytes
                                        : b_bytes <= l3 / 4 ? limits.l3_read_gbytes
                                                            : limits.read_gbytes);
  const double moving = c.traffic / std::max(rate, 0.1), work = (c.compute + c.packing) / threads;
  // (Hardware fetches ahead what is walked from end to end; rows that are picked hide little.)
  const double not_hidden = rule.kind == RuleKind::dense || rule.kind == RuleKind::c_m || again ? 0.3 : 0.8;
  double ns = c.items * (std::max(work, moving) + not_hidden * std::min(work, moving));
  const double c_bytes = c.m * c.n * c_size * c.items;
  // What is written is first fetched, or written past the caches: about the rate of memory either way, but for what
  // stays in L2.
  const double fetched = c_bytes > l3 ? 1 : 3;  // streams past the caches; lines that others share or that are cold
  ns += c_bytes / std::max(0.1, c_bytes > l2 / 2 ? limits.write_gbytes / fetched : limits.l2_read_gbytes);
  if (!packed && !stream) ns += c.items * c.k * c.panels * width * pack_b_ / threads;
  return ns * 1e-9;
}

Shares CostModel::shares_of(const Live& live, const Rule& rule) const {
  Shares s;
  if (live.a) {
    if (rule.kind == RuleKind::k || rule.kind == RuleKind::both)
      s.a = share_of_unions(*live.a, rule.g_rows / live.a->g_rows);
    else if (rule.kind == RuleKind::stream)
      s.a = share_of_unions(*live.a, (rule.g_rows + live.a->g_rows - 1) / live.a->g_rows);
    else if (rule.kind == RuleKind::m || rule.kind == RuleKind::element) s.a = live.a->fraction();
  }
  if (live.b && (rule.kind == RuleKind::b_k || rule.kind == RuleKind::both))
    s.b = share_in_panel(live.b->fraction(), live.b->g_columns,
                         rule.kind == RuleKind::both ? rule.tile_columns : kernels_.width());
  if (live.c && rule.kind == RuleKind::c_m)
    s.c = share_in_panel(live.c->fraction(), live.c->g_columns, kernels_.width());
  return s;
}

Schedule CostModel::schedule(const Problem& p, const Live& live, bool packed, const Rule& rule, int threads) const {
  const Shares shares = shares_of(live, rule);
  Schedule s{.rule = rule, .blocks = blocking_of(kernels_, caches_, p, shares, rule, packed, threads)};
  if (p.m == 0 || p.n == 0 || p.k == 0 || p.items.empty()) return s;
  s.seconds = rule.kind == RuleKind::c_n ? predict_columns(p, live, packed, rule, threads)
                                         : seconds(p, shares, packed, rule, s.blocks, threads);
  return s;
}

// A narrower product, and the gathering of its B and the scattering of its C, element by element.
double CostModel::predict_columns(const Problem& p, const Live& live, bool packed, const Rule& rule,
                                  int threads) const {
  constexpr double element = 1.5;  // ns
  Problem narrow = p;
  narrow.n = std::max<std::int64_t>(1, static_cast<std::int64_t>(live.c->fraction() * static_cast<double>(p.n)));
  const Rule inner = narrow_rule(live, rule);
  const double k_count =
      live.a ? share_of_unions(*live.a, live.a->row_groups()) * static_cast<double>(p.k) : static_cast<double>(p.k);
  const double moved =
      static_cast<double>(narrow.n) * (k_count + static_cast<double>(p.m)) * static_cast<double>(p.items.size());
  double ns = element * moved / threads;
  if (!packed)
    ns += pack_b_ * static_cast<double>(p.k) * static_cast<double>(p.n) * static_cast<double>(p.items.size()) / threads;
  return ns * 1e-9 + seconds(narrow, shares_of({live.a, nullptr, nullptr}, inner), true, inner, threads);
}

bool CostModel::worth_detecting(const Problem& p, std::int64_t g_rows, std::int64_t g_columns, double fraction,
                                bool packed, int threads) const {
  if (p.m == 0 || p.n == 0 || p.k == 0 || p.items.empty()) return false;
  // A sample is only a sample, and a rule that was not thought of may do better: give up where even much fewer would
  // not pay.
  const double hoped = 0.9 * fraction;
  const double dense = seconds(p, {}, packed, {RuleKind::dense, 0, 0, 0, 0}, threads);
  for (RuleKind kind : {RuleKind::k, RuleKind::m, RuleKind::element, RuleKind::stream}) {
    if (kind == RuleKind::m && g_columns < 16) continue;
    if (kind == RuleKind::element && !are_elements(g_rows, g_columns)) continue;
    if (kind == RuleKind::stream && g_rows > lower::kMaxStreamRows) continue;
    const Rule rule{kind, g_rows, g_columns, static_cast<int>(std::min<std::int64_t>(g_rows, kernels_.rows())), 0};
    if (seconds(p, {.a = hoped}, packed, rule, threads) < dense) return true;
  }
  return false;
}

}  // namespace pit::contract
