// Constructors, algebraic tables and structure queries.
#include <algorithm>
#include <cmath>
#include <limits>

#include "expr/expr.h"
#include "support/check.h"

namespace pit::expr {
namespace {

// In the order of `Fn`.
constexpr FnInfo kFunctions[] = {
    // name, arity, zero_preserving, annihilating, infix
    {"+", 2, true, false, true},      {"-", 2, true, false, true},         {"*", 2, true, true, true},
    {"/", 2, false, false, true},     {"//", 2, false, false, true},       {"%", 2, false, false, true},
    {"fmod", 2, false, false, false}, {"pow", 2, false, false, false},     {"min", 2, true, false, false},
    {"max", 2, true, false, false},   {"==", 2, false, false, true},       {"!=", 2, true, false, true},
    {"<", 2, true, false, true},      {"<=", 2, false, false, true},       {">", 2, true, false, true},
    {">=", 2, false, false, true},    {"&&", 2, true, true, true},         {"||", 2, true, false, true},
    {"^^", 2, true, false, true},     {"not", 1, false, false, false},     {"neg", 1, true, false, false},
    {"abs", 1, true, false, false},   {"sqrt", 1, true, false, false},     {"rsqrt", 1, false, false, false},
    {"exp", 1, false, false, false},  {"log", 1, false, false, false},     {"erf", 1, true, false, false},
    {"tanh", 1, true, false, false},  {"sigmoid", 1, false, false, false}, {"sin", 1, true, false, false},
    {"cos", 1, false, false, false},  {"floor", 1, true, false, false},    {"ceil", 1, true, false, false},
    {"round", 1, true, false, false}, {"sign", 1, true, false, false},     {"recip", 1, false, false, false},
    {"isnan", 1, true, false, false}, {"isinf", 1, true, false, false},    {"select", 3, false, false, false},
    {"cast", 1, true, false, false},
};
static_assert(sizeof kFunctions / sizeof kFunctions[0] == static_cast<std::size_t>(Fn::cast) + 1);

constexpr double kInf = std::numeric_limits<double>::infinity();

// In the order of `Combiner`. `=` is never folded: it has no algebra.
constexpr CombinerInfo kCombiners[] = {
    {"=", false, false, 0},     {"+=", true, true, 0},   {"*=", true, true, 1},  {"max=", true, true, -kInf},
    {"min=", true, true, kInf}, {"and=", true, true, 1}, {"or=", true, true, 0}, {"logsumexp=", true, true, -kInf},
    {"last=", false, true, 0},
};
static_assert(sizeof kCombiners / sizeof kCombiners[0] == static_cast<std::size_t>(Combiner::last) + 1);

std::shared_ptr<Node> make(Kind kind) {
  auto n = std::make_shared<Node>();
  n->kind = kind;
  return n;
}

std::shared_ptr<Node> make(Kind kind, int id) {
  auto n = make(kind);
  n->id = id;
  return n;
}

void collect_axes(const Expr& e, std::vector<AxisId>* out) {
  if (!e) return;
  if (e->kind == Kind::axis) out->push_back(e->id);
  for (const Expr& a : e->args) collect_axes(a, out);
}

std::vector<AxisId> unique(std::vector<AxisId> axes) {
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

}  // namespace

const FnInfo& info(Fn f) { return kFunctions[static_cast<std::size_t>(f)]; }
const CombinerInfo& info(Combiner c) { return kCombiners[static_cast<std::size_t>(c)]; }

Expr literal(double v) {
  auto n = make(Kind::literal);
  n->number = v;
  return n;
}

Expr int_literal(std::int64_t v) {
  auto n = make(Kind::literal);
  n->number = static_cast<double>(v);
  n->is_int = true;
  return n;
}

Expr bool_literal(bool v) {
  auto n = make(Kind::literal);
  n->number = v ? 1 : 0;
  n->is_bool = true;
  return n;
}

Expr axis(AxisId a) { return make(Kind::axis, a); }
Expr extent(AxisId a) { return make(Kind::extent, a); }
Expr param(ParamId p) { return make(Kind::param, p); }

Expr access(TensorId t, std::vector<Expr> indices, Expr outside) {
  auto n = make(Kind::access, t);
  n->args = std::move(indices);
  if (outside) {
    n->has_default = true;
    n->args.push_back(std::move(outside));
  }
  return n;
}

Expr call(Fn f, std::vector<Expr> args) {
  PIT_CHECK(static_cast<int>(args.size()) == info(f).arity, "{} takes {} operands, not {}", info(f).name, info(f).arity,
            args.size());
  auto n = make(Kind::call);
  n->fn = f;
  n->args = std::move(args);
  return n;
}

Expr cast(DType to, Expr x) {
  auto n = make(Kind::call);
  n->fn = Fn::cast;
  n->to = to;
  n->args.push_back(std::move(x));
  return n;
}

Expr merge(std::vector<Expr> axes) {
  auto n = make(Kind::merge);
  n->args = std::move(axes);
  return n;
}

bool equal(const Expr& a, const Expr& b) {
  if (a == b) return true;
  if (!a || !b || a->kind != b->kind || a->id != b->id || a->args.size() != b->args.size()) return false;
  if (a->kind == Kind::literal) {
    const bool same = a->number == b->number ? std::signbit(a->number) == std::signbit(b->number)
                                             : std::isnan(a->number) && std::isnan(b->number);
    if (!same || a->is_bool != b->is_bool || a->is_int != b->is_int) return false;
  }
  if (a->kind == Kind::call && (a->fn != b->fn || (a->fn == Fn::cast && a->to != b->to))) return false;
  if (a->has_default != b->has_default) return false;
  for (std::size_t i = 0; i < a->args.size(); ++i) {
    if (!equal(a->args[i], b->args[i])) return false;
  }
  return true;
}

TensorId Program::tensor(std::string_view name) const {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].name == name) return static_cast<TensorId>(i);
  }
  return -1;
}

AxisId Program::axis_named(std::string_view name) const {
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] == name) return static_cast<AxisId>(i);
  }
  return -1;
}

std::optional<AxisId> bare_axis(const Expr& e) {
  if (e && e->kind == Kind::axis) return e->id;
  return std::nullopt;
}

std::vector<AxisId> axes_of(const Expr& e) {
  std::vector<AxisId> axes;
  collect_axes(e, &axes);
  return unique(std::move(axes));
}

std::vector<AxisId> free_axes(const Statement& s) {
  std::vector<AxisId> axes;
  for (const Expr& index : s.out_index) collect_axes(index, &axes);
  return unique(std::move(axes));
}

std::vector<AxisId> reduced_axes(const Statement& s) {
  const std::vector<AxisId> left = free_axes(s), right = axes_of(s.value);
  std::vector<AxisId> reduced;
  std::set_difference(right.begin(), right.end(), left.begin(), left.end(), std::back_inserter(reduced));
  return reduced;
}

bool scatters(const Statement& s) {
  bool lookup = false;
  for (const Expr& index : s.out_index) for_each_access(index, [&](const Expr&) { lookup = true; });
  return lookup && s.combiner != Combiner::assign;
}

bool scatters(const Program& p) {
  return std::any_of(p.statements.begin(), p.statements.end(), [](const Statement& s) { return scatters(s); });
}

Expr transform(const Expr& e, const std::function<Expr(const Expr&)>& f) {
  if (!e) return e;
  std::vector<Expr> args;
  args.reserve(e->args.size());
  bool changed = false;
  for (const Expr& a : e->args) {
    args.push_back(transform(a, f));
    changed = changed || args.back() != a;
  }
  if (!changed) return f(e);
  auto n = std::make_shared<Node>(*e);
  n->args = std::move(args);
  return f(n);
}

}  // namespace pit::expr
