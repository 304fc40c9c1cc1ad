// What is true of an operation by itself: its name in the printed form and its class. Shared by all of codegen.
#pragma once

#include <optional>
#include <string_view>

#include "codegen/kernel_ir.h"

namespace pit::codegen {

const char* name_of(Op op);
/// The operator between two operands in the printed form; null: the operation is printed by its name.
const char* infix_of(Op op);
/// What a word of the printed form means where an operand stands; nothing: it may name an argument.
std::optional<Op> op_named(std::string_view word);
std::optional<Type> type_named(std::string_view word);

bool is_integer(Scalar s);   ///< i64 i32 i8 u8 (i1 is not)
bool is_unsigned(Scalar s);  ///< u8 i1
bool is_unary(Op op);        ///< value -> same type
bool is_binary(Op op);       ///< two values of one type -> that type
bool is_compare(Op op);      ///< two values of one type -> i1 with their lanes
bool is_reduce(Op op);
/// Whether an element-wise operation exists for a scalar kind.
bool exists_for(Op op, Scalar s);

/// The binary operation that a reduction folds with.
Op fold_of(Op reduce);

/// Cuts an integer to its kind and extends it to 64 bits again: this is where arithmetic wraps.
inline std::uint64_t wrap(Scalar s, std::uint64_t bits) {
  switch (s) {
    case Scalar::i32: return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(bits)));
    case Scalar::i8: return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int8_t>(bits)));
    case Scalar::u8: return bits & 0xff;
    case Scalar::i1: return bits & 1;
    default: return bits;
  }
}
/// The number that a constant of kind `s` holds for `v`: rounded to f32 but for f64, and one NaN for all of them.
double rounded(Scalar s, double v);

}  // namespace pit::codegen
