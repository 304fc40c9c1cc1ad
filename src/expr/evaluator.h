// Expressions compiled to closures over the values of the axes: the inner half of the interpreter.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "expr/expr.h"

namespace pit::expr {

/// A tensor as the interpreter sees it; `data` is contiguous and row-major.
struct Storage {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
};

/// The values of all axes, by AxisId.
using Point = const std::int64_t*;
using FloatFn = std::function<double(Point)>;      ///< f32, f64, f16 (rounded to the type)
using IntFn = std::function<std::int64_t(Point)>;  ///< integers (wrapped to the type) and bools

/// One of the two, by type.
struct Evaluator {
  DType dtype = DType::f32;
  FloatFn f;
  IntFn i;
};

/// Element offset, or -1 outside of the tensor (only where `refuse_outside` is false; else InputError).
using OffsetFn = std::function<std::int64_t(Point)>;

class Compiler {
 public:
  /// Everything referred to must outlive the evaluators.
  Compiler(const Program& p, const std::vector<Storage>& tensors, const std::vector<std::int64_t>& extents,
           const std::vector<double>& params)
      : p_(p), tensors_(tensors), extents_(extents), params_(params) {}

  /// `e` as a value of type `type`, which literals and parameters adapt to.
  Evaluator value(const Expr& e, DType type) const;
  /// Index expression, in i64.
  IntFn index(const Expr& e) const;
  OffsetFn offset(TensorId t, const std::vector<Expr>& indices, std::size_t rank, bool refuse_outside) const;

 private:
  Evaluator call(const Expr& e, DType type) const;
  Evaluator access(const Expr& e) const;
  Evaluator cast(const Expr& e) const;
  IntFn predicate(const Expr& e) const;
  IntFn integer_literal_or_param(double v, DType type) const;

  const Program& p_;
  const std::vector<Storage>& tensors_;
  const std::vector<std::int64_t>& extents_;
  const std::vector<double>& params_;
};

/// Reads and writes of single elements, by storage type.
double load_float(const Storage& s, std::int64_t offset);
std::int64_t load_int(const Storage& s, std::int64_t offset);
void store_float(const Storage& s, std::int64_t offset, double v);
void store_int(const Storage& s, std::int64_t offset, std::int64_t v);

}  // namespace pit::expr
