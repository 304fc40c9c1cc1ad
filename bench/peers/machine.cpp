// What the machine can do: the benchmark's own measurement of the limits, independent of the one in PIT (the larger
// counts), and the short loop that tells whether a core is ours alone.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <immintrin.h>
#include <memory>
#include <sched.h>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

#ifdef __AVX512F__
using Vec = __m512;
Vec splat(float x) { return _mm512_set1_ps(x); }
Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
Vec load(const float* p) { return _mm512_load_ps(p); }
Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
void stream(float* p, Vec v) { _mm512_stream_ps(p, v); }
#else
using Vec = __m256;
Vec splat(float x) { return _mm256_set1_ps(x); }
Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
Vec load(const float* p) { return _mm256_load_ps(p); }
Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
void stream(float* p, Vec v) { _mm256_stream_ps(p, v); }
#endif
constexpr std::int64_t kLanes = sizeof(Vec) / sizeof(float);

float sum_up(const Vec* v, int count) {
  alignas(64) float lanes[kLanes];
  float total = 0;
  for (int i = 0; i < count; ++i) {
    std::memcpy(lanes, &v[i], sizeof(Vec));
    for (float x : lanes) total += x;
  }
  return total;
}

/// Runs `body(thread)`, which returns units of work done, on pinned threads, all starting together, until `seconds` are
/// over; the best units per second of `rounds`. The best, because what disturbs a measurement only ever slows it, and a
/// limit is an upper bound.
double best_rate(int threads, const int* cpus, double seconds, const std::function<double(int)>& body) {
  std::atomic<int> ready{0};
  std::vector<double> best(std::size_t(threads), 0.0);
  auto work = [&](int t) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpus[t], &set);
    sched_setaffinity(0, sizeof set, &set);
    body(t);  // warm-up: pages, caches
    ++ready;
    while (ready.load() < threads) {
    }
    const double end = now() + seconds;
    do {
      const double start = now();
      const double units = body(t);
      best[std::size_t(t)] = std::max(best[std::size_t(t)], units / (now() - start));
    } while (now() < end);
  };
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) pool.emplace_back(work, t);
  for (auto& thread : pool) thread.join();
  double total = 0;
  for (double b : best) total += b;
  return total;
}

struct Buffer {
  explicit Buffer(std::size_t size) : bytes((size + (2u << 20) - 1) & ~((std::size_t(2) << 20) - 1)) {
    data = static_cast<float*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (data == MAP_FAILED) {
      data = nullptr;
      return;
    }
    madvise(data, bytes, MADV_HUGEPAGE);
    for (std::size_t i = 0; i < bytes / 4; i += 64) data[i] = 1.0f;
  }
  ~Buffer() {
    if (data) munmap(data, bytes);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::size_t bytes;
  float* data = nullptr;
};

volatile float sink;

float read_all(const float* p, std::int64_t count) {
  Vec acc[8];
  for (auto& v : acc) v = splat(0);
  for (std::int64_t i = 0; i + 8 * kLanes <= count; i += 8 * kLanes)
    for (int j = 0; j < 8; ++j) acc[j] = add(acc[j], load(p + i + j * kLanes));
  return sum_up(acc, 8);
}

}  // namespace

extern "C" {

double machine_fma_gflops(int threads, const int* cpus, double seconds) {
  return 1e-9 * best_rate(threads, cpus, seconds, [](int) {
           constexpr int chains = 12;
           constexpr std::int64_t steps = 40000;
           Vec acc[chains];
           for (int i = 0; i < chains; ++i) acc[i] = splat(float(i));
           Vec x = splat(0.999f), y = splat(1e-3f);
           asm volatile("" : "+x"(x), "+x"(y));
           for (std::int64_t s = 0; s < steps; ++s)
             for (int i = 0; i < chains; ++i) acc[i] = fma(acc[i], x, y);
           sink = sum_up(acc, chains);
           return 2.0 * double(kLanes) * chains * double(steps);
         });
}

/// GB/s of reads of `bytes` per thread, again and again.
double machine_read_gbytes(int threads, const int* cpus, double seconds, std::int64_t bytes) {
  std::vector<std::unique_ptr<Buffer>> buffers;
  for (int t = 0; t < threads; ++t) buffers.push_back(std::make_unique<Buffer>(std::size_t(bytes)));
  const std::int64_t repeat = std::max<std::int64_t>(1, (4 << 20) / bytes);
  return 1e-9 * best_rate(threads, cpus, seconds, [&](int t) {
           for (std::int64_t r = 0; r < repeat; ++r) sink = read_all(buffers[std::size_t(t)]->data, bytes / 4);
           return double(bytes / 4 / (8 * kLanes) * (8 * kLanes) * 4 * repeat);
         });
}

double machine_write_gbytes(int threads, const int* cpus, double seconds, std::int64_t bytes) {
  std::vector<std::unique_ptr<Buffer>> buffers;
  for (int t = 0; t < threads; ++t) buffers.push_back(std::make_unique<Buffer>(std::size_t(bytes)));
  return 1e-9 * best_rate(threads, cpus, seconds, [&](int t) {
           const Vec v = splat(2.0f);
           for (std::int64_t i = 0; i + kLanes <= bytes / 4; i += kLanes) stream(buffers[std::size_t(t)]->data + i, v);
           _mm_sfence();
           return double(bytes);
         });
}

/// Bytes read plus bytes written per second, in GB/s.
double machine_copy_gbytes(int threads, const int* cpus, double seconds, std::int64_t bytes) {
  std::vector<std::unique_ptr<Buffer>> from, to;
  for (int t = 0; t < threads; ++t) {
    from.push_back(std::make_unique<Buffer>(std::size_t(bytes)));
    to.push_back(std::make_unique<Buffer>(std::size_t(bytes)));
  }
  return 1e-9 * best_rate(threads, cpus, seconds, [&](int t) {
           const float* a = from[std::size_t(t)]->data;
           float* b = to[std::size_t(t)]->data;
           for (std::int64_t i = 0; i + 4 * kLanes <= bytes / 4; i += 4 * kLanes)
             for (int j = 0; j < 4; ++j) stream(b + i + j * kLanes, load(a + i + j * kLanes));
           _mm_sfence();
           return 2.0 * double(bytes);
         });
}
}
