// Random programs over random shapes: statements of every kind and type, chained through temporaries, so that the
// scheduling into stages, the homes of temporaries and the tails are met in combinations that nobody writes down.
//
// PIT_SEED and PIT_CASES choose where to start and how many; a failure prints its seed.
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lower/row_case.h"

namespace pit::lower::test {
namespace {

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {
    case_.seed = seed;
    case_.relative = 2e-3;
    case_.absolute = 5e-3;
    case_.low = -1, case_.high = 1;
    case_.live = one_in(3) ? 1.0 : 0.6;
  }

  RowCase run() {
    const std::int64_t inner[] = {0, 1, 3, 8, 16, 17, 33, 64, 70, 130}, mid[] = {0, 1, 5, 9};
    extent_ = {{'b', 1 + pick(2)}, {'r', 1 + pick(4)}, {'c', inner[pick(10)]}, {'m', mid[pick(4)]}, {'v', 7}};
    with_mid_ = one_in(4);
    if (with_mid_) case_.mid = "m";
    for (auto& [axis, e] : extent_) case_.extents[std::string(1, axis)] = e;
    int statements = 1 + pick(6);
    for (int s = 0; s < statements; ++s) add_statement(s);
    return case_;
  }

 private:
  enum Kind { f32, i64, boolean };
  struct Known {
    std::string text;
    std::string axes;
    Kind kind;
  };

  int pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return pick(n) == 0; }

  static DType dtype(Kind k) { return k == f32 ? DType::f32 : k == i64 ? DType::i64 : DType::b8; }
  static std::string index(const std::string& axes) {
    std::string s;
    for (char a : axes) s += (s.empty() ? "" : ",") + std::string(1, a);
    return "[" + s + "]";
  }

  /// A new input over some of the axes `over`.
  std::string input(Kind k, const std::string& over) {
    std::string axes;
    for (char a : over)
      if (!one_in(4)) axes += a;
    std::string name = fmt::format("I{}", inputs_++);
    case_.dtypes[name] = dtype(k);
    Shape shape;
    for (char a : axes) shape.push_back(extent_[a]);
    if (one_in(8)) {  // through a lookup of the first dimension; sometimes with an inner index
      std::string ids = fmt::format("I{}", inputs_++), where;
      for (char a : over)
        if (one_in(2)) where += a;
      case_.dtypes[ids] = one_in(2) ? DType::i64 : DType::i32;
      Shape ids_shape;
      for (char a : where) ids_shape.push_back(extent_[a]);
      case_.shapes[ids] = ids_shape;
      shape.insert(shape.begin(), extent_['v']);
      case_.shapes[name] = shape;
      return name + "[" + ids + index(where) + (axes.empty() ? "" : "," + index(axes).substr(1, 2 * axes.size() - 1)) +
             "]";
    }
    case_.shapes[name] = shape;
    return name + index(axes);
  }

  std::string leaf(Kind k, const std::string& over) {
    std::vector<const Known*> fitting;
    for (const Known& t : known_)
      if (t.kind == k &&
          std::all_of(t.axes.begin(), t.axes.end(), [&](char a) { return over.find(a) != std::string::npos; }))
        fitting.push_back(&t);
    if (!fitting.empty() && !one_in(3)) return fitting[pick(static_cast<int>(fitting.size()))]->text;
    if (one_in(8)) return k == f32 ? fmt::format("{}.5", pick(3)) : k == i64 ? std::to_string(pick(5)) : "true";
    if (k == i64 && one_in(6)) return std::string(1, over[pick(static_cast<int>(over.size()))]);
    return input(k, over);
  }

  std::string expression(Kind k, const std::string& over, int depth) {
    if (depth == 0) return leaf(k, over);
    auto sub = [&](Kind kind) { return expression(kind, over, depth - 1); };
    if (one_in(6)) return fmt::format("select({}, {}, {})", condition(over, depth), sub(k), typed(k, sub(k)));
    if (k == f32) {
      switch (pick(12)) {
        case 0: return fmt::format("({} + {})", typed(k, sub(k)), sub(k));
        case 1: return fmt::format("({} - {})", typed(k, sub(k)), sub(k));
        case 2: return fmt::format("({} * {})", typed(k, sub(k)), sub(k));
        case 3: return fmt::format("({} / (abs({}) + 1))", typed(k, sub(k)), typed(k, sub(k)));
        case 4: return fmt::format("tanh({})", typed(k, sub(k)));
        case 5: return fmt::format("exp(min({}, 1))", typed(k, sub(k)));
        case 6: return fmt::format("sigmoid({})", typed(k, sub(k)));
        case 7: return fmt::format("max({}, {})", typed(k, sub(k)), sub(k));
        case 8: return fmt::format("sqrt(abs({}))", typed(k, sub(k)));
        case 9: return fmt::format("cast_f32(min(max({}, -9), 9))", typed(i64, sub(i64)));
        case 10: return fmt::format("cast_f32({})", condition(over, depth));
        default: return fmt::format("-{}", typed(k, sub(k)));
      }
    }
    if (k == i64) {
      const char* infix[] = {"+", "-", "*", "//", "%", "/"};
      if (one_in(3)) return fmt::format("{}({}, {})", one_in(2) ? "min" : "max", typed(k, sub(k)), sub(k));
      if (one_in(4)) return fmt::format("cast_i64({})", condition(over, depth));
      return fmt::format("({} {} {})", typed(k, sub(k)), infix[pick(6)], sub(k));
    }
    return condition(over, depth);
  }

  /// Comparisons only of what both sides compute exactly: integers, and inputs.
  std::string condition(const std::string& over, int depth) {
    switch (pick(5)) {
      case 0: return fmt::format("({} < {})", typed(f32, input(f32, over)), input(f32, over));
      case 1: return fmt::format("({} <= {})", typed(i64, expression(i64, over, depth - 1)), leaf(i64, over));
      case 2: return fmt::format("({} && !{})", leaf(boolean, over), leaf(boolean, over));
      case 3: return fmt::format("({} ^^ {})", leaf(boolean, over), leaf(boolean, over));
      default: return input(boolean, over);
    }
  }

  /// Literals alone have no type; a cast gives them one.
  static std::string typed(Kind k, std::string e) {
    return k == boolean ? e : (k == f32 ? "cast_f32(" : "cast_i64(") + std::move(e) + ")";
  }

  void add_statement(int s) {
    Kind k = one_in(5) ? boolean : one_in(4) ? i64 : f32;
    bool inner = !one_in(3), reduce_inner = !inner && !one_in(3), reduce_mid = with_mid_ && one_in(2);
    std::string left = std::string("br") + (inner ? "c" : ""),
                over = left + (reduce_inner ? "c" : "") + (reduce_mid ? "m" : "");
    std::string value = expression(k, over, 1 + pick(3));
    bool reduces = false;
    for (char a : over) reduces |= left.find(a) == std::string::npos && occurs(value, a);
    std::string combiner = "=";
    if (reduces) {
      const char* sums[] = {"+=", "max=", "min="};
      combiner = k == boolean ? (one_in(2) ? "and=" : "or=") : sums[pick(3)];
    }
    if (k == f32) value = fmt::format("min(max({}, -4), 4)", typed(f32, value));
    if (k == i64) value = typed(i64, value);
    std::string name = fmt::format("T{}", s);
    case_.dtypes[name] = dtype(k);
    Shape shape;
    for (char a : left) shape.push_back(extent_[a]);
    case_.text += fmt::format("{}{} {} {};\n", name, index(left), combiner, value);
    case_.outputs.push_back(name);
    known_.push_back({name + index(left), left, k});
    case_.output_shapes[name] = shape;
  }

  /// Whether axis `a` stands anywhere in the text (as an index or a value).
  static bool occurs(const std::string& text, char a) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      auto word = [&](std::size_t p) {
        return p < text.size() && (std::isalnum(static_cast<unsigned char>(text[p])) || text[p] == '_');
      };
      if (text[i] == a && !word(i + 1) && (i == 0 || !word(i - 1))) return true;
    }
    return false;
  }

  std::mt19937 random_;
  RowCase case_;
  std::map<char, std::int64_t> extent_;
  std::vector<Known> known_;
  bool with_mid_ = false;
  int inputs_ = 0;
};

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* v = std::getenv(name);
  return v ? static_cast<unsigned>(std::strtoul(v, nullptr, 10)) : otherwise;
}

TEST(RowsRandom, ProgramsAgreeWithTheInterpreter) {
  unsigned seed = from_environment("PIT_SEED", 1), cases = from_environment("PIT_CASES", 80);
  for (unsigned s = seed; s < seed + cases; ++s) {
    RowCase c = Generator(s).run();
    // Some of the statements stay inside the kernel.
    std::mt19937 random(s);
    std::vector<std::string> kept;
    for (const std::string& o : c.outputs)
      if (&o == &c.outputs.back() || random() % 3 == 0) kept.push_back(o);
    c.outputs = kept;
    SCOPED_TRACE(fmt::format("PIT_SEED={}\n{}", s, c.text));
    check(c);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace pit::lower::test
