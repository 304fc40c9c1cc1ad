#include "runtime/pack.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "support/check.h"

namespace pit::runtime {

std::shared_ptr<float> aligned_floats(std::int64_t count) {
  const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(float) + 63) / 64 * 64;
  void* p = std::aligned_alloc(64, bytes ? bytes : 64);
  if (!p) throw std::bad_alloc();
  return {static_cast<float*>(p), [](float* q) { std::free(q); }};
}

void pack_rows(const PackSet& packs, int width, float* dst, void* const* rows, int count, std::int64_t k,
               std::int64_t k_stride, const std::int32_t* k_index) {
  const bool indexed = k_index != nullptr;
  void* ptrs[3] = {dst, const_cast<void*>(static_cast<const void*>(rows)), const_cast<std::int32_t*>(k_index)};
  if (k_stride == sizeof(float)) {
    const std::int64_t ints[2] = {k, count};
    packs.transpose.at(width)[indexed](ptrs, ints);
  } else {
    const std::int64_t ints[3] = {k, count, k_stride};
    packs.gather.at(width)[indexed](ptrs, ints);
  }
}

void pack_panel(const PackSet& packs, int width, float* dst, const MatrixB& b, std::int64_t n0, std::int64_t columns,
                const std::int32_t* n_index, const std::uint8_t* n_live, std::int64_t k, const std::int32_t* k_index) {
  if (b.n_stride == sizeof(float) && !n_index && !n_live) {
    void* ptrs[3] = {dst, const_cast<char*>(b.data + n0 * b.n_stride), const_cast<std::int32_t*>(k_index)};
    const std::int64_t ints[3] = {k, columns, b.k_stride};
    packs.copy.at(width)[k_index != nullptr](ptrs, ints);
    return;
  }
  void* rows[64];
  PIT_CHECK(columns <= 64, "a panel of {} columns", columns);
  auto column = [&](std::int64_t i) { return n_index ? n_index[n0 + i] : n0 + i; };
  for (std::int64_t i = 0; i < columns; ++i) rows[i] = const_cast<char*>(b.data + column(i) * b.n_stride);
  pack_rows(packs, width, dst, rows, static_cast<int>(columns), k, b.k_stride, k_index);
  if (!n_live) return;
  // Dead columns hold nothing defined: they pack as 0, which keeps what is computed from them finite.
  for (std::int64_t i = 0; i < columns; ++i)
    if (!n_live[column(i)])
      for (std::int64_t r = 0; r < k; ++r) dst[r * width + i] = 0;
}

PackedWeights pack_constant(const Program& p, const fuse::Group& group, const ThreadPool& pool) {
  const fuse::Operand& b = group.operands[1];
  const graph::DimTable& dims = p.graph.dims;
  auto value = [&](graph::Dim d) {
    auto c = dims.constant_value(d);
    PIT_CHECK(c.has_value(), "a constant operand has a dimension that is not constant: {}", dims.print(d));
    return *c;
  };
  const std::int64_t k = value(group.extents[group.axes.k]), n = value(group.extents[group.axes.n]);
  const Panels panels{n, p.tile.lanes, p.tile.vectors};
  const std::int64_t size = sizeof(float);
  const MatrixB matrix{static_cast<const char*>(p.graph.values[p.fusion.layouts[b.value].root].constant.data()) +
                           value(b.base) * size,
                       value(b.strides[group.axes.k]) * size, value(b.strides[group.axes.n]) * size};
  PackedWeights w;
  const std::int64_t floats = panels.floats(k) + pack_slack;
  w.data = aligned_floats(floats);
  w.bytes = static_cast<std::size_t>(floats) * sizeof(float);
  pool.parallel_for(panels.count(), [&](std::int64_t i, int) {
    const int width = panels.vectors_of(i) * panels.lanes;
    // Packing kernels may write slack behind a panel, which another worker may own: go through a private buffer.
    thread_local std::shared_ptr<float> buffer;
    thread_local std::int64_t capacity = 0;
    if (capacity < k * width + pack_slack) {
      capacity = k * width + pack_slack;
      buffer = aligned_floats(capacity);
    }
    pack_panel(p.packs, width, buffer.get(), matrix, i * panels.width(), panels.columns_of(i), nullptr, nullptr, k, nullptr);
    std::copy(buffer.get(), buffer.get() + k * width, w.data.get() + panels.offset(i, k));
  });
  return w;
}

}  // namespace pit::runtime
