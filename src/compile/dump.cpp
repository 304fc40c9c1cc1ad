#include "compile/dump.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compile/kernel_list.h"

#include "support/cancel.h"

namespace pit::compile {
namespace {

using fuse::GroupKind;

/// "group 12, step 3"; views have no step.
std::string group_text(int group, const std::vector<int>& numbers) {
  const int number = numbers[static_cast<std::size_t>(group)];
  return fmt::format("group {}{}", group, number < 0 ? "" : fmt::format(", step {}", number));
}

/// "of steps 3, 7"; nothing for no groups.
std::string steps_text(const std::vector<int>& groups, const std::vector<int>& numbers) {
  std::vector<int> steps;
  for (const int g : groups) steps.push_back(numbers[static_cast<std::size_t>(g)]);
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());  // an attention is one step, of three groups
  return steps.empty() ? "" : fmt::format("of step{} {}", steps.size() == 1 ? "" : "s", fmt::join(steps, ", "));
}

template <class Print>
std::string kernels_text(const Program& p, const char* what, Print&& print) {
  const std::vector<int> numbers = step_numbers(p);
  const std::vector<KernelUse> kernels = kernels_of(p);
  std::string text = fmt::format("# {}: {} kernels for {}, vectors of {} bytes\n", what, kernels.size(), p.target.name,
                                 p.target.vector_bytes);
  for (const KernelUse& use : kernels) {
    poll_cancel();
    const std::string own = steps_text(use.groups, numbers), engine = steps_text(use.engine, numbers);
    text += fmt::format("\n# {}{}{}\n", own, own.empty() || engine.empty() ? "" : "; ",
                        engine.empty() ? "" : "the engine's, " + engine);
    text += print(use.kernel);
  }
  return text;
}

}  // namespace

std::vector<int> step_numbers(const Program& p) {
  std::vector<int> numbers(p.steps.size(), -1);
  int next = 0;
  for (std::size_t i = 0; i < p.steps.size(); ++i) {
    const Step& step = p.steps[i];
    if (step.absorbed || (step.attention < 0 && p.group(step).kind == GroupKind::view)) continue;
    numbers[i] = next++;
    if (step.attention < 0) continue;
    const fuse::Fusion::Attention& a = p.fusion.attentions[static_cast<std::size_t>(step.attention)];
    for (const int part : {a.scores, a.softmax}) numbers[static_cast<std::size_t>(part)] = numbers[i];
  }
  return numbers;
}

std::string dump_graph(const Program& p) {
  return fmt::format("# graph: {} operators, simplified\n", p.graph.nodes.size()) + graph::print(p.graph);
}

std::string dump_masks(const Program& p) {
  return "# masks: nonzero: may be; demand: the dense value is wanted; numbers: any finite number will do; computed: "
         "by a kernel\n" +
         sparsity::print(p.graph, *p.analysis);
}

std::string dump_groups(const Program& p) {
  const std::vector<int> numbers = step_numbers(p);
  std::string text = fmt::format("# groups: {} of {} operators\n", p.fusion.groups.size(), p.graph.nodes.size());
  for (std::size_t i = 0; i < p.fusion.groups.size(); ++i) {
    const fuse::Group& group = p.fusion.groups[i];
    text += fmt::format("{}: {}{}\n", group_text(static_cast<int>(i), numbers), name_of(group.kind),
                        group.control ? ", control" : "");
    text += fuse::print(p.graph, p.analysis->masks, group);
  }
  for (const fuse::Fusion::Attention& a : p.fusion.attentions)
    text += fmt::format("attention: groups {} (scores), {} (softmax), {} (output) run together\n", a.scores, a.softmax,
                        a.output);
  for (const fuse::Obligation& o : p.fusion.obligations)
    text += fmt::format(
        "claim: group {}, '{}': {}{}\n", o.group, p.graph.values[o.value].name, o.text,
        o.proved ? ": proved" : ": looked at in each run, nothing of " + p.analysis->masks.print(o.violated));
  return text;
}

std::string dump_kernels(const Program& p) {
  return kernels_text(p, "kernels", [](const codegen::Kernel& k) { return codegen::print(k); });
}

std::string dump_assembly(const Program& p) {
  return kernels_text(p, "asm", [&](const codegen::Kernel& k) { return codegen::assembly({k}, p.target); });
}

}  // namespace pit::compile
