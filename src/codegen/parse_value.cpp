// Recursive descent straight over the characters, as in expr/parse.cpp. Types of operations follow from their operands;
// whether they fit is for the verifier to say.
#include "codegen/parse_value.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "codegen/ops.h"

namespace pit::codegen {
namespace {

constexpr int kMaxDepth = 500;  // of values, short forms followed

}  // namespace

void ValueParser::add_argument(std::string_view name, Op op, std::int64_t index) {
  const Type t{op == Op::ptr_arg ? Scalar::ptr : Scalar::i64, 1};
  arguments_.emplace(name, leaf(op, t, index).value);  // the verifier refuses a second one
}

int ValueParser::name_number() {
  expect(".", "'.' and the number of a name");
  if (!digit(peek())) fail("the number of a name");
  return number<int>("the number of a name");
}

int ValueParser::name_used(std::string_view name, std::size_t begin) {
  const int i = name_number();
  const auto known = declared_.find(i);
  if (known == declared_.end()) fail_at(begin, fmt::format("{}.{} is declared nowhere above", name, i));
  if (known->second.name != name)
    fail_at(begin, fmt::format("{}.{} is declared as {}.{}", name, i, known->second.name, i));
  return i;
}

Operand ValueParser::operand() {
  blanks();
  if (++depth_ > kMaxDepth) fail_at(at_, "the value is nested too deeply");
  Operand result = peek() == '@' ? marked() : letter(peek()) ? worded() : peek() == '(' ? infix() : integer();
  --depth_;
  return result;
}

Operand ValueParser::leaf(Op op, Type t, std::int64_t integer, double number) {
  ValueNode n;
  n.op = op;
  n.type = t;
  n.integer = integer;
  n.number = number;
  return {sharer_.make(std::move(n)), 1};
}

Operand ValueParser::node(Op op, Type t, std::vector<Operand> args, std::int64_t integer, std::vector<int> lanes_map) {
  ValueNode n;
  n.op = op;
  n.type = t;
  n.integer = integer;
  n.lanes_map = std::move(lanes_map);
  int depth = 0;
  for (Operand& a : args) {
    depth = std::max(depth, a.depth);
    n.args.push_back(std::move(a.value));
  }
  if (depth >= kMaxDepth) fail_at(at_, "the value is nested too deeply");
  return {sharer_.make(std::move(n)), depth + 1};
}

Operand ValueParser::integer() {
  constexpr std::string_view what =
      "an operand: an argument, a name, a number, an operation, a constant such as f32x8(0.5) or '('";
  return leaf(Op::constant, {Scalar::i64, 1}, number<std::int64_t>(what));
}

Operand ValueParser::marked() {
  const std::size_t begin = at_++;
  if (!digit(peek())) fail("the number of a short form");
  const auto i = number<std::size_t>("the number of a short form");
  if (peek() != '=' || peek(1) == '=') {
    if (i < 1 || i > marks_.size() || !marks_[i - 1].value) fail_at(begin, fmt::format("@{} is not defined yet", i));
    return marks_[i - 1];
  }
  ++at_;
  if (i != marks_.size() + 1) fail_at(begin, fmt::format("expected @{}=, the next short form", marks_.size() + 1));
  marks_.emplace_back();
  Operand v = operand();  // others may come to marks_ in it
  marks_[i - 1] = v;
  return v;
}

Operand ValueParser::infix() {
  expect("(");
  Operand a = operand();
  blanks();
  const Op op = infix_operator();
  Operand b = operand();
  expect(")");
  const Type t = is_compare(op) ? Type{Scalar::i1, a.type().lanes} : a.type();
  return node(op, t, {std::move(a), std::move(b)});
}

Op ValueParser::infix_operator() {
  std::optional<Op> longest;
  std::size_t length = 0;
  for (int i = 0; i <= static_cast<int>(Op::gather); ++i) {
    const char* const text = infix_of(static_cast<Op>(i));
    if (text == nullptr || !text_.substr(at_).starts_with(text) || std::string_view(text).size() <= length) continue;
    longest = static_cast<Op>(i);
    length = std::string_view(text).size();
  }
  if (!longest) fail("an operator");
  at_ += length;
  return *longest;
}

Operand ValueParser::worded() {
  const std::size_t begin = at_;
  const std::string_view w = word("an operand");
  if (peek() == '.' && digit(peek(1))) {
    const int i = name_used(w, begin);
    return leaf(Op::name, declared_.at(i).type, i);
  }
  if (const auto op = op_named(w)) return operation(*op);
  if (const auto t = type_named(w)) return constant(*t);
  const auto argument = arguments_.find(w);
  if (argument == arguments_.end()) fail_at(begin, fmt::format("'{}' is no argument, operation or type", w));
  return {argument->second, 1};
}

Operand ValueParser::constant(Type t) {
  std::int64_t integer = 0;
  double real = 0;
  expect("(");
  if (!is_float(t.scalar)) integer = number<std::int64_t>("an integer");
  else real = floating(t.scalar);
  expect(")");
  return leaf(Op::constant, t, integer, real);
}

double ValueParser::floating(Scalar s) {
  if (accept_word("nan")) return std::numeric_limits<double>::quiet_NaN();
  if (accept_word("inf")) return std::numeric_limits<double>::infinity();
  if (accept("-inf")) return -std::numeric_limits<double>::infinity();
  if (s == Scalar::f64) return number<double>("a number, inf or nan");
  return static_cast<double>(number<float>("a number, inf or nan"));  // one rounding, from decimal to f32
}

Operand ValueParser::operation(Op op) {
  switch (op) {
    case Op::iota: return leaf(op, type());
    case Op::load:
    case Op::gather: return read(op);
    case Op::convert:
    case Op::bitcast: {
      const Type t = type();
      return node(op, t, operands(1));
    }
    case Op::splat:
    case Op::lane_mask: return widened(op);
    case Op::extract: {
      const auto lane = number<std::int64_t>("a lane");
      std::vector<Operand> args = operands(1);
      const Type t{args[0].type().scalar, 1};
      return node(op, t, std::move(args), lane);
    }
    case Op::shuffle: return shuffle();
    default: break;
  }
  const bool three = op == Op::fma || op == Op::dot || op == Op::select;
  std::vector<Operand> args = operands(three ? 3 : is_unary(op) || is_reduce(op) ? 1 : 2);
  Type t = args[op == Op::select ? 1 : 0].type();
  if (is_reduce(op)) t.lanes = 1;
  return node(op, t, std::move(args));
}

std::vector<Operand> ValueParser::operands(int count) {
  std::vector<Operand> args;
  expect("(");
  for (int i = 0; i < count; ++i) {
    if (i > 0) expect(",", fmt::format("',' (the operation takes {} operands)", count));
    args.push_back(operand());
  }
  expect(")", count == 1 ? "')'" : fmt::format("')' (the operation takes {} operands)", count));
  return args;
}

Operand ValueParser::read(Op op) {
  const Type t = type();
  std::vector<Operand> args;
  expect("[");
  args.push_back(operand());
  expect("+");
  args.push_back(operand());
  if (accept_word("if")) args.push_back(operand());
  expect("]");
  return node(op, t, std::move(args));
}

Operand ValueParser::widened(Op op) {
  expect("x", "'x' and a number of lanes");
  const int lanes = number<int>("a number of lanes");
  std::vector<Operand> args = operands(1);
  const Type t{op == Op::splat ? args[0].type().scalar : Scalar::i1, lanes};
  return node(op, t, std::move(args));
}

Operand ValueParser::shuffle() {
  std::vector<int> map;
  expect("[");
  while (!accept("]")) map.push_back(number<int>("a lane or ']'"));
  std::vector<Operand> args = operands(2);
  const Type t{args[0].type().scalar, static_cast<int>(map.size())};
  return node(Op::shuffle, t, std::move(args), 0, std::move(map));
}

}  // namespace pit::codegen
