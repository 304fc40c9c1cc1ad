#include "runtime/pack.h"

#include <algorithm>

#include "support/check.h"

namespace pit::runtime {

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
