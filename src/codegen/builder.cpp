#include <utility>

#include "codegen/ops.h"
#include "support/check.h"

namespace pit::codegen {
namespace {

constexpr Type kI64{Scalar::i64, 1};

Value make(Op op, Type type, std::vector<Value> args) {
  auto node = std::make_shared<ValueNode>();
  node->op = op;
  node->type = type;
  node->args = std::move(args);
  for (const Value& a : node->args) PIT_CHECK(a != nullptr, "missing operand of {}", name_of(op));
  return node;
}

Value make_indexed(Op op, Type type, std::int64_t index) {
  auto node = std::make_shared<ValueNode>();
  node->op = op;
  node->type = type;
  node->integer = index;
  return node;
}

bool is_i64_constant(const Value& v) { return v->op == Op::constant && v->type == kI64; }

/// Folds what address arithmetic needs: constants with each other, x+0, x-0, x*1, x*0. Only for i64 scalars, where it
/// is exact and loses no poison or NaN. Null: nothing to fold.
Value fold_i64(Op op, const Value& a, const Value& b) {
  const bool ca = is_i64_constant(a), cb = is_i64_constant(b);
  if (!ca && !cb) return nullptr;
  const auto x = static_cast<std::uint64_t>(a->integer), y = static_cast<std::uint64_t>(b->integer);
  switch (op) {
    case Op::add:
      if (ca && cb) return Builder::i(static_cast<std::int64_t>(x + y));
      if (ca && a->integer == 0) return b;
      if (cb && b->integer == 0) return a;
      return nullptr;
    case Op::sub:
      if (ca && cb) return Builder::i(static_cast<std::int64_t>(x - y));
      return cb && b->integer == 0 ? a : nullptr;
    case Op::mul:
      if (ca && cb) return Builder::i(static_cast<std::int64_t>(x * y));
      if ((ca && a->integer == 0) || (cb && b->integer == 1)) return a;
      if ((cb && b->integer == 0) || (ca && a->integer == 1)) return b;
      return nullptr;
    default: return nullptr;
  }
}

/// Brings a scalar beside a vector to the vector's lanes.
void match_lanes(Op op, Value* a, Value* b) {
  PIT_CHECK(*a && *b, "missing operand of {}", name_of(op));
  if ((*a)->type.lanes == 1 && (*b)->type.lanes > 1) *a = Builder::splat(*a, (*b)->type.lanes);
  if ((*b)->type.lanes == 1 && (*a)->type.lanes > 1) *b = Builder::splat(*b, (*a)->type.lanes);
  PIT_CHECK((*a)->type == (*b)->type, "{} of {} and {}", name_of(op), to_string((*a)->type), to_string((*b)->type));
}

}  // namespace

Builder::Builder(std::string name) { kernel_.name = std::move(name); }

Value Builder::ptr_arg(std::string name, bool noalias) {
  kernel_.ptrs.push_back({std::move(name), noalias});
  return make_indexed(Op::ptr_arg, {Scalar::ptr, 1}, static_cast<std::int64_t>(kernel_.ptrs.size()) - 1);
}

Value Builder::int_arg(std::string name) {
  kernel_.ints.push_back({std::move(name), false});
  return make_indexed(Op::int_arg, kI64, static_cast<std::int64_t>(kernel_.ints.size()) - 1);
}

Value Builder::f(double v, Type t) {
  PIT_CHECK(is_float(t.scalar), "a float constant of type {}", to_string(t));
  auto node = std::make_shared<ValueNode>();
  node->type = t;
  node->number = rounded(t.scalar, v);
  return node;
}

Value Builder::i(std::int64_t v, Type t) {
  PIT_CHECK(is_integer(t.scalar) || t.scalar == Scalar::i1, "an integer constant of type {}", to_string(t));
  return make_indexed(Op::constant, t, static_cast<std::int64_t>(wrap(t.scalar, static_cast<std::uint64_t>(v))));
}

Value Builder::iota(Type t) { return make(Op::iota, t, {}); }

Value Builder::unary(Op op, Value a) {
  PIT_CHECK(is_unary(op) && a, "{} is not unary", name_of(op));
  const Type t = a->type;
  return make(op, t, {std::move(a)});
}

Value Builder::binary(Op op, Value a, Value b) {
  PIT_CHECK(is_binary(op) || is_compare(op), "{} is not binary", name_of(op));
  match_lanes(op, &a, &b);
  if (a->type == kI64) {
    if (Value folded = fold_i64(op, a, b)) return folded;
  }
  const Type t = is_compare(op) ? Type{Scalar::i1, a->type.lanes} : a->type;
  return make(op, t, {std::move(a), std::move(b)});
}

namespace {

Value ternary(Op op, Value a, Value b, Value c) {
  match_lanes(op, &a, &b);
  match_lanes(op, &a, &c);
  match_lanes(op, &b, &c);
  const Type t = c->type;
  return make(op, t, {std::move(a), std::move(b), std::move(c)});
}

}  // namespace

Value Builder::fma(Value a, Value b, Value c) { return ternary(Op::fma, std::move(a), std::move(b), std::move(c)); }

Value Builder::dot(Value a, Value b, Value c) { return ternary(Op::dot, std::move(a), std::move(b), std::move(c)); }

Value Builder::select(Value mask, Value a, Value b) {
  match_lanes(Op::select, &a, &b);
  PIT_CHECK(mask && mask->type.scalar == Scalar::i1, "select needs an i1 mask");
  if (mask->type.lanes > 1 && a->type.lanes == 1) {
    a = splat(a, mask->type.lanes);
    b = splat(b, mask->type.lanes);
  }
  const Type t = a->type;
  return make(Op::select, t, {std::move(mask), std::move(a), std::move(b)});
}

Value Builder::convert(Value v, Scalar to) {
  PIT_CHECK(v != nullptr, "missing operand of convert");
  const Scalar from = v->type.scalar;
  const int lanes = v->type.lanes;
  if (from == to) return v;
  const bool half = from == Scalar::f16 || to == Scalar::f16;
  if (half && from != Scalar::f32 && to != Scalar::f32) v = make(Op::convert, {Scalar::f32, lanes}, {std::move(v)});
  if (is_i64_constant(v) && to == Scalar::i32) return i(static_cast<std::int32_t>(v->integer), {to, 1});
  return make(Op::convert, {to, lanes}, {std::move(v)});
}

Value Builder::bitcast(Value v, Type to) {
  PIT_CHECK(v != nullptr, "missing operand of bitcast");
  if (v->type == to) return v;
  return make(Op::bitcast, to, {std::move(v)});
}

Value Builder::splat(Value v, int lanes) {
  PIT_CHECK(v && v->type.lanes == 1, "splat of a vector");
  if (lanes == 1) return v;
  const Type t{v->type.scalar, lanes};
  if (v->op == Op::constant) {
    auto node = std::make_shared<ValueNode>(*v);
    node->type = t;
    return node;
  }
  return make(Op::splat, t, {std::move(v)});
}

Value Builder::extract(Value v, int lane) {
  PIT_CHECK(v && lane >= 0 && lane < v->type.lanes, "extract of lane {}", lane);
  if (v->type.lanes == 1) return v;
  const Type t{v->type.scalar, 1};
  auto node = std::make_shared<ValueNode>();
  node->op = Op::extract;
  node->type = t;
  node->integer = lane;
  node->args = {std::move(v)};
  return node;
}

Value Builder::shuffle(Value a, Value b, std::vector<int> map) {
  PIT_CHECK(a && b && a->type == b->type, "shuffle of different types");
  auto node = std::make_shared<ValueNode>();
  node->op = Op::shuffle;
  node->type = {a->type.scalar, static_cast<int>(map.size())};
  node->lanes_map = std::move(map);
  node->args = {std::move(a), std::move(b)};
  return node;
}

Value Builder::reduce(Op op, Value v) {
  PIT_CHECK(v && is_reduce(op), "{} is not a reduction", name_of(op));
  if (v->type.lanes == 1) return v;
  const Type t{v->type.scalar, 1};
  return make(op, t, {std::move(v)});
}

Value Builder::lane_mask(Value count, int lanes) {
  return make(Op::lane_mask, {Scalar::i1, lanes}, {std::move(count)});
}

Value Builder::offset(Value ptr, Value bytes) {
  PIT_CHECK(ptr && bytes, "missing operand of offset");
  if (is_i64_constant(bytes) && bytes->integer == 0) return ptr;
  return make(Op::offset, {Scalar::ptr, 1}, {std::move(ptr), std::move(bytes)});
}

Value Builder::load(Type t, Value ptr, Value bytes, Value mask) {
  std::vector<Value> args{std::move(ptr), std::move(bytes)};
  if (mask) args.push_back(std::move(mask));
  return make(Op::load, t, std::move(args));
}

Value Builder::gather(Type t, Value ptr, Value byte_offsets, Value mask) {
  std::vector<Value> args{std::move(ptr), std::move(byte_offsets)};
  if (mask) args.push_back(std::move(mask));
  return make(Op::gather, t, std::move(args));
}

void Builder::append(Stmt s) { (open_.empty() ? kernel_.body : *open_.back()).push_back(std::move(s)); }

Value Builder::declare(std::string name, Type t) {
  kernel_.names.emplace_back(std::move(name), t);
  return make_indexed(Op::name, t, static_cast<std::int64_t>(kernel_.names.size()) - 1);
}

Value Builder::let(std::string name, Value v) {
  PIT_CHECK(v != nullptr, "let {} without a value", name);
  if (v->op == Op::constant || v->op == Op::ptr_arg || v->op == Op::int_arg) return v;  // nothing to evaluate
  Value bound = declare(std::move(name), v->type);
  Stmt s;
  s.kind = StmtKind::let;
  s.name = static_cast<int>(bound->integer);
  s.value = std::move(v);
  append(std::move(s));
  return bound;
}

Value Builder::var(std::string name, Value init) {
  PIT_CHECK(init != nullptr, "var {} without a value", name);
  Value bound = declare(std::move(name), init->type);
  Stmt s;
  s.kind = StmtKind::var;
  s.name = static_cast<int>(bound->integer);
  s.value = std::move(init);
  append(std::move(s));
  return bound;
}

void Builder::assign(const Value& var, Value v) {
  PIT_CHECK(var && var->op == Op::name && v, "assignment to what is not a var");
  if (v->type.lanes == 1 && var->type.lanes > 1) v = splat(std::move(v), var->type.lanes);
  PIT_CHECK(v->type == var->type, "assignment of {} to {}", to_string(v->type), to_string(var->type));
  Stmt s;
  s.kind = StmtKind::assign;
  s.name = static_cast<int>(var->integer);
  s.value = std::move(v);
  append(std::move(s));
}

void Builder::store(Value ptr, Value bytes, Value v, Value mask) {
  Stmt s;
  s.kind = StmtKind::store;
  s.pointer = std::move(ptr);
  s.bytes = std::move(bytes);
  s.value = std::move(v);
  s.mask = std::move(mask);
  append(std::move(s));
}

void Builder::scatter(Value ptr, Value byte_offsets, Value v, Value mask) {
  store(std::move(ptr), std::move(byte_offsets), std::move(v), std::move(mask));
  (open_.empty() ? kernel_.body : *open_.back()).back().kind = StmtKind::scatter;
}

void Builder::prefetch(Value ptr, Value bytes) {
  Stmt s;
  s.kind = StmtKind::prefetch;
  s.pointer = std::move(ptr);
  s.bytes = std::move(bytes);
  append(std::move(s));
}

Value Builder::open_loop(std::string name, Value begin, Value end, Value step) {
  auto s = std::make_unique<Stmt>();
  s->kind = StmtKind::loop;
  s->begin = std::move(begin);
  s->end = std::move(end);
  s->step = std::move(step);
  Value v = declare(std::move(name), kI64);
  s->name = static_cast<int>(v->integer);
  open_.push_back(&s->body);
  pending_.push_back(std::move(s));
  return v;
}

void Builder::open_branch(Value condition) {
  auto s = std::make_unique<Stmt>();
  s->kind = StmtKind::branch;
  s->value = std::move(condition);
  open_.push_back(&s->body);
  pending_.push_back(std::move(s));
}

void Builder::open_otherwise() {
  PIT_CHECK(!pending_.empty() && pending_.back()->kind == StmtKind::branch, "otherwise without a branch");
  open_.back() = &pending_.back()->otherwise;
}

void Builder::close() {
  PIT_CHECK(!pending_.empty(), "close without an open block");
  Stmt s = std::move(*pending_.back());
  pending_.pop_back();
  open_.pop_back();
  append(std::move(s));
}

Kernel Builder::finish() {
  PIT_CHECK(open_.empty(), "kernel {} finished inside a block", kernel_.name);
  if (auto problem = verify(kernel_)) PIT_UNREACHABLE("kernel {}: {}", kernel_.name, *problem);
  return std::move(kernel_);
}

}  // namespace pit::codegen
