// Readers' lists against brute force.
#include "detect/inverse.h"

#include <gtest/gtest.h>
#include <random>

namespace pit::detect {
namespace {

TEST(Inverse, ListsOfEveryPlace) {
  std::mt19937 random(3);
  for (const std::int64_t rows : {0, 1, 5, 300, 40000}) {
    for (const std::vector<std::int64_t>& extents :
         {std::vector<std::int64_t>{1}, {7}, {1000}, {3, 5}, {2, 1, 4}, {70000}}) {
      std::int64_t places = 1;
      for (std::int64_t e : extents) places *= e;
      std::vector<std::int64_t> wide;
      std::vector<std::int32_t> narrow;
      std::vector<std::vector<std::int32_t>> expected(static_cast<std::size_t>(places));
      for (std::int64_t r = 0; r < rows; ++r) {
        std::int64_t flat = 0;
        for (std::int64_t e : extents) {
          const auto i = static_cast<std::int64_t>(random() % static_cast<unsigned>(e));
          flat = flat * e + i;
          wide.push_back(random() % 2 == 0 ? i : i - e);
          narrow.push_back(static_cast<std::int32_t>(wide.back()));
        }
        expected[static_cast<std::size_t>(flat)].push_back(static_cast<std::int32_t>(r));
      }
      for (const int threads : {1, 2, 4}) {
        const ThreadPool pool(threads);
        for (const Places& p : {Places{wide.data(), true, rows, extents}, {narrow.data(), false, rows, extents}}) {
          ASSERT_EQ(out_of_range(p, pool), -1);
          const IndexSet s = inverse(p, pool);
          ASSERT_EQ(s.outer, places);
          ASSERT_EQ(s.offset.size(), expected.size() + 1);
          ASSERT_EQ(s.count(), rows);
          for (std::size_t t = 0; t < expected.size(); ++t)
            ASSERT_EQ(std::vector<std::int32_t>(s.index.begin() + s.offset[t], s.index.begin() + s.offset[t + 1]),
                      expected[t]);
        }
      }
    }
  }
}

TEST(Inverse, FindsTheFirstOutOfRange) {
  std::vector<std::int64_t> at(100000, 1);
  const Places p{at.data(), true, 50000, {2, 3}};
  for (const auto& [where, value, bad] : {std::tuple<std::size_t, std::int64_t, bool>{0, 2, true},
                                          {0, -2, false},
                                          {0, -3, true},
                                          {99999, 2, false},
                                          {99999, 3, true},
                                          {50001, -4, true},
                                          {7, INT64_MIN, true},
                                          {7, INT64_MAX, true}}) {
    const std::int64_t was = at[where];
    at[where] = value;
    for (const int threads : {1, 4})
      EXPECT_EQ(out_of_range(p, ThreadPool(threads)), bad ? static_cast<std::int64_t>(where) : -1);
    at[where] = was;
  }
  at[99998] = at[40000] = 9;
  EXPECT_EQ(out_of_range(p, ThreadPool(4)), 40000);
}

}  // namespace
}  // namespace pit::detect
