// Live shares of FLOPs on exported models, against an independent prototype's (tests/fixtures/live_flops.json).
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness.h"

#include "frontend/onnx/onnx.h"
#include "sparsity/flops.h"

namespace pit::sparsity {
namespace {

using nlohmann::json;

const json& oracle() {
  static const json j = json::parse(std::ifstream(std::string(PIT_SOURCE_DIR) + "/tests/fixtures/live_flops.json"));
  return j;
}

std::vector<std::string> models() {
  std::vector<std::string> names;
  for (const auto& [name, cases] : oracle()["models"].items()) names.push_back(name);
  return names;
}

class Fixture : public testing::TestWithParam<std::string> {};

TEST_P(Fixture, LiveSharesEqualThePrototypes) {
  const graph::Graph g =
      frontend::read_onnx_file(std::string(PIT_SOURCE_DIR) + "/tests/fixtures/" + GetParam() + ".onnx");
  const json& expected = oracle()["models"][GetParam()];
  const auto lengths = oracle()["lengths"].get<std::vector<std::int64_t>>();
  for (const bool declare : {false, true}) {
    // Outputs [batch, n] have no token axis to declare.
    const bool tokens = g.values[static_cast<std::size_t>(g.outputs[0])].dims.size() > 2;
    const ValueId mask = declare && tokens ? test::mask_input(g) : -1;
    const Analysis a = analyze(g, {{g.outputs[0], mask}});
    for (const bool left : {false, true}) {
      const std::string name = std::string(left ? "left-" : "right-") + (declare ? "declared" : "all");
      if (!expected.contains(name)) continue;
      const auto inputs = test::text_inputs(g, lengths, oracle()["sequence"], left);
      const auto e = test::evaluate(g, a, flops_roots(g, a), inputs);
      const LiveFlops f = live_flops(g, a, e.masks, e.dims);
      const double weight = f.weight_dense > 0 ? f.weight_live / f.weight_dense : 0;
      const double attention = f.attention_dense > 0 ? f.attention_live / f.attention_dense : 0;
      EXPECT_NEAR(weight, expected[name]["weight"].get<double>(), 2e-6) << name;
      EXPECT_NEAR(attention, expected[name]["attention"].get<double>(), 2e-6) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Fixture, testing::ValuesIn(models()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace pit::sparsity
