// Index sets against brute force.
#include "detect/index_set.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace pit::detect {
namespace {

using sparsity::MaskArray;

std::vector<std::vector<std::int32_t>> lists(const IndexSet& s) {
  std::vector<std::vector<std::int32_t>> r;
  for (std::int64_t o = 0; o < s.outer; ++o) {
    r.emplace_back(s.index.begin() + s.offset[static_cast<std::size_t>(o)],
                   s.index.begin() + s.offset[static_cast<std::size_t>(o) + 1]);
  }
  return r;
}

TEST(FromBytes, EveryLength) {
  std::mt19937 random(1);
  for (std::int64_t extent : {0, 1, 7, 8, 9, 16, 63, 64, 65, 200}) {
    for (std::int64_t outer : {0, 1, 3}) {
      for (int density : {0, 1, 2, 4}) {
        std::vector<std::uint8_t> mask(static_cast<std::size_t>(outer * extent));
        for (auto& m : mask)
          m = density == 4 ? 1
              : density > 0 && random() % 4 < static_cast<unsigned>(density)
                  ? static_cast<std::uint8_t>(1 + random() % 255)
                  : 0;
        const IndexSet s = from_bytes(mask.data(), outer, extent);
        ASSERT_EQ(s.outer, outer);
        ASSERT_EQ(s.extent, extent);
        const auto l = lists(s);
        for (std::int64_t o = 0; o < outer; ++o) {
          std::vector<std::int32_t> expected;
          for (std::int64_t i = 0; i < extent; ++i)
            if (mask[static_cast<std::size_t>(o * extent + i)]) expected.push_back(static_cast<std::int32_t>(i));
          EXPECT_EQ(l[static_cast<std::size_t>(o)], expected);
        }
        EXPECT_EQ(s.all, s.count() == outer * extent);
        EXPECT_GE(static_cast<std::int64_t>(s.index.size()), s.count() + 16);
      }
    }
  }
}

/// A random mask over real extents, some axes stored with extent 1, some in segments.
MaskArray random_mask(std::mt19937& random, std::vector<std::int64_t> extents) {
  MaskArray m;
  m.extents = std::move(extents);
  std::int64_t size = 1;
  for (std::int64_t e : m.extents) {
    const unsigned form = random() % 4;
    m.boundaries.emplace_back();
    if (form == 0) m.shape.push_back(1);
    else if (form == 1 && e > 3) m.boundaries.back() = {1, e - 1}, m.shape.push_back(3);
    else m.shape.push_back(e);
    size *= m.shape.back();
  }
  const unsigned density = random() % 4;
  m.all = m.none = true;
  for (std::int64_t i = 0; i < size; ++i) {
    m.bits.push_back(random() % 3 < density);
    m.all = m.all && m.bits.back();
    m.none = m.none && !m.bits.back();
  }
  return m;
}

TEST(Project, EqualsBruteForce) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    const MaskArray m =
        random_mask(random, {static_cast<std::int64_t>(1 + random() % 3), static_cast<std::int64_t>(1 + random() % 5),
                             1 + static_cast<std::int64_t>(random() % 6), 4});
    const int first = static_cast<int>(random() % 4),
              last = first + static_cast<int>(random() % static_cast<unsigned>(4 - first));
    std::vector<int> outer_axes, list_axes;
    for (int a = 0; a < first; ++a)
      if (random() % 2) outer_axes.push_back(a);
    for (int a = first; a <= last; ++a) list_axes.push_back(a);
    const IndexSet s = project(m, outer_axes, list_axes);
    std::int64_t outer = 1, extent = 1;
    for (int a : outer_axes) outer *= m.extents[static_cast<std::size_t>(a)];
    for (int a : list_axes) extent *= m.extents[static_cast<std::size_t>(a)];
    ASSERT_EQ(s.outer, outer);
    ASSERT_EQ(s.extent, extent);
    std::vector<char> live(static_cast<std::size_t>(outer * extent), 0);
    std::vector<std::int64_t> at(4, 0);
    for (at[0] = 0; at[0] < m.extents[0]; ++at[0])
      for (at[1] = 0; at[1] < m.extents[1]; ++at[1])
        for (at[2] = 0; at[2] < m.extents[2]; ++at[2])
          for (at[3] = 0; at[3] < m.extents[3]; ++at[3]) {
            std::int64_t o = 0, i = 0;
            for (int a : outer_axes) o = o * m.extents[static_cast<std::size_t>(a)] + at[static_cast<std::size_t>(a)];
            for (int a : list_axes) i = i * m.extents[static_cast<std::size_t>(a)] + at[static_cast<std::size_t>(a)];
            if (m.at(at.data())) live[static_cast<std::size_t>(o * extent + i)] = 1;
          }
    const auto l = lists(s);
    for (std::int64_t o = 0; o < outer; ++o) {
      std::vector<std::int32_t> expected;
      for (std::int64_t i = 0; i < extent; ++i)
        if (live[static_cast<std::size_t>(o * extent + i)]) expected.push_back(static_cast<std::int32_t>(i));
      ASSERT_EQ(l[static_cast<std::size_t>(o)], expected) << "round " << round;
    }
  }
}

TEST(TileColumns, EqualsBruteForce) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const std::int64_t batch = 1 + random() % 3, heads = 1 + random() % 2, q = 1 + random() % 9, k = 1 + random() % 9;
    const MaskArray m = random_mask(random, {batch, heads, q, k}), rows_mask = random_mask(random, {batch, q});
    const IndexSet rows = project(rows_mask, {0}, {1});
    const int tile = 1 + static_cast<int>(random() % 4);
    std::vector<std::int64_t> first;
    const IndexSet s = tile_columns(m, {0}, 2, 3, rows, tile, &first);
    const auto row_lists = lists(rows), column_lists = lists(s);
    std::size_t t = 0;
    ASSERT_EQ(static_cast<std::int64_t>(first.size()), batch);
    for (std::int64_t b = 0; b < batch; ++b) {
      ASSERT_EQ(first[static_cast<std::size_t>(b)], static_cast<std::int64_t>(t));
      const auto& r = row_lists[static_cast<std::size_t>(b)];
      for (std::size_t from = 0; from < r.size(); from += static_cast<std::size_t>(tile), ++t) {
        std::vector<std::int32_t> expected;
        for (std::int64_t c = 0; c < k; ++c) {
          bool live = false;
          for (std::size_t i = from; i < std::min(r.size(), from + static_cast<std::size_t>(tile)); ++i) {
            for (std::int64_t h = 0; h < heads; ++h) {
              const std::int64_t at[] = {b, h, r[i], c};
              live = live || m.at(at);
            }
          }
          if (live) expected.push_back(static_cast<std::int32_t>(c));
        }
        ASSERT_EQ(column_lists[t], expected) << "round " << round;
      }
    }
    EXPECT_EQ(static_cast<std::int64_t>(t), s.outer);
  }
}

}  // namespace
}  // namespace pit::detect
