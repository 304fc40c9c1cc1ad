#include "sparsity/late.h"

#include <algorithm>

namespace pit::sparsity {

using expr::Expr;
using expr::Fn;
using expr::Kind;
using graph::Node;
using graph::ValueId;

namespace {

/// Elements that one element of a mask decides about, on average, from which on looking at it pays.
constexpr double kWorthwhile = 16;
constexpr std::int64_t kMiddling = 64;
/// Nodes that are looked through from a candidate to what it decides about.
constexpr std::size_t kFar = 64;

/// What scatters makes its result out of its first operand.
bool scatters(const Node& n) { return n.opaque.starts_with("scatter") || expr::scatters(n.program); }

/// Whether a condition of which nothing is known selects between something and zero.
bool selects_zero(MaskProgram& p, ProgramFacts& f, const Expr& e) {
  if (e->kind != Kind::call) return false;
  if (e->fn == Fn::cast) return e->args[0]->kind == Kind::call && gives_truth(e->args[0]->fn);
  if (e->fn == Fn::mul) return selects_zero(p, f, e->args[0]) || selects_zero(p, f, e->args[1]);
  if (e->fn != Fn::select) return false;
  const Facts& c = f.of(e->args[0]);
  return p.is_everything(c.nonzero) && p.is_nothing(c.truth) &&
         (p.is_nothing(f.of(e->args[1]).nonzero) || p.is_nothing(f.of(e->args[2]).nonzero));
}

bool selects_zero(MaskProgram& p, ProgramFacts& f, const expr::Statement& s) {
  f.enter(s);
  return s.combiner == expr::Combiner::assign && selects_zero(p, f, s.value);
}

}  // namespace

LateLeaves::LateLeaves(const graph::Graph& g, const Known& known)
    : g_(g),
      known_(known),
      users_(g.users()),
      some_(g.dims.evaluate(std::vector<std::int64_t>(static_cast<std::size_t>(g.dims.symbol_count()), kMiddling))) {}

bool LateLeaves::add(MaskProgram& p, const Node& n, ValueId v, const std::vector<Facts>& facts, ProgramFacts* f,
                     Facts& result) {
  const graph::Value& value = g_.values[static_cast<std::size_t>(v)];
  if (known_.known[static_cast<std::size_t>(v)] || value.has_elements || value.is_constant()) return false;
  const bool truth = value.dtype == DType::b8 && p.is_everything(result.nonzero) && p.is_nothing(result.truth);
  bool zeros = truth, masks = false;
  if (scatters(n)) {
    const Facts& base = facts[static_cast<std::size_t>(n.inputs[0])];
    zeros = zeros || p.is_nothing(base.nonzero);
    masks = p.is_nothing(base.live);
  } else if (f && n.program.statements.size() == 1) {
    zeros = zeros || selects_zero(p, *f, n.program.statements[0]);
  }
  if ((!zeros && !masks) || !governs(v)) return false;
  if (masks) {
    result = leaf_facts(p, g_, v, known_);
    return true;
  }
  const MaskId nonzero = p.leaf(v, Predicate::nonzero);
  result.nonzero = p.and_(result.nonzero, nonzero);
  if (truth) result.truth = nonzero;
  return true;
}

double LateLeaves::size(const std::vector<graph::Dim>& dims) const {
  double elements = 1;
  for (const graph::Dim d : dims)
    if (d.id >= 0) elements *= static_cast<double>(std::max<std::int64_t>(some_[static_cast<std::size_t>(d.id)], 1));
  return elements;
}

bool LateLeaves::governs(ValueId v) const {
  const double wanted = kWorthwhile * size(g_.values[static_cast<std::size_t>(v)].dims);
  double found = 0;
  std::vector<ValueId> open{v};
  std::vector<char> seen(g_.nodes.size(), 0);
  for (std::size_t i = 0; i < open.size() && i < kFar; ++i) {
    for (const auto& [user, position] : users_[static_cast<std::size_t>(open[i])]) {
      const Node& n = g_.nodes[static_cast<std::size_t>(user)];
      if (seen[static_cast<std::size_t>(user)] || n.removed || !n.opaque.empty()) continue;
      seen[static_cast<std::size_t>(user)] = 1;
      const double here = governed(n, open[i]);
      if ((found += here) >= wanted) return true;
      if (here > 0 || is_model_work(g_, n)) continue;
      for (const ValueId out : n.outputs)
        if (size(g_.values[static_cast<std::size_t>(out)].dims) <= wanted / kWorthwhile) open.push_back(out);
    }
  }
  return false;
}

double LateLeaves::governed(const Node& n, ValueId v) const {
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
