// Every model of tests/fixtures: it imports, every shape resolves, and running its nodes one by one with the interpreter gives
// ONNX Runtime's stored outputs.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "frontend/onnx/onnx.h"
#include "graph/npz.h"
#include "graph/numeric.h"
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

void expect_close(const Tensor& have, const Tensor& want, const std::string& what) {
  ASSERT_EQ(to_string(have.shape()), to_string(want.shape())) << what;
  ASSERT_EQ(have.dtype(), want.dtype()) << what;
  double scale = 0, worst = 0;
  std::int64_t at = -1;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double w = graph::read_double(want, i);
    if (std::isfinite(w)) scale = std::max(scale, std::fabs(w));
  }
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double h = graph::read_double(have, i), w = graph::read_double(want, i);
    if ((std::isnan(h) && std::isnan(w)) || h == w) continue;
    const double d = std::isfinite(h) && std::isfinite(w) ? std::fabs(h - w) : INFINITY;
    if (d > worst) worst = d, at = i;
  }
  EXPECT_LE(worst, 2e-4 * std::max(scale, 1e-6)) << what << ": element " << at << " is " << graph::read_double(have, std::max<std::int64_t>(at, 0))
                                                  << ", should be " << graph::read_double(want, std::max<std::int64_t>(at, 0));
}

class FixtureModel : public ::testing::TestWithParam<std::string> {};

TEST_P(FixtureModel, ResolvesEveryShape) {
  graph::Graph g = frontend::read_onnx_file(path_of(GetParam(), ".onnx"));
  ASSERT_EQ(graph::verify(g).value_or(""), "");
  graph::run_passes(g);
  std::vector<std::int64_t> symbols(static_cast<std::size_t>(g.dims.symbol_count()), 7);
  for (const graph::Node& n : g.nodes) {
    if (!n.opaque.empty()) GTEST_LOG_(INFO) << GetParam() << ": opaque " << n.opaque << " for " << n.op << " '" << n.name << "'";
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
        EXPECT_TRUE(s < 0 || bound[static_cast<std::size_t>(s)] || n.opaque == "nonzero") << g.describe(g.values[static_cast<std::size_t>(v)].producer) << ": " << g.dims.print(d);
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
      expect_close(out[i], arrays.at(prefix + ".out." + g.output_names[i]), prefix + " " + g.output_names[i]);
    }
  }
  EXPECT_GT(cases, 0);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, FixtureModel, ::testing::ValuesIn(models()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace pit
