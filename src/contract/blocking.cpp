#include "contract/blocking.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace pit::contract {
namespace {

std::int64_t whole(double x) { return static_cast<std::int64_t>(x); }

class Planner {
 public:
  Planner(const Kernels& kernels, const CacheSizes& caches, const Problem& p, const Shares& shares, const Rule& rule,
          const LayoutB& layout, int threads)
      : kernels_(kernels),
        p_(p),
        s_(shares),
        rule_(rule),
        layout_(layout),
        threads_(std::max(1, threads)),
        k_(std::max<std::int64_t>(1, p.k)),
        tile_(kernels.rows()),
        size_(kernels.sizes()),
        row_bytes_(layout.panels.width() * size_.b),
        splits_(kernels.algebra().splits_k() && sums_fit_c()),
        l1_(static_cast<std::int64_t>(caches.l1d)),
        l2_(static_cast<std::int64_t>(caches.l2)),
        l3_(static_cast<std::int64_t>(caches.l3)) {
    b_.k = b_.k_near = k_;
    // C so large that what is written of it leaves the caches before anybody reads it. (An epilogue does.)
    const std::int64_t c_bytes = p.m * p.n * size_.c * static_cast<std::int64_t>(p.items.size());
    b_.streams_c = p.epilogue == nullptr && c_bytes > l3_;
    b_.streams_dead = c_bytes > l3_;
  }

  Blocking plan() {
    switch (rule_.kind) {
      case RuleKind::dense: dense(); break;
      case RuleKind::k: k(); break;
      case RuleKind::m: rows(); break;
      case RuleKind::element: element(); break;
      case RuleKind::b_k: panels_of_b(); break;
      case RuleKind::bt_k: strips_of_b(); break;
      case RuleKind::both: both(); break;
      case RuleKind::c_m: output(); break;
      case RuleKind::c_n: break;  // another product's
      case RuleKind::stream: stream(); break;
    }
    return b_;
  }

 private:
  // Where all of a task's A fits its share of L3, panels of B are walked from end to end, which memory likes best, and
  // partial results in C are still near when the next k-block comes. Else one k-block after the other: A then comes
  // from L2, and C again and again from L3. Tiles against much of B fetch it ahead: they would wait for memory in the
  // first tile and leave it idle in the others. Not those that apply an epilogue, which would then read C again, from
  // L2 only where there are few of them; nor those of many panels side by side, which hardware follows.
  void dense() {
    constexpr std::int64_t few_tiles = 12;
    b_.rows = row_block(0, tile_, 16 * tile_, 96 * tile_);
    const std::int64_t rows = std::min(b_.rows, p_.m), b_bytes = k_ * ((p_.n + width() - 1) / width()) * row_bytes_;
    b_.panels = rows < tile_ && sums_fit_c() ? kMaxPanels : 1;
    const bool near_c = p_.epilogue == nullptr || rows <= few_tiles * tile_,
               followed = std::min(b_.panels, max_panels(std::clamp<std::int64_t>(rows, 1, tile_))) == kMaxPanels;
    b_.prefetches = splits_ && near_c && !followed && b_bytes > l2_;
    if (splits_) b_.k = even_range(k_, l2_, row_bytes_);
    b_.packs_all = rows * p_.k * size_.a <= l3_ / 16 || !splits_;
    b_.packs_b = packs_b();
  }

  // Where there are matrices for all workers, each task packs its own: it is near when it is multiplied.
  bool packs_b() const {
    if (layout_.packed) return false;
    const std::int64_t matrices = std::ssize(p_.items_of_b());
    return matrices >= threads_ && 2 * matrices >= static_cast<std::int64_t>(p_.items.size());
  }

  void k() {
    constexpr double least_k = 256;      // of a tile in a range: what loading and storing its C is small against
    constexpr double few_k = 24;         // of a tile: writing C is most of the work
    constexpr int streamed_panels = 24;  // long pieces of rows of C: few lines at their ends that others share
    const double density = std::max(s_.a, 1e-6);
    // Rows that are picked share no lines, so each takes whole ones.
    b_.k_near = splits_ ? near_k() * 3 / 4 : k_;
    const int side_by_side = max_panels(std::min(rule_.g_rows, tile_));
    // A third of L2 is the range at hand, a third the next one; but C is read and written once a range.
    if (splits_) b_.k = std::min(k_, std::max(l2_ / 3 / (row_bytes_ * side_by_side), whole(least_k / density)));
    const std::int64_t ranges = (k_ + b_.k - 1) / b_.k;
    b_.k = (k_ + ranges - 1) / ranges;
    b_.streams_c = b_.streams_c && ranges == 1 && density * static_cast<double>(p_.k) < few_k;
    b_.panels = b_.streams_c ? streamed_panels : side_by_side;
    b_.rows = row_block(s_.a, rule_.g_rows, 16 * tile_, 1024 * tile_);
    const std::int64_t groups = (b_.rows + rule_.g_rows - 1) / rule_.g_rows;
    b_.sparse_panels = density * static_cast<double>(groups) < 1;
  }

  // Enough rows that a k-block fills tiles; not so many that the compact C leaves L2.
  void rows() {
    b_.panels = 2;
    b_.k = rule_.g_columns;
    const std::int64_t fits = l2_ * 3 / 4 / (b_.panels * row_bytes_);
    const std::int64_t enough = whole(static_cast<double>(24 * tile_) / std::max(s_.a, 1e-3));
    b_.rows = row_block(s_.a, std::max(rule_.g_rows, tile_), std::min(fits, std::max(64 * tile_, enough)), fits);
  }

  // Ranges of k, a multiple of 64 (a word of a live map): what is read of B's range should stay in L1; but each costs
  // as much as some six steps of k, so where elements are rare, ranges are longer.
  void element() {
    constexpr double full = 0.1;  // from here down, ever fewer of B's rows are read at all
    b_.panels = std::min(2, max_panels(rule_.g_rows));
    const std::int64_t row = b_.panels * row_bytes_;
    const double near = static_cast<double>(l1_) * 3 / 4 * std::max(1.0, full / std::max(s_.a, 1e-6));
    b_.k = std::max<std::int64_t>(64, whole(std::min(near, static_cast<double>(l2_) / 2)) / row / 64 * 64);
    const std::int64_t fits = l2_ / 2 / row;
    b_.rows = row_block(2 * s_.a, rule_.g_rows, std::min<std::int64_t>(fits, 256), fits);
  }

  // A range, a multiple of 64, of which a block's packed A stays in L2 while all panels pick from it, and what a panel
  // has in L1 while all tiles do.
  void panels_of_b() {
    constexpr double few = 0.125;  // what a range has to do is little beside visiting C again
    b_.rows = std::min<std::int64_t>(p_.m, (s_.b < few ? 16 : 32) * tile_);
    b_.k = (k_ + 63) / 64 * 64;
    if (!splits_) return;
    const std::int64_t a_fits = l2_ / 2 / (size_.a * std::max<std::int64_t>(1, b_.rows));
    const std::int64_t b_fits =
        whole(static_cast<double>(l1_) / 2 / static_cast<double>(row_bytes_) / std::max(s_.b, 0.01));
    b_.k = std::min(b_.k, std::max<std::int64_t>(256, std::min(a_fits, b_fits) / 64 * 64));
  }

  // A panel of A's transpose, or a range of it, takes no more than two fifths of L2 while all strips pick from it: they
  // pass through the caches, too. One range needs no more than a few columns of C's transpose, in L1; between several,
  // partial results of as many columns as another third of L2 has room for wait. Tiles of few rows cover several panels,
  // or they would have too few accumulators.
  void strips_of_b() {
    constexpr std::int64_t accumulators = 8;  // that hide the latency of their chains
    const Panels panels = kernels_.panels(p_.m);
    const std::int64_t panel_row = panels.width() * size_.b, most = l2_ * 2 / 5 / panel_row;
    const int side_by_side = kernels_.max_panels(rule_.tile_rows, panels.vectors);
    b_.panels = 1;
    while (2 * b_.panels <= side_by_side &&
           (rule_.tile_rows * panels.vectors * b_.panels < accumulators || 2 * b_.panels * k_ <= most))
      b_.panels *= 2;
    b_.rows = b_.panels * panels.width();
    b_.columns = kernels_.width();
    if (!splits_ || k_ * b_.panels <= most) return;
    const std::int64_t fits = std::max<std::int64_t>(256, most / b_.panels), ranges = (k_ + fits - 1) / fits;
    b_.k = (k_ + ranges - 1) / ranges;
    b_.columns *= std::max<std::int64_t>(1, l2_ / 3 / (b_.columns * b_.rows * size_.c));
  }

  void both() {
    if (are_elements(rule_.g_rows, rule_.g_columns)) {
      b_.panels = std::min(2, max_panels(rule_.g_rows));
      b_.rows = row_block(2 * s_.a, rule_.g_rows, 64, 256);
    } else {
      b_.rows = row_block(s_.a, rule_.g_rows, 16 * tile_, 256 * tile_);
    }
  }

  void output() {
    if (splits_) b_.k = even_range(k_, l2_, row_bytes_);
    b_.rows = row_block(s_.c, tile_, 64 * tile_, 512 * tile_);
  }

  // Columns at a time: C's piece stays near, and, where several groups walk the same rows, B's pieces in the caches.
  // One row's C may pass through L2: memory likes long pieces of B's rows better (16 KiB: 15 GB/s, 44 KiB: 18). As many
  // pieces for each worker, of whole cache lines.
  void stream() {
    const std::int64_t rows = std::max(1, rule_.tile_rows), groups = (p_.m + rows - 1) / rows;
    std::int64_t columns = (rows > 1 || groups > 1 ? 16 << 10 : 64 << 10) / size_.b;
    if (groups > 1) columns = std::clamp<std::int64_t>(l3_ / 8 / (size_.b * k_), 128, columns);
    const std::int64_t workers = groups > 1 ? 1 : threads_;
    const std::int64_t pieces = ((p_.n + columns - 1) / columns + workers - 1) / workers * workers;
    b_.columns = ((p_.n + pieces - 1) / pieces + 15) / 16 * 16;
    b_.rows = rows;
  }

  std::int64_t width() const { return layout_.panels.width(); }

  int max_panels(std::int64_t rows) const {
    return kernels_.max_panels(static_cast<int>(rows), layout_.panels.vectors);
  }
  bool sums_fit_c() const { return p_.sums_fit_c(kernels_.algebra()); }

  // Three quarters of L1: the rest is for A, C and the index.
  std::int64_t near_k() const { return std::max<std::int64_t>(64, l1_ * 3 / 4 / row_bytes_); }

  // Rows, a multiple of `step`, so that a block's packed A (live_share of m x k) stays within its share of the caches
  // and every worker gets blocks.
  std::int64_t row_block(double live_share, std::int64_t step, std::int64_t least, std::int64_t most) const {
    const double per_row = std::max(64.0, static_cast<double>(size_.a) * live_share * static_cast<double>(p_.k));
    std::int64_t rows = std::clamp(whole(static_cast<double>(l3_) / 8 / per_row), least, most);
    // At least a few blocks per worker, so that they balance; but blocks too small read B too often.
    const std::int64_t even = (p_.m + threads_ - 1) / threads_;
    if (threads_ > 1) rows = std::min(rows, std::max(least, (even + 1) / 2));
    rows = std::min(rows, p_.m);
    return std::max(step, (rows + step - 1) / step * step);
  }

  const Kernels& kernels_;
  const Problem& p_;
  const Shares& s_;
  const Rule& rule_;
  const LayoutB& layout_;
  std::int64_t threads_, k_, tile_;
  lower::ElementSizes size_;
  std::int64_t row_bytes_;
  bool splits_;
  std::int64_t l1_, l2_, l3_;
  Blocking b_;
};

}  // namespace

std::string Blocking::name() const {
  std::string text = fmt::format("{} rows", rows);
  if (columns > 0) text += fmt::format(", {} columns", columns);
  else text += fmt::format(", {} of k{}", k, packs_all ? "" : ", packed block by block");
  if (panels > 1) text += fmt::format(", {} panels", panels);
  if (prefetches) text += ", B fetched ahead";
  if (packs_b) text += ", B packed by the tasks";
  if (streams_c) text += ", C past the caches";
  return text;
}

Blocking blocking_of(const Kernels& kernels, const CacheSizes& caches, const Problem& p, const Shares& shares,
                     const Rule& rule, const LayoutB& b, int threads) {
  return Planner(kernels, caches, p, shares, rule, b, threads).plan();
}

std::int64_t even_range(std::int64_t k, std::int64_t l2_bytes, std::int64_t row_bytes) {
  // Measured from 256 to 4096 steps of k: C's traffic below, L2 above.
  const std::int64_t most = std::max<std::int64_t>(64, l2_bytes / 5 / row_bytes), ranges = (k + most - 1) / most;
  return (k + ranges - 1) / ranges;
}

}  // namespace pit::contract
