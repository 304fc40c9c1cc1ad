// Operands of groups: which storage they address, and how far apart along every axis.
#include <algorithm>

#include "fuse/contraction.h"
#include "fuse/group.h"
#include "fuse/layout.h"
#include "support/check.h"

namespace pit::fuse {
namespace {

using expr::Expr;

bool resolve(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger, Operand& o) {
  o.value = group.tensor_value[o.access.tensor];
  PIT_CHECK(o.value >= 0, "an operand of a group is a temporary");
  const Layout layout = stretched_layout(g, layouts, o.value, merger);
  auto s = access_strides(g.dims, o.access.index, layout, group.extents, group.params);
  if (!s) {
    group.why = fmt::format("index of {} is not affine", group.program.tensors[o.access.tensor].name);
    return false;
  }
  o.base = s->base;
  o.strides = s->strides;
  for (std::size_t d = 0; d < o.access.index.size(); ++d) {
    o.lookup_extent.push_back(g.values[o.value].dims[d]);
    o.lookup_stride.push_back(layout.strides[d]);
  }
  return true;
}

// Whether the index of an access, or a lookup in it, moves with the axis.
lower::InnerAccess inner_access(graph::Graph& g, const Operand& o, int inner) {
  if (inner < 0 || g.dims.is_constant(o.strides[inner], 0)) return lower::InnerAccess::broadcast;
  if (g.dims.is_constant(o.strides[inner], 1)) return lower::InnerAccess::unit;
  return lower::InnerAccess::strided;
}

bool resolve_contraction(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger) {
  const auto c = contraction_in(group.program, group.program.statements[0]);
  PIT_CHECK(c.has_value(), "a contraction group does not start with a contraction");
  group.axes = c->axes;
  auto add = [&](const Expr& access, bool written) {
    Operand o;
    o.access = {access->id, access->args, lower::InnerAccess::unit, written,
                group.program.tensors[access->id].dtype.value_or(DType::f32)};
    group.operands.push_back(o);
  };
  add(c->a, false);
  add(c->b, false);
  const expr::Statement& last = group.program.statements.back();
  add(expr::access(last.out, last.out_index), true);
  for (std::size_t i = 0; i < 2; ++i)
    if (!resolve(g, group, layouts, merger, group.operands[i])) return false;
  if (!resolve(g, group, layouts, merger, group.operands[2])) return false;
  return true;
}

}  // namespace

Layout stretched_layout(graph::Graph& g, const std::vector<Layout>& layouts, ValueId v, const Merger& merger) {
  Layout l = layouts[v];
  for (const auto& [value, dim] : merger.maybe_broadcast())
    if (value == v)
      l.strides[dim] = g.dims.select_eq(g.values[v].dims[dim], g.dims.constant(1), g.dims.constant(0), l.strides[dim]);
  return l;
}

bool resolve_operands(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger) {
  group.operands.clear();
  if (group.kind == GroupKind::contraction) return resolve_contraction(g, group, layouts, merger);
  for (lower::Operand& access : lower::collect_operands(group.program)) {
    Operand o;
    o.access = access;
    if (group.tensor_value[access.tensor] < 0) {
      group.why = "a temporary is accessed like an operand";
      return false;
    }
    if (!resolve(g, group, layouts, merger, o)) return false;
    o.access.inner = inner_access(g, o, group.inner);
    group.operands.push_back(o);
  }
  return true;
}

lower::RowSpec row_spec(const Group& group, const CpuTarget& target) {
  lower::RowSpec spec;
  spec.name = "rows";
  spec.program = group.program;
  spec.roles.assign(group.program.axes.size(), lower::AxisRole::outer);
  if (group.inner >= 0) spec.roles[group.inner] = lower::AxisRole::inner;
  if (group.mid >= 0) spec.roles[group.mid] = lower::AxisRole::mid;
  for (const Operand& o : group.operands) spec.operands.push_back(o.access);
  spec.absorbing = group.absorbing;
  spec.lists_of_rows = group.readers.has_value();
  spec.target = target;
  return spec;
}

}  // namespace pit::fuse
