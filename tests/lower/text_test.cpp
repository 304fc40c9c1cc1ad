// Runs tests/lower/*.pit: programs, and the kernels that they are lowered to. Sections, whose lines are a kernel, or
// "refused: " and why there is none:
//   rows TARGET WORD...        inner=AXIS, mid=AXIS, TENSOR:DTYPE (default f32), strided=TENSOR (along the inner axis),
//                              absorbing=TENSOR (what the first statement adds)
//   tile TARGET RxV WORD...    the program is the epilogue of `acc`. TENSOR:DTYPE, absorbing=TENSOR, panels=N,
//                              prefetch=BYTES, indexed_k, indexed_a, ragged, rows, COMBINER_FUNCTION
//   pack TARGET KIND WIDTH     transpose, copy or gather; indexed_k
//   stream TARGET ROWS         COMBINER_FUNCTION
#include <functional>
#include <map>
#include <sstream>

#include "codegen/round_trip.h"
#include "expr/pit_file.h"
#include "lower/rows.h"
#include "lower/stream.h"
#include "lower/tile.h"
#include "pit/error.h"

namespace pit::lower {
namespace {

using codegen::Kernel;
using testing::Case;
using testing::Section;

DType dtype_named(const std::string& name) {
  for (int t = 0; t <= static_cast<int>(DType::b8); ++t) {
    if (name == name_of(static_cast<DType>(t))) return static_cast<DType>(t);
  }
  throw InputError("no dtype '" + name + "'");
}

std::vector<Algebra> algebras() {
  std::vector<Algebra> all;
  for (int c = 0; c <= static_cast<int>(expr::Combiner::logsumexp); ++c) {
    for (int f = 0; f <= static_cast<int>(expr::Fn::select); ++f) {
      const Algebra a{static_cast<expr::Combiner>(c), static_cast<expr::Fn>(f)};
      if (expr::info(a.product).arity == 2 && !refuse_algebra(a)) all.push_back(a);
    }
  }
  return all;
}

Algebra algebra_named(const std::string& name) {
  for (const Algebra& a : algebras()) {
    if (a.name() == name) return a;
  }
  throw InputError("no algebra or word '" + name + "'");
}

/// The words of a section: "key=value", "tensor:dtype", or as they are.
struct Words {
  std::vector<std::string> plain;
  std::map<std::string, std::string> values, dtypes;

  explicit Words(const std::string& text) {
    std::istringstream in(text);
    for (std::string w; in >> w;) {
      const std::size_t at = w.find_first_of("=:");
      if (at == std::string::npos) plain.push_back(w);
      else (w[at] == '=' ? values : dtypes)[w.substr(0, at)] = w.substr(at + 1);
    }
  }
  std::string value(const std::string& key, const std::string& otherwise = "") const {
    const auto found = values.find(key);
    return found == values.end() ? otherwise : found->second;
  }
  /// Lowering asks for no more than the vectors' width, so the machine need not have them.
  CpuTarget target() const {
    if (plain.at(1) != "haswell" && plain.at(1) != "x86-64-v4") throw InputError("no target '" + plain.at(1) + "'");
    return {plain.at(1), {}, plain.at(1) == "haswell" ? 32 : 64};
  }
  /// A word that nobody looks at is a mistake.
  void expect(std::size_t most, const std::vector<std::string>& keys) const {
    if (plain.size() > most) throw InputError("word '" + plain[most] + "' means nothing here");
    for (const auto& [key, value] : values) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) throw InputError("'" + key + "=' means nothing here");
    }
  }
};

expr::Program program_of(const Case& c, const Words& words) {
  expr::Program p = expr::parse(c.program, c.outputs);
  for (expr::TensorDecl& t : p.tensors) {
    const auto given = words.dtypes.find(t.name);
    if (given != words.dtypes.end()) t.dtype = dtype_named(given->second);
    else if (t.role != expr::Role::temp) t.dtype = DType::f32;
  }
  for (const auto& [name, type] : words.dtypes) {
    if (p.tensor(name) < 0) throw InputError("no tensor '" + name + "'");
  }
  for (const char* key : {"strided", "absorbing"}) {
    if (words.values.contains(key) && p.tensor(words.value(key)) < 0)
      throw InputError("no tensor '" + words.value(key) + "'");
  }
  for (const char* key : {"inner", "mid"}) {
    if (words.values.contains(key) && p.axis_named(words.value(key)) < 0)
      throw InputError("no axis '" + words.value(key) + "'");
  }
  if (const auto problem = expr::check(p)) throw InputError(*problem);
  return p;
}

std::vector<int> absorbing_of(const expr::Program& p, const Words& words) {
  std::vector<int> absorbing(p.statements.size(), -1);
  if (words.values.contains("absorbing")) absorbing.at(0) = p.tensor(words.value("absorbing"));
  return absorbing;
}

/// Consecutive along the inner axis where that is the last index, as in row-major storage.
InnerAccess inner_access(const Operand& o, int inner, const std::string& name, const Words& words) {
  for (const expr::Expr& i : o.index) {
    const std::vector<int> axes = expr::axes_of(i);
    if (std::find(axes.begin(), axes.end(), inner) == axes.end()) continue;
    const bool last = &i == &o.index.back() && expr::bare_axis(i);
    return last && words.value("strided") != name ? InnerAccess::unit : InnerAccess::strided;
  }
  return InnerAccess::broadcast;
}

std::vector<std::string> kernel_lines(Kernel k) {
  codegen::testing::expect_round_trip(k);
  return testing::lines_of(print(k));
}

std::vector<std::string> rows(const Case& c, const Words& words) {
  words.expect(2, {"inner", "mid", "strided", "absorbing"});
  RowSpec spec;
  spec.name = "test";
  spec.program = program_of(c, words);
  spec.target = words.target();
  int inner = -1;
  for (std::size_t a = 0; a < spec.program.axes.size(); ++a) {
    const std::string& axis = spec.program.axes[a];
    const AxisRole role = axis == words.value("inner") ? AxisRole::inner
                          : axis == words.value("mid") ? AxisRole::mid
                                                       : AxisRole::outer;
    if (role == AxisRole::inner) inner = static_cast<int>(a);
    spec.roles.push_back(role);
  }
  spec.operands = collect_operands(spec.program);
  for (Operand& o : spec.operands) {
    o.inner = inner_access(o, inner, spec.program.tensors[static_cast<std::size_t>(o.tensor)].name, words);
  }
  spec.absorbing = absorbing_of(spec.program, words);
  if (const auto why = refuse_rows(spec)) return {"refused: " + *why};
  Kernel k = lower_rows(spec).kernel;
  k.name = "rows";  // its own ends in a hash
  return kernel_lines(std::move(k));
}

EpilogueAccess access_of(const expr::Program& p, const Operand& o) {
  bool m = false, n = false;
  for (const expr::Expr& i : o.index) {
    const auto axis = expr::bare_axis(i);
    if (axis) (p.axes[static_cast<std::size_t>(*axis)] == "m" ? m : n) = true;
  }
  return m && n ? EpilogueAccess::per_mn
         : m    ? EpilogueAccess::per_m
         : n    ? EpilogueAccess::per_n
                : EpilogueAccess::scalar;
}

Epilogue epilogue_of(const Case& c, const Words& words) {
  Epilogue e;
  if (c.program.empty()) return e;
  e.program = program_of(c, words);
  e.absorbing = absorbing_of(e.program, words);
  for (std::size_t t = 0; t < e.program.tensors.size(); ++t) {
    const expr::TensorDecl& tensor = e.program.tensors[t];
    if (tensor.role != expr::Role::input || tensor.name == "acc") continue;
    for (const Operand& o : collect_operands(e.program)) {
      if (o.tensor == static_cast<int>(t)) e.operands.push_back(access_of(e.program, o)), e.dtypes.push_back(o.dtype);
    }
  }
  return e;
}

std::vector<std::string> tile(const Case& c, const Words& words) {
  words.expect(8, {"panels", "prefetch", "absorbing"});
  TileSpec spec;
  DType type = DType::f32;
  spec.target = words.target();
  const std::string& shape = words.plain.at(2);
  spec.rows = std::stoi(shape);
  spec.vectors = std::stoi(shape.substr(shape.find('x') + 1));
  spec.panels = std::stoi(words.value("panels", "1"));
  spec.prefetch_bytes = std::stoi(words.value("prefetch", "0"));
  for (std::size_t i = 3; i < words.plain.size(); ++i) {
    const std::string& w = words.plain[i];
    if (w == "indexed_k") spec.indexed_k = true;
    else if (w == "indexed_a") spec.indexed_a = true;
    else if (w == "ragged") spec.ragged = true;
    else if (w == "rows") spec.a = TileA::rows;
    else if (w == "f64") type = DType::f64;
    else spec.algebra = algebra_named(w);
  }
  spec.algebra.types = ElementTypes::all(type);
  spec.epilogue = epilogue_of(c, words);
  spec.epilogue_key = "key";
  if (const auto why = refuse_epilogue(spec.epilogue)) return {"refused: " + *why};
  return kernel_lines(lower_tile(spec));
}

std::vector<std::string> pack(const Words& words) {
  const std::string& kind = words.plain.at(2);
  const int width = std::stoi(words.plain.at(3));
  words.expect(6, {});
  bool indexed = false;
  DType type = DType::f32;
  for (std::size_t i = 4; i < words.plain.size(); ++i) {
    if (words.plain[i] == "indexed_k") indexed = true;
    else if (words.plain[i] == "f64") type = DType::f64;
    else throw InputError("word '" + words.plain[i] + "' means nothing here");
  }
  if (kind == "transpose") return kernel_lines(lower_pack_transpose(width, indexed, words.target(), type));
  if (kind == "copy") return kernel_lines(lower_pack_copy(width, indexed, words.target(), type));
  if (kind == "gather") return kernel_lines(lower_pack_gather(width, indexed, words.target(), type));
  throw InputError("no pack '" + kind + "'");
}

std::vector<std::string> stream(const Words& words) {
  words.expect(4, {});
  const Algebra algebra = words.plain.size() > 3 ? algebra_named(words.plain[3]) : Algebra{};
  return kernel_lines(lower_stream({std::stoi(words.plain.at(2)), algebra, words.target()}));
}

std::vector<std::string> compute(const Case& c, const Section& s) {
  const Words words(s.kind);
  const std::string& what = words.plain.at(0);
  if (what == "rows") return rows(c, words);
  if (what == "tile") return tile(c, words);
  if (what == "pack") return pack(words);
  if (what == "stream") return stream(words);
  testing::unknown_section(s);
}

class LoweredFiles : public ::testing::TestWithParam<std::string> {};
TEST_P(LoweredFiles, File) { testing::run_pit_file(GetParam(), compute); }
INSTANTIATE_TEST_SUITE_P(Files, LoweredFiles, ::testing::ValuesIn(testing::pit_files(PIT_SOURCE_DIR "/tests/lower")),
                         testing::file_test_name);

// What `contract` and `compile` have generated beside row kernels: every shape, algebra and way to walk k.
TEST(RoundTrip, EveryKernelOfContractions) {
  for (const char* name : {"haswell", "x86-64-v4"}) {
    const CpuTarget target = Words(std::string("tile ") + name).target();
    for (Algebra algebra : algebras()) {
      for (const DType type : {DType::f32, DType::f64}) {
        algebra.types = ElementTypes::all(type);
        TileSpec spec;
        spec.target = target, spec.algebra = algebra;
        for (const int rows : {1, 2, 4}) {
          spec.rows = rows, spec.vectors = 2;
          for (int way = 0; way < 7; ++way) {
            spec.panels = way == 1 ? 2 : 1, spec.indexed_k = way >= 2 && way <= 4, spec.indexed_a = way == 3;
            spec.ragged = way == 4, spec.a = way == 5 ? TileA::rows : TileA::packed,
            spec.prefetch_bytes = way == 6 ? 4096 : 0;
            codegen::testing::expect_round_trip(lower_tile(spec));
          }
          if (algebra.splits_k()) codegen::testing::expect_round_trip(lower_stream({rows, algebra, target}));
        }
      }
    }
    for (const int width : {1, 2, 3, 6, 8, 16, 48}) {
      for (const bool indexed : {false, true})
        for (const DType type : {DType::f32, DType::f64}) {
          codegen::testing::expect_round_trip(lower_pack_transpose(width, indexed, target, type));
          codegen::testing::expect_round_trip(lower_pack_copy(width, indexed, target, type));
          codegen::testing::expect_round_trip(lower_pack_gather(width, indexed, target, type));
        }
    }
  }
}

}  // namespace
}  // namespace pit::lower
