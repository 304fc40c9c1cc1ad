// Calls that learn, through the interface: wrong prices are found out, and nothing but time depends on them.
#include <gtest/gtest.h>
#include <random>

#include "api/contraction_impl.h"
#include "pit/contraction.h"

namespace pit {
namespace {

/// A product of which a fortieth is there: dense takes many times as long, whatever machine the prices are of.
struct Case {
  Tensor a{DType::f32, {1024, 512}}, b{DType::f32, {512, 256}};
  Granularity g{32, 1};
  Case() {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> value(-1, 1);
    for (std::int64_t i = 0; i < b.size(); ++i) b.as<float>()[i] = value(random);
    for (std::int64_t row = 0; row < 1024; row += g.rows)
      for (std::int64_t k = 0; k < 512; ++k) {
        const bool live = random() % 40 == 0;
        for (std::int64_t r = row; r < row + g.rows; ++r) a.as<float>()[r * 512 + k] = live ? value(random) : 0;
      }
  }
  Tensor run(const Contraction& c, CallReport& report, const std::string& rule = {}) const {
    return c.run(a.view(), b.view(), {.a = Zeros::detect(g), .b = {}, .c = {}, .rule = rule, .report = &report});
  }
  bool same(const Tensor& x, const Tensor& y) const {
    return std::equal(x.as<float>(), x.as<float>() + x.size(), y.as<float>());
  }
};

bool is_dense(const std::string& rule) { return rule.rfind("dense", 0) == 0; }

/// As if earlier calls had taken a quarter of what dense is expected to, and four times as much as anything else.
void mislead(const Contraction& c, const Case& p) {
  const Contraction::Impl& impl = Contraction::Access::impl(c);
  const LiveSet set = LiveSet::detect(p.a.view(), p.g);
  const contract::Live live{.a = &set.impl().map};
  contract::Problem problem;
  problem.m = 1024, problem.n = 256, problem.k = 512;
  problem.b_k = 256;
  problem.items.resize(1);
  const contract::CallClass of = contract::class_of(problem, live, false, impl.pool->size());
  for (const contract::Schedule& s : impl.engine->schedules(problem, live, nullptr, impl.pool->size())) {
    std::vector<contract::Schedule> alone{s, s};
    contract::Choice choice = impl.prices->choose(of, alone);
    choice.rule = s.rule, choice.predicted = s.seconds, choice.best = 0;
    const double factor = s.rule.kind == contract::RuleKind::dense ? 0.25 : 4;
    for (int i = 0; i < 3; ++i) impl.prices->observe(choice, factor * s.seconds);
  }
}

TEST(Learning, AWrongPriceIsFoundOutWithinFiveCalls) {
  const Contraction c = Contraction::compile("mk,kn->mn", {.threads = 1, .cpu = {}, .cache_dir = {}});
  const Case p;
  CallReport report;
  const Tensor dense = p.run(c, report, "dense");
  mislead(c, p);
  EXPECT_TRUE(p.same(p.run(c, report), dense));
  EXPECT_TRUE(is_dense(report.rule)) << report.rule;
  EXPECT_LT(report.candidates.front().correction, 0.4);
  for (int call = 2; call <= 5; ++call) EXPECT_TRUE(p.same(p.run(c, report), dense));
  EXPECT_FALSE(is_dense(report.rule));
}

TEST(Learning, CallsThatNameTheirRuleNeitherLearnNorAreCorrected) {
  const Contraction c = Contraction::compile("mk,kn->mn", {.threads = 1, .cpu = {}, .cache_dir = {}});
  const Case p;
  CallReport report;
  for (int i = 0; i < 3; ++i) p.run(c, report), p.run(c, report, "k");
  for (const Candidate& candidate : report.candidates) EXPECT_EQ(candidate.correction, 1);
}

TEST(Learning, Off) {
  const Contraction c = Contraction::compile("mk,kn->mn", {.threads = 1, .cpu = {}, .cache_dir = {}, .learn = false});
  const Case p;
  CallReport first, report;
  p.run(c, first);
  for (int i = 0; i < 10; ++i) {
    p.run(c, report);
    EXPECT_EQ(report.rule, first.rule);
    for (const Candidate& candidate : report.candidates) EXPECT_EQ(candidate.correction, 1);
  }
  ::setenv("PIT_LEARN", "0", 1);
  EXPECT_EQ(Contraction::Access::impl(Contraction::compile("mk,kn->mn")).prices, nullptr);
  ::setenv("PIT_LEARN", "2", 1);
  EXPECT_THROW(Contraction::compile("mk,kn->mn"), InputError);
  ::unsetenv("PIT_LEARN");
}

}  // namespace
}  // namespace pit
