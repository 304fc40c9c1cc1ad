#include "sparsity/control.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "sparsity/governed.h"

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

// The cost bound is static: the product of the constant extents. Batch, positions, heads may multiply; a model
// dimension (hidden size, vocabulary) may not.
constexpr std::int64_t kMaxControlWidth = 16, kMaxLeafWidth = 256;
/// A wider input is looked at if each of its elements decides about so many others: a mask of heads by queries by keys does.
constexpr double kWorthwhile = 4;

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

  NodeView(const Graph& graph, const Node& node) : g(graph), n(node), values(graph::tensor_values(node)) {}
  const Value* value(const Expr& access) const {
    const ValueId v = values[static_cast<std::size_t>(access->id)];
    return v < 0 ? nullptr : &g.values[static_cast<std::size_t>(v)];
  }
  /// A float constant with more than one element, or many numbers of a type that weights are quantised to: a weight or a
  /// table of data.
  bool is_weight(const Expr& access) const {
    constexpr std::int64_t many = 4096;
    const Value* v = value(access);
    if (!v || !v->is_constant()) return false;
    const DType t = v->constant.dtype();
    const bool quantised = t == DType::i8 || t == DType::u8 || t == DType::i32;
    return v->constant.size() > (is_float(t) ? 1 : quantised ? many : std::numeric_limits<std::int64_t>::max());
  }
};

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
      case Fn::mul:
      case Fn::div:
        for (const Expr& a : e->args)
          if (a->kind == Kind::access && view.is_weight(a)) return false;
        break;
      case Fn::add:
      case Fn::sub:
      case Fn::neg:
      case Fn::min:
      case Fn::max:
      case Fn::select:
      case Fn::cast:
      case Fn::abs: break;
      default:
        if (!gives_truth(e->fn)) return false;
    }
  }
  for (const Expr& a : e->args)
    if (!is_mask_arithmetic(view, a)) return false;
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

double bound_of_type(DType t) { return t == DType::b8 ? 1 : is_float(t) ? HUGE_VAL : 0x1p63; }

/// A bound of the expression's size from those of what it reads.
double bound_of(const NodeView& view, const std::vector<double>& bounds, const Expr& e) {
  if (e->kind == Kind::literal) return std::isnan(e->number) ? HUGE_VAL : std::abs(e->number);
  if (e->kind == Kind::axis || e->kind == Kind::extent) return 0x1p63;
  if (e->kind == Kind::access) {
    const ValueId v = view.values[static_cast<std::size_t>(e->id)];
    const double b = v < 0 ? HUGE_VAL : bounds[static_cast<std::size_t>(v)];
    return e->has_default ? std::max(b, bound_of(view, bounds, e->args.back())) : b;
  }
  if (e->kind != Kind::call) return HUGE_VAL;
  std::vector<double> x;
  for (const Expr& a : e->args) x.push_back(bound_of(view, bounds, a));
  switch (e->fn) {
    case Fn::add:
    case Fn::sub: return x[0] + x[1];
    case Fn::mul: return std::isinf(x[0]) || std::isinf(x[1]) ? HUGE_VAL : x[0] * x[1];
    case Fn::neg:
    case Fn::abs: return x[0];
    case Fn::cast: return std::min(x[0], bound_of_type(e->to));
    case Fn::min:
    case Fn::max: return std::max(x[0], x[1]);
    case Fn::select: return std::max(x[1], x[2]);
    default: return gives_truth(e->fn) ? 1 : HUGE_VAL;
  }
}

double bound_of(const Tensor& t) {
  constexpr std::int64_t most = 1 << 20;
  if (t.dtype() != DType::f32 || t.size() > most) return bound_of_type(t.dtype());
  double b = 0;
  for (std::int64_t i = 0; i < t.size(); ++i)
    b = std::isnan(t.as<float>()[i]) ? HUGE_VAL : std::max(b, std::abs(static_cast<double>(t.as<float>()[i])));
  return b;
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
      const bool logic =
          e->fn == Fn::logical_and || e->fn == Fn::logical_or || e->fn == Fn::logical_not || e->fn == Fn::select;
      if (e->fn == Fn::cast) {
        const Expr& x = e->args[0];
        const Value* from = x->kind == Kind::access ? view.value(x) : nullptr;
        if (!from || !cast_keeps_truth(from->dtype, e->to)) return false;
      } else if (!logic) {
        return false;
      }
      for (const Expr& a : e->args)
        if (!is_exact(view, a)) return false;
      return true;
    }
    default: return false;
  }
}

bool is_seen_through(const NodeView& view) {
  if (!view.n.opaque.empty() || view.n.program.statements.empty()) return false;
  for (const auto& s : view.n.program.statements) {
    if (s.combiner != Combiner::assign || !is_exact(view, s.value)) return false;
    for (const Expr& i : s.out_index)
      if (i->kind == Kind::access) return false;
  }
  return true;
}

}  // namespace

bool is_model_work(const Graph& g, const Node& n) { return is_model_work(NodeView(g, n)); }

bool gives_truth(Fn f) {
  switch (f) {
    case Fn::eq:
    case Fn::ne:
    case Fn::lt:
    case Fn::le:
    case Fn::gt:
    case Fn::ge:
    case Fn::logical_and:
    case Fn::logical_or:
    case Fn::logical_xor:
    case Fn::logical_not:
    case Fn::isinf:
    case Fn::isnan: return true;
    default: return false;
  }
}

bool cast_keeps_truth(std::optional<DType> from, DType to) {
  if (to == DType::b8 || from == DType::b8) return true;
  if (!from) return false;
  if (is_float(to)) return !is_float(*from) || size_of(to) >= size_of(*from);
  return !is_float(*from) && size_of(to) >= size_of(*from);
}

Known classify(const Graph& g) {
  Known k;
  const std::size_t count = g.values.size();
  k.known.assign(count, 0);
  k.leaf.assign(count, 0);
  k.control.assign(count, 0);
  k.seen_through.assign(count, 0);
  k.bound.assign(count, HUGE_VAL);
  k.weight.assign(count, 1);
  std::optional<Governed> governed;
  const auto is_wide = [&](ValueId v) {
    if (constant_width(g, g.values[static_cast<std::size_t>(v)]) <= kMaxLeafWidth) return false;
    if (!governed) governed.emplace(g);
    return !governed->by(v, kWorthwhile);
  };
  for (std::size_t v = 0; v < count; ++v) {
    const Value& value = g.values[v];
    // A float input without a model dimension ([batch, sequence]) may be a mask as well.
    const bool small_input = !is_float(value.dtype) || (value.dims.size() <= 3 && constant_width(g, value) <= 1);
    const bool given = value.is_constant() || value.has_elements || (value.input >= 0 && small_input);
    k.known[v] = k.leaf[v] = given;
    k.control[v] = given && !value.is_constant();
    if (value.input >= 0 && given && is_wide(static_cast<ValueId>(v))) k.leaf[v] = 0;
    if (!value.is_constant()) k.bound[v] = bound_of_type(value.dtype);
  }
  for (const Node& n : g.nodes) {
    if (n.removed) continue;
    const bool work = is_model_work(NodeView(g, n));
    for (ValueId v : n.inputs) {
      const auto i = static_cast<std::size_t>(v);
      if (work) continue;
      // weights are many, and nobody asks
      if (k.weight[i] && g.values[i].is_constant()) k.bound[i] = bound_of(g.values[i].constant);
      k.weight[i] = 0;
    }
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
      k.leaf[i] = k.leaf[i] || ((!is_float(g.values[i].dtype) || (mask_making && masks)) && width <= kMaxLeafWidth);
      k.control[i] = small && width <= kMaxControlWidth;
      k.seen_through[i] = seen;
      double bound = n.opaque.empty() ? 0 : HUGE_VAL;
      for (const auto& s : n.program.statements)
        bound = s.combiner == Combiner::assign ? std::max(bound, bound_of(view, k.bound, s.value)) : HUGE_VAL;
      k.bound[i] = std::min(bound, bound_of_type(g.values[i].dtype));
    }
  }
  return k;
}

void mark_ancestors(const Graph& g, const std::vector<std::vector<ValueId>>& extent_inputs, ValueId v,
                    std::vector<char>& marked) {
  std::vector<ValueId> stack{v};
  while (!stack.empty()) {
    const auto i = static_cast<std::size_t>(stack.back());
    stack.pop_back();
    if (marked[i] || g.values[i].is_constant()) continue;
    marked[i] = 1;
    if (g.values[i].producer < 0) continue;
    const auto n = static_cast<std::size_t>(g.values[i].producer);
    stack.insert(stack.end(), g.nodes[n].inputs.begin(), g.nodes[n].inputs.end());
    stack.insert(stack.end(), extent_inputs[n].begin(), extent_inputs[n].end());
  }
}

}  // namespace pit::sparsity
