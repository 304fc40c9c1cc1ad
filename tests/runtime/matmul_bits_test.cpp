// The first promise: a matmul's result is, bit for bit, one chain of fused multiply-adds in ascending k from +0, then
// the epilogue; whatever is skipped, however it is tiled, on any instruction set and any number of threads. The chain
// is computed here, in the plainest way.
#include "runtime/arrays.h"
#include "runtime/onnx_model.h"

namespace pit::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

template <class T>
using Numbers = std::vector<T>;

/// C[m,n] = sum over k of A[m,k] * B[k,n]; `live(i, p)` says which (m,k) are there.
template <class T, class Live>
void chain(const T* a, const T* b, T* c, std::int64_t m, std::int64_t n, std::int64_t k, Live&& live) {
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      T sum = 0;
      for (std::int64_t p = 0; p < k; ++p)
        if (live(i, p)) sum = std::fma(a[i * k + p], b[p * n + j], sum);
      c[i * n + j] = sum;
    }
}

struct Size {
  std::int64_t b, s;
};
const std::vector<Size> sizes = {{1, 1}, {2, 65}, {3, 37}, {1, 130}, {5, 3}, {2, 8}};

enum class Live { all, none, some, few, left, right };
Ints token_mask(std::mt19937& r, Size z, Live live) {
  if (live == Live::all) return Ints(static_cast<std::size_t>(z.b * z.s), 1);
  if (live == Live::none) return Ints(static_cast<std::size_t>(z.b * z.s), 0);
  if (live == Live::some) return random_mask(r, z.b * z.s, 0.6);
  if (live == Live::few) return random_mask(r, z.b * z.s, 0.1);
  Ints m(static_cast<std::size_t>(z.b * z.s), 0);
  for (std::int64_t b = 0; b < z.b; ++b) {
    const std::int64_t length = std::uniform_int_distribution<std::int64_t>(0, z.s)(r);
    for (std::int64_t s = 0; s < length; ++s)
      m[static_cast<std::size_t>(b * z.s + (live == Live::right ? s : z.s - 1 - s))] = 1;
  }
  return m;
}
const std::vector<Live> all_live = {Live::all, Live::none, Live::some, Live::few, Live::left, Live::right};

/// Elements of type T, on a CPU.
template <class T, bool haswell>
struct On {
  using Type = T;
  static std::string cpu() { return haswell ? "haswell" : ""; }
  static std::string name() { return std::string(sizeof(T) == 8 ? "f64_" : "f32_") + (haswell ? "haswell" : "native"); }
};

template <class On>
class Bits : public ::testing::Test {
 protected:
  std::mt19937 r_{7};
};

struct Names {
  template <class On>
  static std::string GetName(int) {
    return On::name();
  }
};
using Ways = ::testing::Types<On<float, false>, On<float, true>, On<double, false>, On<double, true>>;
TYPED_TEST_SUITE(Bits, Ways, Names);

/// How rows come to be absent.
enum class Means { product, where, declared };

struct Linear {
  std::int64_t k, n;
  Means means;
  bool bias, transposed;
};

// y[b,s,n] = x[b,s,k] * W + bias, rows of x masked.
template <class T>
std::string linear_model(const Linear& l, const Numbers<T>& w, const Numbers<T>& bias) {
  OnnxModel m;
  const int k = static_cast<int>(l.k), n = static_cast<int>(l.n);
  m.input("x", OnnxModel::type_of<T>, {"b", "s", k})
      .input("mask", OnnxModel::i64, {"b", "s"})
      .output("y", OnnxModel::type_of<T>, {"b", "s", n});
  std::string x = "x";
  if (l.means == Means::product) {
    m.constant<std::int64_t>("axis", {1}, {2})
        .node("Cast", {"mask"}, {"f"}, {{"to", std::int64_t{OnnxModel::type_of<T>}}});
    m.node("Unsqueeze", {"f", "axis"}, {"f3"}).node("Mul", {"x", "f3"}, {"xm"});
    x = "xm";
  } else if (l.means == Means::where) {
    m.constant<std::int64_t>("axis", {1}, {2})
        .constant<T>("zero", {}, {T{0}})
        .node("Cast", {"mask"}, {"f"}, {{"to", std::int64_t{9}}});
    m.node("Unsqueeze", {"f", "axis"}, {"f3"}).node("Where", {"f3", "x", "zero"}, {"xm"});
    x = "xm";
  }
  if (l.transposed) {
    Numbers<T> t(w.size());
    for (std::int64_t i = 0; i < l.k; ++i)
      for (std::int64_t j = 0; j < l.n; ++j)
        t[static_cast<std::size_t>(j * l.k + i)] = w[static_cast<std::size_t>(i * l.n + j)];
    m.constant("wt", {l.n, l.k}, t).node("Transpose", {"wt"}, {"w"}, {{"perm", Ints{1, 0}}});
  } else {
    m.constant("w", {l.k, l.n}, w);
  }
  m.node("MatMul", {x, "w"}, {l.bias ? "p" : "y"});
  if (l.bias) m.constant("bias", {l.n}, bias).node("Add", {"p", "bias"}, {"y"});
  return m.bytes();
}

TYPED_TEST(Bits, LinearWithMaskedRows) {
  using T = typename TypeParam::Type;
  const std::vector<Linear> all = {{1, 1, Means::product, true, false},    {7, 5, Means::where, true, false},
                                   {64, 48, Means::product, false, false}, {33, 100, Means::where, true, true},
                                   {513, 17, Means::product, true, false}, {1100, 33, Means::where, false, false},
                                   {70, 49, Means::declared, true, false}, {129, 16, Means::declared, false, true}};
  for (const Linear& l : all) {
    const Numbers<T> w = random_numbers<T>(this->r_, l.k * l.n), bias = random_numbers<T>(this->r_, l.n);
    const std::string bytes = linear_model(l, w, bias);
    std::vector<OutputSpec> outputs;
    if (l.means == Means::declared) outputs = {{"y", "mask"}};
    std::vector<std::pair<std::string, Model>> models;
    for (const auto& [name, o] : all_ways(TypeParam::cpu(), outputs)) models.emplace_back(name, compile(bytes, o));
    for (const Size z : sizes)
      for (const Live live : all_live) {
        const Ints mask = token_mask(this->r_, z, live);
        Numbers<T> x = random_numbers<T>(this->r_, z.b * z.s * l.k), want(static_cast<std::size_t>(z.b * z.s * l.n));
        // What is absent may be anything where it is selected away, but 0 * NaN is NaN in the dense model too.
        if (l.means != Means::product)
          for (std::size_t i = 0; i < x.size(); ++i)
            if (!mask[i / static_cast<std::size_t>(l.k)]) x[i] = i % 2 ? kNan : kInf;
        chain(x.data(), w.data(), want.data(), z.b * z.s, l.n, l.k,
              [&](std::int64_t i, std::int64_t) { return mask[static_cast<std::size_t>(i)] != 0; });
        for (std::size_t i = 0; i < want.size(); ++i) {
          if (l.bias) want[i] += bias[i % static_cast<std::size_t>(l.n)];
          if (l.means == Means::declared && !mask[i / static_cast<std::size_t>(l.n)]) want[i] = 0;
        }
        for (const auto& [name, model] : models) {
          const Numbers<T> got =
              numbers_of<T>(model.run({{"x", view(x, {z.b, z.s, l.k})}, {"mask", view(mask, {z.b, z.s})}}).at("y"));
          ASSERT_TRUE(same_bits(got, want, name))
              << "k=" << l.k << " n=" << l.n << " b=" << z.b << " s=" << z.s << " live " << static_cast<int>(live);
        }
      }
  }
}

// Every number of rows and of columns, steps of k in one and in several blocks: both operands and all extents are free.
TYPED_TEST(Bits, EveryExtent) {
  using T = typename TypeParam::Type;
  OnnxModel m;
  m.input("a", OnnxModel::type_of<T>, {"b", "m", "k"})
      .input("w", OnnxModel::type_of<T>, {"b", "k", "n"})
      .output("y", OnnxModel::type_of<T>, {"b", "m", "n"});
  m.node("MatMul", {"a", "w"}, {"y"});
  CompileOptions o;
  o.cpu = TypeParam::cpu();
  o.threads = 2;
  const Model two = compile(m.bytes(), o);
  o.threads = 1;
  const Model one = compile(m.bytes(), o);
  auto check = [&](std::int64_t b, std::int64_t rows, std::int64_t n, std::int64_t k) {
    if (this->HasFatalFailure()) return;
    const Numbers<T> a = random_numbers<T>(this->r_, b * rows * k), w = random_numbers<T>(this->r_, b * k * n);
    Numbers<T> want(static_cast<std::size_t>(b * rows * n));
    for (std::int64_t i = 0; i < b; ++i)
      chain(a.data() + i * rows * k, w.data() + i * k * n, want.data() + i * rows * n, rows, n, k,
            [](auto, auto) { return true; });
    for (const Model* model : {&one, &two}) {
      const Numbers<T> got =
          numbers_of<T>(model->run({{"a", view(a, {b, rows, k})}, {"w", view(w, {b, k, n})}}).at("y"));
      ASSERT_TRUE(same_bits(got, want)) << "b=" << b << " m=" << rows << " n=" << n << " k=" << k;
    }
  };
  for (std::int64_t rows = 1; rows <= 130; ++rows) check(1, rows, 1 + rows * 7 % 53, 1 + rows * 3 % 11);
  for (std::int64_t n = 1; n <= 100; ++n) check(1 + n % 3, 1 + n * 5 % 17, n, 1 + n % 9);
  for (const std::int64_t k : {1, 2, 3, 15, 16, 17, 511, 512, 513, 1023, 1024, 1025, 1700}) check(2, 9, 19, k);
  for (const std::int64_t zero : {0, 1, 2}) check(1, zero == 0 ? 0 : 3, zero == 1 ? 0 : 4, zero == 2 ? 0 : 5);
}

// Steps of k that are absent are skipped: p[b,h,q,k] is zero where keys are masked, as after a softmax; v's rows there
// may be anything.
TYPED_TEST(Bits, MaskedTerms) {
  using T = typename TypeParam::Type;
  constexpr std::int64_t h = 2, n = 21;
  OnnxModel m;
  m.input("p", OnnxModel::type_of<T>, {"b", 2, "q", "k"})
      .input("v", OnnxModel::type_of<T>, {"b", 2, "k", 21})
      .input("mask", OnnxModel::i64, {"b", "k"});
  m.output("y", OnnxModel::type_of<T>, {"b", 2, "q", 21});
  m.constant<std::int64_t>("over_p", {2}, {1, 2})
      .constant<std::int64_t>("over_v", {2}, {1, 3})
      .constant<T>("zero", {}, {T{0}});
  m.node("Cast", {"mask"}, {"f"}, {{"to", std::int64_t{9}}})
      .node("Unsqueeze", {"f", "over_p"}, {"fp"})
      .node("Unsqueeze", {"f", "over_v"}, {"fv"});
  m.node("Where", {"fp", "p", "zero"}, {"pm"})
      .node("Where", {"fv", "v", "zero"}, {"vm"})
      .node("MatMul", {"pm", "vm"}, {"y"});
  std::vector<std::pair<std::string, Model>> models;
  for (const auto& [name, o] : all_ways(TypeParam::cpu())) models.emplace_back(name, compile(m.bytes(), o));
  for (const auto& [b, q, k] :
       std::vector<std::array<std::int64_t, 3>>{{1, 1, 1}, {3, 17, 30}, {2, 70, 700}, {4, 5, 1100}})
    for (const Live live : all_live) {
      const Ints mask = token_mask(this->r_, {b, k}, live);
      Numbers<T> p = random_numbers<T>(this->r_, b * h * q * k), v = random_numbers<T>(this->r_, b * h * k * n),
                 want(static_cast<std::size_t>(b * h * q * n));
      for (std::int64_t i = 0; i < b * h; ++i)
        chain(
            p.data() + i * q * k, v.data() + i * k * n, want.data() + i * q * n, q, n, k,
            [&, at = i / h](std::int64_t, std::int64_t t) { return mask[static_cast<std::size_t>(at * k + t)] != 0; });
      for (std::int64_t i = 0; i < b * h; ++i)
        for (std::int64_t t = 0; t < k; ++t) {
          if (mask[static_cast<std::size_t>(i / h * k + t)]) continue;
          for (std::int64_t j = 0; j < n; ++j) v[static_cast<std::size_t>((i * k + t) * n + j)] = kNan;
          for (std::int64_t j = 0; j < q; ++j) p[static_cast<std::size_t>((i * q + j) * k + t)] = kInf;
        }
      for (const auto& [name, model] : models) {
        const Numbers<T> got = numbers_of<T>(
            model.run({{"p", view(p, {b, h, q, k})}, {"v", view(v, {b, h, k, n})}, {"mask", view(mask, {b, k})}})
                .at("y"));
        ASSERT_TRUE(same_bits(got, want, name))
            << "b=" << b << " q=" << q << " k=" << k << " live " << static_cast<int>(live);
      }
    }
}

// Columns of B that are absent count as zeros: whole panels of them, and some within a panel; the epilogue follows,
// each matrix of the batch with its own operand.
TYPED_TEST(Bits, MaskedColumns) {
  using T = typename TypeParam::Type;
  for (const auto& [b, s, k, n] : std::vector<std::array<std::int64_t, 4>>{{2, 9, 30, 130}, {3, 3, 1100, 60}}) {
    OnnxModel m;
    m.input("x", OnnxModel::type_of<T>, {"b", "s", static_cast<int>(k)})
        .input("v", OnnxModel::type_of<T>, {"b", "n", static_cast<int>(k)})
        .input("mask", OnnxModel::i64, {"b", "n"})
        .input("r", OnnxModel::type_of<T>, {"b", "s", "n"});
    m.output("y", OnnxModel::type_of<T>, {"b", "s", "n"});
    m.constant<std::int64_t>("axis", {1}, {2}).constant<T>("zero", {}, {T{0}});
    m.node("Cast", {"mask"}, {"f"}, {{"to", std::int64_t{9}}})
        .node("Unsqueeze", {"f", "axis"}, {"f3"})
        .node("Where", {"f3", "v", "zero"}, {"vm"})
        .node("Transpose", {"vm"}, {"vt"}, {{"perm", Ints{0, 2, 1}}})
        .node("MatMul", {"x", "vt"}, {"p"})
        .node("Add", {"p", "r"}, {"y"});
    std::vector<std::pair<std::string, Model>> models;
    for (const auto& [name, o] : all_ways(TypeParam::cpu())) models.emplace_back(name, compile(m.bytes(), o));
    for (const Live live : all_live) {
      const Ints mask = token_mask(this->r_, {b, n}, live);
      const Numbers<T> x = random_numbers<T>(this->r_, b * s * k), r = random_numbers<T>(this->r_, b * s * n);
      Numbers<T> v = random_numbers<T>(this->r_, b * n * k), want(r.size());
      for (std::int64_t at = 0; at < b * s * n; ++at) {
        const std::int64_t row = at / n, column = row / s * n + at % n;
        T sum = 0;
        for (std::int64_t t = 0; t < k && mask[static_cast<std::size_t>(column)] != 0; ++t)
          sum = std::fma(x[static_cast<std::size_t>(row * k + t)], v[static_cast<std::size_t>(column * k + t)], sum);
        want[static_cast<std::size_t>(at)] = sum + r[static_cast<std::size_t>(at)];
      }
      for (std::int64_t i = 0; i < b * n * k; ++i)
        if (!mask[static_cast<std::size_t>(i / k)]) v[static_cast<std::size_t>(i)] = kNan;
      const std::map<std::string, TensorView> inputs{{"x", view(x, {b, s, k})},
                                                     {"v", view(v, {b, n, k})},
                                                     {"mask", view(mask, {b, n})},
                                                     {"r", view(r, {b, s, n})}};
      for (const auto& [name, model] : models)
        ASSERT_TRUE(same_bits(numbers_of<T>(model.run(inputs).at("y")), want, name))
            << "b=" << b << " s=" << s << " k=" << k << " n=" << n << " live " << static_cast<int>(live);
    }
  }
}

// The same where the other operand is a constant, packed with all of its steps of k: a mask over features, in long runs
// and scattered; stored as f32, where partial sums can wait, and as something narrower, where they cannot.
TYPED_TEST(Bits, MaskedFeatures) {
  using T = typename TypeParam::Type;
  constexpr std::int64_t k = 700, n = 35;
  const Numbers<T> w = random_numbers<T>(this->r_, k * n);
  for (const bool narrow : {false, true}) {
    OnnxModel m;
    m.input("x", OnnxModel::type_of<T>, {"b", "s", 700})
        .input("mask", OnnxModel::i64, {"b", 700})
        .constant("w", {k, n}, w);
    m.output("y", narrow ? OnnxModel::b8 : OnnxModel::type_of<T>, {"b", "s", 35});
    m.constant<std::int64_t>("axis", {1}, {1})
        .constant<T>("zero", {}, {T{0}})
        .node("Cast", {"mask"}, {"f"}, {{"to", std::int64_t{9}}});
    m.node("Unsqueeze", {"f", "axis"}, {"f3"})
        .node("Where", {"f3", "x", "zero"}, {"xm"})
        .node("MatMul", {"xm", "w"}, {narrow ? "p" : "y"});
    if (narrow) m.node("Greater", {"p", "zero"}, {"y"});
    std::vector<std::pair<std::string, Model>> models;
    for (const auto& [name, o] : all_ways(TypeParam::cpu())) models.emplace_back(name, compile(m.bytes(), o));
    for (const Live live : all_live) {
      const std::int64_t b = 2, s = 19;
      const Ints mask = token_mask(this->r_, {b, k}, live);
      Numbers<T> x = random_numbers<T>(this->r_, b * s * k), want(static_cast<std::size_t>(b * s * n));
      const auto there = [&](std::int64_t row, std::int64_t t) {
        return mask[static_cast<std::size_t>(row / s * k + t)] != 0;
      };
      chain(x.data(), w.data(), want.data(), b * s, n, k, there);
      for (std::int64_t i = 0; i < b * s * k; ++i)
        if (!there(i / k, i % k)) x[static_cast<std::size_t>(i)] = kNan;
      for (const auto& [name, model] : models) {
        const Tensor y = model.run({{"x", view(x, {b, s, k})}, {"mask", view(mask, {b, k})}}).at("y");
        if (!narrow) {
          ASSERT_TRUE(same_bits(numbers_of<T>(y), want, name)) << "live " << static_cast<int>(live);
        }
        for (std::size_t i = 0; narrow && i < want.size(); ++i)
          ASSERT_EQ(y.as<std::uint8_t>()[i], want[i] > 0) << name << " live " << static_cast<int>(live);
      }
    }
  }
}

// Gemm in its four orientations, with factors and a C of every broadcast form.
TYPED_TEST(Bits, Gemm) {
  using T = typename TypeParam::Type;
  int form = 0;
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      const std::int64_t k = 37 + 500 * form, n = 29;
      const std::vector<std::int64_t> c_shape = form == 0   ? Ints{n}
                                                : form == 1 ? Ints{1, n}
                                                : form == 2 ? Ints{1}
                                                            : Ints{};
      ++form;
      OnnxModel m;
      const Numbers<T> w = random_numbers<T>(this->r_, k * n), c = random_numbers<T>(this->r_, form <= 2 ? n : 1);
      Numbers<T> stored = w;
      if (tb)
        for (std::int64_t i = 0; i < k; ++i)
          for (std::int64_t j = 0; j < n; ++j)
            stored[static_cast<std::size_t>(j * k + i)] = w[static_cast<std::size_t>(i * n + j)];
      const int ki = static_cast<int>(k);
      m.input("x", OnnxModel::type_of<T>, ta ? OnnxModel::Dims{ki, "m"} : OnnxModel::Dims{"m", ki})
          .input("mask", OnnxModel::i64, {"m"});
      m.output("y", OnnxModel::type_of<T>, {"m", static_cast<int>(n)});
      m.constant<std::int64_t>("axis", {1}, {ta ? 0 : 1}).constant("w", tb ? Ints{n, k} : Ints{k, n}, stored);
      m.node("Cast", {"mask"}, {"f"}, {{"to", std::int64_t{OnnxModel::type_of<T>}}})
          .node("Unsqueeze", {"f", "axis"}, {"f2"})
          .node("Mul", {"x", "f2"}, {"xm"});
      std::vector<std::string> in = {"xm", "w"};
      if (form < 4) m.constant("c", c_shape, c), in.push_back("c");
      m.node("Gemm", in, {"y"},
             {{"transA", std::int64_t{ta}}, {"transB", std::int64_t{tb}}, {"alpha", 0.75}, {"beta", -1.5}});
      std::vector<std::pair<std::string, Model>> models;
      for (const auto& [name, o] : all_ways(TypeParam::cpu())) models.emplace_back(name, compile(m.bytes(), o));
      for (const std::int64_t rows : {1, 6, 77, 130})
        for (const Live live : all_live) {
          const Ints mask = token_mask(this->r_, {1, rows}, live);
          const Numbers<T> x = random_numbers<T>(this->r_, rows * k);
          Numbers<T> given = x, want(static_cast<std::size_t>(rows * n));
          if (ta)
            for (std::int64_t i = 0; i < rows; ++i)
              for (std::int64_t j = 0; j < k; ++j)
                given[static_cast<std::size_t>(j * rows + i)] = x[static_cast<std::size_t>(i * k + j)];
          chain(x.data(), w.data(), want.data(), rows, n, k,
                [&](std::int64_t i, std::int64_t) { return mask[static_cast<std::size_t>(i)] != 0; });
          Numbers<T> dense;
          for (const auto& [name, model] : models) {
            const Numbers<T> got = numbers_of<T>(
                model.run({{"x", view(given, ta ? Shape{k, rows} : Shape{rows, k})}, {"mask", view(mask, {rows})}})
                    .at("y"));
            // The factors are rounded somewhere: at the chain here, or at the weights. Everybody must do the same.
            if (dense.empty()) dense = got;
            ASSERT_TRUE(same_bits(got, dense, name))
                << "orientation " << form << " rows " << rows << " live " << static_cast<int>(live);
            for (std::size_t i = 0; i < want.size(); ++i) {
              const T bias = form < 4 ? c[form <= 2 ? i % static_cast<std::size_t>(n) : 0] : 0;
              ASSERT_NEAR(got[i], T{0.75} * want[i] - T{1.5} * bias, 1e-4) << name;
            }
          }
        }
    }
}

// Infinity and NaN in elements that are there reach exactly the results that depend on them, as IEEE says.
TYPED_TEST(Bits, InfinityAndNanPropagate) {
  using T = typename TypeParam::Type;
  const Linear l{40, 20, Means::where, true, false};
  const Numbers<T> w = random_numbers<T>(this->r_, l.k * l.n), bias = random_numbers<T>(this->r_, l.n);
  const std::string bytes = linear_model(l, w, bias);
  const Size z{2, 9};
  const Ints mask = token_mask(this->r_, z, Live::some);
  Numbers<T> x = random_numbers<T>(this->r_, z.b * z.s * l.k), want(static_cast<std::size_t>(z.b * z.s * l.n));
  for (std::int64_t i = 0; i < z.b * z.s; ++i)
    x[static_cast<std::size_t>(i * l.k + i)] = i % 3 == 0 ? kNan : i % 3 == 1 ? kInf : -kInf;
  chain(x.data(), w.data(), want.data(), z.b * z.s, l.n, l.k,
        [&](std::int64_t i, std::int64_t) { return mask[static_cast<std::size_t>(i)] != 0; });
  for (std::size_t i = 0; i < want.size(); ++i) want[i] += bias[i % static_cast<std::size_t>(l.n)];
  for (const auto& [name, o] : all_ways(TypeParam::cpu())) {
    const Numbers<T> got = numbers_of<T>(
        compile(bytes, o).run({{"x", view(x, {z.b, z.s, l.k})}, {"mask", view(mask, {z.b, z.s})}}).at("y"));
    EXPECT_TRUE(same_bits(got, want, name));
  }
}

// y[b,s,n] = relu(x[b,s,k] + shift) * W + bias + r[b,s,n], rows declared by the mask: zeros that only values tell, a
// different share in every run.
TYPED_TEST(Bits, ZerosInValues) {
  using T = typename TypeParam::Type;
  struct Shape {
    std::int64_t k, n;
    bool pruned;
  };
  for (const auto& [k, n, pruned] :
       std::vector<Shape>{{700, 100, false}, {64, 8, false}, {1030, 49, false}, {3, 200, false}, {700, 200, true}}) {
    Numbers<T> w = random_numbers<T>(this->r_, k * n);
    const Numbers<T> bias = random_numbers<T>(this->r_, n);
    constexpr std::int64_t width = 48;
    std::bernoulli_distribution dead(pruned ? 0.8 : 0);
    for (std::int64_t row = 0; row < k; ++row)
      for (std::int64_t at = row * n; at < (row + 1) * n; at += width)
        if (dead(this->r_)) std::fill_n(w.begin() + at, std::min(width, (row + 1) * n - at), T{0});
    OnnxModel m;
    m.input("x", OnnxModel::type_of<T>, {"b", "s", static_cast<int>(k)})
        .input("shift", OnnxModel::type_of<T>, {1})
        .input("r", OnnxModel::type_of<T>, {"b", "s", static_cast<int>(n)});
    m.input("mask", OnnxModel::i64, {"b", "s"}).output("y", OnnxModel::type_of<T>, {"b", "s", static_cast<int>(n)});
    m.constant("w", {k, n}, w)
        .constant("bias", {n}, bias)
        .node("Add", {"x", "shift"}, {"xs"})
        .node("Relu", {"xs"}, {"a"});
    m.node("MatMul", {"a", "w"}, {"p"}).node("Add", {"p", "bias"}, {"q"}).node("Add", {"q", "r"}, {"y"});
    std::vector<std::pair<std::string, Model>> models;
    for (const auto& [name, o] : all_ways(TypeParam::cpu(), {{"y", "mask"}}))
      models.emplace_back(name, compile(m.bytes(), o));
    const std::string where = pruned ? "values of 'a' and 'w': " : "values of 'a': ";
    EXPECT_NE(models[0].second.explain(nullptr, true).find(where + "terms that are not zero"), std::string::npos);
    bool left_out = false;
    for (const Size z : {Size{1, 1}, Size{1, 7}, Size{3, 37}, Size{1, 130}, Size{0, 4}})
      for (const T shift : {-9.0, -2.5, -1.0, 0.0, 9.0}) {
        const Ints mask = token_mask(this->r_, z, shift == -2.5 ? Live::some : Live::all);
        const Numbers<T> x = random_numbers<T>(this->r_, z.b * z.s * k), r = random_numbers<T>(this->r_, z.b * z.s * n),
                         shifts{shift};
        Numbers<T> a = x, want(r.size());
        for (T& v : a) v = std::max(v + shift, T{0});
        chain(a.data(), w.data(), want.data(), z.b * z.s, n, k, [](std::int64_t, std::int64_t) { return true; });
        for (std::size_t i = 0; i < want.size(); ++i) {
          want[i] = want[i] + bias[i % static_cast<std::size_t>(n)] + r[i];
          if (!mask[i / static_cast<std::size_t>(n)]) want[i] = 0;
        }
        const std::map<std::string, TensorView> inputs{{"x", view(x, {z.b, z.s, k})},
                                                       {"shift", view(shifts, {1})},
                                                       {"r", view(r, {z.b, z.s, n})},
                                                       {"mask", view(mask, {z.b, z.s})}};
        for (const auto& [name, model] : models)
          ASSERT_TRUE(same_bits(numbers_of<T>(model.run(inputs).at("y")), want, name))
              << "k=" << k << " n=" << n << " rows=" << z.b * z.s << " shift " << shift;
        const std::string profile = models[0].second.profile(inputs, 1, true);
        for (const char* rule : {"k ", "element ", "stream ", "both ", "B.k ", "Bt.k "})
          left_out = left_out || profile.find(where + rule) != std::string::npos;
      }
    EXPECT_TRUE(left_out || k < 64) << "no run left any live out";
  }
}

// An infinite weight against a zero is NaN in the dense model: no zeros are left out then.
TYPED_TEST(Bits, ZerosInValuesAgainstInfinity) {
  using T = typename TypeParam::Type;
  constexpr std::int64_t k = 300, n = 50, rows = 40;
  Numbers<T> w = random_numbers<T>(this->r_, k * n);
  w[123] = kInf;
  OnnxModel m;
  m.input("x", OnnxModel::type_of<T>, {"m", static_cast<int>(k)})
      .output("y", OnnxModel::type_of<T>, {"m", static_cast<int>(n)});
  m.constant("w", {k, n}, w).node("Relu", {"x"}, {"a"}).node("MatMul", {"a", "w"}, {"y"});
  const Numbers<T> x = random_numbers<T>(this->r_, rows * k);
  Numbers<T> a = x, want(static_cast<std::size_t>(rows * n));
  for (T& v : a) v = std::max(v - T{0}, T{0});
  chain(a.data(), w.data(), want.data(), rows, n, k, [](std::int64_t, std::int64_t) { return true; });
  for (const auto& [name, o] : all_ways(TypeParam::cpu())) {
    const Model model = compile(m.bytes(), o);
    EXPECT_EQ(model.explain(nullptr, true).find("values of"), std::string::npos) << name;
    EXPECT_TRUE(same_bits(numbers_of<T>(model.run({{"x", view(x, {rows, k})}}).at("y")), want, name));
  }
}

}  // namespace
}  // namespace pit::test
