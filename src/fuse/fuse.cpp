#include "fuse/fuse.h"

#include <algorithm>
#include <functional>

#include "fuse/attention.h"
#include "fuse/contraction.h"
#include "fuse/epilogue.h"
#include "fuse/group.h"
#include "fuse/layout.h"
#include "fuse/merger.h"
#include "fuse/nest.h"
#include "fuse/order.h"
#include "fuse/reads.h"
#include "fuse/scatter.h"
#include "fuse/verify.h"
#include "support/cancel.h"
#include "support/check.h"

namespace pit::fuse {

using expr::Expr;
using graph::Graph;
using graph::Node;

bool choose_roles(Group& group) {
  const expr::Program& p = group.program;
  std::vector<int> reduced, free_order;
  for (const expr::Statement& s : p.statements) {
    for (int a : expr::reduced_axes(s))
      if (std::find(reduced.begin(), reduced.end(), a) == reduced.end()) reduced.push_back(a);
    for (const Expr& i : s.out_index)
      for (int a : expr::axes_of(i))
        if (std::find(free_order.begin(), free_order.end(), a) == free_order.end()) free_order.push_back(a);
  }
  if (reduced.size() > 2) {
    group.why = "more than two reduced axes";
    return false;
  }
  // Vectors run along the last dimension of what is read: a reduced axis if it stands there, else the output's last
  // axis.
  auto stands_last = [&](int axis) {
    bool last = false;
    for (const expr::Statement& s : p.statements)
      expr::for_each_access(s.value, [&](const Expr& e) {
        const std::size_t rank = e->args.size() - (e->has_default ? 1 : 0);
        if (rank > 0 && expr::bare_axis(e->args[rank - 1]) == axis) last = true;
      });
    return last;
  };
  std::sort(reduced.begin(), reduced.end(), [&](int a, int b) { return stands_last(a) < stands_last(b); });
  if (!reduced.empty() && stands_last(reduced.back())) {
    group.inner = reduced.back();
    reduced.pop_back();
  }
  if (!reduced.empty()) {
    group.mid = reduced.back();
    reduced.pop_back();
  }
  if (!reduced.empty()) {
    group.why = "two reduced axes outside the last dimension";
    return false;
  }
  if (group.inner < 0) {
    for (int a : free_order)
      if (a != group.mid) group.inner = a;
    // free_order lists the last statement's last axis last for assignments; take the last axis of the last statement's
    // output.
    const std::vector<Expr>& out = p.statements.back().out_index;
    for (const Expr& i : out)
      for (int a : expr::axes_of(i))
        if (a != group.mid) group.inner = a;
  }
  for (int a : free_order)
    if (a != group.inner && a != group.mid) group.outer.push_back(a);
  return true;
}

namespace {

class Fuser {
 public:
  /// `materialised`: views that are copied; gets what is found on the way. `pinned`: what is stored in any case.
  Fuser(Graph& g, sparsity::Analysis& a, const CpuTarget& target, std::set<ValueId>& materialised,
        const std::set<ValueId>& pinned)
      : g_(g), analysis_(a), target_(target), materialised_(materialised), pinned_(pinned) {}

  Fusion run() {
    pin_leaves();
    f_.layouts = assign_layouts(g_, materialised_, &is_view_);
    users_ = g_.users();
    for (NodeId n = 0; n < count(); ++n) {
      const std::vector<ValueId>& extents = analysis_.extent_inputs[n];
      sources_.push_back(g_.nodes[n].inputs);
      sources_[n].insert(sources_[n].end(), extents.begin(), extents.end());
      for (ValueId v : extents) users_[v].emplace_back(n, -1);
    }
    f_.group_of.assign(g_.nodes.size(), -1);
    for (NodeId n = 0; n < count(); ++n)
      if (is_view_[n]) make_view(n);
    for (NodeId n = 0; n < count(); ++n)
      if (f_.group_of[n] < 0 && is_contraction(n)) make_contraction(n);
    for (NodeId n = 0; n < count(); ++n)
      if (f_.group_of[n] < 0) make_rows(n);
    schedule();
    find_attention();
    take_places();
    return std::move(f_);
  }

 private:
  NodeId count() const { return static_cast<NodeId>(g_.nodes.size()); }
  bool is_output(ValueId v) const { return std::find(g_.outputs.begin(), g_.outputs.end(), v) != g_.outputs.end(); }
  bool is_control(NodeId n) const {
    return std::all_of(g_.nodes[n].outputs.begin(), g_.nodes[n].outputs.end(),
                       [&](ValueId v) { return analysis_.control[v] != 0; });
  }
  bool has_elements_only(NodeId n) const {
    return std::all_of(g_.nodes[n].outputs.begin(), g_.nodes[n].outputs.end(),
                       [&](ValueId v) { return g_.values[v].has_elements; });
  }

  void make_view(NodeId n) {
    Group group;
    group.kind = GroupKind::view;
    group.nodes = {n};
    group.reads = g_.nodes[n].inputs;
    group.writes = g_.nodes[n].outputs;
    group.control = is_control(n);
    emit(std::move(group));
  }

  bool is_contraction(NodeId n) const {
    const Node& node = g_.nodes[n];
    if (!node.opaque.empty() || node.program.statements.size() != 1) return false;
    expr::Program p = node.program;
    const std::vector<ValueId> values = graph::tensor_values(node);
    for (std::size_t t = 0; t < p.tensors.size(); ++t)
      if (p.tensors[t].role == expr::Role::input) p.tensors[t].dtype = g_.values[values[t]].dtype;
    return contraction_in(p, p.statements[0]).has_value();
  }

  // Nodes that could join a group grown from `seed`, in topological order: fusible, reading what is inside, and not
  // reading anything that depends on the group from outside.
  template <class TryAppend>
  void grow(NodeId seed, std::size_t limit, TryAppend&& try_append) {
    std::vector<char> inside(g_.values.size(), 0), outside(g_.values.size(), 0);
    for (ValueId v : g_.nodes[seed].outputs) inside[v] = 1;
    std::size_t size = 1;
    poll_cancel();
    for (NodeId n = seed + 1; n < count() && size < limit; ++n) {
      const Node& node = g_.nodes[n];
      bool reads_inside = false, tainted = false;
      for (ValueId v : sources_[n]) {
        reads_inside = reads_inside || inside[v];
        tainted = tainted || outside[v];
      }
      if (!reads_inside && !tainted) continue;
      const bool joins = reads_inside && !tainted && f_.group_of[n] < 0 && is_control(n) == is_control(seed) &&
                         !closes_circle(n, inside) && try_append(n);
      size += joins;
      for (ValueId v : node.outputs) (joins ? inside : outside)[v] = 1;
    }
  }

  // Whether node `n` reads what waits for values of `inside`: because its own inputs do, or those of another member of
  // its group.
  bool closes_circle(NodeId n, const std::vector<char>& inside) const {
    // What comes behind every group that reaches back before `n` cannot matter to it.
    NodeId last = n;
    for (const Group& group : f_.groups)
      if (group.nodes.front() < n) last = std::max(last, group.nodes.back());
    std::vector<char> waits(g_.values.size(), 0);
    std::vector<ValueId> todo;
    for (ValueId v = 0; v < static_cast<ValueId>(inside.size()); ++v)
      if (inside[v]) todo.push_back(v);
    while (!todo.empty()) {
      const ValueId v = todo.back();
      todo.pop_back();
      for (const auto& [user, position] : users_[v]) {
        if (user > last) continue;
        const int group = f_.group_of[user];
        const std::vector<NodeId> alone = {user};
        for (NodeId m : group >= 0 ? f_.groups[group].nodes : alone)
          for (ValueId out : g_.nodes[m].outputs)
            if (!inside[out] && !waits[out]) waits[out] = 1, todo.push_back(out);
      }
    }
    return std::any_of(sources_[n].begin(), sources_[n].end(), [&](ValueId v) { return waits[v] != 0; });
  }

  std::vector<ValueId> live_outs(const std::vector<NodeId>& nodes) const {
    std::vector<ValueId> out;
    for (NodeId n : nodes)
      for (ValueId v : g_.nodes[n].outputs) {
        bool needed = is_output(v) || pinned_.count(v) != 0;
        for (const auto& [user, position] : users_[v])
          needed = needed || std::find(nodes.begin(), nodes.end(), user) == nodes.end();
        if (needed) out.push_back(v);
      }
    return out;
  }

  static bool element_wise(const Node& n) {
    return n.opaque.empty() &&
           std::all_of(n.program.statements.begin(), n.program.statements.end(),
                       [](const expr::Statement& s) { return s.combiner == expr::Combiner::assign; });
  }

  // What the mask program reads must be stored, though no operator may need it outside its group.
  void pin_leaves() {
    std::vector<sparsity::MaskId> roots;
    for (std::size_t v = 0; v < analysis_.values.size(); ++v) {
      const sparsity::ValueMasks& m = analysis_.values[v];
      roots.insert(roots.end(), {m.demand, m.computed});
      // Of control nobody asks where it is zero but masks that are here, too.
      if (!analysis_.control[v]) roots.push_back(m.nonzero);
    }
    for (const sparsity::NodeFacts& n : analysis_.nodes)
      for (const sparsity::StatementFacts& s : n.statements) roots.push_back(s.live);
    roots.insert(roots.end(), analysis_.relied.begin(), analysis_.relied.end());
    std::erase_if(roots, [](sparsity::MaskId m) { return m.id < 0; });
    for (ValueId v : analysis_.masks.leaves(roots)) pinned_.insert(v);
  }

  // -- contractions
  // ------------------------------------------------------------------------------------------------------

  void make_contraction(NodeId seed) {
    std::vector<NodeId> nodes = {seed};
    {
      Group trial;
      Merger merger(g_, analysis_, trial);
      merger.start(seed);
      grow(seed, 24, [&](NodeId n) {
        const Node& node = g_.nodes[n];
        if (!element_wise(node) || node.outputs.size() != 1 || node.program.statements.size() != 1) return false;
        if (g_.values[node.outputs[0]].dims != g_.values[g_.nodes[seed].outputs[0]].dims) return false;
        if (has_more_rows(node.outputs[0], g_.nodes[seed].outputs[0])) return false;
        if (!merger.append(n)) return false;
        nodes.push_back(n);
        return true;
      });
    }
    // The longest prefix that leaves one value, and that the tile can do.
    for (std::size_t size = nodes.size(); size >= 1; --size) {
      const std::vector<NodeId> prefix(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(size));
      const std::vector<ValueId> out = live_outs(prefix);
      const bool last_only = out.size() == 1 && out[0] == g_.nodes[prefix.back()].outputs[0];
      if (size > 1 && !last_only) continue;
      if (std::any_of(prefix.begin() + 1, prefix.end() - (size > 1),
                      [&](NodeId n) { return has_zeros_to_keep(g_.nodes[n].outputs[0]); }))
        continue;
      Group group;
      group.kind = GroupKind::contraction;
      Merger merger(g_, analysis_, group);
      merger.start(seed);
      for (std::size_t i = 1; i < size; ++i)
        PIT_CHECK(merger.append(prefix[i]), "a node that joined once does not join again");
      group.writes = {g_.nodes[prefix.back()].outputs[0]};
      group.tensor_roles_from_writes();
      if (!resolve_operands(g_, group, f_.layouts, merger) || !columns_contiguous(group) ||
          !build_epilogue(g_, group, f_.layouts, merger)) {
        want_contiguous(group.wants_contiguous);
        if (size > 1) continue;
        return make_nest(seed);
      }
      find_static_b(group);
      if (!elements_are_whole(group)) return make_nest(seed);
      finish(std::move(group), merger);
      return;
    }
  }

  // Whether joining the product `b` would make it compute rows that a run finds to be dead: what is added up over experts
  // has the rows of all of them.
  bool has_more_rows(ValueId a, ValueId b) {
    sparsity::MaskProgram& masks = analysis_.masks;
    const int columns = static_cast<int>(g_.values[b].dims.size()) - 1;
    const auto rows = [&](ValueId v) { return masks.any(analysis_.values[v].computed, {columns}); };
    if (columns < 0 || rows(a) == rows(b)) return false;
    return reads_late(rows(b));
  }

  // Whether a run finds on its way what the mask is.
  bool reads_late(sparsity::MaskId m) const {
    const std::vector<ValueId> leaves = analysis_.masks.leaves({m});
    return std::any_of(leaves.begin(), leaves.end(), [&](ValueId v) { return analysis_.late[v] != 0; });
  }

  // Elements of several steps of k are put together of a constant B, and lie beside each other in A.
  bool elements_are_whole(const Group& group) {
    const int steps = group.epilogue.types.steps();
    if (steps == 1) return true;
    const bool beside = g_.dims.is_constant(group.operands[0].strides[group.axes.k], 1);
    if (!beside) want_contiguous(group.operands[0].value);
    const auto k = g_.dims.constant_value(group.extents[group.axes.k]);
    return beside && group.static_b && *k % steps == 0;
  }

  // A constant B is one matrix, or one for each position of the batch axes along which it moves.
  void find_static_b(Group& group) const {
    const Operand& b = group.operands[1];
    const auto fixed = [&](Dim d) { return g_.dims.constant_value(d).has_value(); };
    const auto lies_fixed = [&](int axis) { return fixed(group.extents[axis]) && fixed(b.strides[axis]); };
    std::vector<int> moving;
    for (const int axis : group.axes.batch)
      if (!g_.dims.is_constant(b.strides[axis], 0)) moving.push_back(axis);
    group.static_b = g_.values[f_.layouts[b.value].root].is_constant() && fixed(b.base) && lies_fixed(group.axes.n) &&
                     lies_fixed(group.axes.k) && std::all_of(moving.begin(), moving.end(), lies_fixed);
    if (group.static_b) group.matrix_axes = std::move(moving);
  }

  // A view with strided columns keeps an operator out of an epilogue: worth a copy (a position bias stored heads last).
  void want_contiguous(ValueId v) {
    if (v >= 0 && g_.values[v].producer >= 0 && is_view_[g_.values[v].producer]) materialised_.insert(v);
  }

  bool columns_contiguous(Group& group) {
    const Dim along = group.operands[2].strides[group.axes.n];
    if (g_.dims.is_constant(along, 1) || g_.dims.is_constant(group.extents[group.axes.n], 1)) return true;
    group.why = "the output is not contiguous along its columns";
    return false;
  }

  // Zeros that somebody reads are filled in by whoever stores the value. Inside a group nobody does, and a kernel that
  // visits a row for another result's sake would overwrite them.
  bool has_zeros_to_keep(ValueId v) {
    if (analysis_.control[v]) return false;  // computed in full
    const sparsity::ValueMasks& m = analysis_.values[v];
    sparsity::MaskProgram& masks = analysis_.masks;
    return !masks.is_everything(m.nonzero) && !masks.is_nothing(masks.and_(m.demand, masks.not_(m.nonzero)));
  }

  // A sum over a list of k is zero by itself where the list is empty.
  bool sums_listed_k(const Group& group, NodeId n) const {
    const auto& statements = g_.nodes[n].program.statements;
    if (statements.size() != 1 || statements[0].combiner != expr::Combiner::sum || group.mid < 0) return false;
    const auto reduced = expr::reduced_axes(statements[0]);
    return std::any_of(reduced.begin(), reduced.end(), [&](int a) { return group.axis_of.at(n)[a] == group.mid; });
  }

  // -- row groups
  // --------------------------------------------------------------------------------------------------------

  void make_rows(NodeId seed) {
    const Node& node = g_.nodes[seed];
    if (has_elements_only(seed)) return make_view(seed);
    if (!node.opaque.empty()) return make_reference(seed, node.opaque);
    if (writes_parts(node)) return make_parts(seed);
    std::vector<NodeId> nodes = {seed};
    if (is_scan(node) || !try_rows(nodes, 0, -1)) return make_nest(seed);
    const auto [onto, added] = accumulates(seed);
    if (onto >= 0) {
      PIT_CHECK(commit_rows(nodes, 0, -1, onto, added), "a row group that could be built once cannot be built again");
      return;
    }
    grow(seed, 24, [&](NodeId n) {
      if (is_view_[n] || writes_parts(g_.nodes[n]) || has_elements_only(n) || !g_.nodes[n].opaque.empty()) return false;
      if (is_contraction(n) || is_scan(g_.nodes[n])) return false;
      nodes.push_back(n);
      if (try_rows(nodes, 0, -1)) return true;
      nodes.pop_back();
      return false;
    });
    PIT_CHECK(commit_rows(nodes, 0, -1), "a row group that could be built once cannot be built again");
  }

  // A row kernel would fold all terms anew for each element.
  static bool is_scan(const Node& n) {
    return n.program.statements.size() == 1 && lower::scan_of(n.program.statements[0]).has_value();
  }

  // Concatenation: several statements, each writing its own part of one output: a group each.
  static bool writes_parts(const Node& n) {
    if (!n.opaque.empty() || n.program.statements.size() < 2) return false;
    return std::all_of(n.program.statements.begin(), n.program.statements.end(), [&](const expr::Statement& s) {
      return s.combiner == expr::Combiner::assign && s.out == n.program.statements[0].out;
    });
  }

  void make_parts(NodeId n) {
    const int parts = static_cast<int>(g_.nodes[n].program.statements.size());
    for (int s = 0; s < parts; ++s)
      if (!try_rows({n}, s, s + 1)) return make_nest(n);
    for (int s = 0; s < parts; ++s) PIT_CHECK(commit_rows({n}, s, s + 1), "a part could be built once, but not again");
  }

  bool build_rows(const std::vector<NodeId>& nodes, int first, int last, Group& group, Merger& merger) {
    group.kind = GroupKind::rows;
    merger.start(nodes[0], first, last);
    group.mid = group.inner = -1;
    if (!choose_roles(group)) return false;
    if (scatters(g_.nodes[nodes[0]])) {
      const bool rows = group.readers && group.readers->mid == group.mid && group.readers->places == group.outer;
      if (!rows) {
        group.why = "what is written through lookups is no row";
        return false;
      }
    }
    for (std::size_t i = 1; i < nodes.size(); ++i)
      if (!merger.append(nodes[i])) return false;
    group.writes = live_outs(nodes);
    if (group.writes.empty()) return false;
    for (NodeId n : nodes)
      for (ValueId v : g_.nodes[n].outputs)
        if (nodes.size() > 1 && (group.writes.size() > 1 || v != group.writes[0]) && !sums_listed_k(group, n) &&
            has_zeros_to_keep(v))
          return false;
    group.tensor_roles_from_writes();
    if (!resolve_operands(g_, group, f_.layouts, merger)) return false;
    if (group.operands.size() > 16) return false;
    if (auto refused = lower::refuse_rows(row_spec(group, target_))) {
      group.why = *refused;
      return false;
    }
    return true;
  }

  bool try_rows(const std::vector<NodeId>& nodes, int first, int last) {
    Group group;
    Merger merger(g_, analysis_, group);
    return build_rows(nodes, first, last, group, merger);
  }

  // An addition to a sum that nobody else reads, of what a run finds to be zero in many rows: the sum, and what is
  // added.
  std::pair<ValueId, ValueId> accumulates(NodeId n) {
    const Node& node = g_.nodes[n];
    constexpr std::pair<ValueId, ValueId> no{-1, -1};
    if (is_control(n) || !element_wise(node) || node.program.statements.size() != 1 || node.outputs.size() != 1)
      return no;
    const expr::Statement& s = node.program.statements[0];
    if (s.value->kind != expr::Kind::call || s.value->fn != expr::Fn::add) return no;
    const std::vector<ValueId> values = graph::tensor_values(node);
    const auto in_place = [&](const Expr& x) {
      return x->kind == expr::Kind::access && !x->has_default && x->args.size() == s.out_index.size() &&
             std::equal(x->args.begin(), x->args.end(), s.out_index.begin(), expr::equal) &&
             g_.values[values[x->id]].dims == g_.values[node.outputs[0]].dims;
    };
    const auto& x = s.value->args;
    if (!in_place(x[0]) || !in_place(x[1]) || !node.maybe_broadcast.empty()) return no;
    for (const int u : {0, 1}) {
      const std::pair<ValueId, ValueId> found{values[x[u]->id], values[x[1 - u]->id]};
      if (takes_place_of(node.outputs[0], found.first) && reads_late(analysis_.values[found.second].nonzero))
        return found;
    }
    return no;
  }

  // Whether `v` may be stored where `u` is, whose only reader makes it.
  bool takes_place_of(ValueId v, ValueId u) const {
    const Layout &to = f_.layouts[v], &from = f_.layouts[u];
    const NodeId maker = g_.values[u].producer;
    if (maker < 0 || f_.group_of[maker] < 0 || users_[u].size() != 1 || is_output(u) || pinned_.count(u)) return false;
    const Group& group = f_.groups[f_.group_of[maker]];
    const bool stored = group.kind == GroupKind::rows || group.kind == GroupKind::contraction;
    return stored && !group.control && group.last < 0 && from.root == u && to.root == v && from.offset == to.offset &&
           from.strides == to.strides && g_.values[u].dtype == g_.values[v].dtype && !g_.values[v].has_elements;
  }

  bool commit_rows(const std::vector<NodeId>& nodes, int first, int last, ValueId onto = -1, ValueId added = -1) {
    Group group;
    Merger merger(g_, analysis_, group);
    if (!build_rows(nodes, first, last, group, merger)) return false;
    group.first = first, group.last = last;
    group.onto = onto, group.added = added;
    finish(std::move(group), merger);
    return true;
  }

  // -- the rest
  // ----------------------------------------------------------------------------------------------------------

  // Whatever is an expression, and neither rows nor a product.
  void make_nest(NodeId n) {
    Group group;
    group.kind = GroupKind::nest;
    Merger merger(g_, analysis_, group);
    merger.start(n);
    if (group.readers) return make_reference(n, "what is written through lookups is no row");
    group.writes = g_.nodes[n].outputs;
    group.tensor_roles_from_writes();
    if (!build_nests(g_, group, f_.layouts, merger, target_)) return make_reference(n, group.why);
    finish(std::move(group), merger);
  }

  void make_reference(NodeId n, std::string why) {
    Group group;
    group.kind = GroupKind::reference;
    group.why = std::move(why);
    group.nodes = {n};
    group.reads = g_.nodes[n].inputs;
    group.writes = g_.nodes[n].outputs;
    group.control = is_control(n);
    emit(std::move(group));
  }

  void finish(Group group, const Merger& merger) {
    group.control = is_control(group.nodes[0]);
    for (const Operand& o : group.operands)
      if (!o.access.written && o.value >= 0 && !merger.contains(o.value) &&
          std::find(group.reads.begin(), group.reads.end(), o.value) == group.reads.end())
        group.reads.push_back(o.value);
    if (group.readers) group.reads.push_back(group.readers->index);
    if (group.readers && (group.nodes.size() > 1 || group.writes.size() > 1)) group.readers->kept = -1;
    if (group.readers && group.readers->kept >= 0 && takes_place_of(group.writes[0], group.readers->kept))
      group.onto = group.readers->kept;
    for (ValueId v : group.writes) group.index_of[v] = merger.index_of(v);
    for (NodeId n : group.nodes)
      for (ValueId v : g_.nodes[n].outputs)
        if (std::find(group.writes.begin(), group.writes.end(), v) == group.writes.end()) f_.layouts[v].root = -1;
    emit(std::move(group));
  }

  void emit(Group group) {
    for (NodeId n : group.nodes) f_.group_of[n] = static_cast<int>(f_.groups.size());
    f_.groups.push_back(std::move(group));
  }

  void schedule() {
    std::set<NodeId> awaited;
    for (ValueId v : pinned_)
      if (analysis_.late[v]) awaited.insert(g_.values[v].producer);
    order_groups(g_, sources_, awaited, f_);
  }

  void find_attention() {
    std::set<ValueId> stored = pinned_;
    stored.insert(g_.outputs.begin(), g_.outputs.end());
    find_attentions(g_, analysis_, stored, f_);
  }

  // Of a chain of sums all are stored where the last one is.
  void take_places() {
    for (const Group& group : f_.groups) {
      if (group.onto < 0) continue;
      const ValueId before = f_.layouts[group.onto].root, now = f_.layouts[group.writes[0]].root;
      for (Layout& l : f_.layouts)
        if (l.root == before) l.root = now;
    }
  }

  Graph& g_;
  sparsity::Analysis& analysis_;
  CpuTarget target_;
  std::set<ValueId>& materialised_;
  Fusion f_;
  std::set<ValueId> pinned_;
  std::vector<char> is_view_;
  std::vector<std::vector<std::pair<NodeId, int>>> users_;
  /// Per node: what must be there before it runs: its inputs, and what its extents come from.
  std::vector<std::vector<ValueId>> sources_;
};

}  // namespace

void Group::tensor_roles_from_writes() {
  for (std::size_t t = 0; t < program.tensors.size(); ++t) {
    if (program.tensors[t].role == expr::Role::input) continue;
    const bool written = std::find(writes.begin(), writes.end(), tensor_value[t]) != writes.end();
    program.tensors[t].role = written && tensor_value[t] >= 0 ? expr::Role::output : expr::Role::temp;
  }
}

int Group::k_position() const {
  for (std::size_t d = 0; d < operands[0].access.index.size(); ++d)
    if (expr::bare_axis(operands[0].access.index[d]) == axes.k) return static_cast<int>(d);
  return -1;
}

Fusion fuse(Graph& g, sparsity::Analysis& analysis, const CpuTarget& target) {
  // Whether a view must become a copy is known only when groups are built, and which values make the lists only when
  // these are known: then everything is decided anew.
  std::set<ValueId> materialised, looked_at;
  for (;;) {
    const std::size_t before = materialised.size() + looked_at.size();
    Fusion f = Fuser(g, analysis, target, materialised, looked_at).run();
    if (materialised.size() + looked_at.size() != before) continue;
    attach_reads(g, analysis, f);
    f.obligations = obligations(g, analysis, f);
    const std::vector<ValueId> leaves = leaves_of_lists(analysis, f);
    std::vector<sparsity::MaskId> counted;  // by explain
    for (const sparsity::NodeFacts& n : analysis.nodes)
      for (const sparsity::StatementFacts& s : n.statements)
        if (s.live.id >= 0) counted.push_back(s.live);
    for (const std::vector<ValueId>& some : {leaves, analysis.masks.leaves(counted)})
      for (ValueId v : some)
        if (f.layouts[v].root < 0) looked_at.insert(v);
    const bool fresh = sparsity::compute_in_full(g, analysis, leaves);
    if (!fresh && materialised.size() + looked_at.size() == before) return f;
  }
}

}  // namespace pit::fuse
