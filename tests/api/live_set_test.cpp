// Live sets from everything that they are made of, and where they fit.
#include <gtest/gtest.h>

#include "pit/contraction.h"

namespace pit {
namespace {

template <class T>
TensorView view(std::vector<T>& v, DType type, Shape shape) {
  return {v.data(), type, std::move(shape), {}};
}

std::vector<int> mask_of(const LiveSet& s) {
  const Tensor m = s.mask();
  return {m.as<std::uint8_t>(), m.as<std::uint8_t>() + m.size()};
}

TEST(LiveSet, Detect) {
  std::vector<float> x(5 * 3, 0);
  x[4 * 3 + 2] = 1;
  x[0 * 3 + 1] = -0.0F;
  const LiveSet s = LiveSet::detect(view(x, DType::f32, {5, 3}), {2, 1}, 0, 1);
  EXPECT_EQ(s.batch(), 1);
  EXPECT_EQ(s.rows(), 5);
  EXPECT_EQ(s.columns(), 3);
  EXPECT_EQ(s.total(), 9);
  EXPECT_EQ(s.count(), 1);
  EXPECT_DOUBLE_EQ(s.fraction(), 1.0 / 9);
  EXPECT_EQ(mask_of(s), (std::vector<int>{0, 0, 0, 0, 0, 0, 0, 0, 1}));
  const auto [offsets, indices] = s.index();
  EXPECT_EQ(offsets.shape(), Shape{4});
  EXPECT_EQ(offsets.as<std::int64_t>()[3], 1);
  ASSERT_EQ(indices.shape(), Shape{1});
  EXPECT_EQ(indices.as<std::int32_t>()[0], 2);
  EXPECT_EQ(LiveSet::detect(view(x, DType::f32, {5, 3}), {100, 100}).granularity(), (Granularity{5, 3}));
  EXPECT_EQ(LiveSet::detect({x.data(), DType::f32, {0, 3}, {}}, {1, 1}).fraction(), 1);
  EXPECT_EQ(LiveSet::detect(view(x, DType::f32, {5, 3}), {1, 1}, 1.0).count(), 14);
}

TEST(LiveSet, FromLengthsRowsAndExperts) {
  std::vector<std::int32_t> lengths = {2, 0, 3};
  EXPECT_EQ(mask_of(LiveSet::from_lengths(view(lengths, DType::i32, {3}), 3, 7)),
            (std::vector<int>{1, 1, 0, 0, 0, 0, 1, 1, 1}));
  std::vector<std::int64_t> rows = {3, 1, 3};
  EXPECT_EQ(mask_of(LiveSet::from_rows(view(rows, DType::i64, {3}), 4, 2)), (std::vector<int>{0, 1, 0, 1}));
  std::vector<std::int64_t> experts = {0, 1, 1, -1, 0, 0};
  EXPECT_EQ(mask_of(LiveSet::from_experts(view(experts, DType::i64, {3, 2}), 2, 5)),
            (std::vector<int>{1, 0, 1, 1, 1, 0}));
}

TEST(LiveSet, Refused) {
  std::vector<std::int64_t> values = {1, 9};
  std::vector<std::uint8_t> mask = {1, 0, 1, 0};
  std::vector<float> x(4);
  auto tensor_of = [](auto&& f) {
    try {
      f();
    } catch (const InputError& e) {
      return e.tensor();
    }
    return std::string("no error");
  };
  EXPECT_EQ(tensor_of([&] { LiveSet::from_rows(view(values, DType::i64, {2}), 4, 2); }), "indices");
  EXPECT_EQ(tensor_of([&] { LiveSet::from_lengths(view(values, DType::i64, {2}), 4, 2); }), "lengths");
  EXPECT_EQ(tensor_of([&] { LiveSet::from_experts(view(values, DType::i64, {2}), 4, 2); }), "experts");
  EXPECT_EQ(tensor_of([&] { LiveSet::from_rows(view(x, DType::f32, {2}), 4, 2); }), "indices");
  EXPECT_EQ(tensor_of([&] { LiveSet::from_mask(view(mask, DType::u8, {2, 2}), 5, 2, {2, 1}); }), "mask");
  EXPECT_EQ(tensor_of([&] { LiveSet::from_mask(view(mask, DType::i8, {2, 2}), 2, 2, {1, 1}); }), "mask");
  EXPECT_EQ(tensor_of([&] { LiveSet::detect(view(x, DType::f32, {4}), {1, 1}); }), "values");
  EXPECT_EQ(tensor_of([&] { LiveSet::detect(view(x, DType::i32, {2, 2}), {1, 1}); }), "values");
  EXPECT_EQ(tensor_of([&] { LiveSet::detect(view(x, DType::f32, {2, 2}), {1, 0}); }), "values");
}

TEST(LiveSet, MatricesBelowEachOtherAreOne) {
  // Lengths of padded sequences fit the tall matrix that a product with weights makes of the batch; what is outside is
  // not read.
  const std::int64_t batch = 3, rows = 4, k = 5, n = 6;
  std::vector<std::int64_t> lengths = {2, 4, 0};
  std::vector<float> x(batch * rows * k, 1), w(k * n, 2);
  const LiveSet live = LiveSet::from_lengths(view(lengths, DType::i64, {batch}), rows, k);
  const Contraction c = Contraction::compile("bmk,kn->bmn", {1, {}, {}});
  const Tensor y = c.run(view(x, DType::f32, {batch, rows, k}), view(w, DType::f32, {k, n}),
                         {.a = Zeros::in(live), .b = {}, .c = {}, .rule = {}});
  for (std::int64_t i = 0; i < y.size(); ++i)
    EXPECT_EQ(y.as<float>()[i], i / n % rows < lengths[static_cast<std::size_t>(i / n / rows)] ? 10 : 0) << i;
}

}  // namespace
}  // namespace pit
