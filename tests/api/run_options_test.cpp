// Own memory for outputs, outputs of a call, cancelling, progress.
#include <atomic>
#include <chrono>
#include <cstring>
#include <gtest/gtest.h>
#include <stdexcept>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#include "fixture.h"

#include "pit/contraction.h"

namespace pit {
namespace {

using test::PaddedBatch;

// What lies behind the memory cannot be touched.
TEST(RunOptions, OutputsGoToTheCallersMemoryAndNoFurther) {
  for (const char* name : {"bert-dynamo", "bert-embedding-script", "bert-classifier-script"}) {
    const Model m = test::load_fixture(name);
    const PaddedBatch batch(m, {8, 4, 4, 1});
    const TensorMap want = m.run(batch.views());
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    for (const auto& [output, tensor] : want) {
      const std::size_t bytes = tensor.bytes(), whole = (bytes + page - 1) / page * page;
      char* map =
          static_cast<char*>(mmap(nullptr, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      ASSERT_EQ(mprotect(map + whole, page, PROT_NONE), 0);
      char* data = map + whole - bytes;
      RunOptions options;
      options.out[output] = {data, tensor.dtype(), tensor.shape(), {}};
      options.outputs = {output};
      const TensorMap got = m.run(batch.views(), options);
      ASSERT_EQ(got.size(), 1u);
      EXPECT_EQ(got.at(output).data(), data);
      EXPECT_EQ(std::memcmp(data, tensor.data(), bytes), 0) << name << " " << output;
      munmap(map, whole + page);
    }
  }
}

TEST(RunOptions, MistakesNameTheOutput) {
  const Model m = test::load_fixture("bert-dynamo");
  const PaddedBatch batch(m, {5, 2});
  const auto [name, tensor] = *m.run(batch.views()).begin();
  std::vector<float> memory(static_cast<std::size_t>(tensor.size()) + 1);
  const std::vector<std::pair<std::string, TensorView>> wrong = {
      {"nothing", {memory.data(), DType::f32, tensor.shape(), {}}},
      {name, {memory.data(), DType::f64, tensor.shape(), {}}},
      {name, {memory.data(), DType::f32, {tensor.size()}, {}}},
      {name, {nullptr, DType::f32, tensor.shape(), {}}},
      {name, {reinterpret_cast<char*>(memory.data()) + 1, DType::f32, tensor.shape(), {}}},
      {name, {memory.data(), DType::f32, tensor.shape(), {0, 1, 1}}},
      {name, {memory.data(), DType::f32, tensor.shape(), {1}}}};
  for (const auto& [output, view] : wrong) {
    RunOptions options;
    options.out[output] = view;
    try {
      m.run(batch.views(), options);
      FAIL() << output;
    } catch (const InputError& e) {
      EXPECT_EQ(e.tensor(), output) << e.what();
    }
  }
}

TEST(Cancel, BeforeWhileAndAfter) {
  const Model m = test::load_fixture("bert-dynamo");
  const PaddedBatch small(m, {5, 2});
  RunOptions options;
  options.cancel = CancelToken();
  EXPECT_FALSE(m.run(small.views(), options).empty());
  options.cancel->cancel();
  EXPECT_THROW(m.run(small.views(), options), CancelledError);
  EXPECT_THROW(m.profile(small.views(), 3, false, options), CancelledError);
  CompileOptions compile;
  compile.cancel = options.cancel;
  EXPECT_THROW(test::load_fixture("bert-dynamo", compile), CancelledError);
  EXPECT_FALSE(m.run(small.views()).empty());

  const PaddedBatch large(m, std::vector<std::int64_t>(20000, 30));
  options.cancel = CancelToken();
  std::atomic<std::int64_t> cancelled_at{0};
  auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    cancelled_at = now();
    options.cancel->cancel();
  });
  EXPECT_THROW(
      {
        for (;;) m.run(large.views(), options);
      },
      CancelledError);
  EXPECT_LT(static_cast<double>(now() - cancelled_at) * 1e-9, 0.5);
  other.join();
}

TEST(Cancel, IsAskedByTheCallingThread) {
  const Model m = test::load_fixture("bert-dynamo");
  const PaddedBatch batch(m, std::vector<std::int64_t>(2000, 30));
  const auto self = std::this_thread::get_id();
  int asked = 0;
  bool elsewhere = false;
  RunOptions options;
  options.cancel = CancelToken([&] {
    elsewhere = elsewhere || std::this_thread::get_id() != self;
    return ++asked == 3;
  });
  EXPECT_THROW(
      {
        for (;;) m.run(batch.views(), options);
      },
      CancelledError);
  EXPECT_EQ(asked, 3);
  EXPECT_FALSE(elsewhere);
}

TEST(Progress, GrowsToOneAndItsExceptionsEndCompiling) {
  std::vector<double> shares;
  CompileOptions options;
  options.progress = [&](std::string_view, double share) { shares.push_back(share); };
  test::load_fixture("bert-dynamo", options);
  ASSERT_GT(shares.size(), 5u);
  EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
  EXPECT_EQ(shares.back(), 1);
  options.progress = [](std::string_view stage, double) {
    if (stage == "fuse") throw CancelledError("enough");
  };
  EXPECT_THROW(test::load_fixture("bert-dynamo", options), CancelledError);
}

}  // namespace
}  // namespace pit
