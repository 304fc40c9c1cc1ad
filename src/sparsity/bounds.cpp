#include "sparsity/bounds.h"

#include <algorithm>
#include <limits>

#include "expr/scalar.h"

namespace pit::sparsity {

using expr::Expr;
using expr::Fn;
using expr::Kind;
using graph::Dim;
using graph::Graph;
using graph::Node;
using graph::Value;
using graph::ValueId;

namespace {

constexpr std::int64_t kMaxScanned = 1 << 20;
/// Beyond this, integer arithmetic might wrap: no bound.
constexpr std::int64_t kFar = std::int64_t{1} << 40;

template <class T>
Interval scan(const Tensor& t) {
  if (t.size() == 0 || t.size() > kMaxScanned) return {};
  const auto [low, high] = std::minmax_element(t.as<T>(), t.as<T>() + t.size());
  return {static_cast<std::int64_t>(*low), static_cast<std::int64_t>(*high)};
}

Interval of_constant(const Tensor& t) {
  switch (t.dtype()) {
    case DType::i64: return scan<std::int64_t>(t);
    case DType::i32: return scan<std::int32_t>(t);
    case DType::u8:
    case DType::b8: return scan<std::uint8_t>(t);
    default: return {};
  }
}

Interval of_dim(const Graph& g, Dim d) {
  if (const auto c = g.dims.constant_value(d)) return {*c, *c};
  if (g.dims.at_least(d, 0)) return {0, std::nullopt};
  return {};
}

std::optional<std::int64_t> sum(std::optional<std::int64_t> a, std::optional<std::int64_t> b) {
  if (!a || !b || *a > kFar || *a < -kFar || *b > kFar || *b < -kFar) return std::nullopt;
  return *a + *b;
}

Interval negated(const Interval& a) {
  Interval r;
  if (a.high && *a.high > -kFar) r.low = -*a.high;
  if (a.low && *a.low < kFar) r.high = -*a.low;
  return r;
}

Interval product(const Interval& a, const Interval& b) {
  const auto small = [](std::optional<std::int64_t> v) { return !v || *v < (1 << 20); };
  if (!small(a.low) || !small(a.high) || !small(b.low) || !small(b.high)) return {};
  if (a.low && b.low && *a.low >= 0 && *b.low >= 0) {
    Interval r{*a.low * *b.low, std::nullopt};
    if (a.high && b.high) r.high = *a.high * *b.high;
    return r;
  }
  return {};
}

Interval joined(const Interval& a, const Interval& b) {
  Interval r;
  if (a.low && b.low) r.low = std::min(*a.low, *b.low);
  if (a.high && b.high) r.high = std::max(*a.high, *b.high);
  return r;
}

Interval truth_of(std::optional<bool> t) { return t ? Interval{*t, *t} : Interval{0, 1}; }

}  // namespace

Bounds::Bounds(const Graph& g) : g_(g), values_(g.values.size()) {
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const Value& value = g.values[v];
    if (value.is_constant()) {
      values_[v] = of_constant(value.constant);
    } else if (value.has_elements && !value.elements.empty()) {
      values_[v] = of_dim(g, value.elements[0]);
      for (Dim d : value.elements) values_[v] = joined(values_[v], of_dim(g, d));
    }
  }
  for (const Node& n : g.nodes) {
    if (n.removed || !n.opaque.empty() || n.outputs.size() != 1) continue;
    const auto out = static_cast<std::size_t>(n.outputs[0]);
    if (g.values[out].dtype == DType::f32 || g.values[out].dtype == DType::f64 || g.values[out].dtype == DType::f16)
      continue;
    const std::vector<ValueId> values = graph::tensor_values(n);
    std::optional<Interval> all;
    for (const auto& s : n.program.statements) {
      const bool plain = s.combiner == expr::Combiner::assign &&
                         n.program.tensors[static_cast<std::size_t>(s.out)].role == expr::Role::output;
      const Interval i = plain ? of(n, values, s.value) : Interval{};
      all = all ? joined(*all, i) : i;
    }
    if (all) values_[out] = *all;
  }
}

Interval Bounds::of(const Node& n, const std::vector<ValueId>& values, const Expr& e) const {
  switch (e->kind) {
    case Kind::literal:
      if (const auto v = expr::as_integer(e->number)) return {*v, *v};
      return {};
    case Kind::axis: return {0, std::nullopt};
    case Kind::extent: return of_dim(g_, n.extents[static_cast<std::size_t>(e->id)]);
    case Kind::param: {
      const auto& p = n.params[static_cast<std::size_t>(e->id)];
      if (const Dim* d = std::get_if<Dim>(&p)) return of_dim(g_, *d);
      return {};
    }
    case Kind::access: {
      const ValueId v = values[static_cast<std::size_t>(e->id)];
      if (v < 0) return {};
      const Interval i = values_[static_cast<std::size_t>(v)];
      return e->has_default ? joined(i, of(n, values, e->args.back())) : i;
    }
    case Kind::call: return of_call(n, values, *e);
    default: return {};
  }
}

Interval Bounds::of_call(const Node& n, const std::vector<ValueId>& values, const expr::Node& e) const {
  std::vector<Interval> x;
  for (const Expr& a : e.args) x.push_back(of(n, values, a));
  auto below = [](const Interval& a, const Interval& b) { return a.high && b.low && *a.high < *b.low; };
  auto at_most = [](const Interval& a, const Interval& b) { return a.high && b.low && *a.high <= *b.low; };
  auto decide = [](bool yes, bool no) {
    return truth_of(yes ? std::optional<bool>(true) : no ? std::optional<bool>(false) : std::nullopt);
  };
  auto surely = [](const Interval& i) { return i.low && *i.low > 0; };
  auto never = [](const Interval& i) { return i.low && i.high && *i.low == 0 && *i.high == 0; };
  switch (e.fn) {
    case Fn::add: return {sum(x[0].low, x[1].low), sum(x[0].high, x[1].high)};
    case Fn::sub: {
      const Interval b = negated(x[1]);
      return {sum(x[0].low, b.low), sum(x[0].high, b.high)};
    }
    case Fn::neg: return negated(x[0]);
    case Fn::mul: return product(x[0], x[1]);
    case Fn::max: {
      Interval r{x[0].low, std::nullopt};
      if (x[1].low && (!r.low || *x[1].low > *r.low)) r.low = x[1].low;
      if (x[0].high && x[1].high) r.high = std::max(*x[0].high, *x[1].high);
      return r;
    }
    case Fn::min: {
      Interval r{std::nullopt, x[0].high};
      if (x[1].high && (!r.high || *x[1].high < *r.high)) r.high = x[1].high;
      if (x[0].low && x[1].low) r.low = std::min(*x[0].low, *x[1].low);
      return r;
    }
    case Fn::select: return joined(x[1], x[2]);
    case Fn::cast:
      if (e.to == DType::i64 || e.to == DType::i32)
        return x[0].low && *x[0].low >= -(1 << 30) && (!x[0].high || *x[0].high < (1 << 30)) ? x[0] : Interval{};
      if (e.to == DType::b8) return decide(surely(x[0]), never(x[0]));
      return {};
    case Fn::ge: return decide(at_most(x[1], x[0]), below(x[0], x[1]));
    case Fn::gt: return decide(below(x[1], x[0]), at_most(x[0], x[1]));
    case Fn::le: return decide(at_most(x[0], x[1]), below(x[1], x[0]));
    case Fn::lt: return decide(below(x[0], x[1]), at_most(x[1], x[0]));
    case Fn::logical_and: return decide(surely(x[0]) && surely(x[1]), never(x[0]) || never(x[1]));
    case Fn::logical_or: return decide(surely(x[0]) || surely(x[1]), never(x[0]) && never(x[1]));
    case Fn::logical_not: return decide(never(x[0]), surely(x[0]));
    default: return {};
  }
}

std::optional<bool> Bounds::truth(ValueId v) const {
  if (g_.values[static_cast<std::size_t>(v)].dtype != DType::b8) return std::nullopt;
  const Interval& i = values_[static_cast<std::size_t>(v)];
  if (i.low && *i.low > 0) return true;
  if (i.high && *i.high == 0) return false;
  return std::nullopt;
}

}  // namespace pit::sparsity
