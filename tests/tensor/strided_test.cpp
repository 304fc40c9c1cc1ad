// Copies between layouts against one element at a time: any rank, order, stride (negative and zero too) and size.
#include "tensor/strided.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <vector>

namespace pit {
namespace {

using Ints = std::vector<std::int64_t>;

TEST(Strided, TheOdometerVisitsEveryPositionOnceInOrder) {
  const Ints shape{2, 1, 3};
  Ints at(3, 0);
  std::int64_t offset = 0, visited = 0;
  do {
    EXPECT_EQ(at, (Ints{visited / 3, 0, visited % 3}));
    EXPECT_EQ(offset, 10 * at[0] + 7 * at[1] - at[2]);
    ++visited;
  } while (next_position(at, shape, Ints{10, 7, -1}, &offset));
  EXPECT_EQ(visited, 6);
  EXPECT_EQ(at, Ints(3, 0));
  EXPECT_EQ(offset, 0);
  EXPECT_FALSE(next_position(at = {}, Ints{}));  // a scalar has one position
}

/// Strides of a box in a random order of axes with gaps, some axes reversed: no two positions meet. Moves `*base` to
/// where position 0 lies; returns the number of elements that the box spans.
std::int64_t scatter_axes(const Ints& shape, std::mt19937& random, Ints* strides, std::int64_t* base) {
  std::vector<std::size_t> order(shape.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  std::int64_t span = 1;
  strides->assign(shape.size(), 0);
  *base = 0;
  for (std::size_t d : order) {
    const std::int64_t step = span + static_cast<std::int64_t>(random() % 2);
    (*strides)[d] = step;
    if (random() % 3 == 0) (*strides)[d] = -step, *base += step * (shape[d] - 1);
    span += step * (shape[d] - 1);
  }
  return span;
}

TEST(Strided, CopiesAreThoseOfOneElementAtATime) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::size_t bytes = std::vector<std::size_t>{1, 2, 4, 8}[random() % 4];
    Ints shape(random() % 5);
    for (std::int64_t& extent : shape) extent = random() % 12 == 0 ? 0 : 1 + static_cast<std::int64_t>(random() % 4);
    const bool empty = std::count(shape.begin(), shape.end(), 0) > 0;
    Ints from, to;
    std::int64_t from_base = 0, to_base = 0;
    const std::int64_t from_span = empty ? 1 : scatter_axes(shape, random, &from, &from_base);
    const std::int64_t to_span = empty ? 1 : scatter_axes(shape, random, &to, &to_base);
    if (empty) from.assign(shape.size(), 1), to.assign(shape.size(), 1);
    if (!shape.empty() && random() % 4 == 0) from[random() % shape.size()] = 0;  // repeats what it reads
    std::vector<char> source(static_cast<std::size_t>(from_span) * bytes),
        target(static_cast<std::size_t>(to_span) * bytes, 77);
    for (char& c : source) c = static_cast<char>(random());
    std::vector<char> expected = target;
    const auto size = static_cast<std::int64_t>(bytes);
    Ints at(shape.size(), 0);
    if (!empty) do {
        std::int64_t a = from_base, b = to_base;
        for (std::size_t d = 0; d < at.size(); ++d) a += at[d] * from[d], b += at[d] * to[d];
        std::copy_n(source.begin() + a * size, size, expected.begin() + b * size);
      } while (next_position(at, shape));
    copy_strided(shape, bytes, source.data() + from_base * size, from, target.data() + to_base * size, to);
    EXPECT_EQ(target, expected);
  }
}

}  // namespace
}  // namespace pit
