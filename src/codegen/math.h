// Transcendental functions as kernel IR, so that every backend, the interpreter included, computes the same bits.
//
// f32 scalars or vectors in, same type out. Error bounds (tested over all exponents, against long double):
//   exp   <= 2 ulp for results in the normal range; exp(-inf)=0, exp(x)=0 below -104, +inf above 88.73; NaN stays NaN
//   log   <= 2 ulp; log(0)=-inf, log(<0)=NaN
//   erf   <= 5 ulp or 1e-7 absolute;  tanh <= 5 ulp or 1e-7 absolute;  sigmoid <= 4 ulp; erf and tanh never leave [-1,
//   1]
//   sin, cos: 4 ulp or 2e-7 absolute for |x| <= 1e5
//   pow(a,b): exact cases for b in {2, 0.5, -0.5, 1, 0, 3} are the caller's (it is slow: f64 inside); general 1e-6
//   relative in the
//             normal range; C's rules for signs, zeros, infinities, NaN
// f64 in: exp, log <= 2 ulp; tanh, sigmoid to ~1e-15; pow through these; erf, sin, cos through f32.
// f32 scalars cost as much as vectors. They append lets (pow, fmod also loops) to the builder's current block.
#pragma once

#include "codegen/kernel_ir.h"

namespace pit::codegen::math {

Value exp(Builder& b, Value x);
Value log(Builder& b, Value x);
Value erf(Builder& b, Value x);
Value tanh(Builder& b, Value x);
Value sigmoid(Builder& b, Value x);
Value sin(Builder& b, Value x);
Value cos(Builder& b, Value x);
Value pow(Builder& b, Value x, Value y);
/// C's fmod (the sign of x), exact for f32; f64: exact while |x/y| < 2^900.
Value fmod(Builder& b, Value x, Value y);

}  // namespace pit::codegen::math
