#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "codegen/ops.h"
#include "support/check.h"

namespace pit::codegen {

constexpr const char* kScalars[] = {"f32", "f64", "f16", "i64", "i32", "i8", "u8", "i1", "ptr"};

int bytes_of(Scalar s) {
  switch (s) {
    case Scalar::f64:
    case Scalar::i64:
    case Scalar::ptr: return 8;
    case Scalar::f32:
    case Scalar::i32: return 4;
    case Scalar::f16: return 2;
    case Scalar::i8:
    case Scalar::u8:
    case Scalar::i1: return 1;
  }
  PIT_UNREACHABLE("bytes_of({})", static_cast<int>(s));
}

bool is_float(Scalar s) { return s == Scalar::f32 || s == Scalar::f64 || s == Scalar::f16; }
bool is_integer(Scalar s) { return s == Scalar::i64 || s == Scalar::i32 || s == Scalar::i8 || s == Scalar::u8; }
bool is_unsigned(Scalar s) { return s == Scalar::u8 || s == Scalar::i1; }

Scalar scalar_of(DType t) {
  switch (t) {
    case DType::f32: return Scalar::f32;
    case DType::f64: return Scalar::f64;
    case DType::f16: return Scalar::f16;
    case DType::i64: return Scalar::i64;
    case DType::i32: return Scalar::i32;
    case DType::i8: return Scalar::i8;
    case DType::u8: return Scalar::u8;
    case DType::b8: return Scalar::i8;
  }
  PIT_UNREACHABLE("scalar_of({})", static_cast<int>(t));
}

std::string to_string(Type t) {
  const char* const name = kScalars[static_cast<int>(t.scalar)];
  return t.lanes == 1 ? name : fmt::format("{}x{}", name, t.lanes);
}

const char* name_of(Op op) {
  static constexpr const char* names[] = {
      "ptr_arg",    "int_arg",    "constant",   "name",      "iota",      "add",     "sub",        "mul",
      "div",        "rem",        "min",        "max",       "neg",       "abs",     "sqrt",       "floor",
      "ceil",       "round_even", "fma",        "dot",       "bit_and",   "bit_or",  "bit_xor",    "shl",
      "lshr",       "ashr",       "eq",         "ne",        "lt",        "le",      "gt",         "ge",
      "select",     "convert",    "bitcast",    "splat",     "extract",   "shuffle", "reduce_add", "reduce_mul",
      "reduce_min", "reduce_max", "reduce_and", "reduce_or", "lane_mask", "offset",  "load",       "gather"};
  static_assert(sizeof(names) / sizeof(names[0]) == static_cast<std::size_t>(Op::gather) + 1);
  return names[static_cast<int>(op)];
}

const char* infix_of(Op op) {
  switch (op) {
    case Op::add: return "+";
    case Op::sub: return "-";
    case Op::mul: return "*";
    case Op::div: return "/";
    case Op::rem: return "%";
    case Op::bit_and: return "&";
    case Op::bit_or: return "|";
    case Op::bit_xor: return "^";
    case Op::shl: return "<<";
    case Op::eq: return "==";
    case Op::ne: return "!=";
    case Op::lt: return "<";
    case Op::le: return "<=";
    case Op::gt: return ">";
    case Op::ge: return ">=";
    default: return nullptr;
  }
}

std::optional<Op> op_named(std::string_view word) {
  static const std::unordered_map<std::string_view, Op> ops = [] {
    std::unordered_map<std::string_view, Op> named;
    for (int i = static_cast<int>(Op::iota); i <= static_cast<int>(Op::gather); ++i) {
      const Op op = static_cast<Op>(i);
      if (infix_of(op) == nullptr) named.emplace(name_of(op), op);
    }
    return named;
  }();
  const auto found = ops.find(word);
  return found == ops.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Type> type_named(std::string_view word) {
  const std::size_t x = word.find('x');
  Type t;
  if (x != std::string_view::npos) {
    const char* const end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data() + x + 1, end, t.lanes);
    if (error != std::errc() || stop != end || word[x + 1] == '-') return std::nullopt;
  }
  for (int i = 0; i <= static_cast<int>(Scalar::ptr); ++i) {
    t.scalar = static_cast<Scalar>(i);
    if (kScalars[i] == word.substr(0, x)) return t;
  }
  return std::nullopt;
}

double rounded(Scalar s, double v) {
  if (std::isnan(v)) return std::numeric_limits<double>::quiet_NaN();
  return s == Scalar::f64 ? v : static_cast<double>(static_cast<float>(v));
}

bool is_unary(Op op) { return op >= Op::neg && op <= Op::round_even; }
bool is_binary(Op op) { return (op >= Op::add && op <= Op::max) || (op >= Op::bit_and && op <= Op::ashr); }
bool is_compare(Op op) { return op >= Op::eq && op <= Op::ge; }
bool is_reduce(Op op) { return op >= Op::reduce_add && op <= Op::reduce_or; }

bool exists_for(Op op, Scalar s) {
  const bool floats = s == Scalar::f32 || s == Scalar::f64, ints = is_integer(s);
  switch (op) {
    case Op::add:
    case Op::sub:
    case Op::mul:
    case Op::div:
    case Op::min:
    case Op::max:
    case Op::neg:
    case Op::abs: return floats || ints;
    case Op::sqrt:
    case Op::floor:
    case Op::ceil:
    case Op::round_even:
    case Op::fma: return floats;
    case Op::dot: return s == Scalar::i32;
    case Op::rem:
    case Op::shl:
    case Op::lshr:
    case Op::ashr: return ints;
    case Op::bit_and:
    case Op::bit_or:
    case Op::bit_xor: return ints || s == Scalar::i1;
    case Op::eq:
    case Op::ne: return floats || ints || s == Scalar::i1;
    case Op::lt:
    case Op::le:
    case Op::gt:
    case Op::ge: return floats || ints;
    default: return false;
  }
}

Op fold_of(Op reduce) {
  switch (reduce) {
    case Op::reduce_add: return Op::add;
    case Op::reduce_mul: return Op::mul;
    case Op::reduce_min: return Op::min;
    case Op::reduce_max: return Op::max;
    case Op::reduce_and: return Op::bit_and;
    case Op::reduce_or: return Op::bit_or;
    default: PIT_UNREACHABLE("{} is not a reduction", name_of(reduce));
  }
}

}  // namespace pit::codegen
