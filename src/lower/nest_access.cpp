// Values and addresses of nests.
#include <algorithm>
#include <fmt/format.h>

#include "lower/nest_emit.h"
#include "support/check.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Type;
using codegen::Value;
using expr::Expr;

namespace {

Scalar memory_scalar(DType t) { return t == DType::b8 ? Scalar::i1 : codegen::scalar_of(t); }
Value add(const Value& a, const Value& b) { return Builder::binary(Op::add, a, b); }
Value mul(const Value& a, const Value& b) { return Builder::binary(Op::mul, a, b); }
/// Both, where one may be null: nothing to be said.
Value both(const Value& a, const Value& b) { return !a ? b : !b ? a : Builder::binary(Op::bit_and, a, b); }
Value negated(const Value& mask) { return Builder::binary(Op::bit_xor, mask, Builder::i(1, {Scalar::i1, 1})); }

/// Sums and products of axes and numbers: plans see to it that they stay inside. What is looked up, or found by divisions and
/// bounds, only the kernel knows.
bool is_linear(const Expr& e) {
  if (e->kind == expr::Kind::access) return false;
  if (e->kind != expr::Kind::call) return true;
  const bool scales =
      e->fn == expr::Fn::mul && (expr::axes_of(e->args[0]).empty() || expr::axes_of(e->args[1]).empty());
  const bool arithmetic = e->fn == expr::Fn::add || e->fn == expr::Fn::sub || e->fn == expr::Fn::neg || scales;
  return arithmetic && std::all_of(e->args.begin(), e->args.end(), is_linear);
}

bool is_zero(const TypedNode& n) { return n.kind == TypedNode::constant && n.number == 0 && n.integer == 0; }

}  // namespace

void NestEmitter::arguments() {
  rows_ = b_.ptr_arg("rows");
  for (int n = 0; n < typed_.size(); ++n) {
    const TypedNode& node = typed_.node(n);
    if (node.kind != TypedNode::operand) continue;
    for (std::size_t i = 0; i < node.dims.size(); ++i)
      out_.has_status = out_.has_status || (looks_up(node, i) && !node.has_default);
  }
  if (out_.has_status) status_ = b_.ptr_arg("status");
  for (std::size_t o = 0; o < spec_.operands.size(); ++o) operands_.push_back(b_.ptr_arg(fmt::format("operand{}", o)));
}

Value NestEmitter::slot(Slot::Kind kind, int a, int b, bool as_double) {
  const auto [it, fresh] = slots_.emplace(std::vector<int>{kind, a, b, as_double}, nullptr);
  if (fresh) {
    static const std::map<Slot::Kind, const char*> names = {{Slot::row_count, "row_count"},
                                                            {Slot::extent, "extent"},
                                                            {Slot::param, "param"},
                                                            {Slot::inner_stride, "inner_stride"},
                                                            {Slot::lookup_extent, "lookup_extent"},
                                                            {Slot::lookup_stride, "lookup_stride"}};
    it->second = b_.int_arg(fmt::format("{}_{}_{}{}", names.at(kind), a, b, as_double ? "f" : ""));
    out_.ints.push_back({kind, a, b, as_double});
  }
  return it->second;
}

bool NestEmitter::moves(int node) const {
  return spec_.vector >= 0 && (typed_.node(node).varies >> static_cast<unsigned>(spec_.vector) & 1U) != 0;
}

Value* NestEmitter::find(int key) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
    if (const auto it = scope->values.find(key); it != scope->values.end()) return &it->second;
  return nullptr;
}

Value NestEmitter::eval(int node, bool lanes) {
  const bool vector = lanes && moves(node);
  const int key = vector ? ~node : node;
  if (const Value* known = find(key)) return *known;
  const TypedNode& n = typed_.node(node);
  Value v = b_.let("v", n.kind == TypedNode::operand ? load(node, vector) : compute(n, vector));
  auto scope = scopes_.rbegin();
  if (!moves(node))
    while (scope->of_copy) ++scope;
  scope->values[key] = v;
  return v;
}

Value NestEmitter::compute(const TypedNode& n, bool lanes) {
  switch (n.kind) {
    case TypedNode::constant: return constant(n.type, n.number, n.integer);
    case TypedNode::param: return param(n);
    case TypedNode::extent: return extent_of(n.id);
    case TypedNode::axis:
      if (n.id != spec_.vector) return coordinate_.at(n.id);
      return lanes ? add(Builder::iota({Scalar::i64, lanes_}), first_) : first_;
    case TypedNode::call: break;
    default: PIT_UNREACHABLE("a node of kind {} in a nest", static_cast<int>(n.kind));
  }
  std::vector<Value> args;
  std::vector<DType> types;
  for (const int a : n.args) {
    args.push_back(eval(a, lanes));
    types.push_back(typed_.node(a).type);
  }
  const bool known = n.fn == expr::Fn::pow && typed_.node(n.args[1]).kind == TypedNode::constant;
  return emit_call(b_, n, args, types, known ? &typed_.node(n.args[1]).number : nullptr);
}

Value NestEmitter::param(const TypedNode& n) {
  Value v = slot(Slot::param, n.id, 0, n.type != DType::i64);
  if (n.type == DType::i64) return v;
  return Builder::convert(Builder::bitcast(v, {Scalar::f64, 1}), register_scalar(n.type));
}

bool NestEmitter::looks_up(const TypedNode& n, std::size_t i) const {
  return !is_linear(spec_.operands[n.id].index[i]);
}

// How far an index moves per step of the axis; nothing if that is no number.
std::optional<std::int64_t> NestEmitter::step_of(const Expr& e, expr::AxisId axis) const {
  if (e->kind == expr::Kind::axis) return e->id == axis ? 1 : 0;
  const std::vector<expr::AxisId> axes = expr::axes_of(e);
  if (!std::binary_search(axes.begin(), axes.end(), axis)) return 0;
  if (e->kind == expr::Kind::merge) {
    std::int64_t step = 1;
    for (auto a = e->args.rbegin(); (*a)->id != axis; ++a) {
      if (spec_.extents.empty() || spec_.extents[(*a)->id] == 0) return std::nullopt;
      step *= spec_.extents[(*a)->id];
    }
    return step;
  }
  if (e->kind != expr::Kind::call) return std::nullopt;
  if (e->fn == expr::Fn::mul) {
    const bool literal = e->args[1]->kind == expr::Kind::literal;
    const auto moves = step_of(e->args[literal ? 0 : 1], axis);
    const Expr& factor = e->args[literal ? 1 : 0];
    if (!moves || factor->kind != expr::Kind::literal) return std::nullopt;
    return *moves * static_cast<std::int64_t>(factor->number);
  }
  if (e->fn != expr::Fn::add && e->fn != expr::Fn::sub) return std::nullopt;
  const auto a = step_of(e->args[0], axis), b = step_of(e->args[1], axis);
  if (!a || !b) return std::nullopt;
  return e->fn == expr::Fn::add ? *a + *b : *a - *b;
}

// A bare axis is in range wherever it stands, and all that has no default and is linear.
bool NestEmitter::checked(const TypedNode& n, std::size_t i) const {
  return (n.has_default && !expr::bare_axis(spec_.operands[n.id].index[i])) || looks_up(n, i);
}

Value NestEmitter::in_range(const TypedNode& n, std::size_t i, const Value& index) {
  const Value extent = slot(Slot::lookup_extent, n.id, n.dims[i]);
  return Builder::binary(Op::bit_and, Builder::binary(Op::ge, index, Builder::i(0)),
                         Builder::binary(Op::lt, index, extent));
}

// Which lanes of an index that moves with them are in range.
Value NestEmitter::lanes_in_range(const TypedNode& n, std::size_t i) {
  if (step_of(spec_.operands[n.id].index[i], spec_.vector) != 1) return in_range(n, i, eval(n.args[i], true));
  const Value first = eval(n.args[i], false), extent = slot(Slot::lookup_extent, n.id, n.dims[i]);
  return Builder::binary(Op::bit_and, Builder::lane_mask(Builder::binary(Op::sub, extent, first), lanes_),
                         negated(Builder::lane_mask(Builder::unary(Op::neg, first), lanes_)));
}

void NestEmitter::report(const TypedNode& n, const Value& bad, const Value& index) {
  const bool lanes = bad->type.lanes > 1;
  const Value here = b_.let("bad", lanes ? both(bad, mask_) : bad);
  b_.branch(lanes ? Builder::reduce(Op::reduce_or, here) : here, [&] {
    const Value lowest = Builder::i(std::numeric_limits<std::int64_t>::min());
    const Value which =
        lanes ? Builder::reduce(Op::reduce_max, Builder::select(here, widen(index, lanes_), widen(lowest, lanes_)))
              : index;
    b_.store(status_, Builder::i(0), Builder::i(n.id + 1));
    b_.store(status_, Builder::i(8), which);
  });
}

// An element, or one per lane. What is out of range is not read; a guard may have seen to that already.
Value NestEmitter::load(int node, bool lanes) {
  const TypedNode& n = typed_.node(node);
  const Operand& o = spec_.operands[n.id];
  const bool by_lane = lanes && o.inner == InnerAccess::computed;
  const bool guarded = std::find(plan_.skipping.begin(), plan_.skipping.end(), node) != plan_.skipping.end();
  Value here, inside = lanes ? mask_ : nullptr, within;  // for all lanes; by lane, and without the mask's
  Value at = Builder::i(0), offsets;
  for (std::size_t i = 0; i < n.dims.size(); ++i) {
    const bool moving = lanes && moves(n.args[i]);
    Value index = eval(n.args[i], by_lane);
    if (n.from_end[i]) {
      const Value extent = slot(Slot::lookup_extent, n.id, n.dims[i]);
      index =
          b_.let("index", Builder::select(Builder::binary(Op::lt, index, Builder::i(0)), add(index, extent), index));
    }
    if (checked(n, i) && !(guarded && !moves(n.args[i]))) {
      const Value ok = b_.let("ok", moving && !looks_up(n, i) ? lanes_in_range(n, i) : in_range(n, i, index));
      if (looks_up(n, i) && !n.has_default) report(n, negated(ok), index);
      (moving ? within : here) = both(moving ? within : here, ok);
    }
    const Value offset = mul(index, slot(Slot::lookup_stride, n.id, n.dims[i]));
    if (by_lane && moving) offsets = offsets ? add(offsets, offset) : offset;
    else at = add(at, offset);
  }
  if (lanes && !by_lane && o.inner == InnerAccess::strided)
    offsets = mul(Builder::iota({Scalar::i64, lanes_}), slot(Slot::inner_stride, n.id));
  inside = both(inside, within);
  const auto read = [&] {
    return lanes ? load_lanes(node, at, offsets, inside)
                 : from_memory(b_, Builder::load({memory_scalar(n.type), 1}, operands_[n.id], at), n.type);
  };
  if (!here && !within) return read();
  const Value outside = n.has_default ? eval(n.args.back(), lanes) : constant(n.type, 0, 0);
  const auto chosen = [&] {
    const bool zeros = !n.has_default || is_zero(typed_.node(n.args.back()));
    const Value v = read();
    return within && !zeros ? Builder::select(within, v, widen(outside, lanes_)) : v;
  };
  if (!here) return chosen();
  const Value v = b_.var("element", widen(outside, lanes ? lanes_ : 1));
  b_.branch(here, [&] {
    const Scope scope(*this);
    b_.assign(v, chosen());
  });
  return v;
}

// Every other element, of which the first is at `at`: two vectors of neighbours, the even ones of both. What no lane needs is
// not touched: neighbours beyond the last lane, and outside of the tensor.
Value NestEmitter::load_even(const TypedNode& n, const Value& at) {
  const Type type{memory_scalar(n.type), lanes_};
  Value needed = Builder::i(2 * lanes_ - 1), before = Builder::i(0);
  if (mask_) {
    const Value left = Builder::binary(Op::sub, extent_of(spec_.vector), first_);
    needed = Builder::binary(Op::sub, add(left, left), Builder::i(1));
  }
  for (std::size_t i = 0; i < n.dims.size(); ++i) {
    if (!moves(n.args[i]) || !checked(n, i)) continue;
    const Value first = eval(n.args[i], false), extent = slot(Slot::lookup_extent, n.id, n.dims[i]);
    needed = Builder::binary(Op::min, needed, Builder::binary(Op::sub, extent, first));
    before = Builder::binary(Op::max, before, Builder::unary(Op::neg, first));
  }
  std::vector<Value> halves;
  for (const int half : {0, lanes_}) {
    const Value mask =
        Builder::binary(Op::bit_and, Builder::lane_mask(Builder::binary(Op::sub, needed, Builder::i(half)), lanes_),
                        negated(Builder::lane_mask(Builder::binary(Op::sub, before, Builder::i(half)), lanes_)));
    halves.push_back(b_.let("half", Builder::load(type, operands_[n.id],
                                                  add(at, Builder::i(half * codegen::bytes_of(type.scalar))), mask)));
  }
  std::vector<int> even;
  for (int lane = 0; lane < lanes_; ++lane) even.push_back(2 * lane);
  return Builder::shuffle(halves[0], halves[1], even);
}

// Steps of two in the one dimension that moves.
bool NestEmitter::is_even(const TypedNode& n) const {
  const Operand& o = spec_.operands[n.id];
  if (o.inner != InnerAccess::strided || o.step != 2) return false;
  int moving = 0, by_two = 0;
  for (const Expr& i : o.index) {
    const auto step = step_of(i, spec_.vector);
    moving += !step || *step != 0;
    by_two += step && *step == 2;
  }
  return moving == 1 && by_two == 1;
}

Value NestEmitter::load_lanes(int node, const Value& at, const Value& offsets, const Value& mask) {
  const TypedNode& n = typed_.node(node);
  const Type type{memory_scalar(n.type), lanes_};
  if (is_even(n)) return from_memory(b_, load_even(n, at), n.type);
  const Value v = offsets ? Builder::gather(type, Builder::offset(operands_[n.id], at), offsets, mask)
                          : Builder::load(type, operands_[n.id], at, mask);
  return from_memory(b_, v, n.type);
}

// The statement's value at its place: a vector of it, or where no vector moves the place, one element.
void NestEmitter::store(const Value& v) {
  const int id = static_cast<int>(spec_.operands.size()) - 1;
  const Operand& o = spec_.operands[id];
  const bool lanes = o.inner != InnerAccess::broadcast;
  Value at = Builder::i(0), offsets;
  for (std::size_t d = 0; d < plan_.out_index.size(); ++d) {
    const bool by_lane = o.inner == InnerAccess::computed && moves(plan_.out_index[d]);
    const Value offset = mul(eval(plan_.out_index[d], by_lane), slot(Slot::lookup_stride, id, static_cast<int>(d)));
    if (by_lane) offsets = offsets ? add(offsets, offset) : offset;
    else at = add(at, offset);
  }
  const Value stored = to_memory(widen(v, lanes ? lanes_ : 1), type_);
  if (!lanes) return b_.store(operands_[id], at, stored);
  if (o.inner == InnerAccess::strided)
    offsets = mul(Builder::iota({Scalar::i64, lanes_}), slot(Slot::inner_stride, id));
  if (offsets) b_.scatter(Builder::offset(operands_[id], at), offsets, stored, mask_);
  else b_.store(operands_[id], at, stored, mask_);
}

}  // namespace pit::lower
