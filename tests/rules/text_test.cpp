// Runs tests/rules/*.pit: section `rules` is what `describe` says of the program, `contraction` the parts of its axes,
// or why it is none.
#include "expr/pit_file.h"
#include "pit/error.h"
#include "rules/contraction.h"
#include "rules/rules.h"

namespace pit::rules {
namespace {

std::string names(const expr::Program& p, const std::vector<expr::AxisId>& axes) {
  std::string text;
  for (const expr::AxisId a : axes) text += (text.empty() ? "" : ",") + p.axes[static_cast<std::size_t>(a)];
  return text.empty() ? "-" : text;
}

std::vector<std::string> contraction(const expr::Program& p) {
  std::string why;
  const auto c = contraction_in(p, p.statements[0], &why);
  if (!c) return {"none: " + why};
  std::vector<std::string> lines = {"batch " + names(p, c->batch) + "  m " + names(p, c->m) + "  n " + names(p, c->n) +
                                    "  k " + names(p, c->k) + (c->swapped ? "  exchanged" : "")};
  static constexpr const char* operands[] = {"first", "second", "result"};
  for (const SparseRule& r : sparse_rules(p, *c)) {
    std::string line =
        std::string(operands[static_cast<int>(r.operand)]) + " along " + p.axes[static_cast<std::size_t>(r.axis)] + ":";
    if (!r.admitted) line += " no, " + r.reason;
    for (const std::string& t : r.reads) line += " reads " + t;
    lines.push_back(line + (r.writes ? " writes" : ""));
  }
  return lines;
}

std::vector<std::string> compute(const testing::Case& c, const testing::Section& s) {
  const expr::Program p = expr::parse(c.program, c.outputs);
  const auto verdicts = infer(p);
  for (const AxisRule& r : verdicts) EXPECT_EQ(r.reason.empty(), r.verdict == Verdict::permutable);
  if (s.kind == "rules") return testing::lines_of(describe(p, verdicts));
  if (s.kind == "contraction") return contraction(p);
  testing::unknown_section(s);
}

class RulesText : public ::testing::TestWithParam<std::string> {};
TEST_P(RulesText, File) { testing::run_pit_file(GetParam(), compute); }
INSTANTIATE_TEST_SUITE_P(Files, RulesText, ::testing::ValuesIn(testing::pit_files(PIT_SOURCE_DIR "/tests/rules")),
                         testing::file_test_name);

}  // namespace
}  // namespace pit::rules
