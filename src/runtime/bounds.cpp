// The last line of defence of a plan: no access of any step leaves the storage of what it accesses. Shapes that do not
// fit each other are found before, by the checks of the graph; what slips through must become an error, not a read of
// somebody else's memory.
#include "runtime/plan.h"
#include "support/check.h"

namespace pit::runtime {
namespace {

/// Smallest and largest element that an affine access of these extents reaches; nothing if there are no elements.
struct Reach {
  std::int64_t low = 0, high = 0;
  bool nothing = false;
};

Reach reach(const Plan& plan, Dim base, const std::vector<Dim>& strides, const std::vector<Dim>& extents) {
  Reach r{plan[base], plan[base]};
  for (std::size_t a = 0; a < strides.size(); ++a) {
    const std::int64_t extent = plan[extents[a]], stride = plan[strides[a]];
    if (extent == 0) r.nothing = true;
    (stride > 0 ? r.high : r.low) += (extent - 1) * stride;
  }
  return r;
}

class BoundsChecker {
 public:
  BoundsChecker(const Program& p, const Plan& plan) : p_(p), plan_(plan), elements_(p.graph.values.size(), -1) {}

  void operator()(const compile::Phase& phase) {
    const auto& values = p_.graph.values;
    for (const ValueId v : phase.values) {
      const fuse::Layout& l = p_.fusion.layouts[v];
      if (l.root < 0 || l.root == v) continue;
      if (!inside(l.root, reach(plan_, l.offset, l.strides, values[v].dims)))
        fail(values[v].producer >= 0 ? p_.graph.describe(values[v].producer) : std::string(), values[v].name, l.root);
    }
    for (const int step : phase.steps) {
      const fuse::Group& group = p_.group(p_.steps[step]);
      for (const fuse::Operand& o : group.operands) {
        const bool nest = group.kind == fuse::GroupKind::nest;
        if (o.value < 0 || (nest && o.origin.id < 0)) continue;  // kernels look themselves, or it is a temporary
        const ValueId root = p_.fusion.layouts[o.value].root;
        if (!inside(root, reach(plan_, nest ? o.origin : o.base, o.strides, group.extents)))
          fail(p_.graph.describe(group.nodes[0]), values[o.value].name, root);
      }
    }
  }

 private:
  bool inside(ValueId root, const Reach& r) {
    std::int64_t& n = elements_[root];
    if (n < 0) n = element_count(plan_.shape_of(p_.graph.values[root]));
    return r.nothing || (r.low >= 0 && r.high < n);
  }
  [[noreturn]] void fail(const std::string& who, const std::string& name, ValueId root) const {
    throw InputError(
        fmt::format(
            "{}: the shapes of the inputs do not fit the model: '{}' would be read beyond the end of '{}', which is {}",
            who, name, p_.graph.values[root].name, to_string(plan_.shape_of(p_.graph.values[root]))),
        who, name);
  }

  const Program& p_;
  const Plan& plan_;
  std::vector<std::int64_t> elements_;  ///< per root; -1: not counted yet
};

}  // namespace

void check_bounds(const Program& p, const Plan& plan, const compile::Phase& phase) { BoundsChecker(p, plan)(phase); }

}  // namespace pit::runtime
