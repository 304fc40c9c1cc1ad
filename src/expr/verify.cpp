#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <string>

#include "expr/expr.h"

namespace pit::expr {
namespace {

// Functions that may stand in an index.
bool index_function(Fn f) {
  switch (f) {
    case Fn::add:
    case Fn::sub:
    case Fn::mul:
    case Fn::floordiv:
    case Fn::mod:
    case Fn::min:
    case Fn::max:
    case Fn::neg: return true;
    default: return false;
  }
}

bool integer(DType t) { return t == DType::i64 || t == DType::i32 || t == DType::i8 || t == DType::u8; }

class Verifier {
 public:
  explicit Verifier(const Program& p) : p_(p), written_(p.tensors.size(), false) {}

  std::optional<std::string> run() {
    if (!names()) return message_;
    for (const Statement& s : p_.statements) {
      if (!statement(s)) return fmt::format("in `{}`: {}", print(p_, s), message_);
    }
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
      if (p_.tensors[t].role != Role::input && !written_[t]) {
        return fmt::format("{} is written by no statement", p_.tensors[t].name);
      }
    }
    Program typed = p_;
    return check(typed);
  }

 private:
  bool fail(std::string message) {
    message_ = std::move(message);
    return false;
  }

  bool names() {
    std::set<std::string> tensors, axes, params;
    for (const TensorDecl& t : p_.tensors) {
      if (t.name.empty() || !tensors.insert(t.name).second)
        return fail(fmt::format("two tensors are named '{}'", t.name));
      if (t.rank < 0) return fail(fmt::format("{} has no rank", t.name));
    }
    for (const std::string& a : p_.axes) {
      if (a.empty() || !axes.insert(a).second) return fail(fmt::format("two axes are named '{}'", a));
    }
    for (const std::string& a : p_.params) {
      if (a.empty() || !params.insert(a).second) return fail(fmt::format("two parameters are named '{}'", a));
    }
    return true;
  }

  bool statement(const Statement& s) {
    if (s.out < 0 || static_cast<std::size_t>(s.out) >= p_.tensors.size())
      return fail("the left tensor does not exist");
    const TensorDecl& out = p_.tensors[static_cast<std::size_t>(s.out)];
    if (out.role == Role::input) return fail(fmt::format("input {} is written", out.name));
    if (static_cast<int>(s.out_index.size()) != out.rank) {
      return fail(fmt::format("{} has {} indices, its rank is {}", out.name, s.out_index.size(), out.rank));
    }
    current_ = s.out;
    for (const Expr& i : s.out_index) {
      if (!index(i)) return false;
    }
    if (!value(s.value)) return false;
    const std::vector<AxisId> reduced = reduced_axes(s);
    if (s.combiner == Combiner::assign && !reduced.empty()) {
      return fail(fmt::format("'=' cannot reduce axis {}, which is not on the left; say how with +=, max=, ...",
                              p_.axes[static_cast<std::size_t>(reduced[0])]));
    }
    if (scatters(s)) {
      const auto writers = std::count_if(p_.statements.begin(), p_.statements.end(),
                                         [&](const Statement& other) { return other.out == s.out; });
      if (writers > 1)
        return fail(
            fmt::format("{} is written by another statement, too, but a lookup on the left covers it all", out.name));
    }
    written_[static_cast<std::size_t>(s.out)] = true;
    return true;
  }

  bool arguments(const Node& n, std::size_t count) {
    if (n.args.size() != count) return fail(fmt::format("a node has {} operands instead of {}", n.args.size(), count));
    for (const Expr& a : n.args) {
      if (!a) return fail("a node lacks an operand");
    }
    return true;
  }

  bool id(int value, std::size_t size, const char* what) {
    return (value >= 0 && static_cast<std::size_t>(value) < size) ||
           fail(fmt::format("{} {} does not exist", what, value));
  }

  bool access(const Node& n) {
    if (!id(n.id, p_.tensors.size(), "tensor")) return false;
    const TensorDecl& t = p_.tensors[static_cast<std::size_t>(n.id)];
    const std::size_t rank = static_cast<std::size_t>(t.rank);
    if (n.args.size() != rank + (n.has_default ? 1 : 0)) {
      return fail(
          fmt::format("{} has {} indices, its rank is {}", t.name, n.args.size() - (n.has_default ? 1 : 0), t.rank));
    }
    if (n.id == current_) return fail(fmt::format("{} is read by the statement that writes it", t.name));
    if (t.role != Role::input && !written_[static_cast<std::size_t>(n.id)]) {
      return fail(fmt::format("{} is read before it is written", t.name));
    }
    for (std::size_t i = 0; i < rank; ++i) {
      if (!index(n.args[i])) return false;
    }
    return !n.has_default || value(n.args.back());
  }

  // What may stand in an index: integers, axes, extents, parameters, lookups, + - * // % min max, and merges of axes.
  bool index(const Expr& e) {
    if (!e) return fail("an index is missing");
    switch (e->kind) {
      case Kind::literal:
        return (e->is_int && !e->is_bool) || fail(fmt::format("index {} is not an integer", print(p_, e)));
      case Kind::call:
        if (!index_function(e->fn)) return fail(fmt::format("'{}' cannot stand in an index", info(e->fn).name));
        if (!arguments(*e, static_cast<std::size_t>(info(e->fn).arity))) return false;
        for (const Expr& a : e->args) {
          if (a->kind == Kind::merge) return fail("a merged index a:b:c must be the whole index");
          if (!index(a)) return false;
        }
        return true;
      case Kind::access: {
        if (!access(*e)) return false;
        const TensorDecl& t = p_.tensors[static_cast<std::size_t>(e->id)];
        return !t.dtype || integer(*t.dtype) ||
               fail(fmt::format("lookup {} in an index has type {}; it must be an integer", print(p_, e),
                                name_of(*t.dtype)));
      }
      case Kind::merge:
        if (e->args.size() < 2) return fail("a merged index needs at least two axes");
        for (const Expr& a : e->args) {
          if (!bare_axis(a)) return fail("a merged index a:b:c consists of axes only");
          if (!id(a->id, p_.axes.size(), "axis")) return false;
        }
        return true;
      default: return value(e);
    }
  }

  bool value(const Expr& e) {
    if (!e) return fail("an expression is missing");
    switch (e->kind) {
      case Kind::literal: return true;
      case Kind::axis:
      case Kind::extent: return id(e->id, p_.axes.size(), "axis");
      case Kind::param: return id(e->id, p_.params.size(), "parameter");
      case Kind::access: return access(*e);
      case Kind::merge: return fail("a merged index a:b:c stands outside an index");
      case Kind::call: break;
    }
    if (!arguments(*e, static_cast<std::size_t>(info(e->fn).arity))) return false;
    for (const Expr& a : e->args) {
      if (!value(a)) return false;
    }
    return true;
  }

  const Program& p_;
  std::vector<bool> written_;
  TensorId current_ = -1;
  std::string message_;
};

}  // namespace

std::optional<std::string> verify(const Program& p) { return Verifier(p).run(); }

}  // namespace pit::expr
