// Blocking: whatever the call, blocks are whole tiles or groups, and what is said to stay in a cache fits it.
#include "contract/blocking.h"

#include <gtest/gtest.h>
#include <random>
#include <string>

#include "contract/rules.h"

namespace pit::contract {
namespace {

const CacheSizes kCaches{.l1d = 32 << 10, .l2 = 1 << 20, .l3 = 32 << 20};

lower::Algebra algebra_of(expr::Combiner combiner, expr::Fn product) { return {combiner, product}; }

std::int64_t up(std::int64_t x, std::int64_t step) { return (x + step - 1) / step * step; }

class Blocks : public testing::TestWithParam<RuleKind> {};

TEST_P(Blocks, AreWholeAndFitTheirCaches) {
  const Kernels sums(algebra_of(expr::Combiner::sum, expr::Fn::mul), cpu_target("haswell"), "none", 1);
  const Kernels unsplit(algebra_of(expr::Combiner::logsumexp, expr::Fn::add), cpu_target("haswell"), "none", 1);
  for (unsigned seed = 0; seed < 4000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    auto extent = [&] { return std::int64_t{1} << random() % 13 | static_cast<std::int64_t>(random() % 64); };
    auto share = [&] { return static_cast<double>(1 + random() % 1000) / 1000; };
    const bool splits = random() % 4 != 0;
    const Kernels& kernels = splits ? sums : unsplit;
    const std::int64_t tile = kernels.rows();
    Problem p;
    p.m = extent(), p.n = extent(), p.k = extent();
    const std::int64_t row = kernels.panels(p.n).width() * 4;
    p.items.resize(1 + random() % 3);
    Rule rule{.kind = GetParam()};
    const bool elements = random() % 3 == 0 && rule.kind == RuleKind::both;
    rule.g_rows =
        rule.kind == RuleKind::element || elements ? 1 + static_cast<std::int64_t>(random() % 2) : 1 << random() % 7;
    rule.g_columns = rule.kind == RuleKind::m ? 16 << random() % 4 : 1;
    rule.tile_rows = static_cast<int>(std::min({rule.g_rows, p.m, tile}));
    const Shares shares{share(), share(), share()};
    const int threads = 1 + static_cast<int>(random() % 8);
    const Blocking b = blocking_of(kernels, kCaches, p, shares, rule, {.panels = kernels.panels(p.n)}, threads);

    EXPECT_GE(b.rows, 1);
    EXPECT_GE(b.k, 1);
    EXPECT_GE(b.panels, 1);
    EXPECT_FALSE(b.name().empty());
    EXPECT_EQ(b, blocking_of(kernels, kCaches, p, shares, rule, {.panels = kernels.panels(p.n)}, threads));
    if (!splits && rule.kind != RuleKind::m && rule.kind != RuleKind::element) {
      EXPECT_GE(b.k, p.k);
    }
    if (rule.kind == RuleKind::dense) {
      EXPECT_EQ(b.rows % tile, 0);
      EXPECT_LE(b.rows, up(std::min(p.m, 96 * tile), tile));
      if (splits && b.packs_all) {
        EXPECT_LE(std::min(b.rows, p.m) * p.k * 4, static_cast<std::int64_t>(kCaches.l3) / 16);
      }
      if (splits) {
        EXPECT_LE(b.k * row, static_cast<std::int64_t>(kCaches.l2) / 4);
      }
    }
    if (rule.kind == RuleKind::k) {
      EXPECT_EQ(b.rows % rule.g_rows, 0);
      // A range beyond its share of L2 is one whose live steps would be too few for a tile.
      if (splits && b.k * row > static_cast<std::int64_t>(kCaches.l2) / 2) {
        EXPECT_LE(shares.a * static_cast<double>(b.k), 257);
      }
    }
    if (rule.kind == RuleKind::element) {
      EXPECT_EQ(b.k % 64, 0);
    }
    if (rule.kind == RuleKind::m) {
      EXPECT_LE(b.rows * b.panels * row, static_cast<std::int64_t>(kCaches.l2) + tile * rule.g_rows * b.panels * row);
    }
    if (rule.kind == RuleKind::bt_k) {
      EXPECT_EQ(b.columns % kernels.width(), 0);
      EXPECT_EQ(b.rows, b.panels * kernels.panels(p.m).width());
      if (splits && b.k > 256) {
        EXPECT_LE(b.k * b.rows * 4, static_cast<std::int64_t>(kCaches.l2));
      }
    }
    if (rule.kind == RuleKind::stream) {
      EXPECT_EQ(b.columns % 16, 0);
      EXPECT_GE(b.columns, 1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, Blocks,
                         testing::Values(RuleKind::dense, RuleKind::k, RuleKind::m, RuleKind::element, RuleKind::b_k,
                                         RuleKind::bt_k, RuleKind::both, RuleKind::c_m, RuleKind::stream),
                         [](const auto& test) {
                           std::string name = Rule{.kind = test.param}.name();
                           std::erase_if(name, [](char c) { return c == '.'; });
                           return name;
                         });

TEST(Blocking, TilesAgainstMuchOfBFetchItAheadWhereTheEpilogueFindsC) {
  const Kernels kernels(algebra_of(expr::Combiner::sum, expr::Fn::mul), cpu_target("haswell"), "none", 1);
  const Rule dense;
  const Epilogue epilogue;
  auto blocks = [&](std::int64_t m, std::int64_t n, const Epilogue* e = nullptr) {
    Problem p;
    p.m = m, p.n = n, p.k = 1024;
    p.epilogue = e;
    p.items.resize(1);
    return blocking_of(kernels, kCaches, p, {}, dense, {.panels = kernels.panels(p.n)}, 1);
  };
  const std::int64_t tile = kernels.rows();
  EXPECT_FALSE(blocks(1, 4096).prefetches);  // four panels side by side
  for (std::int64_t rows = 2; rows <= tile; ++rows) EXPECT_TRUE(blocks(rows, 4096).prefetches);
  EXPECT_FALSE(blocks(tile, 64).prefetches);  // B stays in L2
  EXPECT_TRUE(blocks(40 * tile, 4096).prefetches);
  EXPECT_TRUE(blocks(tile, 4096, &epilogue).prefetches);
  EXPECT_FALSE(blocks(40 * tile, 4096, &epilogue).prefetches);
  EXPECT_EQ(blocks(tile, 4096).k, blocks(40 * tile, 64).k);  // long ranges, fetched ahead or not
  EXPECT_EQ(blocks(1, 4096).panels, 4);
}

// An index of steps of k has 32-bit byte offsets into a panel, whichever width the rule's panels have.
TEST(ApplicableRules, IndicesReachTheEndsOfAllPanels) {
  const Kernels kernels(algebra_of(expr::Combiner::sum, expr::Fn::mul), cpu_target("haswell"), "none", 1);
  LayoutB wide{.panels = kernels.panels(48)}, narrow = wide;
  narrow.panels.vectors = 1;
  const std::int64_t longest = INT32_MAX / (wide.panels.width() * 4);
  for (const std::int64_t k : {longest, longest + 1}) {
    Problem p;
    p.m = 8, p.n = 48, p.k = k;
    p.items.resize(1);
    detect::LiveMap a, b, c;
    a.rows = 8, a.columns = k, a.g_rows = 8;
    b.rows = k, b.columns = 48, b.g_columns = 8;
    c.rows = 8, c.columns = 48, c.g_rows = 8;
    std::string names;
    const auto layout = [&](RuleKind rule) { return rule == RuleKind::b_k || rule == RuleKind::both ? narrow : wide; };
    for (const Rule& rule : applicable_rules(kernels, p, {&a, &b, &c}, layout)) {
      EXPECT_TRUE(k == longest || rule.kind == RuleKind::dense || rule.kind == RuleKind::c_m ||
                  rule.kind == RuleKind::stream)
          << rule.name();
      names += rule.name() + ", ";
    }
    if (k > longest) continue;
    for (const char* name : {"k 8x1 @ 4x24", "B.k 1x8 @ 4x8", "Bt.k 1x4 @ 4x8", "both 8x1 @ 4x8", "C.n 8x1"})
      EXPECT_NE(names.find(name), std::string::npos) << names;
  }
}

}  // namespace
}  // namespace pit::contract
