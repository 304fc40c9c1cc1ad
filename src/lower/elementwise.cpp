#include "lower/elementwise.h"

#include <cmath>
#include <limits>

#include "codegen/math.h"
#include "support/check.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Value;
using expr::Combiner;
using expr::Fn;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

bool float_type(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16; }
bool unsigned_type(DType t) { return t == DType::u8 || t == DType::b8; }

int lanes_of(const std::vector<Value>& vs) {
  int lanes = 1;
  for (const Value& v : vs) lanes = std::max(lanes, v->type.lanes);
  return lanes;
}

Value op2(Op op, const Value& a, const Value& b) { return Builder::binary(op, a, b); }
Value op1(Op op, const Value& a) { return Builder::unary(op, a); }

/// A constant beside `v`, in its register type.
Value like(const Value& v, double x) {
  codegen::Type t{v->type.scalar, 1};
  return codegen::is_float(t.scalar) ? Builder::f(x, t) : Builder::i(static_cast<std::int64_t>(x), t);
}

Value choose(const Value& mask, const Value& a, const Value& b) {
  int lanes = lanes_of({mask, a, b});
  return Builder::select(mask, widen(a, lanes), widen(b, lanes));
}

Value integer_pow(Builder& b, const Value& x, const Value& y) {
  // Square and multiply over all exponent bits; a negative exponent is 1/x^-y truncated: 0 unless x is 1 or -1.
  int lanes = lanes_of({x, y});
  Value base = b.var("base", widen(x, lanes)), exponent = b.var("exponent", widen(y, lanes)),
        result = b.var("power", widen(like(x, 1), lanes));
  Value one = widen(like(x, 1), lanes), zero = widen(like(x, 0), lanes);
  b.loop("bit", Builder::i(0), Builder::i(8 * codegen::bytes_of(x->type.scalar)), Builder::i(1), [&](const Value&) {
    Value odd = op2(Op::ne, op2(Op::bit_and, exponent, one), zero);
    b.assign(result, Builder::select(odd, op2(Op::mul, result, base), result));
    b.assign(base, op2(Op::mul, base, base));
    b.assign(exponent, op2(Op::lshr, exponent, one));
  });
  if (x->type.scalar == Scalar::u8) return result;
  Value minus = widen(like(x, -1), lanes), wx = widen(x, lanes), wy = widen(y, lanes);
  Value odd = op2(Op::ne, op2(Op::bit_and, wy, one), zero);
  Value unit = Builder::select(op2(Op::eq, wx, one), one,
                               Builder::select(op2(Op::eq, wx, minus), Builder::select(odd, minus, one), zero));
  return Builder::select(op2(Op::lt, wy, zero), unit, result);
}

/// Powers that have an exact form; null if `e` is none of them.
Value exact_pow(Builder& b, const Value& x, double e) {
  Value zero = like(x, 0), one = like(x, 1);
  auto root = [&] {  // pow(-0, 0.5) is +0, pow(-inf, 0.5) is +inf
    Value r = op1(Op::sqrt, op2(Op::add, x, zero));
    return choose(op2(Op::eq, x, like(x, -kInf)), like(x, kInf), r);
  };
  if (e == 0) return one;
  if (e == 1) return x;
  if (e == 2) return op2(Op::mul, x, x);
  if (e == 3) return op2(Op::mul, b.let("square", op2(Op::mul, x, x)), x);
  if (e == -1) return op2(Op::div, one, x);
  if (e == -2) return op2(Op::div, one, op2(Op::mul, x, x));
  if (e == 0.5) return root();
  if (e == -0.5) return op2(Op::div, one, root());
  return nullptr;
}

Value floor_mod(Builder& b, const Value& x, const Value& y, bool is_unsigned) {
  // The remainder moved to the divisor's sign; by the rule x - floor(x/y)*y. rem by zero is 0.
  Value r = b.let("r", op2(Op::rem, x, y));
  if (is_unsigned) return r;
  Value zero = like(r, 0);
  Value fix = op2(Op::bit_and, op2(Op::ne, r, zero), op2(Op::ne, op2(Op::lt, r, zero), op2(Op::lt, y, zero)));
  return choose(fix, op2(Op::add, r, y), r);
}

Value floor_div(Builder& b, const Value& x, const Value& y, bool is_unsigned) {
  Value q = b.let("q", op2(Op::div, x, y));
  if (is_unsigned) return q;
  Value r = b.let("r", op2(Op::rem, x, y)), zero = like(r, 0);
  Value fix = op2(Op::bit_and, op2(Op::ne, r, zero), op2(Op::ne, op2(Op::lt, r, zero), op2(Op::lt, y, zero)));
  return choose(fix, op2(Op::sub, q, like(q, 1)), q);
}

Value float_floor_mod(Builder& b, const Value& x, const Value& y) {
  // As floor_mod: C's fmod moved to the divisor's sign.
  Value r = b.let("r", codegen::math::fmod(b, x, y)), zero = like(r, 0);
  Value fix = op2(Op::bit_and, op2(Op::ne, r, zero), op2(Op::ne, op2(Op::lt, r, zero), op2(Op::lt, y, zero)));
  return choose(fix, op2(Op::add, r, y), r);
}

Value cast(const Value& v, DType from, DType to) {
  Scalar s = register_scalar(to);
  if (to == DType::f16) {  // rounds to what memory can hold
    Value f = v->type.scalar == Scalar::f32 ? v : Builder::convert(v, Scalar::f32);
    return Builder::convert(Builder::convert(f, Scalar::f16), Scalar::f32);
  }
  if (v->type.scalar == s) return v;
  if (to == DType::b8) return op2(Op::ne, v, like(v, 0));
  (void)from;
  return Builder::convert(v, s);
}

Value emit_unary(Builder& b, const TypedNode& n, const Value& x) {
  namespace m = codegen::math;
  switch (n.fn) {
    case Fn::logical_not: return op2(Op::bit_xor, x, Builder::i(1, {Scalar::i1, 1}));
    case Fn::neg: return op1(Op::neg, x);
    case Fn::abs: return unsigned_type(n.type) ? x : op1(Op::abs, x);
    case Fn::sqrt: return op1(Op::sqrt, x);
    case Fn::rsqrt: return op2(Op::div, like(x, 1), op1(Op::sqrt, x));
    case Fn::recip: return op2(Op::div, like(x, 1), x);
    case Fn::exp: return m::exp(b, x);
    case Fn::log: return m::log(b, x);
    case Fn::erf: return m::erf(b, x);
    case Fn::tanh: return m::tanh(b, x);
    case Fn::sigmoid: return m::sigmoid(b, x);
    case Fn::sin: return m::sin(b, x);
    case Fn::cos: return m::cos(b, x);
    case Fn::floor: return float_type(n.type) ? op1(Op::floor, x) : x;
    case Fn::ceil: return float_type(n.type) ? op1(Op::ceil, x) : x;
    case Fn::round: return float_type(n.type) ? op1(Op::round_even, x) : x;
    case Fn::sign: {
      Value zero = like(x, 0), one = like(x, 1);
      if (unsigned_type(n.type)) return choose(op2(Op::gt, x, zero), one, zero);
      Value s = choose(op2(Op::gt, x, zero), one, choose(op2(Op::lt, x, zero), like(x, -1), zero));
      return float_type(n.type) ? choose(op2(Op::ne, x, x), x, s) : s;  // NaN stays NaN
    }
    case Fn::isnan: return codegen::is_float(x->type.scalar) ? op2(Op::ne, x, x) : op2(Op::ne, x, x);
    case Fn::isinf:
      return codegen::is_float(x->type.scalar) ? op2(Op::eq, op1(Op::abs, x), like(x, kInf)) : op2(Op::ne, x, x);
    default: PIT_UNREACHABLE("emit_unary of {}", expr::info(n.fn).name);
  }
}

Value emit_binary(Builder& b, const TypedNode& n, Value x, Value y, const double* exponent) {
  namespace m = codegen::math;
  const bool floats = float_type(n.type), unsigned_ints = unsigned_type(n.type);
  switch (n.fn) {
    case Fn::add: return op2(Op::add, x, y);
    case Fn::sub: return op2(Op::sub, x, y);
    case Fn::mul: return op2(Op::mul, x, y);
    case Fn::div: return op2(Op::div, x, y);
    case Fn::floordiv: return floats ? op1(Op::floor, op2(Op::div, x, y)) : floor_div(b, x, y, unsigned_ints);
    case Fn::mod: return floats ? float_floor_mod(b, x, y) : floor_mod(b, x, y, unsigned_ints);
    case Fn::fmod: {
      int lanes = lanes_of({x, y});
      return floats ? m::fmod(b, widen(x, lanes), widen(y, lanes)) : op2(Op::rem, x, y);
    }
    case Fn::pow: {
      if (!floats) return integer_pow(b, x, y);
      if (exponent)
        if (Value v = exact_pow(b, x, *exponent)) return v;
      int lanes = lanes_of({x, y});
      return m::pow(b, widen(x, lanes), widen(y, lanes));
    }
    case Fn::min: return n.type == DType::b8 ? op2(Op::bit_and, x, y) : op2(Op::min, x, y);
    case Fn::max: return n.type == DType::b8 ? op2(Op::bit_or, x, y) : op2(Op::max, x, y);
    case Fn::eq: return op2(Op::eq, x, y);
    case Fn::ne: return op2(Op::ne, x, y);
    case Fn::lt: return op2(Op::lt, x, y);
    case Fn::le: return op2(Op::le, x, y);
    case Fn::gt: return op2(Op::gt, x, y);
    case Fn::ge: return op2(Op::ge, x, y);
    case Fn::logical_and: return op2(Op::bit_and, x, y);
    case Fn::logical_or: return op2(Op::bit_or, x, y);
    case Fn::logical_xor: return op2(Op::bit_xor, x, y);
    default: PIT_UNREACHABLE("emit_binary of {}", expr::info(n.fn).name);
  }
}

}  // namespace

Scalar register_scalar(DType t) {
  if (t == DType::b8) return Scalar::i1;
  if (t == DType::f16) return Scalar::f32;
  return codegen::scalar_of(t);
}

Value widen(const Value& v, int lanes) { return v->type.lanes == lanes ? v : Builder::splat(v, lanes); }

Value constant(DType t, double number, std::int64_t integer) {
  codegen::Type type{register_scalar(t), 1};
  return float_type(t) ? Builder::f(number, type) : Builder::i(integer, type);
}

Value from_memory(Builder&, const Value& v, DType t) { return t == DType::f16 ? Builder::convert(v, Scalar::f32) : v; }

Value to_memory(const Value& v, DType t) { return t == DType::f16 ? Builder::convert(v, Scalar::f16) : v; }

Value emit_call(Builder& b, const TypedNode& n, const std::vector<Value>& args, const std::vector<DType>& arg_types,
                const double* exponent) {
  if (n.kind == TypedNode::absorbing_add) {
    const Value& op = args[1];
    return choose(op2(Op::le, op, like(op, -1e30)), op, op2(Op::add, args[0], op));
  }
  switch (n.fn) {
    case Fn::select: return choose(args[0], args[1], args[2]);
    case Fn::cast: return cast(args[0], arg_types[0], n.type);
    case Fn::mod:
    case Fn::floordiv: {  // both are used more than once inside
      int lanes = lanes_of(args);
      return emit_binary(b, n, widen(args[0], lanes), widen(args[1], lanes), exponent);
    }
    default: break;
  }
  return args.size() == 1 ? emit_unary(b, n, args[0]) : emit_binary(b, n, args[0], args[1], exponent);
}

int cost_of(const TypedNode& n) {
  if (n.kind == TypedNode::absorbing_add) return 3;
  if (n.kind != TypedNode::call) return 0;
  switch (n.fn) {
    case Fn::exp: return 16;
    case Fn::sigmoid:
    case Fn::tanh:
    case Fn::log: return 24;
    case Fn::erf:
    case Fn::sin:
    case Fn::cos: return 40;
    case Fn::pow: return float_type(n.type) ? 60 : 200;
    case Fn::fmod:
    case Fn::mod: return 40;
    case Fn::div:
    case Fn::floordiv:
    case Fn::recip:
    case Fn::sqrt: return float_type(n.type) ? 6 : 40;
    case Fn::rsqrt: return 12;
    case Fn::min:
    case Fn::max:
    case Fn::sign: return 3;
    default: return 1;
  }
}

Value identity_of(Combiner c, DType t) {
  codegen::Type type{register_scalar(t), 1};
  const bool floats = codegen::is_float(type.scalar);
  auto extreme = [&](bool lowest) {
    if (floats) return Builder::f(lowest ? -kInf : kInf, type);
    if (t == DType::u8) return Builder::i(lowest ? 0 : 255, type);
    int bits = 8 * codegen::bytes_of(type.scalar);
    std::int64_t low = -(std::int64_t{1} << (bits - 2)) * 2;
    return Builder::i(lowest ? low : -(low + 1), type);
  };
  switch (c) {
    case Combiner::sum: return floats ? Builder::f(0, type) : Builder::i(0, type);
    case Combiner::product: return floats ? Builder::f(1, type) : Builder::i(1, type);
    case Combiner::max: return extreme(true);
    case Combiner::min: return extreme(false);
    case Combiner::logical_and: return Builder::i(1, type);
    case Combiner::logical_or: return Builder::i(0, type);
    case Combiner::last: return floats ? Builder::f(0, type) : Builder::i(0, type);
    default: PIT_UNREACHABLE("identity of {}", expr::info(c).text);
  }
}

namespace {
Op fold_op(Combiner c) {
  switch (c) {
    case Combiner::sum: return Op::reduce_add;
    case Combiner::product: return Op::reduce_mul;
    case Combiner::max: return Op::reduce_max;
    case Combiner::min: return Op::reduce_min;
    case Combiner::logical_and: return Op::reduce_and;
    case Combiner::logical_or: return Op::reduce_or;
    default: PIT_UNREACHABLE("fold of {}", expr::info(c).text);
  }
}
}  // namespace

Value combine(Combiner c, const Value& acc, const Value& v) {
  switch (c) {
    case Combiner::sum: return op2(Op::add, acc, v);
    case Combiner::product: return op2(Op::mul, acc, v);
    case Combiner::max: return op2(Op::max, acc, v);
    case Combiner::min: return op2(Op::min, acc, v);
    case Combiner::logical_and: return op2(Op::bit_and, acc, v);
    case Combiner::logical_or: return op2(Op::bit_or, acc, v);
    case Combiner::last: return v;
    default: PIT_UNREACHABLE("combine of {}", expr::info(c).text);
  }
}

Value fold(Combiner c, const Value& v) { return v->type.lanes == 1 ? v : Builder::reduce(fold_op(c), v); }

}  // namespace pit::lower
