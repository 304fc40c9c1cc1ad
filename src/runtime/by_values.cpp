// Zeros that only values tell: A's (ReLU) are found as the step begins, in one pass over the live rows, which what made them has just left in the
// caches; those of pruned weights when they were packed. The contraction engine sums what is there; the step's own tiles add the epilogue. Sums are
// the same chains of ascending k either way.
#include "contract/canonical.h"
#include "runtime/contraction.h"
#include "support/check.h"

namespace pit::runtime {

// The engine takes rows with all terms, consecutive in memory, and all columns.
bool ContractionRunner::rows_are_whole() const {
  const std::int64_t size = sizeof(float);
  return terms_k_.all() && !some_rows_absent_ && parts_.size() == 1 && plan_.operands[0].k == size && plan_.operands[2].n == size;
}

bool ContractionRunner::sum_by_values() {
  const std::shared_ptr<contract::PackedB>& b = step_.contraction.by_values;
  if (!b || !rows_are_whole()) return false;
  contract::Problem p;
  p.m = rows_.total(), p.n = plan_.n, p.k = plan_.k;
  const auto elements = [](std::int64_t bytes) { return bytes / static_cast<std::int64_t>(sizeof(float)); };
  for (std::int64_t o = 0; o < plan_.batch; ++o)
    for (std::int64_t i = 0; i < rows_.count(o); ++i) {
      const std::int64_t row = rows_.data(o)[i];
      p.a_rows.push_back(elements(batch_offset(0, o) + row_offset(0, row)));
      p.c_rows.push_back(elements(batch_offset(2, o) + row_offset(2, row)));
    }
  const auto* a = reinterpret_cast<const float*>(run_.root_address(group_.operands[0].value));
  p.items.push_back({.a = a, .c = reinterpret_cast<float*>(run_.root_address(group_.operands[2].value))});

  const contract::Engine& engine = *run_.p_.engine;
  const int threads = run_.pool_.size();
  const detect::Values values{.data = a, .batch_offsets = p.a_rows, .rows = 1, .columns = p.k};  // each row a matrix: they lie anywhere
  if (p.m == 0 || p.n == 0 || p.k == 0) return false;
  detect::LiveMap map;
  contract::Live live{.b = contract::live_of(*b)};
  if (step_.contraction.looks_at_a && engine.worth_detecting(p, values, 1, 1, true, threads)) {
    map = detect::scan(values, 1, 1, 0, run_.pool_, {}, detect::scan_isa(run_.p_.target));
    map.batch = 1, map.rows = p.m;
    live.a = &map;
  }
  if (!live.a && !live.b) return false;
  std::vector<contract::Costed>& candidates = run_.record_.candidates;
  candidates = engine.candidates(p, live, b.get(), threads);
  if (candidates.front().rule.kind == contract::RuleKind::dense) return false;
  run_.record_.live *= contract::live_share(p, live);
  engine.run(p, live, b.get(), candidates.front().rule, run_.pool_, run_.poison_);
  return true;
}

}  // namespace pit::runtime
