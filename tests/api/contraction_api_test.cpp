// Contractions at the public API: what texts mean, what is refused and how, results written in place.
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>

#include "pit/contraction.h"

namespace pit {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Tensor floats(Shape shape, std::vector<float> values = {}) {
  Tensor t(DType::f32, std::move(shape));
  for (std::int64_t i = 0; i < t.size(); ++i)
    t.as<float>()[i] = values.empty() ? static_cast<float>(i + 1) : values[static_cast<std::size_t>(i)];
  return t;
}

const Contraction& product() {
  static const Contraction c = Contraction::compile("mk,kn->mn", {1, {}, {}});
  return c;
}

template <class E, class F>
E caught(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e;
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another error: " << e.what();
    return E("");
  }
  ADD_FAILURE() << "no error";
  return E("");
}

TEST(ContractionText, Einsum) {
  EXPECT_EQ(product().expression(), "C[m,n] += A[m,k] * B[k,n]");
  EXPECT_EQ(Contraction::compile(" b m k , b k n -> b m n ").expression(), "C[b,m,n] += A[b,m,k] * B[b,k,n]");
  EXPECT_EQ(Contraction::compile("mk,kn").expression(), "C[m,n] += A[m,k] * B[k,n]");
  EXPECT_EQ(Contraction::compile("k,k->").run(floats({3}).view(), floats({3}).view()).as<float>()[0], 14);
  const Tensor outer = Contraction::compile("m,n->mn").run(floats({2}).view(), floats({3}).view());
  EXPECT_EQ(outer.shape(), (Shape{2, 3}));
  EXPECT_EQ(outer.as<float>()[5], 6);
  const Tensor rows = Contraction::compile("mk,k->m").run(floats({2, 3}).view(), floats({3}).view());
  EXPECT_EQ(rows.as<float>()[1], 32);
  const Tensor diagonal = Contraction::compile("kk,kn->n").run(floats({2, 2}).view(), floats({2, 1}).view());
  EXPECT_EQ(diagonal.as<float>()[0], 1 * 1 + 4 * 2);
}

TEST(ContractionText, Refused) {
  auto refused = [](const std::string& text, const std::string& why) {
    const InputError e = caught<InputError>([&] { Contraction::compile(text); });
    EXPECT_NE(std::string(e.what()).find(why), std::string::npos) << e.what();
    EXPECT_EQ(e.op(), text);
  };
  refused("mk->mk", "1 operand, not two");
  refused("a,b,c->abc", "3 operands");
  refused("mk,k1->m1", "'1' is no axis");
  refused("mk,kn->mx", "axis x of the result is in neither factor");
  refused("mk,kn->m", "axis n is reduced, but not in both factors");
  refused("mk,kn->mm", "an axis stands twice in the result");
  refused("C[m,n] += A[m,k] * A[k,n]", "same tensor");
  refused("C[m,n] += A[m,k+1] * B[k,n]", "compound index");
  refused("C[m,n] += A[m,k] * B[k,n] * D[k]", "a factor is not a tensor element");
  refused("C[m,n] = A[m] * B[n]", "assigns");
  refused("C[m,n] += A[m,0] * B[0,n]", "an index is a number");
  refused("C[m,n] +=", "");
  refused("C[m,n] += A[m,k] * B[k,n]; D[m] += C[m,n]", "2 statements");
  const UnsupportedError e = caught<UnsupportedError>([] { Contraction::compile("C[m,n] *= A[m,k] + B[k,n]"); });
  EXPECT_NE(std::string(e.what()).find("no annihilator"), std::string::npos);
  EXPECT_THROW(Contraction::compile("mk,kn->mn", {-1, {}, {}}), InputError);
  EXPECT_THROW(Contraction::compile("mk,kn->mn", {1, "no-such-cpu", {}}), InputError);
}

TEST(ContractionCall, OperandsThatDoNotFit) {
  const Tensor a = floats({2, 3}), b = floats({3, 4});
  auto refused = [&](const TensorView& x, const TensorView& y, const CallOptions& options, const std::string& tensor,
                     const std::string& why) {
    const InputError e = caught<InputError>([&] { product().run(x, y, options); });
    EXPECT_EQ(e.tensor(), tensor) << e.what();
    EXPECT_EQ(e.op(), product().expression());
    EXPECT_NE(std::string(e.what()).find(why), std::string::npos) << e.what();
  };
  refused(floats({2, 4}).view(), b.view(), {}, "b", "axis k is 4 elsewhere");
  refused(floats({2}).view(), b.view(), {}, "a", "[m, k]");
  refused(a.view(), Tensor(DType::f64, {3, 4}).view(), {}, "b", "f64");
  refused({nullptr, DType::f32, {2, 3}, {}}, b.view(), {}, "a", "no data");
  refused(a.view(), b.view(), {.a = Zeros::detect({0, 1}), .b = {}, .c = {}, .rule = {}}, "a", "at least 1");
  refused(a.view(), b.view(), {.a = {}, .b = {}, .c = Zeros::detect({1, 1}), .rule = {}}, "c", "cannot be detected");
  refused(a.view(), b.view(), {.a = {}, .b = {}, .c = {}, .rule = "quick"}, "", "'dense @ ");
  std::vector<std::int64_t> rows = {0};
  const LiveSet live = LiveSet::from_rows({rows.data(), DType::i64, {1}, {}}, 3, 3);
  refused(a.view(), b.view(), {.a = Zeros::in(live), .b = {}, .c = {}, .rule = {}}, "a", "2 x 3");
  const PreparedOperand w = product().prepare(b.view());
  EXPECT_EQ(caught<InputError>([&] {
              product().run(a.view(), w, {.a = {}, .b = Zeros::detect({1, 1}), .c = {}, .rule = {}});
            }).tensor(),
            "b");
  EXPECT_EQ(caught<InputError>([&] { Contraction::compile("mk,nk->mn").run(a.view(), w); }).tensor(), "b");
  EXPECT_EQ(caught<InputError>([&] { product().prepare(floats({3}).view()); }).tensor(), "b");
  EXPECT_EQ(product().run(a.view(), w).as<float>()[0], 1 * 1 + 2 * 5 + 3 * 9);
}

TEST(ContractionCall, ResultInPlace) {
  const Tensor a = floats({2, 3}), b = floats({3, 4});
  const Tensor want = product().run(a.view(), b.view());
  std::vector<float> wide(2 * 10, -1);
  product().run_into({wide.data() + 1, DType::f32, {2, 4}, {10, 1}}, a.view(), b.view());
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 10; ++j) EXPECT_EQ(wide[i * 10 + j], j >= 1 && j < 5 ? want.as<float>()[i * 4 + j - 1] : -1);
  std::vector<float> columns(8, -1);  // column-major
  product().run_into({columns.data(), DType::f32, {2, 4}, {1, 2}}, a.view(), b.view());
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 4; ++j) EXPECT_EQ(columns[j * 2 + i], want.as<float>()[i * 4 + j]);
  auto refused = [&](const TensorView& c) {
    EXPECT_EQ(caught<InputError>([&] { product().run_into(c, a.view(), b.view()); }).tensor(), "c");
  };
  refused(floats({2, 5}).view());
  refused(Tensor(DType::i32, {2, 4}).view());
  refused({wide.data(), DType::f32, {2, 4}, {0, 1}});
  refused({nullptr, DType::f32, {2, 4}, {}});
  // In place of an operand.
  const Contraction square = Contraction::compile("mk,kn->mn");
  Tensor x = floats({3, 3});
  const Tensor y = square.run(x.view(), x.view());
  square.run_into(x.view(), x.view(), x.view());
  for (int i = 0; i < 9; ++i) EXPECT_EQ(x.as<float>()[i], y.as<float>()[i]);
}

TEST(ContractionCall, NanAndInfinityInLiveElements) {
  const Tensor a = floats({2, 4}, {1, 0, kNan, 0, kInf, 0, 2, 0}), b = floats({4, 2}, {1, -1, kNan, kInf, 1, 1, 5, 5});
  CallReport report;
  product().run(a.view(), b.view(), {.a = Zeros::detect({1, 1}), .b = {}, .c = {}, .rule = {}, .report = &report});
  int exact = 0;
  for (const Candidate& candidate : report.candidates) {  // other rules cover more than the micro-tiles
    const std::string& rule = candidate.rule;
    if (rule.rfind("k 1x1", 0) != 0 && rule.rfind("element", 0) != 0) continue;
    ++exact;
    const Tensor y = product().run(a.view(), b.view(), {.a = Zeros::detect({1, 1}), .b = {}, .c = {}, .rule = rule});
    // Columns 1 and 3 of A are absent: what they would meet, NaN and infinity, is annihilated.
    EXPECT_TRUE(std::isnan(y.as<float>()[0]) && std::isnan(y.as<float>()[1])) << rule;
    EXPECT_EQ(y.as<float>()[2], kInf) << rule;
    EXPECT_EQ(y.as<float>()[3], -kInf) << rule;
  }
  EXPECT_EQ(exact, 2);
}

TEST(ContractionCall, Report) {
  const Contraction c = Contraction::compile("mk,kn->mn", {1, {}, {}});
  Tensor a = floats({64, 64}), b = floats({64, 48});
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (i % 64 >= 16) a.as<float>()[i] = 0;
  CallReport report;
  c.run(a.view(), b.view(), {.a = Zeros::detect({32, 1}), .b = {}, .c = {}, .rule = {}, .report = &report});
  EXPECT_DOUBLE_EQ(report.live_fraction, 0.25);
  ASSERT_GE(report.candidates.size(), 2U);
  EXPECT_TRUE(std::is_sorted(report.candidates.begin(), report.candidates.end(),
                             [](const Candidate& x, const Candidate& y) { return x.seconds < y.seconds; }));
  EXPECT_EQ(report.rule, report.candidates.front().rule);
  EXPECT_GT(report.detect_seconds, 0);
  EXPECT_GE(report.total_seconds, report.detect_seconds + report.choose_seconds + report.compute_seconds - 1e-9);
}

TEST(ContractionCall, Explain) {
  const std::string text = product().explain(), json = product().explain(true);
  EXPECT_NE(text.find("C[m,n] += A[m,k] * B[k,n]"), std::string::npos);
  EXPECT_NE(text.find("permutable"), std::string::npos);
  EXPECT_NE(json.find("\"absent\": \"0\""), std::string::npos);
}

}  // namespace
}  // namespace pit
