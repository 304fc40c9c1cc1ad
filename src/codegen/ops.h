// What is true of an operation by itself: its name in the printed form and its class. Shared by all of codegen.
#pragma once

#include "codegen/kernel_ir.h"

namespace pit::codegen {

const char* name_of(Op op);

bool is_integer(Scalar s);   ///< i64 i32 i8 u8 (i1 is not)
bool is_unsigned(Scalar s);  ///< u8 i1
bool is_unary(Op op);        ///< value -> same type
bool is_binary(Op op);       ///< two values of one type -> that type
bool is_compare(Op op);      ///< two values of one type -> i1 with their lanes
bool is_reduce(Op op);

/// The binary operation that a reduction folds with.
Op fold_of(Op reduce);

}  // namespace pit::codegen
