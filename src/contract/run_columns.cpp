// Pruned results (C.n): where columns of C are wanted or not at full height, the product is a narrower one. The wanted
// columns of B are gathered (of the steps of k that A has at all), the narrower product is computed by the k or the
// dense rule, and its columns are scattered.
#include <algorithm>
#include <cstring>
#include <vector>

#include "contract/blocking.h"
#include "contract/live_k.h"
#include "contract/rules.h"

namespace pit::contract {
namespace {

/// B's columns `columns`, steps of k `live_k`, in panels of their own. Other steps of k are left as they are: nobody
/// walks them.
template <std::int64_t size>
void gather_columns(const Call& call, std::int64_t number, const std::vector<std::int32_t>& columns,
                    const std::vector<std::int32_t>& live_k, PackedB& to) {
  const PackedB& b = call.b;
  const std::int64_t width = b.panels.width(), to_width = to.panels.width();
  call.pool.parallel_for(to.panels.count(), [&](std::int64_t p, int) {
    char* out = to.panel(0, p);
    const std::int64_t count = to.panels.columns_of(p);
    std::vector<const char*> source(static_cast<std::size_t>(count));
    for (std::int64_t j = 0; j < count; ++j) {
      const std::int64_t column = columns[static_cast<std::size_t>(p * to_width + j)];
      source[static_cast<std::size_t>(j)] = b.panel(number, column / width) + column % width * size;
    }
    for (const std::int32_t t : live_k) {
      char* row = out + t * to_width * size;
      for (std::int64_t j = 0; j < count; ++j)
        move_element<size>(row + j * size, source[static_cast<std::size_t>(j)] + t * width * size);
      std::memset(row + count * size, 0, static_cast<std::size_t>((to_width - count) * size));
    }
  });
}

/// The narrower product's result `c`, the identity where it has no column.
template <std::int64_t size>
void scatter_columns(const Call& call, const Item& item, const std::vector<std::int32_t>& columns, const char* c) {
  const auto n = static_cast<std::int64_t>(columns.size());
  call.pool.parallel_for(call.problem.m, [&](std::int64_t i, int) {
    char* row = call.c_row(item, i);
    fill(row, call.problem.n, call.identity());
    for (std::int64_t j = 0; j < n; ++j)
      move_element<size>(row + columns[static_cast<std::size_t>(j)] * size, c + (i * n + j) * size);
  });
}

// The narrower product's own.
Schedule narrow_schedule(const Call& call, const Problem& p, const Rule& rule) {
  Schedule s;
  s.rule = narrow_rule(call.live, rule);
  const Shares shares{.a = call.live.a ? call.live.a->fraction() : 1};
  s.blocks = blocking_of(call.kernels, call.caches, p, shares, s.rule,
                         {.panels = call.kernels.panels(p.n), .packed = true}, call.pool.size());
  return s;
}

}  // namespace

std::vector<std::int32_t> needed_k(const Call& call, const Item& item) {
  const Problem& p = call.problem;
  std::vector<std::int32_t> live_k(static_cast<std::size_t>(p.k) + 16);
  std::int64_t count = p.k;
  if (!call.live.a) {
    for (std::int64_t k = 0; k < p.k; ++k) live_k[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(k);
  } else {
    const detect::LiveMap& a = *call.live.a;
    const CoveredMap map(a, a.row_groups() * a.g_rows, 1);
    count = live_columns(*map, item.a_number * map->row_groups(), 1, live_k.data());
  }
  live_k.resize(static_cast<std::size_t>(count));
  return live_k;
}

void run_columns(const Call& call) {
  const Rule& rule = call.schedule.rule;
  const Problem& p = call.problem;
  const detect::LiveMap& map = *call.live.c;
  for (const Item& item : p.items) {
    std::vector<std::int32_t> columns(static_cast<std::size_t>(p.n) + 16);
    columns.resize(static_cast<std::size_t>(live_columns(map, item.c_number * map.row_groups(), 1, columns.data())));
    const auto n = static_cast<std::int64_t>(columns.size());
    PackedB narrow;
    narrow.k = p.k;
    narrow.n = n;
    narrow.panels = call.kernels.panels(n);
    narrow.element = call.b.element;
    const std::int64_t bytes = (narrow.panels.elements(p.k) + kPackSlack) * narrow.element,
                       c_bytes = p.m * n * call.sizes().c;
    char *b = nullptr, *c = nullptr;
    const Buffer buffer = call.scratch({{b, bytes}, {c, c_bytes}});
    narrow.data.push_back({std::shared_ptr<void>(), b});
    with_size(narrow.element,
              [&](auto size) { gather_columns<size>(call, item.b_number, columns, needed_k(call, item), narrow); });
    Problem part = p;
    part.n = n;
    Item narrowed;
    narrowed.a = item.a, narrowed.c = c, narrowed.a_number = item.a_number;
    part.items = {narrowed};
    part.c_rows = {.stride = n, .table = {}};
    part.epilogue = nullptr;
    const Live live{call.live.a, nullptr, nullptr};
    const Schedule schedule = narrow_schedule(call, part, rule);
    const Call inner{call.kernels, part, live, narrow, schedule, call.pool, call.buffers, call.caches, call.poison};
    if (n > 0) schedule.rule.kind == RuleKind::k ? run_k(inner) : run_dense(inner);
    with_size(call.sizes().c, [&](auto size) { scatter_columns<size>(call, item, columns, c); });
  }
}

}  // namespace pit::contract
