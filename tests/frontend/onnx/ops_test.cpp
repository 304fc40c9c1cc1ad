// Every operator against ONNX Runtime: the models of cases/ (make_op_cases.py), with fixed extents and with every
// extent free.
#include <filesystem>
#include <gtest/gtest.h>
#include <set>

#include "frontend/onnx/onnx.h"
#include "graph/close.h"
#include "graph/npz.h"
#include "graph/opset.h"
#include "graph/reference.h"
#include "pit/error.h"

namespace pit {
namespace {

using Files = std::map<std::string, std::string>;

std::vector<std::string> families() {
  std::vector<std::string> r;
  for (const auto& e : std::filesystem::directory_iterator(PIT_SOURCE_DIR "/tests/frontend/onnx/cases"))
    r.push_back(e.path().stem().string());
  std::sort(r.begin(), r.end());
  return r;
}

std::set<std::string> cases_of(const Files& files) {
  std::set<std::string> r;
  for (const auto& [name, contents] : files) r.insert(name.substr(0, name.find('/')));
  return r;
}

// Numbers that appear in file names: operands may be left out or be constants.
std::vector<Tensor> arrays(const Files& files, const std::string& prefix) {
  std::vector<Tensor> r;
  for (int i = 0; i < 10; ++i) {
    if (const auto it = files.find(prefix + std::to_string(i) + ".npy"); it != files.end())
      r.push_back(testing::parse_npy(it->second));
  }
  return r;
}

void check(const Files& files, const std::string& name, const char* kind) {
  const std::string what = name + "/" + kind, &bytes = files.at(what + ".onnx");
  try {
    graph::Graph g = frontend::read_onnx_bytes(bytes.data(), bytes.size());
    EXPECT_EQ(graph::verify(g).value_or(""), "") << what;
    graph::run_passes(g);
    const std::vector<Tensor> out = graph::run_reference(g, arrays(files, name + "/in")),
                              want = arrays(files, name + "/out");
    ASSERT_EQ(out.size(), want.size()) << what;
    for (std::size_t i = 0; i < out.size(); ++i) {
      testing::expect_close(out[i], want[i], out[i].dtype() == DType::f16 ? 2e-3 : 1e-5,
                            what + " output " + std::to_string(i) + "\n" + graph::print(g));
    }
  } catch (const UnsupportedError& e) {
    // With free extents an operator may be out of reach, but must say why; with fixed ones all cases are supported.
    EXPECT_STREQ(kind, "free") << what << ": " << e.what();
    GTEST_LOG_(INFO) << what << ": " << e.what();
  } catch (const Error& e) {
    ADD_FAILURE() << what << ": " << e.what();
  }
}

class OperatorFamily : public ::testing::TestWithParam<std::string> {};

TEST_P(OperatorFamily, AgreesWithOnnxRuntime) {
  const Files files = testing::read_zip(PIT_SOURCE_DIR "/tests/frontend/onnx/cases/" + GetParam() + ".zip");
  for (const std::string& name : cases_of(files)) {
    check(files, name, "static");
    check(files, name, "free");
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, OperatorFamily, ::testing::ValuesIn(families()),
                         [](const auto& test) { return test.param; });

TEST(OperatorCases, CoverTheOpSet) {
  std::set<std::string> covered{"Constant", "Scatter"};
  for (const std::string& family : families()) {
    for (const std::string& name :
         cases_of(testing::read_zip(PIT_SOURCE_DIR "/tests/frontend/onnx/cases/" + family + ".zip"))) {
      covered.insert(name.substr(0, name.rfind('_')));
    }
  }
  for (const graph::OpEntry& e : graph::op_entries()) {
    const bool standard = e.op.find('.') == std::string::npos;  // others: tests/python/test_experts.py
    EXPECT_TRUE(!standard || covered.count(e.op)) << e.op << " has no case";
  }
}

TEST(OperatorTable, EveryExampleIsValid) {
  for (const graph::OpEntry& e : graph::op_entries()) {
    if (!e.opaque.empty()) continue;
    EXPECT_EQ(expr::verify(e.example).value_or(""), "") << e.op << ": " << expr::print(e.example);
  }
}

}  // namespace
}  // namespace pit
