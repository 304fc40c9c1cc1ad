#include "fuse/verify.h"

#include <fmt/format.h>

#include "fuse/frame.h"
#include "fuse/visit.h"
#include "sparsity/forward.h"
#include "sparsity/index_map.h"
#include "support/cancel.h"
#include "support/check.h"

namespace pit::fuse {
namespace {

using expr::Expr;
using expr::Kind;
using graph::Node;
using sparsity::MaskId;
using sparsity::MaskProgram;
using sparsity::ProgramFacts;

/// How a group's kernels run a statement, over the axes of the node.
struct Run {
  MaskId visited;          ///< results that are stored; others keep what the buffer holds
  bool listed = false;     ///< the reduction walks a list
  MaskId walked, certain;  ///< iterations that may run, and that surely do
};

class Verifier {
 public:
  Verifier(graph::Graph& g, const sparsity::Analysis& a, const Fusion& f) : g_(g), a_(a), p_(a.masks), f_(f) {
    for (ValueId v = 0; v < static_cast<ValueId>(g.values.size()); ++v) {
      const graph::Value& value = g.values[v];
      const bool given =
          value.is_constant() || value.input >= 0 || value.has_elements || a.control[v] || value.producer < 0;
      right_.push_back(given ? p_.everything(value.dims) : a.values[v].demand);
      const MaskId numbers = a.values[v].numbers;
      numbers_.push_back(given || numbers.id < 0 ? right_.back() : p_.or_(right_.back(), numbers));
    }
    absorbed_by_.assign(f.groups.size(), nullptr);
    for (const Fusion::Attention& t : f.attentions) absorbed_by_[t.scores] = absorbed_by_[t.softmax] = &t;
    for (const Fusion::Attention& t : f.attentions) computes_[t.output] = &t;
  }

  std::vector<Obligation> run() {
    for (std::size_t i = 0; i < f_.groups.size(); ++i) {
      const Group& group = f_.groups[i];
      if (group.control || group.kind == GroupKind::elements) continue;
      group_ = static_cast<int>(i);
      if (!std::any_of(group.writes.begin(), group.writes.end(),
                       [&](ValueId v) { return !p_.is_nothing(a_.values[v].demand); }))
        continue;
      poll_cancel();
      const Frame frame(g_, p_, group);
      const bool stores = group.has_rows() && !absorbed_by_[i];
      if (stores)
        for (ValueId v : group.writes) covers(frame, group, v);
      inside_.clear();
      for (NodeId n : group.nodes) {
        node(frame, group, n);
        inside_.insert(g_.nodes[n].outputs.begin(), g_.nodes[n].outputs.end());
      }
    }
    prove_at_length();
    return std::move(found_);
  }

 private:
  void claim(ValueId v, MaskId premise, MaskId conclusion, std::string text) {
    const auto [known, fresh] = proved_.try_emplace({premise.id, conclusion.id}, false);  // layers say the same again
    if (fresh) known->second = p_.follows(premise, conclusion);
    const MaskId violated = p_.and_(premise, p_.not_(conclusion));
    if (p_.is_nothing(violated)) return;
    found_.push_back({group_, v, violated, known->second, std::move(text)});
    claims_.push_back(known->first);
  }

  // Most claims take a few steps. Some take thousands, which is worth more than a look in every run, as long as they
  // are few.
  void prove_at_length() {
    constexpr std::ptrdiff_t few = 4;
    constexpr int steps = 3000;
    if (std::count_if(proved_.begin(), proved_.end(), [](const auto& c) { return !c.second; }) > few) return;
    for (auto& [claim, proved] : proved_) proved = proved || p_.follows({claim.first}, {claim.second}, steps);
    for (std::size_t i = 0; i < found_.size(); ++i) found_[i].proved = proved_.at(claims_[i]);
  }

  // Each demanded element is computed, or filled with the zero that it is.
  void covers(const Frame& frame, const Group& group, ValueId v) {
    const MaskId demand = frame.of_value(a_.values[v].demand, v), nonzero = frame.of_value(a_.values[v].nonzero, v);
    const MaskId computed = computed_by(group);
    if (group.added >= 0) {
      const MaskId unchanged = p_.and_(right_[group.onto], p_.not_(a_.values[group.added].nonzero));
      return claim(v, demand, p_.or_(computed, frame.of_value(unchanged, v)),
                   "demanded elements in rows that are not visited are those of the sum before");
    }
    claim(v, p_.and_(demand, nonzero), computed,
          "demanded elements that may not be zero lie in rows that are computed");
    claim(v, demand, p_.or_(computed, group.zero_rows),
          "demanded elements in rows that are not computed are filled with zeros");
    if (const MaskId numbers = a_.values[v].numbers; numbers.id >= 0)
      claim(v, frame.of_value(numbers, v), p_.or_(computed, group.zero_rows), "where any number does, there is one");
  }

  // -- one node
  // ----------------------------------------------------------------------------------------------------------

  void node(const Frame& frame, const Group& group, NodeId n) {
    const Node& node = g_.nodes[n];
    if (group.kind == GroupKind::view && g_.values[node.outputs[0]].has_elements) return;
    facts_ = a_.forward->program(n);
    if (!facts_) return whole(node);
    context_ = &a_.forward->context(n);
    tensors_.clear();
    for (std::size_t t = 0; t < context_->tensor_values.size(); ++t) {
      const ValueId v = context_->tensor_values[t];
      tensors_.push_back(v >= 0 ? right_[v] : p_.everything(facts_->dims(static_cast<expr::TensorId>(t))));
    }
    const auto [first, last] = statements_of(g_, group, n);
    for (int i = first; i < last; ++i) statement(frame, group, n, i);
  }

  // What no formula describes reads everything.
  void whole(const Node& node) {
    for (ValueId v : node.inputs)
      claim(node.outputs[0], p_.everything(g_.values[v].dims), right_[v],
            fmt::format("'{}' is demanded in full", g_.values[v].name));
    for (ValueId v : node.outputs) right_[v] = p_.everything(g_.values[v].dims);
  }

  void statement(const Frame& frame, const Group& group, NodeId n, int i) {
    const expr::Statement& s = g_.nodes[n].program.statements[i];
    facts_->enter(s);
    const Run run = how(frame, group, n, s);
    const ValueId v = context_->tensor_values[s.out];
    const bool stored = v >= 0 && std::find(group.writes.begin(), group.writes.end(), v) != group.writes.end();
    const MaskId right = value(group, n, i, s);
    const auto map = facts_->map_of(s);
    if (stored && !absorbed_by_[group_]) {
      result(group, n, s, run, v, right, sparsity::read_through(p_, map, a_.values[v].demand, true));
    } else {
      MaskId& known = tensors_[s.out];
      known = p_.not_(
          sparsity::write_through(p_, map, p_.not_(made(s, run, stored ? p_.and_(right, run.visited) : right)), true));
      if (v >= 0) right_[v] = known;
    }
    lookups(s, v, run);
  }

  void result(const Group& group, NodeId n, const expr::Statement& s, const Run& run, ValueId v, MaskId right,
              MaskId demanded) {
    const MaskId wanted = p_.and_(demanded, run.visited);
    claim(v, run.listed ? p_.and_(wanted, run.walked) : wanted, right,
          fmt::format("what {} reads for demanded elements is right", g_.describe(n)));
    if (run.listed)
      claim(v, facts_->terms(s, wanted), run.certain,
            fmt::format("{} leaves out nothing that matters", g_.describe(n)));
    const MaskId numbers = a_.values[v].numbers;
    if (group.kind == GroupKind::view && numbers.id >= 0)
      claim(v, sparsity::read_through(p_, facts_->map_of(s), numbers, true), number(s.value),
            "where any number does, there is one");
  }

  // Where the result of the statement is right: whatever runs is, and what matters runs.
  MaskId made(const expr::Statement& s, const Run& run, MaskId right) {
    MaskId wrong = p_.not_(right);
    if (run.listed)
      wrong = p_.or_(p_.and_(run.walked, wrong),
                     p_.and_(facts_->terms(s, p_.everything(context_->node->extents)), p_.not_(run.certain)));
    const auto reduced = expr::reduced_axes(s);
    return p_.not_(p_.any(wrong, {reduced.begin(), reduced.end()}));
  }

  // Indices of look-ups are checked against the table in every visited row.
  void lookups(const expr::Statement& s, ValueId v, const Run& run) {
    expr::for_each_access(s.value, [&](const Expr& e) {
      for (const Expr& i : e->args)
        expr::for_each_access(i, [&](const Expr& index) {
          claim(v, run.listed ? p_.and_(run.visited, run.walked) : run.visited, read(index),
                "indices of look-ups are right wherever a kernel looks");
        });
    });
  }

  Run how(const Frame& frame, const Group& group, NodeId n, const expr::Statement& s) {
    const MaskId all = p_.everything(g_.nodes[n].extents);
    if (!group.has_rows()) return {all, false, all, all};
    if (const Fusion::Attention* attention = absorbed_by_[group_]) return inside(*attention, frame, group, n, s);
    const MaskId visited = frame.to_node(computed_by(group), n);
    if (group.kind != GroupKind::contraction) {
      if (group.mid < 0 || !reduces(group, n, s, group.mid)) return {visited, false, all, all};
      const MaskId list = frame.to_node(frame.any(group.live_k, {group.inner}), n);
      return {visited, true, list, list};
    }
    if (n != group.nodes[0]) return {visited, false, all, all};
    std::vector<int> mn = group.axes.m, mk = mn;
    mn.push_back(group.axes.n), mk.push_back(group.axes.k);
    const MaskId k = frame.any(group.live_k, mn);
    if (computes_.count(group_)) return {visited, true, frame.to_node(k, n), frame.to_node(group.live_k, n)};
    MaskId pairs = frame.any(group.live_k, {group.axes.n, group.axes.k});
    if (!p_.is_uniform(group.live_k, group.axes.k)) pairs = p_.and_(pairs, k);
    if (!p_.is_uniform(group.live_k, group.axes.n)) pairs = p_.and_(pairs, frame.any(group.live_k, mk));
    return {visited, true, frame.to_node(pairs, n), frame.to_node(pairs, n)};
  }

  // Scores and softmax of an attention: every live query meets every listed key.
  Run inside(const Fusion::Attention& attention, const Frame& frame, const Group& group, NodeId n,
             const expr::Statement& s) {
    const Group& output = f_.groups[attention.output];
    const Frame outer(g_, p_, output);
    const NodeId product = output.nodes[0];
    ProgramFacts* facts = a_.forward->program(product);
    const MaskId all = p_.everything(g_.nodes[n].extents);
    if (!facts) return {all, false, all, all};
    const expr::Statement& sum = g_.nodes[product].program.statements[0];
    const bool second = has_axis(sum.value->args[0], node_axis(output, product, output.axes.n));
    const auto map = facts->map_of(sum.value->args[second ? 1 : 0]);
    std::vector<int> mn = output.axes.m;
    mn.push_back(output.axes.n);
    // over the axes of the output, the probabilities' dimensions, this group's, this node's
    const auto here = [&](MaskId m) {
      const ValueId v = group.writes[0];
      return frame.to_node(frame.of_value(sparsity::write_through(p_, map, outer.to_node(m, product), true), v), n);
    };
    const MaskId keys = here(outer.any(output.live_k, mn)), rows = here(output.live_rows);
    const MaskId certain = here(outer.any(output.live_k, {output.axes.n}));
    return {p_.and_(rows, keys), reduces(group, n, s, group.inner), keys, certain};
  }

  // -- expressions
  // -------------------------------------------------------------------------------------------------------

  // Where the statement's value is what the dense model has.
  MaskId value(const Group& group, NodeId n, int i, const expr::Statement& s) {
    const int absorbing = absorbing_in(g_, a_, group, n, i);
    if (absorbing < 0) return right(s.value);
    const auto& x = s.value->args;
    const bool second = x[1]->kind == Kind::access && x[1]->id == absorbing;
    const Expr &low = x[second ? 1 : 0], &other = x[second ? 0 : 1];
    // The sum is its low operand, wherever that is low: the other one does not matter if the dense one is lost in it.
    return p_.and_(right(low), p_.or_(right(other), p_.and_(facts_->of(low).absorbs, facts_->of(other).tame)));
  }

  MaskId right(const Expr& e) {
    if (e->kind == Kind::access) {
      MaskId m = read(e);
      const std::size_t indices = e->args.size() - (e->has_default ? 1 : 0);
      for (std::size_t i = 0; i < indices; ++i)
        expr::for_each_access(e->args[i], [&](const Expr& index) { m = p_.and_(m, read(index)); });
      return e->has_default ? p_.and_(m, right(e->args.back())) : m;
    }
    const auto& x = e->args;
    if (e->kind == Kind::call && e->fn == expr::Fn::select) {
      const sparsity::Facts c = facts_->of(x[0]);
      return p_.and_(right(x[0]), p_.and_(p_.or_(p_.not_(c.nonzero), right(x[1])), p_.or_(c.truth, right(x[2]))));
    }
    if (e->kind == Kind::call && e->fn == expr::Fn::mul) return product(x[0], x[1]);
    MaskId m = p_.everything(context_->node->extents);
    for (const Expr& a : x) m = p_.and_(m, right(a));
    return m;
  }

  // A zero times any number is zero.
  MaskId product(const Expr& a, const Expr& b) {
    const MaskId right_a = right(a), right_b = right(b), zero_a = p_.not_(facts_->of(a).nonzero),
                 zero_b = p_.not_(facts_->of(b).nonzero);
    return p_.or_(p_.and_(right_a, right_b),
                  p_.or_(p_.and_(p_.and_(right_a, zero_a), number(b)), p_.and_(p_.and_(right_b, zero_b), number(a))));
  }

  // Where the expression surely is a finite number.
  MaskId number(const Expr& e) {
    const ValueId v = e->kind == Kind::access && !e->has_default ? context_->tensor_values[e->id] : -1;
    return v < 0 || inside_.count(v) ? right(e) : sparsity::read_through(p_, facts_->map_of(e), numbers_[v], false);
  }

  MaskId read(const Expr& access) {
    return sparsity::read_through(p_, facts_->map_of(access), tensors_[access->id], false);
  }

  graph::Graph& g_;
  const sparsity::Analysis& a_;
  MaskProgram p_;
  const Fusion& f_;
  std::vector<MaskId> right_;    ///< per value: where its storage holds the dense model's value
  std::vector<MaskId> numbers_;  ///< per value: where it holds some finite number
  std::set<ValueId> inside_;     ///< made by the group being visited: in registers, not as stored
  std::vector<const Fusion::Attention*> absorbed_by_;
  std::map<int, const Fusion::Attention*> computes_;
  std::vector<Obligation> found_;
  std::map<std::pair<int, int>, bool> proved_;
  std::vector<std::pair<int, int>> claims_;  ///< premise and conclusion of each in found_
  // Of the node being visited.
  int group_ = -1;
  ProgramFacts* facts_ = nullptr;
  const sparsity::IndexContext* context_ = nullptr;
  std::vector<MaskId> tensors_;
};

}  // namespace

std::vector<Obligation> obligations(graph::Graph& g, const sparsity::Analysis& analysis, const Fusion& fusion) {
  return Verifier(g, analysis, fusion).run();
}

}  // namespace pit::fuse
