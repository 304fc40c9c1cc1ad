// The op set for people and scripts: every operator's expression, and what the rules derive from it.
#include <fmt/format.h>

#include "api/describe.h"
#include "api/text.h"
#include "graph/opset.h"
#include "pit/model.h"

namespace pit {
namespace {

using api::Json;

std::string ops_json(const std::vector<graph::OpEntry>& entries) {
  Json list = Json::array();
  for (const graph::OpEntry& e : entries) {
    const auto rules = rules::infer(e.example);
    list.push_back({{"op", e.op},
                    {"expression", e.expression},
                    {"example", expr::print(e.example)},
                    {"axes", api::axes_json(e.example, rules)},
                    {"opaque", e.opaque},
                    {"operands", e.operands},
                    {"attributes", e.attributes}});
  }
  return api::dump(list);
}

std::string ops_text(const std::vector<graph::OpEntry>& entries) {
  std::size_t column = 0;
  for (const graph::OpEntry& e : entries) column = std::max(column, e.op.size() + 2);
  std::string text = fmt::format(
      "{} operators of ONNX opsets up to {}. What an axis is, is derived from the expression:\n"
      "  permutable      data along it may be gathered and scattered in any order: a PIT axis\n"
      "  iteration only  it may be walked in any order, but addresses must be computed\n"
      "  refused         neither, for the reason given\n"
      "'name...' in an expression stands for as many indices as an operator's operands have; axes are those of the "
      "instance after it.\n"
      "Operands are name:types:rank, ? may be left out, * any number; types are f floating point, i integers, n i32 or "
      "i64, l i64, q i8 or u8,\n"
      "b bool, . any, =X that of X. Attributes are name:kind, ! must be given, <n in opsets before n; N is 2^31 - 1, "
      "axis one of operand 0,\n"
      "cut a place between its axes, f a number, s a string, t a tensor, [..] a list; =a,b: only these values are "
      "supported.\n\n",
      entries.size(), graph::newest_opset());
  for (const graph::OpEntry& e : entries) {
    std::vector<std::string> lines;
    if (!e.operands.empty()) lines.push_back("operands: " + e.operands);
    if (!e.attributes.empty()) lines.push_back("attributes: " + e.attributes);
    if (!e.opaque.empty()) {
      lines.push_back("no expression: " + e.opaque);
    } else {
      if (e.expression.find("...") != std::string::npos) lines.push_back(e.expression);
      lines.push_back(expr::print(e.example));
      for (std::string& l : api::axes_lines(e.example, rules::infer(e.example))) lines.push_back("  " + l);
    }
    text += e.op + std::string(column - e.op.size(), ' ');
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::size_t indent = lines[i].find_first_not_of(' ');
      const std::size_t at = column + indent;
      if (i > 0) text += std::string(column, ' ');
      text += std::string(indent, ' ') + api::wrap(std::string_view(lines[i]).substr(indent), at, at + 2) + '\n';
    }
  }
  return text;
}

}  // namespace

std::string op_table(bool json) {
  const std::vector<graph::OpEntry> entries = graph::op_entries();
  return json ? ops_json(entries) : ops_text(entries);
}

}  // namespace pit
