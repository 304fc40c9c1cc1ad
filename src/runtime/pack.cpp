#include "runtime/pack.h"

#include <algorithm>

#include "support/check.h"

namespace pit::runtime {

detect::Values weight_values(const Program& p, const fuse::Group& group) {
  const fuse::Operand& b = group.operands[1];
  const graph::DimTable& dims = p.graph.dims;
  auto value = [&](graph::Dim d) {
    auto c = dims.constant_value(d);
    PIT_CHECK(c.has_value(), "a constant operand has a dimension that is not constant: {}", dims.print(d));
    return *c;
  };
  detect::Values v;
  v.data = p.graph.values[p.fusion.layouts[b.value].root].constant.as<float>() + value(b.base);
  v.rows = value(group.extents[group.axes.k]), v.columns = value(group.extents[group.axes.n]);
  v.row_stride = value(b.strides[group.axes.k]), v.column_stride = value(b.strides[group.axes.n]);
  return v;
}

namespace {

// As the contraction engine wants them.
void pack_for_engine(const Program& p, const detect::Values& b, const ThreadPool& pool, ContractionStep& step) {
  std::shared_ptr<const detect::LiveMap> live;
  if (step.pruned) live = std::make_shared<const detect::LiveMap>(detect::scan(b, 1, step.panels.width(), 0, pool, {}, detect::scan_isa(p.target)));
  step.by_values = p.engine->pack({static_cast<const float*>(b.data)}, b.rows, b.columns, b.row_stride, b.column_stride, live, pool);
  step.weights = {step.by_values->data[0], static_cast<std::size_t>(step.by_values->bytes())};
}

}  // namespace

void pack_constant(const Program& p, const fuse::Group& group, const ThreadPool& pool, ContractionStep& step) {
  const detect::Values b = weight_values(p, group);
  if (step.looks_at_a || step.pruned) return pack_for_engine(p, b, pool, step);
  const Panels& panels = step.panels;
  const std::int64_t k = b.rows, size = sizeof(float);
  const MatrixB matrix{static_cast<const char*>(b.data), b.row_stride * size, b.column_stride * size};
  PackedWeights& w = step.weights;
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
}

}  // namespace pit::runtime
