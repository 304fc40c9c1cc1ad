// The lines of a kernel's text: its arguments and statements.
#include "codegen/parse.h"

#include <unordered_map>
#include <utility>

#include "codegen/parse_value.h"
#include "codegen/verifier.h"

namespace pit::codegen {
namespace {

constexpr std::size_t kMaxBlocks = 100;  // inside each other

class KernelParser : public ValueParser {
 public:
  using ValueParser::ValueParser;

  Kernel run() {
    header();
    block(&kernel_.body, 1);
    if (next_line() != kNoLine)
      fail_at(at_, "expected the end of the text: a statement is indented by two blanks per block");
    declare_names();
    if (const auto violation = find_violation(kernel_)) {
      fail_at(violation->statement ? statements_.at(*violation->statement) : 0, violation->what);
    }
    return std::move(kernel_);
  }

 private:
  static constexpr std::size_t kNoLine = std::string_view::npos;

  // The name may hold any character but blanks, so the arguments begin at the last '(' of the line.
  void header() {
    expect("kernel ", "'kernel' and its name");
    blanks();
    const std::size_t open = text_.substr(0, text_.find('\n')).rfind('(');
    if (open == std::string_view::npos || open < at_) fail("a name and '(' with the arguments");
    kernel_.name = text_.substr(at_, open - at_);
    at_ = open + 1;
    while (!accept(")")) {
      if (!kernel_.ptrs.empty() || !kernel_.ints.empty()) expect(",", "',' or ')'");
      argument();
    }
    end_of_line();
  }

  void argument() {
    const std::string_view name = word("an argument or ')'");
    expect(":");
    blanks();
    if (kernel_.ints.empty() && accept_word("ptr")) {
      add_argument(name, Op::ptr_arg, static_cast<std::int64_t>(kernel_.ptrs.size()));
      kernel_.ptrs.push_back({std::string(name), accept_word("noalias")});
      return;
    }
    if (!accept_word("i64")) fail(kernel_.ints.empty() ? "ptr or i64" : "i64: pointers stand before integers");
    add_argument(name, Op::int_arg, static_cast<std::int64_t>(kernel_.ints.size()));
    kernel_.ints.push_back({std::string(name), false});
  }

  void end_of_line() {
    blanks();
    if (peek() != '\n' && at_ < text_.size()) fail("the end of the line");
    if (at_ < text_.size()) ++at_;
  }

  /// Skips empty lines; the indentation of the line that begins here.
  std::size_t next_line() {
    for (;;) {
      const std::size_t word = text_.find_first_not_of(' ', at_);
      if (word == std::string_view::npos) at_ = text_.size();
      if (at_ == text_.size()) return kNoLine;
      if (text_[word] != '\n') return word - at_;
      at_ = word + 1;
    }
  }

  void block(std::vector<Stmt>* body, std::size_t depth) {
    if (depth > kMaxBlocks) fail_at(at_, "blocks are nested too deeply");
    for (;;) {
      const std::size_t indentation = next_line();
      if (indentation == kNoLine || indentation < 2 * depth) return;
      at_ += indentation;
      if (indentation > 2 * depth) fail_at(at_, fmt::format("expected a statement, indented by {} blanks", 2 * depth));
      Stmt s = statement(depth);
      body->push_back(std::move(s));
    }
  }

  Stmt statement(std::size_t depth) {
    const std::size_t begin = at_;
    statements_.push_back(begin);
    begin_statement();
    const std::string_view w = word("a statement: let, var, store, scatter, prefetch, for, if or NAME.0 := VALUE");
    Stmt s;
    if (peek() == '.') {
      assignment(&s, w, begin);
    } else if (w == "let" || w == "var") {
      binding(&s, w == "let" ? StmtKind::let : StmtKind::var);
    } else if (w == "store" || w == "scatter") {
      write(&s, w == "store" ? StmtKind::store : StmtKind::scatter);
    } else if (w == "prefetch") {
      s.kind = StmtKind::prefetch;
      address(&s);
      end_of_line();
    } else if (w == "for") {
      loop(&s, depth);
    } else if (w == "if") {
      branch(&s, depth);
    } else {
      fail_at(begin, fmt::format("'{}' begins no statement", w));
    }
    return s;
  }

  void assignment(Stmt* s, std::string_view name, std::size_t begin) {
    s->kind = StmtKind::assign;
    s->name = name_used(name, begin);
    expect(":=");
    s->value = value();
    end_of_line();
  }

  /// NAME.3 where it is declared; without a type: an i64.
  Declaration declaration(int* number, bool typed) {
    blanks();
    Declaration d{.name = {}, .type = {Scalar::i64, 1}, .at = at_};
    d.name = word("a name");
    *number = name_number();
    if (typed) {
      expect(":");
      d.type = type();
    }
    expect("=");
    return d;
  }

  void declare(const Declaration& d, int number) {
    const auto [known, fresh] = declared_.emplace(number, d);
    if (!fresh) fail_at(d.at, fmt::format("{}.{} is declared twice", d.name, number));
  }

  void binding(Stmt* s, StmtKind kind) {
    s->kind = kind;
    const Declaration d = declaration(&s->name, true);
    s->value = value();
    declare(d, s->name);  // not a name yet in its own value
    end_of_line();
  }

  void address(Stmt* s) {
    expect("[");
    s->pointer = value();
    expect("+");
    s->bytes = value();
    expect("]");
  }

  void write(Stmt* s, StmtKind kind) {
    s->kind = kind;
    address(s);
    expect("=");
    s->value = value();
    if (accept_word("if")) s->mask = value();
    end_of_line();
  }

  void loop(Stmt* s, std::size_t depth) {
    s->kind = StmtKind::loop;
    const Declaration d = declaration(&s->name, false);
    s->begin = value();
    expect("..");
    s->end = value();
    if (!accept_word("step")) fail("'step'");
    s->step = value();
    declare(d, s->name);
    end_of_line();
    block(&s->body, depth + 1);
  }

  void branch(Stmt* s, std::size_t depth) {
    s->kind = StmtKind::branch;
    s->value = value();
    end_of_line();
    block(&s->body, depth + 1);
    if (next_line() != 2 * depth) return;
    const std::size_t line = at_, begin = line + 2 * depth;
    if (!accept_word("else") || peek() == '.') {  // which may be a name, with a number
      at_ = line;
      return;
    }
    end_of_line();
    block(&s->otherwise, depth + 1);
    if (s->otherwise.empty()) fail_at(begin, "expected a statement below 'else'");
  }

  void declare_names() {
    const std::size_t count = declared_.size();
    kernel_.names.resize(count);
    for (const auto& [i, d] : declared_) {
      if (static_cast<std::size_t>(i) >= count) {
        fail_at(d.at, fmt::format("{}.{}: {} names are numbered from 0 to {}", d.name, i, count, count - 1));
      }
      kernel_.names[static_cast<std::size_t>(i)] = {std::string(d.name), d.type};
    }
  }

  Kernel kernel_;
  std::vector<std::size_t> statements_;  // where they begin
};

}  // namespace

Kernel parse(std::string_view text) { return KernelParser(text).run(); }

}  // namespace pit::codegen
