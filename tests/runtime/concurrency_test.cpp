// One compiled model, many threads and shapes at once; more shapes than plans are kept.
#include <atomic>
#include <thread>

#include "api/fixture.h"
#include "runtime/arrays.h"

namespace pit::test {
namespace {

using Batch = PaddedBatch;
std::vector<std::int64_t> random_lengths(std::mt19937& r) {
  std::vector<std::int64_t> l(1 + r() % 5);
  for (auto& x : l) x = static_cast<std::int64_t>(r() % 20);
  l[0] += 1;
  return l;
}

Floats answer(const Model& m, const Batch& b) { return floats_of(m.run(b.views()).begin()->second); }

TEST(Concurrency, ThreadsGetTheBitsOfACallAlone) {
  for (const char* name : {"bert-embedding-script", "gpt2-script", "t5-encoder-script"}) {
    CompileOptions options;
    const Model m = load_fixture(name, options);
    std::mt19937 r(1);
    std::vector<Batch> batches;
    std::vector<Floats> alone;
    for (int i = 0; i < 20; ++i) {
      batches.emplace_back(m, random_lengths(r));
      alone.push_back(answer(m, batches.back()));
    }
    std::atomic<int> wrong{0}, ready{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&, t] {
        ++ready;
        while (ready < 8) std::this_thread::yield();
        for (std::size_t i = 0; i < 60; ++i) {
          const std::size_t at = (i * 7 + static_cast<std::size_t>(t) * 3) % batches.size();
          if (!same_bits(answer(m, batches[at]), alone[at])) ++wrong;
        }
      });
    for (auto& t : threads) t.join();
    EXPECT_EQ(wrong, 0) << name;
  }
}

TEST(Concurrency, ErrorsInOneThreadDoNotReachAnother) {
  const Model m = load_fixture("bert-embedding-script");
  const Batch good(m, {5, 3});
  const Floats want = answer(m, good);
  Ints ids(10, 1'000'000'000), ones(10, 1), zeros(10, 0);
  const std::map<std::string, TensorView> bad = {{"input_ids", view(ids, {2, 5})},
                                                 {"attention_mask", view(ones, {2, 5})},
                                                 {"token_type_ids", view(zeros, {2, 5})}};
  std::atomic<int> wrong{0}, refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        if (t % 2 == 0) {
          if (!same_bits(answer(m, good), want)) ++wrong;
          continue;
        }
        try {
          m.run(bad);
          ++wrong;
        } catch (const InputError& e) {
          if (e.tensor() == "input_ids") ++refused;
        }
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(refused, 100);
}

// 200 shapes, each new when it comes; then the oldest again, whose plans are gone.
TEST(Concurrency, PlansComeAndGo) {
  const Model m = load_fixture("bert-embedding-script");
  std::vector<Floats> first;
  auto batch = [&](int i) { return Batch(m, {1 + i % 20, i / 20, 3}); };
  for (int i = 0; i < 200; ++i) first.push_back(answer(m, batch(i)));
  for (int i = 0; i < 200; i += 7) EXPECT_TRUE(same_bits(answer(m, batch(i)), first[static_cast<std::size_t>(i)])) << i;
}

// Copies share the compiled model; results outlive it.
TEST(Concurrency, ResultsOutliveTheModel) {
  Tensor result;
  Floats want;
  {
    const Model m = load_fixture("bert-embedding-script"),
                copy = m;  // NOLINT(performance-unnecessary-copy-initialization): a copy is what is tried
    const Batch batch(m, {5, 3});
    result = m.run(batch.views()).begin()->second;
    want = floats_of(result);
    answer(copy, Batch(copy, {5, 2}));
  }
  EXPECT_TRUE(same_bits(floats_of(result), want));
}

}  // namespace
}  // namespace pit::test
