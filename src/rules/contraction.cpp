#include "rules/contraction.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace pit::rules {
namespace {

using expr::AxisId;
using expr::Expr;
using expr::Kind;

bool has(const std::vector<AxisId>& axes, AxisId a) { return std::find(axes.begin(), axes.end(), a) != axes.end(); }

bool bare_or_literal(const Expr& index) { return expr::bare_axis(index) || index->kind == Kind::literal; }

/// The axes of bare indices, in their order.
std::vector<AxisId> bare_axes(const std::vector<Expr>& indices) {
  std::vector<AxisId> axes;
  for (const Expr& i : indices)
    if (const auto a = expr::bare_axis(i)) axes.push_back(*a);
  return axes;
}

// Why the statement has not the outer form of a contraction, or nothing.
std::optional<std::string> refuse_form(const expr::Program& p, const expr::Statement& s) {
  if (s.combiner == expr::Combiner::assign) return "it assigns instead of reducing";
  if (s.value->kind != Kind::call || s.value->args.size() != 2) return "its value is no function of two factors";
  const Expr &x = s.value->args[0], &y = s.value->args[1];
  if ((element_of(x) != x) != (element_of(y) != y) || (element_of(x) != x && x->to != y->to))
    return "the factors are not cast alike";
  for (const Expr& cast : s.value->args) {
    const Expr factor = element_of(cast);
    if (factor->kind != Kind::access) return "a factor is not a tensor element";
    if (factor->has_default || !std::all_of(factor->args.begin(), factor->args.end(), bare_or_literal))
      return fmt::format("{} has a compound index", expr::print(p, factor));
  }
  for (const Expr& i : s.out_index)
    if (!bare_or_literal(i)) return "the result has a compound index";
  std::vector<AxisId> out = bare_axes(s.out_index);
  std::sort(out.begin(), out.end());
  if (std::adjacent_find(out.begin(), out.end()) != out.end()) return "an axis stands twice in the result";
  return std::nullopt;
}

}  // namespace

Expr element_of(const Expr& factor) {
  return factor->kind == Kind::call && factor->fn == expr::Fn::cast ? factor->args[0] : factor;
}

std::optional<Contraction> contraction_in(const expr::Program& p, const expr::Statement& s, std::string* why) {
  auto refuse = [&](std::string reason) {
    if (why) *why = std::move(reason);
    return std::nullopt;
  };
  if (auto reason = refuse_form(p, s)) return refuse(*reason);
  Contraction c;
  c.combiner = s.combiner, c.product = s.value->fn;
  c.a = element_of(s.value->args[0]), c.b = element_of(s.value->args[1]);
  if (c.a != s.value->args[0]) c.widened = s.value->args[0]->to;
  const std::vector<AxisId> out = bare_axes(s.out_index);
  std::vector<AxisId> in_a = bare_axes(c.a->args), in_b = bare_axes(c.b->args);
  auto name = [&](AxisId a) { return p.axes[static_cast<std::size_t>(a)]; };
  for (AxisId a : out)
    if (!has(in_a, a) && !has(in_b, a))
      return refuse(fmt::format("axis {} of the result is in neither factor", name(a)));
  for (AxisId a : expr::reduced_axes(s))
    if (!has(in_a, a) || !has(in_b, a))
      return refuse(fmt::format("axis {} is reduced, but not in both factors", name(a)));
  for (AxisId a : in_a)
    if (!has(out, a) && !has(c.k, a)) c.k.push_back(a);

  auto in_both = [&](AxisId a) { return has(in_a, a) && has(in_b, a); };
  const auto last = std::find_if_not(out.rbegin(), out.rend(), in_both);
  if (last != out.rend() && has(in_a, *last)) {
    std::swap(c.a, c.b);
    std::swap(in_a, in_b);
    c.swapped = true;
  }
  const auto before = std::find_if(last, out.rend(), [&](AxisId a) { return has(in_a, a); });
  c.n.assign(before.base(), last.base());
  for (AxisId a : out) {
    if (has(c.n, a)) continue;
    (has(in_b, a) ? c.batch : c.m).push_back(a);
  }
  return c;
}

std::vector<SparseRule> sparse_rules(const expr::Program& p, const Contraction& c) {
  const std::vector<AxisRule> verdicts = infer(p);
  const std::string names[] = {p.tensors[static_cast<std::size_t>(c.a->id)].name,
                               p.tensors[static_cast<std::size_t>(c.b->id)].name};
  std::vector<SparseRule> rules;
  auto add = [&](Operand operand, AxisId axis, std::vector<std::string> reads, bool writes, const char* absent) {
    SparseRule rule{operand, axis, false, {}, {}, false};
    const AxisRule& verdict = verdicts[static_cast<std::size_t>(axis)];
    rule.admitted = verdict.verdict == Verdict::permutable;
    rule.reason = rule.admitted ? absent : verdict.reason;
    if (rule.admitted) rule.reads = std::move(reads), rule.writes = writes;
    rules.push_back(std::move(rule));
  };
  const char* const term = "absent terms are the identity of the reduction: left out";
  const char* const row = "rows without live terms are the identity: written, not computed";
  for (AxisId a : c.m) add(Operand::first, a, {names[0]}, true, row);
  for (AxisId a : c.k) add(Operand::first, a, {names[0], names[1]}, false, term);
  for (AxisId a : c.k) add(Operand::second, a, {names[0], names[1]}, false, term);
  for (AxisId a : c.n) add(Operand::second, a, {names[1]}, true, row);
  const char* const unwanted = "what nobody wants is not computed";
  for (AxisId a : c.m) add(Operand::result, a, {names[0]}, true, unwanted);
  for (AxisId a : c.n) add(Operand::result, a, {names[1]}, true, unwanted);
  return rules;
}

}  // namespace pit::rules
