// The engine's promise to models: whatever rows, steps of k, panels and columns an item has, whichever rule, blocks,
// epilogue and strides, every element is one chain of ascending k from the identity, then the epilogue; nothing else is
// written, and what is absent is not looked at. A failure prints its seed; PIT_TEST_SEED=n tries that one alone,
// PIT_TEST_CASES=n n times as many.
#include <cstdlib>
#include <gtest/gtest.h>

#include "sanitizers.h"

#include "contract/items_case.h"

namespace pit::contract::test {
namespace {

/// The CPUs that this machine can stand for.
std::vector<std::string> cpus() {
  std::vector<std::string> names = {"haswell"};
  if (cpu_target().vector_bytes == 64) names.emplace_back();
  return names;
}

/// Types differ in tables alone, so a part of the cases tries all of them.
constexpr unsigned kAllTypes = 3;

void run_cases(unsigned first, int count, lower::Algebra algebra, bool parts) {
  if (pit::test::kThreadSanitizer) count = (count + 4) / 5;
  if (const char* times = std::getenv("PIT_TEST_CASES")) count *= std::max(1, std::atoi(times));
  if (const char* only = std::getenv("PIT_TEST_SEED")) first = static_cast<unsigned>(std::atoi(only)), count = 1;
  for (unsigned seed = first; seed < first + static_cast<unsigned>(count); ++seed)
    for (const std::string& cpu : cpus())
      for (const DType type : {DType::f32, DType::f64, DType::i32}) {
        if (type == DType::i32 && !algebra.is_sum_of_products()) continue;
        if (type != DType::f32 && seed % kAllTypes != 0 && count > 1) continue;
        algebra.types = lower::ElementTypes::all(type);
        Case(seed, Machine::of(cpu, algebra), parts).check();
        if (testing::Test::HasFailure()) return;
      }
}

constexpr lower::Algebra kSums, kMaxPlus{expr::Combiner::max, expr::Fn::add},
    kMinPlus{expr::Combiner::min, expr::Fn::add}, kLogSumExp{expr::Combiner::logsumexp, expr::Fn::add};

TEST(EngineItems, PartsOfItems) {
  run_cases(0, 500, kSums, true);
  if (pit::test::kThreadSanitizer || std::getenv("PIT_TEST_SEED")) return;
  EXPECT_GT((Case::rules_seen()[{DType::f32, RuleKind::b_k}]), 20) << "items with lists beside live micro-tiles of B";
}
TEST(EngineItems, LiveMicroTiles) {
  run_cases(10000, 300, kSums, false);
  if (pit::test::kThreadSanitizer || std::getenv("PIT_TEST_SEED")) return;  // too few cases for each rule
  for (int kind = 0; kind <= static_cast<int>(RuleKind::stream); ++kind)
    for (const DType type : {DType::f32, DType::f64, DType::i32})
      EXPECT_GT((Case::rules_seen()[{type, static_cast<RuleKind>(kind)}]), 0)
          << Rule{.kind = static_cast<RuleKind>(kind)}.name() << " never ran on " << name_of(type);
}
TEST(EngineItems, RowsAndPanelsOfMaxPlus) { run_cases(20000, 30, kMaxPlus, true); }
TEST(EngineItems, MicroTilesOfMaxPlus) { run_cases(30000, 20, kMaxPlus, false); }
TEST(EngineItems, MinPlus) { run_cases(40000, 20, kMinPlus, true); }
TEST(EngineItems, LogSumExp) { run_cases(50000, 20, kLogSumExp, true); }

}  // namespace
}  // namespace pit::contract::test
