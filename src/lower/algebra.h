// The algebra of a contraction: what it sums and what it multiplies with.
#pragma once

#include <optional>
#include <string>

#include "codegen/kernel_ir.h"
#include "expr/expr.h"

namespace pit::lower {

/// Of what type a contraction's elements are, where they lie in memory (packed, too), and its sums in registers.
struct ElementTypes {
  DType a = DType::f32, b = DType::f32, accumulator = DType::f32, c = DType::f32;
  auto operator<=>(const ElementTypes&) const = default;
  static constexpr ElementTypes all(DType t) { return {t, t, t, t}; }
  /// Integers of 8 bits, A's unsigned and B's signed, summed exactly in 32. Four steps of k make an element.
  static constexpr ElementTypes quads() { return {DType::u8, DType::i8, DType::i32, DType::i32}; }
  /// Steps of k in an element of A and B, as they are packed and multiplied.
  int steps() const { return *this == quads() ? 4 : 1; }
  /// What such elements are moved as.
  DType moved_a() const { return steps() == 1 ? a : DType::i32; }
  DType moved_b() const { return steps() == 1 ? b : DType::i32; }
  std::string name() const;  ///< "f32" where all are the same, else all four
};

/// Bytes of one element of each; of A and B with all its steps of k.
struct ElementSizes {
  std::int64_t a = 0, b = 0, accumulator = 0, c = 0;
};

/// What a contraction sums and multiplies with: `C combine= product(A, B)`. Two functions of the expression language
/// that a tile can emit, and types that it can emit them for; its identity and its absent element follow.
struct Algebra {
  expr::Combiner combiner = expr::Combiner::sum;
  expr::Fn product = expr::Fn::mul;
  ElementTypes types = {};
  bool operator==(const Algebra&) const = default;
  ElementSizes sizes() const;
  bool is_sum_of_products() const { return combiner == expr::Combiner::sum && product == expr::Fn::mul; }
  /// Whether partial results may wait in C between k-blocks. logsumexp needs all of k at once: first its maximum,
  /// then the sum.
  bool splits_k() const { return combiner != expr::Combiner::logsumexp; }
  /// An empty reduction.
  double identity() const { return expr::info(combiner).identity; }
  /// The annihilator of the product: a step of k with it is the identity. Requires !refuse_algebra.
  double absent() const { return is_sum_of_products() || combiner == expr::Combiner::logical_or ? 0 : identity(); }
  std::string operation() const;  ///< "sum_mul", "max_add", ...
  std::string name() const;       ///< the same, and the types where they are not all f32: "max_add_f64"
};

/// Why no tile can be generated for it (no annihilator, so nothing could be absent; not emitted; types that tiles do not
/// have), or nothing.
std::optional<std::string> refuse_algebra(const Algebra& a);

/// The identity, as a value of `type`.
codegen::Value identity(const Algebra& a, codegen::Type type);

/// combine(acc, product(x, y)): one fused multiply-add for sums of products (of integers: exact, modulo 2^32; of quads:
/// all steps of the two elements). logsumexp: its first walk, the maximum.
codegen::Value accumulated(const Algebra& a, const codegen::Value& x, const codegen::Value& y,
                           const codegen::Value& acc);
/// product(x, y) alone.
codegen::Value product(const Algebra& a, const codegen::Value& x, const codegen::Value& y);

}  // namespace pit::lower
