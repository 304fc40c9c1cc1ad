#include "lower/nest.h"

#include <algorithm>
#include <fmt/format.h>

#include "lower/nest_emit.h"
#include "support/check.h"
#include "support/files.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Value;
using expr::Combiner;
using expr::Expr;

namespace {

constexpr std::int64_t kUnrolled = 8;  // steps of the innermost loop
constexpr int kMostAxes = 31;          // bits of TypedNode::varies

Value add(const Value& a, const Value& b) { return Builder::binary(Op::add, a, b); }
Value mul(const Value& a, const Value& b) { return Builder::binary(Op::mul, a, b); }

bool same_access(const Operand& o, expr::TensorId t, const std::vector<Expr>& index, bool written) {
  return o.tensor == t && o.written == written &&
         std::equal(index.begin(), index.end(), o.index.begin(), o.index.end(), expr::equal);
}

std::vector<Expr> indices_of(const Expr& access) {
  return {access->args.begin(), access->args.end() - (access->has_default ? 1 : 0)};
}

// Whether a term of the combiner that is this literal changes nothing.
bool is_identity(Combiner c, const TypedNode& n) {
  if (n.kind != TypedNode::constant) return false;
  if (codegen::is_float(register_scalar(n.type))) return n.number == expr::info(c).identity;
  return c == Combiner::sum && n.integer == 0;
}

// The accesses whose defaults make the whole term the identity: factors of a sum's terms, a maximum's terms themselves.
void find_skipping(const NestSpec& spec, NestPlan& plan) {
  const Combiner c = spec.program.statements[0].combiner;
  if (plan.reduced.empty() || (c != Combiner::sum && c != Combiner::max && c != Combiner::min)) return;
  std::vector<int> todo{plan.typed->value(0)};
  while (!todo.empty()) {
    const int id = todo.back();
    const TypedNode& n = plan.typed->node(id);
    todo.pop_back();
    const bool widens = n.kind == TypedNode::call && n.fn == expr::Fn::cast &&
                        codegen::is_float(register_scalar(plan.typed->node(n.args[0]).type)) &&
                        codegen::is_float(register_scalar(n.type));
    const bool factors = n.kind == TypedNode::call && n.fn == expr::Fn::mul && c == Combiner::sum;
    if (widens || factors) todo.insert(todo.end(), n.args.begin(), n.args.end());
    if (n.kind == TypedNode::operand && n.has_default && is_identity(c, plan.typed->node(n.args.back())))
      plan.skipping.push_back(id);
  }
}

}  // namespace

std::vector<Operand> nest_operands(const expr::Program& p) {
  const expr::Statement& s = p.statements.at(0);
  std::vector<Operand> operands;
  const auto add_operand = [&](expr::TensorId t, std::vector<Expr> index, bool written) {
    const auto known = std::find_if(operands.begin(), operands.end(),
                                    [&](const Operand& o) { return same_access(o, t, index, written); });
    if (known != operands.end()) return;
    operands.push_back({t, std::move(index), InnerAccess::broadcast, written, p.tensors[t].dtype.value_or(DType::f32)});
  };
  const std::function<void(const Expr&)> reads = [&](const Expr& e) {
    for (const Expr& a : e->args) reads(a);  // lookups before what they look up in
    if (e->kind == expr::Kind::access) add_operand(e->id, indices_of(e), false);
  };
  for (const Expr& i : s.out_index) reads(i);
  reads(s.value);
  add_operand(s.out, s.out_index, true);
  return operands;
}

std::optional<Scan> scan_of(const expr::Statement& s) {
  using expr::Fn;
  const std::vector<expr::AxisId> reduced = expr::reduced_axes(s);
  if (reduced.size() != 1 || s.combiner == Combiner::logsumexp || !expr::info(s.combiner).associative)
    return std::nullopt;
  const Expr& e = s.value;
  if (e->kind != expr::Kind::call || e->fn != Fn::select) return std::nullopt;
  const Expr &order = e->args[0], &term = e->args[1], &rest = e->args[2];
  if (rest->kind != expr::Kind::literal || rest->number != expr::info(s.combiner).identity) return std::nullopt;
  if (order->kind != expr::Kind::call || order->fn < Fn::lt || order->fn > Fn::ge) return std::nullopt;
  const auto a = expr::bare_axis(order->args[0]), b = expr::bare_axis(order->args[1]);
  if (!a || !b || (*a == reduced[0]) == (*b == reduced[0])) return std::nullopt;
  const bool term_first = *a == reduced[0];
  Scan scan{term_first ? *b : *a, reduced[0], order->fn == Fn::le || order->fn == Fn::ge, false};
  scan.backwards = (order->fn == Fn::gt || order->fn == Fn::ge) == term_first;
  const std::vector<expr::AxisId> axes = expr::axes_of(term);
  if (std::binary_search(axes.begin(), axes.end(), scan.place)) return std::nullopt;
  return scan;
}

std::string kernel_name(const NestSpec& spec) {
  std::string key = expr::print(spec.program);
  for (const expr::TensorDecl& t : spec.program.tensors)
    key += fmt::format(";{}:{}", t.name, t.dtype ? name_of(*t.dtype) : "?");
  for (const std::string& a : spec.program.axes) key += fmt::format(";{}", a);
  for (const expr::AxisId a : spec.outer) key += fmt::format(",{}", a);
  key += fmt::format(",v{}{}", spec.vector, spec.scans ? ",scans" : "");
  for (const Operand& o : spec.operands) key += fmt::format(",{}*{}", static_cast<int>(o.inner), o.step);
  for (const std::int64_t e : spec.extents) key += fmt::format(",{}", e);
  return fmt::format("nest_{}_{}", content_hash(key), spec.target.name);
}

std::unique_ptr<NestPlan> plan_nest(const NestSpec& spec) {
  if (spec.program.statements.size() != 1) throw Refusal{"a nest runs one statement"};
  const expr::Statement& s = spec.program.statements[0];
  if (spec.program.axes.size() > kMostAxes) throw Refusal{"too many axes"};
  if (expr::scatters(s)) throw Refusal{"it writes through lookups"};
  if (s.combiner == Combiner::logsumexp) throw Refusal{"logsumexp needs all of its terms at once"};
  const bool logic = s.combiner == Combiner::assign || s.combiner == Combiner::logical_and ||
                     s.combiner == Combiner::logical_or || s.combiner == Combiner::last;
  if (spec.program.tensors[s.out].dtype == DType::b8 && !logic) throw Refusal{"arithmetic on truths"};
  auto owned = std::make_unique<NestPlan>();
  NestPlan& plan = *owned;
  plan.program = spec.program;
  plan.resolver.elements = true;
  plan.resolver.axis_varies = [](expr::AxisId a) { return 1U << static_cast<unsigned>(a); };
  plan.resolver.operand_varies = [](int) { return 0U; };
  plan.resolver.operand = [&spec](const Expr& access) {
    const std::vector<Expr> index = indices_of(access);
    for (std::size_t o = 0; o < spec.operands.size(); ++o)
      if (same_access(spec.operands[o], access->id, index, false)) return static_cast<int>(o);
    PIT_UNREACHABLE("an access of a nest is none of its operands");
  };
  plan.typed = std::make_unique<TypedProgram>(plan.program, std::vector<int>{}, plan.resolver);
  for (const Expr& i : s.out_index) plan.out_index.push_back(plan.typed->index(i));
  if (spec.scans) plan.scan = scan_of(s);
  if (spec.scans != plan.scan.has_value()) throw Refusal{"it is no scan"};
  for (const expr::AxisId a : expr::reduced_axes(s)) {
    if (plan.scan && a == plan.scan->term) continue;
    if (a == spec.vector) plan.vector_reduced = true;
    else plan.reduced.push_back(a);
  }
  if (plan.vector_reduced && !expr::info(s.combiner).commutative)
    throw Refusal{fmt::format("{} keeps its terms in order", expr::info(s.combiner).text)};
  for (const expr::AxisId a : expr::free_axes(s))
    if (a != spec.vector && (!plan.scan || a != plan.scan->place) &&
        std::find(spec.outer.begin(), spec.outer.end(), a) == spec.outer.end())
      throw Refusal{"a free axis is neither outer nor the vectors'"};
  find_skipping(spec, plan);
  return owned;
}

std::optional<std::string> refuse_nest(const NestSpec& spec) {
  try {
    plan_nest(spec);
    return std::nullopt;
  } catch (const Refusal& r) {
    return r.why;
  }
}

NestKernel lower_nest(const NestSpec& spec) {
  try {
    return NestEmitter(spec, *plan_nest(spec)).run();
  } catch (const Refusal& r) {
    throw InternalError(fmt::format("no nest: {}", r.why));
  }
}

NestEmitter::NestEmitter(const NestSpec& spec, const NestPlan& plan)
    : spec_(spec),
      plan_(plan),
      typed_(*plan.typed),
      statement_(spec.program.statements[0]),
      type_(plan.typed->type(0)),
      b_(kernel_name(spec)),
      lanes_(spec.vector < 0 ? 1 : spec.target.lanes(4)) {}

NestKernel NestEmitter::run() {
  arguments();
  scopes_.push_back({});
  for (const expr::AxisId a : spec_.outer) at_.push_back(b_.var(spec_.program.axes[a], Builder::i(0)));
  const Value before = b_.var("before", Builder::i(-2));
  b_.loop("p", Builder::i(0), slot(Slot::row_count), Builder::i(1), [&](const Value& p) {
    const Scope scope(*this);
    enter_row(p, before);
    if (plan_.scan) scan_row();
    else if (spec_.vector < 0 || plan_.vector_reduced) reduce_row();
    else vectors(extent_of(spec_.vector), Builder::i(0), unroll(), [&](int copies) { block(copies); });
  });
  out_.kernel = b_.finish();
  return std::move(out_);
}

// The coordinates of the outer axes: those of the row before, moved on, where this one follows it; else the row index, taken
// apart. Divisions would be most of a short row's time.
void NestEmitter::enter_row(const Value& p, const Value& before) {
  const Value row =
      b_.let("row", Builder::convert(Builder::load({Scalar::i32, 1}, rows_, mul(p, Builder::i(4))), Scalar::i64));
  if (!at_.empty())
    b_.branch(
        Builder::binary(Op::eq, row, add(before, Builder::i(1))), [&] { move_on(at_.size() - 1); },
        [&] {
          Value rest = row;
          for (std::size_t i = at_.size(); i-- > 1;) {
            const Value extent = extent_of(spec_.outer[i]),
                        above = b_.let("above", Builder::binary(Op::div, rest, extent));
            b_.assign(at_[i], Builder::binary(Op::sub, rest, mul(above, extent)));
            rest = above;
          }
          b_.assign(at_[0], rest);
        });
  b_.assign(before, row);
  for (std::size_t i = 0; i < at_.size(); ++i) coordinate_[spec_.outer[i]] = b_.let("at", at_[i]);
}

// The outer axis number `i` by one, and those around it where it comes to its end.
void NestEmitter::move_on(std::size_t i) {
  b_.assign(at_[i], add(at_[i], Builder::i(1)));
  if (i == 0) return;
  b_.branch(Builder::binary(Op::eq, at_[i], extent_of(spec_.outer[i])), [&] {
    b_.assign(at_[i], Builder::i(0));
    move_on(i - 1);
  });
}

// What a term costs decides how many are worth having side by side.
int NestEmitter::unroll() const {
  constexpr int light = 24;
  int cost = 0;
  for (int n = 0; n < typed_.size(); ++n) {
    const TypedNode& node = typed_.node(n);
    cost += cost_of(node);
    if (node.kind == TypedNode::operand && spec_.operands[node.id].inner == InnerAccess::computed) cost += light;
  }
  const bool reduces = !plan_.reduced.empty() || plan_.vector_reduced || plan_.scan;
  return cost > light ? 1 : reduces ? kCopies : 1;
}

// body(copies): at vectors first_ .. first_ + copies * lanes, under mask_.
template <class F>
void NestEmitter::vectors(const Value& end, const Value& begin, int unroll, F&& body) {
  const Value count = b_.let("count", Builder::binary(Op::sub, end, begin));
  const auto whole = [&](int copies) {
    return b_.let("whole", add(begin, Builder::binary(Op::bit_and, count, Builder::i(-copies * lanes_))));
  };
  Value from = begin;
  for (const int copies : {unroll, 1}) {
    const Value to = whole(copies);
    b_.loop("v", from, to, Builder::i(copies * lanes_), [&](const Value& v) {
      const Scope scope(*this);
      block_ = v;
      body(copies);
    });
    from = to;
    if (unroll == 1) break;
  }
  b_.branch(Builder::binary(Op::lt, from, end), [&] {
    const Scope scope(*this);
    block_ = from;
    mask_ = b_.let("mask", Builder::lane_mask(Builder::binary(Op::sub, end, from), lanes_));
    body(1);
    mask_ = nullptr;
  });
}

// The vectors at block_, `copies` of them side by side: all terms of each, then its store.
void NestEmitter::block(int copies) {
  if (plan_.reduced.empty() && statement_.combiner == Combiner::assign) {
    for (int u = 0; u < copies; ++u) at_copy(u, [&] { store(eval(typed_.value(0), true)); });
    return;
  }
  std::vector<Value> acc = accumulators(copies, lanes_);
  loops(0, [&] {
    for (int u = 0; u < copies; ++u) at_copy(u, [&] { accumulate(acc[u]); });
  });
  for (int u = 0; u < copies; ++u) at_copy(u, [&] { store(acc[u]); });
}

// One element per row: sums in lanes, which are folded every kBlock steps so that no chain grows with the extent.
void NestEmitter::reduce_row() {
  if (spec_.vector < 0 && statement_.combiner == Combiner::assign) return store(eval(typed_.value(0), true));
  const Value total = accumulators(1, 1)[0];
  loops(0, [&] {
    if (spec_.vector < 0) return accumulate(total);
    const Value extent = extent_of(spec_.vector);
    const int copies = unroll();
    const Value step = Builder::i(kBlock * copies * lanes_);
    const Value sums = accumulators(1, lanes_)[0];
    b_.loop("block", Builder::i(0), extent, step, [&](const Value& from) {
      const Scope scope(*this);
      const Value to = b_.let("to", Builder::binary(Op::min, extent, add(from, step)));
      std::vector<Value> acc = accumulators(copies, lanes_);
      vectors(to, from, copies, [&](int n) {
        for (int u = 0; u < n; ++u) at_copy(u, [&] { accumulate(acc[u]); });
      });
      for (int half = copies / 2; half > 0; half /= 2)
        for (int u = 0; u < half; ++u) b_.assign(acc[u], combine(statement_.combiner, acc[u], acc[u + half]));
      b_.assign(sums, combine(statement_.combiner, sums, acc[0]));
    });
    b_.assign(total, combine(statement_.combiner, total, fold(statement_.combiner, sums)));
  });
  store(total);
}

void NestEmitter::scan_row() {
  if (spec_.vector < 0) return scan(1);
  vectors(extent_of(spec_.vector), Builder::i(0), unroll(), [&](int copies) { scan(copies); });
}

// One walk along the axis: the terms so far are the element.
void NestEmitter::scan(int copies) {
  const Scan& s = *plan_.scan;
  const int lanes = spec_.vector < 0 ? 1 : lanes_;
  const std::vector<Value> acc = accumulators(copies, lanes);
  const Value extent = extent_of(s.place);
  const int term = typed_.node(typed_.value(0)).args[1];
  b_.loop("i", Builder::i(0), extent, Builder::i(1), [&](const Value& i) {
    const Scope scope(*this);
    const Value at =
        s.backwards ? b_.let("at", Builder::binary(Op::sub, Builder::binary(Op::sub, extent, Builder::i(1)), i)) : i;
    coordinate_[s.place] = coordinate_[s.term] = at;
    for (int u = 0; u < copies; ++u)
      at_copy(u, [&] {
        if (!s.inclusive) store(acc[u]);
        b_.assign(acc[u], combine(statement_.combiner, acc[u], widen(eval(term, true), lanes)));
        if (s.inclusive) store(acc[u]);
      });
  });
}

std::vector<Value> NestEmitter::accumulators(int copies, int lanes) {
  std::vector<Value> acc;
  for (int u = 0; u < copies; ++u) acc.push_back(b_.var("acc", widen(identity_of(statement_.combiner, type_), lanes)));
  return acc;
}

void NestEmitter::accumulate(const Value& acc) {
  const TypedNode& n = typed_.node(typed_.value(0));
  const int lanes = acc->type.lanes;
  const bool product = statement_.combiner == Combiner::sum && n.kind == TypedNode::call && n.fn == expr::Fn::mul &&
                       codegen::is_float(acc->type.scalar);
  Value v;
  if (product) v = Builder::fma(widen(eval(n.args[0], true), lanes), widen(eval(n.args[1], true), lanes), acc);
  else v = combine(statement_.combiner, acc, widen(eval(typed_.value(0), true), lanes));
  if (plan_.vector_reduced && mask_) v = Builder::select(mask_, v, acc);
  b_.assign(acc, v);
}

// The loops over the reduced axes from number `depth` on, outermost first; guards stand where they are decided.
template <class F>
void NestEmitter::loops(std::size_t depth, F&& body) {
  guarded(depth, [&] {
    if (depth == plan_.reduced.size()) return body();
    const expr::AxisId a = plan_.reduced[depth];
    const std::int64_t known = spec_.extents.empty() ? 0 : spec_.extents[a];
    const bool innermost = depth + 1 == plan_.reduced.size() && !plan_.vector_reduced;
    for (std::int64_t at = 0; innermost && known <= kUnrolled && at < known; ++at) {
      const Scope scope(*this);
      coordinate_[a] = Builder::i(at);
      loops(depth + 1, body);
    }
    if (innermost && known > 0 && known <= kUnrolled) return;
    b_.loop("k", Builder::i(0), extent_of(a), Builder::i(1), [&](const Value& at) {
      const Scope scope(*this);
      coordinate_[a] = at;
      loops(depth + 1, body);
    });
  });
}

template <class F>
void NestEmitter::guarded(std::size_t depth, F&& body) {
  const Value inside = guard(depth);
  if (!inside) return body();
  b_.branch(inside, [&] {
    const Scope scope(*this);
    body();
  });
}

// Whether all that makes a term the identity and is decided by the axes up to `depth`, but not before, is not so; null:
// nothing is.
Value NestEmitter::guard(std::size_t depth) {
  unsigned open = 0, before = 0;
  for (const expr::AxisId a : spec_.outer) open |= 1U << static_cast<unsigned>(a);
  before = open;
  for (std::size_t i = 0; i < depth; ++i) {
    before = open;
    open |= 1U << static_cast<unsigned>(plan_.reduced[i]);
  }
  Value inside;
  for (const int n : plan_.skipping) {
    const TypedNode& node = typed_.node(n);
    for (std::size_t i = 0; i < node.dims.size(); ++i) {
      const unsigned varies = typed_.node(node.args[i]).varies;
      if (!checked(node, i) || (varies & ~open) != 0 || (depth > 0 && (varies & ~before) == 0)) continue;
      const Value ok = in_range(node, i, eval(node.args[i], false));
      inside = inside ? Builder::binary(Op::bit_and, inside, ok) : ok;
    }
  }
  return inside;
}

template <class F>
void NestEmitter::at_copy(int copy, F&& body) {
  scopes_.push_back({.of_copy = true, .values = {}});
  first_ = spec_.vector < 0 ? nullptr : copy == 0 ? block_ : b_.let("first", add(block_, Builder::i(copy * lanes_)));
  body();
  scopes_.pop_back();
}

}  // namespace pit::lower
