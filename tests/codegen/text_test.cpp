// Runs tests/codegen/*.pit: kernels as text. Sections:
//   print   canonical text
//   error   the message of the parser or verifier; "none" where there is none
//   run     lines `x f32 1 2 3` (a buffer), `rows ptr x y` (of pointers to buffers) and `n 3`, in any order, are the
//           arguments; lines that begin with '=' are the buffers that the kernel changes, the same by the interpreter
//           and by LLVM
#include <cmath>
#include <cstring>
#include <deque>
#include <fmt/format.h>
#include <map>

#include "round_trip.h"

#include "codegen/codegen.h"
#include "codegen/ops.h"
#include "expr/pit_file.h"
#include "pit/error.h"

namespace pit::codegen {
namespace {

using pit::testing::Case;
using pit::testing::Section;

template <class T>
T load(const std::string& bytes, std::size_t at) {
  T v;
  std::memcpy(&v, &bytes[at], sizeof v);
  return v;
}

struct Buffer {
  std::string name;
  Scalar scalar;
  std::string bytes;

  template <class T>
  void add(T v) {
    bytes.append(reinterpret_cast<const char*>(&v), sizeof v);
  }
  void add(const std::string& word) {
    if (scalar == Scalar::f32) return add(std::stof(word));
    if (scalar == Scalar::f64) return add(std::stod(word));
    const auto v = static_cast<std::int64_t>(std::stoll(word));
    bytes.append(reinterpret_cast<const char*>(&v), static_cast<std::size_t>(bytes_of(scalar)));  // little-endian
  }
  std::string element(std::size_t at) const {
    switch (scalar) {
      case Scalar::f32: return std::isnan(load<float>(bytes, at)) ? "nan" : fmt::format("{}", load<float>(bytes, at));
      case Scalar::f64: return std::isnan(load<double>(bytes, at)) ? "nan" : fmt::format("{}", load<double>(bytes, at));
      case Scalar::i64: return std::to_string(load<std::int64_t>(bytes, at));
      case Scalar::i32: return std::to_string(load<std::int32_t>(bytes, at));
      case Scalar::i8: return std::to_string(load<std::int8_t>(bytes, at));
      default: return std::to_string(load<std::uint8_t>(bytes, at));
    }
  }
  std::string line() const {
    std::string text = "= " + name;
    for (std::size_t at = 0; at < bytes.size(); at += static_cast<std::size_t>(bytes_of(scalar))) {
      text += " " + element(at);
    }
    return text;
  }
};

/// The arguments of a call, by name.
struct Call {
  std::deque<Buffer> buffers;  // which stay where they are
  std::map<std::string, std::int64_t> ints;

  explicit Call(const std::vector<std::string>& lines) {
    for (const std::string& line : lines) {
      std::istringstream in(line);
      std::string name, word;
      in >> name >> word;
      const std::optional<Type> type = type_named(word);
      if (!type) {
        ints[name] = std::stoll(word);
        continue;
      }
      buffers.push_back({name, type->scalar, {}});
      while (in >> word) {
        if (type->scalar == Scalar::ptr) buffers.back().add(pointer(word));
        else buffers.back().add(word);
      }
    }
  }

  char* pointer(const std::string& name) {
    for (Buffer& b : buffers) {
      if (b.name == name) return b.bytes.data();
    }
    throw InputError("no buffer '" + name + "' above");
  }

  std::vector<std::string> run(const Kernel& k, KernelFn compiled) {
    const std::deque<Buffer> before = buffers;
    std::vector<void*> ptrs;
    std::vector<std::int64_t> numbers;
    for (const ArgInfo& a : k.ptrs) ptrs.push_back(pointer(a.name));
    for (const ArgInfo& a : k.ints) numbers.push_back(ints.at(a.name));
    if (compiled) compiled(ptrs.data(), numbers.data());
    else interpret(k, ptrs.data(), numbers.data());
    std::vector<std::string> changed;
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      if (buffers[i].bytes != before[i].bytes) changed.push_back(buffers[i].line());
    }
    if (changed.empty()) changed.emplace_back("= nothing changes");
    return changed;
  }
};

std::vector<std::string> run(const Kernel& k, const Section& section) {
  std::vector<std::string> lines;
  for (const std::string& line : section.lines) {
    if (line[0] != '=') lines.push_back(line);
  }
  const std::vector<std::string> results = Call(lines).run(k, nullptr);
  for (const char* name : {"native", "haswell"}) {
    Options options;
    options.target = cpu_target(name);
    const auto code = compile({k}, options);
    EXPECT_EQ(Call(lines).run(k, code->function(k.name)), results) << name;
  }
  lines.insert(lines.end(), results.begin(), results.end());
  return lines;
}

std::vector<std::string> compute(const Case& c, const Section& s) {
  try {
    const Kernel k = parse(c.program);
    testing::expect_round_trip(k);
    if (s.kind == "print") return pit::testing::lines_of(print(k));
    if (s.kind == "error") return {"none"};
    if (s.kind == "run") return run(k, s);
  } catch (const InputError& e) {
    if (s.kind != "error") throw;
    return pit::testing::lines_of(e.what());
  }
  pit::testing::unknown_section(s);
}

class KernelFiles : public ::testing::TestWithParam<std::string> {};
TEST_P(KernelFiles, File) { pit::testing::run_pit_file(GetParam(), compute); }
INSTANTIATE_TEST_SUITE_P(Files, KernelFiles,
                         ::testing::ValuesIn(pit::testing::pit_files(PIT_SOURCE_DIR "/tests/codegen")),
                         pit::testing::file_test_name);

}  // namespace
}  // namespace pit::codegen
