// Scalar meaning of the element-wise functions, of casts and of f16: the arithmetic half of the specification in
// expr.h.
#pragma once

#include <cstdint>
#include <optional>

#include "expr/expr.h"

namespace pit::expr {

// Floating-point values travel as double. f32 (and f16) results are computed in double and rounded to float once:
// for + - * / sqrt that is IEEE's own float result (a double has more than twice the digits), for the others it is at
// least as good as any float library. f64 uses double throughout.
double float_function(Fn f, double a, double b);

// Integer values travel as i64, wrapped to their own type after every operation.
std::int64_t int_function(Fn f, std::int64_t a, std::int64_t b);
std::int64_t wrap(DType t, std::int64_t v);

bool float_comparison(Fn f, double a, double b);
bool int_comparison(Fn f, std::int64_t a, std::int64_t b);

/// Truncates, saturates, NaN -> 0.
std::int64_t float_to_int(DType t, double v);

/// The same number as an integer, if it is one, and so small that a double has its neighbours too.
std::optional<std::int64_t> as_integer(double v);

/// Rounds to f16 (half to even), exactly once, also from double.
std::uint16_t to_half(double v);
double from_half(std::uint16_t h);

inline bool is_floating(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16; }

/// The arithmetic type of a storage type: f16 is computed in f32.
inline double round_to(DType t, double v) { return t == DType::f64 ? v : static_cast<double>(static_cast<float>(v)); }

/// Folds one term into an accumulator of a floating-point type (rounded by the caller).
double combine_float(Combiner c, double acc, double term);
std::int64_t combine_int(Combiner c, std::int64_t acc, std::int64_t term);
double float_identity(Combiner c);
std::int64_t int_identity(Combiner c, DType t);

}  // namespace pit::expr
