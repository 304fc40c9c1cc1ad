#include "fuse/contraction.h"

#include <algorithm>

namespace pit::fuse {
namespace {

using expr::Expr;

bool bare_or_zero(const Expr& access) {
  return !access->has_default && std::all_of(access->args.begin(), access->args.end(), [](const Expr& i) {
    return expr::bare_axis(i) || i->kind == expr::Kind::literal;
  });
}

bool has(const std::vector<int>& axes, int a) { return std::find(axes.begin(), axes.end(), a) != axes.end(); }

}  // namespace

std::optional<Contraction> contraction_in(const expr::Program& p, const expr::Statement& s, std::string* why) {
  auto refuse = [&](const char* reason) {
    if (why) *why = reason;
    return std::nullopt;
  };
  if (s.combiner != expr::Combiner::sum) return refuse("not a sum");
  if (s.value->kind != expr::Kind::call || s.value->fn != expr::Fn::mul) return refuse("not a product");
  Contraction c{s.value->args[0], s.value->args[1], {}};
  if (c.a->kind != expr::Kind::access || c.b->kind != expr::Kind::access) return refuse("a factor is not a tensor element");
  if (!bare_or_zero(c.a) || !bare_or_zero(c.b)) return refuse("a factor has a compound index");
  if (p.tensors[c.a->id].dtype != DType::f32 || p.tensors[c.b->id].dtype != DType::f32) return refuse("not f32");
  const std::vector<int> out = expr::free_axes(s), reduced = expr::reduced_axes(s);
  if (reduced.size() != 1) return refuse("not exactly one reduced axis");
  if (s.out_index.empty()) return refuse("a scalar result");
  for (const Expr& i : s.out_index)
    if (!expr::bare_axis(i) && i->kind != expr::Kind::literal) return refuse("compound index on the left");
  std::vector<int> order;
  for (const Expr& i : s.out_index)
    if (auto a = expr::bare_axis(i)) order.push_back(*a);
  if (order.empty()) return refuse("a scalar result");
  std::vector<int> in_a = expr::axes_of(c.a), in_b = expr::axes_of(c.b);
  if (!has(in_a, reduced[0]) || !has(in_b, reduced[0])) return refuse("the reduced axis is not in both factors");
  // Vectors run along the output's last axis, which must be B's alone.
  if (has(in_a, order.back()) && !has(in_b, order.back())) {
    std::swap(c.a, c.b);
    std::swap(in_a, in_b);
  }
  c.axes.k = reduced[0];
  for (int axis : order) {
    const bool a = has(in_a, axis), b = has(in_b, axis);
    if (a && b) c.axes.batch.push_back(axis);
    else if (a) c.axes.m.push_back(axis);
    else if (axis == order.back()) c.axes.n = axis;
    else c.axes.batch.push_back(axis);  // B's alone, but no column: A is the same for all of them
  }
  if (c.axes.n < 0) return refuse("no column axis");
  return c;
}

}  // namespace pit::fuse
