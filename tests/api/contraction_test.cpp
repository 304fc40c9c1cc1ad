// Contractions through the public interface, against plain loops: random shapes, strides, transpositions, batches,
// granularities, densities and algebras. Every candidate rule must give the bits of the dense one. A failure prints the
// seed of its case; PIT_TEST_SEED=n tries that one alone (with --gtest_filter), PIT_TEST_CASES=n n times as many.
#include "pit/contraction.h"

#include <cmath>
#include <cstdlib>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sys/mman.h>

#include "sanitizers.h"

#include "support/cpu.h"

namespace pit {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Algebra {
  const char* combiner;
  const char* product;
  float absent;
};

/// A number per axis: extents, or where an element is.
struct Point {
  std::int64_t b = 0, m = 0, n = 0, k = 0;
  std::int64_t& operator[](char axis) { return axis == 'b' ? b : axis == 'm' ? m : axis == 'n' ? n : k; }
  std::int64_t at(char axis) const { return axis == 'b' ? b : axis == 'm' ? m : axis == 'n' ? n : k; }
};

const std::map<std::string, Algebra> kAlgebras = {
    {"sum", {"+=", "*", 0}},           {"max-plus", {"max=", "+", -kInf}},
    {"min-plus", {"min=", "+", kInf}}, {"logsumexp", {"logsumexp=", "+", -kInf}},
    {"or-and", {"or=", "&&", 0}},
};

/// The CPUs that this machine can stand for: every instruction set is tried.
std::vector<std::string> cpus() {
  std::vector<std::string> names = {"haswell"};
  if (cpu_target().vector_bytes == 64) names.emplace_back();
  return names;
}

const Contraction& compiled(const std::string& expression, const std::string& cpu, int threads, Poison poison) {
  static std::map<std::string, Contraction> cache;
  const std::string key =
      expression + "|" + cpu + "|" + std::to_string(threads) + std::to_string(static_cast<int>(poison));
  auto it = cache.find(key);
  if (it == cache.end()) it = cache.emplace(key, Contraction::compile(expression, {threads, cpu, {}, poison})).first;
  return it->second;
}

/// A strided f32, f64 or b8 tensor in a buffer of its own, with gaps of NaN (or true) between its elements.
class Operand {
 public:
  Operand(std::mt19937& random, DType dtype, Shape shape, bool odd)
      : dtype_(dtype), shape_(std::move(shape)), strides_(shape_.size()) {
    std::vector<std::size_t> order(shape_.size());
    for (std::size_t d = 0; d < order.size(); ++d) order[d] = d;
    if (odd) std::shuffle(order.begin(), order.end(), random);
    std::int64_t step = odd && random() % 3 == 0 ? 2 : 1;
    for (std::size_t i = order.size(); i-- > 0;) {
      strides_[order[i]] = step;
      step *= std::max<std::int64_t>(1, shape_[order[i]]);
      if (odd && random() % 3 == 0) step += static_cast<std::int64_t>(random() % 5);
    }
    if (odd)
      for (std::size_t d = 0; d < shape_.size(); ++d)
        if (shape_[d] > 0 && random() % 6 == 0) {
          base_ += strides_[d] * (shape_[d] - 1);
          strides_[d] = -strides_[d];
        }
    const auto size = static_cast<std::size_t>(step + 1);
    if (dtype == DType::f32) floats_.assign(size, kNan);
    if (dtype == DType::f64) doubles_.assign(size, kNan);
    if (dtype == DType::b8) bytes_.assign(size, 1);
    for (std::int64_t i = 0; i < element_count(shape_); ++i)
      set(i, dtype == DType::b8 ? static_cast<double>(random() % 2) : value(random));
  }

  static double value(std::mt19937& random) { return std::uniform_real_distribution<double>(-2, 2)(random); }

  /// Elements are numbered as if contiguous.
  double get(std::int64_t i) const {
    if (dtype_ == DType::f64) return doubles_[at(i)];
    return dtype_ == DType::b8 ? bytes_[at(i)] : static_cast<double>(floats_[at(i)]);
  }
  void set(std::int64_t i, double v) {
    if (dtype_ == DType::b8) bytes_[at(i)] = v != 0;
    else if (dtype_ == DType::f64) doubles_[at(i)] = v;
    else floats_[at(i)] = static_cast<float>(v);
  }
  const Shape& shape() const { return shape_; }
  TensorView view() {
    if (dtype_ == DType::b8) return {bytes_.data() + base_, dtype_, shape_, strides_};
    if (dtype_ == DType::f64) return {doubles_.data() + base_, dtype_, shape_, strides_};
    return {floats_.data() + base_, dtype_, shape_, strides_};
  }

 private:
  std::size_t at(std::int64_t i) const {
    std::int64_t offset = base_;
    for (std::size_t d = shape_.size(); d-- > 0; i /= shape_[d]) offset += i % shape_[d] * strides_[d];
    return static_cast<std::size_t>(offset);
  }
  DType dtype_;
  Shape shape_;
  std::vector<std::int64_t> strides_;
  std::int64_t base_ = 0;
  std::vector<float> floats_;
  std::vector<double> doubles_;
  std::vector<std::uint8_t> bytes_;
};

/// Which elements of a batch of matrices are live, and the micro-tiles that they lie in.
struct Map {
  std::int64_t batch, rows, columns;
  Granularity g;
  std::vector<std::uint8_t> tiles;
  std::int64_t row_groups() const { return (rows + g.rows - 1) / g.rows; }
  std::int64_t column_groups() const { return (columns + g.columns - 1) / g.columns; }
  bool at(std::int64_t b, std::int64_t r, std::int64_t c) const {
    return tiles[static_cast<std::size_t>((b * row_groups() + r / g.rows) * column_groups() + c / g.columns)] != 0;
  }
  LiveSet live_set() {
    return LiveSet::from_mask({tiles.data(), DType::u8, {batch, row_groups(), column_groups()}, {}}, rows, columns, g);
  }
};

Map random_map(std::mt19937& random, std::int64_t batch, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t extents[] = {1, 1, 2, 3, 4, 8, 16, 32, 100};
  const double densities[] = {0, 0.03, 0.2, 0.5, 0.9, 1};
  Map m{batch, rows, columns, {extents[random() % 9], extents[random() % 9]}, {}};
  // As the interface shortens them, so that a map restates to one tall matrix alike.
  m.g = {std::min(m.g.rows, std::max<std::int64_t>(rows, 1)),
         std::min(m.g.columns, std::max<std::int64_t>(columns, 1))};
  std::bernoulli_distribution live(densities[random() % 6]);
  for (std::int64_t i = 0; i < batch * m.row_groups() * m.column_groups(); ++i) m.tiles.push_back(live(random));
  return m;
}

/// One expression with the extents of a case, and its operands' matrices by the axes b, m, n, k.
struct Form {
  const char* einsum;     ///< letters b, m, n, k; each at most once per operand
  bool batch_a, batch_b;  ///< whether b is an axis of the operand
};

constexpr Form kForms[] = {
    {"mk,kn->mn", false, false},  {"km,nk->mn", false, false},  {"mk,kn->nm", false, false},
    {"bmk,bkn->bmn", true, true}, {"mbk,bnk->bmn", true, true}, {"bmk,bkn->mbn", true, true},
    {"mk,bkn->bmn", false, true}, {"bmk,bkn->bnm", true, true}, {"bmk,bkn->mnb", true, true},
};

std::string with_commas(const std::string& letters) {
  std::string text;
  for (const char c : letters) text += (text.empty() ? "" : ",") + std::string(1, c);
  return text;
}

std::string expression_of(const std::string& einsum, const Algebra& algebra) {
  const std::size_t comma = einsum.find(','), arrow = einsum.find("->");
  return "C[" + with_commas(einsum.substr(arrow + 2)) + "] " + algebra.combiner + " A[" +
         with_commas(einsum.substr(0, comma)) + "] " + algebra.product + " B[" +
         with_commas(einsum.substr(comma + 1, arrow - comma - 1)) + "]";
}

class Case {
 public:
  /// `large`: several blocks and panels of everything; compared with the dense rule, and in places with plain loops.
  Case(std::uint32_t seed, const Form& form, const std::string& algebra, DType type, bool large)
      : seed_(seed), random_(seed), name_(algebra), algebra_(kAlgebras.at(algebra)), large_(large) {
    constexpr std::int64_t small_extents[] = {1, 2, 3, 5, 8, 17, 24, 33, 48, 65, 100},
                           large_extents[] = {1, 16, 130, 257, 600, 1100};
    auto extent = [&] {
      return large ? large_extents[random_() % 6] : random_() % 16 == 0 ? 0 : small_extents[random_() % 11];
    };
    const std::int64_t batch = form.batch_a || form.batch_b ? 1 + static_cast<std::int64_t>(random_() % 3) : 1;
    e_ = {batch, extent(), extent(), extent()};
    const std::string text = form.einsum;
    const std::size_t comma = text.find(','), arrow = text.find("->");
    a_axes_ = text.substr(0, comma), b_axes_ = text.substr(comma + 1, arrow - comma - 1),
    c_axes_ = text.substr(arrow + 2);
    dtype_ = type;
    a_ = std::make_unique<Operand>(random_, dtype_, shape(a_axes_), random_() % 2 == 0);
    b_ = std::make_unique<Operand>(random_, dtype_, shape(b_axes_), random_() % 2 == 0);
    map_a_ = random_map(random_, form.batch_a ? e_['b'] : 1, e_['m'], e_['k']);
    map_b_ = random_map(random_, form.batch_b ? e_['b'] : 1, e_['k'], e_['n']);
    map_c_ = random_map(random_, c_axes_.find('b') == std::string::npos ? 1 : e_['b'], e_['m'], e_['n']);
    sides_ = static_cast<int>(random_() % 8);
    clear(*a_, a_axes_, 'm', 'k', sides_ & 1 ? &map_a_ : nullptr);
    clear(*b_, b_axes_, 'k', 'n', sides_ & 2 ? &map_b_ : nullptr);
  }

  /// Calls of all kinds against plain loops and against each other.
  void check(const Contraction& contraction) {
    SCOPED_TRACE("seed " + std::to_string(seed_) + ", " + name_of(dtype_) + ": " + contraction.expression() +
                 " b=" + std::to_string(e_['b']) + " m=" + std::to_string(e_['m']) + " n=" + std::to_string(e_['n']) +
                 " k=" + std::to_string(e_['k']) + ", sparse sides " + std::to_string(sides_));
    CallReport report;
    CallOptions options;
    options.report = &report;
    const Tensor full = contraction.run(a_->view(), b_->view(), options);
    ASSERT_EQ(full.shape(), shape(c_axes_));
    ASSERT_EQ(full.dtype(), dtype_);
    compare_with_loops(full);
    EXPECT_EQ(report.live_fraction, 1);

    options.a = sides_ & 1 ? Zeros::detect(map_a_.g) : Zeros::dense();
    options.b = sides_ & 2 ? Zeros::detect(map_b_.g) : Zeros::dense();
    options.c = sides_ & 4 ? Zeros::in(map_c_.live_set()) : Zeros::dense();
    const Map* wanted = sides_ & 4 ? &map_c_ : nullptr;
    same(contraction.run(a_->view(), b_->view(), options), full, wanted, "detected, " + report.rule);
    EXPECT_GE(report.live_fraction, 0);
    EXPECT_LE(report.live_fraction, 1 + 1e-9);

    if (sides_ & 1) options.a = Zeros::in(map_a_.live_set());
    if (sides_ & 2) options.b = Zeros::in(map_b_.live_set());
    const CallReport known = [&] {
      same(contraction.run(a_->view(), b_->view(), options), full, wanted, "known, " + report.rule);
      return report;
    }();
    check_share(known.live_fraction);
    for (const Candidate& c : known.candidates) {
      options.rule = c.rule;
      same(contraction.run(a_->view(), b_->view(), options), full, wanted, "rule " + c.rule);
      EXPECT_EQ(report.rule, c.rule);
      ++rules_seen()[name_of(dtype_) + (" " + c.rule.substr(0, c.rule.find(' ')))];
    }
    prepared(contraction, full, wanted);
    undefined_outside(contraction, full, wanted);
  }

  static std::map<std::string, int>& rules_seen() {
    static std::map<std::string, int> seen;
    return seen;
  }

 private:
  Shape shape(const std::string& axes) {
    Shape s;
    for (const char c : axes) s.push_back(e_[c]);
    return s;
  }

  /// The position of axis `axis` in element i of a tensor with these axes.
  std::int64_t position(const std::string& axes, std::int64_t i, char axis) {
    for (std::size_t d = axes.size(); d-- > 0; i /= e_[axes[d]])
      if (axes[d] == axis) return i % e_[axes[d]];
    return 0;
  }

  void clear(Operand& x, const std::string& axes, char row, char column, const Map* map,
             std::optional<float> value = {}) {
    if (!map) return;
    for (std::int64_t i = 0; i < element_count(x.shape()); ++i)
      if (!map->at(map->batch == 1 ? 0 : position(axes, i, 'b'), position(axes, i, row), position(axes, i, column)))
        x.set(i, value.value_or(algebra_.absent));
  }

  std::int64_t element(const std::string& axes, const Point& at) {
    std::int64_t i = 0;
    for (const char c : axes) i = i * e_[c] + at.at(c);
    return i;
  }

  static double read(const Tensor& t, std::int64_t i) {
    if (t.dtype() == DType::f64) return t.as<double>()[i];
    return t.dtype() == DType::b8 ? t.as<std::uint8_t>()[i] : static_cast<double>(t.as<float>()[i]);
  }
  double tolerance() const { return dtype_ == DType::f64 ? 1e-14 : 2e-5; }

  double by_loops(const Point& at) { return dtype_ == DType::f64 ? loops<double>(at) : loops<float>(at); }
  template <class T>
  double loops(const Point& at) {
    T chain = 0;
    double best = name_ == "min-plus" ? kInf : name_ == "or-and" ? 0 : -kInf, sum = 0;
    Point p = at;
    for (int pass = 0; pass < 2; ++pass)
      for (p['k'] = 0; p['k'] < e_['k']; ++p['k']) {
        const T x = static_cast<T>(a_->get(element(a_axes_, p))), y = static_cast<T>(b_->get(element(b_axes_, p)));
        if (pass == 0) chain = std::fma(x, y, chain);
        if (name_ == "min-plus") best = std::min<double>(best, x + y);
        else if (name_ == "or-and") best = std::max<double>(best, x != 0 && y != 0);
        else if (pass == 0) best = std::max<double>(best, x + y);
        else if (std::isfinite(best)) sum += std::exp(x + y - best);
      }
    if (name_ == "sum") return chain;
    return name_ == "logsumexp" && std::isfinite(best) ? best + std::log(sum) : best;
  }

  template <class F>
  void for_each_result(F&& f) {
    Point at;
    for (at['b'] = 0; at['b'] < e_['b']; ++at['b'])
      for (at['m'] = 0; at['m'] < e_['m']; ++at['m'])
        for (at['n'] = 0; at['n'] < e_['n']; ++at['n']) f(at, element(c_axes_, at));
  }

  void compare_with_loops(const Tensor& got) {
    int shown = 0;
    const std::int64_t every = large_ ? std::max<std::int64_t>(1, got.size() / 100) : 1;
    for_each_result([&](const Point& at, std::int64_t i) {
      if (i % every != 0) return;
      const double want = by_loops(at), x = read(got, i);
      const bool good =
          name_ == "logsumexp" ? x == want || std::abs(x - want) <= tolerance() * (1 + std::abs(want)) : x == want;
      if (!good && shown++ < 3)
        ADD_FAILURE() << "m=" << at.at('m') << " n=" << at.at('n') << ": " << x << ", not " << want;
    });
  }

  /// Bit for bit (zeros of either sign alike); elements that nobody wants are the identity.
  void same(const Tensor& got, const Tensor& full, const Map* wanted, const std::string& what) {
    ASSERT_EQ(got.shape(), full.shape());
    const double identity = name_ == "or-and" ? 0 : algebra_.absent;
    int shown = 0;
    for_each_result([&](const Point& at, std::int64_t i) {
      const bool live = !wanted || wanted->at(wanted->batch == 1 ? 0 : at.at('b'), at.at('m'), at.at('n'));
      const double x = read(got, i), y = live ? read(full, i) : identity;
      // A regrouped sum of exponentials is equal within rounding only.
      const bool good = x == y || (name_ == "logsumexp" && std::abs(x - y) <= tolerance() * (1 + std::abs(y)));
      if (!good && shown++ < 3)
        ADD_FAILURE() << what << ": m=" << at.at('m') << " n=" << at.at('n') << ": " << x << ", not " << y;
    });
  }

  /// The share of live multiply-adds, counted one by one; with three sparse sides it is an estimate.
  void check_share(double found) {
    const std::int64_t all = e_['b'] * e_['m'] * e_['n'] * e_['k'];
    if (sides_ == 7 || all == 0 || all > 50000) return;
    std::int64_t live = 0;
    auto in = [&](int side, const Map& map, std::int64_t b, std::int64_t r, std::int64_t c) {
      return (sides_ & side) == 0 || map.at(map.batch == 1 ? 0 : b, r, c);
    };
    for (std::int64_t b = 0; b < e_['b']; ++b)
      for (std::int64_t m = 0; m < e_['m']; ++m)
        for (std::int64_t n = 0; n < e_['n']; ++n)
          for (std::int64_t k = 0; k < e_['k']; ++k)
            live += in(1, map_a_, b, m, k) && in(2, map_b_, b, k, n) && in(4, map_c_, b, m, n);
    EXPECT_NEAR(found, static_cast<double>(live) / static_cast<double>(all), 1e-9);
  }

  void prepared(const Contraction& contraction, const Tensor& full, const Map* wanted) {
    const PreparedOperand b = contraction.prepare(b_->view(), sides_ & 2 ? Zeros::detect(map_b_.g) : Zeros::dense());
    EXPECT_EQ(b.shape(), b_->shape());
    CallReport report;
    CallOptions options;
    options.report = &report;
    if (sides_ & 1) options.a = Zeros::in(map_a_.live_set());
    if (sides_ & 4) options.c = Zeros::in(map_c_.live_set());
    same(contraction.run(a_->view(), b, options), full, wanted, "prepared, " + report.rule);
    const std::vector<Candidate> candidates = report.candidates;
    for (const Candidate& c : candidates) {
      options.rule = c.rule;
      same(contraction.run(a_->view(), b, options), full, wanted, "prepared, rule " + c.rule);
    }
  }

  /// Elements outside of a known live set are not read.
  void undefined_outside(const Contraction& contraction, const Tensor& full, const Map* wanted) {
    clear(*a_, a_axes_, 'm', 'k', sides_ & 1 ? &map_a_ : nullptr, kNan);
    clear(*b_, b_axes_, 'k', 'n', sides_ & 2 ? &map_b_ : nullptr, kNan);
    CallReport report;
    CallOptions options;
    options.report = &report;
    if (sides_ & 1) options.a = Zeros::in(map_a_.live_set());
    if (sides_ & 2) options.b = Zeros::in(map_b_.live_set());
    if (sides_ & 4) options.c = Zeros::in(map_c_.live_set());
    same(contraction.run(a_->view(), b_->view(), options), full, wanted, "undefined outside");
    const std::vector<Candidate> candidates = report.candidates;
    for (const Candidate& c : candidates) {
      options.rule = c.rule;
      same(contraction.run(a_->view(), b_->view(), options), full, wanted, "undefined outside, rule " + c.rule);
    }
  }

  std::uint32_t seed_;
  std::mt19937 random_;
  std::string name_;
  Algebra algebra_;
  DType dtype_ = DType::f32;
  bool large_ = false;
  Point e_;
  std::string a_axes_, b_axes_, c_axes_;
  std::unique_ptr<Operand> a_, b_;
  Map map_a_, map_b_, map_c_;
  int sides_ = 0;
};

void run_cases(const std::string& algebra, std::uint32_t first, int count, Poison poison, bool large = false) {
  if (test::kThreadSanitizer) count = (count + 4) / 5;
  if (const char* times = std::getenv("PIT_TEST_CASES")) count *= std::max(1, std::atoi(times));
  const char* only = std::getenv("PIT_TEST_SEED");
  if (only) first = static_cast<std::uint32_t>(std::atoi(only)), count = 1;
  for (std::uint32_t seed = first; seed < first + static_cast<std::uint32_t>(count) && !::testing::Test::HasFailure();
       ++seed) {
    const Form& form = kForms[std::mt19937(seed)() % std::size(kForms)];
    const std::string expression = expression_of(form.einsum, kAlgebras.at(algebra));
    // Types differ in tables alone, so a part of the cases tries all of them.
    std::vector<DType> types = {algebra == "or-and" ? DType::b8 : DType::f32};
    if (algebra != "or-and" && (seed % 3 == 0 || only)) types.push_back(DType::f64);
    for (const std::string& cpu : cpus())
      for (const DType type : types)
        Case(seed, form, algebra, type, large).check(compiled(expression, cpu, 1 + static_cast<int>(seed % 2), poison));
  }
}

TEST(Contraction, SumsOfProducts) {
  run_cases("sum", 1000, 250, Poison::none);
  if (test::kThreadSanitizer) return;  // too few cases for each rule
  for (const char* rule : {"dense", "k", "m", "element", "B.k", "Bt.k", "both", "C.m", "stream"})
    for (const char* type : {"f32 ", "f64 "})
      EXPECT_GT(Case::rules_seen()[type + std::string(rule)], 0) << type << rule << " never ran";
}
TEST(Contraction, SeveralBlocks) { run_cases("sum", 7000, 6, Poison::nan, true); }
TEST(Contraction, SeveralBlocksOfMaxPlus) { run_cases("max-plus", 7100, 3, Poison::none, true); }
TEST(Contraction, Poisoned) { run_cases("sum", 5000, 80, Poison::nan); }
TEST(Contraction, MaxPlus) { run_cases("max-plus", 2000, 60, Poison::none); }
TEST(Contraction, MinPlus) { run_cases("min-plus", 3000, 40, Poison::large); }
TEST(Contraction, LogSumExp) { run_cases("logsumexp", 4000, 50, Poison::none); }
TEST(Contraction, OrAnd) { run_cases("or-and", 6000, 50, Poison::nan); }

/// Address space without memory behind it, until it is touched.
class Reserved {
 public:
  explicit Reserved(std::size_t bytes)
      : bytes_(bytes),
        data_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~Reserved() {
    if (data_ != MAP_FAILED) munmap(data_, bytes_);
  }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;
  float* data() const { return data_ == MAP_FAILED ? nullptr : static_cast<float*>(data_); }

 private:
  std::size_t bytes_;
  void* data_;
};

// Operands and results with more elements between their corners than 32 bits count.
TEST(Contraction, OffsetsBeyond32Bits) {
  constexpr std::int64_t far = std::int64_t{1} << 30, rows = 5, columns = 40;
  const Reserved memory(static_cast<std::size_t>(rows) * far * sizeof(float)),
      result(static_cast<std::size_t>(rows) * far * sizeof(float));
  if (!memory.data() || !result.data()) GTEST_SKIP() << "no address space";
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      memory.data()[r * far + c] = static_cast<float>((r * columns + c) % 7) - 2;
  const TensorView tall{memory.data(), DType::f32, {rows, columns}, {far, 1}},
      wide{memory.data(), DType::f32, {columns, rows}, {1, far}};
  const Contraction& c = compiled("C[m,n] += A[m,k] * B[k,n]", {}, 1, Poison::none);
  for (const Zeros& zeros : {Zeros::dense(), Zeros::detect({1, 1}), Zeros::detect({4, 2})}) {
    const TensorView out{result.data(), DType::f32, {rows, rows}, {far, 1}};
    CallOptions options{zeros, zeros, {}, {}, nullptr};
    c.run_into(out, tall, wide, options);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < rows; ++j) {
        float want = 0;
        for (std::int64_t k = 0; k < columns; ++k) want += memory.data()[i * far + k] * memory.data()[j * far + k];
        EXPECT_EQ(result.data()[i * far + j], want);
      }
    const Tensor other = c.run(wide, tall, options);
    for (std::int64_t i = 0; i < columns; ++i) {
      float want = 0;
      for (std::int64_t k = 0; k < rows; ++k) want += memory.data()[k * far + i] * memory.data()[k * far + 3];
      EXPECT_EQ(other.as<float>()[i * columns + 3], want);
    }
  }
  EXPECT_EQ(LiveSet::detect(tall, {1, 1}).mask().size(), rows * columns);
}

}  // namespace
}  // namespace pit
