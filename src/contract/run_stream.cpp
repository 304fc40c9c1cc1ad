// The stream rule: groups of a few rows of A, each with steps of k of its own, against rows of B that lie in memory
// whole. Only rows of B that a group needs are read, from end to end of a long piece of columns: for products of a few
// rows, which memory bounds, and for zeros so many that a tile's panels would be visited for a step of k or two.
#include <algorithm>
#include <optional>

#include "contract/live_k.h"

namespace pit::contract {
namespace {

class StreamItem {
 public:
  StreamItem(const Call& call, const Item& item, const detect::LiveMap* map, std::int64_t group_rows)
      : call_(call), item_(item), map_(map), group_rows_(group_rows) {
    const Problem& p = call.problem;
    const bool in_place = item.b != nullptr && p.b_n == 1;
    b_ = in_place ? item.b : call.b.rows(item.b_number);
    b_step_ = (in_place ? p.b_k : p.n) * call.sizes().b;
  }

  /// Groups begin..end, columns from `column` on.
  void run(std::int64_t begin, std::int64_t end, std::int64_t column, std::int64_t columns) const {
    const Problem& p = call_.problem;
    const std::int64_t most = most_k(begin, end);
    // Several rows are put together in a block whose rows lie an eighth of 4 KiB apart, modulo 4 KiB: a load waits for
    // a recent store that has the same address but for its page, and rows of C as they lie may all be such (8 rows
    // 44032 bytes apart, B in L2: 9 GB/s instead of 17).
    constexpr std::int64_t page = 4096, apart = page / lower::kMaxStreamRows;
    const lower::ElementSizes& size = call_.sizes();
    const std::int64_t bytes = columns * size.c, c_offset = column * size.c;
    const std::int64_t step = group_rows_ > 1 ? (bytes + page - 1) / page * page + apart : 0;
    char *block = nullptr, *packed = nullptr;
    std::int32_t* live_k = nullptr;
    const Buffer buffer = call_.scratch(
        {{block, step * group_rows_}, {packed, (most * group_rows_ + kPackSlack) * size.a}, {live_k, most + 16}});
    for (std::int64_t g = begin; g < end; ++g) {
      const std::int64_t first = g * group_rows_;
      const int rows = static_cast<int>(std::min(group_rows_, p.m - first));
      const std::int64_t count = find_live_k(g, live_k);
      void *a_rows[lower::kMaxStreamRows], *c_rows[lower::kMaxStreamRows];
      for (int i = 0; i < rows; ++i) {
        a_rows[i] = const_cast<char*>(call_.a_row(item_, first + i));
        c_rows[i] = step > 0 ? block + i * step : call_.c_row(item_, first + i);
      }
      pack_rows(call_.kernels.packs(), rows, packed, a_rows, rows, count, call_.a_k(), live_k);
      void* ptrs[4] = {packed, const_cast<char*>(b_ + column * size.b), live_k, static_cast<void*>(c_rows)};
      const lower::StreamInts ints{count, columns, b_step_, 1, step > 0 ? 0 : c_offset};
      call_.kernels.stream(rows)(ptrs, &ints.k_count);
      for (int i = 0; step > 0 && i < rows; ++i)
        copy_row(call_.c_row(item_, first + i) + c_offset, block + i * step, bytes, false);
    }
  }

 private:
  std::int64_t number(std::int64_t group) const { return item_.a_number * map_->row_groups() + group; }

  std::int64_t most_k(std::int64_t begin, std::int64_t end) const {
    if (!map_) return call_.problem.k;
    std::int64_t most = 0;
    for (std::int64_t g = begin; g < end; ++g) most = std::max(most, live_columns_bound(*map_, number(g)));
    return most;
  }

  std::int64_t find_live_k(std::int64_t group, std::int32_t* live_k) const {
    if (map_) return live_columns(*map_, number(group), 1, live_k);
    for (std::int64_t k = 0; k < call_.problem.k; ++k) live_k[k] = static_cast<std::int32_t>(k);
    return call_.problem.k;
  }

  const Call& call_;
  const Item& item_;
  const detect::LiveMap* map_;
  std::int64_t group_rows_;
  const char* b_;
  std::int64_t b_step_;  ///< bytes from a row to the next one
};

}  // namespace

void run_stream(const Call& call) {
  const Problem& p = call.problem;
  const Rule& rule = call.schedule.rule;
  const std::int64_t rows = rule.tile_rows, groups = (p.m + rows - 1) / rows;
  std::optional<CoveredMap> map;
  if (call.live.a) map.emplace(*call.live.a, rule.g_rows, 1);  // as high as the tile, or higher
  const std::int64_t columns = call.schedule.blocks.columns, pieces = (p.n + columns - 1) / columns;
  const std::int64_t blocks = std::min<std::int64_t>(groups, groups > 1 ? 4 * call.pool.size() : 1);
  const auto items = static_cast<std::int64_t>(p.items.size());
  call.pool.parallel_for(items * pieces * blocks, [&](std::int64_t t, int) {
    const std::int64_t block = t % blocks, column = t / blocks % pieces * columns;
    StreamItem(call, p.items[static_cast<std::size_t>(t / blocks / pieces)], map ? &**map : nullptr, rows)
        .run(block * groups / blocks, (block + 1) * groups / blocks, column, std::min(columns, p.n - column));
  });
}

}  // namespace pit::contract
