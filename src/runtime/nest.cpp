#include "runtime/nest.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "pit/error.h"
#include "tensor/poison.h"

namespace pit::runtime {

NestRunner::NestRunner(Run& run, const Step& step, const NestPlan& plan)
    : run_(run), step_(step), plan_(plan), group_(run.p_.group(step)) {
  for (const NestPlan::Temporary& t : plan.temporaries) {
    contract::Buffer& memory = temporaries_[t.tensor] =
        run.arena_.buffers.take(t.elements * static_cast<std::int64_t>(size_of(t.type)) + 1);
    if (run.poison_ != Poison::none) fill_poison(memory.data(), t.type, t.elements, run.poison_);
  }
}

void NestRunner::operator()() {
  run_.record_.live = 1;
  for (std::size_t n = 0; n < group_.nests.size(); ++n) {
    const NestPlan::Part& part = plan_.parts[n];
    if (!group_.has_rows()) {
      run_nest(n, run_.list({}, 0, 1, part.rows, true));
      continue;
    }
    const LiveList rows = run_.list(step_.nest.live, 0, 1, part.rows, group_.control);
    if (part.rows > 0) run_.record_.live = static_cast<double>(rows.total()) / static_cast<double>(part.rows);
    clear_zero_rows();  // first: a row may hold both
    run_nest(n, rows);
  }
}

char* NestRunner::address(const fuse::Operand& o) const {
  if (o.value < 0) return temporaries_.at(o.access.tensor).data();
  return run_.root_address(o.value) + run_.plan()[o.base] * static_cast<std::int64_t>(size_of(o.access.dtype));
}

void NestRunner::run_nest(std::size_t n, const LiveList& rows) {
  const compile::NestStep::Part& code = step_.nest.parts[n];
  const NestPlan::Part& part = plan_.parts[n];
  const std::int64_t count = rows.count(0), tasks = (count + part.task_rows - 1) / part.task_rows;
  std::vector<Status> found(static_cast<std::size_t>(run_.pool_.size()));
  run_.pool_.parallel_for(tasks, [&](std::int64_t task, int worker) {
    const std::int64_t begin = count * task / tasks, end = count * (task + 1) / tasks;
    std::vector<void*> ptrs{const_cast<std::int32_t*>(rows.data(0) + begin)};
    if (code.abi.has_status) ptrs.push_back(&found[static_cast<std::size_t>(worker)]);
    for (const int o : group_.nests[n].operands) ptrs.push_back(address(group_.operands[o]));
    std::vector<std::int64_t> ints = part.ints;
    for (std::size_t i = 0; i < ints.size(); ++i)
      if (code.abi.ints[i].kind == lower::Slot::row_count) ints[i] = end - begin;
    code.fn(ptrs.data(), ints.data());
  });
  if (code.abi.has_status) check(n, found);
}

void NestRunner::check(std::size_t n, const std::vector<Status>& found) const {
  const auto bad = std::find_if(found.begin(), found.end(), [](const Status& s) { return s.operand != 0; });
  if (bad == found.end()) return;
  const fuse::Operand& table = group_.operands[group_.nests[n].operands[static_cast<std::size_t>(bad->operand - 1)]];
  const auto name = [&](int tensor) {
    const ValueId v = group_.tensor_value[tensor];
    return v < 0 ? group_.program.tensors[tensor].name : run_.p_.graph.values[v].name;
  };
  std::string index;
  for (const expr::Expr& e : table.access.index)
    expr::for_each_access(e, [&](const expr::Expr& access) { index = index.empty() ? name(access->id) : index; });
  const std::string who = run_.p_.graph.describe(group_.nodes[0]);
  const std::string of = name(table.access.tensor);
  if (index.empty())
    throw InputError(
        fmt::format("{}: the shapes of the inputs do not fit: '{}' would be read at {}", who, of, bad->index), who, of);
  throw InputError(fmt::format("{}: index {} in '{}' is out of range for '{}'", who, bad->index, index, of), who,
                   index);
}

// Demanded rows that are known to be zero hold zeros, though no kernel visits them.
void NestRunner::clear_zero_rows() const {
  if (group_.control) return;
  const sparsity::MaskArray* m = run_.mask(step_.nest.zero);
  if (!m || m->none) return;
  const fuse::Nest& nest = group_.nests[0];
  const fuse::Operand& out = group_.operands[nest.operands.back()];
  const auto size = static_cast<std::int64_t>(size_of(out.access.dtype));
  const LiveList zero = run_.list(step_.nest.zero, 0, 1, plan_.parts[0].rows, false);
  char* const base = run_.root_address(out.value) + run_.plan()[out.origin] * size;
  const bool moves = out.access.inner != lower::InnerAccess::broadcast;
  const std::int64_t count = moves ? run_.plan()[group_.extents[nest.vector]] : 1,
                     step = moves ? run_.plan()[out.strides[nest.vector]] * size : 0;
  for (std::int64_t r = 0; r < zero.count(0); ++r) {
    std::int64_t rest = zero.data(0)[r];
    char* row = base;
    for (std::size_t i = nest.outer.size(); i-- > 0;) {
      const std::int64_t extent = run_.plan()[group_.extents[nest.outer[i]]];
      row += rest % extent * run_.plan()[out.strides[nest.outer[i]]] * size;
      rest /= extent;
    }
    for (std::int64_t i = 0; i < count; ++i) std::memset(row + i * step, 0, static_cast<std::size_t>(size));
  }
}

}  // namespace pit::runtime
