// Live sets of groups: masks of values and statements, restated over the group's axes.
#include <algorithm>

#include "fuse/group.h"
#include "support/check.h"

namespace pit::fuse {
namespace {

using expr::Expr;
using sparsity::MaskId;
using sparsity::MaskProgram;

bool contains(const std::vector<int>& v, int x) { return std::find(v.begin(), v.end(), x) != v.end(); }

class LiveSets {
 public:
  LiveSets(graph::Graph& g, sparsity::Analysis& a, Group& group, const Merger& merger)
      : g_(g), masks_(a.masks), analysis_(a), group_(group), merger_(merger) {}

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
      for (const sparsity::StatementFacts& f : statements) {
        std::vector<int> order(group_.extents.size(), -1);
        for (std::size_t a = 0; a < axes.size(); ++a)
          if (axes[a] >= 0) order[axes[a]] = static_cast<int>(a);
        terms = masks_.or_(terms, masks_.permute(f.live, order, group_.extents));
      }
    }
    group_.live_terms = terms;
  }

  // A mask over a value's dimensions as one over the group's axes, at least as large.
  MaskId over_axes(MaskId m, ValueId v) {
    const std::vector<Expr>& index = merger_.index_of(v);
    std::vector<int> order(group_.extents.size(), -1), blur;
    std::vector<std::pair<int, int>> windows;
    for (std::size_t d = 0; d < index.size(); ++d) {
      if (auto a = expr::bare_axis(index[d])) {
        order[*a] = static_cast<int>(d);
        continue;
      }
      auto f = index[d]->kind == expr::Kind::literal ? std::nullopt : affine(g_.dims, index[d], group_.extents, group_.params);
      if (f && f->coefficient.size() == 1) {
        const auto [axis, step] = *f->coefficient.begin();
        const auto fixed_step = g_.dims.constant_value(step), fixed_start = g_.dims.constant_value(f->constant);
        if (!fixed_step) {
          blur.push_back(static_cast<int>(d));
          continue;
        }
        const auto start = fixed_start ? sparsity::Position::at(*fixed_start) : sparsity::Position::of(f->constant);
        m = masks_.window(m, static_cast<int>(d), start, *fixed_step, group_.extents[axis]);
        order[axis] = static_cast<int>(d);
      } else {
        blur.push_back(static_cast<int>(d));
      }
    }
    if (!blur.empty()) m = masks_.any(m, blur);
    return masks_.permute(m, order, group_.extents);
  }

  graph::Graph& g_;
  MaskProgram& masks_;
  sparsity::Analysis& analysis_;
  Group& group_;
  const Merger& merger_;
};

}  // namespace

void attach_masks(graph::Graph& g, sparsity::Analysis& analysis, Group& group, const Merger& merger) {
  LiveSets(g, analysis, group, merger).attach();
}

}  // namespace pit::fuse
