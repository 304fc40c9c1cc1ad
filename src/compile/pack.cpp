#include "compile/pack.h"

#include "support/check.h"

namespace pit::compile {

detect::Values weight_values(const Program& p, const fuse::Group& group) {
  const fuse::Operand& b = group.operands[1];
  const graph::DimTable& dims = p.graph.dims;
  auto value = [&](graph::Dim d) {
    auto c = dims.constant_value(d);
    PIT_CHECK(c.has_value(), "a constant operand has a dimension that is not constant: {}", dims.print(d));
    return *c;
  };
  detect::Values v;
  const Tensor& constant = p.graph.values[p.fusion.layouts[b.value].root].constant;
  v.dtype = constant.dtype();
  v.data = static_cast<const char*>(constant.data()) + value(b.base) * static_cast<std::int64_t>(size_of(v.dtype));
  v.rows = value(group.extents[group.axes.k]), v.columns = value(group.extents[group.axes.n]);
  v.row_stride = value(b.strides[group.axes.k]), v.column_stride = value(b.strides[group.axes.n]);
  return v;
}

void pack_weights(const Program& p, const fuse::Group& group, const ThreadPool& pool, ContractionStep& step) {
  const detect::Values b = weight_values(p, group);
  step.weights = p.engine_of(group).engine->pack({static_cast<const char*>(b.data)}, b.rows, step.panels, b.row_stride,
                                                 b.column_stride, step.live_b, pool);
}

}  // namespace pit::compile
