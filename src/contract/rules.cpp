// Which rules apply to a call, and their names.
#include "contract/rules.h"

#include <algorithm>
#include <fmt/format.h>

namespace pit::contract {

std::string Rule::name() const {
  static constexpr const char* names[] = {"dense", "k", "m", "element", "B.k", "Bt.k", "both", "C.m", "C.n", "stream"};
  std::string text = names[static_cast<std::size_t>(kind)];
  if (g_rows > 0) text += fmt::format(" {}x{}", g_rows, g_columns);
  if (tile_rows > 0) text += fmt::format(" @ {}x{}", tile_rows, tile_columns);
  return text;
}

namespace {

class Applicable {
 public:
  Applicable(const Kernels& kernels, const Problem& p, const Live& live, const std::function<LayoutB(RuleKind)>& layout)
      : k_(kernels), p_(p), live_(live), layout_(layout), packed_(layout(RuleKind::dense).packed) {}

  std::vector<Rule> find() {
    add(RuleKind::dense, 0, 0, k_.rows(), 1);
    if (p_.m == 0 || p_.n == 0 || p_.k == 0) return std::move(rules_);
    // Indices are 32-bit byte offsets into a panel: of any width, for C.n packs anew.
    const bool offsets_fit = p_.k * k_.width() * k_.sizes().b <= INT32_MAX;
    if (live_.b && offsets_fit && parts_suit_panels())
      add(RuleKind::b_k, live_.b->g_rows, live_.b->g_columns, k_.rows(), 1);
    if (!p_.is_whole(k_.algebra())) return std::move(rules_);
    if (live_.b && offsets_fit) rules_of_strips();
    if (live_.a && offsets_fit) rules_of_a();
    if (live_.a && live_.b && offsets_fit) rules_of_both();
    if (live_.c && live_.c->g_rows >= p_.m && offsets_fit && !rows_are_listed())
      add(RuleKind::c_n, live_.c->g_rows, live_.c->g_columns, live_.a ? tile_rows(live_.a->g_rows) : k_.rows(), 1);
    if (live_.c && p_.a_k == 1) add(RuleKind::c_m, live_.c->g_rows, live_.c->g_columns, k_.rows(), 1);
    // Panels that lie ready take as little of memory's time as rows, and spare a second layout.
    const bool streams = packed_ ? live_.a != nullptr : p_.b_n == 1;
    if (k_.algebra().splits_k() && streams) rules_of_streams();
    return std::move(rules_);
  }

 private:
  bool rows_are_listed() const {
    return std::any_of(p_.items.begin(), p_.items.end(), [](const Item& i) { return i.row_list != nullptr; });
  }

  void rules_of_a() {
    const std::int64_t g_rows = live_.a->g_rows, g_columns = live_.a->g_columns;
    // k: groups of the pattern's own height, and unions of groups up to whole tiles, which fill registers better.
    // Groups beyond a few tiles cost nothing more.
    for (std::int64_t rows = g_rows; rows <= std::max<std::int64_t>(g_rows, 2 * k_.rows()); rows *= 2) {
      add(RuleKind::k, rows, g_columns, tile_rows(rows), max_panels(RuleKind::k, tile_rows(rows)));
      if (rows >= p_.m) break;
    }
    if (g_columns >= kLeastK && k_.algebra().splits_k()) add(RuleKind::m, g_rows, g_columns, k_.rows(), 1);
    if (are_elements(g_rows, g_columns) && k_.algebra().splits_k())
      add(RuleKind::element, g_rows, 1, static_cast<int>(g_rows),
          std::min(2, max_panels(RuleKind::element, static_cast<int>(g_rows))));
  }

  // Few rows go together; else groups of the pattern's own height, which must be few rows too.
  void rules_of_streams() {
    const std::int64_t most = lower::kMaxStreamRows, own = live_.a ? live_.a->g_rows : p_.m,
                       rows = p_.m <= most ? p_.m : own;
    if (p_.m <= most)
      add(RuleKind::stream, live_.a ? (p_.m + own - 1) / own * own : 0, live_.a ? 1 : 0, static_cast<int>(rows), 0);
    else if (live_.a && own <= most) add(RuleKind::stream, own, 1, static_cast<int>(own), 0);
  }

  // A panel's steps of k are for any rows, and may be fewer: those of an item's list.
  bool parts_suit_panels() const {
    return p_.sums_fit_c(k_.algebra()) && layout_(RuleKind::b_k).panels.uniform &&
           std::all_of(p_.items.begin(), p_.items.end(),
                       [&](const Item& i) { return !i.n_live && (!i.k_list || packed_); });
  }

  void rules_of_both() {
    const std::int64_t g_rows = live_.a->g_rows, g_columns = live_.a->g_columns;
    const bool elements = are_elements(g_rows, g_columns);
    add(RuleKind::both, g_rows, g_columns, tile_rows(g_rows),
        elements ? std::min(2, max_panels(RuleKind::both, tile_rows(g_rows))) : 1);
    // unions of rows fill registers better
    if (elements) add(RuleKind::both, k_.rows(), g_columns, tile_rows(k_.rows()), 1);
  }

  // Strips of columns that lie in one micro-tile, and unions of thin micro-tiles. Operands change places: not where a
  // product tells them apart, as minima and maxima do by the signs of zeros.
  void rules_of_strips() {
    const expr::Fn product = k_.algebra().product;
    if (product == expr::Fn::min || product == expr::Fn::max) return;
    constexpr std::int64_t thin = 4;
    const std::int64_t g_columns = live_.b->g_columns, most = std::min(k_.rows(), k_.lanes());
    std::int64_t columns = 1;
    while (2 * columns <= most && g_columns % (2 * columns) == 0) columns *= 2;
    if (p_.k * ((p_.n + columns - 1) / columns) > INT32_MAX) return;  // what lists count in 32 bits
    const std::int64_t unions = columns == g_columns ? std::max(columns, std::min(most, thin)) : columns;
    for (; columns <= unions; columns *= 2)
      rules_.push_back({RuleKind::bt_k, live_.b->g_rows, columns, static_cast<int>(columns),
                        static_cast<int>(k_.panels(p_.m).width())});
  }

  int tile_rows(std::int64_t group) const {
    return static_cast<int>(std::min({group, p_.m, static_cast<std::int64_t>(k_.rows())}));
  }

  int max_panels(RuleKind kind, int rows) const { return k_.max_panels(rows, layout_(kind).panels.vectors); }

  void add(RuleKind kind, std::int64_t g_rows, std::int64_t g_columns, int rows, int panels) {
    rules_.push_back({kind, g_rows, g_columns, rows,
                      kind == RuleKind::stream ? 0 : panels * static_cast<int>(layout_(kind).panels.width())});
  }

  const Kernels& k_;
  const Problem& p_;
  const Live& live_;
  const std::function<LayoutB(RuleKind)>& layout_;
  bool packed_;  ///< B, before the call
  std::vector<Rule> rules_;
};

}  // namespace

Rule narrow_rule(const Live& live, const Rule& rule) {
  return {live.a ? RuleKind::k : RuleKind::dense, live.a ? live.a->g_rows : 0, 1, rule.tile_rows, rule.tile_columns};
}

std::vector<Rule> applicable_rules(const Kernels& kernels, const Problem& p, const Live& live,
                                   const std::function<LayoutB(RuleKind)>& layout) {
  return Applicable(kernels, p, live, layout).find();
}

}  // namespace pit::contract
