#include "sparsity/demand.h"

#include <algorithm>

namespace pit::sparsity {

using expr::Combiner;
using expr::Expr;
using expr::Fn;
using expr::Kind;

NodeDemand::NodeDemand(ProgramFacts& facts, const IndexContext& c, std::vector<MaskId>& demand,
                       std::vector<MaskId>* numbers)
    : p_(facts.masks()), facts_(facts), c_(c), demand_(demand), all_numbers_(numbers) {
  for (std::size_t t = 0; t < c.tensor_values.size(); ++t) {
    const ValueId v = c.tensor_values[t];
    const auto tensor = static_cast<expr::TensorId>(t);
    numbers_.push_back(p_.nothing(facts.dims(tensor)));
    tensors_.push_back(v < 0 ? numbers_.back() : demand[static_cast<std::size_t>(v)]);
  }
}

MaskId NodeDemand::enter(const expr::Statement& s, const MaskId* among) {
  facts_.enter(s);
  MaskId d = tensors_[static_cast<std::size_t>(s.out)];
  if (among) d = p_.and_(d, *among);
  return read_through(p_, facts_.map_of(s), d, true);
}

// Where the absorbing operand of the statement's sum is so low that the sum is that operand.
MaskId NodeDemand::absorbed(const expr::Statement& s, int absorbing) {
  const auto& args = s.value->args;
  const bool second = args[1]->kind == Kind::access && args[1]->id == absorbing;
  return facts_.of(args[second ? 1 : 0]).absorbs;
}

void NodeDemand::read(const expr::Statement& s, MaskId evaluated, MaskId visited, int absorbing) {
  visited_ = visited;
  for (const Expr& i : s.out_index) index(i);
  if (absorbing < 0) return expression(s.value, evaluated);
  const auto& args = s.value->args;
  const bool second = args[1]->kind == Kind::access && args[1]->id == absorbing;
  expression(args[second ? 1 : 0], evaluated);
  expression(args[second ? 0 : 1], p_.and_(evaluated, p_.not_(absorbed(s, absorbing))));
}

void NodeDemand::finish() {
  for (std::size_t t = 0; t < tensors_.size(); ++t) {
    const ValueId v = c_.tensor_values[t];
    if (v < 0) continue;
    // One value may be several operands.
    MaskId& d = demand_[static_cast<std::size_t>(v)];
    d = p_.or_(d, tensors_[t]);
    if (!all_numbers_) continue;
    MaskId& n = (*all_numbers_)[static_cast<std::size_t>(v)];
    n = p_.or_(n, numbers_[t]);
  }
}

void NodeDemand::index(const Expr& e) {
  // for_each_access walks into the indices of an access itself.
  expr::for_each_access(e, [&](const Expr& a) { read(a, visited_); });
}

void NodeDemand::read(const Expr& access, MaskId evaluated) {
  const auto t = static_cast<std::size_t>(access->id);
  const ValueId v = c_.tensor_values[t];
  if (v >= 0 && c_.graph->values[static_cast<std::size_t>(v)].is_constant()) return;
  tensors_[t] = p_.or_(tensors_[t], write_through(p_, facts_.map_of(access), evaluated, true));
}

void NodeDemand::expression(const Expr& e, MaskId d) {
  if (p_.is_nothing(d)) return;
  if (e->kind == Kind::access) {
    read(e, d);
    const std::size_t indices = e->args.size() - (e->has_default ? 1 : 0);
    for (std::size_t i = 0; i < indices; ++i) index(e->args[i]);
    if (e->has_default) expression(e->args.back(), d);
    return;
  }
  if (e->kind != Kind::call) {
    for (const Expr& a : e->args) expression(a, d);
    return;
  }
  // A product needs no factor where the other one is zero; at the top of a statement `d` says so already, and below it
  // a kernel would multiply what is undefined: there every factor is demanded.
  const auto& x = e->args;
  if (e->fn == Fn::select) {
    const Facts c = facts_.of(x[0]);
    expression(x[0], d);
    expression(x[1], p_.and_(d, c.nonzero));
    expression(x[2], p_.and_(d, p_.not_(c.truth)));
    return;
  }
  if (e->fn == Fn::mul && all_numbers_) return product(x[0], x[1], d);
  for (const Expr& a : x) expression(a, d);
}

// Where one factor is a zero (that it really is), any number does for the other.
void NodeDemand::product(const Expr& a, const Expr& b, MaskId d) {
  const MaskId nz_a = facts_.of(a).nonzero, nz_b = facts_.of(b).nonzero;
  expression(a, p_.and_(d, p_.or_(nz_b, p_.not_(nz_a))));
  number(a, p_.and_(d, p_.and_(nz_a, p_.not_(nz_b))));
  expression(b, p_.and_(d, nz_a));
  number(b, p_.and_(d, p_.not_(nz_a)));
}

void NodeDemand::number(const Expr& e, MaskId d) {
  if (e->kind != Kind::access || e->has_default || c_.tensor_values[static_cast<std::size_t>(e->id)] < 0)
    return expression(e, d);
  for (const Expr& i : e->args) index(i);
  MaskId& n = numbers_[static_cast<std::size_t>(e->id)];
  n = p_.or_(n, write_through(p_, facts_.map_of(e), d, true));
}

bool may_be_view(const expr::Statement& s) {
  if (s.combiner != Combiner::assign || s.value->kind != Kind::access || s.value->has_default) return false;
  bool lookup = false;
  for (const Expr& i : s.value->args) expr::for_each_access(i, [&](const Expr&) { lookup = true; });
  return !lookup;
}

void push_demand(ProgramFacts& facts, const IndexContext& c, std::vector<MaskId>& demand, NodeFacts& out) {
  const auto& statements = c.node->program.statements;
  MaskProgram& p = facts.masks();
  NodeDemand node(facts, c, demand);
  out.statements.resize(statements.size());
  for (std::size_t i = statements.size(); i-- > 0;) {
    const expr::Statement& s = statements[i];
    // Outputs that are surely zero are filled with zeros by whoever owns the buffer. Temporaries have no such owner:
    // there a maximum that is surely zero must be found to be.
    const bool temporary = c.tensor_values[static_cast<std::size_t>(s.out)] < 0, view = !temporary && may_be_view(s);
    const MaskId wanted = node.enter(s, temporary ? nullptr : &facts.tensor(s.out).nonzero);
    out.statements[i].live = facts.terms(s, wanted);
    if (view) {
      // Its zeros are then filled where the operand is made.
      node.read(s.value, node.enter(s));
    } else if (!p.is_nothing(wanted)) {
      MaskId where;
      out.statements[i].absorbing = facts.absorbing(s, &where);
      node.read(s, out.statements[i].live, out.statements[i].live, out.statements[i].absorbing);
    }
  }
  node.finish();
}

bool is_softmax(const expr::Program& p) {
  if (p.statements.size() != 4) return false;
  const expr::Statement &m = p.statements[0], &e = p.statements[1], &z = p.statements[2], &y = p.statements[3];
  auto reads = [](const Expr& x, const expr::Statement& written) {
    if (x->kind != Kind::access || x->id != written.out || x->has_default || x->args.size() != written.out_index.size())
      return false;
    for (std::size_t i = 0; i < x->args.size(); ++i)
      if (!expr::equal(x->args[i], written.out_index[i])) return false;
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
