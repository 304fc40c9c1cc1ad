// Canonical text: minimal parentheses, spaces round operators except inside indices.
#include <cmath>
#include <fmt/format.h>
#include <string>

#include "expr/expr.h"
#include "expr/precedence.h"
#include "support/check.h"

namespace pit::expr {
namespace {

std::string print_literal(const Node& n) {
  if (n.is_bool) return n.number != 0 ? "true" : "false";
  if (std::isnan(n.number)) return "nan";
  if (std::isinf(n.number)) return n.number < 0 ? "-inf" : "inf";
  if (n.is_int) return fmt::format("{:.0f}", n.number);
  std::string text = fmt::format("{}", n.number);  // shortest text that reads back as the same number
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

class Printer {
 public:
  explicit Printer(const Program& p) : p_(p) {}

  // `compact`: inside an index, where operators stand without spaces.
  std::string expression(const Expr& e, int context, bool compact) const {
    if (!e) return "<nothing>";
    switch (e->kind) {
      case Kind::literal: return print_literal(*e);
      case Kind::axis: return axis_name(e->id);
      case Kind::extent: return "|" + axis_name(e->id) + "|";
      case Kind::param: return "$" + name(p_.params, e->id, "param");
      case Kind::access: return access(*e);
      case Kind::merge: return merged(*e);
      case Kind::call: return call(*e, context, compact);
    }
    PIT_UNREACHABLE("kind {}", static_cast<int>(e->kind));
  }

  std::string indices(const std::vector<Expr>& args, std::size_t count) const {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
      if (i > 0) text += ',';
      text += expression(args[i], kLoosest, true);
    }
    return text;
  }

  std::string tensor_name(int id) const {
    if (id >= 0 && static_cast<std::size_t>(id) < p_.tensors.size())
      return p_.tensors[static_cast<std::size_t>(id)].name;
    return fmt::format("<tensor {}>", id);
  }

 private:
  // Broken programs are printed too: the verifier's messages show them.
  static std::string name(const std::vector<std::string>& names, int id, const char* what) {
    if (id >= 0 && static_cast<std::size_t>(id) < names.size()) return names[static_cast<std::size_t>(id)];
    return fmt::format("<{} {}>", what, id);
  }

  std::string axis_name(int id) const { return name(p_.axes, id, "axis"); }

  std::string access(const Node& n) const {
    const std::size_t count = n.args.size() - (n.has_default ? 1 : 0);
    std::string text = tensor_name(n.id) + "[" + indices(n.args, count);
    if (n.has_default) text += (count > 0 ? " | " : "| ") + expression(n.args.back(), kLoosest, false);
    return text + "]";
  }

  std::string merged(const Node& n) const {
    std::string text;
    for (const Expr& a : n.args) text += (text.empty() ? "" : ":") + expression(a, kTightest, true);
    return text;
  }

  std::string call(const Node& n, int context, bool compact) const {
    const FnInfo& f = info(n.fn);
    if (f.infix && n.args.size() == 2) {
      const Level level = level_of(n.fn);
      const char* space = compact ? "" : " ";
      // Left-associative; comparisons do not associate at all, so both sides must bind tighter.
      const std::string left =
          expression(n.args[0], level.associative ? level.precedence : level.precedence + 1, compact);
      const std::string right = expression(n.args[1], level.precedence + 1, compact);
      return parenthesised(left + space + f.name + space + right, level.precedence < context);
    }
    if ((n.fn == Fn::neg || n.fn == Fn::logical_not) && n.args.size() == 1) {
      // A minus before a number would be read as part of it.
      const bool number = n.args[0]->kind == Kind::literal && !n.args[0]->is_bool;
      std::string operand = expression(n.args[0], kUnary, compact);
      if (n.fn == Fn::neg && number) operand = "(" + operand + ")";
      return parenthesised((n.fn == Fn::neg ? "-" : "!") + operand, kUnary < context);
    }
    std::string text = n.fn == Fn::cast ? std::string("cast_") + name_of(n.to) : f.name;
    text += '(';
    for (std::size_t i = 0; i < n.args.size(); ++i)
      text += (i > 0 ? ", " : "") + expression(n.args[i], kLoosest, false);
    return text + ")";
  }

  static std::string parenthesised(std::string text, bool yes) { return yes ? "(" + text + ")" : text; }

  const Program& p_;
};

}  // namespace

std::string print(const Program& p, const Expr& e) { return Printer(p).expression(e, kLoosest, false); }

std::string print_index(const Program& p, const Expr& e) { return Printer(p).expression(e, kLoosest, true); }

std::string print(const Program& p, const Statement& s) {
  const Printer printer(p);
  return fmt::format("{}[{}] {} {}", printer.tensor_name(s.out), printer.indices(s.out_index, s.out_index.size()),
                     info(s.combiner).text, printer.expression(s.value, kLoosest, false));
}

std::string print(const Program& p) {
  std::string text;
  for (const Statement& s : p.statements) text += (text.empty() ? "" : "; ") + print(p, s);
  return text;
}

}  // namespace pit::expr
