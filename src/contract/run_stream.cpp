// The stream rule: a few rows of A. Only rows of B that some row of A needs are read, each from end to end of a long piece of columns.
#include <algorithm>
#include <vector>

#include "contract/terms.h"

namespace pit::contract {
namespace {

constexpr std::int64_t piece_bytes = 16 << 10;  ///< columns of B (and of C) at a time: C stays in L1, B's pieces are some pages long

/// The terms that any row of the item's A needs.
std::vector<std::int32_t> needed_terms(const Call& call, const Item& item) {
  const Problem& p = call.problem;
  std::vector<std::int32_t> terms(static_cast<std::size_t>(p.k) + 16);
  std::int64_t count = p.k;
  if (!call.live.a) {
    for (std::int64_t k = 0; k < p.k; ++k) terms[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(k);
  } else {
    const CoveredMap map(*call.live.a, std::max(call.live.a->g_rows, p.m + call.live.a->g_rows - 1), 1);
    count = live_columns(*map, item.a_number * map->row_groups(), 1, terms.data());
  }
  terms.resize(static_cast<std::size_t>(count));
  return terms;
}

}  // namespace

void run_stream(const Call& call, const Rule&) {
  const Problem& p = call.problem;
  // As many pieces for each worker, of whole cache lines.
  const std::int64_t at_least = (p.n + piece_bytes / 4 - 1) / (piece_bytes / 4), workers = call.pool.size();
  const std::int64_t wanted = (at_least + workers - 1) / workers * workers;
  const std::int64_t piece = ((p.n + wanted - 1) / wanted + 15) / 16 * 16, pieces = (p.n + piece - 1) / piece;
  for (const Item& item : p.items) {
    const std::vector<std::int32_t> terms = needed_terms(call, item);
    const auto count = static_cast<std::int64_t>(terms.size());
    const bool in_place = item.b != nullptr && p.b_n == 1;
    const float* b = in_place ? item.b : call.b.rows(item.b_number);
    const std::int64_t b_step = in_place ? p.b_k : p.n;
    for (std::int64_t r0 = 0; r0 < p.m; r0 += lower::max_stream_rows) {
      const int rows = static_cast<int>(std::min<std::int64_t>(lower::max_stream_rows, p.m - r0));
      Buffer buffer = call.buffers.take(Buffer::rounded<float>(count * rows + pack_slack));
      auto* packed = buffer.take<float>(count * rows + pack_slack);
      void *a_rows[lower::max_stream_rows], *c_rows[lower::max_stream_rows];
      for (int i = 0; i < rows; ++i) a_rows[i] = const_cast<float*>(item.a + (r0 + i) * p.a_row);
      point_to_rows(p, item.c, r0, r0 + rows, c_rows);
      pack_rows(call.kernels.packs(), rows, packed, a_rows, rows, count, p.a_k * 4, terms.data());
      call.pool.parallel_for(pieces, [&](std::int64_t i, int) {
        const std::int64_t column = i * piece;
        void* ptrs[4] = {packed, const_cast<float*>(b + column), const_cast<std::int32_t*>(terms.data()), static_cast<void*>(c_rows)};
        const lower::StreamInts ints{count, std::min(piece, p.n - column), b_step * 4, 1, column * 4};
        call.kernels.stream(rows)(ptrs, &ints.terms);
      });
    }
  }
}

}  // namespace pit::contract
