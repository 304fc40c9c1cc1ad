// Text -> the parser of the expression language. What it accepts is verified, printed, and parsed again to the same
// program; and both are run on tiny tensors: the oracle gives the same bits, or refuses both.
#include <algorithm>
#include <cstring>
#include <random>
#include <set>

#include "fuzz/fuzz.h"

#include "expr/expr.h"
#include "expr/shapes.h"

namespace {

using namespace pit;
using pit::fuzz::require;

constexpr std::int64_t kMaxPoints = 4096;       // of a program's iteration spaces, in all
constexpr std::int64_t kMaxElements = 1 << 16;  // of a program's tensors, in all
constexpr std::size_t kMaxText = 2048;
constexpr int kMaxRank = 8;

// Axes that never stand bare: only they take an extent from the caller.
std::set<int> axes_without_extent(const expr::Program& p) {
  std::set<int> axes;
  for (std::size_t a = 0; a < p.axes.size(); ++a) axes.insert(static_cast<int>(a));
  const auto bare = [&](const std::vector<expr::Expr>& indices) {
    for (const expr::Expr& e : indices)
      if (const auto a = expr::bare_axis(e)) axes.erase(*a);
  };
  for (const expr::Statement& s : p.statements) {
    bare(s.out_index);
    const auto reads = [&](const expr::Expr& e) { bare(e->args); };
    expr::for_each_access(s.value, reads);
    for (const expr::Expr& i : s.out_index) expr::for_each_access(i, reads);
  }
  return axes;
}

// Choices are made by name: a program that was printed and parsed again may number otherwise.
std::mt19937 choices(const std::string& name, std::size_t salt) {
  return std::mt19937(static_cast<unsigned>(std::hash<std::string>()(name) ^ salt));
}

Tensor random_tensor(std::mt19937& rng, int rank, DType type, std::int64_t extent) {
  Shape shape(static_cast<std::size_t>(rank), extent);
  Tensor t(type, shape);
  for (std::int64_t i = 0; i < t.size(); ++i) {
    const int v = static_cast<int>(rng() % 7) - 2;
    switch (type) {
      case DType::f32: t.as<float>()[i] = static_cast<float>(v) / 2; break;
      case DType::f64: t.as<double>()[i] = v; break;
      case DType::i64: t.as<std::int64_t>()[i] = v; break;
      case DType::i32: t.as<std::int32_t>()[i] = v; break;
      case DType::f16: t.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(0x3c00 + v); break;
      default: t.as<std::uint8_t>()[i] = v > 0; break;
    }
  }
  return t;
}

expr::Bindings bindings(const expr::Program& p, std::size_t salt) {
  static constexpr DType kTypes[] = {DType::f32, DType::f32, DType::i64, DType::f64, DType::i32,
                                     DType::b8,  DType::u8,  DType::i8,  DType::f16};
  // Most programs want one type and one extent.
  const auto type = kTypes[salt % std::size(kTypes)];
  const auto extent = static_cast<std::int64_t>(salt / 16 % 3);
  expr::Bindings b;
  for (const expr::TensorDecl& t : p.tensors) {
    if (t.role != expr::Role::input) continue;
    std::mt19937 rng = choices(t.name, salt);
    const bool other = rng() % 4 == 0;
    b.inputs.push_back(random_tensor(rng, t.rank, other ? kTypes[rng() % std::size(kTypes)] : type, extent));
  }
  for (const std::string& name : p.params) b.params.push_back(static_cast<double>(choices(name, salt)() % 5) - 2);
  for (const int a : axes_without_extent(p)) b.extents[a] = extent;
  return b;
}

// Elements of all tensors, as the interpreter will make them: one index as far out as Y[i + 999999999] makes a large
// one. What is refused has none.
std::int64_t elements(const expr::Program& p, const expr::Bindings& b) {
  std::vector<Shape> shapes(p.tensors.size());
  std::vector<bool> known(p.tensors.size(), false);
  auto input = b.inputs.begin();
  for (std::size_t t = 0; t < p.tensors.size(); ++t)
    if ((known[t] = p.tensors[t].role == expr::Role::input)) shapes[t] = (input++)->shape();
  std::int64_t sum = 0;
  fuzz::answers([&] {
    for (const Shape& s : expr::infer_shapes(p, shapes, known, b.extents, b.params).tensors)
      sum += std::min(element_count(s), kMaxElements + 1);
  });
  return sum;
}

// How many points the statements visit, at most.
std::int64_t points(const expr::Program& p, const expr::Bindings& b) {
  std::int64_t extent = 1;
  for (const Tensor& t : b.inputs)
    for (const std::int64_t e : t.shape()) extent = std::max(extent, e);
  for (const auto& [axis, e] : b.extents) extent = std::max(extent, e);
  std::int64_t sum = 0;
  for (const expr::Statement& s : p.statements) {
    std::int64_t product = 1;
    for (std::size_t i = 0; i < expr::free_axes(s).size() + expr::reduced_axes(s).size(); ++i)
      product = std::min(product * extent, kMaxPoints + 1);
    sum += product;
  }
  return sum;
}

using Results = std::vector<Tensor>;

// Bit for bit, but for NaNs: which one comes out is open.
bool same(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const auto equal = [&]<class T>(T) {
    return std::equal(a.as<T>(), a.as<T>() + a.size(), b.as<T>(),
                      [](T x, T y) { return std::memcmp(&x, &y, sizeof x) == 0 || (x != x && y != y); });
  };
  if (a.dtype() == DType::f32) return equal(float());
  if (a.dtype() == DType::f64) return equal(double());
  if (a.dtype() != DType::f16) return a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0;
  const auto plain = [](std::uint16_t h) { return (h & 0x7fff) > 0x7c00 ? 0x7e00 : h; };
  return std::equal(a.as<std::uint16_t>(), a.as<std::uint16_t>() + a.size(), b.as<std::uint16_t>(),
                    [&](std::uint16_t x, std::uint16_t y) { return plain(x) == plain(y); });
}

bool same(const Results& a, const Results& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tensor& x, const Tensor& y) { return same(x, y); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kMaxText) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  expr::Program p, again;
  if (!fuzz::answers([&] { p = expr::parse(text); })) return 0;
  require(!expr::verify(p), "parse gives what verify refuses: " + expr::verify(p).value_or(""));
  const std::string printed = expr::print(p);
  require(fuzz::answers([&] { again = expr::parse(printed); }), "the printed text does not parse: " + printed);
  require(expr::print(again) == printed, "printed anew it differs: " + printed + " became " + expr::print(again));

  const auto large = [](const expr::TensorDecl& t) { return t.rank > kMaxRank; };
  if (std::any_of(p.tensors.begin(), p.tensors.end(), large)) return 0;
  const std::size_t salt = std::hash<std::string>()(printed);
  const expr::Bindings b = bindings(p, salt);
  if (points(p, b) > kMaxPoints || elements(p, b) > kMaxElements) return 0;
  Results first, second;
  const bool ran = fuzz::answers([&] { first = expr::interpret(p, b); });
  require(ran == fuzz::answers([&] { second = expr::interpret(again, bindings(again, salt)); }),
          "only one of the two runs: " + printed);
  require(same(first, second), "other results: " + printed);
  return 0;
}
