// Fusion on every model of tests/fixtures: merged programs mean what their nodes mean, and what should fuse does.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "frontend/onnx/onnx.h"
#include "fuse/fuse.h"
#include "graph/close.h"
#include "graph/npz.h"
#include "graph/reference.h"

namespace pit {
namespace {

const std::string folder = PIT_SOURCE_DIR "/tests/fixtures/";

std::vector<std::string> models() {
  std::vector<std::string> r;
  for (const auto& e : std::filesystem::directory_iterator(folder))
    if (e.path().extension() == ".onnx") r.push_back(e.path().stem().string());
  std::sort(r.begin(), r.end());
  return r;
}

struct Fused {
  graph::Graph g;
  std::unique_ptr<sparsity::Analysis> analysis;
  fuse::Fusion fusion;
};

Fused fuse_model(const std::string& name) {
  Fused f;
  f.g = frontend::read_onnx_file(folder + name + ".onnx");
  graph::run_passes(f.g);
  std::vector<sparsity::OutputDemand> outputs;
  for (graph::ValueId v : f.g.outputs) outputs.push_back({v, -1});
  f.analysis = std::make_unique<sparsity::Analysis>(sparsity::analyze(f.g, outputs));
  f.fusion = fuse::fuse(f.g, *f.analysis, {"x86-64-v3", "", 32});
  return f;
}

class FixtureFusion : public ::testing::TestWithParam<std::string> {};

// The merged program of every group, interpreted on the reference's values, gives the reference's values.
TEST_P(FixtureFusion, MergedProgramsMeanWhatTheirNodesMean) {
  Fused f = fuse_model(GetParam());
  const auto arrays = testing::read_npz(folder + GetParam() + ".npz");
  std::vector<Tensor> in;
  for (const std::string& name : f.g.input_names) in.push_back(arrays.at("case0.in." + name));
  const std::vector<Tensor> values = graph::run_reference_values(f.g, in);
  const std::vector<std::int64_t> dims = f.g.dims.evaluate(graph::bind_symbols(f.g, in));
  std::map<graph::ValueId, int> writers;
  for (const fuse::Group& group : f.fusion.groups)
    for (graph::ValueId v : group.writes) ++writers[v];
  int compared = 0;
  for (const fuse::Group& group : f.fusion.groups) {
    if (group.kind != fuse::GroupKind::rows && group.kind != fuse::GroupKind::contraction) continue;
    expr::Bindings b;
    bool whole = true;
    std::vector<graph::ValueId> outs;
    for (std::size_t t = 0; t < group.program.tensors.size(); ++t) {
      const graph::ValueId v = group.tensor_value[t];
      if (group.program.tensors[t].role == expr::Role::input) b.inputs.push_back(values[static_cast<std::size_t>(v)]);
      if (group.program.tensors[t].role != expr::Role::output) continue;
      whole = whole && writers[v] == 1;  // parts of a concatenation leave the rest of their output undefined
      outs.push_back(v);
      b.output_shapes.push_back(values[static_cast<std::size_t>(v)].shape());
      b.output_dtypes.push_back(values[static_cast<std::size_t>(v)].dtype());
    }
    if (!whole) continue;
    for (const auto& p : group.params)
      b.params.push_back(std::holds_alternative<graph::Dim>(p)
                             ? static_cast<double>(dims[static_cast<std::size_t>(std::get<graph::Dim>(p).id)])
                             : std::get<double>(p));
    for (std::size_t a = 0; a < group.extents.size(); ++a)
      b.extents[static_cast<int>(a)] = dims[static_cast<std::size_t>(group.extents[a].id)];
    const std::vector<Tensor> out = expr::interpret(group.program, b);
    for (std::size_t i = 0; i < out.size(); ++i, ++compared)
      testing::expect_close(out[i], values[static_cast<std::size_t>(outs[i])], 1e-5, expr::print(group.program));
  }
  EXPECT_GT(compared, 5);
}

TEST_P(FixtureFusion, NoOperatorIsLeftToTheInterpreter) {
  const Fused f = fuse_model(GetParam());
  for (const fuse::Group& group : f.fusion.groups) {
    if (group.kind != fuse::GroupKind::reference) continue;
    // Convolutions and pools of the vision models, and what no expression describes, have no generated kernel yet.
    const std::string& op = f.g.nodes[static_cast<std::size_t>(group.nodes[0])].op;
    EXPECT_TRUE(op == "Conv" || op == "MaxPool" || op == "CumSum" || op == "Pad") << op << ": " << group.why;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, FixtureFusion, ::testing::ValuesIn(models()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// The groups of one model by both exporters, as text: `PIT_BLESS=1 fuse_fixtures_test` writes them anew.
TEST(Groups, AreWhatTheyWere) {
  std::string text;
  for (const std::string name :
       {"bert-embedding-script", "bert-embedding-dynamo", "gpt2-script", "t5-encoder-dynamo"}) {
    const Fused f = fuse_model(name);
    text += name + "\n";
    for (const fuse::Group& group : f.fusion.groups) {
      if (group.kind == fuse::GroupKind::view) continue;
      text += group.kind == fuse::GroupKind::rows          ? "  rows"
              : group.kind == fuse::GroupKind::contraction ? "  contraction"
                                                           : "  reference";
      if (group.control) text += " control";
      for (graph::NodeId n : group.nodes) text += " " + f.g.nodes[static_cast<std::size_t>(n)].op;
      text += '\n';
    }
    for (const auto& a : f.fusion.attentions) {
      text += "  attention";
      for (int g : {a.scores, a.softmax, a.output})
        for (graph::NodeId n : f.fusion.groups[static_cast<std::size_t>(g)].nodes)
          text += " " + f.g.nodes[static_cast<std::size_t>(n)].op;
      text += '\n';
    }
  }
  const std::string path = PIT_SOURCE_DIR "/tests/fuse/groups.txt";
  if (const char* bless = std::getenv("PIT_BLESS"); bless && *bless == '1') std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(text, expected.str());
}

}  // namespace
}  // namespace pit
