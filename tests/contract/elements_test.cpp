// Loops that write elements one by one: past the caches or through them, at any alignment, nothing beside.
#include "contract/elements.h"

#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace pit::contract {
namespace {

TEST(Elements, FillWritesItsElementsAndNothingElse) {
  std::mt19937 random(1);
  for (const DType type : {DType::f32, DType::f64})
    for (int i = 0; i < 400; ++i) {
      const ElementBits value(type, 1.5);
      const auto before = static_cast<std::int64_t>(random() % 40), count = static_cast<std::int64_t>(random() % 300);
      const std::int64_t odd = random() % 4 == 0 ? 1 : 0;  // bytes: strides of a caller's own may be anything
      std::vector<char> memory(static_cast<std::size_t>((before + count + 40) * value.size + odd), 7);
      char* const p = memory.data() + before * value.size + odd;
      fill(p, count, value, i % 2 == 0);
      for (std::int64_t at = 0; at < static_cast<std::int64_t>(memory.size()); ++at) {
        const std::int64_t within = memory.data() + at - p;
        const bool filled = within >= 0 && within < count * value.size;
        ASSERT_EQ(memory[static_cast<std::size_t>(at)], filled ? value.bytes[within % value.size] : 7)
            << "byte " << within << " of " << count << " elements, case " << i;
      }
    }
}

TEST(Elements, CopiesOfRowsAreWhole) {
  std::mt19937 random(1);
  for (int i = 0; i < 400; ++i) {
    const auto from_at = random() % 70, to_at = random() % 70, bytes = random() % 1000;
    std::vector<char> from(from_at + bytes), to(to_at + bytes + 70, 7);
    for (char& c : from) c = static_cast<char>(random());
    copy_row(to.data() + to_at, from.data() + from_at, static_cast<std::int64_t>(bytes), i % 2 == 0);
    for (std::size_t at = 0; at < to.size(); ++at)
      ASSERT_EQ(to[at], at >= to_at && at < to_at + bytes ? from[from_at + at - to_at] : 7) << i;
  }
}

}  // namespace
}  // namespace pit::contract
