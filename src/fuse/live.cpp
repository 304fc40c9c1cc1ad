// Live sets of groups: masks of values and statements, restated over the group's axes.
#include <algorithm>

#include "fuse/group.h"
#include "sparsity/index_map.h"
#include "support/check.h"

namespace pit::fuse {
namespace {

using expr::Expr;
using sparsity::MaskId;
using sparsity::MaskProgram;

bool contains(const std::vector<int>& v, int x) { return std::find(v.begin(), v.end(), x) != v.end(); }

class LiveSets {
 public:
  LiveSets(graph::Graph& g, sparsity::Analysis& a, Group& group) : g_(g), masks_(a.masks), analysis_(a), group_(group) {
    frame_.program = group.program;
    frame_.extents = group.extents;
    frame_.params = group.params;
  }

  void attach() {
    std::vector<int> dropped;
    if (group_.inner >= 0) dropped.push_back(group_.inner);
    if (group_.mid >= 0) dropped.push_back(group_.mid);
    if (group_.kind == GroupKind::contraction) {
      dropped = {group_.axes.n, group_.axes.k};
    }
    MaskId live = masks_.nothing(group_.extents), zero = live;
    for (ValueId v : group_.writes) {
      const sparsity::ValueMasks& m = analysis_.values[v];
      live = masks_.or_(live, over_axes(m.computed, v));
      if (std::find(group_.read_across.begin(), group_.read_across.end(), v) != group_.read_across.end()) {
        zero = masks_.or_(zero, over_axes(masks_.not_(m.computed), v));
        continue;
      }
      if (masks_.is_everything(m.nonzero) || masks_.is_nothing(m.demand)) continue;
      zero = masks_.or_(zero, over_axes(masks_.and_(m.demand, masks_.not_(m.nonzero)), v));
    }
    // A dropped axis that is not in a value's index is uniform already.
    if (group_.kind == GroupKind::contraction && masks_.forms(live)[static_cast<std::size_t>(group_.axes.n)].form == sparsity::Form::pieces)
      group_.live_columns = masks_.any(live, {group_.axes.k});
    group_.live_rows = masks_.any(live, dropped);
    group_.zero_rows = masks_.any(zero, dropped);
    if (group_.kind == GroupKind::contraction || group_.mid >= 0) attach_terms();
  }

 private:
  // The statement that reduces over k (mid) decides which terms there are.
  void attach_terms() {
    MaskId terms = masks_.nothing(group_.extents);
    for (NodeId n : group_.nodes) {
      const auto& statements = analysis_.nodes[n].statements;
      const std::vector<int>& axes = group_.axis_of.at(n);
      const int reduced = group_.kind == GroupKind::contraction ? group_.axes.k : group_.mid;
      if (!contains(axes, reduced)) continue;
      for (std::size_t i = 0; i < statements.size(); ++i) {
        const sparsity::StatementFacts& f = statements[i];
        if (!runs_along(g_.nodes[n].program.statements[i], axes, reduced)) continue;
        std::vector<int> order(group_.extents.size(), -1);
        for (std::size_t a = 0; a < axes.size(); ++a)
          if (axes[a] >= 0) order[axes[a]] = static_cast<int>(a);
        terms = masks_.or_(terms, masks_.permute(f.live, order, group_.extents));
      }
    }
    group_.live_terms = terms;
  }

  // Whether the statement has the group's axis `axis` (a mean's division by the count does not have the axis summed over).
  static bool runs_along(const expr::Statement& s, const std::vector<int>& axes, int axis) {
    const auto is = [&](expr::AxisId a) { return axes[static_cast<std::size_t>(a)] == axis; };
    const auto free = expr::free_axes(s), reduced = expr::reduced_axes(s);
    return std::any_of(free.begin(), free.end(), is) || std::any_of(reduced.begin(), reduced.end(), is);
  }

  // A mask over a value's dimensions as one over the group's axes. Widened exactly where the analysis widened it: a kernel that
  // visited more than the analysis said would read what nobody computed.
  MaskId over_axes(MaskId m, ValueId v) {
    const auto written = std::find(group_.tensor_value.begin(), group_.tensor_value.end(), v);
    const auto map = sparsity::index_map({&g_, &frame_, group_.tensor_value, nullptr},
                                         static_cast<expr::TensorId>(written - group_.tensor_value.begin()), group_.index_of.at(v), false,
                                         g_.values[v].dims);
    return sparsity::read_through(masks_, map, m, true);
  }

  graph::Graph& g_;
  MaskProgram& masks_;
  sparsity::Analysis& analysis_;
  Group& group_;
  graph::Node frame_;  ///< the group as one node, for the index maps
};

}  // namespace

void attach_masks(graph::Graph& g, sparsity::Analysis& analysis, Group& group) {
  LiveSets(g, analysis, group).attach();
}

}  // namespace pit::fuse
