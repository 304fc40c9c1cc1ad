// Precedence of the infix operators, shared by the parser and the printer.
#pragma once

#include "expr/expr.h"

namespace pit::expr {

constexpr int kLoosest = 0, kUnary = 7, kTightest = 8;

struct Level {
  int precedence;
  bool associative;  ///< to the left; comparisons do not chain
};

inline Level level_of(Fn f) {
  switch (f) {
    case Fn::logical_or: return {1, true};
    case Fn::logical_xor: return {2, true};
    case Fn::logical_and: return {3, true};
    case Fn::eq:
    case Fn::ne:
    case Fn::lt:
    case Fn::le:
    case Fn::gt:
    case Fn::ge: return {4, false};
    case Fn::add:
    case Fn::sub: return {5, true};
    default: return {6, true};  // * / // %
  }
}

}  // namespace pit::expr
