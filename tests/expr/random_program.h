// Random programs, valid by construction: a property's smallest counter-example is found by trying small seeds first.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "expr/expr.h"

namespace pit::testing {

/// Expressions over f32 tensors with indices of many forms. Axis extents are left to the caller.
class RandomProgram {
 public:
  explicit RandomProgram(unsigned seed) : random_(seed) {}

  /// Any syntax (for parse and print); not meant to be run.
  expr::Program any() {
    begin(4, 3, 2);
    const int statements = pick(1, 3);
    for (int s = 0; s < statements; ++s) {
      expr::Statement st;
      st.out = add_tensor("T" + std::to_string(s), expr::Role::temp, pick(0, 3));
      for (int d = 0; d < p_.tensors[static_cast<std::size_t>(st.out)].rank; ++d) st.out_index.push_back(index(1));
      st.combiner = static_cast<expr::Combiner>(pick(1, 4));  // += *= max= min=
      st.value = number(3);
      p_.statements.push_back(std::move(st));
      readable_.push_back(p_.statements.back().out);
    }
    p_.tensors.back().role = expr::Role::output;
    return p_;
  }

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

 private:
  void begin(int axes, int inputs, int params) {
    for (int a = 0; a < axes; ++a) p_.axes.push_back(std::string(1, static_cast<char>('i' + a)));
    for (int q = 0; q < params; ++q) p_.params.push_back("p" + std::to_string(q));
    for (int t = 0; t < inputs; ++t)
      readable_.push_back(add_tensor("X" + std::to_string(t), expr::Role::input, pick(0, 3)));
  }

  expr::TensorId add_tensor(const std::string& name, expr::Role role, int rank) {
    expr::TensorDecl decl;
    decl.name = name;
    decl.role = role;
    decl.rank = rank;
    p_.tensors.push_back(decl);
    return static_cast<expr::TensorId>(p_.tensors.size()) - 1;
  }

  expr::AxisId any_axis() { return pick(0, static_cast<int>(p_.axes.size()) - 1); }

  expr::Expr index(int depth) {
    if (depth > 0 && chance(10)) return expr::merge({expr::axis(any_axis()), expr::axis(any_axis())});
    return index_term(depth);
  }

  expr::Expr index_term(int depth) {
    if (depth == 0 || chance(50)) {
      switch (pick(0, 5)) {
        case 0: return expr::int_literal(pick(-3, 9));
        case 1: return expr::extent(any_axis());
        case 2: return expr::param(pick(0, static_cast<int>(p_.params.size()) - 1));
        default: return expr::axis(any_axis());
      }
    }
    if (chance(15)) return read(depth - 1, false);
    constexpr expr::Fn fns[] = {expr::Fn::add,      expr::Fn::sub, expr::Fn::mul,
                                expr::Fn::floordiv, expr::Fn::mod, expr::Fn::min};
    return expr::call(fns[pick(0, 5)], {index_term(depth - 1), index_term(depth - 1)});
  }

  expr::Expr read(int depth, bool may_default) {
    const expr::TensorId t = readable_[static_cast<std::size_t>(pick(0, static_cast<int>(readable_.size()) - 1))];
    std::vector<expr::Expr> indices;
    for (int d = 0; d < p_.tensors[static_cast<std::size_t>(t)].rank; ++d) indices.push_back(index(std::min(depth, 2)));
    return expr::access(t, std::move(indices), may_default && chance(20) ? number(std::max(depth - 1, 0)) : nullptr);
  }

  expr::Expr number(int depth) {
    using expr::Fn;
    if (depth == 0 || chance(25)) {
      switch (pick(0, 3)) {
        case 0: return expr::int_literal(pick(-5, 5));
        case 1:
          return expr::literal(
              std::vector<double>{0.5, -0.25, 1e-12, 3, -0.0, 1e300}[static_cast<std::size_t>(pick(0, 5))]);
        default: return read(depth, true);
      }
    }
    constexpr Fn binary[] = {Fn::add, Fn::sub, Fn::mul, Fn::div, Fn::floordiv, Fn::mod, Fn::pow, Fn::max};
    constexpr Fn unary[] = {Fn::neg, Fn::abs, Fn::exp, Fn::tanh, Fn::neg};
    switch (pick(0, 5)) {
      case 0: return expr::call(unary[pick(0, 4)], {number(depth - 1)});
      case 1: return expr::call(Fn::select, {boolean(depth - 1), number(depth - 1), number(depth - 1)});
      default: return expr::call(binary[pick(0, 7)], {number(depth - 1), number(depth - 1)});
    }
  }

  expr::Expr boolean(int depth) {
    using expr::Fn;
    if (depth == 0) return expr::bool_literal(chance(50));
    constexpr Fn logic[] = {Fn::logical_and, Fn::logical_or, Fn::logical_xor};
    constexpr Fn compare[] = {Fn::eq, Fn::ne, Fn::lt, Fn::le, Fn::gt, Fn::ge};
    switch (pick(0, 2)) {
      case 0: return expr::call(Fn::logical_not, {boolean(depth - 1)});
      case 1: return expr::call(logic[pick(0, 2)], {boolean(depth - 1), boolean(depth - 1)});
      default: return expr::call(compare[pick(0, 5)], {number(depth - 1), number(depth - 1)});
    }
  }

  std::mt19937 random_;
  expr::Program p_;
  std::vector<expr::TensorId> readable_;
};

}  // namespace pit::testing
