// The op table: complete, and every verdict that is not "permutable" has its reason.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "graph/opset.h"
#include "pit/model.h"

namespace pit {
namespace {

using Json = nlohmann::json;

const Json& table() {
  static const Json t = Json::parse(op_table(true));
  return t;
}

std::map<std::string, std::string> verdicts(const std::string& op) {
  std::map<std::string, std::string> v;
  for (const Json& o : table())
    if (o["op"] == op)
      for (const Json& a : o["axes"]) v[a["name"]] = a["verdict"];
  return v;
}

TEST(Ops, EveryOperatorIsThereWithExpressionOrReason) {
  EXPECT_EQ(table().size(), graph::op_entries().size());
  for (const Json& o : table()) {
    const bool opaque = !o["opaque"].get<std::string>().empty();
    EXPECT_NE(opaque, !o["example"].get<std::string>().empty()) << o.dump();
    for (const Json& a : o["axes"])
      EXPECT_EQ(a["reason"].get<std::string>().empty(), a["verdict"] == "permutable") << o.dump();
  }
}

TEST(Ops, VerdictsOfWellKnownOperators) {
  const auto matmul = verdicts("MatMul");
  ASSERT_GE(matmul.size(), 3u);
  for (const auto& [axis, verdict] : matmul) EXPECT_EQ(verdict, "permutable") << axis;
  for (const auto& [axis, verdict] : verdicts("Softmax")) EXPECT_EQ(verdict, "permutable") << axis;
  bool windowed = false;
  for (const auto& [axis, verdict] : verdicts("Conv")) windowed = windowed || verdict == "iteration only";
  EXPECT_TRUE(windowed);
  EXPECT_EQ(verdicts("Range").begin()->second, "refused");
}

TEST(Ops, TextHasALineForEveryOperator) {
  const std::string text = op_table();
  for (const Json& o : table())
    EXPECT_NE(text.find("\n" + o["op"].get<std::string>() + " "), std::string::npos) << o["op"];
}

}  // namespace
}  // namespace pit
