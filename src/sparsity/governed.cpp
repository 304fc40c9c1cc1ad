#include "sparsity/governed.h"

#include <algorithm>

#include "sparsity/control.h"

namespace pit::sparsity {

using expr::Expr;
using graph::Node;
using graph::ValueId;

namespace {
constexpr std::int64_t kMiddling = 64;
/// Nodes that are looked through from a mask to what it decides about.
constexpr std::size_t kFar = 64;
}  // namespace

Governed::Governed(const graph::Graph& g)
    : g_(g),
      users_(g.users()),
      some_(g.dims.evaluate(std::vector<std::int64_t>(static_cast<std::size_t>(g.dims.symbol_count()), kMiddling))) {}

double Governed::size(const std::vector<graph::Dim>& dims) const {
  double elements = 1;
  for (const graph::Dim d : dims)
    if (d.id >= 0) elements *= static_cast<double>(std::max<std::int64_t>(some_[static_cast<std::size_t>(d.id)], 1));
  return elements;
}

bool Governed::by(ValueId v, double times) const {
  const double own = size(g_.values[static_cast<std::size_t>(v)].dims), wanted = times * own;
  double found = 0;
  std::vector<ValueId> open{v};
  std::vector<char> seen(g_.nodes.size(), 0);
  for (std::size_t i = 0; i < open.size() && i < kFar; ++i) {
    for (const auto& [user, position] : users_[static_cast<std::size_t>(open[i])]) {
      const Node& n = g_.nodes[static_cast<std::size_t>(user)];
      if (seen[static_cast<std::size_t>(user)] || n.removed || !n.opaque.empty()) continue;
      seen[static_cast<std::size_t>(user)] = 1;
      const double here = by_node(n, open[i]);
      if ((found += here) >= wanted) return true;
      if (here > 0 || is_model_work(g_, n)) continue;
      for (const ValueId out : n.outputs)
        if (size(g_.values[static_cast<std::size_t>(out)].dims) <= own) open.push_back(out);
    }
  }
  return false;
}

double Governed::by_node(const Node& n, ValueId v) const {
  const std::vector<ValueId> values = graph::tensor_values(n);
  const auto axes_of = [&](const Expr& e) {  // without those of one position
    std::vector<int> axes = expr::axes_of(e);
    std::erase_if(axes, [&](int a) { return g_.dims.is_constant(n.extents[static_cast<std::size_t>(a)], 1); });
    return axes;
  };
  double most = 0;
  for (const expr::Statement& s : n.program.statements) {
    std::vector<std::vector<int>> ours, others;
    expr::for_each_access(s.value, [&](const Expr& e) {
      const ValueId of = values[static_cast<std::size_t>(e->id)];
      if (of == v) ours.push_back(axes_of(e));
      else if (of < 0 || !g_.values[static_cast<std::size_t>(of)].is_constant()) others.push_back(axes_of(e));
    });
    for (const std::vector<int>& a : ours) {
      for (const std::vector<int>& b : others) {
        const auto in_b = [&](int axis) { return std::find(b.begin(), b.end(), axis) != b.end(); };
        if (b.size() <= a.size() || !std::all_of(a.begin(), a.end(), in_b)) continue;
        std::vector<graph::Dim> space;
        for (const int axis : b) space.push_back(n.extents[static_cast<std::size_t>(axis)]);
        most = std::max(most, size(space));
      }
    }
  }
  return most;
}

}  // namespace pit::sparsity
