// The promise of the analysis, tried on exported models: whatever is not demanded may hold anything (checker.h).
#include <cmath>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <random>

#include "checker.h"
#include "harness.h"

#include "frontend/onnx/onnx.h"
#include "graph/npz.h"
#include "graph/reference.h"
#include "pit/error.h"

namespace pit::sparsity {
namespace {

struct Batch {
  const char* name;
  std::vector<std::vector<int>> mask;
};

const std::vector<Batch>& batches() {
  static const std::vector<Batch> b = {
      {"right", {{1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 0}}},
      {"left", {{0, 0, 0, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 1}}},
      {"holes_and_empty", {{1, 0, 1, 1, 0, 1, 0}, {0, 0, 0, 0, 0, 0, 0}, {0, 1, 0, 0, 1, 1, 1}}},
      {"single", {{1}}},
  };
  return b;
}

std::vector<Tensor> inputs_of(const graph::Graph& g, const Batch& batch) {
  const auto b = static_cast<std::int64_t>(batch.mask.size()), s = static_cast<std::int64_t>(batch.mask[0].size());
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(b), s);
  std::vector<Tensor> inputs = test::text_inputs(g, lengths, s, false);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (g.input_names[i].find("mask") == std::string::npos) continue;
    Tensor& t = inputs[i];
    for (std::int64_t k = 0; k < t.size(); ++k) {
      const int v = batch.mask[static_cast<std::size_t>(k / s)][static_cast<std::size_t>(k % s)];
      if (t.dtype() == DType::i64) t.as<std::int64_t>()[k] = v;
      else if (t.dtype() == DType::f32) t.as<float>()[k] = static_cast<float>(v);
      else if (t.dtype() == DType::b8) t.as<std::uint8_t>()[k] = static_cast<std::uint8_t>(v);
    }
  }
  return inputs;
}

class Soundness : public ::testing::TestWithParam<std::string>, public test::Checker {};
class StoredCases : public ::testing::Test, public test::Checker {};

TEST_P(Soundness, UndemandedElementsMayHoldAnything) {
  graph::Graph g;
  try {
    g = frontend::read_onnx_file(std::string(PIT_SOURCE_DIR) + "/tests/fixtures/" + GetParam() + ".onnx");
  } catch (const UnsupportedError& e) {
    GTEST_SKIP() << e.what();
  }
  for (const bool declare : {false, true}) {
    std::vector<OutputDemand> outputs;
    for (ValueId v : g.outputs) {
      const ValueId mask = test::mask_input(g);
      const auto& d = g.values[static_cast<std::size_t>(v)].dims;
      const bool tokens = mask >= 0 && d.size() > 2 && d[1] == g.values[static_cast<std::size_t>(mask)].dims[1];
      outputs.push_back({v, declare && tokens ? mask : -1});
    }
    const Analysis a = analyze(g, outputs);
    for (const Batch& b : batches()) check(g, a, inputs_of(g, b), std::string(b.name) + (declare ? ", declared" : ""));
  }
}

std::vector<std::string> models() {
  std::vector<std::string> names;
  for (const auto& f : std::filesystem::directory_iterator(std::string(PIT_SOURCE_DIR) + "/tests/fixtures")) {
    const std::string name = f.path().stem();
    // The text models whose inputs are all [batch, sequence].
    if (f.path().extension() != ".onnx" || name.find("past") != std::string::npos) continue;
    if (name.find("vit") == 0 || name.find("resnet") == 0 || name.find("big") != std::string::npos) continue;
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Models whose inputs are not all [batch, sequence]: images, caches. Their inputs are the stored cases.
TEST_F(StoredCases, OtherModelsOnTheirStoredCases) {
  const std::string folder = std::string(PIT_SOURCE_DIR) + "/tests/fixtures/";
  for (const char* name :
       {"vit-dynamo", "vit-script", "resnet-dynamo", "resnet-script", "llama-past-dynamo", "llama-past-script"}) {
    const graph::Graph g = frontend::read_onnx_file(folder + name + ".onnx");
    const auto stored = testing::read_npz(folder + name + ".npz");
    std::vector<OutputDemand> outputs;
    for (ValueId v : g.outputs) outputs.push_back({v, -1});
    const Analysis a = analyze(g, outputs);
    int cases = 0;
    for (; cases < 6; ++cases) {
      std::vector<Tensor> inputs;
      for (const std::string& input : g.input_names) {
        const auto it = stored.find("case" + std::to_string(cases) + ".in." + input);
        if (it != stored.end()) inputs.push_back(it->second);
      }
      if (inputs.size() != g.inputs.size()) break;
      check(g, a, inputs, std::string(name) + ", case " + std::to_string(cases));
    }
    EXPECT_GT(cases, 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Soundness, ::testing::ValuesIn(models()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace pit::sparsity
