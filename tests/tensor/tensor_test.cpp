#include "pit/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "pit/error.h"

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

}  // namespace
}  // namespace pit
