// Emission of single operations: no state but the instruction builder. Every function gives exactly what the
// specification in kernel_ir.h says (and the interpreter computes).
#pragma once

#include <llvm/Analysis/TargetFolder.h>
#include <llvm/IR/IRBuilder.h>

#include "codegen/kernel_ir.h"

namespace pit::codegen::llvm_backend {

/// Folds constants only. (InstSimplifyFolder is wrong here: it looks through the phis of loops still being built.)
using IR = llvm::IRBuilder<llvm::TargetFolder>;

/// What the target has, as far as it decides which instructions stand for an operation.
struct Features {
  int vector_bits = 256;  ///< of its widest registers
  bool vnni = false;      ///< sums of four products of bytes, for all widths up to these
};

llvm::Type* type_of(llvm::LLVMContext& context, Type t);
/// The type that stands in memory: i1 is a byte, f16 travels as i16 (masked halves have no instruction of their own).
llvm::Type* memory_type_of(llvm::LLVMContext& context, Type t);
llvm::Value* from_memory(IR& ir, Type t, llvm::Value* v);
llvm::Value* to_memory(IR& ir, Type t, llvm::Value* v);

llvm::Value* constant(llvm::LLVMContext& context, const ValueNode& v);
llvm::Value* iota(llvm::LLVMContext& context, Type t);
llvm::Value* unary(IR& ir, Op op, Type t, llvm::Value* a);
/// Arithmetic and comparisons; `t` is the operands' type.
llvm::Value* binary(IR& ir, Op op, Type t, llvm::Value* a, llvm::Value* b);
llvm::Value* fma(IR& ir, llvm::Value* a, llvm::Value* b, llvm::Value* c);
llvm::Value* dot(IR& ir, const Features& features, int lanes, llvm::Value* a, llvm::Value* b, llvm::Value* c);
llvm::Value* convert(IR& ir, Type from, Type to, llvm::Value* v);
llvm::Value* reduce(IR& ir, Op op, Type from, llvm::Value* v);
llvm::Value* lane_mask(IR& ir, int lanes, llvm::Value* count);

}  // namespace pit::codegen::llvm_backend
