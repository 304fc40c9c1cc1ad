#include "lower/algebra.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace pit::lower {
namespace {

/// What elements may be of: there are tiles for every algebra, of integers for sums of products.
constexpr ElementTypes kTypes[] = {ElementTypes::all(DType::f32), ElementTypes::all(DType::f64),
                                   ElementTypes::all(DType::i32), ElementTypes::quads()};

}  // namespace

using codegen::Builder;
using codegen::Op;
using codegen::Value;

std::string ElementTypes::name() const {
  if (*this == all(a)) return name_of(a);
  return fmt::format("{}_{}_{}_{}", name_of(a), name_of(b), name_of(accumulator), name_of(c));
}

ElementSizes Algebra::sizes() const {
  const auto size = [](DType t) { return static_cast<std::int64_t>(size_of(t)); };
  return {size(types.moved_a()), size(types.moved_b()), size(types.accumulator), size(types.c)};
}

std::string Algebra::name() const { return types == ElementTypes{} ? operation() : operation() + "_" + types.name(); }

std::string Algebra::operation() const {
  std::string combine(expr::info(combiner).text);
  combine.pop_back();
  if (combine == "+") combine = "sum";
  return combine + "_" + expr::info(product).name;
}

std::optional<std::string> refuse_algebra(const Algebra& a) {
  using expr::Combiner;
  using expr::Fn;
  if (std::find(std::begin(kTypes), std::end(kTypes), a.types) == std::end(kTypes))
    return fmt::format("no tile computes on elements of {}", a.types.name());
  if (!codegen::is_float(codegen::scalar_of(a.types.accumulator)) && !a.is_sum_of_products())
    return fmt::format("elements of {} are only multiplied and summed", a.types.name());
  const bool tropical =
      (a.combiner == Combiner::max || a.combiner == Combiner::min || a.combiner == Combiner::logsumexp) &&
      a.product == Fn::add;
  const bool bottleneck =
      (a.combiner == Combiner::max && a.product == Fn::min) || (a.combiner == Combiner::min && a.product == Fn::max);
  const bool boolean = a.combiner == Combiner::logical_or && a.product == Fn::logical_and;
  if (a.is_sum_of_products() || tropical || bottleneck || boolean) return std::nullopt;
  return fmt::format(
      "'{}' of '{}': the product has no annihilator that is the identity of the reduction, so nothing can be absent",
      expr::info(a.combiner).text, expr::info(a.product).name);
}

Value identity(const Algebra& a, codegen::Type type) {
  return codegen::is_float(type.scalar) ? Builder::f(a.identity(), type)
                                        : Builder::i(static_cast<std::int64_t>(a.identity()), type);
}

Value product(const Algebra& a, const Value& x, const Value& y) {
  switch (a.product) {
    case expr::Fn::mul: return Builder::binary(Op::mul, x, y);
    case expr::Fn::min:
    case expr::Fn::logical_and: return Builder::binary(Op::min, x, y);  // booleans are 0 and 1 here
    case expr::Fn::max: return Builder::binary(Op::max, x, y);
    default: return Builder::binary(Op::add, x, y);
  }
}

Value accumulated(const Algebra& a, const Value& x, const Value& y, const Value& acc) {
  switch (a.combiner) {
    case expr::Combiner::sum:
      if (a.types.steps() == 4) return Builder::dot(x, y, acc);
      if (!codegen::is_float(acc->type.scalar)) return Builder::binary(Op::add, acc, Builder::binary(Op::mul, x, y));
      return Builder::fma(x, y, acc);
    case expr::Combiner::min: return Builder::binary(Op::min, product(a, x, y), acc);
    default: return Builder::binary(Op::max, product(a, x, y), acc);
  }
}

}  // namespace pit::lower
