// The profile: every step has a time and the live fraction that explain states.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "fixture.h"

namespace pit {
namespace {

using Json = nlohmann::json;
using test::PaddedBatch;

TEST(Profile, StepsAreThoseOfExplain) {
  const Model m = test::load_fixture("bert-embedding-script");
  const PaddedBatch batch(m, {8, 4, 4, 1});
  const Json profile = Json::parse(m.profile(batch.views(), 3, true)),
             explained = Json::parse(m.explain(&batch.views(), true));
  EXPECT_EQ(profile["runs"], 3);
  double sum = 0;
  std::size_t matched = 0;
  for (const Json& step : profile["steps"]) {
    EXPECT_GE(step["seconds"].get<double>(), 0);
    sum += step["seconds"].get<double>();
    if (step["kind"] == "mask") {
      EXPECT_EQ(step["seconds"], profile["mask_seconds"]);
      continue;
    }
    const Json& same = explained["steps"].at(step["step"].get<std::size_t>());
    EXPECT_EQ(step["kind"], same["kind"]);
    EXPECT_EQ(step["rule"], same["rule"]);
    EXPECT_NEAR(step["live"].get<double>(), same["live_fraction"].get<double>(), 1e-12) << step.dump();
    ++matched;
  }
  EXPECT_EQ(matched, explained["steps"].size());
  EXPECT_NEAR(profile["total_seconds"].get<double>(), sum + profile["between_seconds"].get<double>(), 1e-9);
  EXPECT_GE(profile["between_seconds"].get<double>(), 0);
}

TEST(Profile, TraceIsOneEventPerStepEndToEnd) {
  const Model m = test::load_fixture("bert-dynamo");
  const PaddedBatch batch(m, {5, 2});
  const Json profile = Json::parse(m.profile(batch.views(), 2, true));
  ASSERT_EQ(profile["traceEvents"].size(), profile["steps"].size());
  double end = 0;
  for (const Json& e : profile["traceEvents"]) {
    EXPECT_EQ(e["ph"], "X");
    EXPECT_NEAR(e["ts"].get<double>(), end, 1e-3);
    end = e["ts"].get<double>() + e["dur"].get<double>();
  }
}

TEST(Profile, TextSumsUpEveryKind) {
  const Model m = test::load_fixture("bert-dynamo");
  const PaddedBatch batch(m, {5, 2});
  const std::string text = m.profile(batch.views(), 1);
  for (const char* word : {"MatMul", "attention", "contraction", "control", "mask", "One run;", "(between)", "share"})
    EXPECT_NE(text.find(word), std::string::npos) << word;
}

TEST(Profile, AtLeastOneRun) {
  const Model m = test::load_fixture("bert-dynamo");
  EXPECT_THROW(m.profile(PaddedBatch(m, {2}).views(), 0), InputError);
}

}  // namespace
}  // namespace pit
