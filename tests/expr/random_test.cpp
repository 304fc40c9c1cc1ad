// Properties of random programs. RapidCheck prints its seed (RC_PARAMS="seed=..." repeats a run) and the failing
// program's.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "expr/expr.h"
#include "expr/random_program.h"
#include "pit/error.h"

namespace pit::expr {
namespace {

RC_GTEST_PROP(RandomPrograms, ParsingPrintedTextGivesTheSameTrees, ()) {
  const auto seed = *rc::gen::arbitrary<unsigned>();
  const Program p = testing::RandomProgram(seed).any();
  const std::string text = print(p);
  RC_LOG() << text << "\n";
  const Program q = parse(text);
  RC_ASSERT(print(q) == text);
  RC_ASSERT(q.statements.size() == p.statements.size());
  // Numbering may differ: compare by the names.
  const auto by_name = [&](const Expr& e) {
    return transform(e, [&](const Expr& n) -> Expr {
      auto copy = std::make_shared<Node>(*n);
      if (n->kind == Kind::access) copy->id = p.tensor(q.tensors[static_cast<std::size_t>(n->id)].name);
      if (n->kind == Kind::axis || n->kind == Kind::extent)
        copy->id = p.axis_named(q.axes[static_cast<std::size_t>(n->id)]);
      if (n->kind == Kind::param) copy->id = q.params[static_cast<std::size_t>(n->id)] == p.params[0] ? 0 : 1;
      return copy;
    });
  };
  for (std::size_t s = 0; s < p.statements.size(); ++s)
    RC_ASSERT(equal(p.statements[s].value, by_name(q.statements[s].value)));
}

RC_GTEST_PROP(RandomPrograms, DamagedTextIsRefusedOrStillValid, ()) {
  const auto seed = *rc::gen::arbitrary<unsigned>();
  testing::RandomProgram generator(seed);
  std::string text = print(generator.any());
  const int edits = generator.pick(1, 3);
  for (int i = 0; i < edits; ++i) {
    const auto at = static_cast<std::size_t>(generator.pick(0, static_cast<int>(text.size()) - 1));
    const char c = "[]()|$,;:+-*/%<>=!&^ .#aT09\n"[generator.pick(0, 27)];
    if (generator.chance(50)) {
      text[at] = c;
    } else {
      text.erase(at, 1);
    }
    if (text.empty()) text = "x";
  }
  RC_LOG() << text << "\n";
  try {
    const Program p = parse(text);
    RC_ASSERT(print(parse(print(p))) == print(p));
  } catch (const InputError&) {
  }
}

TEST(Parser, DeepNestingIsRefusedNotFatal) {
  EXPECT_THROW(parse("Y[] = " + std::string(100000, '(') + "1"), InputError);
  EXPECT_THROW(parse("Y[] = " + std::string(100000, '-') + "X[]"), InputError);
  std::string lookups = "Y[i] = ";
  for (int i = 0; i < 5000; ++i) lookups += "X[";
  EXPECT_THROW(parse(lookups), InputError);
}

}  // namespace
}  // namespace pit::expr
