#include "lower/typed.h"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

namespace pit::lower {

using expr::Expr;
using expr::Fn;
using expr::Kind;

namespace {

[[noreturn]] void refuse(std::string why) { throw Refusal{std::move(why)}; }

bool is_comparison(Fn f) { return f >= Fn::eq && f <= Fn::ge; }
bool is_logical(Fn f) { return f >= Fn::logical_and && f <= Fn::logical_not; }
bool is_float_only(Fn f) {
  switch (f) {
    case Fn::sqrt:
    case Fn::rsqrt:
    case Fn::exp:
    case Fn::log:
    case Fn::erf:
    case Fn::tanh:
    case Fn::sigmoid:
    case Fn::sin:
    case Fn::cos:
    case Fn::recip: return true;
    default: return false;
  }
}
bool float_type(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16; }

/// The type of what adapts when nothing tells it otherwise.
DType default_type(const Expr& e) {
  if (e->kind == Kind::literal) return e->is_bool ? DType::b8 : e->is_int ? DType::i64 : DType::f32;
  if (e->kind == Kind::call)
    for (const Expr& a : e->args)
      if (default_type(a) == DType::f32) return DType::f32;
  return DType::i64;
}

bool same_index(const std::vector<Expr>& a, const std::vector<Expr>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Expr& x, const Expr& y) { return expr::equal(x, y); });
}

}  // namespace

std::vector<int> lookup_dims(const Expr& access) {
  std::vector<int> dims;
  int rank = static_cast<int>(access->args.size()) - (access->has_default ? 1 : 0);
  for (int d = 0; d < rank; ++d) {
    bool found = false;
    expr::for_each_access(access->args[d], [&](const Expr&) { found = true; });
    if (found) dims.push_back(d);
  }
  return dims;
}

TypedProgram::TypedProgram(const expr::Program& program, const std::vector<int>& absorbing, const Resolver& resolver)
    : program_(program), resolver_(resolver) {
  for (int s = 0; s < static_cast<int>(program.statements.size()); ++s) {
    current_ = s;
    const expr::Statement& st = program.statements[s];
    int absorber = s < static_cast<int>(absorbing.size()) ? absorbing[s] : -1;
    if (absorber < 0) {
      values_.push_back(build(st.value, type(s)));
      continue;
    }
    const Expr& v = st.value;
    if (v->kind != Kind::call || v->fn != Fn::add) refuse("an absorbing statement must be a sum");
    int side = v->args[1]->kind == Kind::access && v->args[1]->id == absorber ? 1 : 0;
    if (v->args[side]->kind != Kind::access || v->args[side]->id != absorber)
      refuse("an absorbing statement must add the absorbing tensor itself");
    TypedNode n;
    n.kind = TypedNode::absorbing_add;
    n.type = type(s);
    n.args = {build(v->args[1 - side], type(s)), build(v->args[side], type(s))};
    values_.push_back(intern(std::move(n)));
  }
}

DType TypedProgram::type(int s) const {
  const expr::TensorDecl& t = program_.tensors[program_.statements[s].out];
  if (!t.dtype) refuse(fmt::format("tensor {} has no dtype", t.name));
  return *t.dtype;
}

int TypedProgram::index(const Expr& e) { return as_type(build(e, own_type(e).value_or(DType::i64)), DType::i64); }

std::vector<int> TypedProgram::statements_below(int id) const {
  std::vector<int> found, todo{id};
  std::vector<char> seen(nodes_.size());
  while (!todo.empty()) {
    int n = todo.back();
    todo.pop_back();
    if (seen[n]) continue;
    seen[n] = 1;
    if (nodes_[n].kind == TypedNode::statement) found.push_back(nodes_[n].id);
    todo.insert(todo.end(), nodes_[n].args.begin(), nodes_[n].args.end());
  }
  std::sort(found.begin(), found.end());
  return found;
}

int TypedProgram::intern(TypedNode n) {
  for (int a : n.args) n.varies |= nodes_[a].varies;
  std::string key = fmt::format("{} {} {} {} {:a} {} |", static_cast<int>(n.kind), static_cast<int>(n.type),
                                static_cast<int>(n.fn), n.id, n.number, n.integer);
  for (int a : n.args) key += fmt::format(" {}", a);
  for (int d : n.dims) key += fmt::format(" d{}", d);
  if (n.has_default) key += " outside";
  auto [it, fresh] = interned_.emplace(std::move(key), static_cast<int>(nodes_.size()));
  if (fresh) nodes_.push_back(std::move(n));
  return it->second;
}

std::optional<DType> TypedProgram::own_type(const Expr& e) const {
  switch (e->kind) {
    case Kind::literal: return e->is_bool ? std::optional(DType::b8) : std::nullopt;
    case Kind::axis:
    case Kind::extent:
    case Kind::merge:
    case Kind::param: return std::nullopt;
    case Kind::access: return program_.tensors[e->id].dtype;
    case Kind::call: break;
  }
  if (e->fn == Fn::cast) return e->to;
  if (is_comparison(e->fn) || is_logical(e->fn) || e->fn == Fn::isnan || e->fn == Fn::isinf) return DType::b8;
  for (std::size_t i = e->fn == Fn::select ? 1 : 0; i < e->args.size(); ++i)
    if (auto t = own_type(e->args[i])) return t;
  return std::nullopt;
}

DType TypedProgram::common_type(const Expr& a, const Expr& b, DType fallback) const {
  auto x = own_type(a), y = own_type(b);
  if (x && y && *x != *y)
    refuse(fmt::format("'{}' is {} and '{}' is {}", expr::print(program_, a), name_of(*x), expr::print(program_, b),
                       name_of(*y)));
  return x ? *x : y ? *y : fallback;
}

int TypedProgram::as_type(int node, DType want) {
  if (nodes_[node].type == want) return node;
  TypedNode n;
  n.kind = TypedNode::call;
  n.fn = Fn::cast;
  n.type = want;
  n.args = {node};
  return intern(std::move(n));
}

int TypedProgram::build(const Expr& e, DType want) {
  TypedNode n;
  n.type = want;
  switch (e->kind) {
    case Kind::literal:
      n.kind = TypedNode::constant;
      n.number = e->number;
      if (!float_type(want)) n.integer = static_cast<std::int64_t>(e->number), n.number = 0;
      if (want == DType::b8) n.integer = e->number != 0;
      return intern(std::move(n));
    case Kind::param:
      n.kind = TypedNode::param;
      n.id = e->id;
      if (want != DType::f64) n.type = float_type(want) ? DType::f32 : DType::i64;
      return as_type(intern(std::move(n)), want);
    case Kind::axis:
    case Kind::extent:
      n.kind = e->kind == Kind::axis ? TypedNode::axis : TypedNode::extent;
      n.id = e->id;
      n.type = DType::i64;
      if (e->kind == Kind::axis) n.varies = resolver_.axis_varies(e->id);
      return as_type(intern(std::move(n)), want);
    case Kind::merge: {  // (a*|b|+b)*|c|+c
      Expr sum = e->args.at(0);
      for (std::size_t i = 1; i < e->args.size(); ++i) {
        auto a = expr::bare_axis(e->args[i]);
        if (!a) refuse("a merge of something else than axes");
        sum = expr::call(Fn::add, {expr::call(Fn::mul, {sum, expr::extent(*a)}), e->args[i]});
      }
      return as_type(build(sum, DType::i64), want);
    }
    case Kind::access: return as_type(build_access(e), want);
    case Kind::call: return as_type(build_call(e, want), want);
  }
  refuse("an unknown kind of expression");
}

int TypedProgram::build_access(const Expr& e) {
  const expr::TensorDecl& decl = program_.tensors[e->id];
  TypedNode n;
  if (!decl.dtype) refuse(fmt::format("tensor {} has no dtype", decl.name));
  n.type = *decl.dtype;
  if (e->has_default && !resolver_.elements) refuse(fmt::format("{} is read with a default outside", decl.name));
  if (decl.role != expr::Role::input) {
    int writer = -1;
    for (int s = 0; s < current_; ++s) {
      if (program_.statements[s].out != e->id) continue;
      if (writer >= 0) refuse(fmt::format("{} is read and has several writers", decl.name));
      writer = s;
    }
    if (writer < 0) refuse(fmt::format("{} is read before it is written", decl.name));
    if (!same_index(program_.statements[writer].out_index, e->args))
      refuse(fmt::format("{} is read elsewhere than where it was written", decl.name));
    n.kind = TypedNode::statement;
    n.id = writer;
    for (const Expr& i : e->args)
      for (expr::AxisId a : expr::axes_of(i)) n.varies |= resolver_.axis_varies(a);
    return intern(std::move(n));
  }
  n.kind = TypedNode::operand;
  n.id = resolver_.operand(e);
  n.varies = resolver_.operand_varies(n.id);
  n.dims = lookup_dims(e);
  if (resolver_.elements) {
    n.has_default = e->has_default;
    n.dims.resize(e->args.size() - (e->has_default ? 1 : 0));
    std::iota(n.dims.begin(), n.dims.end(), 0);
  }
  for (int d : n.dims) {
    auto t = own_type(e->args[d]);
    if (!t && resolver_.elements) t = DType::i64;  // axes, and what is computed from them
    if (!t || float_type(*t) || *t == DType::b8)
      refuse(fmt::format("{} is looked up by something that is not an integer", decl.name));
    n.args.push_back(as_type(build(e->args[d], *t), DType::i64));
    n.from_end.push_back(e->args[d]->kind == Kind::access);
  }
  if (n.has_default) n.args.push_back(build(e->args.back(), n.type));
  return intern(std::move(n));
}

int TypedProgram::build_call(const Expr& e, DType want) {
  TypedNode n;
  n.kind = TypedNode::call;
  n.fn = e->fn;
  auto operands = [&](DType t) {
    for (const Expr& a : e->args) {
      if (auto own = own_type(a); own && *own != t)
        refuse(fmt::format("'{}' is {} where {} is needed", expr::print(program_, a), name_of(*own), name_of(t)));
      n.args.push_back(build(a, t));
    }
  };
  if (e->fn == Fn::cast) {
    DType from = own_type(e->args.at(0)).value_or(default_type(e->args.at(0)));
    return as_type(build(e->args[0], from), e->to);
  }
  if (is_logical(e->fn)) {
    n.type = DType::b8;
    operands(DType::b8);
  } else if (is_comparison(e->fn)) {
    n.type = DType::b8;
    DType fallback = default_type(e);
    operands(common_type(e->args.at(0), e->args.at(1), fallback));
  } else if (e->fn == Fn::isnan || e->fn == Fn::isinf) {
    n.type = DType::b8;
    operands(own_type(e->args.at(0)).value_or(default_type(e->args.at(0))));
  } else if (e->fn == Fn::select) {
    n.type = common_type(e->args.at(1), e->args.at(2), want);
    if (own_type(e->args[0]) != DType::b8) refuse("select needs a bool");
    n.args = {build(e->args[0], DType::b8), build(e->args[1], n.type), build(e->args[2], n.type)};
  } else {
    n.type = e->args.size() == 2 ? common_type(e->args[0], e->args[1], want) : own_type(e->args.at(0)).value_or(want);
    if (n.type == DType::b8 && e->fn != Fn::min && e->fn != Fn::max)
      refuse(fmt::format("{} of booleans", expr::info(e->fn).name));
    if (is_float_only(e->fn) && !float_type(n.type)) refuse(fmt::format("{} of integers", expr::info(e->fn).name));
    operands(n.type);
  }
  return intern(std::move(n));
}

}  // namespace pit::lower
