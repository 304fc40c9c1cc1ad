#include "sparsity/control.h"

#include <algorithm>
#include <cmath>

namespace pit::sparsity {

using expr::Combiner;
using expr::Expr;
using expr::Fn;
using expr::Kind;
using graph::Graph;
using graph::Node;
using graph::Value;
using graph::ValueId;

namespace {

// The cost bound is static: the product of the constant extents. Batch, positions, heads may multiply; a model dimension
// (hidden size, vocabulary) may not.
constexpr std::int64_t max_control_width = 16, max_leaf_width = 256;

bool is_float(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16; }

std::int64_t constant_width(const Graph& g, const Value& v) {
  std::int64_t w = 1;
  bool symbolic = false;
  for (graph::Dim d : v.dims) {
    if (const auto c = g.dims.constant_value(d)) w *= std::max<std::int64_t>(*c, 1);
    else symbolic = true;
  }
  return symbolic ? w : w / 16;  // a fixed size is paid once: position tables of mask constants
}

struct NodeView {
  const Graph& g;
  const Node& n;
  std::vector<ValueId> values;  // per tensor of the program; -1 for temporaries

  NodeView(const Graph& graph, const Node& node) : g(graph), n(node) {
    std::size_t in = 0, out = 0;
    for (const auto& t : n.program.tensors) {
      if (t.role == expr::Role::input) values.push_back(n.inputs[in++]);
      else values.push_back(t.role == expr::Role::output ? n.outputs[out++] : -1);
    }
  }
  const Value* value(const Expr& access) const {
    const ValueId v = values[static_cast<std::size_t>(access->id)];
    return v < 0 ? nullptr : &g.values[static_cast<std::size_t>(v)];
  }
  /// A float constant with more than one element: a weight or a table of data.
  bool is_weight(const Expr& access) const {
    const Value* v = value(access);
    return v && v->is_constant() && is_float(v->constant.dtype()) && v->constant.size() > 1;
  }
};

/// Contractions with weights and lookups in tables: the model proper begins here.
bool is_model_work(const NodeView& view) {
  bool found = false;
  for (const auto& s : view.n.program.statements) {
    const bool reduces = !expr::reduced_axes(s).empty();
    expr::for_each_access(s.value, [&](const Expr& a) {
      if (!view.is_weight(a)) return;
      if (reduces) found = true;
      for (const Expr& i : a->args) expr::for_each_access(i, [&](const Expr&) { found = true; });
    });
  }
  return found;
}

/// Functions that make masks of masks; anything else makes ordinary data.
bool is_mask_arithmetic(const NodeView& view, const Expr& e) {
  if (e->kind == Kind::call) {
    switch (e->fn) {
      case Fn::mul: case Fn::div:
        for (const Expr& a : e->args) if (a->kind == Kind::access && view.is_weight(a)) return false;
        break;
      case Fn::add: case Fn::sub: case Fn::neg: case Fn::min: case Fn::max: case Fn::select: case Fn::cast: case Fn::abs: break;
      case Fn::eq: case Fn::ne: case Fn::lt: case Fn::le: case Fn::gt: case Fn::ge: case Fn::logical_and: case Fn::logical_or:
      case Fn::logical_xor: case Fn::logical_not: case Fn::isinf: case Fn::isnan: break;
      default: return false;
    }
  }
  for (const Expr& a : e->args) if (!is_mask_arithmetic(view, a)) return false;
  return true;
}

bool makes_masks(const NodeView& view) {
  if (!view.n.opaque.empty()) return false;
  for (const auto& s : view.n.program.statements) {
    if (s.combiner == Combiner::product || s.combiner == Combiner::logsumexp) return false;
    if (!is_mask_arithmetic(view, s.value)) return false;
  }
  return true;
}

/// No infinity and no NaN comes out if none goes in.
bool keeps_finite(const NodeView& view, const std::vector<char>& finite, const Expr& e) {
  if (e->kind == Kind::literal) return std::isfinite(e->number);
  if (e->kind == Kind::access) {
    const ValueId v = view.values[static_cast<std::size_t>(e->id)];
    if (v < 0 || !finite[static_cast<std::size_t>(v)]) return false;
    return !e->has_default || keeps_finite(view, finite, e->args.back());
  }
  if (e->kind == Kind::call) {
    switch (e->fn) {
      case Fn::add: case Fn::sub: case Fn::mul: case Fn::neg: case Fn::min: case Fn::max: case Fn::abs: case Fn::cast: break;
      case Fn::select: return keeps_finite(view, finite, e->args[1]) && keeps_finite(view, finite, e->args[2]);
      case Fn::eq: case Fn::ne: case Fn::lt: case Fn::le: case Fn::gt: case Fn::ge: case Fn::logical_and: case Fn::logical_or:
      case Fn::logical_xor: case Fn::logical_not: case Fn::isinf: case Fn::isnan: return true;
      default: return false;
    }
    for (const Expr& a : e->args) if (!keeps_finite(view, finite, a)) return false;
  }
  return true;
}

bool is_finite(const Tensor& t) {
  if (!is_float(t.dtype())) return true;
  if (t.dtype() != DType::f32 || t.size() > (1 << 20)) return false;
  return std::all_of(t.as<float>(), t.as<float>() + t.size(), [](float x) { return std::isfinite(x); });
}

/// Facts of the expression follow exactly from those of its accesses.
bool is_exact(const NodeView& view, const Expr& e) {
  switch (e->kind) {
    case Kind::literal: return true;
    case Kind::access: {
      if (e->has_default || !view.value(e)) return false;
      for (const Expr& i : e->args) {
        if (i->kind == Kind::call && expr::axes_of(i).size() > 1) return false;
        // Computed places are known too, but then the result is as easily looked at.
        if (i->kind == Kind::access) return false;
        if (i->kind == Kind::call && (i->fn == Fn::mod || i->fn == Fn::floordiv)) return false;
      }
      return true;
    }
    case Kind::call: {
      const bool logic = e->fn == Fn::logical_and || e->fn == Fn::logical_or || e->fn == Fn::logical_not || e->fn == Fn::select;
      if (e->fn == Fn::cast) {
        // Of floats only the test for zero (to a boolean) survives.
        const Expr& x = e->args[0];
        const Value* from = x->kind == Kind::access ? view.value(x) : nullptr;
        if (!from) return false;
        if (is_float(from->dtype) && e->to != DType::b8 && !is_float(e->to)) return false;
      } else if (!logic) {
        return false;
      }
      for (const Expr& a : e->args) if (!is_exact(view, a)) return false;
      return true;
    }
    default: return false;
  }
}

bool is_seen_through(const NodeView& view) {
  if (!view.n.opaque.empty() || view.n.program.statements.empty()) return false;
  for (const auto& s : view.n.program.statements) {
    if (s.combiner != Combiner::assign || !is_exact(view, s.value)) return false;
    for (const Expr& i : s.out_index) if (i->kind == Kind::access) return false;
  }
  return true;
}

}  // namespace

Known classify(const Graph& g) {
  Known k;
  const std::size_t count = g.values.size();
  k.known.assign(count, 0);
  k.leaf.assign(count, 0);
  k.control.assign(count, 0);
  k.seen_through.assign(count, 0);
  k.finite.assign(count, 0);
  k.weight.assign(count, 1);
  for (std::size_t v = 0; v < count; ++v) {
    const Value& value = g.values[v];
    // A float input without a model dimension ([batch, sequence]) may be a mask as well.
    const bool small_input = !is_float(value.dtype) || (value.dims.size() <= 3 && constant_width(g, value) <= 1);
    const bool given = value.is_constant() || value.has_elements || (value.input >= 0 && small_input);
    k.known[v] = k.leaf[v] = given;
    k.control[v] = given && !value.is_constant();
    k.finite[v] = value.is_constant() ? value.constant.size() <= 4096 && is_finite(value.constant) : !is_float(value.dtype);
  }
  for (const Node& n : g.nodes) {
    if (n.removed) continue;
    const bool work = is_model_work(NodeView(g, n));
    for (ValueId v : n.inputs) if (!work) k.weight[static_cast<std::size_t>(v)] = 0;
    bool known = true, small = true, masks = true;
    for (ValueId v : n.inputs) {
      const auto i = static_cast<std::size_t>(v);
      known = known && k.known[i];
      small = small && (k.control[i] || g.values[i].is_constant());
      masks = masks && k.leaf[i];
    }
    if (!known) continue;
    if (work) continue;
    const NodeView view(g, n);
    const bool mask_making = makes_masks(view), seen = is_seen_through(view);
    for (ValueId v : n.outputs) {
      const auto i = static_cast<std::size_t>(v);
      const std::int64_t width = constant_width(g, g.values[i]);
      k.known[i] = 1;
      k.leaf[i] = k.leaf[i] || ((!is_float(g.values[i].dtype) || (mask_making && masks)) && width <= max_leaf_width);
      k.control[i] = small && width <= max_control_width;
      k.seen_through[i] = seen;
      bool finite = n.opaque.empty();
      for (const auto& s : n.program.statements) {
        finite = finite && s.combiner == Combiner::assign && keeps_finite(view, k.finite, s.value);
      }
      k.finite[i] = finite || !is_float(g.values[i].dtype);
    }
  }
  return k;
}

void mark_ancestors(const Graph& g, ValueId v, std::vector<char>& marked) {
  std::vector<ValueId> stack{v};
  while (!stack.empty()) {
    const auto i = static_cast<std::size_t>(stack.back());
    stack.pop_back();
    if (marked[i] || g.values[i].is_constant()) continue;
    marked[i] = 1;
    if (g.values[i].producer < 0) continue;
    for (ValueId in : g.nodes[static_cast<std::size_t>(g.values[i].producer)].inputs) stack.push_back(in);
  }
}

}  // namespace pit::sparsity
