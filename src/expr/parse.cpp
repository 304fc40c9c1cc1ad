// Recursive descent straight over the characters: '|' begins a default, closes an extent or is half of '||', depending
// on where it stands, so tokens are not worth having.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <string>

#include "expr/expr.h"
#include "expr/precedence.h"
#include "pit/error.h"
#include "support/text.h"

namespace pit::expr {
namespace {

constexpr int kMaxDepth = 500;  // deeper nesting is refused instead of overflowing the stack

struct Operator {
  const char* text;
  Fn fn;
};

// Longer ones first where one is the beginning of another.
constexpr Operator kOperators[] = {
    {"||", Fn::logical_or}, {"^^", Fn::logical_xor}, {"&&", Fn::logical_and}, {"==", Fn::eq}, {"!=", Fn::ne},
    {"<=", Fn::le},         {">=", Fn::ge},          {"<", Fn::lt},           {">", Fn::gt},  {"+", Fn::add},
    {"-", Fn::sub},         {"//", Fn::floordiv},    {"*", Fn::mul},          {"/", Fn::div}, {"%", Fn::mod},
};

struct CastName {
  const char* text;
  DType to;
};

constexpr CastName kCasts[] = {
    {"cast_f32", DType::f32}, {"cast_f64", DType::f64}, {"cast_f16", DType::f16}, {"cast_i64", DType::i64},
    {"cast_i32", DType::i32}, {"cast_i8", DType::i8},   {"cast_u8", DType::u8},   {"cast_bool", DType::b8},
};

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool reserved(std::string_view name) { return name == "true" || name == "false" || name == "inf" || name == "nan"; }

template <class List>
int index_of(List* names, std::string_view name) {
  const auto at = std::find(names->begin(), names->end(), name);
  if (at != names->end()) return static_cast<int>(at - names->begin());
  names->emplace_back(name);
  return static_cast<int>(names->size()) - 1;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Program run() {
    for (skip_blank(); at_ < text_.size(); skip_blank()) {
      if (peek() == ';') {
        ++at_;
        continue;
      }
      statement();
      skip_spaces();
      if (at_ < text_.size() && peek() != ';' && peek() != '\n') fail("an operator, ';' or the end of the line");
    }
    if (p_.statements.empty()) fail("a statement such as C[m,n] += A[m,k] * B[k,n]");
    return std::move(p_);
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  // Blanks and comments; line ends only where a statement cannot end.
  void skip(bool lines) {
    while (at_ < text_.size()) {
      const char c = peek();
      if (c == '#') {
        while (at_ < text_.size() && peek() != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r' || (c == '\n' && lines)) {
        ++at_;
      } else {
        return;
      }
    }
  }
  void skip_blank() { skip(true); }
  void skip_spaces() { skip(nested_ > 0); }

  [[noreturn]] void fail_at(std::size_t at, const std::string& message) const {
    throw InputError(point_at(text_, at, message));
  }

  [[noreturn]] void fail(const std::string& expected) const {
    if (at_ >= text_.size()) {
      // Point behind the last word, not at the line after it.
      const std::size_t last = text_.find_last_not_of(" \t\r\n");
      fail_at(last == std::string_view::npos ? 0 : last + 1, "expected " + expected + ", found the end of the text");
    }
    if (peek() == '\n') fail_at(at_, "expected " + expected + ", found the end of the line");
    fail_at(at_, fmt::format("expected {}, found '{}'", expected, peek()));
  }

  bool accept(std::string_view token) {
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }

  void expect(char c, const std::string& what) {
    skip_spaces();
    if (peek() != c) fail(what);
    ++at_;
  }

  std::string_view identifier(const std::string& what) {
    if (!letter(peek())) fail(what);
    const std::size_t begin = at_;
    while (letter(peek()) || digit(peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  void statement() {
    const std::size_t begin = at_;
    const std::string_view name = identifier("the tensor that a statement writes");
    if (peek() != '[') fail("'[' after the tensor's name");
    if (reserved(name)) fail_at(begin, fmt::format("'{}' is a literal and cannot name a tensor", name));
    Statement s;
    bool has_default = false;
    s.out = tensor(name);
    s.out_index = indices(&has_default);
    if (has_default) fail_at(begin, "a default ('| value') belongs to reads, not to the left side");
    note_rank(s.out, s.out_index.size(), begin);
    skip_spaces();
    s.combiner = combiner();
    skip_blank();
    s.value = expression(kLoosest + 1);
    p_.statements.push_back(std::move(s));
  }

  Combiner combiner() {
    for (int c = static_cast<int>(Combiner::last); c >= 0; --c) {
      const std::string_view text = info(static_cast<Combiner>(c)).text;
      if (text == "=" && peek(1) == '=') continue;
      if (accept(text)) return static_cast<Combiner>(c);
    }
    fail("a combiner: = += *= max= min= and= or= logsumexp= last=");
  }

  // '[' index, ... [ '|' default ] ']'
  std::vector<Expr> indices(bool* has_default) {
    ++at_;  // '['
    ++nested_;
    std::vector<Expr> args;
    *has_default = false;
    skip_spaces();
    if (peek() != ']' && peek() != '|') {
      args.push_back(index());
      for (skip_spaces(); accept(","); skip_spaces()) args.push_back(index());
    } else if (peek() == '|' && extent_ahead()) {
      args.push_back(index());
      for (skip_spaces(); accept(","); skip_spaces()) args.push_back(index());
    }
    if (accept("|")) {
      *has_default = true;
      args.push_back(expression(kLoosest + 1));
    }
    expect(']', *has_default ? "']' after the default" : "',', '|' or ']' after an index");
    --nested_;
    return args;
  }

  // Whether "|name|" stands here; otherwise '|' begins a default.
  bool extent_ahead() const {
    std::size_t i = at_ + 1;
    if (i >= text_.size() || !letter(text_[i])) return false;
    while (i < text_.size() && (letter(text_[i]) || digit(text_[i]))) ++i;
    return i < text_.size() && text_[i] == '|';
  }

  Expr index() {
    skip_spaces();
    const std::size_t begin = at_;
    Expr first = expression(kLoosest + 1);
    skip_spaces();
    if (peek() != ':') return first;
    std::vector<Expr> parts{first};
    while (accept(":")) {
      parts.push_back(expression(kLoosest + 1));
      skip_spaces();
    }
    for (const Expr& part : parts) {
      if (!bare_axis(part)) fail_at(begin, "a merged index a:b:c consists of axes only");
    }
    return merge(std::move(parts));
  }

  const Operator* operator_here() const {
    for (const Operator& op : kOperators) {
      if (text_.substr(at_, std::string_view(op.text).size()) == op.text) return &op;
    }
    return nullptr;
  }

  // Precedence climbing.
  Expr expression(int least) {
    Expr left = unary();
    for (;;) {
      skip_spaces();
      const Operator* op = operator_here();
      if (op == nullptr) return left;
      const Level level = level_of(op->fn);
      if (level.precedence < least) return left;
      at_ += std::string_view(op->text).size();
      skip_blank();
      left = call(op->fn, {std::move(left), expression(level.precedence + 1)});
      if (level.associative) continue;
      skip_spaces();
      const Operator* next = operator_here();
      if (next != nullptr && level_of(next->fn).precedence == level.precedence) {
        fail_at(at_, "comparisons do not chain; write (a < b) && (b < c)");
      }
    }
  }

  Expr unary() {
    if (++depth_ > kMaxDepth) fail_at(at_, "the expression is nested too deeply");
    skip_spaces();
    Expr e;
    if (peek() == '-') {
      const bool number_follows = digit(peek(1)) || (peek(1) == '.' && digit(peek(2)));
      const bool named = literal_name_at(at_ + 1);
      ++at_;
      e = number_follows || named ? number(true) : call(Fn::neg, {unary()});
    } else if (peek() == '!') {
      ++at_;
      e = call(Fn::logical_not, {unary()});
    } else {
      e = primary();
    }
    --depth_;
    return e;
  }

  // "inf" or "nan" as a whole word.
  bool literal_name_at(std::size_t at) const {
    const std::string_view word = text_.substr(std::min(at, text_.size()), 3);
    if (word != "inf" && word != "nan") return false;
    const char next = at + 3 < text_.size() ? text_[at + 3] : '\0';
    return !letter(next) && !digit(next) && next != '[' && next != '(';
  }

  Expr number(bool negative) {
    if (letter(peek())) {
      const double v =
          peek() == 'i' ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
      at_ += 3;
      return literal(negative ? -v : v);
    }
    const std::size_t begin = at_;
    const char *from = text_.data() + at_, *end = text_.data() + text_.size();
    double v = 0;
    const auto real = std::from_chars(from, end, v);
    at_ = static_cast<std::size_t>(real.ptr - text_.data());
    if (real.ec != std::errc() || letter(peek())) fail_at(begin, "this is not a number that can be represented");
    const bool integer = text_.substr(begin, at_ - begin).find_first_of(".eE") == std::string_view::npos;
    if (!integer) return literal(negative ? -v : v);
    std::int64_t i = 0;
    if (std::from_chars(from, real.ptr, i).ec != std::errc() || i > (std::int64_t{1} << 53)) {
      fail_at(begin, "integers beyond 2^53 cannot be written exactly");
    }
    return int_literal(negative ? -i : i);
  }

  Expr primary() {
    skip_spaces();
    const char c = peek();
    if (digit(c) || (c == '.' && digit(peek(1))) || literal_name_at(at_)) return number(false);
    if (c == '(') {
      ++at_;
      ++nested_;
      Expr e = expression(kLoosest + 1);
      expect(')', "')' or an operator");
      --nested_;
      return e;
    }
    if (c == '|') {
      ++at_;
      const std::string_view name = identifier("an axis between '|' and '|' (its extent)");
      if (peek() != '|') fail("'|' after the axis (its extent is |axis|)");
      ++at_;
      return extent(index_of(&p_.axes, name));
    }
    if (c == '$') {
      ++at_;
      return param(index_of(&p_.params, identifier("the name of a parameter after '$'")));
    }
    const std::size_t begin = at_;
    const std::string_view name =
        identifier("an operand: a tensor T[...], an axis, a number, $parameter, |axis|, a function or '('");
    if (peek() == '[') return read(name, begin);
    if (peek() == '(') return function(name, begin);
    if (name == "true" || name == "false") return bool_literal(name == "true");
    return axis(index_of(&p_.axes, name));
  }

  Expr read(std::string_view name, std::size_t begin) {
    if (reserved(name)) fail_at(begin, fmt::format("'{}' is a literal and cannot name a tensor", name));
    const TensorId t = tensor(name);
    bool has_default = false;
    std::vector<Expr> args = indices(&has_default);
    note_rank(t, args.size() - (has_default ? 1 : 0), begin);
    Expr outside = has_default ? args.back() : nullptr;
    if (has_default) args.pop_back();
    return access(t, std::move(args), std::move(outside));
  }

  Expr function(std::string_view name, std::size_t begin) {
    std::optional<DType> to;
    int found = -1;
    for (const CastName& c : kCasts) {
      if (name == c.text) to = c.to;
    }
    if (name == "cast_b8") to = DType::b8;
    for (int f = 0; f <= static_cast<int>(Fn::select); ++f) {
      if (!info(static_cast<Fn>(f)).infix && name == info(static_cast<Fn>(f)).name) found = f;
    }
    if (name == "mod") found = static_cast<int>(Fn::mod);
    if (!to && found < 0) fail_at(begin, fmt::format("unknown function '{}'; there are: {}", name, function_names()));
    ++at_;  // '('
    ++nested_;
    std::vector<Expr> args{expression(kLoosest + 1)};
    for (skip_spaces(); accept(","); skip_spaces()) args.push_back(expression(kLoosest + 1));
    expect(')', "',' or ')' after an argument");
    --nested_;
    const int arity = to ? 1 : info(static_cast<Fn>(found)).arity;
    if (static_cast<int>(args.size()) != arity) {
      fail_at(begin, fmt::format("{} takes {} argument{}, not {}", name, arity, arity == 1 ? "" : "s", args.size()));
    }
    return to ? cast(*to, std::move(args[0])) : call(static_cast<Fn>(found), std::move(args));
  }

  static std::string function_names() {
    std::string names = "mod";
    for (int f = 0; f <= static_cast<int>(Fn::select); ++f) {
      if (!info(static_cast<Fn>(f)).infix) names += std::string(" ") + info(static_cast<Fn>(f)).name;
    }
    for (const CastName& c : kCasts) names += std::string(" ") + c.text;
    return names;
  }

  TensorId tensor(std::string_view name) {
    TensorId t = p_.tensor(name);
    if (t >= 0) return t;
    TensorDecl decl;
    decl.name = std::string(name);
    decl.rank = -1;  // set by the access that is being read
    p_.tensors.push_back(std::move(decl));
    return static_cast<TensorId>(p_.tensors.size()) - 1;
  }

  void note_rank(TensorId t, std::size_t rank, std::size_t begin) {
    TensorDecl& decl = p_.tensors[static_cast<std::size_t>(t)];
    if (decl.rank < 0) decl.rank = static_cast<int>(rank);
    if (decl.rank == static_cast<int>(rank)) return;
    fail_at(begin, fmt::format("{} has {} indices here and {} elsewhere", decl.name, rank, decl.rank));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int nested_ = 0;  // inside brackets or parentheses: the line may end
  int depth_ = 0;
  Program p_;
};

}  // namespace

Program parse(std::string_view text, const std::vector<std::string>& outputs) {
  Program p = Parser(text).run();
  for (const Statement& s : p.statements) p.tensors[static_cast<std::size_t>(s.out)].role = Role::temp;
  if (outputs.empty()) p.tensors[static_cast<std::size_t>(p.statements.back().out)].role = Role::output;
  for (const std::string& name : outputs) {
    const TensorId t = p.tensor(name);
    if (t < 0 || p.tensors[static_cast<std::size_t>(t)].role == Role::input) {
      throw InputError(fmt::format("output '{}' is written by no statement of: {}", name, print(p)), {}, name);
    }
    p.tensors[static_cast<std::size_t>(t)].role = Role::output;
  }
  if (const auto violation = verify(p)) throw InputError(*violation);
  return p;
}

}  // namespace pit::expr
