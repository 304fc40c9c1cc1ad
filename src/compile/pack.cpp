#include "compile/pack.h"

#include <algorithm>

#include "support/check.h"

namespace pit::compile {

namespace {

std::int64_t value(const Program& p, graph::Dim d) {
  const auto c = p.graph.dims.constant_value(d);
  PIT_CHECK(c.has_value(), "a constant operand has a dimension that is not constant: {}", p.graph.dims.print(d));
  return *c;
}

// Where each matrix begins, in elements behind the first one.
std::vector<std::int64_t> matrix_offsets(const Program& p, const fuse::Group& group) {
  std::vector<std::int64_t> offsets = {0};
  for (const int axis : group.matrix_axes) {
    const std::int64_t stride = value(p, group.operands[1].strides[axis]);
    std::vector<std::int64_t> finer;
    for (const std::int64_t offset : offsets)
      for (std::int64_t i = 0; i < value(p, group.extents[axis]); ++i) finer.push_back(offset + i * stride);
    offsets = std::move(finer);
  }
  return offsets;
}

/// Steps of k that make an element lie apart in the constant: they are put beside each other, [k / steps][columns].
std::vector<std::vector<char>> elements_of(const detect::Values& b, int steps) {
  std::vector<std::vector<char>> matrices;
  for (const std::int64_t offset : b.batch_offsets) {
    std::vector<char> m(static_cast<std::size_t>(b.rows * b.columns));
    const char* const from = static_cast<const char*>(b.data) + offset;
    for (std::int64_t k = 0; k < b.rows; ++k) {
      char* const to = m.data() + k / steps * b.columns * steps + k % steps;
      for (std::int64_t n = 0; n < b.columns; ++n) to[n * steps] = from[k * b.row_stride + n * b.column_stride];
    }
    matrices.push_back(std::move(m));
  }
  return matrices;
}

}  // namespace

detect::Values weight_values(const Program& p, const fuse::Group& group) {
  const fuse::Operand& b = group.operands[1];
  detect::Values v;
  const Tensor& constant = p.graph.values[p.fusion.layouts[b.value].root].constant;
  v.dtype = constant.dtype();
  v.data = static_cast<const char*>(constant.data()) + value(p, b.base) * static_cast<std::int64_t>(size_of(v.dtype));
  v.batch_offsets = matrix_offsets(p, group);
  v.rows = value(p, group.extents[group.axes.k]), v.columns = value(p, group.extents[group.axes.n]);
  v.row_stride = value(p, b.strides[group.axes.k]), v.column_stride = value(p, b.strides[group.axes.n]);
  return v;
}

std::vector<std::int64_t> matrix_steps(const Program& p, const fuse::Group& group) {
  std::vector<std::int64_t> steps(group.axes.batch.size(), 0);
  std::int64_t step = 1;
  for (std::size_t i = steps.size(); i-- > 0;) {
    const int axis = group.axes.batch[i];
    if (std::find(group.matrix_axes.begin(), group.matrix_axes.end(), axis) == group.matrix_axes.end()) continue;
    steps[i] = step;
    step *= value(p, group.extents[axis]);
  }
  return steps;
}

void pack_weights(const Program& p, const fuse::Group& group, const ThreadPool& pool, ContractionStep& step) {
  const detect::Values b = weight_values(p, group);
  const contract::Engine& engine = *p.engine_of(group).engine;
  std::vector<const char*> matrices;
  if (const int steps = group.epilogue.types.steps(); steps > 1) {
    const auto elements = elements_of(b, steps);
    for (const std::vector<char>& m : elements) matrices.push_back(m.data());
    step.weights = engine.pack(matrices, b.rows / steps, step.panels, b.columns, 1, nullptr, pool);
    return;
  }
  for (const std::int64_t offset : b.batch_offsets)
    matrices.push_back(static_cast<const char*>(b.data) + offset * static_cast<std::int64_t>(size_of(b.dtype)));
  step.weights = engine.pack(matrices, b.rows, step.panels, b.row_stride, b.column_stride, step.live_b, pool);
}

}  // namespace pit::compile
