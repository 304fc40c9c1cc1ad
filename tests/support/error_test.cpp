#include "pit/error.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "support/check.h"
#include "support/log.h"

namespace pit {
namespace {

TEST(Errors, CarryOperatorAndTensor) {
  const InputError e("what would be right", "MatMul 'query'", "x");
  const Error& base = e;
  EXPECT_STREQ(base.what(), "what would be right");
  EXPECT_EQ(base.op(), "MatMul 'query'");
  EXPECT_EQ(base.tensor(), "x");
  EXPECT_EQ(ModelError("m").op(), "");
}

TEST(Errors, ChecksThrowInternalErrorWithContextAndNoMachinePath) {
  try {
    PIT_CHECK(1 + 1 == 3, "{} is not {}", 2, 3);
    FAIL() << "passed";
  } catch (const InternalError& e) {
    EXPECT_NE(std::string(e.what()).find("error_test.cpp"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("2 is not 3"), std::string::npos);
  }
  try {
    internal_error("/home/somebody/src/pit/src/expr/print.cpp", 7, "oops");
  } catch (const InternalError& e) {
    EXPECT_STREQ(e.what(), "internal error at src/expr/print.cpp:7: oops");
  }
  EXPECT_NO_THROW(PIT_CHECK(true, "never"));
}

TEST(Log, HookReceivesAndIsReturnedOnReplacement) {
  std::vector<std::string> seen;
  set_log_hook([&](LogLevel level, std::string_view m) {
    EXPECT_EQ(level, LogLevel::warning);
    seen.emplace_back(m);
  });
  warn("cache {} is {}", "x", 3);
  LogHook mine = set_log_hook({});
  warn("silent");
  EXPECT_EQ(seen, std::vector<std::string>{"cache x is 3"});
  ASSERT_TRUE(mine);
  mine(LogLevel::warning, "direct");
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_FALSE(set_log_hook({}));
}

TEST(Log, ThrowingHookIsContained) {
  set_log_hook([](LogLevel, std::string_view) { throw 1; });
  EXPECT_NO_THROW(warn("x"));
  set_log_hook({});
}

}  // namespace
}  // namespace pit
