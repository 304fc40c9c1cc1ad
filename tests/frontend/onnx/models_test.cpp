// Every model of tests/fixtures: it imports, every shape resolves, and running its nodes one by one with the
// interpreter gives ONNX Runtime's stored outputs.
#include <filesystem>
#include <gtest/gtest.h>

#include "onnx-ml.pb.h"

#include "frontend/onnx/onnx.h"
#include "graph/close.h"
#include "graph/npz.h"
#include "graph/reference.h"

namespace pit {
namespace {

std::vector<std::string> models() {
  std::vector<std::string> r;
  for (const auto& e : std::filesystem::directory_iterator(PIT_SOURCE_DIR "/tests/fixtures")) {
    if (e.path().extension() == ".onnx") r.push_back(e.path().stem().string());
  }
  std::sort(r.begin(), r.end());
  return r;
}

std::string path_of(const std::string& model, const char* extension) {
  return std::string(PIT_SOURCE_DIR "/tests/fixtures/") + model + extension;
}

class FixtureModel : public ::testing::TestWithParam<std::string> {};

TEST_P(FixtureModel, ResolvesEveryShape) {
  graph::Graph g = frontend::read_onnx_file(path_of(GetParam(), ".onnx"));
  ASSERT_EQ(graph::verify(g).value_or(""), "");
  graph::run_passes(g);
  std::vector<std::int64_t> symbols(static_cast<std::size_t>(g.dims.symbol_count()), 7);
  for (const graph::Node& n : g.nodes) {
    if (!n.opaque.empty())
      GTEST_LOG_(INFO) << GetParam() << ": opaque " << n.opaque << " for " << n.op << " '" << n.name << "'";
  }
  // Every symbol is an extent of an input: nothing depends on the data unless an opaque operator says so.
  std::vector<bool> bound(symbols.size(), false);
  for (const graph::ValueId v : g.inputs) {
    for (const graph::Dim d : g.values[static_cast<std::size_t>(v)].dims) {
      if (const int s = g.dims.symbol_index(d); s >= 0) bound[static_cast<std::size_t>(s)] = true;
    }
  }
  for (const graph::Node& n : g.nodes) {
    for (const graph::ValueId v : n.outputs) {
      for (const graph::Dim d : g.values[static_cast<std::size_t>(v)].dims) {
        const int s = g.dims.symbol_index(d);
        EXPECT_TRUE(s < 0 || bound[static_cast<std::size_t>(s)] || n.opaque == "nonzero")
            << g.describe(g.values[static_cast<std::size_t>(v)].producer) << ": " << g.dims.print(d);
      }
    }
  }
}

TEST_P(FixtureModel, GivesTheStoredOutputs) {
  graph::Graph g = frontend::read_onnx_file(path_of(GetParam(), ".onnx"));
  graph::run_passes(g);
  const std::map<std::string, Tensor> arrays = testing::read_npz(path_of(GetParam(), ".npz"));
  int cases = 0;
  for (;; ++cases) {
    const std::string prefix = "case" + std::to_string(cases);
    std::vector<Tensor> in;
    for (const std::string& name : g.input_names) {
      const auto it = arrays.find(prefix + ".in." + name);
      if (it != arrays.end()) in.push_back(it->second);
    }
    if (in.empty()) break;
    ASSERT_EQ(in.size(), g.inputs.size());
    const std::vector<Tensor> out = graph::run_reference(g, in);
    for (std::size_t i = 0; i < out.size(); ++i) {
      testing::expect_close(out[i], arrays.at(prefix + ".out." + g.output_names[i]), 2e-4,
                            prefix + " " + g.output_names[i]);
    }
  }
  EXPECT_GT(cases, 0);
}

// PyTorch's newer exporter may give the mask symbols of its own and say only in the types of intermediate values that
// they are the batch and the sequence.
TEST(DeclaredExtents, EqualSymbolsAreOne) {
  pit_onnx::ModelProto m;
  ASSERT_TRUE(m.ParseFromString(read_file(path_of("gpt2-dynamo", ".onnx"))));
  for (auto& in : *m.mutable_graph()->mutable_input()) {
    if (in.name() != "attention_mask") continue;
    in.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(0)->set_dim_param("s43");
    in.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(1)->set_dim_param("s53");
  }
  const std::string bytes = m.SerializeAsString();
  graph::Graph g = frontend::read_onnx_bytes(bytes.data(), bytes.size());
  ASSERT_EQ(g.inputs.size(), 2u);
  EXPECT_EQ(g.values[static_cast<std::size_t>(g.inputs[0])].dims, g.values[static_cast<std::size_t>(g.inputs[1])].dims);
  for (const graph::Node& n : g.nodes) EXPECT_EQ(n.opaque, "") << n.name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, FixtureModel, ::testing::ValuesIn(models()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace pit
