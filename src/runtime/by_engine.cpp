// What the contraction engine sums for a step, which then runs the epilogue alone. Two cases:
//   * few rows against constant weights: bound by latency and memory, for which the engine has tiles of several
//     panels and ones that fetch ahead;
//   * zeros that only values tell: A's (ReLU) are found as the step begins, in one pass over the live rows, which what
//     made them has just left in the caches; those of pruned weights when they were packed.
// Sums are the same chains of ascending k either way.
#include "contract/canonical.h"
#include "runtime/contraction.h"
#include "support/check.h"

namespace pit::runtime {
namespace {

using contract::RuleKind;

/// Tiles one below the other: with more of them, those of the step do as well, and need no second pass for the
/// epilogue.
constexpr std::int64_t kFewTiles = 4;

std::int64_t elements(std::int64_t bytes) { return bytes / static_cast<std::int64_t>(sizeof(float)); }

}  // namespace

// The engine takes rows with all of k, consecutive in memory, and all columns.
bool ContractionRunner::rows_are_whole() const {
  const std::int64_t size = sizeof(float);
  return live_k_.all() && !some_rows_absent_ && panel_groups_.size() == 1 && plan_.operands[0].k == size &&
         plan_.operands[2].n == size && group_.operands[2].access.dtype == DType::f32;
}

bool ContractionRunner::sum_by_engine() {
  const ContractionStep& step = step_.contraction;
  const bool few = rows_.total() <= kFewTiles * run_.p_.tile.rows, looks = step.scans_a || step.pruned;
  if (!step.weights || !(few || looks) || rows_.total() == 0 || plan_.n == 0 || plan_.k == 0 || !rows_are_whole())
    return false;
  contract::Problem p;
  p.m = rows_.total(), p.n = plan_.n, p.k = plan_.k;
  for (std::int64_t o = 0; o < plan_.batch; ++o)
    for (std::int64_t i = 0; i < rows_.count(o); ++i) {
      const std::int64_t row = rows_.data(o)[i];
      p.a_rows.push_back(elements(batch_offset(0, o) + row_offset(0, row)));
      p.c_rows.push_back(elements(batch_offset(2, o) + row_offset(2, row)));
    }
  const auto* a = reinterpret_cast<const float*>(run_.root_address(group_.operands[0].value));
  p.items.push_back({.a = a, .c = reinterpret_cast<float*>(run_.root_address(group_.operands[2].value))});

  const contract::Engine& engine = *run_.p_.engine;
  detect::LiveMap map;
  contract::Live live{.b = contract::live_of(*step.weights)};
  if (step.scans_a) {
    // each row a matrix: they lie anywhere
    const detect::Values values{.data = a, .batch_offsets = p.a_rows, .rows = 1, .columns = p.k};
    if (engine.worth_detecting(p, values, 1, 1, true, run_.pool_.size())) {
      map = detect::scan(values, 1, 1, 0, run_.pool_, {}, detect::scan_isa(run_.p_.target));
      map.batch = 1, map.rows = p.m;
      live.a = &map;
    }
  }
  const int threads = run_.pool_.size();
  contract::Schedule chosen = engine.schedule(p, {}, step.weights.get(), {}, threads);
  if (live.a || live.b) {
    run_.record_.candidates = engine.schedules(p, live, step.weights.get(), threads);
    chosen = run_.record_.candidates.front();
  }
  const bool dense = chosen.rule.kind == RuleKind::dense;
  if (dense && !few) return false;
  if (!dense) run_.record_.live *= contract::live_share(p, live);
  engine.run(p, dense ? contract::Live{} : live, step.weights.get(), chosen, run_.pool_, run_.poison_);
  return true;
}

}  // namespace pit::runtime
