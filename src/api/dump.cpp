// The stages of the compiler, each as text: what names they have, and for which sizes products are scheduled.
#include "compile/dump.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "api/describe.h"

namespace pit {
namespace {

using compile::Program;

std::string schedules(const Model::Impl& m, const std::map<std::string, TensorView>* inputs);

struct Stage {
  std::string_view name;
  std::string (*dump)(const Program& p);  ///< null: schedules, which depend on sizes
};

constexpr Stage kStages[] = {{"graph", &compile::dump_graph},     {"masks", &compile::dump_masks},
                             {"groups", &compile::dump_groups},   {"schedules", nullptr},
                             {"kernels", &compile::dump_kernels}, {"asm", &compile::dump_assembly}};

// Without inputs: every free dimension alike, large enough to be worth a rule.
compile::CallSizes assumed_sizes(const Program& p) {
  constexpr std::int64_t each = 32;
  compile::CallSizes sizes;
  const graph::DimTable& dims = p.graph.dims;
  sizes.dims = dims.evaluate(std::vector<std::int64_t>(static_cast<std::size_t>(dims.symbol_count()), each));
  std::vector<std::string> names;
  for (int s = 0; s < dims.symbol_count(); ++s) names.push_back(fmt::format("{} = {}", dims.symbol_name(s), each));
  sizes.what =
      names.empty() ? "the model's sizes" : fmt::format("assumed: {} (give inputs for others)", fmt::join(names, ", "));
  return sizes;
}

compile::CallSizes sizes_of(const Model::Impl& m, const std::map<std::string, TensorView>& inputs) {
  const Program& p = *m.program;
  const Model::Impl::Bound bound = m.bind(inputs);
  const api::Snapshot snapshot(m, bound);
  compile::CallSizes sizes;
  sizes.dims = snapshot.dims();
  sizes.live.assign(p.steps.size(), 1);
  for (const api::StepInfo& s : api::steps_of(p))
    sizes.live[static_cast<std::size_t>(s.step)] = api::live_fraction(p, s, snapshot.masks()).value_or(1);
  sizes.what = "the inputs given";
  return sizes;
}

std::string schedules(const Model::Impl& m, const std::map<std::string, TensorView>* inputs) {
  compile::CallSizes sizes = inputs ? sizes_of(m, *inputs) : assumed_sizes(*m.program);
  sizes.threads = m.pool->size();
  return compile::dump_schedules(*m.program, sizes);
}

}  // namespace

std::string dump_model(const Model::Impl& m, std::string_view stage, const std::map<std::string, TensorView>* inputs) {
  std::string known;
  for (const Stage& s : kStages) {
    if (s.name == stage) return s.dump ? s.dump(*m.program) : schedules(m, inputs);
    known += fmt::format("{}'{}'", known.empty() ? "" : ", ", s.name);
  }
  throw InputError(fmt::format("no stage of the compiler is named '{}'; there are {}", stage, known));
}

}  // namespace pit
