// Runs tests/rules/*.pit: section `rules` is what `describe` says of the program.
#include "expr/pit_file.h"
#include "pit/error.h"
#include "rules/rules.h"

namespace pit::rules {
namespace {

std::vector<std::string> compute(const testing::Case& c, const testing::Section& s) {
  try {
    const expr::Program p = expr::parse(c.program, c.outputs);
    const auto verdicts = infer(p);
    for (const AxisRule& r : verdicts) EXPECT_EQ(r.reason.empty(), r.verdict == Verdict::permutable);
    if (s.kind == "rules") return testing::lines_of(describe(p, verdicts));
    ADD_FAILURE() << "unknown section " << s.kind;
  } catch (const Error& e) {
    ADD_FAILURE() << e.what();
  }
  return s.lines;
}

class RulesText : public ::testing::TestWithParam<std::string> {};
TEST_P(RulesText, File) { testing::run_pit_file(GetParam(), compute); }
INSTANTIATE_TEST_SUITE_P(Files, RulesText, ::testing::ValuesIn(testing::pit_files(PIT_SOURCE_DIR "/tests/rules")),
                         testing::file_test_name);

}  // namespace
}  // namespace pit::rules
