#include "codegen/llvm/values.h"

#include <cmath>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <numeric>

#include "codegen/ops.h"
#include "support/check.h"

namespace pit::codegen::llvm_backend {
namespace {

using LV = llvm::Value*;

llvm::Type* scalar_type(llvm::LLVMContext& c, Scalar s) {
  switch (s) {
    case Scalar::f32: return llvm::Type::getFloatTy(c);
    case Scalar::f64: return llvm::Type::getDoubleTy(c);
    case Scalar::f16: return llvm::Type::getHalfTy(c);
    case Scalar::i64: return llvm::Type::getInt64Ty(c);
    case Scalar::i32: return llvm::Type::getInt32Ty(c);
    case Scalar::i8:
    case Scalar::u8: return llvm::Type::getInt8Ty(c);
    case Scalar::i1: return llvm::Type::getInt1Ty(c);
    case Scalar::ptr: return llvm::PointerType::getUnqual(c);
  }
  PIT_UNREACHABLE("scalar_type");
}

llvm::Type* with_lanes(llvm::Type* scalar, int lanes) {
  return lanes == 1 ? scalar : llvm::FixedVectorType::get(scalar, static_cast<unsigned>(lanes));
}

/// x86's maxps gives its second operand when one is NaN, which is what (a > b ? a : b) compiles to; so only a NaN in
/// `a` needs care: three instructions, where llvm.maximum takes eight to order the zeros.
LV float_min_max(IR& ir, Op op, LV a, LV b) {
  LV better = op == Op::max ? ir.CreateFCmpOGT(a, b) : ir.CreateFCmpOLT(a, b);
  LV chosen = ir.CreateSelect(better, a, b);
  return ir.CreateSelect(ir.CreateFCmpUNO(a, a), a, chosen);
}

LV float_binary(IR& ir, Op op, LV a, LV b) {
  switch (op) {
    case Op::add: return ir.CreateFAdd(a, b);
    case Op::sub: return ir.CreateFSub(a, b);
    case Op::mul: return ir.CreateFMul(a, b);
    case Op::div: return ir.CreateFDiv(a, b);
    case Op::min:
    case Op::max: return float_min_max(ir, op, a, b);
    case Op::eq: return ir.CreateFCmpOEQ(a, b);
    case Op::ne: return ir.CreateFCmpUNE(a, b);
    case Op::lt: return ir.CreateFCmpOLT(a, b);
    case Op::le: return ir.CreateFCmpOLE(a, b);
    case Op::gt: return ir.CreateFCmpOGT(a, b);
    case Op::ge: return ir.CreateFCmpOGE(a, b);
    default: PIT_UNREACHABLE("{} of floats", name_of(op));
  }
}

/// A constant divisor other than 0 and -1 needs no guard.
bool is_safe_divisor(LV b, bool is_signed) {
  auto* c = llvm::dyn_cast<llvm::Constant>(b);
  if (c == nullptr) return false;
  if (c->getType()->isVectorTy()) c = c->getSplatValue();
  auto* integer = llvm::dyn_cast_or_null<llvm::ConstantInt>(c);
  return integer != nullptr && !integer->isZero() && !(is_signed && integer->isMinusOne());
}

/// x86 traps on division by zero and on the lowest integer by -1. Dividing by 1 in these cases is right for the
/// quotient of the latter (it wraps) and both remainders; a zero divisor's quotient is replaced.
LV integer_divide(IR& ir, Op op, Scalar s, LV a, LV b) {
  const bool is_signed = !is_unsigned(s);
  const auto divide = [&](LV by) {
    if (op == Op::div) return is_signed ? ir.CreateSDiv(a, by) : ir.CreateUDiv(a, by);
    return is_signed ? ir.CreateSRem(a, by) : ir.CreateURem(a, by);
  };
  if (is_safe_divisor(b, is_signed)) return divide(b);
  llvm::Type* t = b->getType();
  LV zero = llvm::Constant::getNullValue(t), one = llvm::ConstantInt::get(t, 1);
  LV is_zero = ir.CreateICmpEQ(b, zero);
  LV unsafe = is_zero;
  if (is_signed) {
    const unsigned bits = t->getScalarSizeInBits();
    LV lowest = llvm::ConstantInt::get(t, llvm::APInt::getSignedMinValue(bits));
    LV overflow = ir.CreateAnd(ir.CreateICmpEQ(a, lowest), ir.CreateICmpEQ(b, llvm::Constant::getAllOnesValue(t)));
    unsafe = ir.CreateOr(is_zero, overflow);
  }
  LV result = divide(ir.CreateSelect(unsafe, one, b));
  return op == Op::div ? ir.CreateSelect(is_zero, zero, result) : result;
}

LV integer_compare(IR& ir, Op op, bool u, LV a, LV b) {
  using P = llvm::CmpInst::Predicate;
  P p = P::ICMP_EQ;
  switch (op) {
    case Op::eq: p = P::ICMP_EQ; break;
    case Op::ne: p = P::ICMP_NE; break;
    case Op::lt: p = u ? P::ICMP_ULT : P::ICMP_SLT; break;
    case Op::le: p = u ? P::ICMP_ULE : P::ICMP_SLE; break;
    case Op::gt: p = u ? P::ICMP_UGT : P::ICMP_SGT; break;
    case Op::ge: p = u ? P::ICMP_UGE : P::ICMP_SGE; break;
    default: PIT_UNREACHABLE("{} is no comparison", name_of(op));
  }
  return ir.CreateICmp(p, a, b);
}

LV integer_binary(IR& ir, Op op, Scalar s, LV a, LV b) {
  const bool u = is_unsigned(s);
  switch (op) {
    case Op::add: return ir.CreateAdd(a, b);
    case Op::sub: return ir.CreateSub(a, b);
    case Op::mul: return ir.CreateMul(a, b);
    case Op::div:
    case Op::rem: return integer_divide(ir, op, s, a, b);
    case Op::min: return ir.CreateBinaryIntrinsic(u ? llvm::Intrinsic::umin : llvm::Intrinsic::smin, a, b);
    case Op::max: return ir.CreateBinaryIntrinsic(u ? llvm::Intrinsic::umax : llvm::Intrinsic::smax, a, b);
    case Op::bit_and: return ir.CreateAnd(a, b);
    case Op::bit_or: return ir.CreateOr(a, b);
    case Op::bit_xor: return ir.CreateXor(a, b);
    case Op::shl: return ir.CreateShl(a, b);
    case Op::lshr: return ir.CreateLShr(a, b);
    case Op::ashr: return ir.CreateAShr(a, b);
    default: return integer_compare(ir, op, u, a, b);
  }
}

/// Floats as integers, truncated and saturated, NaN as 0. LLVM's own operations for it are scalar code for x86, several
/// branches an element; here the number is clamped to what the integer has while it is a float, where floats have
/// these bounds.
LV saturated(IR& ir, Type from, Type to, LV v) {
  const bool narrow = bytes_of(to.scalar) == 1;  // vectors of 32 bits are converted, and cut
  const int digits = 8 * bytes_of(to.scalar) - (is_unsigned(to.scalar) ? 0 : 1);
  const double low = is_unsigned(to.scalar) ? 0 : -std::ldexp(1.0, digits), end = std::ldexp(1.0, digits);
  const auto number = [&](double x) { return llvm::ConstantFP::get(type_of(ir.getContext(), from), x); };
  llvm::Type* integer = type_of(ir.getContext(), narrow ? Type{Scalar::i32, to.lanes} : to);
  if (low != 0) v = ir.CreateSelect(ir.CreateFCmpUNO(v, v), number(0), v);
  LV clamped = ir.CreateSelect(ir.CreateFCmpOGT(v, number(low)), v, number(low));  // NaN too, to 0
  if (digits <= (from.scalar == Scalar::f64 ? 53 : 24)) {
    clamped = ir.CreateSelect(ir.CreateFCmpOLT(clamped, number(end - 1)), clamped, number(end - 1));
    LV whole = ir.CreateFPToSI(clamped, integer);
    return narrow ? ir.CreateTrunc(whole, type_of(ir.getContext(), to)) : whole;
  }
  LV beyond = ir.CreateFCmpOGE(clamped, number(end));
  LV whole = ir.CreateFPToSI(ir.CreateSelect(beyond, number(0), clamped), integer);
  const auto most = llvm::APInt::getSignedMaxValue(integer->getScalarSizeInBits());
  return ir.CreateSelect(beyond, llvm::ConstantInt::get(integer, most), whole);
}

}  // namespace

llvm::Type* type_of(llvm::LLVMContext& context, Type t) { return with_lanes(scalar_type(context, t.scalar), t.lanes); }

llvm::Type* memory_type_of(llvm::LLVMContext& context, Type t) {
  if (t.scalar == Scalar::i1) return with_lanes(llvm::Type::getInt8Ty(context), t.lanes);
  if (t.scalar == Scalar::f16) return with_lanes(llvm::Type::getInt16Ty(context), t.lanes);
  return type_of(context, t);
}

LV from_memory(IR& ir, Type t, LV v) {
  if (t.scalar == Scalar::i1) return ir.CreateICmpNE(v, llvm::Constant::getNullValue(v->getType()));
  if (t.scalar == Scalar::f16) return ir.CreateBitCast(v, type_of(ir.getContext(), t));
  return v;
}

LV to_memory(IR& ir, Type t, LV v) {
  if (t.scalar == Scalar::i1) return ir.CreateZExt(v, memory_type_of(ir.getContext(), t));
  if (t.scalar == Scalar::f16) return ir.CreateBitCast(v, memory_type_of(ir.getContext(), t));
  return v;
}

LV constant(llvm::LLVMContext& context, const ValueNode& v) {
  llvm::Type* t = type_of(context, v.type);
  if (!is_float(v.type.scalar)) return llvm::ConstantInt::get(t, static_cast<std::uint64_t>(v.integer), true);
  if (v.number != v.number) return llvm::ConstantFP::getNaN(t);
  return llvm::ConstantFP::get(t, v.type.scalar == Scalar::f32 ? static_cast<float>(v.number) : v.number);
}

LV iota(llvm::LLVMContext& context, Type t) {
  llvm::Type* scalar = scalar_type(context, t.scalar);
  if (t.lanes == 1) return llvm::ConstantInt::get(scalar, 0);
  llvm::SmallVector<llvm::Constant*, 64> lanes;
  for (int l = 0; l < t.lanes; ++l) lanes.push_back(llvm::ConstantInt::get(scalar, static_cast<std::uint64_t>(l)));
  return llvm::ConstantVector::get(lanes);
}

LV unary(IR& ir, Op op, Type t, LV a) {
  namespace in = llvm::Intrinsic;
  if (is_float(t.scalar)) {
    switch (op) {
      case Op::neg: return ir.CreateFNeg(a);
      case Op::abs: return ir.CreateUnaryIntrinsic(in::fabs, a);
      case Op::sqrt: return ir.CreateUnaryIntrinsic(in::sqrt, a);
      case Op::floor: return ir.CreateUnaryIntrinsic(in::floor, a);
      case Op::ceil: return ir.CreateUnaryIntrinsic(in::ceil, a);
      case Op::round_even: return ir.CreateUnaryIntrinsic(in::roundeven, a);
      default: break;
    }
  } else if (op == Op::neg) {
    return ir.CreateNeg(a);
  } else if (op == Op::abs) {
    return is_unsigned(t.scalar) ? a : ir.CreateBinaryIntrinsic(llvm::Intrinsic::abs, a, ir.getFalse());
  }
  PIT_UNREACHABLE("{} of {}", name_of(op), to_string(t));
}

LV binary(IR& ir, Op op, Type t, LV a, LV b) {
  return is_float(t.scalar) ? float_binary(ir, op, a, b) : integer_binary(ir, op, t.scalar, a, b);
}

LV fma(IR& ir, LV a, LV b, LV c) { return ir.CreateIntrinsic(llvm::Intrinsic::fma, {c->getType()}, {a, b, c}); }

namespace {

/// Bytes 0 and 2, or 1 and 3, of each lane as two integers of 16 bits.
LV pairs(IR& ir, LV v, bool odd, bool is_signed) {
  const unsigned lanes = llvm::cast<llvm::FixedVectorType>(v->getType())->getNumElements();
  llvm::Type* halves = llvm::FixedVectorType::get(ir.getInt16Ty(), 2 * lanes);
  v = ir.CreateBitCast(v, halves);
  LV eight = llvm::ConstantInt::get(halves, 8);
  if (!odd) v = ir.CreateShl(v, eight);
  return is_signed ? ir.CreateAShr(v, eight) : ir.CreateLShr(v, eight);
}

LV dot_of_scalars(IR& ir, LV a, LV b, LV c) {
  llvm::Type* t = c->getType();
  const auto number = [&](unsigned x) { return llvm::ConstantInt::get(t, x); };
  for (unsigned i = 0; i < 4; ++i) {
    LV x = ir.CreateAnd(ir.CreateLShr(a, number(8 * i)), number(255));
    LV y = ir.CreateAShr(ir.CreateShl(b, number(24 - 8 * i)), number(24));
    c = ir.CreateAdd(c, ir.CreateMul(x, y));
  }
  return c;
}

}  // namespace

/// One instruction with VNNI; else two sums of pairs of 16 bits, which hold any products of bytes. (The sums of pairs of
/// bytes that AVX2 has saturate.)
LV dot(IR& ir, const Features& features, int lanes, LV a, LV b, LV c) {
  namespace in = llvm::Intrinsic;
  if (lanes < 4 || lanes > 16 || 32 * lanes > features.vector_bits) return dot_of_scalars(ir, a, b, c);
  if (features.vnni) {
    const auto whole = lanes == 16  ? in::x86_avx512_vpdpbusd_512
                       : lanes == 8 ? in::x86_avx512_vpdpbusd_256
                                    : in::x86_avx512_vpdpbusd_128;
    return ir.CreateIntrinsic(whole, {}, {c, a, b});
  }
  const auto of_pairs = lanes == 16  ? in::x86_avx512_pmaddw_d_512
                        : lanes == 8 ? in::x86_avx2_pmadd_wd
                                     : in::x86_sse2_pmadd_wd;
  for (const bool odd : {false, true})
    c = ir.CreateAdd(c, ir.CreateIntrinsic(of_pairs, {}, {pairs(ir, a, odd, false), pairs(ir, b, odd, true)}));
  return c;
}

LV convert(IR& ir, Type from, Type to, LV v) {
  llvm::Type* t = type_of(ir.getContext(), to);
  if (is_float(from.scalar)) {
    if (is_float(to.scalar)) return ir.CreateFPCast(v, t);
    if (to.scalar == Scalar::i1) return ir.CreateFCmpUNE(v, llvm::Constant::getNullValue(v->getType()));
    return saturated(ir, from, to, v);
  }
  if (is_float(to.scalar)) return is_unsigned(from.scalar) ? ir.CreateUIToFP(v, t) : ir.CreateSIToFP(v, t);
  if (to.scalar == Scalar::i1) return ir.CreateICmpNE(v, llvm::Constant::getNullValue(v->getType()));
  return ir.CreateIntCast(v, t, !is_unsigned(from.scalar));
}

LV reduce(IR& ir, Op op, Type from, LV v) {
  if (from.scalar == Scalar::i1) {  // one test of the mask as an integer; equal to any tree of and / or
    LV bits = ir.CreateBitCast(v, ir.getIntNTy(static_cast<unsigned>(from.lanes)));
    return op == Op::reduce_or ? ir.CreateICmpNE(bits, llvm::Constant::getNullValue(bits->getType()))
                               : ir.CreateICmpEQ(bits, llvm::Constant::getAllOnesValue(bits->getType()));
  }
  for (int lanes = from.lanes; lanes > 1; lanes /= 2) {
    llvm::SmallVector<int, 64> low(static_cast<std::size_t>(lanes / 2)), high(low.size());
    std::iota(low.begin(), low.end(), 0);
    std::iota(high.begin(), high.end(), lanes / 2);
    v = binary(ir, fold_of(op), {from.scalar, lanes / 2}, ir.CreateShuffleVector(v, low),
               ir.CreateShuffleVector(v, high));
  }
  return from.lanes == 1 ? v : ir.CreateExtractElement(v, std::uint64_t{0});
}

LV lane_mask(IR& ir, int lanes, LV count) {
  // Clamped to 0..lanes first, so that the comparison needs 32 bits a lane and not 64.
  LV zero = ir.getInt64(0), most = ir.getInt64(static_cast<std::uint64_t>(lanes));
  count = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, count, zero);
  count = ir.CreateTrunc(ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, count, most), ir.getInt32Ty());
  if (lanes == 1) return ir.CreateICmpNE(count, ir.getInt32(0));
  return ir.CreateICmpULT(iota(ir.getContext(), {Scalar::i32, lanes}),
                          ir.CreateVectorSplat(static_cast<unsigned>(lanes), count));
}

}  // namespace pit::codegen::llvm_backend
