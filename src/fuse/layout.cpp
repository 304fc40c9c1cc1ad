#include "fuse/layout.h"

#include <algorithm>
#include <numeric>

#include "support/check.h"

namespace pit::fuse {

using expr::Expr;
using graph::DimTable;
using graph::Graph;
using graph::Node;

std::vector<Dim> strides_in_order(DimTable& t, const std::vector<Dim>& dims, const std::vector<int>& order) {
  std::vector<Dim> strides(dims.size());
  Dim step = t.constant(1);
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    strides[*it] = step;
    step = t.mul(step, dims[*it]);
  }
  return strides;
}

std::optional<AccessStrides> access_strides(DimTable& t, const std::vector<Expr>& index, const Layout& layout,
                                            const std::vector<Dim>& extents,
                                            const std::vector<std::variant<Dim, double>>& params) {
  AccessStrides r{layout.offset, std::vector<Dim>(extents.size(), t.constant(0))};
  for (std::size_t d = 0; d < index.size(); ++d) {
    if (index[d]->kind == expr::Kind::access) continue;
    std::optional<Affine> a = affine(t, index[d], extents, params);
    if (!a) return std::nullopt;
    r.base = t.add(r.base, t.mul(a->constant, layout.strides[d]));
    for (const auto& [axis, c] : a->coefficient) r.strides[axis] = t.add(r.strides[axis], t.mul(c, layout.strides[d]));
  }
  return r;
}

namespace {

// The stride of one output dimension, given the stride that every axis has in the input's storage.
std::optional<Dim> dimension_stride(DimTable& t, const Expr& index, const std::vector<Dim>& axis_stride,
                                    const std::vector<Dim>& extents) {
  if (index->kind == expr::Kind::literal) return t.constant(0);
  if (auto a = expr::bare_axis(index)) return axis_stride[*a];
  if (index->kind != expr::Kind::merge) return std::nullopt;
  // Merged axes form one dimension if each stride is the next one's times its extent (axes of extent 1 do not matter).
  std::optional<Dim> inner_stride;
  Dim span = t.constant(1);
  for (auto it = index->args.rbegin(); it != index->args.rend(); ++it) {
    const int a = (*it)->id;
    if ((*it)->kind != expr::Kind::axis) return std::nullopt;
    if (t.is_constant(extents[a], 1)) continue;
    if (!inner_stride) inner_stride = axis_stride[a];
    else if (!(axis_stride[a] == t.mul(*inner_stride, span))) return std::nullopt;
    span = t.mul(span, extents[a]);
  }
  return inner_stride ? inner_stride : std::optional<Dim>(t.constant(0));
}

bool each_axis_once(const std::vector<Expr>& index) {
  std::vector<int> seen;
  for (const Expr& e : index)
    for (int a : expr::axes_of(e)) {
      if (std::find(seen.begin(), seen.end(), a) != seen.end()) return false;
      seen.push_back(a);
    }
  return true;
}

bool is_pure_movement(const Node& n) {
  if (!n.opaque.empty() || n.program.statements.size() != 1 || n.inputs.size() != 1 || n.outputs.size() != 1)
    return false;
  const expr::Statement& s = n.program.statements[0];
  if (s.combiner != expr::Combiner::assign || s.value->kind != expr::Kind::access || s.value->has_default) return false;
  for (const Expr& i : s.value->args)
    if (i->kind == expr::Kind::access) return false;
  return each_axis_once(s.out_index);
}

}  // namespace

std::optional<Layout> view_of(Graph& g, const Node& n, const Layout& input) {
  if (!is_pure_movement(n) || input.root < 0) return std::nullopt;
  if (g.values[n.inputs[0]].dtype != g.values[n.outputs[0]].dtype) return std::nullopt;
  const expr::Statement& s = n.program.statements[0];
  Layout source = input;
  for (const auto& [operand, dim] : n.maybe_broadcast)
    source.strides[dim] = g.dims.select_eq(g.values[n.inputs[operand]].dims[dim], g.dims.constant(1),
                                           g.dims.constant(0), source.strides[dim]);
  auto a = access_strides(g.dims, s.value->args, source, n.extents, n.params);
  if (!a) return std::nullopt;
  Layout view{input.root, a->base, {}};
  for (const Expr& i : s.out_index) {
    auto stride = dimension_stride(g.dims, i, a->strides, n.extents);
    if (!stride) return std::nullopt;
    view.strides.push_back(*stride);
  }
  return view;
}

namespace {

// If the value's only user permutes its dimensions: that permutation as a storage order, so that the user's result is
// contiguous. Otherwise row-major.
std::vector<int> storage_order(const Graph& g, ValueId v,
                               const std::vector<std::vector<std::pair<NodeId, int>>>& users) {
  std::vector<int> order(g.values[v].dims.size());
  std::iota(order.begin(), order.end(), 0);
  if (users[v].size() != 1 || std::find(g.outputs.begin(), g.outputs.end(), v) != g.outputs.end()) return order;
  const Node& n = g.nodes[users[v][0].first];
  if (!is_pure_movement(n)) return order;
  const expr::Statement& s = n.program.statements[0];
  std::vector<int> permuted;
  for (const Expr& o : s.out_index) {
    auto axis = expr::bare_axis(o);
    if (!axis) return order;
    for (std::size_t d = 0; d < s.value->args.size(); ++d)
      if (expr::bare_axis(s.value->args[d]) == axis) permuted.push_back(static_cast<int>(d));
  }
  // The innermost dimension stays innermost: vectors are stored along it.
  if (permuted.size() != order.size() || permuted.empty() || permuted.back() != order.back()) return order;
  return permuted;
}

}  // namespace

std::vector<Layout> assign_layouts(Graph& g, const std::set<ValueId>& materialised, std::vector<char>* is_view_node) {
  const auto users = g.users();
  std::vector<Layout> layouts(g.values.size());
  is_view_node->assign(g.nodes.size(), 0);
  auto materialise = [&](ValueId v) {
    layouts[v] = Layout{v, g.dims.constant(0), strides_in_order(g.dims, g.values[v].dims, storage_order(g, v, users))};
  };
  auto row_major = [&](ValueId v) {
    std::vector<int> order(g.values[v].dims.size());
    std::iota(order.begin(), order.end(), 0);
    layouts[v] = Layout{v, g.dims.constant(0), strides_in_order(g.dims, g.values[v].dims, order)};
  };
  for (ValueId v = 0; v < static_cast<ValueId>(g.values.size()); ++v)
    if (g.values[v].producer < 0) row_major(v);
  for (NodeId n = 0; n < static_cast<NodeId>(g.nodes.size()); ++n) {
    Node& node = g.nodes[n];
    const bool reaches_output = std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) {
      return std::find(g.outputs.begin(), g.outputs.end(), v) != g.outputs.end();
    });
    if (!reaches_output && node.inputs.size() == 1 && !materialised.count(node.outputs[0])) {
      if (auto view = view_of(g, node, layouts[node.inputs[0]])) {
        layouts[node.outputs[0]] = *view;
        (*is_view_node)[n] = 1;
        continue;
      }
    }
    for (ValueId v : node.outputs) node.opaque.empty() ? materialise(v) : row_major(v);
  }
  return layouts;
}

bool is_contiguous(DimTable& t, const Layout& l, const std::vector<Dim>& dims) {
  if (!t.is_constant(l.offset, 0)) return false;
  Dim step = t.constant(1);
  for (std::size_t d = dims.size(); d-- > 0;) {
    if (!t.is_constant(dims[d], 1) && !(l.strides[d] == step)) return false;
    step = t.mul(step, dims[d]);
  }
  return true;
}

}  // namespace pit::fuse
