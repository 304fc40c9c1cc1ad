#include "contract/cost.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "contract/rules.h"

namespace pit::contract {

using tuning::Level;

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
/// across a border need both sides.
double share_in_panel(double fraction, std::int64_t g, std::int64_t width) {
  const double touched = static_cast<double>(g + width - std::gcd(g, width)) / static_cast<double>(g);
  return 1 - std::pow(1 - fraction, touched);
}

}  // namespace

CostModel::CostModel(const Kernels& kernels, const CacheSizes& caches, const std::string& cache_dir)
    : kernels_(kernels), caches_(caches), costs_(tuning::TileCosts::load(cache_dir, kernels.target())) {
  auto add = [&](int rows, int vectors, int panels) {
    for (int family = 0; family < kFamilyCount; ++family) {
      tuning::TileKey key;
      key.rows = rows, key.vectors = vectors, key.panels = panels;
      const auto f = static_cast<Family>(family);
      key.indexed_k = f == Family::indexed || f == Family::both || f == Family::ragged;
      key.indexed_a = f == Family::both;
      key.ragged = f == Family::ragged;
      key.a = f == Family::in_place ? lower::TileA::rows : lower::TileA::packed;
      key.arithmetic = tuning::arithmetic_of(kernels.algebra());
      key.element = kernels.algebra().types.accumulator;
      tiles_[{rows, vectors, panels, family}] = costs_.tile(key);
    }
  };
  for (int rows = 1; rows <= kernels.rows(); ++rows) {
    for (int vectors = 1; vectors <= kernels.vectors(); ++vectors) add(rows, vectors, 1);
    for (int panels = 2; panels <= kernels.max_panels(rows); panels *= 2) add(rows, kernels.vectors(), panels);
  }
  const DType a = kernels.algebra().types.moved_a(), b = kernels.algebra().types.moved_b();
  pack_a_ = costs_.pack({tuning::PackKind::transpose, kernels.rows(), false, a}).element;
  pack_a_index_ = costs_.pack({tuning::PackKind::transpose, kernels.rows(), true, a}).element;
  pack_panel_of_a_ = costs_.pack({tuning::PackKind::transpose, kernels.width(), false, a}).element_memory;
  pack_b_ = costs_.pack({tuning::PackKind::copy, kernels.width(), false, b}).element_memory;
}

tuning::TileCost CostModel::tile(int rows, int vectors, int panels, Family family) const {
  rows = std::clamp(rows, 1, kernels_.rows());
  return tiles_.at({rows, vectors, std::min(panels, kernels_.max_panels(rows, vectors)), static_cast<int>(family)});
}

Panels CostModel::panels(std::int64_t n, std::int64_t k, const detect::LiveMap* live, Family family) const {
  Panels best = kernels_.panels(n);
  if (live == nullptr) return best;
  // A tile's height of C.
  const bool of_c = family == Family::in_place;  // whole tiles fall away, not steps of k
  const auto ns = [&](const Panels& panels, Family f, double share) {
    const tuning::TileCost t = tile(kernels_.rows(), panels.vectors, 1, f);
    const double visits = static_cast<double>(panels.count()) * (of_c ? share : 1);
    return visits * (static_cast<double>(k) * (of_c ? 1 : share) * t.at(Level::l2) + t.tile + t.reload);
  };
  constexpr double worthwhile = 0.95;
  double least = ns(best, Family::plain, 1);
  for (Panels panels = best; panels.vectors > 0; --panels.vectors) {
    const double price = ns(panels, family, share_in_panel(live->fraction(), live->g_columns, panels.width()));
    if (price < worthwhile * least) best = panels, least = price;
  }
  return best;
}

// One call by one rule and blocking: the sum of its terms. Times are ns of one thread.
class CostModel::Pricing {
 public:
  Pricing(const CostModel& model, const Problem& p, const Shares& s, const LayoutB& b, const Rule& rule,
          const Blocking& blocks, int threads)
      : model_(model),
        s_(s),
        b_(b),
        rule_(rule),
        blocks_(blocks),
        threads_(threads),
        limits_(model.costs_.limits(threads)),
        m_(static_cast<double>(p.m)),
        n_(static_cast<double>(p.n)),
        k_(static_cast<double>(p.k)),
        items_(static_cast<double>(p.items.size())),
        width_(static_cast<double>(b.panels.width())),
        mr_(model.kernels_.rows()),
        panels_(std::ceil(n_ / width_)),
        block_rows_(static_cast<double>(std::max<std::int64_t>(1, blocks.rows))),
        ranges_(std::max(1.0, std::ceil(k_ / static_cast<double>(std::max<std::int64_t>(1, blocks.k))))),
        l1_(static_cast<double>(model.caches_.l1d)),
        l2_(static_cast<double>(model.caches_.l2)),
        l3_(static_cast<double>(model.caches_.l3)),
        b_size_(static_cast<double>(model.kernels_.sizes().b)),
        b_bytes_(k_ * panels_ * width_ * b_size_) {}

  double seconds() {
    passes_ = std::ceil(m_ / block_rows_);
    switch (rule_.kind) {
      case RuleKind::dense: dense(); break;
      case RuleKind::k: k_of_groups(); break;
      case RuleKind::both: are_elements(rule_.g_rows, rule_.g_columns) ? both_elements() : both(); break;
      case RuleKind::b_k: k_of_panels(); break;
      case RuleKind::bt_k: k_of_strips(); break;
      case RuleKind::m: rows_of_k_blocks(); break;
      case RuleKind::element: elements(); break;
      case RuleKind::c_m: output(); break;
      case RuleKind::c_n: break;  // predict_columns
      case RuleKind::stream: stream(); break;
    }
    // What comes from beyond L2 is hidden behind arithmetic but for a part.
    const double moving = b_bytes_ * passes_ * reached_ * s_.b / std::max(rate_, 0.1),
                 work = (compute_ + packing_) / threads_;
    double ns = items_ * (std::max(work, moving) + not_hidden_ * std::min(work, moving)) + writing();
    if (!b_.packed && walks_panels(rule_.kind)) ns += items_ * b_bytes_ / b_size_ * model_.pack_b_ / threads_;
    return ns * 1e-9;
  }

 private:
  /// GB/s at which B comes where it is walked from end to end: L3 is shared with whoever else runs on the machine, and
  /// what does not fit comes in part from there still.
  double walking() const {
    const std::array<std::pair<double, double>, 4> known = {{{l2_, limits_.l2_read_gbytes},
                                                             {2 * l2_, limits_.l3_read_gbytes},
                                                             {l3_ / 4, limits_.l3_read_gbytes},
                                                             {l3_, limits_.read_gbytes}}};
    if (b_bytes_ <= known.front().first) return known.front().second;
    for (std::size_t i = 1; i < known.size(); ++i) {
      const auto [from, fast] = known[i - 1];
      const auto [to, slow] = known[i];
      if (b_bytes_ < to) return fast + (slow - fast) * std::log(b_bytes_ / from) / std::log(to / from);
    }
    return known.back().second;
  }
  /// The same where rows of B are picked, each a few lines: hardware does not foresee where the next one lies, and
  /// memory likes several such walks side by side.
  double picking(double share, int walks = 4) const {
    if (b_bytes_ <= l2_) return walking();
    return walking() * share * (b_bytes_ > l3_ ? std::min(0.75, 0.3 * walks) : 1);
  }

  /// Of a tile: not every height has tiles as wide as the blocking would like.
  int side_by_side(int rows) const {
    return std::min(blocks_.panels, model_.kernels_.max_panels(rows, b_.panels.vectors));
  }
  tuning::TileCost tile(int rows, int panels, Family family) const {
    return model_.tile(rows, b_.panels.vectors, panels, family);
  }
  double pieces(int panels) const { return std::ceil(panels_ / panels); }

  /// One panel (or several side by side): `tiles` tiles that share `k_count` steps of k in L1, `groups` times.
  static double macro_tiles(double groups, double tiles, double k_count, double k_blocks, const tuning::TileCost& t) {
    return groups * (k_count * (t.at(Level::l2) + (tiles - 1) * t.at(Level::l1)) +
                     tiles * k_blocks * (t.tile + t.reload) + k_blocks * t.call);
  }

  void dense() {
    const double tiles = std::ceil(m_ / mr_), rest = std::fmod(m_, mr_);
    const int height = static_cast<int>(std::min(m_, mr_)), panels = side_by_side(height);
    const tuning::TileCost t = tile(height, panels, Family::plain);
    compute_ = macro_tiles(pieces(panels), rest > 0 && m_ > mr_ ? tiles - 0.25 : tiles, k_, ranges_, t);
    if (!blocks_.prefetches) compute_ += pieces(panels) * (tiles - 1) * k_ * (t.at(Level::l2) - t.at(Level::l1));
    packing_ = m_ * k_ * model_.pack_a_;
    rate_ = walking() * (blocks_.prefetches && b_bytes_ > l3_ / 2 ? 0.75 : 1);
    not_hidden_ = kWalked;
  }

  /// Rows of one group, or of a block where all share what they pick.
  double picked_k(double g, double k_blocks, Family family, double k_count, int& panels) {
    const double groups = std::ceil(m_ / g), tiles = std::ceil(g / mr_);
    const int rows = static_cast<int>(std::min(g, mr_));
    panels = side_by_side(rows);
    const tuning::TileCost t = tile(rows, panels, family);
    double ns = macro_tiles(groups * pieces(panels), tiles, k_count, k_blocks, t);
    // Rows that are picked from a panel too large for L2 come from L3; groups of a few tiles pay for each call.
    if (k_ / k_blocks * b_size_ * width_ * panels > 0.6 * l2_)
      ns += groups * pieces(panels) * k_count * (t.at(Level::l3) - t.at(Level::l2)) / 2;
    return ns;
  }

  double group_rows() const { return std::min(m_, static_cast<double>(rule_.g_rows)); }

  /// Which part of B any group of a block picks.
  void reach(int panels) {
    reached_ = 1 - std::pow(1 - s_.a, std::max(1.0, std::min(m_, block_rows_) / static_cast<double>(rule_.g_rows)));
    rate_ = picking(reached_ < 1                                   ? kPickedByFew
                    : static_cast<double>(rule_.g_rows) <= 2 * mr_ ? kPickedByGroups
                                                                   : 1,
                    panels);
  }

  void k_of_groups() {
    int panels = 1;
    constexpr double per_call = 60;
    compute_ = picked_k(group_rows(), ranges_, Family::indexed, k_ * s_.a, panels);
    // Rarer single rows than those that were priced (one of four) share no lines with their neighbours.
    if (panels > 1 && rule_.g_columns < 8) compute_ *= 1 + 0.15 * (1 - std::min(1.0, 4 * s_.a));
    compute_ += per_call * std::ceil(m_ / group_rows()) * pieces(panels);
    packing_ = m_ * k_ * s_.a * model_.pack_a_index_;
    reach(panels);
  }

  void k_of_panels() {
    int panels = 1;
    constexpr double scattered = 1.2;  // what is picked of A lies in lines of its own
    compute_ = scattered * picked_k(std::min(m_, block_rows_), ranges_, Family::both, k_ * s_.a * s_.b, panels) +
               c_bytes() * (2 * ranges_ - 1) / limits_.l3_read_gbytes;
    packing_ = m_ * k_ * s_.a * model_.pack_a_index_;
    rate_ = picking(0.6);
  }

  // Tiles whose rows are columns of B: A is what panels are made of, and C is transposed.
  void k_of_strips() {
    // ns: an element of C, transposed; a line of B is read, far from the last one, from memory or L3; what a step of k
    // costs more than one of four, as short runs of steps mislead hardware that fetches ahead
    constexpr double stored = 0.25, from_memory = 17, from_l3 = 6, in_runs = 0.5;
    constexpr double apart = 1.5;  // many rows of A at once, which meet in few sets of the caches
    const Panels a = model_.kernels_.panels(static_cast<std::int64_t>(m_));
    const int panels = std::min(blocks_.panels, model_.kernels_.max_panels(rule_.tile_rows, a.vectors));
    const tuning::TileCost t = model_.tile(rule_.tile_rows, a.vectors, panels, Family::ragged);
    const double strips = std::ceil(n_ / rule_.tile_rows), passes = std::ceil(static_cast<double>(a.count()) / panels),
                 at_once = std::max(1.0, std::floor(static_cast<double>(blocks_.columns) / rule_.tile_rows)),
                 positions = strips * k_ * s_.b;
    compute_ = passes * (positions * (t.at(Level::l2) + in_runs) +
                         strips * (ranges_ * (t.tile + t.call / at_once) + (ranges_ - 1) * t.reload));
    packing_ = apart * m_ * k_ * model_.pack_panel_of_a_ + m_ * n_ * stored;
    if (!b_.packed) packing_ += positions * (k_ * n_ * b_size_ > l3_ / 2 ? from_memory : from_l3);
    passes_ = 0;  // B is read once, by the packing
    not_hidden_ = kWalked;
  }

  void both() {
    int panels = 1;
    // ns: a step of k is tried; a tile that shares what it picks with no other
    constexpr double found = 1, alone = 1.2;
    compute_ = picked_k(group_rows(), 1, Family::both, k_ * s_.a * s_.b, panels) * (group_rows() > mr_ ? 1 : alone) +
               std::ceil(m_ / group_rows()) * panels_ * k_ * s_.a * found;
    packing_ = m_ * k_ * s_.a * model_.pack_a_index_;
    reach(panels);
  }

  void both_elements() {
    const double pairs = m_ / static_cast<double>(rule_.g_rows) * pieces(blocks_.panels);
    const tuning::TileCost t = tile(rule_.tile_rows, blocks_.panels, Family::ragged);
    // ns: a step of k of A is tried; B's rows of one that is common are asked for
    constexpr double picked = 0.5, fetched = 3;
    compute_ = pairs * (k_ * s_.a * s_.b * (t.at(Level::l2) + fetched) + k_ * s_.a * picked + t.tile + t.call / 16) +
               panels_ / blocks_.panels * k_ * 0.1;
    packing_ = m_ * k_ * s_.a * kElement;
    reach(blocks_.panels);
  }

  void rows_of_k_blocks() {
    constexpr double compact = 0.4;  // ns: an element of C is prepared and copied
    const tuning::TileCost t = tile(static_cast<int>(mr_), 1, Family::plain);
    const double tiles = m_ * s_.a * ranges_ / mr_ + passes_ * ranges_ * 0.5,
                 k_count = static_cast<double>(rule_.g_columns);
    compute_ = panels_ * (tiles * (k_count * t.at(Level::l1) + t.tile + t.reload) +
                          passes_ * ranges_ * (2 * t.call + k_count * (t.at(Level::l2) - t.at(Level::l1))));
    packing_ = m_ * k_ * s_.a * model_.pack_a_ + m_ * n_ * compact;
    rate_ = walking();
  }

  void elements() {
    const tuning::TileCost t = tile(rule_.tile_rows, blocks_.panels, Family::ragged);
    const double groups = m_ / static_cast<double>(rule_.g_rows);
    const bool in_l1 = static_cast<double>(blocks_.k) * blocks_.panels * width_ * b_size_ <= l1_;
    // ns: some ranges of k end where nobody foresees it (measured with a fresh pattern per call)
    constexpr double mispredicted = 2;
    compute_ = pieces(blocks_.panels) * groups *
               (k_ * s_.a * t.at(in_l1 ? Level::l1 : Level::l2) + ranges_ * (t.tile + t.reload + mispredicted));
    packing_ = m_ * k_ * s_.a * kElement;
    reach(blocks_.panels);
  }

  void output() {
    const tuning::TileCost t = tile(static_cast<int>(mr_), 1, Family::in_place);
    compute_ = macro_tiles(panels_, std::ceil(m_ * s_.c / mr_), k_, ranges_, t);
    rate_ = walking();
    not_hidden_ = kWalked;
  }

  // Groups that stream one after the other find B in L3, a piece of its columns at a time.
  void stream() {
    const double rows = std::max(1, rule_.tile_rows), groups = std::ceil(m_ / rows);
    constexpr double found = 100;  // ns: a row of B begins somewhere, the one before is not there
    const double rate = (rule_.tile_rows == 1 ? 0.5 : 0.6) *
                        model_.costs_.fma_gflops(model_.kernels_.algebra().types.accumulator),
                 share = 1 - std::pow(1 - s_.a, groups);
    compute_ = 2 * m_ * k_ * s_.a * n_ / rate + 60 * groups + found * k_ * share * (1 - share);
    packing_ = m_ * k_ * s_.a * 2;
    passes_ = s_.a * groups;
    const bool again = groups > 1;
    rate_ = again ? limits_.l3_read_gbytes * 0.8 : picking(0.85);
    if (!again && share < 1) rate_ = std::min(rate_, 0.45 * limits_.l3_read_gbytes);
    if (again) not_hidden_ = kWalked;
  }

  double c_bytes() const { return m_ * n_ * static_cast<double>(model_.kernels_.sizes().c); }

  // What is written is first fetched, but for what streams past the caches; and lines that others share, or that are
  // cold, cost more.
  double writing() const {
    const double bytes = c_bytes() * items_;
    const double rate = bytes > l3_       ? limits_.write_gbytes
                        : bytes > l3_ / 2 ? limits_.write_gbytes / 3
                        : bytes > l2_ / 2 ? limits_.l3_read_gbytes / 5
                                          : limits_.l2_read_gbytes;
    return bytes / std::max(0.1, rate);
  }

  static constexpr double kWalked = 0.3, kPicked = 0.5;               // of the shorter time, not hidden by the longer
  static constexpr double kPickedByFew = 0.6, kPickedByGroups = 0.7;  // of the rate of walking
  static constexpr double kElement = 1.5;                             // ns: one of A is found and put in its place

  const CostModel& model_;
  const Shares& s_;
  const LayoutB& b_;
  const Rule& rule_;
  const Blocking& blocks_;
  int threads_;
  MachineLimits limits_;
  double m_, n_, k_, items_, width_, mr_, panels_, block_rows_, ranges_, l1_, l2_, l3_, b_size_, b_bytes_;
  double compute_ = 0, packing_ = 0;
  double passes_ = 1, reached_ = 1, rate_ = 1;  // of B: how often, which part of it, GB/s
  double not_hidden_ = kPicked;
};

double CostModel::seconds(const Problem& p, const Shares& s, const LayoutB& b, const Rule& rule, int threads) const {
  return seconds(p, s, b, rule, blocking_of(kernels_, caches_, p, s, rule, b, threads), threads);
}

double CostModel::seconds(const Problem& p, const Shares& s, const LayoutB& b, const Rule& rule, const Blocking& blocks,
                          int threads) const {
  return Pricing(*this, p, s, b, rule, blocks, threads).seconds();
}

Shares CostModel::shares_of(const Live& live, const Rule& rule, const Panels& panels) const {
  const std::int64_t width = panels.width();
  Shares s;
  if (live.a) {
    if (rule.kind == RuleKind::k || rule.kind == RuleKind::both)
      s.a = share_of_unions(*live.a, rule.g_rows / live.a->g_rows);
    else if (rule.kind == RuleKind::stream)
      s.a = share_of_unions(*live.a, (rule.g_rows + live.a->g_rows - 1) / live.a->g_rows);
    else if (rule.kind == RuleKind::m || rule.kind == RuleKind::element) s.a = live.a->fraction();
  }
  if (live.b && (rule.kind == RuleKind::b_k || rule.kind == RuleKind::both))
    s.b =
        share_in_panel(live.b->fraction(), live.b->g_columns, rule.kind == RuleKind::both ? rule.tile_columns : width);
  if (live.b && rule.kind == RuleKind::bt_k)
    s.b = share_in_panel(live.b->fraction(), live.b->g_columns, rule.g_columns);
  if (live.c && rule.kind == RuleKind::c_m) s.c = share_in_panel(live.c->fraction(), live.c->g_columns, width);
  return s;
}

Schedule CostModel::schedule(const Problem& p, const Live& live, const LayoutB& b, const Rule& rule,
                             int threads) const {
  const Shares shares = shares_of(live, rule, b.panels);
  Schedule s{.rule = rule, .blocks = blocking_of(kernels_, caches_, p, shares, rule, b, threads)};
  if (p.m == 0 || p.n == 0 || p.k == 0 || p.items.empty()) return s;
  s.seconds = rule.kind == RuleKind::c_n ? predict_columns(p, live, b, rule, threads)
                                         : seconds(p, shares, b, rule, s.blocks, threads);
  return s;
}

// A narrower product, and the gathering of its B and the scattering of its C, element by element.
double CostModel::predict_columns(const Problem& p, const Live& live, const LayoutB& b, const Rule& rule,
                                  int threads) const {
  constexpr double element = 1.5;  // ns
  Problem narrow = p;
  narrow.n = std::max<std::int64_t>(1, static_cast<std::int64_t>(live.c->fraction() * static_cast<double>(p.n)));
  const Rule inner = narrow_rule(live, rule);
  const LayoutB layout{.panels = kernels_.panels(narrow.n), .packed = true};
  const double k_count =
      live.a ? share_of_unions(*live.a, live.a->row_groups()) * static_cast<double>(p.k) : static_cast<double>(p.k);
  const double moved =
      static_cast<double>(narrow.n) * (k_count + static_cast<double>(p.m)) * static_cast<double>(p.items.size());
  double ns = element * moved / threads;
  if (!b.packed)
    ns += pack_b_ * static_cast<double>(p.k) * static_cast<double>(p.n) * static_cast<double>(p.items.size()) / threads;
  return ns * 1e-9 +
         seconds(narrow, shares_of({live.a, nullptr, nullptr}, inner, layout.panels), layout, inner, threads);
}

bool CostModel::worth_detecting(const Problem& p, std::int64_t g_rows, std::int64_t g_columns, double fraction,
                                const LayoutB& b, int threads) const {
  if (p.m == 0 || p.n == 0 || p.k == 0 || p.items.empty()) return false;
  // A sample is only a sample, and a rule that was not thought of may do better: give up where even much fewer would
  // not pay.
  const double hoped = 0.9 * fraction;
  const double dense = seconds(p, {}, b, {RuleKind::dense, 0, 0, 0, 0}, threads);
  for (RuleKind kind : {RuleKind::k, RuleKind::m, RuleKind::element, RuleKind::stream}) {
    if (kind == RuleKind::m && g_columns < kLeastK) continue;
    if (kind == RuleKind::element && !are_elements(g_rows, g_columns)) continue;
    if (kind == RuleKind::stream && g_rows > lower::kMaxStreamRows) continue;
    const Rule rule{kind, g_rows, g_columns, static_cast<int>(std::min<std::int64_t>(g_rows, kernels_.rows())), 0};
    if (seconds(p, {.a = hoped}, b, rule, threads) < dense) return true;
  }
  return false;
}

}  // namespace pit::contract
