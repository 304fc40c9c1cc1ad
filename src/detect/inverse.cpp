#include "detect/inverse.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <numeric>

namespace pit::detect {
namespace {

constexpr std::int64_t kPiece = 1 << 14;  // places that a task looks at

}  // namespace

std::int64_t out_of_range(const Places& p, const ThreadPool& pool) {
  const auto depth = static_cast<std::int64_t>(p.extents.size());
  const std::int64_t count = p.rows * depth;
  std::atomic<std::int64_t> first = count;
  pool.parallel_for((count + kPiece - 1) / kPiece, [&](std::int64_t task, int) {
    for (std::int64_t i = task * kPiece; i < std::min((task + 1) * kPiece, count); ++i) {
      const std::int64_t n = p.extents[static_cast<std::size_t>(i % depth)];
      if (p.at(i) >= -n && p.at(i) < n) continue;
      std::int64_t known = first;
      while (i < known && !first.compare_exchange_weak(known, i)) {
      }
      return;
    }
  });
  return first == count ? -1 : first.load();
}

IndexSet inverse(const Places& p, const ThreadPool& pool) {
  IndexSet set;
  set.outer = std::accumulate(p.extents.begin(), p.extents.end(), std::int64_t{1}, std::multiplies<>());
  set.extent = p.rows;
  Buffer<std::int64_t> place(static_cast<std::size_t>(p.rows));
  const auto depth = static_cast<std::int64_t>(p.extents.size());
  pool.parallel_for((p.rows + kPiece - 1) / kPiece, [&](std::int64_t task, int) {
    for (std::int64_t r = task * kPiece; r < std::min((task + 1) * kPiece, p.rows); ++r) {
      std::int64_t flat = 0;
      for (std::int64_t d = 0; d < depth; ++d) {
        const std::int64_t i = p.at(r * depth + d), n = p.extents[static_cast<std::size_t>(d)];
        flat = flat * n + (i < 0 ? i + n : i);
      }
      place[static_cast<std::size_t>(r)] = flat;
    }
  });
  // A task owns a range of the table and passes over all places: few tasks.
  const std::int64_t tasks = p.rows < kPiece ? 1 : pool.size(), share = (set.outer + tasks - 1) / tasks;
  const auto for_own = [&](std::int64_t task, auto&& body) {
    const std::int64_t begin = task * share, end = begin + share;
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const std::int64_t t = place[static_cast<std::size_t>(r)];
      if (t >= begin && t < end) body(r, t);
    }
  };
  // offset[t + 1] is first where list t begins, then moves to where it ends.
  set.offset.assign(static_cast<std::size_t>(set.outer) + 2, 0);
  std::int64_t* const offset = set.offset.data();
  pool.parallel_for(
      tasks, [&](std::int64_t task, int) { for_own(task, [&](std::int64_t, std::int64_t t) { ++offset[t + 2]; }); });
  std::partial_sum(set.offset.begin(), set.offset.end(), set.offset.begin());
  set.index.resize(static_cast<std::size_t>(p.rows) + 16);
  std::fill_n(set.index.data() + p.rows, 16, 0);
  pool.parallel_for(tasks, [&](std::int64_t task, int) {
    for_own(task, [&](std::int64_t r, std::int64_t t) {
      set.index[static_cast<std::size_t>(offset[t + 1]++)] = static_cast<std::int32_t>(r);
    });
  });
  set.offset.pop_back();
  return set;
}

}  // namespace pit::detect
