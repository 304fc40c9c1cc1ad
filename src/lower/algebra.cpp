#include "lower/algebra.h"

#include <fmt/format.h>

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Value;

std::string Algebra::name() const {
  std::string combine(expr::info(combiner).text);
  combine.pop_back();
  if (combine == "+") combine = "sum";
  return combine + "_" + expr::info(product).name;
}

std::optional<std::string> refuse_algebra(const Algebra& a) {
  using expr::Combiner;
  using expr::Fn;
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
    case expr::Combiner::sum: return Builder::fma(x, y, acc);
    case expr::Combiner::min: return Builder::binary(Op::min, product(a, x, y), acc);
    default: return Builder::binary(Op::max, product(a, x, y), acc);
  }
}

}  // namespace pit::lower
