// What a call costs beside its arithmetic: memory that it asks for, and the time that a shape takes which was never
// seen before. The figures are printed; what is asserted is far enough from them to hold on a busy machine.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "api/fixture.h"
#include "frontend/onnx/onnx.h"
#include "runtime/arrays.h"
#include "runtime/plan.h"
#include "support/files.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PIT_COUNT_ALLOCATIONS 1
#endif

namespace {
std::atomic<bool> counting{false};
std::atomic<std::int64_t> calls{0}, bytes{0};
[[maybe_unused]] void note(std::size_t n) {
  if (!counting.load(std::memory_order_relaxed)) return;
  calls.fetch_add(1, std::memory_order_relaxed);
  bytes.fetch_add(static_cast<std::int64_t>(n), std::memory_order_relaxed);
}
}  // namespace

#ifdef PIT_COUNT_ALLOCATIONS
// glibc's own names of its allocator; everything in the process asks through ours.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
// NOLINTEND(bugprone-reserved-identifier)
void* malloc(std::size_t n) {
  note(n);
  return __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size) {
  note(n * size);
  return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n) {
  note(n);
  return __libc_realloc(p, n);
}
void* aligned_alloc(std::size_t alignment, std::size_t n) {
  note(n);
  return __libc_memalign(alignment, n);
}
}
#endif

namespace pit::test {
namespace {

using Clock = std::chrono::steady_clock;
double microseconds(Clock::time_point from) {
  return std::chrono::duration<double, std::micro>(Clock::now() - from).count();
}

#ifdef PIT_COUNT_ALLOCATIONS
struct Allocations {
  std::int64_t calls, bytes;
};
template <class F>
Allocations allocations_of(F&& f) {
  calls = bytes = 0;
  counting = true;
  f();
  counting = false;
  return {calls, bytes};
}

TEST(Cost, MemoryOfACallIsItsOutputsAndSmallThings) {
  for (const char* name : {"bert-embedding-script", "bert-script", "gpt2-script"}) {
    for (const int threads : {1, 2}) {
      CompileOptions options;
      options.threads = threads;
      const std::string path = std::string(PIT_SOURCE_DIR) + "/tests/fixtures/" + name + ".onnx";
      const Model m = Model::load(path, options);
      const PaddedBatch small(m, {17, 3, 9, 12}), large(m, std::vector<std::int64_t>(64, 40));
      std::int64_t out_small = 0, out_large = 0;
      for (const auto& [n, t] : m.run(small.views())) out_small += static_cast<std::int64_t>(t.bytes());
      for (const auto& [n, t] : m.run(large.views())) out_large += static_cast<std::int64_t>(t.bytes());
      for (int i = 0; i < 5; ++i) m.run(small.views()), m.run(large.views());
      const Allocations a = allocations_of([&] { m.run(small.views()); }),
                        b = allocations_of([&] { m.run(large.views()); });
      std::printf(
          "[ figures  ] %-22s %d threads: 4 x 17 tokens: %lld calls, %lld bytes (outputs %lld); 64 x 40 tokens: %lld "
          "calls, %lld bytes (outputs %lld)\n",
          name, threads, static_cast<long long>(a.calls), static_cast<long long>(a.bytes),
          static_cast<long long>(out_small), static_cast<long long>(b.calls), static_cast<long long>(b.bytes),
          static_cast<long long>(out_large));
      // Nothing that grows with the activations: a thousandth of what they are would show.
      EXPECT_LT(b.bytes - out_large, 2'000'000) << name;
    }
  }
}
#endif

TEST(Cost, PlanningAShapeNeverSeen) {
  const std::string minilm = std::string(PIT_SOURCE_DIR) + "/build/demo/minilm.onnx";
  const bool real = std::filesystem::exists(minilm);
  const std::string path = real ? minilm : std::string(PIT_SOURCE_DIR) + "/tests/fixtures/bert-embedding-script.onnx";
  graph::Graph g = frontend::read_onnx_file(path);
  graph::run_passes(g);
  compile::ProgramOptions o;
  for (const graph::ValueId v : g.outputs) o.outputs.push_back({v, -1});
  o.target = cpu_target();
  std::string reason;
  o.cache_dir = usable_cache_dir("", &reason);
  const auto program = compile::build_program(std::move(g), o);
  std::vector<double> times;
  std::size_t most = 0;
  for (std::int64_t i = 1; i <= 60; ++i) {
    std::vector<std::int64_t> symbols(static_cast<std::size_t>(program->graph.dims.symbol_count()), i);
    const auto start = Clock::now();
    const auto plan = runtime::make_plan(*program, symbols);
    times.push_back(microseconds(start));
    most = std::max(most, plan->storage.size());
  }
  std::sort(times.begin(), times.end());
  std::printf("[ figures  ] planning %s: median %.0f us, fastest %.0f, slowest %.0f; %zu values, %zu steps\n",
              real ? "MiniLM" : "a fixture", times[times.size() / 2], times.front(), times.back(), most,
              program->steps.size());
  EXPECT_LT(times[times.size() / 2], 5000) << "1 ms is the aim";
}

}  // namespace
}  // namespace pit::test
