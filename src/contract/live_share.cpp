// Which share of a contraction's multiply-adds is live: sums over live elements per row and per column of the maps.
#include <algorithm>
#include <bit>

#include "contract/canonical.h"

namespace pit::contract {
namespace {

/// Live elements in each row of matrix `number`.
std::vector<double> live_per_row(const detect::LiveMap& map, std::int64_t number) {
  std::vector<double> live(static_cast<std::size_t>(map.rows));
  const std::int64_t groups = map.row_groups(), last = map.column_groups() - 1;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t row = number * groups + g;
    std::int64_t elements = map.counts[static_cast<std::size_t>(row)] * map.g_columns;
    if (last >= 0 && map.test(row, last)) elements -= (last + 1) * map.g_columns - map.columns;
    for (std::int64_t r = g * map.g_rows; r < std::min(map.rows, (g + 1) * map.g_rows); ++r)
      live[static_cast<std::size_t>(r)] = static_cast<double>(elements);
  }
  return live;
}

std::vector<double> live_per_column(const detect::LiveMap& map, std::int64_t number) {
  const std::int64_t groups = map.row_groups();
  std::vector<std::int64_t> by_group(static_cast<std::size_t>(map.column_groups()), 0);
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t height = std::min(map.g_rows, map.rows - g * map.g_rows);
    const std::uint64_t* words = map.row(number * groups + g);
    for (std::int64_t w = 0; w < map.words(); ++w)
      for (std::uint64_t bits = words[w]; bits != 0; bits &= bits - 1)
        by_group[static_cast<std::size_t>(w * 64 + std::countr_zero(bits))] += height;
  }
  std::vector<double> live(static_cast<std::size_t>(map.columns));
  for (std::int64_t c = 0; c < map.columns; ++c)
    live[static_cast<std::size_t>(c)] = static_cast<double>(by_group[static_cast<std::size_t>(c / map.g_columns)]);
  return live;
}

double sum(const std::vector<double>& x) {
  double s = 0;
  for (const double v : x) s += v;
  return s;
}

double dot(const std::vector<double>& x, const std::vector<double>& y) {
  double s = 0;
  for (std::size_t i = 0; i < x.size(); ++i) s += x[i] * y[i];
  return s;
}

double live_k(const Problem& p, const Live& live, const Item& item) {
  const auto m = static_cast<double>(p.m), n = static_cast<double>(p.n), k = static_cast<double>(p.k);
  const double of_c = live.c ? sum(live_per_row(*live.c, item.c_number)) : m * n;
  if (live.a && live.b) {
    const double k_count = dot(live_per_column(*live.a, item.a_number), live_per_row(*live.b, item.b_number));
    return live.c ? k_count * (of_c / (m * n)) : k_count;
  }
  if (live.a && live.c) return dot(live_per_row(*live.a, item.a_number), live_per_row(*live.c, item.c_number));
  if (live.b && live.c) return dot(live_per_column(*live.b, item.b_number), live_per_column(*live.c, item.c_number));
  if (live.a) return sum(live_per_row(*live.a, item.a_number)) * n;
  if (live.b) return sum(live_per_row(*live.b, item.b_number)) * m;
  return of_c * k;
}

}  // namespace

double live_share(const Problem& p, const Live& live) {
  if (!live.a && !live.b && !live.c) return 1;
  const double all = static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) *
                     static_cast<double>(p.items.size());
  if (all == 0) return 1;
  double k_count = 0;
  for (const Item& item : p.items) k_count += live_k(p, live, item);
  return k_count / all;
}

}  // namespace pit::contract
