// Runs tests/expr/*.pit. Sections:
//   print     canonical text
//   error     the message of the parser or verifier
//   tensors   role, rank and (after inputs are typed by `NAME TYPE` lines) dtype
//   run       lines `A f32[2,2] 1 2 3 4`, `$p 3`, `|i| 4` and `-> C i32[2]` are input; lines that begin with '=' are
//   the
//             results
#include <cmath>
#include <fmt/format.h>

#include "expr/evaluator.h"
#include "expr/expr.h"
#include "expr/pit_file.h"
#include "expr/scalar.h"
#include "pit/error.h"

namespace pit::expr {
namespace {

using testing::Case;
using testing::Section;

DType dtype_named(const std::string& name) {
  for (int t = 0; t <= static_cast<int>(DType::b8); ++t) {
    if (name == name_of(static_cast<DType>(t))) return static_cast<DType>(t);
  }
  throw InputError("no dtype '" + name + "'");
}

// "f32[2,3]"
std::pair<DType, Shape> type_of_text(const std::string& text) {
  const std::size_t bracket = text.find('[');
  std::pair<DType, Shape> result{dtype_named(text.substr(0, bracket)), {}};
  std::string dims = text.substr(bracket + 1, text.size() - bracket - 2);
  std::replace(dims.begin(), dims.end(), ',', ' ');
  std::istringstream in(dims);
  for (std::int64_t n; in >> n;) result.second.push_back(n);
  return result;
}

std::string tensor_text(const std::string& name, const Tensor& t) {
  std::string shape;
  for (const std::int64_t n : t.shape()) shape += (shape.empty() ? "" : ",") + std::to_string(n);
  std::string text = fmt::format("= {} {}[{}]", name, name_of(t.dtype()), shape);
  const Storage s{const_cast<void*>(t.data()), t.dtype(), t.shape()};
  for (std::int64_t i = 0; i < t.size(); ++i) {
    if (is_floating(t.dtype()) && std::isnan(load_float(s, i))) {
      text += " nan";  // whose sign means nothing
    } else if (!is_floating(t.dtype())) {
      text += fmt::format(" {}", load_int(s, i));
    } else if (t.dtype() == DType::f64) {
      text += fmt::format(" {}", load_float(s, i));
    } else {
      text += fmt::format(" {}", static_cast<float>(load_float(s, i)));
    }
  }
  return text;
}

std::vector<std::string> run(const Program& p, const Section& section) {
  std::vector<std::string> lines;
  std::map<std::string, Tensor> inputs;
  std::map<std::string, double> params;
  Bindings b;
  for (const std::string& line : section.lines) {
    if (line.empty() || line[0] == '=') continue;
    lines.push_back(line);
    std::istringstream in(line);
    std::string name, type;
    in >> name >> type;
    if (name[0] == '$') {
      params[name.substr(1)] = std::stod(type);
    } else if (name[0] == '|') {
      const AxisId a = p.axis_named(name.substr(1, name.size() - 2));
      if (a < 0) throw InputError("no axis " + name);
      b.extents[a] = std::stoll(type);
    } else if (name == "->") {
      in >> type;
      const auto [dtype, shape] = type_of_text(type);
      b.output_dtypes.push_back(dtype);
      b.output_shapes.push_back(shape);
    } else {
      const auto [dtype, shape] = type_of_text(type);
      Tensor t(dtype, shape);
      const Storage s{t.data(), dtype, shape};
      std::string word;
      for (std::int64_t i = 0; i < t.size() && in >> word; ++i) {
        if (is_floating(dtype)) {
          store_float(s, i, std::stod(word));
        } else {
          store_int(s, i, std::stoll(word));
        }
      }
      inputs[name] = t;
    }
  }
  for (const TensorDecl& t : p.tensors) {
    if (t.role == Role::input) b.inputs.push_back(inputs[t.name]);
  }
  for (const std::string& name : p.params) b.params.push_back(params[name]);
  try {
    const std::vector<Tensor> outputs = interpret(p, b);
    std::size_t next = 0;
    for (const TensorDecl& t : p.tensors) {
      if (t.role == Role::output) lines.push_back(tensor_text(t.name, outputs.at(next++)));
    }
  } catch (const InputError& e) {
    lines.push_back(fmt::format("= error: {}", e.what()));
  }
  return lines;
}

std::vector<std::string> tensors(Program p, const Section& section) {
  std::vector<std::string> lines;
  for (const std::string& line : section.lines) {
    if (line.empty() || line[0] == '=') continue;
    lines.push_back(line);
    std::istringstream in(line);
    std::string name, type;
    in >> name >> type;
    p.tensors.at(static_cast<std::size_t>(p.tensor(name))).dtype = dtype_named(type);
  }
  if (const auto violation = check(p)) lines.push_back("= error: " + *violation);
  for (const TensorDecl& t : p.tensors) {
    constexpr const char* roles[] = {"input", "output", "temp"};
    lines.push_back(fmt::format("= {} {} {}d {}", roles[static_cast<int>(t.role)], t.name, t.rank,
                                t.dtype ? name_of(*t.dtype) : "?"));
  }
  return lines;
}

std::vector<std::string> compute(const Case& c, const Section& s) {
  if (s.kind == "error") {
    try {
      parse(c.program, c.outputs);
      return {"none"};
    } catch (const InputError& e) {
      return testing::lines_of(e.what());
    }
  }
  const Program p = parse(c.program, c.outputs);
  if (s.kind == "print") {
    // Canonical text is a fixed point.
    EXPECT_EQ(print(parse(print(p), c.outputs)), print(p));
    return {print(p)};
  }
  if (s.kind == "tensors") return tensors(p, s);
  if (s.kind == "run") return run(p, s);
  testing::unknown_section(s);
}

class ExprText : public ::testing::TestWithParam<std::string> {};
TEST_P(ExprText, File) { testing::run_pit_file(GetParam(), compute); }
INSTANTIATE_TEST_SUITE_P(Files, ExprText, ::testing::ValuesIn(testing::pit_files(PIT_SOURCE_DIR "/tests/expr")),
                         testing::file_test_name);

}  // namespace
}  // namespace pit::expr
