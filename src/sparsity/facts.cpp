#include "sparsity/facts.h"

#include <algorithm>
#include <cmath>

#include "graph/numeric.h"
#include "sparsity/control.h"
#include "support/check.h"

namespace pit::sparsity {

using expr::Combiner;
using expr::Expr;
using expr::Fn;
using expr::Kind;

namespace {

// As the predicates of mask.h: what lies between is neither masked nor surely not.
constexpr double kMaskedBelow = -9900, kModerateUpTo = 1000, kTameUpTo = 1e20, kAbsorbedBelow = -1e30;
/// The smallest factor that leaves a mask a mask.
constexpr double kLeastScale = 0.05;
/// Constants beyond this size are tables of ordinary data: not scanned for mask values.
constexpr std::int64_t kMaxScanned = std::int64_t{1} << 22;

bool is_float(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16; }

/// All elements are moderate: one vectorised pass.
bool is_ordinary(const Tensor& t) {
  if (t.dtype() != DType::f32) return false;
  const float* x = t.as<float>();
  bool odd = false;
  for (std::int64_t i = 0; i < t.size() && !odd; i += 4096) {
    const std::int64_t end = std::min(t.size(), i + 4096);
    std::uint32_t found = 0;
    for (std::int64_t j = i; j < end; ++j) found |= static_cast<std::uint32_t>(!(std::fabs(x[j]) <= 1000.0F));
    odd = found != 0;
  }
  return !odd;
}

/// The element of a constant that an access with fixed indices reads.
std::optional<double> element(const Tensor& t, const Expr& access) {
  if (access->has_default || access->args.size() != t.shape().size()) return std::nullopt;
  std::int64_t at = 0;
  for (std::size_t d = 0; d < access->args.size(); ++d) {
    const Expr& i = access->args[d];
    if (i->kind != Kind::literal || i->number < 0 || i->number >= static_cast<double>(t.shape()[d]))
      return std::nullopt;
    at = at * t.shape()[d] + static_cast<std::int64_t>(i->number);
  }
  return graph::read_double(t, at);
}

/// The factors of `e` that are tensor elements; -1 if it is no product.
int tensor_factors(const Expr& e) {
  if (e->kind == Kind::access) return 1;
  if (e->kind == Kind::literal || e->kind == Kind::param) return 0;
  if (e->kind != Kind::call || e->fn != Fn::mul) return -1;
  const int a = tensor_factors(e->args[0]), b = tensor_factors(e->args[1]);
  return a < 0 || b < 0 ? -1 : a + b;
}

/// Every fact mapped. Most of them are "everything" or "nothing": those are mapped once.
template <class F>
Facts each(MaskProgram& p, const Facts& f, F&& map) {
  MaskId all{}, none{};
  auto once = [&](MaskId m, bool upper) {
    MaskId* cache = p.is_everything(m) && upper ? &all : p.is_nothing(m) ? &none : nullptr;
    if (!cache) return map(m, upper);
    if (cache->id < 0) *cache = map(m, upper);
    return *cache;
  };
  return {once(f.nonzero, true), once(f.live, true),     once(f.sure, false),
          once(f.tame, false),   once(f.absorbs, false), once(f.minus_infinity, false),
          once(f.nan, false),    once(f.truth, false),   once(f.one, false)};
}

}  // namespace

Facts ordinary(MaskProgram& p, const std::vector<Dim>& e) {
  const MaskId all = p.everything(e), none = p.nothing(e);
  return {.nonzero = all,
          .live = all,
          .sure = all,
          .tame = all,
          .absorbs = none,
          .minus_infinity = none,
          .nan = none,
          .truth = none,
          .one = none};
}

Facts unknown(MaskProgram& p, const std::vector<Dim>& e, DType t) {
  Facts f = ordinary(p, e);
  if (t != DType::b8) f.sure = f.tame = p.nothing(e);
  return f;
}

Facts leaf_facts(MaskProgram& p, const graph::Graph& g, ValueId v, const Known& known) {
  const graph::Value& value = g.values[static_cast<std::size_t>(v)];
  Facts f = ordinary(p, value.dims);
  f.nonzero = f.truth = p.leaf(v, Predicate::nonzero);
  if (value.dtype == DType::b8) return f;
  // What the predicates imply of each other is spelt out, so that formulas see it.
  f.sure = p.leaf(v, Predicate::moderate);
  f.live = p.or_(p.leaf(v, Predicate::not_masked), f.sure);
  const double bound = known.bound[static_cast<std::size_t>(v)];
  if (bound > kTameUpTo) f.tame = f.sure;
  if (bound < -kAbsorbedBelow) return f;
  f.absorbs = p.and_(p.leaf(v, Predicate::absorbing), p.not_(f.live));
  if (std::isfinite(bound)) return f;
  f.minus_infinity = p.leaf(v, Predicate::minus_infinity);
  f.nan = p.leaf(v, Predicate::nan);
  return f;
}

bool reads_like_zeros(const Tensor& t) { return t.size() != 1 && (t.size() > kMaxScanned || is_ordinary(t)); }

Facts constant_facts(MaskProgram& p, const graph::Graph& g, ValueId v, const Known& known) {
  const graph::Value& value = g.values[static_cast<std::size_t>(v)];
  if (value.constant.size() > kMaxScanned) return unknown(p, value.dims, value.dtype);
  if (value.constant.size() != 1 && is_ordinary(value.constant)) return ordinary(p, value.dims);
  Facts f = leaf_facts(p, g, v, known);
  if (!is_float(value.dtype)) return f;
  // Accidental zeros of weights are not a pattern; a mask constant keeps its own.
  if (value.constant.size() != 1) f.nonzero = p.everything(value.dims), f.truth = p.nothing(value.dims);
  return f;
}

ProgramFacts::ProgramFacts(MaskProgram p, const IndexContext& c, const std::vector<Facts>& values)
    : p_(std::move(p)), c_(c), axes_(c.node->extents), ordinary_(ordinary(p_, axes_)) {
  const expr::Program& program = c.node->program;
  dims_.resize(program.tensors.size());
  tensors_.resize(program.tensors.size());
  std::vector<char> written(program.tensors.size(), 0);
  std::size_t output = 0;
  for (std::size_t t = 0; t < program.tensors.size(); ++t) {
    if (program.tensors[t].role == expr::Role::input) {
      const ValueId v = c.tensor_values[t];
      dims_[t] = c.graph->values[static_cast<std::size_t>(v)].dims;
      tensors_[t] = values[static_cast<std::size_t>(v)];
    } else if (program.tensors[t].role == expr::Role::output) {
      dims_[t] = c.graph->values[static_cast<std::size_t>(c.node->outputs[output++])].dims;
    }
  }
  for (const expr::Statement& s : program.statements) {
    const auto t = static_cast<std::size_t>(s.out);
    if (program.tensors[t].role != expr::Role::temp || !dims_[t].empty()) continue;
    for (const Expr& i : s.out_index) {
      const auto a = expr::bare_axis(i);
      if (!a && i->kind != Kind::literal) analysable_ = false;
      dims_[t].push_back(a ? axes_[static_cast<std::size_t>(*a)] : Dim{});
    }
  }
  if (!analysable_) return;
  for (const expr::Statement& s : program.statements) {
    const auto t = static_cast<std::size_t>(s.out);
    const IndexMap map = map_of(s);
    for (const DimIndex& i : map.dims)
      widened_ = widened_ || i.kind == DimIndex::Kind::unknown || i.kind == DimIndex::Kind::lookup;
    if (widened_) {  // computed places of writing: which elements they are is not followed
      tensors_[t] = ordinary(p_, dims_[t]);
      tensors_[t].sure = tensors_[t].tame = p_.nothing(dims_[t]);
      written[t] = 1;
      continue;
    }
    enter(s);
    Facts f = reduced(s, of(s.value));
    f = each(p_, f, [&](MaskId m, bool upper) { return write_through(p_, map, m, upper); });
    if (written[t]) {
      const Facts& o = tensors_[t];
      f = {p_.or_(o.nonzero, f.nonzero), p_.or_(o.live, f.live),       p_.or_(o.sure, f.sure),
           p_.or_(o.tame, f.tame),       p_.or_(o.absorbs, f.absorbs), p_.or_(o.minus_infinity, f.minus_infinity),
           p_.or_(o.nan, f.nan),         p_.or_(o.truth, f.truth),     p_.or_(o.one, f.one)};
    }
    tensors_[t] = f;
    written[t] = 1;
  }
}

void ProgramFacts::enter(const expr::Statement& s) {
  skips_ = s.combiner == Combiner::sum;
  memo_.clear();
}

std::optional<DType> ProgramFacts::type_of(const Expr& e) const {
  if (e->kind != Kind::access || value_of(e) < 0) return std::nullopt;
  return c_.graph->values[static_cast<std::size_t>(value_of(e))].dtype;
}

ValueId ProgramFacts::value_of(const Expr& e) const { return c_.tensor_values[static_cast<std::size_t>(e->id)]; }

bool ProgramFacts::is_given(const Expr& e) const {
  if (e->kind != Kind::access) return false;
  const graph::Graph& g = *c_.graph;
  for (ValueId v = value_of(e); v >= 0;) {
    const graph::Value& value = g.values[static_cast<std::size_t>(v)];
    if (value.producer < 0) return !value.is_constant() && !c_.known->at(static_cast<std::size_t>(v));
    const graph::Node& n = g.nodes[static_cast<std::size_t>(value.producer)];
    const bool moves = n.program.statements.size() == 1 && n.program.statements[0].value->kind == Kind::access;
    if (!n.opaque.empty() || !moves || n.inputs.empty()) return false;
    v = n.inputs[0];  // of what only moves elements, indices come behind them
  }
  return false;
}

IndexMap ProgramFacts::map_of(const Expr& e) const {
  std::vector<Expr> indices(e->args.begin(), e->args.end() - (e->has_default ? 1 : 0));
  return index_map(c_, e->id, indices, e->has_default, dims_[static_cast<std::size_t>(e->id)]);
}

IndexMap ProgramFacts::map_of(const expr::Statement& s) const {
  return index_map(c_, s.out, s.out_index, false, dims_[static_cast<std::size_t>(s.out)]);
}

const Facts& ProgramFacts::of(const Expr& e) {
  if (auto it = memo_.find(e.get()); it != memo_.end()) return it->second;
  keep_alive_.push_back(e);
  Facts f = compute(e);
  return memo_[e.get()] = f;
}

Facts ProgramFacts::literal(double v) {
  Facts f = ordinary_;
  const MaskId all = ordinary_.nonzero, none = ordinary_.absorbs;
  f.nonzero = f.truth = v != 0 ? all : none;
  f.live = v <= kMaskedBelow ? none : all;
  f.sure = std::abs(v) <= kModerateUpTo ? all : none;
  f.tame = std::abs(v) <= kTameUpTo ? all : none;
  f.absorbs = v <= kAbsorbedBelow ? all : none;
  f.minus_infinity = v == -HUGE_VAL ? all : none;
  f.nan = std::isnan(v) ? all : none;
  f.one = v == 1 ? all : none;
  return f;
}

Facts ProgramFacts::compute(const Expr& e) {
  switch (e->kind) {
    case Kind::literal: return literal(e->number);
    case Kind::param: {
      const auto& v = c_.node->params[static_cast<std::size_t>(e->id)];
      if (const double* d = std::get_if<double>(&v)) return literal(*d);
      return coordinate();
    }
    case Kind::access: return access(e);
    case Kind::call: return compute_call(*e);
    default: return coordinate();
  }
}

// A place or an extent used as a value: there is no saying how large it is.
Facts ProgramFacts::coordinate() const {
  Facts f = ordinary_;
  f.sure = f.absorbs;  // an integer: tame
  return f;
}

Facts ProgramFacts::access(const Expr& e) {
  if (!e->args.empty())
    if (const auto fixed = number(e)) return literal(*fixed);
  const IndexMap map = map_of(e);
  for (const DimIndex& i : map.dims) widened_ = widened_ || i.kind == DimIndex::Kind::unknown;
  Facts f = each(p_, tensor(e->id), [&](MaskId m, bool upper) { return read_through(p_, map, m, upper); });
  if (!e->has_default) return f;
  // What lies outside is the default.
  const Facts d = of(e->args.back());
  return {p_.or_(f.nonzero, d.nonzero), p_.or_(f.live, d.live),        p_.and_(f.sure, d.sure),
          p_.and_(f.tame, d.tame),      p_.and_(f.absorbs, d.absorbs), p_.and_(f.minus_infinity, d.minus_infinity),
          p_.and_(f.nan, d.nan),        p_.and_(f.truth, d.truth),     p_.and_(f.one, d.one)};
}

// Masks and moderate values: dead if either is dead.
Facts ProgramFacts::addition(const Facts& a, const Facts& b) {
  Facts f = ordinary_;
  f.nonzero = p_.or_(a.nonzero, b.nonzero);
  f.live = p_.and_(a.live, b.live);
  f.sure = p_.and_(a.sure, b.sure);
  f.tame = p_.and_(a.tame, b.tame);
  f.absorbs = p_.or_(a.absorbs, b.absorbs);
  f.minus_infinity = p_.or_(a.minus_infinity, b.minus_infinity);
  f.nan = p_.or_(a.nan, b.nan);
  return f;
}

// a - b: dead where a is, unless b is as low (X - max(X) of a fully masked row is 0); also where b is surely large.
Facts ProgramFacts::subtraction(const Expr& ea, const Expr& eb) {
  const Facts a = of(ea), b = of(eb);
  Facts f = ordinary_;
  f.nonzero = p_.or_(a.nonzero, b.nonzero);
  f.live = p_.or_(a.live, p_.not_(b.sure));
  f.sure = p_.and_(a.sure, b.sure);
  f.tame = p_.and_(a.tame, b.tame);
  f.nan = p_.or_(p_.or_(a.nan, b.nan), p_.and_(a.minus_infinity, b.minus_infinity));
  f.minus_infinity = p_.and_(a.minus_infinity, b.sure);
  if (number(ea) == 1.0) {  // the opposite of a truth that is a number
    f.one = f.truth = p_.not_(b.nonzero);
    f.nonzero = p_.not_(b.one);
  }
  const ValueId v = eb->kind == Kind::access ? value_of(eb) : -1;
  if (v < 0 || !c_.known->at(static_cast<std::size_t>(v)) ||
      !is_float(c_.graph->values[static_cast<std::size_t>(v)].dtype))
    return f;
  // `sure` of a known float is a leaf exactly where the analysis may look at its elements.
  if (p_.is_everything(b.sure) && p_.is_nothing(b.absorbs) &&
      !c_.graph->values[static_cast<std::size_t>(v)].is_constant())
    return f;
  if (c_.graph->values[static_cast<std::size_t>(v)].constant.size() > kMaxScanned) return f;
  const MaskId small = read_through(p_, map_of(eb), p_.leaf(v, Predicate::small_subtrahend), false);
  f.live = p_.and_(f.live, small);
  return f;
}

Facts ProgramFacts::selection(const Facts& c, const Facts& x, const Facts& y) {
  const MaskId may = c.nonzero, not_sure = p_.not_(c.truth), never = p_.not_(c.nonzero);
  auto upper = [&](MaskId a, MaskId b) { return p_.or_(p_.and_(may, a), p_.and_(not_sure, b)); };
  auto lower = [&](MaskId a, MaskId b) { return p_.and_(p_.or_(never, a), p_.or_(c.truth, b)); };
  return {upper(x.nonzero, y.nonzero), upper(x.live, y.live),       lower(x.sure, y.sure),
          lower(x.tame, y.tame),       lower(x.absorbs, y.absorbs), lower(x.minus_infinity, y.minus_infinity),
          lower(x.nan, y.nan),         lower(x.truth, y.truth),     lower(x.one, y.one)};
}

std::optional<double> ProgramFacts::number(const Expr& e) const {
  if (e->kind == Kind::literal) return e->number;
  if (e->kind == Kind::param) {
    const auto& v = c_.node->params[static_cast<std::size_t>(e->id)];
    if (const double* d = std::get_if<double>(&v)) return *d;
  }
  if (e->kind == Kind::access && value_of(e) >= 0) {
    const graph::Value& v = c_.graph->values[static_cast<std::size_t>(value_of(e))];
    if (v.is_constant() && v.constant.size() == 1) return graph::read_double(v.constant, 0);
    if (v.is_constant()) return element(v.constant, e);
  }
  return std::nullopt;
}

// Whether a mask that is multiplied (divided) by this is a mask still.
bool ProgramFacts::keeps_masks(const Expr& by, bool divides) const {
  const auto v = number(by);
  return v && *v > 0 && (divides ? *v <= 1 / kLeastScale : *v >= kLeastScale);
}

Facts ProgramFacts::compute_call(const expr::Node& e) {
  Facts f = ordinary_;
  const auto& x = e.args;
  for (const Expr& a : x) f.sure = p_.and_(f.sure, of(a).sure), f.tame = p_.and_(f.tame, of(a).tame);
  auto scaled = [&](const Facts& a, const Expr& by) {
    if (keeps_masks(by, e.fn == Fn::div)) f.live = a.live, f.minus_infinity = a.minus_infinity;
  };
  switch (e.fn) {
    case Fn::add: return addition(of(x[0]), of(x[1]));
    case Fn::sub: return subtraction(x[0], x[1]);
    case Fn::select: return selection(of(x[0]), of(x[1]), of(x[2]));
    case Fn::mul: {
      // A sum skips the terms that are zero whatever the other factor; a product of its own is IEEE's: 0 * NaN = NaN.
      const Facts a = of(x[0]), b = of(x[1]);
      f.nonzero = p_.and_(a.nonzero, b.nonzero);
      f.nan = p_.or_(a.nan, b.nan);
      if (skips_) f.nan = p_.and_(f.nan, f.nonzero);
      else f.nonzero = p_.or_(f.nonzero, f.nan);
      if (!p_.is_everything(of(x[0]).live)) scaled(of(x[0]), x[1]);
      else if (!p_.is_everything(of(x[1]).live)) scaled(of(x[1]), x[0]);
      for (const int i : {0, 1}) {  // a truth times a mask's number
        const auto low = number(x[i]);
        const Facts& is = i == 0 ? b : a;
        if (!low || !std::isfinite(*low) || p_.is_nothing(is.one)) continue;
        f.sure = p_.or_(f.sure, p_.not_(is.nonzero));
        if (*low <= kMaskedBelow) f.live = p_.and_(f.live, p_.not_(is.one));
        if (*low <= kAbsorbedBelow) f.absorbs = is.one;
      }
      return f;
    }
    case Fn::div:
      // 0 / 0 is NaN: a mean over nothing, or by a zero among given data.
      f.nonzero = is_given(x[1]) ? ordinary_.nonzero : p_.or_(of(x[0]).nonzero, p_.not_(of(x[1]).nonzero));
      if (const auto by = number(x[1]); by && std::abs(*by) < 1 / kModerateUpTo) f.sure = f.tame = ordinary_.absorbs;
      if (!p_.is_everything(of(x[0]).live)) scaled(of(x[0]), x[1]);
      f.nan = p_.or_(p_.or_(of(x[0]).nan, of(x[1]).nan), p_.not_(p_.or_(of(x[0]).nonzero, of(x[1]).nonzero)));
      return f;
    case Fn::pow:
      if (const auto to = number(x[1]); to && *to > 0) f.nonzero = of(x[0]).nonzero, f.nan = of(x[0]).nan;
      return f;
    case Fn::max:
      f.nonzero = p_.or_(of(x[0]).nonzero, of(x[1]).nonzero);
      f.live = p_.or_(of(x[0]).live, of(x[1]).live);
      f.nan = p_.or_(of(x[0]).nan, of(x[1]).nan);
      return f;
    case Fn::min:
      f.nonzero = p_.or_(of(x[0]).nonzero, of(x[1]).nonzero);
      f.live = p_.and_(of(x[0]).live, of(x[1]).live);
      f.nan = p_.or_(of(x[0]).nan, of(x[1]).nan);
      return f;
    case Fn::logical_and:
      f.nonzero = p_.and_(of(x[0]).nonzero, of(x[1]).nonzero);
      f.truth = p_.and_(of(x[0]).truth, of(x[1]).truth);
      return f;
    case Fn::logical_or:
      f.nonzero = p_.or_(of(x[0]).nonzero, of(x[1]).nonzero);
      f.truth = p_.or_(of(x[0]).truth, of(x[1]).truth);
      return f;
    case Fn::logical_not:
      f.nonzero = p_.not_(of(x[0]).truth);
      f.truth = p_.not_(of(x[0]).nonzero);
      return f;
    case Fn::isnan: f.truth = of(x[0]).nan; return f;
    case Fn::cast: {
      Facts r = of(x[0]);
      if (type_of(x[0]) == DType::b8 || (x[0]->kind == Kind::call && gives_truth(x[0]->fn))) r.one = r.truth;
      if (!cast_keeps_truth(type_of(x[0]), e.to)) r.truth = ordinary_.absorbs;
      return r;
    }
    case Fn::exp:  // exp(-1e4) is 0 in every type we have
      f.nonzero = of(x[0]).live;
      f.sure = ordinary_.nonzero;  // tame only where the argument is: of infinities NaN may come
      f.nan = of(x[0]).nan;
      return f;
    case Fn::sigmoid: f.nonzero = of(x[0]).live; [[fallthrough]];  // as exp
    case Fn::tanh:
    case Fn::erf:
    case Fn::sin:
    case Fn::cos:
    case Fn::sign:
      f.sure = ordinary_.nonzero;  // tame only where the argument is: of infinities NaN may come
      f.nan = of(x[0]).nan;
      break;
    default:  // arithmetic carries NaN along
      if (!gives_truth(e.fn)) f.nan = of(x[0]).nan;
  }
  const expr::FnInfo& law = expr::info(e.fn);
  if (law.annihilating && x.size() == 2) {
    f.nonzero = p_.and_(of(x[0]).nonzero, of(x[1]).nonzero);
  } else if (law.zero_preserving) {
    f.nonzero = of(x[0]).nonzero;
    for (std::size_t i = 1; i < x.size(); ++i) f.nonzero = p_.or_(f.nonzero, of(x[i]).nonzero);
  }
  return f;
}

Facts ProgramFacts::reduced(const expr::Statement& s, const Facts& v) {
  if (s.combiner == Combiner::assign) return v;
  const std::vector<expr::AxisId> axes = expr::reduced_axes(s);
  const std::vector<int> a(axes.begin(), axes.end());
  // Over nothing a maximum is -inf and a minimum inf: neither zero nor masked.
  const bool some = std::all_of(a.begin(), a.end(), [&](int i) {
    const Dim extent = axes_[static_cast<std::size_t>(i)];
    return extent.id < 0 || c_.graph->dims.at_least(extent, 1);
  });
  Facts f = ordinary_;
  switch (s.combiner) {
    case Combiner::max:
    case Combiner::logsumexp:
      f.live = p_.any(v.live, a);
      f.sure = p_.any(v.sure, a);
      f.tame = p_.all(v.tame, a);
      f.absorbs = p_.all(v.absorbs, a);
      f.minus_infinity = p_.all(v.minus_infinity, a);
      f.nan = p_.any(v.nan, a);
      if (s.combiner == Combiner::max && some) f.nonzero = p_.any(v.nonzero, a);
      return f;
    case Combiner::min:
      if (some) f.nonzero = p_.any(v.nonzero, a), f.live = p_.all(v.live, a);
      f.sure = p_.all(v.sure, a);
      f.tame = p_.all(v.tame, a);
      return f;
    case Combiner::sum:
      f.nonzero = p_.any(v.nonzero, a);
      f.nan = p_.any(v.nan, a);
      break;
    case Combiner::logical_or:
      f.nonzero = p_.any(v.nonzero, a);
      f.truth = p_.any(v.truth, a);
      return f;
    case Combiner::logical_and: f.truth = p_.all(v.truth, a); return f;
    default: break;
  }
  // Sums of products of data are data, whatever went in: scores, features. Another sum that holds a masked value
  // anywhere may be masked everywhere: all or nothing.
  if (s.combiner == Combiner::sum && tensor_factors(s.value) >= 2) return f;
  std::vector<int> every;
  for (int i = 0; i < static_cast<int>(axes_.size()); ++i) every.push_back(i);
  if (!p_.is_everything(v.sure)) f.sure = p_.all(v.sure, every);
  if (!p_.is_everything(v.tame)) f.tame = p_.all(v.tame, every);
  return f;
}

MaskId ProgramFacts::terms(const expr::Statement& s, MaskId demanded) {
  const Facts& v = of(s.value);
  const std::vector<expr::AxisId> axes = expr::reduced_axes(s);
  switch (s.combiner) {
    case Combiner::sum:
    case Combiner::logical_or: return p_.and_(demanded, v.nonzero);
    // A masked element matters to a maximum only if no element is surely unmasked.
    case Combiner::max:
    case Combiner::logsumexp:
      return p_.and_(demanded, p_.or_(v.live, p_.not_(p_.any(v.sure, {axes.begin(), axes.end()}))));
    default: return demanded;
  }
}

// Only of additions: where a subtrahend absorbs, the difference is still formed (kernels know the sum only).
int ProgramFacts::absorbing(const expr::Statement& s, MaskId* where) {
  const Expr& e = s.value;
  if (s.combiner != Combiner::assign || e->kind != Kind::call || e->fn != Fn::add) return -1;
  int best = -1;
  for (const Expr& x : e->args) {
    if (x->kind != Kind::access || x->has_default) continue;
    const ValueId v = value_of(x);
    if (v < 0) continue;
    const MaskId m = of(x).absorbs;
    const Expr& other = e->args[x == e->args[0] ? 1 : 0];
    // Two masks that meet add up, as in the dense sum: -3.4e38 twice is -inf, and weighs less than once.
    if (!p_.is_nothing(p_.and_(m, p_.not_(of(other).tame)))) continue;
    // Of two absorbing operands the known one is asked: it is there in any case.
    if (p_.is_nothing(m) || (best >= 0 && !c_.known->at(static_cast<std::size_t>(v)))) continue;
    best = static_cast<int>(x->id);
    *where = m;
  }
  return best;
}

}  // namespace pit::sparsity
