// What PIT found in a model: first collected into one report, then written for people or as JSON.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "api/describe.h"
#include "api/text.h"
#include "sparsity/flops.h"
#include "support/check.h"

namespace pit {
namespace {

using api::Json;
using api::StepInfo;
using graph::Graph;
using graph::NodeId;
using graph::ValueId;
using runtime::Program;

struct Operator {
  std::string op, name, expression, opaque;
  const expr::Program* program = nullptr;  ///< null: no expression
  std::vector<rules::AxisRule> axes;
  std::vector<std::string> notes;
};

/// What a step reads of a value: the formula, over the value's own axes.
struct Read { std::string value, type, formula; };

struct StepReport {
  StepInfo info;
  std::string live, rule, why;
  std::optional<double> live_fraction;
  std::vector<double> term_fractions;
  std::vector<Read> reads;
  std::vector<Operator> operators;
};

struct Report {
  std::vector<StepReport> steps;  ///< with views, in execution order
  std::vector<std::string> notes;
  std::optional<sparsity::LiveFlops> flops;
  std::size_t operators = 0;
};

// -- collecting -----------------------------------------------------------------------------------------------------------

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
      std::string formula = p.analysis->control[v] || value.input >= 0 ? "known before the masks"
                            : demand.id < 0                            ? "everything"
                                                                       : p.analysis->masks.print(demand);
      reads.push_back({value.name, api::type_text(p.graph, v), std::move(formula)});
    }
  return reads;
}

StepReport describe_step(const Program& p, StepInfo info, const api::Masks* masks) {
  StepReport r;
  const fuse::Group& group = p.group(p.steps[info.step]);
  r.live = api::live_text(p, info);
  r.rule = api::rule_text(p, info, masks);
  r.why = group.why;
  if (info.number >= 0) r.reads = reads_of(p, info);
  for (NodeId n : info.nodes) r.operators.push_back(describe_operator(p, n));
  if (masks) {
    r.live_fraction = api::live_fraction(p, info, *masks);
    r.term_fractions = api::term_fractions(p, info, *masks);
  }
  r.info = std::move(info);
  return r;
}

Report collect(const Model::Impl& m, const std::map<std::string, TensorView>* inputs) {
  const Program& p = *m.program;
  Report report;
  api::Masks masks;
  if (inputs) {
    const Model::Impl::Bound bound = m.bind(*inputs);
    masks = api::concrete_masks(m, bound);
    report.flops = sparsity::live_flops(p.graph, *p.analysis, masks, bound.plan->dims);
  }
  for (StepInfo& s : api::steps_of(p)) report.steps.push_back(describe_step(p, std::move(s), inputs ? &masks : nullptr));
  report.notes = p.analysis->notes;
  report.operators = p.graph.nodes.size();
  return report;
}

double share(double live, double dense) { return dense > 0 ? live / dense : 1.0; }

// -- JSON -----------------------------------------------------------------------------------------------------------------

Json tensors_json(const std::vector<TensorInfo>& infos) {
  Json list = Json::array();
  for (const TensorInfo& t : infos) list.push_back({{"name", t.name}, {"dtype", name_of(t.dtype)}, {"shape", t.shape}, {"dims", t.dims}});
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
  Json j{{"inputs", tensors_json(m.inputs)}, {"outputs", tensors_json(m.outputs)}, {"kernels", p.code_report}, {"packed_bytes", p.packed_bytes}};
  if (r.flops) {
    const sparsity::LiveFlops& f = *r.flops;
    j["weight_flops_live"] = share(f.weight_live, f.weight_dense);
    j["attention_flops_live"] = share(f.attention_live, f.attention_dense);
    j["weight_flops"] = 2 * f.weight_dense;  // a multiply-add counts as two
    j["attention_flops"] = 2 * f.attention_dense;
  }
  j["notes"] = r.notes;
  Json steps = Json::array(), operators = Json::array();
  for (const StepReport& s : r.steps) {
    for (const Operator& o : s.operators) operators.push_back(operator_json(s, o));
    if (s.info.number < 0) continue;
    Json step{{"step", s.info.number}, {"kind", s.info.kind}, {"live", s.live}, {"rule", s.rule}};
    if (s.live_fraction) step["live_fraction"] = *s.live_fraction;
    if (!s.term_fractions.empty()) step["live_terms"] = s.term_fractions;
    steps.push_back(std::move(step));
  }
  j["steps"] = std::move(steps);
  j["operators"] = std::move(operators);
  return api::dump(j);
}

// -- for people -----------------------------------------------------------------------------------------------------------

constexpr std::size_t expression_columns = 100;

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
    if (s.info.number < 0) { views += static_cast<int>(s.operators.size()); continue; }
    ++steps;
    auto it = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == s.info.kind; });
    if (it == kinds.end()) kinds.emplace_back(s.info.kind, 1);
    else ++it->second;
  }
  std::string counts;
  for (const auto& [kind, count] : kinds) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, kind);
  text += field("operators", fmt::format("{}; {} of them views that cost nothing, the others in {} steps: {}", r.operators, views, steps, counts));
  text += field("kernels", p.code_report);
  text += field("weights", api::bytes_text(static_cast<double>(p.packed_bytes)) + " packed");
  for (const std::string& n : r.notes) text += field(&n == r.notes.data() ? "notes" : "", n);
  return text;
}

std::string flops_text(const sparsity::LiveFlops& f) {
  std::string text = "\nLIVE SHARE OF THESE INPUTS\n";
  text += field("weights", fmt::format("{:.4f} of {:.4g} GFLOP in matmuls with constant weights", share(f.weight_live, f.weight_dense),
                                       2e-9 * f.weight_dense));
  text += field("attention", fmt::format("{:.4f} of {:.4g} GFLOP in matmuls of computed operands", share(f.attention_live, f.attention_dense),
                                         2e-9 * f.attention_dense));
  return text;
}

std::string operator_text(const Operator& o) {
  std::string text = fmt::format("  {}{}\n", o.op, o.name.empty() ? "" : " '" + o.name + "'");
  if (!o.program) return text + fmt::format("      no expression: library routine {}\n", o.opaque);
  text += fmt::format("      {}\n", api::shorten(o.expression, expression_columns));
  for (const std::string& l : api::axes_lines(*o.program, o.axes)) text += "      " + api::wrap(l, 6, 8) + '\n';
  for (const std::string& n : o.notes) {
    if (n.rfind("live from", 0) == 0 || n.rfind("control", 0) == 0) continue;  // the step says it
    text += "      note: " + api::wrap(n, 12, 12) + '\n';
  }
  return text;
}

std::string step_text(const StepReport& s) {
  if (s.info.number < 0) {
    std::string text;
    for (const Operator& o : s.operators)
      text += fmt::format("\nview  {}{}  {}\n", o.op, o.name.empty() ? "" : " '" + o.name + "'",
                          api::shorten(o.expression, expression_columns));
    return text;
  }
  std::string text = fmt::format("\nstep {}  {}", s.info.number, s.info.kind);
  if (s.live_fraction) text += fmt::format("  live {:.4f}", *s.live_fraction);
  for (std::size_t i = 0; i < s.term_fractions.size(); ++i) text += fmt::format("{}{:.4f}", i == 0 ? "  terms " : ", ", s.term_fractions[i]);
  text += '\n' + field("rule", s.rule) + field("live", s.live);
  if (!s.why.empty() && s.info.kind != "rows") text += field("no kernel", s.why);
  for (const Read& r : s.reads) text += field(&r == s.reads.data() ? "reads" : "", fmt::format("{} {}: {}", r.value, r.type, r.formula));
  for (const Operator& o : s.operators) text += operator_text(o);
  return text;
}

std::string explain_text(const Model::Impl& m, const Report& r) {
  std::string text = summary_text(m, r);
  if (r.flops) text += flops_text(*r.flops);
  for (const StepReport& s : r.steps) text += step_text(s);
  return text;
}

}  // namespace

std::string explain_model(const Model::Impl& m, const std::map<std::string, TensorView>* inputs, bool json) {
  const Report report = collect(m, inputs);
  return json ? explain_json(m, report) : explain_text(m, report);
}

}  // namespace pit
