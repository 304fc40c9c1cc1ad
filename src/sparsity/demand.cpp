#include "sparsity/demand.h"

#include <algorithm>

namespace pit::sparsity {

using expr::Combiner;
using expr::Expr;
using expr::Fn;
using expr::Kind;

namespace {

class Push {
 public:
  Push(ProgramFacts& facts, const IndexContext& c, std::vector<MaskId>& demand)
      : p_(facts.masks()), facts_(facts), c_(c), demand_(demand) {
    for (std::size_t t = 0; t < c.tensor_values.size(); ++t) {
      const ValueId v = c.tensor_values[t];
      const auto tensor = static_cast<expr::TensorId>(t);
      tensors_.push_back(v < 0 ? p_.nothing(facts.dims(tensor)) : demand[static_cast<std::size_t>(v)]);
    }
  }

  void statement(const expr::Statement& s, StatementFacts& out) {
    const auto t = static_cast<std::size_t>(s.out);
    facts_.enter(s);
    // Outputs that are surely zero are filled with zeros by whoever owns the buffer. Temporaries have no such owner: there a
    // maximum that is surely zero must be found to be.
    const bool temporary = c_.tensor_values[t] < 0;
    const MaskId demand = tensors_[t];
    const MaskId wanted = temporary ? demand : p_.and_(demand, facts_.tensor(s.out).nz);
    const MaskId at_left = read_through(p_, facts_.map_of(s), wanted, true);
    if (p_.is_nothing(at_left) && (temporary || !may_be_view(s))) {
      out.live = at_left;
      return;
    }
    const MaskId live = facts_.terms(s, at_left);
    out.live = live;
    if (!temporary && may_be_view(s)) {
      // The result may be the operand's own storage: its zeros are then filled where the operand is made.
      add(s.value, read_through(p_, facts_.map_of(s), demand, true));
      return;
    }
    MaskId where;
    out.absorbing = facts_.absorbing(s, &where);
    if (out.absorbing >= 0) {
      const auto& args = s.value->args;
      const bool second = args[1]->kind == Kind::access && args[1]->id == out.absorbing;
      expression(args[second ? 1 : 0], live);
      expression(args[second ? 0 : 1], p_.and_(live, p_.not_(where)));
    } else {
      expression(s.value, live);
    }
    for (const Expr& i : s.out_index) index(i, live);
  }

  void finish() {
    for (std::size_t t = 0; t < tensors_.size(); ++t) {
      const ValueId v = c_.tensor_values[t];
      if (v < 0) continue;
      // One value may be several operands.
      MaskId& d = demand_[static_cast<std::size_t>(v)];
      d = p_.or_(d, tensors_[t]);
    }
  }

 private:
  static bool may_be_view(const expr::Statement& s) {
    if (s.combiner != Combiner::assign || s.value->kind != Kind::access || s.value->has_default) return false;
    bool lookup = false;
    for (const Expr& i : s.value->args) expr::for_each_access(i, [&](const Expr&) { lookup = true; });
    return !lookup;
  }

  void index(const Expr& e, MaskId d) {
    expr::for_each_access(e, [&](const Expr& a) {
      add(a, d);
      // for_each_access walks into the indices of `a` itself.
    });
  }

  void add(const Expr& access, MaskId d) {
    const auto t = static_cast<std::size_t>(access->id);
    const ValueId v = c_.tensor_values[t];
    if (v >= 0 && c_.graph->values[static_cast<std::size_t>(v)].is_constant()) return;
    tensors_[t] = p_.or_(tensors_[t], write_through(p_, facts_.map_of(access), d, true));
  }

  void expression(const Expr& e, MaskId d) {
    if (p_.is_nothing(d)) return;
    if (e->kind == Kind::access) {
      add(e, d);
      const std::size_t indices = e->args.size() - (e->has_default ? 1 : 0);
      for (std::size_t i = 0; i < indices; ++i) index(e->args[i], d);
      if (e->has_default) expression(e->args.back(), d);
      return;
    }
    if (e->kind != Kind::call) {
      for (const Expr& a : e->args) expression(a, d);
      return;
    }
    // A product needs no factor where the other one is zero; at the top of a statement `d` says so already, and below it a
    // kernel would multiply what is undefined: there every factor is demanded.
    const auto& x = e->args;
    if (e->fn == Fn::select) {
      const Facts c = facts_.of(x[0]);
      expression(x[0], d);
      expression(x[1], p_.and_(d, c.nz));
      expression(x[2], p_.and_(d, p_.not_(c.tru)));
      return;
    }
    for (const Expr& a : x) expression(a, d);
  }

  MaskProgram& p_;
  ProgramFacts& facts_;
  const IndexContext& c_;
  std::vector<MaskId>& demand_;
  std::vector<MaskId> tensors_;
};

}  // namespace

void push_demand(ProgramFacts& facts, const IndexContext& c, std::vector<MaskId>& demand, NodeFacts& out) {
  const auto& statements = c.node->program.statements;
  Push push(facts, c, demand);
  out.statements.resize(statements.size());
  for (std::size_t i = statements.size(); i-- > 0;) push.statement(statements[i], out.statements[i]);
  push.finish();
}

bool is_softmax(const expr::Program& p) {
  if (p.statements.size() != 4) return false;
  const expr::Statement &m = p.statements[0], &e = p.statements[1], &z = p.statements[2], &y = p.statements[3];
  auto reads = [](const Expr& x, const expr::Statement& written) {
    if (x->kind != Kind::access || x->id != written.out || x->has_default || x->args.size() != written.out_index.size()) return false;
    for (std::size_t i = 0; i < x->args.size(); ++i) if (!expr::equal(x->args[i], written.out_index[i])) return false;
    return true;
  };
  auto call = [](const Expr& x, Fn f) { return x->kind == Kind::call && x->fn == f; };
  return m.combiner == Combiner::max && e.combiner == Combiner::assign && z.combiner == Combiner::sum &&
         y.combiner == Combiner::assign && call(e.value, Fn::exp) && call(e.value->args[0], Fn::sub) &&
         expr::equal(e.value->args[0]->args[0], m.value) && reads(e.value->args[0]->args[1], m) && reads(z.value, e) &&
         call(y.value, Fn::div) && reads(y.value->args[0], e) && reads(y.value->args[1], z) &&
         !expr::reduced_axes(m).empty() && expr::reduced_axes(m) == expr::reduced_axes(z);
}

}  // namespace pit::sparsity
