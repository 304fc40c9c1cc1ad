#include "api/describe.h"

#include <algorithm>
#include <fmt/format.h>

#include "compile/dump.h"

#include "support/check.h"

namespace pit::api {

using compile::Program;
using compile::Step;
using fuse::Group;
using fuse::GroupKind;
using graph::Dim;
using sparsity::MaskId;

std::string dump(const Json& j) { return j.dump(1, ' ', false, Json::error_handler_t::replace); }

Json axes_json(const expr::Program& p, const std::vector<rules::AxisRule>& rules) {
  Json list = Json::array();
  for (const rules::AxisRule& r : rules)
    list.push_back({{"name", p.axes[r.axis]},
                    {"verdict", rules::name_of(r.verdict)},
                    {"reduced", r.reduced},
                    {"reason", r.reason}});
  return list;
}

std::vector<std::string> axes_lines(const expr::Program& p, const std::vector<rules::AxisRule>& rules) {
  struct Line {
    std::string what, axes, reason;
  };
  std::vector<Line> lines;
  for (const rules::AxisRule& r : rules) {
    const std::string what = rules::name_of(r.verdict), axis = p.axes[r.axis] + (r.reduced ? " (reduced)" : "");
    const auto same =
        std::find_if(lines.begin(), lines.end(), [&](const Line& l) { return l.what == what && l.reason == r.reason; });
    if (same == lines.end()) lines.push_back({what, axis, r.reason});
    else same->axes += ", " + axis;
  }
  std::stable_partition(lines.begin(), lines.end(), [](const Line& l) { return l.reason.empty(); });
  std::vector<std::string> text;
  for (const Line& l : lines) text.push_back(l.what + ": " + l.axes + (l.reason.empty() ? "" : " -- " + l.reason));
  if (text.empty()) text.push_back("no axes");
  return text;
}

namespace {

const char* kind_of(const Step& step, const Group& group) {
  if (step.attention >= 0) return "attention";
  if (group.kind == GroupKind::view) return "view";
  if (group.control) return "control";
  switch (group.kind) {
    case GroupKind::rows: return "rows";
    case GroupKind::contraction: return "contraction";
    case GroupKind::nest: return "nest";
    case GroupKind::reference: return "reference";
    default: return "elements";
  }
}

// "(batch, sequence)": people know axes by their extents, programs number them.
std::string extents_text(const Program& p, const std::vector<Dim>& extents) {
  std::string text;
  for (Dim d : extents) {
    if (p.graph.dims.is_constant(d, 1)) continue;
    text += (text.empty() ? "" : ", ") + p.graph.dims.print(d);
  }
  return "(" + text + ")";
}

std::string group_rows(const Program& p, const Group& group) {
  std::vector<int> axes = group.outer;
  if (group.kind == GroupKind::contraction) {
    axes = group.axes.batch;
    axes.insert(axes.end(), group.axes.m.begin(), group.axes.m.end());
  }
  std::vector<Dim> extents;
  for (int a : axes) extents.push_back(group.extents[a]);
  return extents_text(p, extents);
}

// Whether everything is live: in this run, or by the formula where there is none.
bool is_all(const Program& p, MaskId m, const Masks* masks) {
  if (m.id < 0) return true;
  if (masks && static_cast<std::size_t>(m.id) < masks->size() && (*masks)[m.id]) return (*masks)[m.id]->all;
  return p.analysis->masks.is_everything(m);
}

std::string attention_rule(const Program& p, const Step& output, const Masks* masks) {
  const compile::ContractionStep& c = output.contraction;
  std::string parts;
  auto add = [&](const char* part) { parts += (parts.empty() ? "" : ", ") + std::string(part); };
  if (!is_all(p, c.live, masks)) add("q rows");
  if (!is_all(p, c.live_k, masks)) add("key columns");
  // The mask of (row, key) pairs that is more than rows x keys: causal masks, windows.
  const sparsity::MaskId pairs = c.live_mk;
  if (pairs.id >= 0 && !is_all(p, pairs, masks)) {
    const auto& forms = p.analysis->masks.forms(pairs);
    const std::size_t rank = forms.size();
    if (rank >= 2 && forms[rank - 2].form != sparsity::Form::uniform && forms[rank - 1].form != sparsity::Form::uniform)
      add("key panels per query tile");
  }
  return "attention: " + (parts.empty() ? "dense" : parts);
}

}  // namespace

std::vector<StepInfo> steps_of(const Program& p) {
  std::vector<StepInfo> all;
  const std::vector<int> numbers = compile::step_numbers(p);
  for (std::size_t i = 0; i < p.steps.size(); ++i) {
    const Step& step = p.steps[i];
    if (step.absorbed) continue;
    StepInfo s;
    s.step = static_cast<int>(i);
    s.kind = kind_of(step, p.group(step));
    s.number = numbers[i];
    s.groups = {step.group};
    if (step.attention >= 0) {
      const auto& a = p.fusion.attentions[step.attention];
      s.groups = {a.scores, a.softmax, a.output};
    }
    for (int g : s.groups)
      for (graph::NodeId n : p.fusion.groups[g].nodes) s.nodes.push_back(n);
    all.push_back(std::move(s));
  }
  return all;
}

Snapshot::Snapshot(const Model::Impl& m, const Model::Impl::Bound& bound) : model_(m), arena_(m.take_arena()) {
  const FloatEnvironment environment;
  run_.emplace(*m.program, *bound.plan, *arena_, *m.pool, m.poison);
  run_->masks_only(bound.data);
  // A run evaluates projections only; explaining shows the groups' whole live sets.
  std::vector<MaskId> roots;
  for (const Group& group : m.program->fusion.groups)
    for (MaskId id : {group.live_rows, group.live_k, group.zero_rows})
      if (id.id >= 0) roots.push_back(id);
  for (const compile::Step& s : m.program->steps)
    for (MaskId id : {s.rows.live, s.rows.live_k, s.nest.live, s.contraction.live, s.contraction.columns,
                      s.contraction.live_k, s.contraction.live_mk})
      if (id.id >= 0) roots.push_back(id);
  std::map<graph::ValueId, Tensor> leaves;
  for (graph::ValueId v : m.program->analysis->masks.leaves(roots)) leaves.emplace(v, run_->control_value(v));
  masks_ = m.program->analysis->masks.evaluate(roots, dims(),
                                               [&](graph::ValueId v) -> const Tensor& { return leaves.at(v); });
}

Snapshot::~Snapshot() { model_.give_arena(std::move(arena_)); }

std::optional<sparsity::LiveFlops> Snapshot::flops(const sparsity::Analysis& a) const {
  const Program& p = *model_.program;
  const std::vector<MaskId> roots = sparsity::flops_roots(p.graph, a);
  std::map<graph::ValueId, Tensor> leaves;
  for (graph::ValueId v : a.masks.leaves(roots)) {
    const bool kept =
        p.graph.values[v].input >= 0 || std::find(p.mask_leaves.begin(), p.mask_leaves.end(), v) != p.mask_leaves.end();
    if (!kept) return std::nullopt;
    leaves.emplace(v, run_->control_value(v));
  }
  const Masks masks = a.masks.evaluate(roots, dims(), [&](graph::ValueId v) -> const Tensor& { return leaves.at(v); });
  return sparsity::live_flops(p.graph, a, masks, dims());
}

std::vector<std::string> sources_of(const Program& p, const std::vector<MaskId>& masks) {
  std::vector<graph::ValueId> todo = p.analysis->masks.leaves(masks);
  std::vector<char> seen(p.graph.values.size(), 0);
  while (!todo.empty()) {
    const graph::ValueId v = todo.back();
    todo.pop_back();
    if (seen[v]) continue;
    seen[v] = 1;
    if (const int n = p.graph.values[v].producer; n >= 0)
      todo.insert(todo.end(), p.graph.nodes[n].inputs.begin(), p.graph.nodes[n].inputs.end());
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < p.graph.inputs.size(); ++i)
    if (seen[p.graph.inputs[i]]) names.push_back(p.graph.input_names[i]);
  return names;
}

MaskId live_mask(const Program& p, const StepInfo& s) {
  const Step& step = p.steps[s.step];
  const Group& group = p.group(step);
  if (group.control) return {};
  if (group.kind == GroupKind::rows) return step.rows.live;
  if (group.kind == GroupKind::nest) return step.nest.live;
  if (group.kind == GroupKind::contraction) return step.contraction.live;
  return {};
}

std::string rows_text(const Program& p, const StepInfo& s) { return group_rows(p, p.group(p.steps[s.step])); }

std::string live_text(const Program& p, const StepInfo& s) {
  const Group& group = p.group(p.steps[s.step]);
  const auto& masks = p.analysis->masks;
  if (s.kind == "view") return {};
  if (group.control) return "dense: computed in full, before the masks";
  const MaskId live = live_mask(p, s);
  if (live.id < 0)
    return group.kind == GroupKind::nest ? "dense: statements that follow each other" : "dense: no generated kernel";
  std::string text;
  if (masks.is_everything(live)) text = "dense: every row is demanded";
  else if (masks.is_nothing(live)) text = "nothing is demanded";
  else text = "rows " + group_rows(p, group) + ": " + masks.print(live);
  if (s.kind == "attention") {
    const MaskId keys = p.steps[s.step].contraction.live_k;
    if (!masks.is_everything(keys)) text += "; keys: " + masks.print(keys);
  }
  return text;
}

std::optional<double> live_fraction(const Program& p, const StepInfo& s, const Masks& masks) {
  if (s.kind == "view") return std::nullopt;
  MaskId live = live_mask(p, s);
  if (live.id < 0) return 1.0;
  // Segments of the columns with rows of their own: each counts by its width.
  if (const MaskId columns = p.steps[s.step].contraction.columns; s.kind == "contraction" && columns.id >= 0)
    live = columns;
  PIT_CHECK(static_cast<std::size_t>(live.id) < masks.size() && masks[live.id], "a live mask was not evaluated");
  return masks[live.id]->fraction();
}

std::vector<double> k_fractions(const Program& p, const StepInfo& s, const Masks& masks) {
  std::vector<double> fractions;
  for (int g : s.groups) {
    const Group& group = p.fusion.groups[g];
    if (group.control || group.live_k.id < 0) continue;
    const auto& m = masks[group.live_k.id];
    PIT_CHECK(m, "the mask of a reduction's terms was not evaluated");
    fractions.push_back(m->fraction());
  }
  return fractions;
}

std::string rule_text(const Program& p, const StepInfo& s, const Masks* masks, const std::string& chosen) {
  const Step& step = p.steps[s.step];
  const Group& group = p.group(step);
  if (s.kind == "view") return "nothing to do";
  if (s.kind == "attention") return attention_rule(p, step, masks);
  if (group.control || !group.has_rows()) return "dense";
  std::string text;
  if (!is_all(p, live_mask(p, s), masks)) text = "m-axis: rows " + group_rows(p, group);
  const bool contraction = group.kind == GroupKind::contraction;
  if (contraction && step.contraction.columns.id >= 0 && !is_all(p, step.contraction.columns, masks))
    text = "m-axis: rows " + group_rows(p, group) + " per segment of the columns";
  const int reduced = contraction ? group.axes.k : group.mid;
  const MaskId terms = contraction ? step.contraction.live_k : step.rows.live_k;
  if (reduced >= 0 && !is_all(p, terms, masks))
    text += (text.empty() ? "" : "; ") + std::string("k-axis: terms ") + extents_text(p, {group.extents[reduced]});
  if (contraction && (step.contraction.scans_a || step.contraction.pruned)) {
    const auto name = [&](std::size_t operand) {
      return fmt::format("'{}'", p.graph.values[group.operands[operand].value].name);
    };
    text += text.empty() ? "" : "; ";
    text += "values of " +
            (!step.contraction.scans_a ? name(1)
             : step.contraction.pruned ? name(0) + " and " + name(1)
                                       : name(0)) +
            ": ";
    text += chosen.empty() ? "terms that are not zero, if that is cheaper" : chosen;
  }
  return text.empty() ? "dense" : text;
}

std::string type_text(const graph::Graph& g, graph::ValueId v) {
  std::string dims;
  for (Dim d : g.values[v].dims) dims += (dims.empty() ? "" : ", ") + g.dims.print(d);
  return fmt::format("{}[{}]", name_of(g.values[v].dtype), dims);
}

}  // namespace pit::api
