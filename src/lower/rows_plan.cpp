#include "lower/rows_plan.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "lower/elementwise.h"

namespace pit::lower {

using expr::Combiner;
using expr::Expr;
using expr::Fn;
using expr::Kind;

namespace {

[[noreturn]] void refuse(std::string why) { throw Refusal{std::move(why)}; }

/// Whether an index is affine in the axes.
bool affine(const Expr& e) {
  switch (e->kind) {
    case Kind::literal:
    case Kind::axis:
    case Kind::extent:
    case Kind::param:
    case Kind::merge: return true;
    case Kind::access: return false;
    case Kind::call: break;
  }
  for (const Expr& a : e->args)
    if (!affine(a)) return false;
  if (e->fn == Fn::add || e->fn == Fn::sub || e->fn == Fn::neg) return true;
  if (expr::axes_of(e).empty()) return true;
  return e->fn == Fn::mul && (expr::axes_of(e->args[0]).empty() || expr::axes_of(e->args[1]).empty());
}

bool has_access(const Expr& e) {
  bool found = false;
  expr::for_each_access(e, [&](const Expr&) { found = true; });
  return found;
}

bool same_index(const std::vector<Expr>& a, const std::vector<Expr>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Expr& x, const Expr& y) { return expr::equal(x, y); });
}

/// x logsumexp= v as: top max= v; base = top, or 0 where top is infinite; sum += exp(v - base); x = log(sum) + base.
void write_out_logsumexp(expr::Program& p, std::vector<int>& absorbing) {
  std::vector<expr::Statement> out;
  std::vector<int> absorbers;
  absorbing.resize(p.statements.size(), -1);
  for (std::size_t i = 0; i < p.statements.size(); ++i) {
    expr::Statement s = p.statements[i];
    if (s.combiner != Combiner::logsumexp || expr::reduced_axes(s).empty()) {
      out.push_back(s);
      absorbers.push_back(absorbing[i]);
      continue;
    }
    if (p.tensors[s.out].dtype == DType::f16) refuse("logsumexp= in f16");
    if (absorbing[i] >= 0) refuse("logsumexp= of an absorbing sum");
    auto temp = [&](const char* what) {
      expr::TensorDecl t = p.tensors[s.out];
      t.name = fmt::format("{}.{}{}", t.name, what, i);
      t.role = expr::Role::temp;
      p.tensors.push_back(t);
      return static_cast<expr::TensorId>(p.tensors.size()) - 1;
    };
    expr::TensorId top = temp("top"), base = temp("base"), sum = temp("sum");
    auto at = [&](expr::TensorId t) { return expr::access(t, s.out_index); };
    auto add = [&](expr::TensorId t, Combiner c, Expr v) {
      out.push_back({t, s.out_index, c, std::move(v)});
      absorbers.push_back(-1);
    };
    add(top, Combiner::max, s.value);
    add(base, Combiner::assign, expr::call(Fn::select, {expr::call(Fn::isinf, {at(top)}), expr::literal(0), at(top)}));
    add(sum, Combiner::sum, expr::call(Fn::exp, {expr::call(Fn::sub, {s.value, at(base)})}));
    add(s.out, Combiner::assign, expr::call(Fn::add, {expr::call(Fn::log, {at(sum)}), at(base)}));
  }
  p.statements = std::move(out);
  absorbing = std::move(absorbers);
}

class Planner {
 public:
  explicit Planner(const RowSpec& spec) : spec_(spec), plan_(std::make_unique<RowPlan>()) {}

  std::unique_ptr<RowPlan> run() {
    RowPlan& p = *plan_;
    p.program = spec_.program;
    p.roles = spec_.roles;
    p.operands = spec_.operands;
    std::vector<int> absorbing = spec_.absorbing;
    write_out_logsumexp(p.program, absorbing);
    check_axes();
    check_operands();
    for (const expr::Statement& s : p.program.statements) p.statements.push_back(classify(s));
    p.resolver.operand = [plan = plan_.get()](const Expr& a) { return find(*plan, a); };
    p.resolver.operand_varies = [plan = plan_.get()](int o) { return plan->operand_varies(o); };
    p.resolver.axis_varies = [plan = plan_.get()](expr::AxisId a) -> unsigned {
      return plan->roles[a] == AxisRole::inner ? kInner : plan->roles[a] == AxisRole::mid ? kMid : kRow;
    };
    p.typed = std::make_unique<TypedProgram>(p.program, absorbing, p.resolver);
    schedule();
    settle();
    return std::move(plan_);
  }

 private:
  static int find(const RowPlan& p, const Expr& access) {
    std::vector<Expr> index(access->args.begin(), access->args.end() - (access->has_default ? 1 : 0));
    for (std::size_t o = 0; o < p.operands.size(); ++o)
      if (!p.operands[o].written && p.operands[o].tensor == access->id && same_index(p.operands[o].index, index))
        return static_cast<int>(o);
    refuse(fmt::format("{} is not among the operands", expr::print(p.program, access)));
  }

  void check_axes() {
    RowPlan& p = *plan_;
    if (p.roles.size() < p.program.axes.size()) refuse("an axis has no role");
    for (std::size_t a = 0; a < p.program.axes.size(); ++a) {
      auto take = [&](expr::AxisId& which, const char* name) {
        if (which >= 0) refuse(fmt::format("two {} axes", name));
        which = static_cast<expr::AxisId>(a);
      };
      if (p.roles[a] == AxisRole::inner) take(p.inner, "inner");
      if (p.roles[a] == AxisRole::mid) take(p.mid, "mid");
    }
  }

  void check_operands() {
    const RowPlan& p = *plan_;
    for (const Operand& o : p.operands)
      for (const Expr& i : o.index) {
        if (o.written && has_access(i))
          refuse(fmt::format("{} is written through a lookup", p.program.tensors[o.tensor].name));
        if (!has_access(i) && !affine(i))
          refuse(
              fmt::format("index {} of {} is not affine", expr::print(p.program, i), p.program.tensors[o.tensor].name));
      }
  }

  RowStatement classify(const expr::Statement& s) {
    const RowPlan& p = *plan_;
    RowStatement r;
    const expr::TensorDecl& out = p.program.tensors[s.out];
    if (!out.dtype) refuse(fmt::format("{} has no dtype", out.name));
    r.type = *out.dtype;
    r.combiner = s.combiner;
    bool inner_free = false, inner_reduced = false, mid_reduced = false;
    std::set<expr::AxisId> free;
    for (expr::AxisId a : expr::free_axes(s)) {
      free.insert(a);
      if (p.roles[a] == AxisRole::mid)
        refuse(fmt::format("{} has one value per element of the mid axis {}", out.name, p.program.axes[a]));
      inner_free |= p.roles[a] == AxisRole::inner;
    }
    for (expr::AxisId a : expr::reduced_axes(s)) {
      if (p.roles[a] == AxisRole::outer)
        refuse(fmt::format("{} reduces the outer axis {}", out.name, p.program.axes[a]));
      (p.roles[a] == AxisRole::inner ? inner_reduced : mid_reduced) = true;
    }
    if (mid_reduced)
      r.kind = inner_free      ? RowStatement::mid_vector
               : inner_reduced ? RowStatement::mid_reduce
                               : RowStatement::mid_scalar;
    else r.kind = inner_free ? RowStatement::vector : inner_reduced ? RowStatement::reduce : RowStatement::scalar;
    if (r.combiner == Combiner::last && inner_reduced) refuse(fmt::format("{} keeps the last of many lanes", out.name));
    if (!mid_reduced && !inner_reduced) r.combiner = Combiner::assign;  // one step of k
    if (out.role != expr::Role::output) return r;
    for (const expr::Statement& other : p.program.statements)
      for (expr::AxisId a : expr::free_axes(other))
        if (p.roles[a] == AxisRole::outer && !free.count(a))
          refuse(fmt::format("output {} has no axis {}, which other statements have", out.name, p.program.axes[a]));
    for (std::size_t o = 0; o < p.operands.size(); ++o)
      if (p.operands[o].written && p.operands[o].tensor == s.out && same_index(p.operands[o].index, s.out_index))
        r.operand = static_cast<int>(o);
    if (r.operand < 0) refuse(fmt::format("the writing of {} is not among the operands", out.name));
    if (r.is_vector() && p.operands[r.operand].inner == InnerAccess::broadcast)
      refuse(fmt::format("output {} does not move along the inner axis", out.name));
    return r;
  }

  /// The first stage for each statement.
  void schedule() {
    RowPlan& p = *plan_;
    for (std::size_t s = 0; s < p.statements.size(); ++s) {
      RowStatement& me = p.statements[s];
      for (int d : p.typed->statements_below(p.typed->value(static_cast<int>(s)))) {
        const RowStatement& dep = p.statements[d];
        bool finished_within_stage = dep.kind == RowStatement::scalar || dep.kind == RowStatement::vector;
        me.stage = std::max(me.stage, dep.stage + (finished_within_stage ? 0 : 1));
      }
      p.stages = std::max(p.stages, me.stage + 1);
    }
  }

  /// What evaluating a node once more costs, per vector of the inner axis.
  int cost(int id) {
    const RowPlan& p = *plan_;
    const TypedNode& n = p.typed->node(id);
    if (!(n.varies & kInner)) return 0;
    if (n.kind == TypedNode::statement) {
      const RowStatement& d = p.statements[n.id];
      return d.home == RowStatement::memory ? 1 : cost(p.typed->value(n.id));
    }
    if (n.kind == TypedNode::operand) {
      if (!n.args.empty() || p.operands[n.id].inner == InnerAccess::strided) return 8;
      return 1;
    }
    int sum = cost_of(n);
    for (int a : n.args) sum += cost(a);
    return sum;
  }

  /// Homes. Going backwards, the loops that need a statement's value are known before it is settled.
  void settle() {
    RowPlan& p = *plan_;
    int count = static_cast<int>(p.statements.size());
    std::vector<std::set<std::pair<int, bool>>> needed(count);  // (stage, in a mid loop)
    for (int d = count - 1; d >= 0; --d) {
      RowStatement& me = p.statements[d];
      for (int s = d + 1; s < count; ++s) {
        std::vector<int> below = p.typed->statements_below(p.typed->value(s));
        if (!std::binary_search(below.begin(), below.end(), d)) continue;
        needed[d].insert({p.statements[s].stage, p.statements[s].is_mid()});
        if (p.statements[s].home == RowStatement::inlined) needed[d].insert(needed[s].begin(), needed[s].end());
      }
      if (!me.is_vector()) continue;
      bool elsewhere = std::any_of(needed[d].begin(), needed[d].end(),
                                   [&](auto& l) { return l != std::pair{me.stage, me.is_mid()}; });
      if (!elsewhere) continue;
      constexpr int kCheap = 2;  // one load and one operation: no more than a store and a load
      bool cheap = me.kind == RowStatement::vector && me.operand < 0 && cost(p.typed->value(d)) <= kCheap;
      me.home = cheap ? RowStatement::inlined : RowStatement::memory;
      if (me.home == RowStatement::memory && me.operand < 0) me.scratch = p.scratch_rows++;
    }
  }

  const RowSpec& spec_;
  std::unique_ptr<RowPlan> plan_;
};

}  // namespace

unsigned RowPlan::operand_varies(int operand) const {
  const Operand& o = operands[operand];
  unsigned v = o.inner == InnerAccess::broadcast ? kRow : kInner;
  for (const Expr& i : o.index) {
    if (has_access(i)) continue;
    std::vector<expr::AxisId> axes = expr::axes_of(i);
    if (std::find(axes.begin(), axes.end(), mid) != axes.end()) v |= kMid;
  }
  return v;
}

bool RowPlan::moves_with_row(int operand) const {
  for (const Expr& i : operands[operand].index) {
    if (has_access(i)) continue;
    for (expr::AxisId a : expr::axes_of(i))
      if (roles[a] == AxisRole::outer) return true;
  }
  return false;
}

bool RowPlan::evaluated_in(int s, int stage, bool in_mid) const {
  const RowStatement& st = statements[s];
  if (st.kind != RowStatement::vector) return false;
  return st.home == RowStatement::inlined || (st.stage == stage && !in_mid);
}

std::unique_ptr<RowPlan> plan_rows(const RowSpec& spec) { return Planner(spec).run(); }

}  // namespace pit::lower
