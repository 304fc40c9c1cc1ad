// Strips of B: their live steps of k and nothing else, whatever lies in memory beside them; and one packed B that serves
// panels and ranges of several shapes.
#include "contract/strips.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>

#include "contract/engine.h"

namespace pit::contract {
namespace {

detect::LiveMap random_map(std::mt19937& random, std::int64_t batch, std::int64_t rows, std::int64_t columns,
                           std::int64_t g_rows, std::int64_t g_columns, unsigned live_percent) {
  const std::int64_t down = (rows + g_rows - 1) / g_rows, across = (columns + g_columns - 1) / g_columns;
  std::vector<std::uint8_t> tiles;
  std::vector<std::int64_t> offsets;
  for (std::int64_t b = 0; b < batch; ++b) offsets.push_back(b * down * across);
  for (std::int64_t i = 0; i < batch * down * across; ++i) tiles.push_back(random() % 100 < live_percent);
  return detect::from_bytes(tiles.data(), offsets, across, 1, rows, columns, g_rows, g_columns, ThreadPool(1));
}

TEST(Strips, HaveTheLiveStepsOfTheirColumns) {
  std::mt19937 random(1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int round = 0; round < 200; ++round) {
    const auto pick = [&](std::initializer_list<std::int64_t> of) { return of.begin()[random() % of.size()]; };
    const std::int64_t k = pick({1, 7, 64, 130}), n = pick({1, 5, 16, 33}), g_rows = pick({1, 3, 4, 64}),
                       g_columns = pick({1, 2, 4, 8, 16}), batch = pick({1, 2});
    const StripShape shape{.columns = pick({1, 2, 4, 8}), .range = pick({1, 5, 64, 1000}), .step_bytes = 192};
    const detect::LiveMap map =
        random_map(random, batch, k, n, g_rows, g_columns, static_cast<unsigned>(pick({0, 10, 50, 100})));
    const auto live = [&](std::int64_t b, std::int64_t t, std::int64_t c) {
      return c < n && map.test(b * map.row_groups() + t / g_rows, c / g_columns);
    };
    const auto in_strip = [&](std::int64_t b, std::int64_t t, std::int64_t strip) {
      bool any = false;
      for (std::int64_t i = 0; i < shape.columns; ++i) any = any || live(b, t, strip * shape.columns + i);
      return any;
    };
    // columns after columns, or rows after rows; NaN where no strip has anything
    const bool by_columns = random() % 2 == 0;
    const std::int64_t k_stride = by_columns ? 1 : n, n_stride = by_columns ? k : 1;
    const ThreadPool pool(1 + static_cast<int>(random() % 2));
    StripReader reader(map, shape, 4, pool);
    for (std::int64_t b = 0; b < batch; ++b) {
      std::vector<float> values(static_cast<std::size_t>(k * n), nan);
      const auto at = [&](std::int64_t t, std::int64_t c) -> float& {
        return values[static_cast<std::size_t>(t * k_stride + c * n_stride)];
      };
      for (std::int64_t t = 0; t < k; ++t)
        for (std::int64_t c = 0; c < n; ++c)
          if (in_strip(b, t, c / shape.columns)) at(t, c) = static_cast<float>(1000 * t + c);
      const std::int64_t bytes = reader.bytes(b);
      std::vector<char> memory(static_cast<std::size_t>(bytes), 0x7f);
      const Strips s = reader.read(b, memory.data(), [&](std::int64_t column) -> StripSource {
        return {reinterpret_cast<const char*>(&at(0, column)), k_stride * 4, n_stride * 4};
      });
      ASSERT_EQ(s.count, (n + shape.columns - 1) / shape.columns);
      std::int64_t position = 0;
      for (std::int64_t r = 0; r < s.ranges; ++r)
        for (std::int64_t strip = 0; strip < s.count; ++strip) {
          ASSERT_EQ(*s.starts_of(r, strip), position);
          for (std::int64_t t = r * shape.range; t < std::min(k, (r + 1) * shape.range); ++t) {
            if (!in_strip(b, t, strip)) continue;
            ASSERT_EQ(s.k_offset[position], t * shape.step_bytes);
            for (std::int64_t i = 0; i < shape.columns; ++i) {
              const std::int64_t c = strip * shape.columns + i;
              ASSERT_EQ(reinterpret_cast<const float*>(s.values)[position * shape.columns + i],
                        c < n ? static_cast<float>(1000 * t + c) : 0);
            }
            ++position;
          }
        }
      ASSERT_EQ(*s.starts_of(s.ranges - 1, s.count), position);
    }
  }
}

// Offsets into panels depend on how wide those are, and positions on ranges: lists that another call left behind would
// be wrong ones.
TEST(Strips, OfOnePackedBServeProductsOfAllHeights) {
  std::mt19937 random(2);
  const auto engine = Engine::create({}, cpu_target(), {}, 1);
  const ThreadPool pool(1);
  constexpr std::int64_t k = 300, n = 101, most = 130;
  const auto map = std::make_shared<const detect::LiveMap>(random_map(random, 1, k, n, 4, 4, 20));
  std::vector<float> a(most * k), b(k * n);
  std::uniform_real_distribution<float> value(-1, 1);
  for (float& x : a) x = value(random);
  for (std::int64_t t = 0; t < k; ++t)
    for (std::int64_t c = 0; c < n; ++c)
      b[static_cast<std::size_t>(t * n + c)] = map->test(t / 4, c / 4) ? value(random) : 0;
  const auto packed =
      engine->pack({reinterpret_cast<const char*>(b.data())}, k, engine->panels(n, k, map.get()), n, 1, map, pool);
  const auto product = [&](std::int64_t m, const std::string& rule, std::int64_t range) {
    std::vector<float> c(static_cast<std::size_t>(m * n), std::numeric_limits<float>::quiet_NaN());
    Problem p;
    p.m = m, p.n = n, p.k = k;
    p.a_rows.stride = k * 4, p.c_rows.stride = n;
    p.items.push_back({.a = reinterpret_cast<const char*>(a.data()), .c = reinterpret_cast<char*>(c.data())});
    const Live live{nullptr, map.get(), nullptr};
    for (Schedule s : engine->schedules(p, live, packed.get(), 1)) {
      if (s.rule.name().rfind(rule, 0) != 0) continue;
      if (range > 0) s.blocks.k = range;
      engine->run(p, live, packed.get(), s, pool, Poison::nan);
      return c;
    }
    ADD_FAILURE() << rule << " does not apply";
    return c;
  };
  const std::int64_t before = bytes_of(*packed);
  for (const std::int64_t m : {130, 5, 20, 33, 1, 130})
    for (const std::int64_t range : {0, 64, 100}) EXPECT_EQ(product(m, "Bt.k", range), product(m, "dense", 0)) << m;
  EXPECT_GT(bytes_of(*packed), before);
}

}  // namespace
}  // namespace pit::contract
