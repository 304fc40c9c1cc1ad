#include "contract/strips.h"

#include <algorithm>
#include <utility>

#include "contract/elements.h"
#include "contract/live_k.h"
#include "support/check.h"

namespace pit::contract {
namespace {

/// The columns of a strip at each step of a list, side by side.
template <std::int64_t size, std::int64_t columns>
[[gnu::noinline]] void copy_steps(char* to, const StripSource& from, const std::int32_t* list, std::int64_t count) {
  const char* first = from.first;
  const std::int64_t k_stride = from.k_stride, n_stride = from.n_stride;
  if (n_stride == size) {
    for (std::int64_t t = 0; t < count; ++t)
      std::memcpy(to + t * columns * size, first + list[t] * k_stride, columns * size);
    return;
  }
  for (std::int64_t t = 0; t < count; ++t)
    for (std::int64_t i = 0; i < columns; ++i, to += size)
      move_element<size>(to, first + list[t] * k_stride + i * n_stride);
}

/// The same of a strip that has `there` columns, the others zeros.
template <std::int64_t size>
void copy_part(char* to, std::int64_t columns, std::int64_t there, const StripSource& from, const std::int32_t* list,
               std::int64_t count) {
  std::memset(to, 0, static_cast<std::size_t>(count * columns * size));
  for (std::int64_t t = 0; t < count; ++t)
    for (std::int64_t i = 0; i < there; ++i)
      move_element<size>(to + (t * columns + i) * size, from.first + list[t] * from.k_stride + i * from.n_stride);
}

template <std::int64_t size>
void copy_steps(char* to, std::int64_t columns, const StripSource& from, const std::int32_t* list, std::int64_t count) {
  switch (columns) {
    case 1: return copy_steps<size, 1>(to, from, list, count);
    case 2: return copy_steps<size, 2>(to, from, list, count);
    case 4: return copy_steps<size, 4>(to, from, list, count);
    case 8: return copy_steps<size, 8>(to, from, list, count);
    default: PIT_UNREACHABLE("strips of {} columns", columns);
  }
}

}  // namespace

StripReader::StripReader(const detect::LiveMap& live, const StripShape& shape, std::int64_t element,
                         const ThreadPool& pool)
    : shape_(shape),
      element_(element),
      k_(live.rows),
      n_(live.columns),
      strips_((n_ + shape.columns - 1) / shape.columns),
      ranges_(std::max<std::int64_t>(1, (k_ + shape.range - 1) / shape.range)),
      pool_(pool),
      map_(detect::transposed(live, pool)) {
  if (map_.g_rows < shape.columns) map_ = detect::coarsen(map_, shape.columns / map_.g_rows, 1);
  PIT_CHECK(map_.g_rows % shape.columns == 0, "strips of {} columns across micro-tiles of {}", shape.columns,
            map_.g_rows);
  starts_.resize(static_cast<std::size_t>(live.batch));
}

std::int64_t StripReader::live_k(std::int64_t number, std::int64_t strip, std::vector<std::int32_t>& list) const {
  list.resize(static_cast<std::size_t>(k_ + 16));
  const std::int64_t row = strip * shape_.columns / map_.g_rows;
  return live_columns(map_, number * map_.row_groups() + row, 1, list.data());
}

std::int64_t StripReader::bytes(std::int64_t number) {
  std::vector<std::int32_t>& starts = starts_[static_cast<std::size_t>(number)];
  starts.assign(static_cast<std::size_t>(ranges_ * strips_ + 1), 0);
  pool_.parallel_for(strips_, [&](std::int64_t s, int) {
    thread_local std::vector<std::int32_t> list;
    const std::int64_t count = live_k(number, s, list);
    const std::int32_t *at = list.data(), *end = at + count;
    for (std::int64_t r = 0; r < ranges_; ++r) {
      const std::int32_t* next = std::lower_bound(at, end, (r + 1) * shape_.range);
      starts[static_cast<std::size_t>(r * strips_ + s)] = static_cast<std::int32_t>(next - at);
      at = next;
    }
  });
  std::int32_t position = 0;
  for (std::int32_t& start : starts) position += std::exchange(start, position);
  return Buffer::rounded<char>(position * shape_.columns * element_) + Buffer::rounded<std::int32_t>(position) +
         Buffer::rounded<std::int32_t>(std::ssize(starts));
}

Strips StripReader::read(std::int64_t number, char* memory,
                         const std::function<StripSource(std::int64_t)>& source) const {
  const std::vector<std::int32_t>& known = starts_[static_cast<std::size_t>(number)];
  const std::int64_t all = known.back(), step = shape_.columns * element_;
  char* values = memory;
  auto* k_offset = reinterpret_cast<std::int32_t*>(values + Buffer::rounded<char>(all * step));
  auto* starts =
      reinterpret_cast<std::int32_t*>(reinterpret_cast<char*>(k_offset) + Buffer::rounded<std::int32_t>(all));
  std::copy(known.begin(), known.end(), starts);
  pool_.parallel_for(strips_, [&](std::int64_t s, int) {
    thread_local std::vector<std::int32_t> list;
    live_k(number, s, list);
    const std::int32_t* from = list.data();
    const StripSource lies = source(s * shape_.columns);
    const std::int64_t there = std::min(shape_.columns, n_ - s * shape_.columns);
    for (std::int64_t r = 0; r < ranges_; ++r) {
      const std::int64_t first = starts[r * strips_ + s], count = starts[r * strips_ + s + 1] - first;
      char* to = values + first * step;
      with_size(element_, [&](auto size) {
        if (there == shape_.columns) copy_steps<size>(to, shape_.columns, lies, from, count);
        else copy_part<size>(to, shape_.columns, there, lies, from, count);
      });
      for (std::int64_t t = 0; t < count; ++t)
        k_offset[first + t] = static_cast<std::int32_t>(from[t] * shape_.step_bytes);
      from += count;
    }
  });
  return {strips_, ranges_, values, k_offset, starts};
}

}  // namespace pit::contract
