#include "pit/tensor.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>

#include "pit/error.h"
#include "tensor/poison.h"

namespace pit {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

TEST(Shape, CountsAndPrints) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 17, 384}), 2 * 17 * 384);
  EXPECT_EQ(element_count({kHuge, 0, kHuge}), 0);
  EXPECT_EQ(to_string({2, 17, 384}), "[2, 17, 384]");
  EXPECT_EQ(to_string(Shape{}), "[]");
}

TEST(Shape, AbsurdShapesAreInputErrors) {
  EXPECT_THROW(element_count({2, -1}), InputError);
  EXPECT_THROW(element_count({0, -1}), InputError);
  EXPECT_THROW(element_count({kHuge, 2}), InputError);
  EXPECT_THROW(Tensor(DType::f32, {kHuge / 2}), InputError) << "bytes overflow though elements do not";
}

TEST(DTypes, SizesAndNames) {
  EXPECT_EQ(size_of(DType::f16), 2u);
  EXPECT_EQ(size_of(DType::b8), 1u);
  EXPECT_STREQ(name_of(DType::b8), "bool");
  EXPECT_STREQ(name_of(DType::i64), "i64");
}

TEST(Tensors, OwnAlignedSharedStorage) {
  Tensor t(DType::f32, {3, 5});
  EXPECT_TRUE(t.defined());
  EXPECT_FALSE(Tensor().defined());
  EXPECT_EQ(t.size(), 15);
  EXPECT_EQ(t.bytes(), 60u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.data()) % 64, 0u);
  const Tensor copy = t;
  t.as<float>()[7] = 3;
  EXPECT_EQ(copy.as<float>()[7], 3);
  EXPECT_TRUE(Tensor(DType::i64, {0, 4}).defined());
}

TEST(Tensors, AdoptForeignStorage) {
  auto owner = std::make_shared<int>(1);
  float data[2] = {1, 2};
  {
    const Tensor t(DType::f32, {2}, data, owner);
    EXPECT_EQ(owner.use_count(), 2);
    EXPECT_EQ(t.as<float>()[1], 2);
  }
  EXPECT_EQ(owner.use_count(), 1);
}

TEST(Poison, IsFarFromAnyResult) {
  Tensor t(DType::f32, {3});
  fill_poison(t.data(), DType::f32, 3, Poison::nan);
  EXPECT_TRUE(std::isnan(t.as<float>()[0]) && std::isnan(t.as<float>()[2]));
  fill_poison(t.data(), DType::f32, 2, Poison::large);
  EXPECT_EQ(t.as<float>()[0], 1e30f);
  EXPECT_EQ(t.as<float>()[1], -1e30f);
  EXPECT_TRUE(std::isnan(t.as<float>()[2])) << "beyond the count";
  fill_poison(t.data(), DType::f32, 3, Poison::none);
  EXPECT_EQ(t.as<float>()[0], 1e30f);
}

TEST(Poison, FillsEveryTypeAndNothingBeyond) {
  for (const DType type : {DType::f32, DType::f64, DType::f16, DType::i64, DType::i32, DType::i8, DType::u8, DType::b8})
    for (const Poison poison : {Poison::nan, Poison::large}) {
      std::uint8_t bytes[5 * 8];
      std::memset(bytes, 0x11, sizeof bytes);
      fill_poison(bytes, type, 4, poison);
      for (std::size_t i = 0; i < sizeof bytes; i += size_of(type)) {
        bool kept = true;
        for (std::size_t b = 0; b < size_of(type); ++b) kept = kept && bytes[i + b] == 0x11;
        EXPECT_EQ(kept, i >= 4 * size_of(type)) << name_of(type) << " at byte " << i;
      }
    }
}

}  // namespace
}  // namespace pit
