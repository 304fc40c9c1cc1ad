#include "fuse/reads.h"

#include <algorithm>

#include "fuse/frame.h"
#include "fuse/phases.h"
#include "fuse/visit.h"
#include "rules/contraction.h"
#include "sparsity/demand.h"
#include "sparsity/forward.h"
#include "sparsity/index_map.h"
#include "support/check.h"

namespace pit::fuse {
namespace {

using expr::Expr;
using graph::Node;
using sparsity::MaskId;
using sparsity::MaskProgram;
using sparsity::NodeDemand;
using sparsity::ProgramFacts;

class Reads {
 public:
  Reads(graph::Graph& g, sparsity::Analysis& a, Fusion& f)
      : g_(g), a_(a), p_(a.masks), fusion_(f), phases_(g, a, f), unknown_(g.values.size(), 0), demand_(a.required) {
    for (const graph::Value& v : g.values) numbers_.push_back(p_.nothing(v.dims));
    for (sparsity::ValueMasks& m : a.values) m.numbers = {};
    absorbed_by_.assign(f.groups.size(), nullptr);
    computes_.assign(f.groups.size(), nullptr);
    for (const Fusion::Attention& t : f.attentions) {
      absorbed_by_[t.scores] = absorbed_by_[t.softmax] = &t;
      computes_[t.output] = &t;
    }
    keys_.resize(g.values.size());
  }

  void run() {
    for (std::size_t i = fusion_.groups.size(); i-- > 0;) {
      Group& group = fusion_.groups[i];
      come_to(static_cast<int>(i));
      if (group.control) continue;
      widen_leaves(group);
      switch (group.kind) {
        case GroupKind::view: view(group); break;
        case GroupKind::rows: rows(group, absorbed_by_[i]); break;
        case GroupKind::nest: group.has_rows() ? rows(group, nullptr) : reference(group); break;
        case GroupKind::contraction: contraction(group, absorbed_by_[i], computes_[i]); break;
        case GroupKind::reference: reference(group); break;
        case GroupKind::elements: break;
      }
    }
    for (ValueId v = 0; v < static_cast<ValueId>(g_.values.size()); ++v)
      if (a_.late[v]) note_defined(v);
    for (std::size_t v = 0; v < g_.values.size(); ++v) {
      sparsity::ValueMasks& m = a_.values[v];
      if (a_.control[v] || g_.values[v].is_constant()) continue;
      m.demand = demand_[v];
      m.computed = p_.and_(m.demand, m.nonzero);
    }
  }

 private:
  void note_defined(ValueId v) {
    MaskId defined = p_.nothing(g_.values[v].dims);
    for (const Group& group : fusion_.groups) {
      if (!contains(group.writes, v)) continue;
      const bool listed = !group.control && group.has_rows();
      if (!listed) return;
      defined = p_.or_(defined, Frame(g_, p_, group).to_value(p_.or_(computed_by(group), group.zero_rows), v));
    }
    if (!p_.is_everything(defined)) fusion_.defined[v] = defined;
  }

  // -- one node
  // ----------------------------------------------------------------------------------------------------------

  ProgramFacts* facts(NodeId n) { return a_.forward->program(n); }

  // What a later node of the same group takes as any number is in a register here, whatever it was made of: it has to
  // be right.
  NodeDemand node_demand(ProgramFacts& f, const Group& group, NodeId n) {
    for (ValueId v : g_.nodes[n].outputs)
      if (group.last < 0) want_right(v, p_.everything(g_.values[v].dims));
    return NodeDemand(f, a_.forward->context(n), demand_, &numbers_);
  }

  void want_right(ValueId v, MaskId where) {
    demand_[v] = p_.or_(demand_[v], p_.and_(numbers_[v], where));
    numbers_[v] = p_.and_(numbers_[v], p_.not_(where));
  }

  bool is_demanded(const Node& n) const {
    return std::any_of(n.outputs.begin(), n.outputs.end(),
                       [&](ValueId v) { return !p_.is_nothing(demand_[v]) || !p_.is_nothing(numbers_[v]); });
  }

  void demand_inputs_whole(const Node& n) {
    for (ValueId v : n.inputs) demand_[v] = p_.everything(g_.values[v].dims);
  }

  // What no formula describes makes all of its results out of all of its operands.
  void computed_whole(const Node& n) {
    for (ValueId v : n.outputs) want_right(v, p_.everything(g_.values[v].dims));
    demand_inputs_whole(n);
  }

  /// visit(statement's number, statement) from the last to the first statement of `n` that the group runs.
  template <class F>
  void backwards(const Group& group, NodeId n, F&& visit) {
    const auto [first, last] = statements_of(g_, group, n);
    for (int i = last; i-- > first;) visit(i, g_.nodes[n].program.statements[i]);
  }

  ValueId written_value(const Group& group, NodeId n, const expr::Statement& s) {
    const ValueId v = a_.forward->context(n).tensor_values[s.out];
    return v >= 0 && contains(group.writes, v) ? v : -1;
  }

  void note_live(NodeId n, int statement, MaskId live) {
    auto& statements = a_.nodes[n].statements;
    if (statement < static_cast<int>(statements.size())) statements[statement].live = live;
  }

  // -- steps without lists
  // -----------------------------------------------------------------------------------------------

  // The result is the operand's storage: its zeros are filled where the operand is made.
  void view(const Group& group) {
    const NodeId n = group.nodes[0];
    const Node& node = g_.nodes[n];
    if (node.outputs.size() != 1 || g_.values[node.outputs[0]].has_elements || !is_demanded(node)) return;
    ProgramFacts* f = facts(n);
    if (!f) return computed_whole(node);
    NodeDemand demand(*f, a_.forward->context(n), demand_);
    backwards(group, n, [&](int, const expr::Statement& s) {
      PIT_CHECK(sparsity::may_be_view(s), "{} is a view, but no index map", g_.describe(n));
      demand.read(s.value, demand.enter(s));
    });
    demand.finish();
    NodeDemand numbers(*f, a_.forward->context(n), numbers_);
    backwards(group, n, [&](int, const expr::Statement& s) { numbers.read(s.value, numbers.enter(s)); });
    numbers.finish();
    a_.values[node.outputs[0]].numbers = numbers_[node.outputs[0]];
  }

  // The interpreter, library routines and nests of several statements compute everything, and skip nothing.
  void reference(const Group& group) {
    const NodeId n = group.nodes[0];
    const Node& node = g_.nodes[n];
    if (!is_demanded(node) && !a_.finds[n]) return;
    ProgramFacts* f = facts(n);
    if (!f) return computed_whole(node);
    NodeDemand demand = node_demand(*f, group, n);
    backwards(group, n, [&](int i, const expr::Statement& s) {
      const MaskId evaluated = demand.enter(s);
      demand.read(s, evaluated, p_.everything(node.extents), -1);
      note_live(n, i, f->terms(s, evaluated));
    });
    demand.finish();
  }

  // -- lists of rows
  // -----------------------------------------------------------------------------------------------------

  // The next group, on the way back: fewer late leaves are known to its lists.
  void come_to(int position) {
    position_ = position;
    for (ValueId v = 0; v < static_cast<ValueId>(g_.values.size()); ++v) {
      if (unknown_[v] || !a_.late[v] || phases_.of_leaf(v) < position) continue;
      unknown_[v] = 1;
      wide_.clear();
    }
  }

  // Where a leaf is demanded must not depend on what it turns out to be.
  void widen_leaves(const Group& group) {
    for (ValueId v : group.writes) {
      if (!a_.late[v]) continue;
      demand_[v] = p_.or_(p_.widened(demand_[v], unknown_, wide_), a_.relied[v]);
      numbers_[v] = p_.widened(numbers_[v], unknown_, wide_);
    }
  }

  // Whether a list by this mask would come too late for the group.
  bool is_late(MaskId m) const { return phases_.of(m) >= position_; }
  // A list that would come too late holds what it may hold for all that is known by then.
  MaskId in_time(MaskId m, const Group& group) {
    if (!is_late(m)) return m;
    m = p_.widened(m, unknown_, wide_);
    return is_late(m) ? p_.everything(group.extents) : m;
  }

  // Rows that must be produced, over all axes but `inside` (which kernels compute whole), and rows that must hold
  // zeros.
  void list_rows(const Frame& frame, Group& group, const std::vector<int>& inside) {
    if (group.added >= 0) return list_changes(frame, group, inside);
    MaskId live = p_.nothing(group.extents), zero = live;
    for (ValueId v : group.writes) {
      const MaskId nonzero = a_.values[v].nonzero;
      live = p_.or_(live, frame.of_value(p_.and_(demand_[v], nonzero), v));
      if (!p_.is_everything(nonzero) && !p_.is_nothing(demand_[v]))
        zero = p_.or_(zero, frame.of_value(p_.and_(demand_[v], p_.not_(nonzero)), v));
    }
    if (is_late(live) || is_late(zero)) {
      live = in_time(live, group);
      // What is not in the longer list, but may have to be zero, is: else it would be in the list.
      zero = p_.and_(in_time(zero, group), p_.not_(live));
    }
    group.live_columns = {};
    if (group.kind == GroupKind::contraction &&
        p_.forms(live)[static_cast<std::size_t>(group.axes.n)].form == sparsity::Form::segments)
      group.live_columns = p_.any(live, {group.axes.k});
    group.live_rows = frame.any(live, inside);
    // Where any number does, a zero does, unless the row is computed: then all of it is.
    const MaskId computed = computed_by(group);
    for (ValueId v : group.writes) {
      if (p_.is_nothing(numbers_[v])) continue;
      zero = p_.or_(zero, p_.and_(in_time(frame.of_value(numbers_[v], v), group), p_.not_(computed)));
      want_right(v, frame.to_value(computed, v));
      a_.values[v].numbers = numbers_[v];
      if (group.last < 0) numbers_[v] = p_.nothing(g_.values[v].dims);  // else other groups write the rest
    }
    group.zero_rows = frame.any(zero, inside);
  }

  // Rows in which a sum changes; others stay as they are.
  void list_changes(const Frame& frame, Group& group, const std::vector<int>& inside) {
    const ValueId v = group.writes[0];
    want_right(v, p_.everything(g_.values[v].dims));
    const MaskId changed = p_.and_(demand_[v], a_.values[group.added].nonzero);
    group.live_columns = {};
    group.live_rows = frame.any(in_time(frame.of_value(changed, v), group), inside);
    group.zero_rows = p_.nothing(group.extents);
    demand_[group.onto] = p_.or_(demand_[group.onto], demand_[v]);
  }

  // The axes that kernels compute whole.
  static std::vector<int> inside_rows(const Group& group) {
    std::vector<int> inside;
    for (int a = 0; a < static_cast<int>(group.extents.size()); ++a)
      if (!contains(group.outer, a)) inside.push_back(a);
    return inside;
  }

  // -- row kernels
  // -------------------------------------------------------------------------------------------------------

  void rows(Group& group, const Fusion::Attention* attention) {
    const Frame frame(g_, p_, group);
    list_rows(frame, group, inside_rows(group));
    needed_ = p_.nothing(group.extents);
    if (attention)
      return row_nodes(frame, group, keys_[group.writes[0]], group.inner,
                       frame.of_value(demand_[group.writes[0]], group.writes[0]));
    if (group.mid < 0) return row_nodes(frame, group, {}, -1, group.live_rows);
    // The list along `mid` must hold every k that can change what is demanded; what more the kernel reads through a
    // longer list may ask for more in turn, until nothing new comes.
    constexpr int rounds = 4;
    MaskId list = p_.nothing(group.extents);
    for (int round = 0; round < rounds; ++round) {
      needed_ = list;
      row_nodes(frame, group, list, group.mid, group.live_rows);
      const MaskId longer = in_time(p_.or_(list, frame.any(needed_, {group.inner})), group);
      if (longer == list) break;
      list = round + 2 < rounds ? longer : p_.everything(group.extents);
    }
    group.live_k = list;
  }

  // One visit of a row group's nodes whose reductions over `axis` walk `list` (both over the group's axes; none: axis
  // -1). `visited`: what the kernel computes. Adds to needed_ what of `axis` can change a demanded result.
  void row_nodes(const Frame& frame, const Group& group, MaskId list, int axis, MaskId visited) {
    for (std::size_t k = group.nodes.size(); k-- > 0;) {
      const NodeId n = group.nodes[k];
      ProgramFacts* f = facts(n);
      if (!f) {
        if (!p_.is_nothing(visited)) demand_inputs_whole(g_.nodes[n]);
        if (axis >= 0) needed_ = p_.everything(group.extents);
        continue;
      }
      const MaskId here = frame.to_node(visited, n), listed = axis >= 0 ? frame.to_node(list, n) : MaskId{};
      NodeDemand demand = node_demand(*f, group, n);
      backwards(group, n, [&](int i, const expr::Statement& s) {
        MaskId evaluated = demand.enter(s);
        if (written_value(group, n, s) >= 0) evaluated = p_.and_(evaluated, here);
        const MaskId matter = f->terms(s, evaluated);
        MaskId looked_up = here;
        if (reduces(group, n, s, axis)) {
          needed_ = p_.or_(needed_, frame.of_node(matter, n));
          evaluated = p_.and_(evaluated, listed);
          looked_up = p_.and_(here, listed);
        }
        demand.read(s, evaluated, looked_up, absorbing_in(g_, a_, group, n, i));
        note_live(n, i, matter);
      });
      demand.finish();
    }
  }

  // -- contractions
  // ------------------------------------------------------------------------------------------------------

  void contraction(Group& group, const Fusion::Attention* absorbed, const Fusion::Attention* attention) {
    const Frame frame(g_, p_, group);
    list_rows(frame, group, {group.axes.n, group.axes.k});
    const MaskId computed = absorbed ? frame.of_value(demand_[group.writes[0]], group.writes[0]) : computed_by(group);
    for (std::size_t k = group.nodes.size(); k-- > 1;) epilogue_node(frame, group, group.nodes[k], computed);
    const NodeId n = group.nodes[0];
    ProgramFacts* f = facts(n);
    if (!f) {
      demand_inputs_whole(g_.nodes[n]);
      group.live_k = p_.everything(group.extents);
      if (attention) keys_[group.operands[0].value] = p_.everything(fusion_.groups[attention->softmax].extents);
      return;
    }
    NodeDemand demand = node_demand(*f, group, n);
    const expr::Statement& s = g_.nodes[n].program.statements[0];
    MaskId wanted = demand.enter(s);
    if (written_value(group, n, s) >= 0) wanted = p_.and_(wanted, frame.to_node(computed, n));
    const MaskId matter = f->terms(s, wanted);
    note_live(n, 0, matter);
    if (absorbed) return scores(frame, group, demand, s, wanted);
    group.live_k =
        in_time(attention ? pairs(*attention, frame, group, s, *f, wanted, matter) : frame.of_node(matter, n), group);
    const std::vector<int>& m = group.axes.m;
    const MaskId terms = group.live_k, listed_k = frame.any(terms, with(m, group.axes.n));
    // A list that is the same everywhere would only say, at each row, that there is a row.
    const auto along = [&](MaskId lines, int axis, MaskId list) {
      return p_.is_uniform(terms, axis) ? lines : p_.and_(lines, list);
    };
    for (const Expr& cast : s.value->args) {
      const Expr factor = rules::element_of(cast);
      if (has_axis(factor, node_axis(group, n, group.axes.n))) {
        const MaskId columns = frame.any(terms, with(m, group.axes.k));
        demand.read(factor, frame.to_node(attention ? listed_k : along(listed_k, group.axes.n, columns), n));
      } else if (!attention) {  // the probabilities never leave the tile
        demand.read(factor,
                    frame.to_node(along(frame.any(terms, {group.axes.n, group.axes.k}), group.axes.k, listed_k), n));
      }
    }
    demand.finish();
  }

  static std::vector<int> with(std::vector<int> axes, int a) {
    axes.push_back(a);
    return axes;
  }

  void epilogue_node(const Frame& frame, const Group& group, NodeId n, MaskId computed) {
    ProgramFacts* f = facts(n);
    if (!f) return demand_inputs_whole(g_.nodes[n]);
    const MaskId here = frame.to_node(computed, n);
    NodeDemand demand = node_demand(*f, group, n);
    backwards(group, n, [&](int i, const expr::Statement& s) {
      MaskId evaluated = demand.enter(s);
      if (written_value(group, n, s) >= 0) evaluated = p_.and_(evaluated, here);
      demand.read(s, evaluated, here, absorbing_in(g_, a_, group, n, i));
      note_live(n, i, evaluated);
    });
    demand.finish();
  }

  // -- attention
  // ---------------------------------------------------------------------------------------------------------

  // Every listed query meets every listed key: Q's rows are read whole, and all of K's listed rows.
  void scores(const Frame& frame, Group& group, NodeDemand& demand, const expr::Statement& s, MaskId wanted) {
    const NodeId n = group.nodes[0];
    const int columns = node_axis(group, n, group.axes.n);
    std::vector<int> m;
    for (int a : group.axes.m) m.push_back(node_axis(group, n, a));
    for (const Expr& factor : s.value->args)
      demand.read(factor, has_axis(factor, columns) ? p_.any(wanted, m) : p_.any(wanted, {columns}));
    demand.finish();
    group.live_k = in_time(frame.of_node(wanted, n), group);
  }

  // Which keys each query of the output needs, over the group's axes (uniform along n): those whose probability meets a
  // value, and those that count in the softmax, whatever they meet. Demands the probabilities of all listed keys.
  MaskId pairs(const Fusion::Attention& attention, const Frame& frame, const Group& group, const expr::Statement& s,
               ProgramFacts& f, MaskId wanted, MaskId matter) {
    const NodeId n = group.nodes[0];
    const ValueId probabilities = group.operands[0].value;
    const int columns = node_axis(group, n, group.axes.n);
    const Expr& a = has_axis(s.value->args[0], columns) ? s.value->args[1] : s.value->args[0];
    const auto map = f.map_of(a);
    const MaskId rows = p_.any(wanted, {columns});
    const MaskId counted =
        softmax_terms(fusion_.groups[attention.softmax], probabilities, sparsity::write_through(p_, map, rows, true));
    const MaskId needed =
        p_.or_(p_.any(matter, {columns}), p_.and_(rows, sparsity::read_through(p_, map, counted, true)));
    std::vector<int> m;
    for (int axis : group.axes.m) m.push_back(node_axis(group, n, axis));
    const MaskId keys = p_.any(needed, m);
    demand_[probabilities] =
        p_.or_(demand_[probabilities], sparsity::write_through(p_, map, p_.and_(rows, keys), true));
    const Group& softmax = fusion_.groups[attention.softmax];
    keys_[probabilities] = Frame(g_, p_, softmax).of_value(sparsity::write_through(p_, map, keys, true), probabilities);
    return frame.of_node(needed, n);
  }

  // What counts in the reductions of the softmax for the rows `rows` of its result (both over the result's dimensions).
  MaskId softmax_terms(const Group& group, ValueId result, MaskId rows) {
    std::vector<MaskId> demand(demand_);
    demand[result] = rows;
    MaskId counted = p_.nothing(group.extents);
    const Frame frame(g_, p_, group);
    for (std::size_t k = group.nodes.size(); k-- > 0;) {
      const NodeId n = group.nodes[k];
      ProgramFacts* f = facts(n);
      if (!f) return p_.everything(g_.values[result].dims);
      NodeDemand node(*f, a_.forward->context(n), demand);
      backwards(group, n, [&](int, const expr::Statement& s) {
        const MaskId evaluated = f->terms(s, node.enter(s));
        if (reduces(group, n, s, group.inner)) counted = p_.or_(counted, frame.of_node(evaluated, n));
        node.read(s, evaluated, evaluated, -1);
      });
      node.finish();
    }
    return frame.to_value(counted, result);
  }

  graph::Graph& g_;
  sparsity::Analysis& a_;
  MaskProgram p_;
  Fusion& fusion_;
  const Phases phases_;
  int position_ = -1;                     ///< of the group that is visited
  std::vector<char> unknown_;             ///< per value: a late leaf whose elements its lists cannot know
  sparsity::WideMasks wide_;              ///< masks without those
  std::vector<MaskId> demand_, numbers_;  ///< per value: what must be right, and what must be a finite number
  /// per group: runs inside an attention; is the last part of one
  std::vector<const Fusion::Attention*> absorbed_by_, computes_;
  std::vector<MaskId> keys_;  ///< per value, of probabilities: the listed keys, over the axes of the softmax group
  MaskId needed_;
};

}  // namespace

void attach_reads(graph::Graph& g, sparsity::Analysis& analysis, Fusion& fusion) { Reads(g, analysis, fusion).run(); }

std::vector<ValueId> leaves_of_lists(const sparsity::Analysis& analysis, const Fusion& fusion) {
  std::vector<MaskId> lists;
  for (const Group& group : fusion.groups)
    for (MaskId m : {group.live_rows, group.live_columns, group.live_k, group.zero_rows})
      if (m.id >= 0) lists.push_back(m);
  for (const Obligation& o : fusion.obligations)
    if (!o.proved) lists.push_back(o.violated);
  return analysis.masks.leaves(lists);
}

}  // namespace pit::fuse
