#include "compile/phases.h"

#include <algorithm>

#include "fuse/phases.h"
#include "support/check.h"

namespace pit::compile {
namespace {

class PhaseFinder {
 public:
  explicit PhaseFinder(const Program& p) : p_(p), known_(p.graph, *p.analysis, p.fusion) {
    all_.emplace_back();
    for (const graph::Finder& f : known_.finders()) {
      const int step = p.fusion.group_of[f.node];
      PIT_CHECK(p.fusion.groups[step].kind == fuse::GroupKind::reference, "step {} finds '{}', but is no routine", step,
                p.graph.dims.symbol_name(f.symbol));
      behind(step).finders.push_back(f);
    }
    for (const ValueId v : p.mask_leaves)
      if (known_.of_leaf(v) >= 0) behind(known_.of_leaf(v));
    std::sort(all_.begin(), all_.end(), [](const Phase& a, const Phase& b) { return a.after < b.after; });
  }

  std::vector<Phase> operator()(const std::vector<sparsity::MaskId>& masks) {
    const graph::Graph& g = p_.graph;
    for (std::int32_t d = 0; d < g.dims.count(); ++d) at(known_.of(Dim{d})).dims.push_back({d});
    for (ValueId v = 0; v < static_cast<ValueId>(g.values.size()); ++v) at(known_.of_value(v)).values.push_back(v);
    for (const ValueId v : p_.element_values)
      at(std::max(known_.of_value(v), known_.of(g.values[v].elements))).element_values.push_back(v);
    for (std::size_t c = 0; c < g.checks.size(); ++c)
      at(std::max(known_.of(g.checks[c].a), known_.of(g.checks[c].b))).checks.push_back(static_cast<int>(c));
    for (std::size_t s = 0; s < p_.steps.size(); ++s) {
      const fuse::Group& group = p_.group(p_.steps[s]);
      if (group.kind != fuse::GroupKind::nest && !group.has_rows()) continue;
      at(in_time(known_.of(group), s)).steps.push_back(static_cast<int>(s));
      if (group.control) continue;
      const RowStep& r = p_.steps[s].rows;
      const NestStep& n = p_.steps[s].nest;
      const ContractionStep& c = p_.steps[s].contraction;
      for (const sparsity::MaskId m : {r.live, r.zero, r.live_k, n.live, n.zero, c.columns, c.live, c.zero,
                                       c.reached_rows, c.live_k, c.live_n, c.live_mk})
        in_time(known_.of(m), s);
    }
    for (const sparsity::MaskId m : masks) at(known_.of(m)).masks.push_back(m);
    for (std::size_t c = 0; c < p_.claims.size(); ++c)
      at(known_.of(p_.claims[c].violated)).claims.push_back(static_cast<int>(c));
    return std::move(all_);
  }

 private:
  Phase& behind(int step) {
    const auto it = std::find_if(all_.begin(), all_.end(), [&](const Phase& phase) { return phase.after == step; });
    if (it != all_.end()) return *it;
    all_.emplace_back().after = step;
    return all_.back();
  }
  Phase& at(int after) {
    return *std::lower_bound(all_.begin(), all_.end(), after, [](const Phase& p, int a) { return p.after < a; });
  }
  int in_time(int phase, std::size_t step) const {
    PIT_CHECK(phase < static_cast<int>(step), "step {}, '{}', needs what step {}, '{}', tells only later", step,
              p_.steps[step].label, phase, p_.steps[phase].label);
    return phase;
  }

  const Program& p_;
  const fuse::Phases known_;
  std::vector<Phase> all_;
};

}  // namespace

std::vector<Phase> find_phases(const Program& p, const std::vector<sparsity::MaskId>& masks) {
  return PhaseFinder(p)(masks);
}

}  // namespace pit::compile
