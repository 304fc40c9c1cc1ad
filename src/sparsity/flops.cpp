#include "sparsity/flops.h"

#include "support/check.h"

namespace pit::sparsity {

using expr::Expr;
using expr::Fn;
using expr::Kind;

namespace {

/// The factors of a product that are tensor elements.
void factors(const Expr& e, std::vector<Expr>& out) {
  if (e->kind == Kind::call && e->fn == Fn::mul) {
    for (const Expr& a : e->args) factors(a, out);
  } else if (e->kind == Kind::access && !e->args.empty()) {
    out.push_back(e);
  }
}

}  // namespace

std::vector<Contraction> contractions(const graph::Graph& g, const Analysis& a) {
  std::vector<Contraction> found;
  for (std::size_t n = 0; n < g.nodes.size(); ++n) {
    const graph::Node& node = g.nodes[n];
    if (node.removed || !node.opaque.empty() || node.outputs.empty()) continue;
    if (a.control[static_cast<std::size_t>(node.outputs[0])]) continue;
    const std::vector<graph::ValueId> values = graph::tensor_values(node);
    for (std::size_t s = 0; s < node.program.statements.size(); ++s) {
      const expr::Statement& statement = node.program.statements[s];
      if (statement.combiner != expr::Combiner::sum || expr::reduced_axes(statement).empty()) continue;
      std::vector<Expr> f;
      factors(statement.value, f);
      if (f.size() != 2 || f[0]->id == f[1]->id) continue;
      const auto x = values[static_cast<std::size_t>(f[0]->id)], y = values[static_cast<std::size_t>(f[1]->id)];
      if (x < 0 || y < 0 || x == y) continue;
      const bool weight =
          g.values[static_cast<std::size_t>(x)].is_constant() || g.values[static_cast<std::size_t>(y)].is_constant();
      found.push_back({static_cast<graph::NodeId>(n), static_cast<int>(s), weight});
    }
  }
  return found;
}

std::vector<MaskId> flops_roots(const graph::Graph& g, const Analysis& a) {
  std::vector<MaskId> roots;
  for (const Contraction& c : contractions(g, a)) {
    roots.push_back(a.nodes[static_cast<std::size_t>(c.node)].statements[static_cast<std::size_t>(c.statement)].live);
  }
  return roots;
}

LiveFlops live_flops(const graph::Graph& g, const Analysis& a, const std::vector<MaskPtr>& masks,
                     const std::vector<std::int64_t>& dims) {
  LiveFlops total;
  for (const Contraction& c : contractions(g, a)) {
    const graph::Node& node = g.nodes[static_cast<std::size_t>(c.node)];
    const MaskId live =
        a.nodes[static_cast<std::size_t>(c.node)].statements[static_cast<std::size_t>(c.statement)].live;
    const MaskPtr& m = masks[static_cast<std::size_t>(live.id)];
    PIT_CHECK(m, "the live mask of {} was not evaluated", g.describe(c.node));
    const expr::Statement& s = node.program.statements[static_cast<std::size_t>(c.statement)];
    std::vector<char> used(node.extents.size(), 0);
    for (expr::AxisId x : expr::free_axes(s)) used[static_cast<std::size_t>(x)] = 1;
    for (expr::AxisId x : expr::reduced_axes(s)) used[static_cast<std::size_t>(x)] = 1;
    double dense = 1;
    for (std::size_t x = 0; x < used.size(); ++x) {
      if (used[x]) dense *= static_cast<double>(dims[static_cast<std::size_t>(node.extents[x].id)]);
    }
    const double fraction = m->fraction();
    (c.weight ? total.weight_dense : total.attention_dense) += dense;
    (c.weight ? total.weight_live : total.attention_live) += dense * fraction;
  }
  return total;
}

}  // namespace pit::sparsity
