// Kernels as bytes: equal kernels, and only those, have equal ones.
#include "codegen/encode.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <gtest/gtest.h>
#include <set>

#include "random_kernel.h"

namespace pit::codegen {
namespace {

// Every field of every node and statement counts, however deep it stands.
std::vector<std::function<void()>> damages(std::vector<Stmt>& block, std::vector<ValueNode*>& seen) {
  std::vector<std::function<void()>> all;
  auto node = [&](const Value& v, auto&& self) -> void {
    if (!v || std::find(seen.begin(), seen.end(), v.get()) != seen.end()) return;
    auto* n = const_cast<ValueNode*>(v.get());
    seen.push_back(n);
    all.insert(all.end(),
               {[n] { n->op = n->op == Op::add ? Op::sub : Op::add; }, [n] { ++n->type.lanes; },
                [n] { n->number = std::bit_cast<double>(std::bit_cast<std::uint64_t>(n->number) ^ 1); },
                [n] { n->integer ^= 1; }, [n] { n->lanes_map.push_back(0); }, [n] { n->args.push_back(nullptr); }});
    for (const Value& a : n->args) self(a, self);
  };
  for (Stmt& s : block) {
    for (const Value* v : {&s.value, &s.pointer, &s.bytes, &s.mask, &s.begin, &s.end, &s.step}) node(*v, node);
    all.insert(all.end(), {[&s] { ++s.name; }, [&s] { s.body.emplace_back(); }, [&s] { s.otherwise.emplace_back(); },
                           [&s] { s.mask = s.mask ? nullptr : Builder::i(1); }});
    for (auto* inner : {&s.body, &s.otherwise}) {
      const auto more = damages(*inner, seen);
      all.insert(all.end(), more.begin(), more.end());
    }
  }
  return all;
}

TEST(Encode, EqualKernelsAloneHaveEqualBytes) {
  std::set<std::string> all;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    const std::string bytes = encode(testing::RandomKernelMaker(seed).make().kernel);
    EXPECT_EQ(bytes, encode(testing::RandomKernelMaker(seed).make().kernel));
    EXPECT_TRUE(all.insert(bytes).second);
    for (std::uint64_t i = 0; i < 12; ++i) {
      Kernel k = testing::RandomKernelMaker(seed).make().kernel;
      std::vector<ValueNode*> seen;
      const auto damage = damages(k.body, seen);
      damage[(seed * 7919 + i * 104729) % damage.size()]();
      EXPECT_NE(encode(k), bytes) << i;
    }
  }
}

}  // namespace
}  // namespace pit::codegen
