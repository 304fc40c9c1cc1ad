// A program with every type decided: what the emitters of row kernels and of epilogues walk.
//
// Tensor expressions leave the types of literals, parameters and axis values to their surroundings, and name tensor
// elements by tensor and index. Here every node has one dtype, equal subexpressions are one node (so that a value is
// computed once per loop), an element is either an operand (memory) or the value of an earlier statement, and what a
// node varies with is known, which decides the loop level at which it is evaluated.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "expr/expr.h"

namespace pit::lower {

/// Thrown inside this folder when a program does not fit; the refuse_* functions turn it into their result.
struct Refusal {
  std::string why;
};

/// What a value varies with, besides the row.
enum Varies : unsigned { kRow = 0, kInner = 1, kMid = 2 };

struct TypedNode {
  enum Kind : std::uint8_t {
    constant,       ///< number / integer
    param,          ///< id
    axis,           ///< id: its coordinate
    extent,         ///< id
    operand,        ///< id; args are the lookups' index values, one per entry of `dims`
    statement,      ///< id: the value of that statement at the same place
    call,           ///< fn over args
    absorbing_add,  ///< (x, op): op <= -1e30 ? op : x + op; x may be undefined where op absorbs
  } kind = constant;
  DType type = DType::f32;
  expr::Fn fn = expr::Fn::add;
  int id = -1;
  double number = 0;
  std::int64_t integer = 0;
  std::vector<int> args;
  std::vector<int> dims;
  std::vector<char> from_end;  ///< per lookup: negative values count from the end
  bool has_default = false;    ///< operand (elements): the last of args is the value of a read outside
  unsigned varies = kRow;
};

/// How a client resolves what a program names.
struct Resolver {
  /// The operand behind an access of an input, or of an output that is not a statement's value at this place.
  std::function<int(const expr::Expr& access)> operand;
  /// Varies of an operand's affine part; of an axis.
  std::function<unsigned(int operand)> operand_varies;
  std::function<unsigned(expr::AxisId)> axis_varies;
  /// Operands get the indices of all dimensions as args, and their default behind them; else lookups' alone.
  bool elements = false;
};

/// The dimensions of an access whose index contains a lookup.
std::vector<int> lookup_dims(const expr::Expr& access);

class TypedProgram {
 public:
  /// Throws Refusal. `absorbing` is as in RowSpec (empty: none).
  TypedProgram(const expr::Program& program, const std::vector<int>& absorbing, const Resolver& resolver);

  const TypedNode& node(int id) const { return nodes_[id]; }
  int size() const { return static_cast<int>(nodes_.size()); }
  /// The node of statement s's right-hand side, in its tensor's type.
  int value(int s) const { return values_[s]; }
  DType type(int s) const;
  /// The node of an index on the left, as i64.
  int index(const expr::Expr& e);
  /// Statements that node `id` reads directly (not through other statements).
  std::vector<int> statements_below(int id) const;

 private:
  int build(const expr::Expr& e, DType want);
  int build_call(const expr::Expr& e, DType want);
  int build_access(const expr::Expr& e);
  int intern(TypedNode n);
  int as_type(int node, DType want);
  /// The type an expression has by itself; nothing for literals and their like, which adapt.
  std::optional<DType> own_type(const expr::Expr& e) const;
  DType common_type(const expr::Expr& a, const expr::Expr& b, DType fallback) const;

  const expr::Program& program_;
  const Resolver& resolver_;
  std::vector<TypedNode> nodes_;
  std::map<std::string, int> interned_;
  std::vector<int> values_;
  int current_ = 0;  ///< statement being built
};

}  // namespace pit::lower
