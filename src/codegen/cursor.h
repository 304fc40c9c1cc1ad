// A text and the place in it that a parser is at.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

#include "codegen/ops.h"
#include "pit/error.h"
#include "support/text.h"

namespace pit::codegen {

inline bool digit(char c) { return c >= '0' && c <= '9'; }
inline bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/// The text and the place in it.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

 protected:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void blanks() {
    while (peek() == ' ') ++at_;
  }

  [[noreturn]] void fail_at(std::size_t at, const std::string& message) const {
    throw InputError(point_at(text_, at, message));
  }
  [[noreturn]] void fail(std::string_view expected) const {
    const std::string found = at_ >= text_.size() ? "the end of the text"
                              : peek() == '\n'    ? "the end of the line"
                                                  : fmt::format("'{}'", peek());
    fail_at(at_, fmt::format("expected {}, found {}", expected, found));
  }

  bool accept(std::string_view token) {
    blanks();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token, std::string_view what) {
    if (!accept(token)) fail(what);
  }
  void expect(std::string_view token) { expect(token, fmt::format("'{}'", token)); }

  bool accept_word(std::string_view word) {
    blanks();
    if (text_.substr(at_, word.size()) != word || letter(peek(word.size())) || digit(peek(word.size()))) return false;
    at_ += word.size();
    return true;
  }
  std::string_view word(std::string_view what) {
    blanks();
    if (!letter(peek())) fail(what);
    const std::size_t begin = at_;
    while (letter(peek()) || digit(peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  template <class T>
  T number(std::string_view what) {
    blanks();
    if (!digit(peek()) && !(peek() == '-' && digit(peek(1)))) fail(what);
    T v{};
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), v);
    if (error != std::errc()) fail_at(at_, "this number is out of range");
    at_ = static_cast<std::size_t>(end - text_.data());
    return v;
  }

  Type type() {
    blanks();
    const std::size_t begin = at_;
    const std::optional<Type> t = type_named(word("a type"));
    if (!t) fail_at(begin, "expected a type: f32 f64 f16 i64 i32 i8 u8 i1 ptr, with lanes f32x8");
    return *t;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace pit::codegen
