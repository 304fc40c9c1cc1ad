// Kernels from their text: what `print` writes, with any number of blanks between words, and empty lines.
//
//     kernel NAME(ARG: ptr, ARG: ptr noalias, ARG: i64)     pointers first
//       let NAME.1: TYPE = VALUE                            names are numbered from 0, each number is declared once
//       var NAME.2: TYPE = VALUE
//       NAME.2 := VALUE
//       store [VALUE + VALUE] = VALUE if VALUE              pointer, bytes; scatter likewise; `if` and a mask where there is one
//       prefetch [VALUE + VALUE]
//       for NAME.3 = VALUE .. VALUE step VALUE
//         ...                                               blocks are indented by two blanks
//       if VALUE
//         ...
//       else
//         ...
//
//     VALUE   ARG | NAME.2 | -4 (an i64) | f32x8(0.5) | f32(-inf) | f64(nan) | i1(1)
//             (VALUE + VALUE)         - * / % & | ^ << == != < <= > >= likewise
//             min(VALUE, VALUE)       every other operation by its name in kernel_ir.h
//             load TYPE [VALUE + VALUE if VALUE]      gather likewise
//             convert TYPE(VALUE)   bitcast TYPE(VALUE)   iota TYPE   splat x8(VALUE)   lane_mask x8(VALUE)
//             extract 3(VALUE)   shuffle [0 1 8 9](VALUE, VALUE)
//             @1=VALUE                the value, and a short form for it in the rest of the statement: @1
#pragma once

#include <string_view>

#include "codegen/kernel_ir.h"

namespace pit::codegen {

/// The kernel of a text, verified; equal values are one node (`shared`). Takes time and memory in proportion to the
/// text. Throws InputError with line and column: where the text is no kernel, what was expected; where the kernel
/// violates the specification, the words of `verify`; where values or blocks are nested more than 500 or 100 deep, which
/// the code that walks them could not take.
Kernel parse(std::string_view text);

}  // namespace pit::codegen
