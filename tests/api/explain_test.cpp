// What explain says about real graphs: live fractions are real tokens / padded tokens, and every promise of the report
// is kept.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "fixture.h"

namespace pit {
namespace {

using Json = nlohmann::json;
using test::PaddedBatch;

const std::vector<std::int64_t> kLengths = {8, 4, 4, 1};

Json explain(const Model& m, const PaddedBatch& batch) { return Json::parse(m.explain(&batch.views(), true)); }

TEST(Explain, EveryStepOnTokensWorksOnRealTokensOnly) {
  const Model m = test::load_fixture("bert-embedding-script");
  const PaddedBatch batch(m, kLengths);
  const Json found = explain(m, batch);
  int checked = 0;
  for (const Json& step : found["steps"]) {
    const std::string kind = step["kind"], rule = step["rule"];
    if (kind == "attention" || rule.find("rows (batch, sequence)") != std::string::npos) {
      EXPECT_NEAR(step["live_fraction"].get<double>(), batch.live(), 1e-12) << step.dump();
      ++checked;
    }
  }
  EXPECT_GE(checked, 2 * 6) << "two layers of attention, four matmuls and a normalisation at least";
  EXPECT_NEAR(found["weight_flops_live"].get<double>(), batch.live(), 1e-9);
  EXPECT_NEAR(found["attention_flops_live"].get<double>(), (64 + 16 + 16 + 1) / (4 * 64.0), 1e-9);
}

TEST(Explain, OperatorsCarryExpressionsAxesAndReasons) {
  const Model m = test::load_fixture("bert-embedding-script");
  const Json found = Json::parse(m.explain(nullptr, true));
  EXPECT_FALSE(found.contains("weight_flops_live")) << "shares need inputs";
  int refused = 0;
  for (const Json& o : found["operators"]) {
    for (const char* key : {"op", "name", "step", "kind", "expression", "axes", "live", "demand", "rule", "notes"})
      EXPECT_TRUE(o.contains(key)) << key << " is missing in " << o.dump();
    EXPECT_FALSE(o.contains("live_fraction"));
    for (const Json& a : o["axes"]) {
      EXPECT_EQ(a["reason"].get<std::string>().empty(), a["verdict"] == "permutable") << o.dump();
      refused += a["verdict"] == "refused";
    }
    if (o["op"] == "MatMul") {
      EXPECT_NE(o["expression"].get<std::string>().find("+="), std::string::npos);
    }
  }
  EXPECT_GT(refused, 0) << "the model has a Range: its position is its value";
  EXPECT_EQ(found["inputs"].size(), 3u);
  EXPECT_EQ(found["outputs"][0]["name"], "sentence_embedding");
}

TEST(Explain, SaysWhereSparsityComesFrom) {
  const Model m = test::load_fixture("bert-embedding-script");
  const Json found = Json::parse(m.explain(nullptr, true));
  ASSERT_FALSE(found["live_sets"].empty());
  for (const Json& l : found["live_sets"]) EXPECT_EQ(l["inputs"], Json({"attention_mask"})) << l.dump();
}

TEST(Explain, SaysWhatADeclarationWouldSave) {
  const Model full = test::load_fixture("bert-dynamo");
  const PaddedBatch batch(full, kLengths);
  const Json without = Json::parse(full.explain(nullptr, true)), with = explain(full, batch);
  ASSERT_EQ(without["notes"].size(), 1u);
  ASSERT_EQ(with["notes"].size(), 1u);
  EXPECT_NE(without["notes"][0].get<std::string>().find("{\"last_hidden_state\": \"attention_mask\"}"),
            std::string::npos);

  // The promise is what the declared model does.
  CompileOptions options;
  options.outputs = {{"last_hidden_state", "attention_mask"}};
  const Json declared = explain(test::load_fixture("bert-dynamo", options), batch);
  EXPECT_NEAR(declared["weight_flops_live"].get<double>(), batch.live(), 1e-9);
  EXPECT_TRUE(declared["notes"].empty());
  char share[32];
  std::snprintf(share, sizeof share, "would need %.3f of the weight", declared["weight_flops_live"].get<double>());
  EXPECT_NE(with["notes"][0].get<std::string>().find(share), std::string::npos) << with["notes"][0] << " but " << share;
}

TEST(Explain, DenseIsDense) {
  CompileOptions options;
  options.sparsity = Sparsity::off;
  const Model m = test::load_fixture("bert-dynamo", options);
  const Json found = explain(m, PaddedBatch(m, kLengths));
  EXPECT_EQ(found["weight_flops_live"], 1.0);
  EXPECT_EQ(found["attention_flops_live"], 1.0);
  EXPECT_TRUE(found["live_sets"].empty());
  EXPECT_TRUE(found["notes"].empty());
  for (const Json& step : found["steps"]) EXPECT_EQ(step["live_fraction"], 1.0) << step.dump();
}

TEST(Explain, NothingIsSkippedWithoutPadding) {
  const Model m = test::load_fixture("bert-embedding-script");
  const Json found = explain(m, PaddedBatch(m, {6, 6}));
  EXPECT_EQ(found["weight_flops_live"], 1.0);
  for (const Json& step : found["steps"]) {
    EXPECT_EQ(step["live_fraction"], 1.0) << step.dump();
    EXPECT_EQ(step["rule"], step["kind"] == "attention" ? "attention: dense" : "dense") << step.dump();
  }
}

TEST(Explain, TextNamesWhatMatters) {
  const Model m = test::load_fixture("bert-dynamo");
  const PaddedBatch batch(m, kLengths);
  const std::string text = m.explain(&batch.views());
  for (const char* word : {"input_ids i64[batch, sequence]", "LIVE SHARE", "LIVE SETS", "from attention_mask",
                           "attention: ", "Softmax", "m-axis: rows", "permutable: "})
    EXPECT_NE(text.find(word), std::string::npos) << word;
}

TEST(Explain, InputsMustFit) {
  const Model m = test::load_fixture("bert-dynamo");
  const std::map<std::string, TensorView> none;
  EXPECT_THROW(m.explain(&none), InputError);
}

}  // namespace
}  // namespace pit
