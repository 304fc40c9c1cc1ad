// What PIT found in a model: first collected into one report, then written for people or as JSON.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "api/describe.h"
#include "api/text.h"
#include "runtime/attention.h"
#include "sparsity/flops.h"
#include "support/check.h"

namespace pit {
namespace {

using api::Json;
using api::StepInfo;
using compile::Program;
using graph::Graph;
using graph::NodeId;
using graph::ValueId;

struct Operator {
  std::string op, name, expression, opaque;
  const expr::Program* program = nullptr;  ///< null: no expression
  std::vector<rules::AxisRule> axes;
  std::vector<std::string> notes;
};

/// What a step reads of a value: the formula, over the value's own axes.
struct Read {
  std::string value, type, formula;
};

/// An extent that the step finds in its data; with inputs, its value.
struct Found {
  std::string extent;
  std::optional<std::int64_t> value;
};

struct StepReport {
  StepInfo info;
  std::string live, rule, why;
  int live_set = -1;  ///< into Report::live_sets; -1: dense, or none
  std::optional<double> live_fraction;
  std::vector<double> k_fractions;
  std::vector<Read> reads;
  std::vector<Found> finds;
  std::vector<Operator> operators;
};

/// A set of rows that steps share: equal formulas are one mask, so layers share it.
struct LiveSet {
  sparsity::MaskId mask;
  std::string rows, formula;
  std::vector<std::string> sources;  ///< inputs of the model
  std::vector<std::string> found;    ///< computed values whose elements the run looks at
  int behind = -1;                   ///< the step that makes the last of these
  std::optional<double> fraction;
  int steps = 0;
};

struct Report {
  std::vector<StepReport> steps;  ///< with views, in execution order
  std::vector<LiveSet> live_sets;
  std::vector<std::string> notes;
  std::optional<sparsity::LiveFlops> flops;
  std::size_t operators = 0;
};

// -- collecting
// -----------------------------------------------------------------------------------------------------------

Operator describe_operator(const Program& p, NodeId id) {
  const graph::Node& n = p.graph.nodes[id];
  Operator o{n.op, n.name, {}, n.opaque, nullptr, {}, p.analysis->nodes[id].notes};
  if (n.opaque.empty()) {
    o.program = &n.program;
    o.expression = expr::print(n.program);
    o.axes = rules::infer(n.program);
  }
  return o;
}

std::vector<Read> reads_of(const Program& p, const StepInfo& s) {
  std::set<ValueId> inside;
  for (NodeId n : s.nodes) inside.insert(p.graph.nodes[n].outputs.begin(), p.graph.nodes[n].outputs.end());
  std::vector<Read> reads;
  std::set<ValueId> seen;
  for (int g : s.groups)
    for (ValueId v : p.fusion.groups[g].reads) {
      const graph::Value& value = p.graph.values[v];
      if (value.is_constant() || inside.count(v) || !seen.insert(v).second) continue;
      const sparsity::MaskId demand = p.analysis->values[v].demand;
      std::string formula =
          p.analysis->control[v] || value.input >= 0 || demand.id < 0 ? "everything" : p.analysis->masks.print(demand);
      reads.push_back({value.name, api::type_text(p.graph, v), std::move(formula)});
    }
  return reads;
}

std::vector<Found> finds_of(const Program& p, const StepInfo& s, const api::Snapshot* snapshot) {
  std::vector<Found> finds;
  for (const compile::Phase& phase : p.phases)
    for (const graph::Finder& f : phase.finders) {
      if (phase.after != s.step) continue;
      const graph::Value& v = p.graph.values[p.graph.nodes[f.node].outputs[f.output]];
      finds.push_back({p.graph.dims.symbol_name(f.symbol), std::nullopt});
      if (snapshot) finds.back().value = snapshot->dims()[v.dims[f.dim].id];
    }
  return finds;
}

StepReport describe_step(const Program& p, StepInfo info, const api::Snapshot* snapshot) {
  const api::Masks* masks = snapshot ? &snapshot->masks() : nullptr;
  StepReport r;
  const fuse::Group& group = p.group(p.steps[info.step]);
  r.live = api::live_text(p, info);
  r.rule = api::rule_text(p, info, masks);
  r.why = group.why;
  if (info.number >= 0) r.reads = reads_of(p, info);
  r.finds = finds_of(p, info, snapshot);
  for (NodeId n : info.nodes) r.operators.push_back(describe_operator(p, n));
  if (masks) {
    r.live_fraction = api::live_fraction(p, info, *masks);
    r.k_fractions = api::k_fractions(p, info, *masks);
  }
  r.info = std::move(info);
  return r;
}

LiveSet live_set(const Program& p, const StepReport& s, sparsity::MaskId mask, const std::vector<StepReport>& steps) {
  LiveSet l{.mask = mask,
            .rows = api::rows_text(p, s.info),
            .formula = p.analysis->masks.print(mask),
            .sources = api::sources_of(p, {mask}),
            .found = {},
            .fraction = s.live_fraction};
  for (const ValueId v : p.analysis->masks.leaves({mask})) {
    if (p.analysis->late[v] == 0) continue;
    l.found.push_back(p.graph.values[v].name);
    const int group = p.fusion.group_of[p.graph.values[v].producer];
    for (const StepReport& other : steps)
      if (std::count(other.info.groups.begin(), other.info.groups.end(), group) > 0)
        l.behind = std::max(l.behind, other.info.number);
  }
  return l;
}

std::vector<LiveSet> collect_live_sets(const Program& p, std::vector<StepReport>& steps) {
  std::vector<LiveSet> sets;
  for (StepReport& s : steps) {
    const sparsity::MaskId mask = api::live_mask(p, s.info);
    if (mask.id < 0 || p.analysis->masks.is_everything(mask)) continue;
    const auto it = std::find_if(sets.begin(), sets.end(), [&](const LiveSet& l) { return l.mask == mask; });
    s.live_set = static_cast<int>(it - sets.begin());
    if (it == sets.end()) sets.push_back(live_set(p, s, mask, steps));
    ++sets[s.live_set].steps;
  }
  return sets;
}

// Contractions with weights that compute every row.
std::set<std::pair<NodeId, int>> dense_contractions(const Graph& g, const sparsity::Analysis& a) {
  std::set<std::pair<NodeId, int>> dense;
  for (const sparsity::Contraction& c : sparsity::contractions(g, a))
    if (c.weight && a.masks.is_everything(a.nodes[c.node].statements[c.statement].live))
      dense.insert({c.node, c.statement});
  return dense;
}

double share(double live, double dense) { return dense > 0 ? live / dense : 1.0; }

// What declaring output `o` by the input `mask` would save, in words; empty if nothing.
std::string declaration_note(const Program& p, std::size_t o, ValueId mask, const api::Snapshot* snapshot,
                             const Report& report) {
  const Graph& g = p.graph;
  std::vector<sparsity::OutputDemand> demands = p.demands;
  demands[o].mask = mask;
  const sparsity::Analysis declared = sparsity::analyze(g, demands);
  const std::string &output = g.output_names[o], &input = g.values[mask].name;
  const std::string head = fmt::format(
      "output '{0}' is demanded in full; declared as outputs={{\"{0}\": \"{1}\"}}, only where '{1}' is non-zero, ",
      output, input);
  if (snapshot) {
    const auto would = snapshot->flops(declared);
    if (!would || would->weight_live > 0.999 * report.flops->weight_live) return {};
    return head + fmt::format(
                      "these inputs would need {:.3f} of the weight FLOPs instead of {:.3f}, and {:.3f} of the "
                      "attention FLOPs instead of {:.3f}",
                      share(would->weight_live, would->weight_dense),
                      share(report.flops->weight_live, report.flops->weight_dense),
                      share(would->attention_live, would->attention_dense),
                      share(report.flops->attention_live, report.flops->attention_dense));
  }
  const auto before = dense_contractions(g, *p.analysis), after = dense_contractions(g, declared);
  if (before.size() <= after.size()) return {};
  return head + fmt::format("{} of the {} weight matmuls that compute every row now would compute live rows only",
                            before.size() - after.size(), before.size());
}

// An output that is demanded in full keeps everything alive that it is computed from. Which of its rows matter only the
// caller knows; a mask that the model itself uses is the likely answer.
void note_declarations(const Program& p, const api::Snapshot* snapshot, Report& report) {
  const Graph& g = p.graph;
  std::vector<sparsity::MaskId> masks;
  for (const compile::Step& s : p.steps)
    for (sparsity::MaskId m : {s.rows.live, s.contraction.live, s.contraction.live_k})
      if (m.id >= 0) masks.push_back(m);
  const std::vector<std::string> sources = api::sources_of(p, masks);
  for (std::size_t o = 0; o < g.outputs.size() && o < p.demands.size(); ++o) {
    const graph::Value& output = g.values[g.outputs[o]];
    if (p.demands[o].mask >= 0 || output.dtype != DType::f32) continue;
    for (std::size_t i = 0; i < g.inputs.size(); ++i) {
      const graph::Value& input = g.values[g.inputs[i]];
      const bool fits = input.dtype != DType::f32 && input.dims.size() >= 2 &&
                        input.dims.size() <= output.dims.size() &&
                        std::equal(input.dims.begin(), input.dims.end(), output.dims.begin());
      if (!fits || std::find(sources.begin(), sources.end(), g.input_names[i]) == sources.end()) continue;
      std::string note = declaration_note(p, o, g.inputs[i], snapshot, report);
      if (!note.empty()) report.notes.push_back(std::move(note));
    }
  }
}

// What stays dense or slow, and why: one note per kind of operator and reason.
void note_limits(Report& report) {
  std::map<std::pair<std::string, std::string>, int> counts;
  for (const StepReport& s : report.steps) {
    if (s.info.kind == "control") continue;
    for (const Operator& o : s.operators) {
      if (s.info.kind == "reference")
        ++counts[{o.op, o.opaque.empty() ? "no generated kernel, computed by the interpreter (" + s.why + ")"
                                         : "library routine " + o.opaque}];
      for (const std::string& n : o.notes)
        if (n.rfind("widened", 0) == 0) ++counts[{o.op, n}];
    }
  }
  for (const auto& [what, count] : counts)
    report.notes.push_back(fmt::format("{} x {}: {}", count, what.first, what.second));
}

Report collect(const Model::Impl& m, const std::map<std::string, TensorView>* inputs) {
  const Program& p = *m.program;
  Report report;
  Model::Impl::Bound bound;
  std::optional<api::Snapshot> snapshot;
  if (inputs) {
    bound = m.bind(*inputs);
    snapshot.emplace(m, bound);
    report.flops = snapshot->flops(*p.analysis);
    PIT_CHECK(report.flops, "a mask reads a value that was not kept");
  }
  const api::Snapshot* known = snapshot ? &*snapshot : nullptr;
  for (StepInfo& s : api::steps_of(p)) report.steps.push_back(describe_step(p, std::move(s), known));
  report.live_sets = collect_live_sets(p, report.steps);
  report.notes = p.analysis->notes;
  if (m.sparse) note_declarations(p, known, report);
  note_limits(report);
  report.operators = p.graph.nodes.size();
  return report;
}

// -- JSON
// -----------------------------------------------------------------------------------------------------------------

Json tensors_json(const std::vector<TensorInfo>& infos) {
  Json list = Json::array();
  for (const TensorInfo& t : infos)
    list.push_back({{"name", t.name}, {"dtype", name_of(t.dtype)}, {"shape", t.shape}, {"dims", t.dims}});
  return list;
}

Json operator_json(const StepReport& s, const Operator& o) {
  Json j{{"op", o.op}, {"name", o.name}, {"step", s.info.number}, {"kind", s.info.kind}, {"expression", o.expression}};
  j["axes"] = o.program ? api::axes_json(*o.program, o.axes) : Json::array();
  if (!o.opaque.empty()) j["opaque"] = o.opaque;
  j["live"] = s.live;
  if (s.live_fraction) j["live_fraction"] = *s.live_fraction;
  Json demand = Json::array();
  for (const Read& r : s.reads) demand.push_back({{"value", r.value}, {"type", r.type}, {"elements", r.formula}});
  j["demand"] = std::move(demand);
  j["rule"] = s.rule;
  j["notes"] = o.notes;
  if (!s.why.empty()) j["why"] = s.why;
  return j;
}

std::string explain_json(const Model::Impl& m, const Report& r) {
  const Program& p = *m.program;
  Json j{{"inputs", tensors_json(m.inputs)},
         {"outputs", tensors_json(m.outputs)},
         {"kernels", p.code_report},
         {"packed_bytes", p.packed_bytes()}};
  if (r.flops) {
    const sparsity::LiveFlops& f = *r.flops;
    j["weight_flops_live"] = share(f.weight_live, f.weight_dense);
    j["attention_flops_live"] = share(f.attention_live, f.attention_dense);
    j["weight_flops"] = 2 * f.weight_dense;  // a multiply-add counts as two
    j["attention_flops"] = 2 * f.attention_dense;
  }
  j["notes"] = r.notes;
  Json sets = Json::array();
  for (const LiveSet& l : r.live_sets) {
    Json set{{"rows", l.rows}, {"formula", l.formula}, {"inputs", l.sources}, {"steps", l.steps}};
    if (l.fraction) set["live_fraction"] = *l.fraction;
    if (!l.found.empty()) set["found_in"] = l.found, set["behind_step"] = l.behind;
    sets.push_back(std::move(set));
  }
  j["live_sets"] = std::move(sets);
  Json steps = Json::array(), operators = Json::array();
  for (const StepReport& s : r.steps) {
    for (const Operator& o : s.operators) operators.push_back(operator_json(s, o));
    if (s.info.number < 0) continue;
    Json step{{"step", s.info.number}, {"kind", s.info.kind}, {"live", s.live}, {"rule", s.rule}};
    if (s.live_fraction) step["live_fraction"] = *s.live_fraction;
    if (!s.k_fractions.empty()) step["live_terms"] = s.k_fractions;
    for (const Found& f : s.finds) step["finds"][f.extent] = f.value ? Json(*f.value) : Json();
    steps.push_back(std::move(step));
  }
  j["steps"] = std::move(steps);
  j["operators"] = std::move(operators);
  return api::dump(j);
}

// -- for people
// -----------------------------------------------------------------------------------------------------------

constexpr std::size_t kExpressionColumns = 100;

std::string tensor_text(const TensorInfo& t) {
  std::string dims;
  for (const std::string& d : t.dims) dims += (dims.empty() ? "" : ", ") + d;
  return fmt::format("{} {}[{}]", t.name, name_of(t.dtype), dims);
}

// "  label     text", the text wrapped under itself.
std::string field(std::string_view label, std::string_view text) {
  const std::string head = fmt::format("  {:<10}", label);
  return head + api::wrap(text, head.size(), head.size()) + '\n';
}

std::string summary_text(const Model::Impl& m, const Report& r) {
  const Program& p = *m.program;
  std::string text = "MODEL\n";
  for (std::size_t i = 0; i < m.inputs.size(); ++i) text += field(i == 0 ? "inputs" : "", tensor_text(m.inputs[i]));
  for (std::size_t i = 0; i < m.outputs.size(); ++i) {
    std::string line = tensor_text(m.outputs[i]);
    if (i < p.demands.size() && p.demands[i].mask >= 0)
      line += fmt::format(" (demanded where {} is non-zero)", p.graph.values[p.demands[i].mask].name);
    text += field(i == 0 ? "outputs" : "", line);
  }
  std::vector<std::pair<std::string, int>> kinds;
  int views = 0, steps = 0;
  for (const StepReport& s : r.steps) {
    if (s.info.number < 0) {
      views += static_cast<int>(s.operators.size());
      continue;
    }
    ++steps;
    auto it = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == s.info.kind; });
    if (it == kinds.end()) kinds.emplace_back(s.info.kind, 1);
    else ++it->second;
  }
  std::string counts;
  for (const auto& [kind, count] : kinds) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, kind);
  text += field("operators", fmt::format("{}; {} of them views that cost nothing, the others in {} steps: {}",
                                         r.operators, views, steps, counts));
  text += field("kernels", p.code_report);
  text += field("weights", api::bytes_text(static_cast<double>(p.packed_bytes())) + " packed");
  for (const std::string& n : r.notes) text += field(&n == r.notes.data() ? "notes" : "", n);
  return text;
}

std::string flops_text(const Program& p, const sparsity::LiveFlops& f) {
  std::string text = "\nLIVE SHARE OF THESE INPUTS\n";
  const lower::TileShape tile = lower::tile_shape(p.target);
  text += field("weights", fmt::format("{:.4f} of {:.4g} GFLOP in matmuls with constant weights",
                                       share(f.weight_live, f.weight_dense), 2e-9 * f.weight_dense));
  text += field("attention", fmt::format("{:.4f} of {:.4g} GFLOP in matmuls of computed operands",
                                         share(f.attention_live, f.attention_dense), 2e-9 * f.attention_dense));
  text +=
      field("", fmt::format("(elements; kernels take live rows by {}, and attention live keys by {} per {} query rows)",
                            tile.rows, tile.lanes * tile.vectors, runtime::kAttentionRows));
  return text;
}

std::string live_sets_text(const Report& r) {
  if (r.live_sets.empty()) return {};
  constexpr std::size_t formula_columns = 300;
  std::string text = "\nLIVE SETS\n";
  for (std::size_t i = 0; i < r.live_sets.size(); ++i) {
    const LiveSet& l = r.live_sets[i];
    std::string sources;
    for (const std::string& s : l.sources) sources += (sources.empty() ? "" : ", ") + s;
    if (!l.found.empty()) sources = fmt::format("what step {} finds ({})", l.behind, fmt::join(l.found, ", "));
    std::string head = fmt::format("rows {} from {}, of {} step{}", l.rows, sources.empty() ? "the shapes" : sources,
                                   l.steps, l.steps == 1 ? "" : "s");
    if (l.fraction) head += fmt::format(": {:.4f} of them live", *l.fraction);
    text += field(fmt::format("L{}", i), head) + field("", api::shorten(l.formula, formula_columns));
  }
  return text;
}

std::string operator_text(const Operator& o, std::string_view head) {
  std::string text = fmt::format("{}{}{}\n", head, o.op, o.name.empty() ? "" : " '" + o.name + "'");
  if (!o.program) return text + fmt::format("      no expression: library routine {}\n", o.opaque);
  text += fmt::format("      {}\n", api::shorten(o.expression, kExpressionColumns));
  for (const std::string& l : api::axes_lines(*o.program, o.axes)) text += "      " + api::wrap(l, 6, 8) + '\n';
  for (const std::string& n : o.notes) {
    if (n.rfind("live from", 0) == 0 || n.rfind("control", 0) == 0) continue;  // the step says it
    text += "      note: " + api::wrap(n, 12, 12) + '\n';
  }
  return text;
}

// Names that exporters make up say most at their end.
std::string short_name(const std::string& name) {
  constexpr std::size_t columns = 40;
  return api::width_of(name) <= columns || name.size() != api::width_of(name)
             ? name
             : "..." + name.substr(name.size() - columns + 3);
}

// A formula by the live set that it is, or shortened to what is left of a line.
std::string read_text(const Read& r, const Report& report) {
  const std::string head = fmt::format("{} {}: ", short_name(r.value), r.type);
  for (std::size_t i = 0; i < report.live_sets.size(); ++i)
    if (report.live_sets[i].formula == r.formula) return head + fmt::format("as L{}", i);
  return api::shorten(head + r.formula, api::kPageWidth - 12);
}

std::string step_text(const StepReport& s, const Report& report) {
  std::string text;
  if (s.info.number < 0) {
    for (const Operator& o : s.operators) text += operator_text(o, "\nview  ");
    return text;
  }
  constexpr std::size_t line = api::kPageWidth - 12;
  text = fmt::format("\nstep {}  {}", s.info.number, s.info.kind);
  if (s.live_fraction) text += fmt::format("  {:.4f} of rows live", *s.live_fraction);
  if (!s.k_fractions.empty()) text += fmt::format(", {:.4f} of terms", s.k_fractions.back());
  text += '\n' + field("rule", s.rule);
  text += field("live", api::shorten((s.live_set < 0 ? "" : fmt::format("L{}, ", s.live_set)) + s.live, line));
  if (s.info.kind == "reference") text += field("no kernel", s.why);
  for (const Found& f : s.finds)
    text += field("finds", f.value ? fmt::format("{} = {}", f.extent, *f.value) : f.extent);
  if (s.info.kind != "control")
    for (const Read& r : s.reads) text += field(&r == s.reads.data() ? "reads" : "", read_text(r, report));
  for (const Operator& o : s.operators) text += operator_text(o, "  ");
  return text;
}

std::string explain_text(const Model::Impl& m, const Report& r) {
  std::string text = summary_text(m, r);
  if (r.flops) text += flops_text(*m.program, *r.flops);
  text += live_sets_text(r);
  text += "\nSTEPS\n";
  for (const StepReport& s : r.steps) text += step_text(s, r);
  return text;
}

}  // namespace

std::string explain_model(const Model::Impl& m, const std::map<std::string, TensorView>* inputs, bool json) {
  const Report report = collect(m, inputs);
  return json ? explain_json(m, report) : explain_text(m, report);
}

}  // namespace pit
