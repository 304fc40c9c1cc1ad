// Polynomials and rational functions below are minimax fits made for this file (Lawson's iteration in 50 digits, on
// Chebyshev nodes of the stated interval); the errors in comments are those of the fit alone, relative, before
// rounding.
#include "codegen/math.h"

#include <cstdint>
#include <initializer_list>
#include <limits>

#include "support/check.h"

namespace pit::codegen::math {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// Short names for what formulas are made of.
using B = Builder;
Value add(Value a, Value b) { return B::binary(Op::add, std::move(a), std::move(b)); }
Value sub(Value a, Value b) { return B::binary(Op::sub, std::move(a), std::move(b)); }
Value mul(Value a, Value b) { return B::binary(Op::mul, std::move(a), std::move(b)); }
Value div(Value a, Value b) { return B::binary(Op::div, std::move(a), std::move(b)); }
Value lt(Value a, Value b) { return B::binary(Op::lt, std::move(a), std::move(b)); }
Value gt(Value a, Value b) { return B::binary(Op::gt, std::move(a), std::move(b)); }
Value eq(Value a, Value b) { return B::binary(Op::eq, std::move(a), std::move(b)); }
Value both(Value a, Value b) { return B::binary(Op::bit_and, std::move(a), std::move(b)); }
Value either(Value a, Value b) { return B::binary(Op::bit_or, std::move(a), std::move(b)); }
Value shl(const Value& a, int n) { return B::binary(Op::shl, a, B::i(n, {a->type.scalar, 1})); }
Value lshr(const Value& a, int n) { return B::binary(Op::lshr, a, B::i(n, {a->type.scalar, 1})); }
Value abs(Value a) { return B::unary(Op::abs, std::move(a)); }
Value neg(Value a) { return B::unary(Op::neg, std::move(a)); }

Value number(double v, const Value& like) { return B::f(v, like->type); }
bool is_double(const Value& x) { return x->type.scalar == Scalar::f64; }

/// The integers with the bits of a float value.
Value as_bits(Value x) {
  const Type t{is_double(x) ? Scalar::i64 : Scalar::i32, x->type.lanes};
  return B::bitcast(std::move(x), t);
}
Value bits(std::int64_t v, const Value& like) {
  return B::i(v, {is_double(like) ? Scalar::i64 : Scalar::i32, like->type.lanes});
}

/// c0 + c1 x + c2 x^2 + ... by Horner's rule.
Value polynomial(const Value& x, std::initializer_list<double> coefficients) {
  const double* c = coefficients.end();
  Value sum = number(*--c, x);
  while (c != coefficients.begin()) sum = B::fma(sum, x, number(*--c, x));
  return sum;
}

/// Into [low, high]; NaN stays NaN. One instruction each, unlike min and max, which must look at both operands.
Value clamp(const Value& x, double low, double high) {
  Value l = number(low, x), h = number(high, x);
  Value raised = B::select(lt(x, l), l, x);
  return B::select(gt(raised, h), h, raised);
}

/// Computes through f32 what has no f64 scheme.
template <class F>
Value through_f32(Value x, F f) {
  return B::convert(f(B::convert(std::move(x), Scalar::f32)), Scalar::f64);
}

void check_float(const Value& x) {
  PIT_CHECK(x && (x->type.scalar == Scalar::f32 || x->type.scalar == Scalar::f64), "a math function needs f32 or f64");
}

/// The number that, added to v, leaves v rounded to an integer in the sum's low bits.
double rounder(const Value& v) { return is_double(v) ? 0x1.8p52 : 0x1.8p23; }

}  // namespace

Value exp(Builder& b, Value x) {
  check_float(x);
  const bool wide = is_double(x);
  const int mantissa = wide ? 52 : 23;
  // exp(x) = 2^n * exp(r), |r| <= ln2/2. Beyond the clamp the result is 0 or infinite in any case.
  Value c = b.let("exp_x", wide ? clamp(x, -746, 710) : clamp(x, -105, 89));
  Value magic = number(rounder(x), x);
  Value t = b.let("exp_t", B::fma(c, number(1.4426950408889634074, x), magic));
  Value n = b.let("exp_n", sub(t, magic));
  const double ln2_high = wide ? 0x1.62e42fefa39efp-1 : 0x1.62e43p-1,
               ln2_low = wide ? 0x1.abc9e3b39803fp-56 : -0x1.05c61p-29;
  Value r = B::fma(n, number(-ln2_high, x), c);
  r = b.let("exp_r", B::fma(n, number(-ln2_low, x), r));
  // exp(r) = 1 + r + r^2 q(r): 3e-9 (f32), 5e-20 (f64).
  Value q = wide ? polynomial(r, {0.5000000000000000044, 0.1666666666666668356, 0.04166666666666609678,
                                  0.008333333333316919089, 0.001388888888911386255, 0.0001984126989667767875,
                                  0.00002480158693077554037, 2.755723456244361683e-6, 2.755757787407991847e-7,
                                  2.511214281082589419e-8, 2.082796920245737551e-9})
                 : polynomial(r, {0.499999934, 0.1666652002, 0.0416683962, 0.008368788851, 0.001381437037});
  Value e = add(B::fma(mul(r, r), q, r), number(1, x));
  // 2^n in two factors, so that subnormal results are rounded once and none overflows early. The low bits of t are n;
  // shifting left drops the bits of the magic number.
  Value tb = b.let("exp_bits", as_bits(t));
  Value half = b.let("exp_half", lshr(tb, 1));
  Value one = bits(wide ? INT64_C(0x3ff0000000000000) : 0x3f800000, x);
  Value scale1 = B::bitcast(add(shl(half, mantissa), one), x->type);
  Value scale2 = B::bitcast(add(shl(sub(tb, half), mantissa), one), x->type);
  return b.let("exp", mul(mul(e, scale1), scale2));
}

Value log(Builder& b, Value x) {
  check_float(x);
  const bool wide = is_double(x);
  const int mantissa = wide ? 52 : 23, lift = wide ? 54 : 23;
  x = b.let("log_x", x);
  // x = 2^e * m with m in [sqrt(1/2), sqrt(2)); subnormals are lifted into the normal range first.
  Value tiny = b.let("log_tiny", lt(x, number(wide ? 0x1p-1022 : 0x1p-126, x)));
  Value lifted = B::select(tiny, mul(x, number(wide ? 0x1p54 : 0x1p23, x)), x);
  Value root = bits(wide ? INT64_C(0x3fe6a09e667f3bcd) : 0x3f3504f3, x);
  Value from_root = b.let("log_bits", sub(as_bits(lifted), root));
  Value exponent = B::binary(Op::ashr, from_root, bits(mantissa, x));
  // The exponent as a float, without a conversion from 64-bit integers, which AVX2 lacks.
  Value magic = number(rounder(x), x);
  Value e = sub(B::bitcast(add(exponent, bits(wide ? INT64_C(0x4338000000000000) : 0x4b400000, x)), x->type), magic);
  e = b.let("log_e", sub(e, B::select(tiny, number(lift, x), number(0, x))));
  Value m = B::bitcast(add(both(from_root, bits((INT64_C(1) << mantissa) - 1, x)), root), x->type);
  Value f = b.let("log_f", sub(m, number(1, x)));
  Value result;
  if (wide) {
    // log(1+f) = 2 atanh(s) = f - (h - s (h + R)) with s = f/(2+f), h = f^2/2, R = s^2 p(s^2) [fdlibm's form]: 1e-18.
    Value s = b.let("log_s", div(f, add(f, number(2, x))));
    Value z = b.let("log_z", mul(s, s));
    Value h = b.let("log_h", mul(number(0.5, x), mul(f, f)));
    Value p = polynomial(z, {0.6666666666666734432, 0.3999999999941454781, 0.2857142874241187937, 0.2222219857108656815,
                             0.1818356442119957616, 0.1531404837519990373, 0.1479596945386967183});
    Value inner = B::fma(s, B::fma(z, p, h), mul(e, number(0x1.abc9e3b39803fp-56, x)));
    result = B::fma(e, number(0x1.62e42fefa39efp-1, x), sub(f, sub(h, inner)));
  } else {
    // log(1+f) = f - f^2/2 + f^3 p(f): 6e-9.
    Value p = polynomial(f, {0.3333333178, -0.2500082123, 0.2000122203, -0.1662335433, 0.1420185165, -0.1316026582,
                             0.1276097338, -0.07633579683});
    Value f2 = b.let("log_f2", mul(f, f));
    Value y = B::fma(mul(f2, f), p, mul(e, number(-0x1.05c61p-29, x)));
    y = B::fma(f2, number(-0.5, x), y);
    result = B::fma(e, number(0x1.62e43p-1, x), add(f, y));
  }
  Value not_positive =
      B::select(eq(x, number(0, x)), number(-kInf, x), number(std::numeric_limits<double>::quiet_NaN(), x));
  result = B::select(eq(x, number(kInf, x)), x, result);
  return b.let("log", B::select(gt(x, number(0, x)), result, not_positive));
}

Value erf(Builder& b, Value x) {
  check_float(x);
  if (is_double(x)) return b.let("erf", through_f32(x, [&b](Value v) { return erf(b, v); }));
  // x P(x^2) / Q(x^2) on |x| <= 3.93, beyond which erf rounds to 1: 2e-9. From 4.02 on the fit is above 1: x is clamped
  // there, so that the result, clamped as well, is exactly 1 (Gelu multiplies 1 + erf(x) by x, however large).
  Value c = b.let("erf_x", clamp(x, -4.2, 4.2));
  Value t = b.let("erf_t", mul(c, c));
  Value p = polynomial(
      t, {1.128379169, 0.1851457623, 0.05425497916, 0.003840278025, 0.000377187443, 4.620640496e-6, -1.286086377e-8});
  Value q = polynomial(t, {1.0, 0.4974145674, 0.1138865915, 0.01543488102, 0.001302432943, 6.25063509e-5});
  return b.let("erf", clamp(b.let("erf_r", div(mul(c, p), q)), -1, 1));
}

Value tanh(Builder& b, Value x) {
  check_float(x);
  if (is_double(x)) {
    x = b.let("tanh_x", x);
    Value a = b.let("tanh_a", abs(x));
    Value e = exp(b, mul(a, number(-2, x)));
    Value large = b.let("tanh_l", div(sub(number(1, x), e), add(number(1, x), e)));
    Value t = b.let("tanh_t", mul(x, x));
    // Where 1 - e cancels: the series, to 6e-16 at the border.
    Value small = mul(x, polynomial(t, {1, -1.0 / 3, 2.0 / 15, -17.0 / 315}));
    Value signed_large = B::select(lt(x, number(0, x)), neg(large), large);
    return b.let("tanh", B::select(lt(a, number(0.02, x)), small, signed_large));
  }
  // x P(x^2) / Q(x^2) on |x| <= 9.02, beyond which tanh rounds to 1: 1.4e-9.
  Value c = b.let("tanh_x", clamp(x, -9.02, 9.02));
  Value t = b.let("tanh_t", mul(c, c));
  Value p = polynomial(t, {1.0, 0.1368152166, 0.003870315023, 2.804599279e-5, 3.067143496e-8, -1.226192856e-11});
  Value q = polynomial(t, {1.0, 0.4701485415, 0.02725317861, 0.0003942079231, 1.289975475e-6});
  return b.let("tanh", clamp(b.let("tanh_r", div(mul(c, p), q)), -1, 1));
}

Value sigmoid(Builder& b, Value x) {
  check_float(x);
  x = b.let("sigmoid_x", x);
  // With exp(-|x|) nothing overflows, and small results keep their precision.
  Value e = exp(b, neg(abs(x)));
  Value one = number(1, x);
  return b.let("sigmoid", div(B::select(lt(x, number(0, x)), e, one), add(one, e)));
}

namespace {

/// sin(x + quarter * pi/2). Reduced in f64, which holds for any |x| that f32 can resolve a period of.
Value sine(Builder& b, const Value& x, int quarter, const char* name) {
  check_float(x);
  if (is_double(x)) return b.let(name, through_f32(x, [&](Value v) { return sine(b, v, quarter, name); }));
  Value wide = b.let("sine_x", B::convert(x, Scalar::f64));
  Value magic = number(rounder(wide), wide);
  Value t = b.let("sine_t", B::fma(wide, number(0.63661977236758134308, wide), magic));
  Value n = b.let("sine_n", sub(t, magic));
  Value r = B::fma(n, number(-0x1.921fb54442d18p0, wide), wide);
  r = b.let("sine_r", B::convert(B::fma(n, number(-0x1.1a62633145c07p-54, wide), r), Scalar::f32));
  Value q = b.let("sine_q", add(B::convert(as_bits(t), Scalar::i32), B::i(quarter, {Scalar::i32, x->type.lanes})));
  Value z = b.let("sine_z", mul(r, r));
  // On |r| <= pi/4: sin r = r + r^3 s(r^2): 5e-12; cos r = 1 - r^2/2 + r^4 c(r^2): 1e-13.
  Value s = polynomial(z, {-0.1666666664, 0.00833332928, -0.0001983930431, 2.718045673e-6});
  Value c = polynomial(z, {0.04166666662, -0.001388888347, 2.479945153e-5, -2.720504475e-7});
  Value sin_r = B::fma(mul(r, z), s, r);
  Value cos_r = B::fma(mul(z, z), c, B::fma(z, number(-0.5, x), number(1, x)));
  const Value one = B::i(1, q->type), two = B::i(2, q->type), zero = B::i(0, q->type);
  Value v = b.let("sine_v", B::select(eq(both(q, one), zero), sin_r, cos_r));
  v = b.let("sine_s", B::select(eq(both(q, two), zero), v, neg(v)));
  return b.let(name, clamp(v, -1, 1));  // beyond any precision, at least a value of the function
}

}  // namespace

Value sin(Builder& b, Value x) { return sine(b, x, 0, "sin"); }
Value cos(Builder& b, Value x) { return sine(b, x, 1, "cos"); }

Value pow(Builder& b, Value x, Value y) {
  check_float(x);
  check_float(y);
  if (!is_double(x)) {  // an error of log(x) is multiplied by y: f32 is not enough for an f32 result
    return b.let("pow", B::convert(pow(b, B::convert(x, Scalar::f64), B::convert(y, Scalar::f64)), Scalar::f32));
  }
  if (y->type.lanes == 1) y = B::splat(y, x->type.lanes);
  if (x->type.lanes == 1) x = B::splat(x, y->type.lanes);
  x = b.let("pow_x", x);
  y = b.let("pow_y", y);
  const Value zero = number(0, x), one = number(1, x);
  Value a = b.let("pow_a", abs(x));
  Value p = exp(b, mul(y, log(b, a)));
  // C's rules: |x| = 1 gives 1 for infinite y; the sign is that of x for odd y; a negative x needs an integer y.
  Value half = b.let("pow_half", mul(y, number(0.5, x)));
  Value integral = b.let("pow_int", eq(B::unary(Op::floor, y), y));
  Value odd = both(integral, B::binary(Op::ne, B::unary(Op::floor, half), half));
  Value negative = lt(as_bits(x), bits(0, x));
  p = b.let("pow_p", B::select(both(eq(a, one), eq(y, y)), one, p));
  p = b.let("pow_s", B::select(both(odd, negative), neg(p), p));
  Value undefined =
      both(both(lt(x, zero), gt(x, number(-kInf, x))), B::binary(Op::bit_xor, integral, B::i(1, integral->type)));
  p = B::select(undefined, number(std::numeric_limits<double>::quiet_NaN(), x), p);
  return b.let("pow", B::select(either(eq(y, zero), eq(x, one)), one, p));
}

Value fmod(Builder& b, Value x, Value y) {
  check_float(x);
  check_float(y);
  const bool wide = is_double(x);
  Value d = b.let("fmod_d", abs(B::convert(y, Scalar::f64)));
  Value from = b.let("fmod_x", B::convert(x, Scalar::f64));
  if (from->type.lanes == 1 && d->type.lanes > 1) from = b.let("fmod_x", B::splat(from, d->type.lanes));
  if (d->type.lanes == 1 && from->type.lanes > 1) d = b.let("fmod_d", B::splat(d, from->type.lanes));
  // Each round subtracts d times a quotient cut to 24 bits, which is exact: the rest has as many bits as the divisor.
  // So a round takes 23 bits off the quotient; what is left at the end is within (-d, d).
  Value r = b.var("fmod_r", abs(from));
  const int rounds = wide ? 46 : 13;  // quotients of f32 have up to 277 bits
  const auto reduce = [&](const Value& by) {
    b.loop("fmod_i", B::i(0), B::i(rounds), B::i(1), [&](const Value&) {
      Value q = b.let("fmod_q", div(r, by));
      Value whole = B::select(lt(q, number(0, q)), B::unary(Op::ceil, q), B::unary(Op::floor, q));
      Value cut = B::bitcast(both(as_bits(whole), bits(-(INT64_C(1) << 29), q)), q->type);
      b.assign(r, B::fma(neg(cut), by, r));
    });
  };
  if (wide) {  // quotients beyond the type: by multiples of the divisor first
    const auto unless_finite = [&](const Value& by, double scale) {
      return b.let("fmod_by", B::select(eq(div(r, by), number(kInf, d)), mul(by, number(scale, d)), by));
    };
    const Value once = unless_finite(d, 0x1p512);
    reduce(unless_finite(once, 0x1p1022));
    reduce(once);
  }
  reduce(d);
  Value rest = b.let("fmod_rest", B::select(lt(r, number(0, r)), add(r, d), r));
  rest = b.let("fmod_inf", B::select(both(eq(d, number(kInf, d)), lt(abs(from), number(kInf, d))), abs(from), rest));
  Value sign = both(as_bits(from), bits(std::numeric_limits<std::int64_t>::min(), from));
  Value result = B::bitcast(either(as_bits(abs(rest)), sign), rest->type);
  return b.let("fmod", B::convert(result, x->type.scalar));
}

}  // namespace pit::codegen::math
