// The driver: known values, facts forward, demand backward, what must be computed.
#include "sparsity/analysis.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "pit/error.h"
#include "sparsity/bounds.h"
#include "sparsity/control.h"
#include "sparsity/demand.h"
#include "sparsity/facts.h"

namespace pit::sparsity {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Value;

namespace {

/// Formulas beyond this are not built: the rest of the graph is widened.
constexpr int max_mask_nodes = 100000;

IndexContext context(const Graph& g, const Node& n, const std::vector<char>& known) {
  IndexContext c;
  c.graph = &g;
  c.node = &n;
  c.known = &known;
  std::size_t in = 0, out = 0;
  for (const auto& t : n.program.tensors) {
    if (t.role == expr::Role::input) c.tensor_values.push_back(n.inputs[in++]);
    else c.tensor_values.push_back(t.role == expr::Role::output ? n.outputs[out++] : -1);
  }
  return c;
}

class Analyzer {
 public:
  Analyzer(const Graph& g, const std::vector<OutputDemand>& outputs, const AnalysisOptions& options)
      : g_(g), options_(options), a_(g), p_(a_.masks), known_(classify(g)) {
    demand_outputs(outputs);
  }

  Analysis run() {
    forward();
    backward();
    settle();
    return std::move(a_);
  }

 private:
  const std::vector<Dim>& dims(ValueId v) const { return g_.values[static_cast<std::size_t>(v)].dims; }

  void demand_outputs(const std::vector<OutputDemand>& outputs) {
    for (const Value& v : g_.values) demand_.push_back(p_.nothing(v.dims));
    for (const OutputDemand& o : outputs) {
      MaskId& d = demand_[static_cast<std::size_t>(o.value)];
      d = o.mask < 0 || !options_.enabled ? p_.everything(dims(o.value)) : p_.or_(d, declared(o));
    }
  }

  MaskId declared(const OutputDemand& o) {
    const Value &value = g_.values[static_cast<std::size_t>(o.value)], &mask = g_.values[static_cast<std::size_t>(o.mask)];
    auto misfit = [&](const std::string& why) {
      throw InputError(fmt::format("the mask '{}' does not fit the output '{}': {}", mask.name, value.name, why), {}, value.name);
    };
    if (!known_.leaf[static_cast<std::size_t>(o.mask)]) misfit("it must be an integer or boolean input of the model");
    if (mask.dims.size() > value.dims.size()) {
      misfit(fmt::format("it has rank {}, the output {}; the mask's axes are the leading axes of the output", mask.dims.size(), value.dims.size()));
    }
    std::vector<int> order(value.dims.size(), -1);
    for (std::size_t i = 0; i < mask.dims.size(); ++i) {
      // Two symbols may turn out to be equal (the plan checks that); a symbol and a number are different axes.
      const bool number = g_.dims.constant_value(mask.dims[i]) || g_.dims.constant_value(value.dims[i]);
      if (number && !(mask.dims[i] == value.dims[i])) {
        misfit(fmt::format("axis {} has extent {}, the output's {}", i, g_.dims.print(mask.dims[i]), g_.dims.print(value.dims[i])));
      }
      order[i] = static_cast<int>(i);
    }
    const MaskId leaf = p_.leaf(o.mask, Predicate::nonzero);
    for (std::size_t i = 0; i < mask.dims.size(); ++i) {
      if (p_.is_uniform(leaf, static_cast<int>(i))) order[i] = -1;
    }
    return p_.permute(leaf, order, value.dims);
  }

  void forward() {
    facts_.resize(g_.values.size());
    contexts_.resize(g_.nodes.size());
    programs_.resize(g_.nodes.size());
    a_.nodes.resize(g_.nodes.size());
    for (std::size_t v = 0; v < g_.values.size(); ++v) {
      const auto id = static_cast<ValueId>(v);
      const Value& value = g_.values[v];
      if (!options_.enabled) facts_[v] = ordinary(p_, value.dims);
      else if (value.is_constant() && !known_.weight[v]) facts_[v] = constant_facts(p_, g_, id);
      else if (value.producer < 0 && known_.leaf[v] && !value.is_constant()) facts_[v] = leaf_facts(p_, g_, id, known_.finite[v]);
      else facts_[v] = ordinary(p_, value.dims);
    }
    if (!options_.enabled) return;
    const Bounds bounds(g_);
    for (std::size_t n = 0; n < g_.nodes.size(); ++n) {
      const Node& node = g_.nodes[n];
      if (node.removed) continue;
      const auto out = static_cast<std::size_t>(node.outputs[0]);
      if (const auto truth = bounds.truth(node.outputs[0])) {
        Facts& f = facts_[out];
        f.nz = f.tru = *truth ? p_.everything(dims(node.outputs[0])) : p_.nothing(dims(node.outputs[0]));
        continue;
      }
      const bool by_leaves = known_.known[out] && known_.leaf[out] && !known_.seen_through[out];
      if (by_leaves || !node.opaque.empty() || p_.size() > max_mask_nodes) {
        for (ValueId v : node.outputs) {
          if (known_.leaf[static_cast<std::size_t>(v)]) facts_[static_cast<std::size_t>(v)] = leaf_facts(p_, g_, v, known_.finite[static_cast<std::size_t>(v)]);
        }
        continue;
      }
      ProgramFacts& f = program_facts(n);
      const IndexContext& c = contexts_[n];
      if (!f.analysable()) {
        a_.nodes[n].notes.push_back("widened: a temporary has merged or shifted dimensions");
        continue;
      }
      for (std::size_t t = 0; t < node.program.tensors.size(); ++t) {
        if (node.program.tensors[t].role != expr::Role::output) continue;
        facts_[static_cast<std::size_t>(c.tensor_values[t])] = f.tensor(static_cast<expr::TensorId>(t));
      }
      if (f.widened()) a_.nodes[n].notes.push_back("widened: an index that depends on data or on several axes");
    }
  }

  /// The forward analysis of a node; kept for the backward one.
  ProgramFacts& program_facts(std::size_t n) {
    if (!programs_[n]) {
      contexts_[n] = context(g_, g_.nodes[n], known_.known);
      programs_[n] = std::make_unique<ProgramFacts>(p_, contexts_[n], facts_);
    }
    return *programs_[n];
  }

  void backward() {
    for (std::size_t n = g_.nodes.size(); n-- > 0;) {
      const Node& node = g_.nodes[n];
      NodeFacts& facts = a_.nodes[n];
      facts.is_softmax = node.opaque.empty() && is_softmax(node.program);
      if (node.removed) continue;
      bool demanded = false;
      for (ValueId v : node.outputs) demanded = demanded || !p_.is_nothing(demand_[static_cast<std::size_t>(v)]);
      if (!demanded || !options_.enabled || !node.opaque.empty() || p_.size() > max_mask_nodes) {
        everything_or_nothing(node, facts, demanded);
        continue;
      }
      ProgramFacts& f = program_facts(n);
      const IndexContext& c = contexts_[n];
      if (!f.analysable()) {
        everything_or_nothing(node, facts, true);
        continue;
      }
      push_demand(f, c, demand_, facts);
    }
  }

  void everything_or_nothing(const Node& node, NodeFacts& facts, bool demanded) {
    for (std::size_t s = 0; s < node.program.statements.size(); ++s) {
      facts.statements.push_back({demanded ? p_.everything(node.extents) : p_.nothing(node.extents), -1});
    }
    if (!demanded) return;
    for (ValueId v : node.outputs) demand_[static_cast<std::size_t>(v)] = p_.everything(dims(v));
    for (ValueId v : node.inputs) demand_[static_cast<std::size_t>(v)] = p_.everything(dims(v));
    if (!node.opaque.empty() && options_.enabled) {
      facts.notes.push_back(fmt::format("widened to everything: no expression describes {}", node.op));
    }
  }

  // Control values are computed in full, before the masks that read them.
  void settle() {
    const std::size_t count = g_.values.size();
    std::vector<MaskId> roots;
    for (std::size_t v = 0; v < count; ++v) roots.push_back(p_.and_(demand_[v], facts_[v].nz));
    for (const NodeFacts& n : a_.nodes) {
      for (const StatementFacts& s : n.statements) roots.push_back(s.live);
    }
    std::vector<char> in_full(count, 0);
    for (ValueId v : p_.leaves(roots)) mark_ancestors(g_, v, in_full);
    for (std::size_t v = 0; v < count; ++v) {
      if (known_.control[v] && !p_.is_nothing(demand_[v])) mark_ancestors(g_, static_cast<ValueId>(v), in_full);
    }
    a_.control.assign(count, 0);
    for (std::size_t v = 0; v < count; ++v) {
      const Value& value = g_.values[v];
      const MaskId all = p_.everything(value.dims);
      a_.control[v] = !value.is_constant() && (known_.control[v] || in_full[v]);
      if (value.is_constant()) {
        a_.values.push_back({facts_[v].nz, all, all});
      } else if (in_full[v]) {
        a_.values.push_back({facts_[v].nz, all, all});
      } else {
        a_.values.push_back({facts_[v].nz, demand_[v], roots[v]});
      }
    }
    for (std::size_t n = 0; n < g_.nodes.size(); ++n) {
      const Node& node = g_.nodes[n];
      if (node.removed) continue;
      NodeFacts& facts = a_.nodes[n];
      const bool full = std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return in_full[static_cast<std::size_t>(v)]; });
      if (full) {
        for (StatementFacts& s : facts.statements) s = {p_.everything(node.extents), -1};
        facts.notes = {"control: computed in full, before the masks"};
      } else {
        explain(facts);
      }
    }
  }

  void explain(NodeFacts& facts) {
    if (!options_.enabled || facts.statements.empty()) return;
    const MaskId live = facts.statements.back().live;
    if (p_.is_nothing(live)) {
      facts.notes.push_back("nothing demanded");
    } else if (!p_.is_everything(live)) {
      std::set<std::string> sources;
      for (ValueId v : p_.leaves({live})) {
        std::vector<char> marked(g_.values.size(), 0);
        mark_ancestors(g_, v, marked);
        for (ValueId i : g_.inputs) {
          if (marked[static_cast<std::size_t>(i)]) sources.insert(g_.values[static_cast<std::size_t>(i)].name);
        }
      }
      std::string names;
      for (const auto& s : sources) names += (names.empty() ? "" : ", ") + s;
      facts.notes.push_back(fmt::format("live from {}: {}", names.empty() ? "the shapes" : names, p_.print(live)));
    }
  }

  const Graph& g_;
  const AnalysisOptions& options_;
  Analysis a_;
  MaskProgram& p_;
  Known known_;
  std::vector<Facts> facts_;
  std::vector<IndexContext> contexts_;  ///< per node, where it was analysed
  std::vector<std::unique_ptr<ProgramFacts>> programs_;
  std::vector<MaskId> demand_;
};

}  // namespace

Analysis analyze(const Graph& g, const std::vector<OutputDemand>& outputs, const AnalysisOptions& options) {
  return Analyzer(g, outputs, options).run();
}

}  // namespace pit::sparsity
