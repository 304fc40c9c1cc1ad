// An analysis as text, for dumps.
#include <fmt/format.h>
#include <set>

#include "sparsity/analysis.h"

namespace pit::sparsity {
namespace {

class Printer {
 public:
  Printer(const graph::Graph& g, const Analysis& a) : g_(g), a_(a) {}

  std::string run() {
    std::string text = "values\n";
    for (ValueId v = 0; v < static_cast<ValueId>(g_.values.size()); ++v) text += value(v);
    text += "statements\n";
    for (graph::NodeId n = 0; n < static_cast<graph::NodeId>(g_.nodes.size()); ++n) text += node(n);
    if (!named_.empty()) text += "masks\n";
    for (const std::int32_t m : named_) text += fmt::format("  m{} = {}\n", m, a_.masks.print({m}));
    for (const std::string& n : a_.notes) text += fmt::format("note: {}\n", n);
    return text;
  }

 private:
  // Layers share their formulas, and these are long: each is written once.
  std::string name(MaskId m) {
    if (a_.masks.is_everything(m)) return "all";
    if (a_.masks.is_nothing(m)) return "none";
    named_.insert(m.id);
    return fmt::format("m{}", m.id);
  }

  std::string value(ValueId v) {
    const graph::Value& value = g_.values[v];
    const ValueMasks& masks = a_.values[v];
    if (value.is_constant()) return {};
    std::string text = fmt::format("  {}: {}", value.name, graph::print_type(g_, value));
    if (a_.control[v]) text += ", control";
    for (const auto& [what, mask] : {std::pair{"nonzero", masks.nonzero},
                                     {"demand", masks.demand},
                                     {"numbers", masks.numbers},
                                     {"computed", masks.computed}})
      if (mask.id >= 0) text += fmt::format(", {} {}", what, name(mask));
    return text + '\n';
  }

  std::string node(graph::NodeId n) {
    const graph::Node& node = g_.nodes[n];
    if (node.removed || !node.opaque.empty()) return {};
    const NodeFacts& facts = a_.nodes[n];
    std::string text;
    for (std::size_t s = 0; s < facts.statements.size(); ++s) {
      const StatementFacts& f = facts.statements[s];
      text += fmt::format("  {}: {}: live ", g_.describe(n), expr::print(node.program, node.program.statements[s]));
      text += f.live.id < 0 ? "all" : name(f.live);
      if (f.absorbing >= 0) text += fmt::format(", {} absorbs", node.program.tensors[f.absorbing].name);
      text += '\n';
    }
    for (const std::string& note : facts.notes)
      if (note.rfind("live from", 0) != 0) text += fmt::format("    {}\n", note);  // its formula stands above
    return text;
  }

  const graph::Graph& g_;
  const Analysis& a_;
  std::set<std::int32_t> named_;
};

}  // namespace

std::string print(const graph::Graph& g, const Analysis& a) { return Printer(g, a).run(); }

}  // namespace pit::sparsity
