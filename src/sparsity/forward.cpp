#include "sparsity/forward.h"

#include "sparsity/bounds.h"
#include "support/cancel.h"

namespace pit::sparsity {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Value;
using graph::ValueId;

namespace {

/// Formulas beyond this are not built: the rest of the graph is widened.
constexpr int kMaxMaskNodes = 100000;

}  // namespace

IndexContext index_context(const Graph& g, const Node& n, const std::vector<char>& known) {
  IndexContext c;
  c.graph = &g;
  c.node = &n;
  c.known = &known;
  c.tensor_values = graph::tensor_values(n);
  return c;
}

Forward::Forward(const Graph& g, MaskProgram masks, Scope scope)
    : g_(g),
      p_(std::move(masks)),
      known_(classify(g)),
      scope_(scope),
      late_leaves_(g, known_),
      late_(g.values.size(), 0) {
  contexts_.resize(g.nodes.size());
  programs_.resize(g.nodes.size());
  notes_.resize(g.nodes.size());
  start_values();
  if (scope_ == Scope::nothing) return;
  const Bounds bounds(g);
  for (std::size_t n = 0; n < g.nodes.size(); ++n) {
    if (g.nodes[n].removed) continue;
    poll_cancel();
    const ValueId out = g.nodes[n].outputs[0];
    if (const auto truth = bounds.truth(out)) {
      const std::vector<Dim>& dims = g.values[static_cast<std::size_t>(out)].dims;
      Facts& f = facts_[static_cast<std::size_t>(out)];
      f.nonzero = f.truth = *truth ? p_.everything(dims) : p_.nothing(dims);
      continue;
    }
    visit(static_cast<NodeId>(n));
    if (scope_ == Scope::everything) look_late(static_cast<NodeId>(n));
  }
}

void Forward::look_late(NodeId id) {
  const Node& node = g_.nodes[static_cast<std::size_t>(id)];
  for (const ValueId v : node.outputs) {
    const auto i = static_cast<std::size_t>(v);
    late_[i] = late_leaves_.add(p_, node, v, facts_, program(id), facts_[i]);
  }
}

void Forward::start_values() {
  for (std::size_t v = 0; v < g_.values.size(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const Value& value = g_.values[v];
    if (scope_ == Scope::nothing) facts_.push_back(ordinary(p_, value.dims));
    else if (value.is_constant() && !known_.weight[v]) facts_.push_back(constant_facts(p_, g_, id, known_));
    else if (value.producer < 0 && known_.leaf[v] && !value.is_constant())
      facts_.push_back(leaf_facts(p_, g_, id, known_));
    else if (value.is_constant()) facts_.push_back(ordinary(p_, value.dims));
    else facts_.push_back(unknown(p_, value.dims, value.dtype));
  }
}

void Forward::by_leaves(const Node& n) {
  for (ValueId v : n.outputs) {
    const auto i = static_cast<std::size_t>(v);
    if (known_.leaf[i]) facts_[i] = leaf_facts(p_, g_, v, known_);
  }
}

void Forward::visit(NodeId id) {
  const Node& node = g_.nodes[static_cast<std::size_t>(id)];
  const auto out = static_cast<std::size_t>(node.outputs[0]);
  if (known_.known[out] && known_.leaf[out] && !known_.seen_through[out]) return by_leaves(node);
  ProgramFacts* f = program(id);
  if (!f) {
    if (node.opaque.empty() && p_.size() <= kMaxMaskNodes) {
      notes_[static_cast<std::size_t>(id)].push_back("widened: a temporary has merged or shifted dimensions");
      return;
    }
    return by_leaves(node);
  }
  const IndexContext& c = context(id);
  for (std::size_t t = 0; t < node.program.tensors.size(); ++t) {
    if (node.program.tensors[t].role != expr::Role::output) continue;
    facts_[static_cast<std::size_t>(c.tensor_values[t])] = f->tensor(static_cast<expr::TensorId>(t));
  }
  if (f->widened())
    notes_[static_cast<std::size_t>(id)].push_back("widened: an index that depends on data or on several axes");
}

ProgramFacts& Forward::make(NodeId id) {
  const auto n = static_cast<std::size_t>(id);
  contexts_[n] = index_context(g_, g_.nodes[n], known_.known);
  programs_[n] = std::make_unique<ProgramFacts>(p_, contexts_[n], facts_);
  return *programs_[n];
}

ProgramFacts* Forward::program(NodeId id) {
  const auto n = static_cast<std::size_t>(id);
  if (scope_ == Scope::nothing || !g_.nodes[n].opaque.empty() || (!programs_[n] && p_.size() > kMaxMaskNodes))
    return nullptr;
  ProgramFacts& f = programs_[n] ? *programs_[n] : make(id);
  return f.analysable() ? &f : nullptr;
}

}  // namespace pit::sparsity
