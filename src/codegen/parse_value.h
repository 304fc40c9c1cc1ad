// Values of the text form; parse.h has the grammar.
#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "codegen/cursor.h"
#include "codegen/kernel_ir.h"
#include "codegen/share.h"

namespace pit::codegen {

/// A value and how deep its tree is: the code that walks kernels is recursive.
struct Operand {
  Value value;
  int depth = 0;
  const Type& type() const { return value->type; }
};

class ValueParser : public Cursor {
 protected:
  using Cursor::Cursor;

  void add_argument(std::string_view name, Op op, std::int64_t index);
  int name_number();                                        ///< of NAME.3, after its first word
  int name_used(std::string_view name, std::size_t begin);  ///< its number; it is declared
  void begin_statement() { marks_.clear(); }                ///< short forms end with their statement
  Value value() { return operand().value; }

  struct Declaration {
    std::string_view name;
    Type type;
    std::size_t at;
  };
  std::unordered_map<int, Declaration> declared_;

 private:
  Operand operand();
  Operand integer();
  Operand marked();  ///< @1 or @1=VALUE
  Operand infix();
  Op infix_operator();
  Operand worded();  ///< what begins with a letter
  Operand constant(Type t);
  double floating(Scalar s);
  Operand operation(Op op);
  std::vector<Operand> operands(int count);
  Operand read(Op op);
  Operand widened(Op op);
  Operand shuffle();

  Operand leaf(Op op, Type t, std::int64_t integer = 0, double number = 0);
  Operand node(Op op, Type t, std::vector<Operand> args, std::int64_t integer = 0, std::vector<int> lanes_map = {});

  Sharer sharer_;
  std::unordered_map<std::string_view, Value> arguments_;
  std::vector<Operand> marks_;  // @1 first; null while it is being read
  int depth_ = 0;
};

}  // namespace pit::codegen
