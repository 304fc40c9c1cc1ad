// How the limits are measured.
//
// Estimator: the best of many intervals of a few milliseconds. A limit is an upper bound of what any program reaches,
// and whatever disturbs an interval (another process on the core, on the memory bus or in the shared cache; a clock
// that has not risen yet) only makes it slower; mean and median would measure the neighbours. An interval of a few
// milliseconds often falls between two disturbances, and is long against the timer and the start of a parallel loop.
//
// Caches: what shall come from memory is walked in a ring so long that each piece has left the caches before its next
// turn. Pages are touched before, and huge where possible, so neither page faults nor the TLB are part of the figure.
// Kernels are generated: compiled C++ is for baseline x86-64, and nobody optimises a generated loop away.
#include "tune/limits.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <emmintrin.h>
#include <fmt/format.h>
#include <functional>
#include <new>
#include <sys/mman.h>
#include <vector>

#include "codegen/codegen.h"
#include "pit/error.h"
#include "support/cancel.h"
#include "support/memory.h"
#include "support/threads.h"
#include "tune/tile_costs.h"

namespace pit::tuning {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Type;
using codegen::Value;

namespace {

constexpr std::size_t kPiece = 2 << 20;  // bytes of a task on memory: some 0.1 ms
constexpr std::int64_t kTasks = 8;       // per thread and interval
constexpr int kStreams = 4;              // of a read: prefetchers follow several, each of one page at a time

/// Independent chains of fused multiply-adds.
codegen::Kernel peak_kernel(const CpuTarget& target) {
  constexpr int kChains = 12;
  const Type vector{Scalar::f32, target.lanes(4)};
  Builder b("limit_fma_" + target.name);
  Value out = b.ptr_arg("out"), n = b.int_arg("n");
  Value x = b.let("x", Builder::load(vector, out, Builder::i(0)));
  std::vector<Value> chains;
  for (int i = 0; i < kChains; ++i) chains.push_back(b.var("chain", Builder::f(i, vector)));
  b.loop("i", Builder::i(0), n, Builder::i(1), [&](const Value&) {
    for (Value& chain : chains) b.assign(chain, Builder::fma(x, x, chain));
  });
  for (int i = 0; i < kChains; ++i)
    b.store(out, Builder::i(static_cast<std::int64_t>(i) * target.vector_bytes), chains[i]);
  return b.finish();
}

/// Reads `streams` pieces of n bytes each side by side, whole vectors, and folds them with an operation of one cycle.
codegen::Kernel read_kernel(int streams, const CpuTarget& target) {
  constexpr int vectors = 8;  // per step, all streams together
  const Type vector{Scalar::i32, target.lanes(4)};
  const int each = vectors / streams;
  Builder b(fmt::format("limit_read_{}_{}", streams, target.name));
  Value from = b.ptr_arg("from"), out = b.ptr_arg("out"), n = b.int_arg("n");
  std::vector<Value> folded, stream;
  for (int s = 0; s < streams; ++s)
    stream.push_back(b.let("stream", Builder::offset(from, Builder::binary(Op::mul, n, Builder::i(s)))));
  for (int i = 0; i < vectors; ++i) folded.push_back(b.var("folded", Builder::i(0, vector)));
  b.loop(
      "at", Builder::i(0), n, Builder::i(static_cast<std::int64_t>(each) * target.vector_bytes), [&](const Value& at) {
        for (int i = 0; i < vectors; ++i) {
          Value where =
              Builder::binary(Op::add, at, Builder::i(static_cast<std::int64_t>(i % each) * target.vector_bytes));
          b.assign(folded[i], Builder::binary(Op::bit_xor, folded[i], Builder::load(vector, stream[i / each], where)));
        }
      });
  for (int i = 0; i < vectors; ++i)
    b.store(out, Builder::i(static_cast<std::int64_t>(i) * target.vector_bytes), folded[i]);
  return b.finish();
}

// Non-temporal stores are in every x86-64, and as wide as a line's buffer needs them.
void write_around_caches(char* to, std::size_t bytes) {
  const __m128 zero = _mm_setzero_ps();
  for (std::size_t at = 0; at < bytes; at += 64)
    for (std::size_t i = 0; i < 64; i += 16) _mm_stream_ps(reinterpret_cast<float*>(to + at + i), zero);
  _mm_sfence();
}

void copy_around_caches(char* to, const char* from, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += 64) {
    __m128 line[4];
    for (int i = 0; i < 4; ++i) line[i] = _mm_load_ps(reinterpret_cast<const float*>(from + at) + 4 * i);
    for (int i = 0; i < 4; ++i) _mm_stream_ps(reinterpret_cast<float*>(to + at) + 4 * i, line[i]);
  }
  _mm_sfence();
}

struct Span {
  double begin = 0, end = 0;
};

/// Tasks per second while all workers that took part were at work. 0 where that was too short a part of the interval.
double rate_together(const std::vector<std::vector<Span>>& workers) {
  double first = 1e300, last = 0, begin = 0, end = 1e300;
  for (const auto& spans : workers) {
    if (spans.empty()) continue;
    first = std::min(first, spans.front().begin);
    last = std::max(last, spans.back().end);
    begin = std::max(begin, spans.front().begin);
    end = std::min(end, spans.back().end);
  }
  if (end - begin < 0.7 * (last - first)) return 0;
  double done = 0;
  for (const auto& spans : workers)
    for (const Span& s : spans) {
      const double inside = std::min(s.end, end) - std::max(s.begin, begin);
      if (inside > 0) done += inside / (s.end - s.begin);
    }
  return done / (end - begin);
}

/// Best rate over intervals of `tasks` calls of body(number, worker), until `seconds` are over; numbers count on from
/// interval to interval.
double best_rate(const ThreadPool& pool, double seconds, std::int64_t tasks,
                 const std::function<void(std::int64_t, int)>& body) {
  std::vector<std::vector<Span>> workers(pool.size());
  std::int64_t number = 0;
  double best = 0, whole = 0;
  const double start = wall_seconds();
  for (int repeat = 0; repeat < 5 || wall_seconds() - start < seconds; ++repeat, number += tasks) {
    for (auto& spans : workers) spans.clear();
    const double begin = wall_seconds();
    pool.parallel_for(tasks, [&](std::int64_t task, int worker) {
      const double from = wall_seconds();
      body(number + task, worker);
      workers[worker].push_back({from, wall_seconds()});
    });
    whole = std::max(whole, static_cast<double>(tasks) / (wall_seconds() - begin));
    if (repeat > 0) best = std::max(best, rate_together(workers));
  }
  return std::max(best, whole);
}

class Measurement {
 public:
  Measurement(int threads, const CpuTarget& target, double seconds)
      : target_(target),
        pool_(threads),
        seconds_(seconds),
        memory_(beyond_caches()),
        out_(static_cast<std::size_t>(threads) * kOut) {
    code_ =
        codegen::compile({peak_kernel(target), read_kernel(kStreams, target), read_kernel(1, target)}, {target, {}});
    // By the threads that will read it: pages go to the memory of whoever touches them first.
    pool_.parallel_for(static_cast<std::int64_t>(memory_.size() / kPiece),
                       [&](std::int64_t piece, int) { std::memset(memory_.bytes(piece * kPiece), 1, kPiece); });
  }

  MachineLimits run() {
    MachineLimits limits;
    limits.cpu = cpu_model();
    limits.target = target_.name;
    limits.threads = pool_.size();
    limits.fma_gflops = fma(0.12);
    limits.read_gbytes = read(0.26);
    limits.write_gbytes = write(0.14);
    limits.copy_gbytes = copy(0.24);
    const CacheSizes caches = cache_sizes();
    limits.l2_read_gbytes = read_cache(caches.l2 / 2, 0.1);
    // A share of L3 for each thread, well beyond L2.
    const std::size_t share = caches.l3 / 2 / static_cast<std::size_t>(pool_.size());
    limits.l3_read_gbytes = read_cache(std::clamp(share, 2 * caches.l2, 16 * caches.l2), 0.14);
    return limits;
  }

 private:
  static constexpr std::size_t kOut = 4096;  // per worker: results that nobody reads, pages apart

  double rate(double share, const std::function<void(std::int64_t, int)>& body) {
    return best_rate(pool_, seconds_ * share, kTasks * pool_.size(), body);
  }

  double fma(double share) {
    const std::int64_t n = 40000;  // 12 chains: some 0.1 ms
    const codegen::KernelFn f = code_->function("limit_fma_" + target_.name);
    const double r = rate(share, [&](std::int64_t, int worker) {
      void* out = out_.bytes(static_cast<std::size_t>(worker) * kOut);
      f(&out, &n);
    });
    return r * 2 * 12 * target_.lanes(4) * static_cast<double>(n) * 1e-9;
  }

  void read_piece(const codegen::KernelFn f, std::int64_t bytes_per_stream, char* from, int worker) {
    void* ptrs[] = {from, out_.bytes(static_cast<std::size_t>(worker) * kOut)};
    f(ptrs, &bytes_per_stream);
  }

  /// Piece `number` of the ring of `count` pieces.
  char* piece(std::int64_t number, std::size_t count) const {
    return memory_.bytes(static_cast<std::size_t>(number) % count * kPiece);
  }

  double read(double share) {
    const codegen::KernelFn f = code_->function(fmt::format("limit_read_{}_{}", kStreams, target_.name));
    const std::size_t pieces = memory_.size() / kPiece;
    const double r = rate(share, [&](std::int64_t number, int worker) {
      read_piece(f, kPiece / kStreams, piece(number, pieces), worker);
    });
    return r * kPiece * 1e-9;
  }

  double write(double share) {
    const std::size_t pieces = memory_.size() / kPiece;
    return kPiece * 1e-9 *
           rate(share, [&](std::int64_t number, int) { write_around_caches(piece(number, pieces), kPiece); });
  }

  /// The better one of the C library's copy and one around the caches: which it is depends on thresholds of the
  /// library.
  double copy(double share) {
    const std::size_t pieces = memory_.size() / kPiece / 2;
    char* half = memory_.bytes(pieces * kPiece);
    auto to = [&](std::int64_t number) { return half + static_cast<std::size_t>(number) % pieces * kPiece; };
    const double library =
        rate(share / 2, [&](std::int64_t number, int) { std::memcpy(to(number), piece(number, pieces), kPiece); });
    const double around = rate(
        share / 2, [&](std::int64_t number, int) { copy_around_caches(to(number), piece(number, pieces), kPiece); });
    return std::max(library, around) * 2 * kPiece * 1e-9;
  }

  /// Each worker reads `bytes` of its own over and over.
  double read_cache(std::size_t bytes, double share) {
    bytes = std::min(bytes, memory_.size() / static_cast<std::size_t>(pool_.size())) / 4096 * 4096;
    const codegen::KernelFn f = code_->function(fmt::format("limit_read_1_{}", target_.name));
    const std::int64_t times = std::max<std::int64_t>(1, static_cast<std::int64_t>((4 << 20) / bytes));
    const double r = rate(share, [&](std::int64_t, int worker) {
      for (std::int64_t i = 0; i < times; ++i)
        read_piece(f, static_cast<std::int64_t>(bytes), memory_.bytes(static_cast<std::size_t>(worker) * bytes),
                   worker);
    });
    return r * static_cast<double>(times) * static_cast<double>(bytes) * 1e-9;
  }

  const CpuTarget& target_;
  ThreadPool pool_;
  double seconds_;
  Pages memory_, out_;
  std::shared_ptr<const codegen::Code> code_;
};

double seconds_of(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

double wall_seconds() { return seconds_of(CLOCK_MONOTONIC); }
double thread_seconds() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

std::size_t beyond_caches() {
  const std::size_t bytes = std::clamp<std::size_t>(4 * cache_sizes().l3, 64 << 20, 512 << 20);
  return bytes / (2 * kPiece) * (2 * kPiece);
}

Pages::Pages(std::size_t bytes)
    : size_(bytes), data_(static_cast<char*>(map_huge_pages(whole_pages(bytes))), Unmap{whole_pages(bytes)}) {}

void Pages::Unmap::operator()(char* data) const { munmap(data, size); }

MachineLimits measure_limits(int threads, const CpuTarget& target, double seconds) {
  FloatEnvironment environment;
  return Measurement(threads, target, seconds).run();
}

}  // namespace pit::tuning

namespace pit {

MachineLimits measure_limits(int threads, const std::string& cpu, const std::optional<CancelToken>& cancel) {
  const CancelScope scope(cancel);
  constexpr int most_threads = 1024;
  if (threads < 0 || threads > most_threads)
    throw InputError(fmt::format("threads = {}: give 1 to {}, or 0 for the default", threads, most_threads));
  return tuning::measure_limits(threads == 0 ? default_threads() : threads, cpu_target(cpu));
}

}  // namespace pit
