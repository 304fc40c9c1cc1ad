// Element-wise functions of tensor expressions as kernel IR values, scalar or vector.
#pragma once

#include <vector>

#include "codegen/kernel_ir.h"
#include "expr/expr.h"
#include "lower/typed.h"

namespace pit::lower {

/// The type of an element in registers: booleans are lane masks, f16 is computed in f32.
codegen::Scalar register_scalar(DType t);

/// `v` in `lanes` lanes (a scalar is splat).
codegen::Value widen(const codegen::Value& v, int lanes);

/// A constant of a dtype (scalar).
codegen::Value constant(DType t, double number, std::int64_t integer);

/// Between registers and memory: booleans from and to bytes, f16 through f32.
codegen::Value from_memory(codegen::Builder& b, const codegen::Value& v, DType t);
codegen::Value to_memory(const codegen::Value& v, DType t);

/// The value of a call or absorbing_add with evaluated arguments. `arg_types` are their dtypes; `exponent` is the
/// second argument of pow when it is a constant (so that exact cases stay exact).
codegen::Value emit_call(codegen::Builder& b, const TypedNode& n, const std::vector<codegen::Value>& args,
                         const std::vector<DType>& arg_types, const double* exponent = nullptr);

/// Rough cost of a function in vector operations; decides what is inlined, unrolled or stored.
int cost_of(const TypedNode& n);

/// The identity of a combiner in a dtype (scalar).
codegen::Value identity_of(expr::Combiner c, DType t);
/// acc combined with v.
codegen::Value combine(expr::Combiner c, const codegen::Value& acc, const codegen::Value& v);
/// The lanes of v folded (a scalar).
codegen::Value fold(expr::Combiner c, const codegen::Value& v);

}  // namespace pit::lower
