#include "fuse/contraction.h"

#include <algorithm>

#include "rules/contraction.h"

namespace pit::fuse {

namespace {

std::optional<lower::ElementTypes> types_of(const expr::Program& p, const rules::Contraction& c) {
  const auto a = p.tensors[c.a->id].dtype, b = p.tensors[c.b->id].dtype;
  if (!a || !b) return std::nullopt;
  const DType sum = c.widened.value_or(*a);
  const lower::ElementTypes types{*a, *b, sum, sum};
  return lower::refuse_algebra({.types = types}) ? std::nullopt : std::optional(types);
}

}  // namespace

std::optional<lower::ElementTypes> contraction_types(const expr::Program& p, const expr::Statement& s) {
  const auto found = rules::contraction_in(p, s);
  return found ? types_of(p, *found) : std::nullopt;
}

std::optional<Contraction> contraction_in(const expr::Program& p, const expr::Statement& s, std::string* why) {
  auto refuse = [&](const char* reason) {
    if (why) *why = reason;
    return std::nullopt;
  };
  const auto found = rules::contraction_in(p, s, why);
  if (!found) return std::nullopt;
  if (found->combiner != expr::Combiner::sum || found->product != expr::Fn::mul) return refuse("not a sum of products");
  if (!types_of(p, *found)) return refuse("not of a type that tiles have");
  if (found->k.size() != 1) return refuse("not exactly one reduced axis");
  std::vector<int> out;
  for (const expr::Expr& i : s.out_index)
    if (const auto axis = expr::bare_axis(i)) out.push_back(*axis);
  // Columns are one axis here, the result's last; other axes of B alone choose a B.
  if (found->n.empty() || found->n.back() != out.back()) return refuse("no column axis");
  Contraction c{found->a, found->b, {{}, found->m, out.back(), found->k[0]}};
  for (const int axis : out)
    if (axis != c.axes.n && std::find(found->m.begin(), found->m.end(), axis) == found->m.end())
      c.axes.batch.push_back(axis);
  return c;
}

}  // namespace pit::fuse
