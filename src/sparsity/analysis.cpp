// The driver: known values, facts forward, demand backward, what must be computed.
#include "sparsity/analysis.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "pit/error.h"
#include "sparsity/demand.h"
#include "sparsity/forward.h"
#include "support/cancel.h"

namespace pit::sparsity {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Value;

namespace {

constexpr const char* kComputedInFull = "control: computed in full, before the masks";

class Analyzer {
 public:
  Analyzer(const Graph& g, const std::vector<OutputDemand>& outputs, const AnalysisOptions& options)
      : g_(g), options_(options), a_(g), p_(a_.masks) {
    a_.extent_inputs = graph::extent_inputs(g);
    a_.finds.assign(g.nodes.size(), 0);
    know(options.enabled ? Forward::Scope::everything : Forward::Scope::nothing);
    a_.late = a_.forward->late();
    demand_outputs(outputs);
  }

  Analysis run() {
    a_.required = demand_;
    if (a_.has_late()) rely();
    backward();
    settle();
    return std::move(a_);
  }

 private:
  void know(Forward::Scope scope) { a_.forward = std::make_shared<Forward>(g_, p_, scope); }

  // Whatever is not demanded here may be any number: outputs stay the same, as long as masks and kernels find the same
  // one.
  void rely() {
    const std::shared_ptr<Forward> forward = std::move(a_.forward);
    know(Forward::Scope::inputs);
    backward();
    a_.relied = std::exchange(demand_, a_.required);
    a_.nodes.clear();
    a_.forward = forward;
  }

  const Known& known() const { return a_.forward->known(); }
  const std::vector<Dim>& dims(ValueId v) const { return g_.values[static_cast<std::size_t>(v)].dims; }

  void demand_outputs(const std::vector<OutputDemand>& outputs) {
    for (const Value& v : g_.values) demand_.push_back(p_.nothing(v.dims));
    for (const OutputDemand& o : outputs) {
      MaskId& d = demand_[static_cast<std::size_t>(o.value)];
      d = o.mask < 0 || !options_.enabled ? p_.everything(dims(o.value)) : p_.or_(d, declared(o));
    }
  }

  MaskId declared(const OutputDemand& o) {
    const Value &value = g_.values[static_cast<std::size_t>(o.value)],
                &mask = g_.values[static_cast<std::size_t>(o.mask)];
    auto misfit = [&](const std::string& why) {
      throw InputError(fmt::format("the mask '{}' does not fit the output '{}': {}", mask.name, value.name, why), {},
                       value.name);
    };
    if (!known().leaf[static_cast<std::size_t>(o.mask)]) misfit("it must be an integer or boolean input of the model");
    if (mask.dims.size() > value.dims.size()) {
      misfit(fmt::format("it has rank {}, the output {}; the mask's axes are the leading axes of the output",
                         mask.dims.size(), value.dims.size()));
    }
    std::vector<int> order(value.dims.size(), -1);
    for (std::size_t i = 0; i < mask.dims.size(); ++i) {
      // Two symbols may turn out to be equal (the plan checks that); a symbol and a number are different axes.
      const bool number = g_.dims.constant_value(mask.dims[i]) || g_.dims.constant_value(value.dims[i]);
      if (number && !(mask.dims[i] == value.dims[i])) {
        misfit(fmt::format("axis {} has extent {}, the output's {}", i, g_.dims.print(mask.dims[i]),
                           g_.dims.print(value.dims[i])));
      }
      order[i] = static_cast<int>(i);
    }
    const MaskId leaf = p_.leaf(o.mask, Predicate::nonzero);
    for (std::size_t i = 0; i < mask.dims.size(); ++i) {
      if (p_.is_uniform(leaf, static_cast<int>(i))) order[i] = -1;
    }
    return p_.permute(leaf, order, value.dims);
  }

  void backward() {
    a_.nodes.resize(g_.nodes.size());
    for (const graph::Finder& f : graph::finders(g_)) a_.finds[static_cast<std::size_t>(f.node)] = 1;
    for (std::size_t n = g_.nodes.size(); n-- > 0;) {
      poll_cancel();
      const Node& node = g_.nodes[n];
      NodeFacts& facts = a_.nodes[n];
      facts.notes = a_.forward->notes(static_cast<NodeId>(n));
      facts.is_softmax = node.opaque.empty() && is_softmax(node.program);
      if (node.removed) continue;
      bool demanded = a_.finds[n] != 0;  // its result may not be read, but its extents are
      for (ValueId v : node.outputs) demanded = demanded || !p_.is_nothing(demand_[static_cast<std::size_t>(v)]);
      ProgramFacts* f = demanded ? a_.forward->program(static_cast<NodeId>(n)) : nullptr;
      if (f) push_demand(*f, a_.forward->context(static_cast<NodeId>(n)), demand_, facts);
      else everything_or_nothing(node, facts, demanded);
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
    for (std::size_t v = 0; v < count; ++v)
      roots.push_back(p_.and_(demand_[v], a_.forward->of(static_cast<ValueId>(v)).nonzero));
    for (const NodeFacts& n : a_.nodes) {
      for (const StatementFacts& s : n.statements) roots.push_back(s.live);
    }
    std::vector<char> in_full(count, 0);
    for (ValueId v : p_.leaves(roots))
      if (!a_.late[static_cast<std::size_t>(v)]) mark_ancestors(g_, a_.extent_inputs, v, in_full);
    for (std::size_t v = 0; v < count; ++v) {
      if (known().control[v] && !p_.is_nothing(demand_[v]))
        mark_ancestors(g_, a_.extent_inputs, static_cast<ValueId>(v), in_full);
    }
    a_.weight = known().weight;
    a_.control.assign(count, 0);
    for (std::size_t v = 0; v < count; ++v) {
      const Value& value = g_.values[v];
      const MaskId all = p_.everything(value.dims);
      a_.control[v] = !value.is_constant() && (known().control[v] || in_full[v]);
      if (value.is_constant()) {
        a_.values.push_back({a_.forward->of(static_cast<ValueId>(v)).nonzero, all, {}, all});
      } else if (in_full[v]) {
        a_.values.push_back({a_.forward->of(static_cast<ValueId>(v)).nonzero, all, {}, all});
      } else {
        a_.values.push_back({a_.forward->of(static_cast<ValueId>(v)).nonzero, demand_[v], {}, roots[v]});
      }
    }
    for (std::size_t n = 0; n < g_.nodes.size(); ++n) {
      const Node& node = g_.nodes[n];
      if (node.removed) continue;
      NodeFacts& facts = a_.nodes[n];
      const bool full = std::any_of(node.outputs.begin(), node.outputs.end(),
                                    [&](ValueId v) { return in_full[static_cast<std::size_t>(v)]; });
      if (full) {
        for (StatementFacts& s : facts.statements) s = {p_.everything(node.extents), -1};
        facts.notes = {kComputedInFull};
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
      auto [note, fresh] = live_notes_.try_emplace(live.id);
      if (fresh) note->second = fmt::format("live from {}: {}", sources(p_.leaves({live})), p_.print(live));
      facts.notes.push_back(note->second);
    }
  }

  /// The model's inputs behind some values, by name.
  std::string sources(const std::vector<ValueId>& values) {
    auto [text, fresh] = sources_.try_emplace(values);
    if (!fresh) return text->second;
    std::vector<char> marked(g_.values.size(), 0);
    for (ValueId v : values) mark_ancestors(g_, a_.extent_inputs, v, marked);
    std::set<std::string> names;
    for (ValueId i : g_.inputs) {
      if (marked[static_cast<std::size_t>(i)]) names.insert(g_.values[static_cast<std::size_t>(i)].name);
    }
    for (const auto& n : names) text->second += (text->second.empty() ? "" : ", ") + n;
    if (names.empty()) text->second = "the shapes";
    return text->second;
  }

  const Graph& g_;
  const AnalysisOptions& options_;
  Analysis a_;
  MaskProgram p_;
  std::vector<MaskId> demand_;
  std::map<std::int32_t, std::string> live_notes_;  ///< many statements have the same live terms
  std::map<std::vector<ValueId>, std::string> sources_;
};

}  // namespace

bool compute_in_full(const Graph& g, Analysis& a, const std::vector<ValueId>& values) {
  std::vector<char> in_full(g.values.size(), 0);
  for (ValueId v : values)
    if (!a.control[static_cast<std::size_t>(v)] && !a.late[static_cast<std::size_t>(v)])
      mark_ancestors(g, a.extent_inputs, v, in_full);
  bool fresh = false;
  for (std::size_t v = 0; v < g.values.size(); ++v) {
    if (!in_full[v] || a.control[v]) continue;
    fresh = true;
    const MaskId all = a.masks.everything(g.values[v].dims);
    a.control[v] = 1;
    a.values[v] = {a.values[v].nonzero, all, {}, all};
    if (g.values[v].producer < 0) continue;
    const auto n = static_cast<std::size_t>(g.values[v].producer);
    for (StatementFacts& s : a.nodes[n].statements) s = {a.masks.everything(g.nodes[n].extents), -1};
    a.nodes[n].notes = {kComputedInFull};
  }
  return fresh;
}

Analysis analyze(const Graph& g, const std::vector<OutputDemand>& outputs, const AnalysisOptions& options) {
  return Analyzer(g, outputs, options).run();
}

}  // namespace pit::sparsity
