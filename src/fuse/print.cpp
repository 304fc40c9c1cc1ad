// Groups as text, for tests and dumps.
#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fuse/fuse.h"
#include "support/check.h"

namespace pit::fuse {

using graph::Graph;

const char* name_of(GroupKind kind) {
  switch (kind) {
    case GroupKind::view: return "view";
    case GroupKind::elements: return "elements";
    case GroupKind::rows: return "rows";
    case GroupKind::contraction: return "contraction";
    case GroupKind::nest: return "nest";
    case GroupKind::reference: return "reference";
  }
  PIT_UNREACHABLE("a group of kind {}", static_cast<int>(kind));
}

std::string print(const Graph& g, const Fusion& f) {
  std::string text;
  for (std::size_t i = 0; i < f.groups.size(); ++i) {
    const Group& group = f.groups[i];
    text += fmt::format("{:3} {}{}", i, name_of(group.kind), group.control ? " control" : "");
    for (NodeId n : group.nodes) text += fmt::format(" {}", g.nodes[n].op);
    text += " ->";
    for (ValueId v : group.writes) text += fmt::format(" {}", g.values[v].name);
    if (!group.why.empty()) text += fmt::format("  ({})", group.why);
    text += '\n';
  }
  for (const Fusion::Attention& a : f.attentions)
    text += fmt::format("attention {} {} {}\n", a.scores, a.softmax, a.output);
  return text;
}

namespace {

const char* name_of(lower::EpilogueAccess access) {
  switch (access) {
    case lower::EpilogueAccess::scalar: return "scalar";
    case lower::EpilogueAccess::per_n: return "per column";
    case lower::EpilogueAccess::per_m: return "per row";
    case lower::EpilogueAccess::per_mn: return "per element";
  }
  return "?";
}

class GroupPrinter {
 public:
  GroupPrinter(const Graph& g, const sparsity::MaskProgram& masks, const Group& group)
      : g_(g), masks_(masks), group_(group) {}

  std::string run() {
    for (NodeId n : group_.nodes) line("node", g_.describe(n));
    line("reads", names(group_.reads));
    line("writes", names(group_.writes));
    if (!group_.why.empty()) line("no kernel", group_.why);
    for (const expr::Statement& s : group_.program.statements) line("program", expr::print(group_.program, s));
    axes();
    for (const Operand& o : group_.operands) operand(o);
    for (const Nest& n : group_.nests) nest(n);
    epilogue();
    if (group_.static_b) line("B", "constant: packed when the model is compiled" + matrices());
    if (group_.onto >= 0) line("onto", "'" + g_.values[group_.onto].name + "', in its place");
    mask("live rows", group_.live_rows);
    mask("columns", group_.live_columns);
    mask("live terms", group_.live_k);
    mask("zero rows", group_.zero_rows);
    return std::move(text_);
  }

 private:
  void line(const char* what, const std::string& text) {
    if (!text.empty()) text_ += fmt::format("  {:<10}  {}\n", what, text);
  }

  std::string matrices() const {
    std::int64_t count = 1;
    for (const int axis : group_.matrix_axes) count *= g_.dims.constant_value(group_.extents[axis]).value();
    return count == 1 ? "" : fmt::format(", {} matrices", count);
  }

  std::string names(const std::vector<ValueId>& values) const {
    std::vector<std::string> list;
    for (ValueId v : values) list.push_back(g_.values[v].name + ": " + graph::print_type(g_, g_.values[v]));
    return fmt::format("{}", fmt::join(list, ", "));
  }

  std::string part_of(int axis) const {
    const auto is_in = [axis](const std::vector<int>& list) {
      return std::find(list.begin(), list.end(), axis) != list.end();
    };
    if (group_.kind != GroupKind::contraction)
      return axis == group_.inner ? " (inner)" : axis == group_.mid ? " (mid)" : is_in(group_.outer) ? " (outer)" : "";
    const ContractionAxes& axes = group_.axes;
    return axis == axes.n      ? " (n)"
           : axis == axes.k    ? " (k)"
           : is_in(axes.batch) ? " (batch)"
           : is_in(axes.m)     ? " (m)"
                               : "";
  }

  void axes() {
    std::vector<std::string> list;
    for (int a = 0; a < static_cast<int>(group_.extents.size()); ++a)
      list.push_back(fmt::format("{} = {}{}", group_.program.axes[a], g_.dims.print(group_.extents[a]), part_of(a)));
    line("axes", fmt::format("{}", fmt::join(list, ", ")));
  }

  // "base + s*64 + h*(4*sequence) + k": in elements of the storage of the value's root.
  std::string place_of(const Operand& o) const {
    std::vector<std::string> terms;
    if (o.base.id >= 0 && !g_.dims.is_constant(o.base, 0)) terms.push_back(g_.dims.print(o.base));
    for (std::size_t a = 0; a < o.strides.size(); ++a) {
      const auto constant = g_.dims.constant_value(o.strides[a]);
      if (constant == 0) continue;
      terms.push_back(group_.program.axes[a]);
      if (!constant) terms.back() += fmt::format("*({})", g_.dims.print(o.strides[a]));
      else if (constant != 1) terms.back() += fmt::format("*{}", *constant);
    }
    return terms.empty() ? "0" : fmt::format("{}", fmt::join(terms, " + "));
  }

  void operand(const Operand& o) {
    const expr::Program& p = group_.program;
    std::vector<std::string> index;
    for (const expr::Expr& e : o.access.index) index.push_back(expr::print_index(p, e));
    line("operand",
         fmt::format("{}[{}] {} {} at {}{}", p.tensors[o.access.tensor].name, fmt::join(index, ","),
                     pit::name_of(o.access.dtype), o.value < 0 ? "temporary" : "'" + g_.values[o.value].name + "'",
                     place_of(o), o.access.written ? ", written" : ""));
  }

  void nest(const Nest& n) {
    std::vector<std::string> rows;
    for (const int a : n.outer) rows.push_back(group_.program.axes[a]);
    line("nest", fmt::format("{}: rows ({}), vectors along {}", group_.program.tensors[written_by(n)].name,
                             fmt::join(rows, ", "), n.vector < 0 ? "nothing" : group_.program.axes[n.vector]));
  }
  expr::TensorId written_by(const Nest& n) const { return group_.program.statements[n.statement].out; }

  void epilogue() {
    const lower::Epilogue& e = group_.epilogue;
    if (group_.kind != GroupKind::contraction || e.program.statements.empty()) return;
    std::vector<std::string> operands;  // all inputs but the first, which is the sum
    for (const expr::TensorDecl& t : e.program.tensors)
      if (t.role == expr::Role::input) operands.push_back(t.name);
    std::string text = expr::print(e.program) + "; of " + operands.at(0);
    for (std::size_t i = 0; i < e.operands.size(); ++i)
      text += fmt::format(", {} {} {}", operands.at(i + 1), pit::name_of(e.dtypes[i]), name_of(e.operands[i]));
    line("epilogue", text);
  }

  void mask(const char* what, sparsity::MaskId m) {
    if (m.id >= 0) line(what, masks_.print(m));
  }

  const Graph& g_;
  const sparsity::MaskProgram& masks_;
  const Group& group_;
  std::string text_;
};

}  // namespace

std::string print(const Graph& g, const sparsity::MaskProgram& masks, const Group& group) {
  return GroupPrinter(g, masks, group).run();
}

}  // namespace pit::fuse
