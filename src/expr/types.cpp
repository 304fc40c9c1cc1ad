// Element types. A literal or parameter has no type of its own ("adapts"); a tensor's may not be known yet.
#include <cmath>
#include <fmt/format.h>
#include <string>

#include "expr/expr.h"

namespace pit::expr {
namespace {

bool floating(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16; }

struct Type {
  enum State : std::uint8_t { unknown, adapts, known } state = unknown;
  DType dtype = DType::f32;  // known
  bool fraction = false;     // adapts: has a literal that no integer can be
  static Type of(DType t) { return {known, t, false}; }
  static Type adapting(bool fraction) { return {adapts, DType::f32, fraction}; }
};

class Checker {
 public:
  explicit Checker(const Program& p) : p_(p) {}

  const std::string& message() const { return message_; }
  bool failed() const { return !message_.empty(); }

  Type type(const Expr& e) {
    switch (e->kind) {
      case Kind::literal:
        if (e->is_bool) return Type::of(DType::b8);
        return Type::adapting(!e->is_int && (!std::isfinite(e->number) || e->number != std::trunc(e->number)));
      case Kind::axis:
      case Kind::extent:
      case Kind::merge: return Type::of(DType::i64);
      case Kind::param: return Type::adapting(false);
      case Kind::access: return access(*e);
      case Kind::call: return call(e);
    }
    return {};
  }

  // Index arithmetic is in i64 whatever the lookups' types: only the insides of the lookups have types to check.
  void index(const Expr& e) {
    if (e->kind == Kind::access) {
      access(*e);
    } else {
      for (const Expr& a : e->args) index(a);
    }
  }

  // One type for two operands that must agree.
  Type unify(Type a, Type b, const Expr& where) {
    if (a.state == Type::known && b.state == Type::known) {
      if (a.dtype != b.dtype)
        fail(fmt::format("{} and {} meet in {}; cast one of them", name_of(a.dtype), name_of(b.dtype),
                         print(p_, where)));
      return a;
    }
    if (a.state != Type::known && b.state == Type::known) std::swap(a, b);
    if (a.state == Type::known) {
      require_fits(b, a.dtype, where);
      return a;
    }
    if (a.state == Type::unknown || b.state == Type::unknown) return {};
    return Type::adapting(a.fraction || b.fraction);
  }

  void require_fits(const Type& adapting, DType to, const Expr& where) {
    if (adapting.state != Type::adapts) return;
    if (to == DType::b8) fail(fmt::format("a number stands where a bool is needed in {}", print(p_, where)));
    if (adapting.fraction && !floating(to))
      fail(fmt::format("a fraction meets type {} in {}", name_of(to), print(p_, where)));
  }

  void fail(std::string m) {
    if (message_.empty()) message_ = std::move(m);
  }

 private:
  Type access(const Node& n) {
    const TensorDecl& t = p_.tensors[static_cast<std::size_t>(n.id)];
    const std::size_t rank = n.args.size() - (n.has_default ? 1 : 0);
    for (std::size_t i = 0; i < rank; ++i) index(n.args[i]);
    Type own = t.dtype ? Type::of(*t.dtype) : Type{};
    if (n.has_default) {
      const Type other = type(n.args.back());
      if (own.state == Type::known) own = unify(own, other, n.args.back());
    }
    return own;
  }

  Type call(const Expr& e) {
    const Node& n = *e;
    switch (n.fn) {
      case Fn::logical_and:
      case Fn::logical_or:
      case Fn::logical_xor:
      case Fn::logical_not:
        for (const Expr& a : n.args) require_bool(type(a), e);
        return Type::of(DType::b8);
      case Fn::eq:
      case Fn::ne: unify(type(n.args[0]), type(n.args[1]), e); return Type::of(DType::b8);
      case Fn::lt:
      case Fn::le:
      case Fn::gt:
      case Fn::ge: require_number(unify(type(n.args[0]), type(n.args[1]), e), e); return Type::of(DType::b8);
      case Fn::select: {
        require_bool(type(n.args[0]), e);
        return unify(type(n.args[1]), type(n.args[2]), e);
      }
      case Fn::cast: type(n.args[0]); return Type::of(n.to);
      case Fn::isnan:
      case Fn::isinf: require_float(type(n.args[0]), e); return Type::of(DType::b8);
      case Fn::neg:
      case Fn::abs:
      case Fn::sign: return require_number(type(n.args[0]), e);
      case Fn::add:
      case Fn::sub:
      case Fn::mul:
      case Fn::div:
      case Fn::floordiv:
      case Fn::mod:
      case Fn::fmod:
      case Fn::pow:
      case Fn::min:
      case Fn::max: {
        const Type a = require_number(type(n.args[0]), e), b = require_number(type(n.args[1]), e);
        return unify(a, b, e);
      }
      default: return require_float(type(n.args[0]), e);  // sqrt, exp, ...
    }
  }

  Type require_number(Type t, const Expr& where) {
    if (t.state == Type::known && t.dtype == DType::b8)
      fail(fmt::format("arithmetic on a bool in {}; cast it", print(p_, where)));
    return t;
  }

  Type require_float(Type t, const Expr& where) {
    if (t.state == Type::known && !floating(t.dtype)) {
      fail(fmt::format("{} needs a floating-point operand, not {}, in {}", info(where->fn).name, name_of(t.dtype),
                       print(p_, where)));
    }
    if (t.state == Type::adapts) t.fraction = true;  // exp(2) is no integer
    return t;
  }

  void require_bool(Type t, const Expr& where) {
    if (t.state == Type::adapts) fail(fmt::format("a number stands where a bool is needed in {}", print(p_, where)));
    if (t.state == Type::known && t.dtype != DType::b8) {
      fail(fmt::format("{} stands where a bool is needed in {}", name_of(t.dtype), print(p_, where)));
    }
  }

  const Program& p_;
  std::string message_;
};

std::optional<std::string> combiner_refuses(Combiner c, DType t) {
  const bool logical = c == Combiner::logical_and || c == Combiner::logical_or;
  if (logical && t != DType::b8) return fmt::format("{} combines bools, not {}", info(c).text, name_of(t));
  const bool any_type = c == Combiner::assign || c == Combiner::last;
  if (!logical && !any_type && t == DType::b8) return fmt::format("{} cannot combine bools", info(c).text);
  if (c == Combiner::logsumexp && !floating(t))
    return fmt::format("{} needs a floating-point type, not {}", info(c).text, name_of(t));
  return std::nullopt;
}

}  // namespace

std::optional<std::string> check(Program& p) {
  for (const Statement& s : p.statements) {
    Checker checker(p);
    TensorDecl& out = p.tensors[static_cast<std::size_t>(s.out)];
    for (const Expr& i : s.out_index) checker.index(i);
    const Type t = checker.type(s.value);
    if (out.dtype) {
      if (t.state == Type::known && t.dtype != *out.dtype) {
        checker.fail(fmt::format("the value has type {}, {} has type {}; cast it", name_of(t.dtype), out.name,
                                 name_of(*out.dtype)));
      }
      checker.require_fits(t, *out.dtype, s.value);
    }
    if (checker.failed()) return fmt::format("in `{}`: {}", print(p, s), checker.message());
    if (!out.dtype && t.state == Type::known) out.dtype = t.dtype;
    if (out.dtype) {
      if (const auto refusal = combiner_refuses(s.combiner, *out.dtype))
        return fmt::format("in `{}`: {}", print(p, s), *refusal);
    }
  }
  return std::nullopt;
}

std::optional<DType> type_of(const Program& p, const Expr& e) {
  const Type t = Checker(p).type(e);
  if (t.state == Type::known) return t.dtype;
  return std::nullopt;
}

}  // namespace pit::expr
