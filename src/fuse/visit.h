// What both directions over a schedule ask of a group: which statements of its nodes it runs, and how.
#pragma once

#include <algorithm>

#include "fuse/fuse.h"

namespace pit::fuse {

/// The statements [first, last) of node `n` that the group runs.
inline std::pair<int, int> statements_of(const graph::Graph& g, const Group& group, NodeId n) {
  if (n == group.nodes[0] && group.last >= 0) return {group.first, group.last};
  return {0, static_cast<int>(g.nodes[n].program.statements.size())};
}

/// The analysis' absorbing operand of a statement of `n`, if the kernel lets it absorb; else -1.
inline int absorbing_in(const graph::Graph& g, const sparsity::Analysis& a, const Group& group, NodeId n,
                        int statement) {
  if (group.kind != GroupKind::rows && group.kind != GroupKind::contraction) return -1;
  const int merged = group.first_statement.at(n) + statement - statements_of(g, group, n).first;
  const bool emitted = group.kind == GroupKind::contraction ? merged > 0 && group.epilogue.absorbing[merged - 1] >= 0
                                                            : group.absorbing[merged] >= 0;
  return emitted ? a.nodes[n].statements[statement].absorbing : -1;
}

/// The results that the group's kernel computes, over its axes: listed rows whole, or per segment of the columns.
inline sparsity::MaskId computed_by(const Group& group) {
  return group.live_columns.id >= 0 ? group.live_columns : group.live_rows;
}

/// Whether a statement of `n` reduces the group's axis.
inline bool reduces(const Group& group, NodeId n, const expr::Statement& s, int axis) {
  const std::vector<int>& axes = group.axis_of.at(n);
  const auto reduced = expr::reduced_axes(s);
  return axis >= 0 && std::any_of(reduced.begin(), reduced.end(), [&](expr::AxisId a) { return axes[a] == axis; });
}

/// The axis of `n` that is the group's axis.
inline int node_axis(const Group& group, NodeId n, int axis) {
  const std::vector<int>& axes = group.axis_of.at(n);
  return static_cast<int>(std::find(axes.begin(), axes.end(), axis) - axes.begin());
}

/// Whether a dimension of the access is indexed by the axis alone.
inline bool has_axis(const expr::Expr& access, int axis) {
  return std::any_of(access->args.begin(), access->args.end(),
                     [&](const expr::Expr& i) { return expr::bare_axis(i) == axis; });
}

}  // namespace pit::fuse
