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

LateLeaves::LateLeaves(const graph::Graph& g, const Known& known) : g_(g), known_(known), governed_(g) {}

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
  if ((!zeros && !masks) || !governed_.by(v, kWorthwhile)) return false;
  if (masks) {
    result = leaf_facts(p, g_, v, known_);
    return true;
  }
  const MaskId nonzero = p.leaf(v, Predicate::nonzero);
  result.nonzero = p.and_(result.nonzero, nonzero);
  if (truth) result.truth = nonzero;
  return true;
}

}  // namespace pit::sparsity
