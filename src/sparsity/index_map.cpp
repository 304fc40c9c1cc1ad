#include "sparsity/index_map.h"

#include <algorithm>
#include <map>
#include <optional>

namespace pit::sparsity {

using expr::Expr;
using expr::Fn;
using expr::Kind;

namespace {

/// constant part + sum of coefficient * axis
struct Linear {
  Position constant;
  std::map<expr::AxisId, std::int64_t> axes;
};

std::optional<Position> add(const Position& a, const Position& b) {
  if (a.is_constant()) return Position{b.dim, b.scale, a.offset + b.offset};
  if (b.is_constant() || a.dim == b.dim) {
    const std::int64_t scale = a.scale + (b.is_constant() ? 0 : b.scale);
    return Position{scale == 0 ? Dim{} : a.dim, scale, a.offset + b.offset};
  }
  return std::nullopt;
}

Position dim_position(const IndexContext& c, Dim d) {
  if (d.id < 0) return Position::at(1);
  if (const auto v = c.graph->dims.constant_value(d)) return Position::at(*v);
  return Position::of(d);
}

std::optional<Linear> linear(const IndexContext& c, const Expr& e) {
  switch (e->kind) {
    case Kind::literal: return Linear{Position::at(static_cast<std::int64_t>(e->number)), {}};
    case Kind::axis: return Linear{Position::at(0), {{e->id, 1}}};
    case Kind::extent: return Linear{dim_position(c, c.node->extents[static_cast<std::size_t>(e->id)]), {}};
    case Kind::param: {
      const auto& p = c.node->params[static_cast<std::size_t>(e->id)];
      if (const Dim* d = std::get_if<Dim>(&p)) return Linear{dim_position(c, *d), {}};
      const double v = std::get<double>(p);
      if (v != static_cast<double>(static_cast<std::int64_t>(v))) return std::nullopt;
      return Linear{Position::at(static_cast<std::int64_t>(v)), {}};
    }
    case Kind::call: break;
    default: return std::nullopt;
  }
  std::vector<Linear> args;
  for (const Expr& a : e->args) {
    auto l = linear(c, a);
    if (!l) return std::nullopt;
    args.push_back(std::move(*l));
  }
  auto scaled = [](Linear l, std::int64_t s) {
    l.constant = {s == 0 ? Dim{} : l.constant.dim, l.constant.scale * s, l.constant.offset * s};
    for (auto& [axis, k] : l.axes) k *= s;
    return l;
  };
  switch (e->fn) {
    case Fn::neg: return scaled(args[0], -1);
    case Fn::add:
    case Fn::sub: {
      const Linear b = e->fn == Fn::sub ? scaled(args[1], -1) : args[1];
      const auto sum = add(args[0].constant, b.constant);
      if (!sum) return std::nullopt;
      args[0].constant = *sum;
      for (const auto& [axis, k] : b.axes) args[0].axes[axis] += k;
      std::erase_if(args[0].axes, [](const auto& t) { return t.second == 0; });
      return args[0];
    }
    case Fn::mul:
      for (int i = 0; i < 2; ++i) {
        const Linear& factor = args[static_cast<std::size_t>(i)];
        if (factor.axes.empty() && factor.constant.is_constant()) {
          return scaled(args[static_cast<std::size_t>(1 - i)], factor.constant.offset);
        }
      }
      return std::nullopt;
    default: return std::nullopt;
  }
}

/// The value behind a chain of pure broadcasts and permutations of `v`, with the axes by which it is read.
void see_through_moves(const IndexContext& c, Lookup& l) {
  for (int guard = 0; guard < 16; ++guard) {
    const graph::Value& v = c.graph->values[static_cast<std::size_t>(l.value)];
    if (v.producer < 0) return;
    const graph::Node& n = c.graph->nodes[static_cast<std::size_t>(v.producer)];
    if (!n.opaque.empty() || n.program.statements.size() != 1 || !n.maybe_broadcast.empty() || n.inputs.size() != 1)
      return;
    const expr::Statement& s = n.program.statements[0];
    if (s.combiner != expr::Combiner::assign || s.value->kind != Kind::access || s.value->has_default) return;
    std::map<expr::AxisId, std::size_t> place;  // axis of the move -> dimension of its output
    for (std::size_t d = 0; d < s.out_index.size(); ++d) {
      const auto a = expr::bare_axis(s.out_index[d]);
      if (!a) return;
      place[*a] = d;
    }
    Lookup inner;
    inner.value = n.inputs[0];
    if (c.graph->values[static_cast<std::size_t>(inner.value)].dims.size() != s.value->args.size()) return;
    for (const Expr& e : s.value->args) {
      if (const auto a = expr::bare_axis(e)) {
        const std::size_t d = place.at(*a);
        inner.axes.push_back(l.axes[d]);
        inner.at.push_back(l.at[d]);
      } else if (e->kind == Kind::literal) {
        inner.axes.push_back(-1);
        inner.at.push_back(static_cast<std::int64_t>(e->number));
      } else {
        return;
      }
    }
    if (!c.known->at(static_cast<std::size_t>(inner.value))) return;
    l = std::move(inner);
  }
}

std::optional<std::int64_t> single_element(const Tensor& t) {
  if (t.size() != 1) return std::nullopt;
  if (t.dtype() == DType::i64) return *t.as<std::int64_t>();
  if (t.dtype() == DType::i32) return *t.as<std::int32_t>();
  return std::nullopt;
}

DimIndex lookup_index(const IndexContext& c, const Expr& e, Dim extent) {
  DimIndex r;
  r.axes = expr::axes_of(e);
  const ValueId value = c.tensor_values[static_cast<std::size_t>(e->id)];
  if (value < 0 || e->has_default || !c.known->at(static_cast<std::size_t>(value))) return r;
  const graph::Value& v = c.graph->values[static_cast<std::size_t>(value)];
  // A fixed place.
  std::optional<Position> fixed;
  if (v.is_constant()) {
    if (const auto i = single_element(v.constant)) fixed = Position::at(*i);
  } else if (v.has_elements && v.elements.size() == 1) {
    fixed = dim_position(c, v.elements[0]);
  }
  if (fixed) {
    if (fixed->is_constant() && fixed->offset < 0) fixed = add(dim_position(c, extent), *fixed);
    r.kind = DimIndex::Kind::point;
    r.start = *fixed;
    r.axes.clear();
    return r;
  }
  r.lookup.value = value;
  for (const Expr& i : e->args) {
    if (const auto a = expr::bare_axis(i)) {
      r.lookup.axes.push_back(*a);
      r.lookup.at.push_back(0);
      continue;
    }
    const auto l = linear(c, i);
    if (!l || !l->axes.empty() || !l->constant.is_constant()) return r;
    r.lookup.axes.push_back(-1);
    r.lookup.at.push_back(l->constant.offset);
  }
  see_through_moves(c, r.lookup);
  r.kind = DimIndex::Kind::lookup;
  r.axes.clear();
  for (int a : r.lookup.axes)
    if (a >= 0) r.axes.push_back(a);
  return r;
}

DimIndex classify(const IndexContext& c, const Expr& e, Dim extent) {
  DimIndex r;
  r.axes = expr::axes_of(e);
  if (const auto a = expr::bare_axis(e)) {
    r.kind = DimIndex::Kind::axis;
    return r;
  }
  if (e->kind == Kind::merge) {
    r.axes.clear();
    for (const Expr& a : e->args) {
      const auto axis = expr::bare_axis(a);
      if (!axis) {
        r.axes = expr::axes_of(e);
        return r;
      }
      r.axes.push_back(*axis);
    }
    r.kind = DimIndex::Kind::merge;
    return r;
  }
  if (e->kind == Kind::access) return lookup_index(c, e, extent);
  const auto l = linear(c, e);
  if (!l || l->axes.size() > 1) return r;
  r.start = l->constant;
  if (l->axes.empty()) {
    r.kind = DimIndex::Kind::point;
    return r;
  }
  r.step = l->axes.begin()->second;
  r.axes = {l->axes.begin()->first};
  r.kind = DimIndex::Kind::affine;
  return r;
}

}  // namespace

std::optional<Position> as_position(const IndexContext& c, const Expr& e) {
  const auto l = linear(c, e);
  if (!l || !l->axes.empty()) return std::nullopt;
  return l->constant;
}

IndexMap index_map(const IndexContext& c, expr::TensorId tensor, const std::vector<Expr>& indices, bool has_default,
                   std::vector<Dim> tensor_dims) {
  IndexMap map;
  map.tensor = std::move(tensor_dims);
  map.program = c.node->extents;
  std::vector<int> uses(map.program.size(), 0);
  for (std::size_t d = 0; d < map.tensor.size(); ++d) {
    DimIndex i = classify(c, indices[d], map.tensor[d]);
    const bool plain =
        i.kind == DimIndex::Kind::axis || i.kind == DimIndex::Kind::point || i.kind == DimIndex::Kind::merge;
    if (has_default && !plain) {
      i = DimIndex{};
      i.axes = expr::axes_of(indices[d]);
    }
    if (i.kind == DimIndex::Kind::unknown) map.exact = false;
    if (i.kind == DimIndex::Kind::axis || i.kind == DimIndex::Kind::affine || i.kind == DimIndex::Kind::merge) {
      for (expr::AxisId a : i.axes) {
        if (++uses[static_cast<std::size_t>(a)] > 1) map.exact = false;
      }
    }
    map.dims.push_back(std::move(i));
  }
  for (const auto& [input, dim] : c.node->maybe_broadcast) {
    if (c.tensor_values[static_cast<std::size_t>(tensor)] < 0) continue;
    int position = -1;
    for (std::size_t t = 0; t <= static_cast<std::size_t>(tensor); ++t) {
      position += c.node->program.tensors[t].role == expr::Role::input;
    }
    if (position == input && c.node->program.tensors[static_cast<std::size_t>(tensor)].role == expr::Role::input) {
      map.dims[static_cast<std::size_t>(dim)].maybe_broadcast = true;
    }
  }
  return map;
}

MaskId read_through(MaskProgram& p, const IndexMap& map, MaskId m, bool upper) {
  const int axes = static_cast<int>(map.program.size());
  if (p.is_everything(m)) return p.everything(map.program);
  if (p.is_nothing(m)) return p.nothing(map.program);
  // Masks over the dimensions, whose labels say where they go: a program axis, -1 (gone), or axes + i for the table of
  // lookup i.
  std::vector<int> labels;
  std::vector<const Lookup*> lookups;
  std::vector<Dim> tables;
  std::vector<char> used(static_cast<std::size_t>(axes), 0);
  auto reduce = [&](int position) { m = upper ? p.any(m, {position}) : p.all(m, {position}); };
  auto label_axis = [&](expr::AxisId a) {
    const int position = static_cast<int>(labels.size());
    if (used[static_cast<std::size_t>(a)] && !p.is_uniform(m, position)) reduce(position);
    labels.push_back(p.is_uniform(m, position) ? -1 : a);
    if (labels.back() >= 0) used[static_cast<std::size_t>(a)] = 1;
  };
  for (std::size_t d = 0; d < map.dims.size(); ++d) {
    const DimIndex& i = map.dims[d];
    const int position = static_cast<int>(labels.size());
    switch (i.kind) {
      case DimIndex::Kind::axis: label_axis(i.axes[0]); break;
      case DimIndex::Kind::point:
        if (!p.is_uniform(m, position)) m = p.window(m, position, i.start, 1, Dim{});
        if (!p.is_uniform(m, position)) reduce(position);  // one place, of which the formula says so in segments
        labels.push_back(-1);
        break;
      case DimIndex::Kind::affine:
        m = p.window(m, position, i.start, i.step, map.program[static_cast<std::size_t>(i.axes[0])]);
        label_axis(i.axes[0]);
        break;
      case DimIndex::Kind::merge: {
        std::vector<Dim> e;
        for (expr::AxisId a : i.axes) e.push_back(map.program[static_cast<std::size_t>(a)]);
        m = p.split(m, position, e);
        for (expr::AxisId a : i.axes) label_axis(a);
        break;
      }
      case DimIndex::Kind::lookup:
        if (p.is_uniform(m, position)) {
          labels.push_back(-1);
          break;
        }
        labels.push_back(axes + static_cast<int>(lookups.size()));
        lookups.push_back(&i.lookup);
        tables.push_back(map.tensor[d]);
        break;
      case DimIndex::Kind::unknown:
        reduce(position);
        labels.push_back(-1);
        break;
    }
  }
  std::vector<Dim> out = map.program;
  out.insert(out.end(), tables.begin(), tables.end());
  std::vector<int> order(out.size(), -1);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0) order[static_cast<std::size_t>(labels[i])] = static_cast<int>(i);
  }
  m = p.permute(m, order, out);
  while (!lookups.empty()) {
    out.pop_back();
    m = p.take(m, *lookups.back(), out);
    lookups.pop_back();
  }
  return m;
}

MaskId write_through(MaskProgram& p, const IndexMap& map, MaskId m, bool upper) {
  std::vector<char> used(map.program.size(), 0);
  if (p.is_nothing(m)) return p.nothing(map.tensor);
  const bool onto = std::all_of(map.dims.begin(), map.dims.end(), [](const DimIndex& i) {
    return i.kind == DimIndex::Kind::axis || i.kind == DimIndex::Kind::merge;
  });
  if (onto && p.is_everything(m)) return p.everything(map.tensor);
  // Axes that are read by a plain index stay; the others are gone after this ("or").
  std::vector<char> plain(map.program.size(), 0);
  for (const DimIndex& i : map.dims) {
    const bool keeps =
        i.kind == DimIndex::Kind::axis || i.kind == DimIndex::Kind::affine || i.kind == DimIndex::Kind::merge;
    for (expr::AxisId a : i.axes)
      if (keeps) plain[static_cast<std::size_t>(a)] = 1;
  }
  std::vector<int> lookup_axes;
  for (const DimIndex& i : map.dims) {
    if (i.kind != DimIndex::Kind::lookup) continue;
    for (expr::AxisId a : i.axes) lookup_axes.push_back(a);
  }
  std::vector<int> gone;
  for (int a = 0; a < static_cast<int>(map.program.size()); ++a) {
    if (!plain[static_cast<std::size_t>(a)] &&
        std::find(lookup_axes.begin(), lookup_axes.end(), a) == lookup_axes.end())
      gone.push_back(a);
  }
  m = p.any(m, gone);
  std::vector<int> table_axis(map.dims.size(), -1);
  int last_lookup = -1, next = static_cast<int>(map.program.size());
  for (std::size_t d = 0; d < map.dims.size(); ++d) {
    if (map.dims[d].kind == DimIndex::Kind::lookup) last_lookup = static_cast<int>(d);
  }
  for (std::size_t d = 0; d < map.dims.size(); ++d) {
    const DimIndex& i = map.dims[d];
    if (i.kind != DimIndex::Kind::lookup) continue;
    std::vector<int> reduced;
    if (static_cast<int>(d) == last_lookup) {
      for (int a : lookup_axes)
        if (!plain[static_cast<std::size_t>(a)]) reduced.push_back(a);
    }
    m = p.put(m, i.lookup, reduced, map.tensor[d]);
    table_axis[d] = next++;
  }
  std::vector<int> order;
  std::vector<Dim> e;
  const auto current = p.extents(m);
  auto keep = [&](int axis) {
    const bool again = axis < static_cast<int>(used.size()) && used[static_cast<std::size_t>(axis)];
    order.push_back(again || p.is_uniform(m, axis) ? -1 : axis);  // twice: true along the second one
    e.push_back(current[static_cast<std::size_t>(axis)]);
    if (axis < static_cast<int>(used.size())) used[static_cast<std::size_t>(axis)] = 1;
  };
  for (std::size_t d = 0; d < map.dims.size(); ++d) {
    const DimIndex& i = map.dims[d];
    switch (i.kind) {
      case DimIndex::Kind::axis:
      case DimIndex::Kind::affine: keep(i.axes[0]); break;
      case DimIndex::Kind::merge:
        for (expr::AxisId a : i.axes) keep(a);
        break;
      case DimIndex::Kind::lookup: keep(table_axis[d]); break;
      case DimIndex::Kind::point: order.push_back(-1), e.push_back(Dim{}); break;
      case DimIndex::Kind::unknown: order.push_back(-1), e.push_back(map.tensor[d]); break;
    }
  }
  m = p.permute(m, order, e);
  for (std::size_t d = 0; d < map.dims.size(); ++d) {
    const DimIndex& i = map.dims[d];
    const int position = static_cast<int>(d);
    switch (i.kind) {
      case DimIndex::Kind::axis:
        // Where the axis is the dimension, this changes nothing; a longer dimension has nothing behind it.
        if (i.maybe_broadcast) m = p.fit(m, position, map.tensor[d]);
        break;
      case DimIndex::Kind::point: m = p.place(m, position, i.start, 1, map.tensor[d], upper); break;
      case DimIndex::Kind::affine: m = p.place(m, position, i.start, i.step, map.tensor[d], upper); break;
      case DimIndex::Kind::merge: m = p.merge(m, position, static_cast<int>(i.axes.size()), map.tensor[d]); break;
      default: break;
    }
  }
  // Dims that are equal in fact, but not by name, take the tensor's.
  std::vector<int> same;
  for (std::size_t d = 0; d < map.dims.size(); ++d) same.push_back(static_cast<int>(d));
  return p.permute(m, same, map.tensor);
}

}  // namespace pit::sparsity
