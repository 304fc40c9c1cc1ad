// Contractions as text: an einsum of two operands becomes a tensor expression; everything after sees only that.
#include <algorithm>
#include <cctype>
#include <fmt/format.h>

#include "api/contraction_impl.h"

namespace pit::api {
namespace {

[[noreturn]] void refuse(const std::string& text, const std::string& why) {
  throw InputError(fmt::format("\"{}\" is no contraction: {}", text, why), text);
}

std::string indices(const std::string& letters) {
  std::string list;
  for (const char c : letters) list += (list.empty() ? "" : ",") + std::string(1, c);
  return list;
}

/// "mk,kn->mn"; without an arrow, as in NumPy: what stands once, in alphabetical order.
std::string expression_of(const std::string& text) {
  std::string einsum;
  for (const char c : text)
    if (std::isspace(static_cast<unsigned char>(c)) == 0) einsum += c;
  const std::size_t arrow = einsum.find("->");
  const std::string left = einsum.substr(0, arrow);
  const auto operands = 1 + std::count(left.begin(), left.end(), ',');
  if (operands != 2) refuse(text, fmt::format("it has {} operand{}, not two", operands, operands == 1 ? "" : "s"));
  const std::string a = left.substr(0, left.find(',')), b = left.substr(left.find(',') + 1);
  std::string out;
  if (arrow != std::string::npos) {
    out = einsum.substr(arrow + 2);
  } else {
    out = a + b;
    std::sort(out.begin(), out.end());
    std::erase_if(out, [&](char c) { return std::count(left.begin(), left.end(), c) > 1; });
  }
  for (const char c : a + b + out)
    if (std::isalpha(static_cast<unsigned char>(c)) == 0)
      refuse(text, fmt::format("'{}' is no axis: an einsum has letters, a comma and \"->\", as \"mk,kn->mn\"", c));
  return fmt::format("C[{}] += A[{}] * B[{}]", indices(out), indices(a), indices(b));
}

}  // namespace

expr::Program contraction_program(const std::string& text) {
  const bool einsum = text.find('[') == std::string::npos;
  expr::Program program;
  try {
    program = expr::parse(einsum ? expression_of(text) : text);
  } catch (const InputError& e) {
    if (!e.op().empty()) throw;
    throw InputError(fmt::format("\"{}\": {}", text, e.what()), text);
  }
  if (program.statements.size() != 1) refuse(text, fmt::format("it has {} statements", program.statements.size()));
  return program;
}

}  // namespace pit::api
