#include "fuse/attention.h"

namespace pit::fuse {
namespace {

using expr::Expr;

class AttentionFinder {
 public:
  AttentionFinder(const graph::Graph& g, const sparsity::Analysis& analysis, const std::set<ValueId>& stored, Fusion& f)
      : g_(g), analysis_(analysis), stored_(stored), f_(f) {}

  void run() {
    for (int o = 0; o < static_cast<int>(f_.groups.size()); ++o) {
      const Group& output = f_.groups[o];
      if (output.kind != GroupKind::contraction || has_one_static_b(output)) continue;
      const ValueId p = output.operands[0].value;
      const int s = sole_writer(p);
      if (s < 0 || f_.groups[s].kind != GroupKind::rows || f_.groups[s].mid >= 0) continue;
      const Group& softmax = f_.groups[s];
      if (softmax.writes.size() != 1 || softmax.reads.size() != 1 || softmax.control) continue;
      if (!std::any_of(softmax.nodes.begin(), softmax.nodes.end(),
                       [&](NodeId n) { return analysis_.nodes[n].is_softmax; }))
        continue;
      const int c = sole_writer(softmax.reads[0]);
      if (c < 0 || f_.groups[c].kind != GroupKind::contraction || has_one_static_b(f_.groups[c])) continue;
      if (ends_attention(c)) continue;  // softmax of attention: that is scores to none
      const Group& scores = f_.groups[c];
      if (scores.control || output.control || scores.epilogue.types.c != output.epilogue.types.c ||
          scores.epilogue.result != scores.epilogue.types.c || output.epilogue.result != output.epilogue.types.c)
        continue;
      if (scores.axes.m.size() != 1 || output.axes.m.size() != 1 ||
          scores.axes.batch.size() != output.axes.batch.size())
        continue;
      if (g_.values[p].dims != g_.values[softmax.reads[0]].dims || !same_position(softmax) || output.k_position() < 0)
        continue;
      if (!(scores.extents[scores.axes.n] == output.extents[output.axes.k])) continue;
      if (!(scores.extents[scores.axes.m[0]] == output.extents[output.axes.m[0]])) continue;
      f_.attentions.push_back({c, s, o});
      // Attention packs the keys and values that a run has, constant ones too.
      for (const int g : {c, o}) f_.groups[g].static_b = false, f_.groups[g].matrix_axes.clear();
    }
  }

 private:
  bool ends_attention(int group) const {
    return std::any_of(f_.attentions.begin(), f_.attentions.end(),
                       [&](const Fusion::Attention& a) { return a.output == group; });
  }

  // The same for the whole batch: its products are worth more as one with many rows than as attention.
  static bool has_one_static_b(const Group& group) { return group.static_b && group.matrix_axes.empty(); }

  // Every operand of the group is read and written at the group's own (outer..., inner) position.
  bool same_position(const Group& softmax) const {
    return std::all_of(softmax.operands.begin(), softmax.operands.end(), [&](const Operand& o) {
      return o.access.inner == lower::InnerAccess::unit &&
             std::all_of(o.access.index.begin(), o.access.index.end(),
                         [](const Expr& i) { return expr::bare_axis(i).has_value(); });
    });
  }

  int sole_writer(ValueId v) const {
    if (g_.values[v].producer < 0 || stored_.count(v)) return -1;
    int readers = 0;
    for (const Group& group : f_.groups) readers += std::count(group.reads.begin(), group.reads.end(), v) != 0;
    if (readers != 1) return -1;
    return f_.group_of[g_.values[v].producer];
  }

  const graph::Graph& g_;
  const sparsity::Analysis& analysis_;
  const std::set<ValueId>& stored_;
  Fusion& f_;
};

}  // namespace

void find_attentions(const graph::Graph& g, const sparsity::Analysis& analysis, const std::set<ValueId>& stored,
                     Fusion& f) {
  AttentionFinder(g, analysis, stored, f).run();
}

}  // namespace pit::fuse
