// What dumps say: each stage's own words for what it has made, for both instruction sets.
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "fixture.h"

namespace pit {
namespace {

using Json = nlohmann::json;
using test::PaddedBatch;

Model model_for(const std::string& cpu, const std::string& cache_dir = {}) {
  CompileOptions options;
  options.cpu = cpu;
  options.cache_dir = cache_dir;
  return test::load_fixture("bert-embedding-script", options);
}

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words) EXPECT_NE(text.find(word), std::string::npos) << word << " is not in\n" << text;
}

std::set<std::string> all_of(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern, std::regex::multiline);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it) found.insert((*it)[1]);
  return found;
}

class Dump : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Cpus, Dump, ::testing::Values("haswell", ""));

TEST_P(Dump, GraphHasTypesExtentsAndExpressions) {
  expect_words(model_for(GetParam()).dump("graph"),
               {"# graph: ", "input attention_mask: i64[batch, sequence]", "constant onnx::MatMul_414: f32[16, 16]",
                "MatMul(", "f32[batch, sequence, 16] = ", "| Y[", "+= ", "output sentence_embedding = "});
}

TEST_P(Dump, MasksAreNamedPerValueAndWrittenOut) {
  const std::string text = model_for(GetParam()).dump("masks");
  expect_words(text, {"attention_mask: i64[batch, sequence], control, nonzero m",
                      " = attention_mask[batch,sequence] != 0", "computed m"});
  // Every name has its formula.
  const std::set<std::string> formulas = all_of(text, "^  (m[0-9]+) = ");
  for (const std::string& name : all_of(text, " (m[0-9]+)[,\\n]")) EXPECT_TRUE(formulas.count(name)) << name;
}

TEST_P(Dump, GroupsHaveAxesOperandsEpiloguesAndLiveSets) {
  const Model m = model_for(GetParam());
  const std::string text = m.dump("groups");
  expect_words(text, {": contraction\n", ": rows, control\n", ": view\n", "n = 16 (n), k = 16 (k)", "(inner)",
                      "B           constant", "epilogue    y[m,n] = ", "per column", "live rows", "run together",
                      "claim: group ", ": proved", "looked at in each run"});
  // Numbers are those of the report.
  const Json report = Json::parse(m.explain(nullptr, true));
  std::set<std::string> steps;
  for (const Json& s : report["steps"]) steps.insert(std::to_string(s["step"].get<int>()));
  EXPECT_EQ(all_of(text, "^group [0-9]+, step ([0-9]+): "), steps);
}

TEST_P(Dump, SchedulesAreForTheInputsOrForSizesThatAreNamed) {
  const Model m = model_for(GetParam());
  expect_words(m.dump("schedules"), {"assumed: batch = 32, sequence = 32", "2 threads", "m 1024, n 16, k 16",
                                     "us  dense @ ", " rows, 16 of k", "attention, by tiles"});
  const PaddedBatch batch(m, {8, 4, 4, 1});
  expect_words(m.dump("schedules", &batch.views()), {"the inputs given", "m 32 (17 live), n 16, k 16"});
}

TEST_P(Dump, KernelsAreThoseThatWereGenerated) {
  const Model m = model_for(GetParam());
  const std::string text = m.dump("kernels");
  const std::set<std::string> names = all_of(text, "^kernel ([^(]+)\\(");
  expect_words(text, {fmt::format("# kernels: {} kernels for ", names.size())});
  // Those that steps call are as many as were generated for them.
  const std::regex own("^# of step", std::regex::multiline);
  const auto count = std::distance(std::sregex_iterator(text.begin(), text.end(), own), std::sregex_iterator());
  const std::string generated = Json::parse(m.explain(nullptr, true))["kernels"];
  EXPECT_EQ(generated.rfind(fmt::format("{} kernels for ", count), 0), 0u) << generated << ", but " << count;
  expect_words(text, {"# of step", "# the engine's, of steps ", "= fma(", "load f32x", "kernel pack_copy_"});
}

TEST_P(Dump, AssemblyIsForTheTargetAlsoWhenCodeCameFromTheCache) {
  const std::string cache = ::testing::TempDir() + "/pit-dump-cache";
  std::filesystem::remove_all(cache);
  const Model first = model_for(GetParam(), cache), second = model_for(GetParam(), cache);
  const std::string text = second.dump("asm");
  EXPECT_EQ(first.explain().find("from the cache"), std::string::npos);
  EXPECT_NE(second.explain().find("from the cache"), std::string::npos);
  EXPECT_EQ(first.dump("asm"), text);
  expect_words(text, {"vfmadd", "%ymm", "\tret"});
  EXPECT_EQ(text.find("%zmm") != std::string::npos, text.find("vectors of 64 bytes") != std::string::npos);
  const std::set<std::string> kernels = all_of(second.dump("kernels"), "^kernel ([^(]+)\\(");
  EXPECT_EQ(all_of(text, "^\\s+\\.globl\\s+\"?([^\"\\n]+)\"?$"), kernels);
}

TEST(DumpNames, AnotherNameIsRefusedWithTheRightOnes) {
  const Model m = test::load_fixture("bert-dynamo");
  try {
    (void)m.dump("Groups");
    FAIL() << "nothing was thrown";
  } catch (const InputError& e) {
    expect_words(e.what(), {"'Groups'", "'graph'", "'masks'", "'groups'", "'schedules'", "'kernels'", "'asm'"});
  }
}

TEST(DumpNames, DenseModelsHaveNoMasks) {
  CompileOptions options;
  options.sparsity = Sparsity::off;
  const std::string text = test::load_fixture("bert-dynamo", options).dump("masks");
  EXPECT_EQ(text.find("computed m"), std::string::npos) << text;
}

}  // namespace
}  // namespace pit
