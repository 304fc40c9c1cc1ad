// How fast tiles run and how long they take to compile. Prints, for each target: the FMA peak (registers only), GF/s of
// tiles with and without an index on k, element-wise functions on data in L1, cold and warm compile times of a set of
// tiles.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fmt/format.h>
#include <functional>

#include "kernels.h"

#include "codegen/codegen.h"
#include "codegen/math.h"

using namespace pit;
using namespace pit::codegen;

namespace {

/// CPU time of this thread: the machine may be shared.
double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Independent FMA chains in registers: what the machine can do.
Kernel peak(int chains, int lanes) {
  Builder b(fmt::format("peak_{}x{}", chains, lanes));
  Value out = b.ptr_arg("out"), n = b.int_arg("n");
  std::vector<Value> acc;
  const Type vec{Scalar::f32, lanes};
  Value x = b.let("x", Builder::load(vec, out, Builder::i(0)));
  for (int i = 0; i < chains; ++i) acc.push_back(b.var("acc", Builder::f(i, vec)));
  b.loop("i", Builder::i(0), n, Builder::i(1), [&](const Value&) {
    for (auto& v : acc) b.assign(v, Builder::fma(x, x, v));
  });
  for (int i = 0; i < chains; ++i) b.store(out, Builder::i(4 * lanes * i), acc[i]);
  return b.finish();
}

struct Buffers {
  static constexpr std::int64_t kK = 256;
  float* a = alloc(8 * kK);
  float* b = alloc(64 * 2 * kK);
  float* c = alloc(64 * 64);
  std::vector<std::int32_t> offsets;
  static float* alloc(std::size_t n) {
    float* p = static_cast<float*>(std::aligned_alloc(64, 4 * n));
    for (std::size_t i = 0; i < n; ++i) p[i] = 0.01f * static_cast<float>(i % 17);
    return p;
  }
};

double best_of(int repeats, const std::function<void()>& f) {
  double best = 1e9;
  for (int r = 0; r < repeats; ++r) {
    const double t = now();
    f();
    best = std::min(best, now() - t);
  }
  return best;
}

/// out[i] = f(in[i]), vectors and a masked rest, over an array that stays in L1.
void bench_map(const Options& options, const char* name, Value (*f)(Builder&, Value)) {
  const int lanes = options.target.lanes(4);
  Builder b(name);
  Value in = b.ptr_arg("in", true), out = b.ptr_arg("out", true), n = b.int_arg("n");
  b.loop("i", Builder::i(0), n, Builder::i(lanes), [&](const Value& i) {
    Value at = b.let("at", Builder::binary(Op::mul, i, Builder::i(4)));
    Value live = b.let("live", Builder::lane_mask(Builder::binary(Op::sub, n, i), lanes));
    b.store(out, at, f(b, b.let("x", Builder::load({Scalar::f32, lanes}, in, at, live))), live);
  });
  const Kernel k = b.finish();
  const auto code = codegen::compile({k}, options);
  Buffers buf;
  void* ptrs[] = {buf.b, buf.c};
  const std::int64_t ints[] = {2000};
  const KernelFn fn = code->function(name);
  const double s = best_of(10, [&] {
    for (int i = 0; i < 1000; ++i) fn(ptrs, ints);
  });
  fmt::print("  {}: {:.2f} ns per vector, compiled in {:.1f} ms\n", name, s / 1000 / (2000.0 / lanes) * 1e9,
             code->seconds * 1e3);
}

Value gelu(Builder& b, Value x) {
  Value e = math::erf(b, Builder::binary(Op::mul, x, Builder::f(0.70710678)));
  Value h = Builder::binary(Op::mul, x, Builder::f(0.5));
  return Builder::fma(h, e, h);
}
Value max0(Builder&, Value x) { return Builder::binary(Op::max, x, Builder::f(0)); }

void bench(const CpuTarget& target) {
  const int lanes = target.lanes(4);
  const int rows = lanes == 16 ? 8 : 6, vectors = lanes == 16 ? 3 : 2;
  Options options;
  options.target = target;

  const Kernel p = peak(12, lanes);
  auto code = codegen::compile({p}, options);
  Buffers buf;
  void* out[] = {buf.c};
  const std::int64_t n[] = {20000};
  const double t = best_of(20, [&] { code->function(p.name)(out, n); });
  fmt::print("{}: peak {:.1f} GF/s\n", target.name, 2.0 * 12 * lanes * 20000 / t / 1e9);

  for (int r : {rows, rows - 2, 4, 1}) {
    for (int v = 1; v <= vectors; ++v) {
      for (bool indexed : {false, true}) {
        const Kernel k = testing::matmul_tile(r, v, lanes, indexed);
        const double t0 = now();
        auto c = codegen::compile({k}, options);
        const double compile_time = now() - t0;
        buf.offsets.resize(Buffers::kK);
        for (std::int64_t i = 0; i < Buffers::kK; ++i) buf.offsets[i] = (2 * i + (i * 7919 % 2)) * v * lanes * 4;
        void* ptrs[] = {buf.a, buf.b, buf.c, buf.offsets.data()};
        const std::int64_t ints[] = {Buffers::kK, v * lanes * 4};
        KernelFn f = c->function(k.name);
        const double s = best_of(10, [&] {
          for (int i = 0; i < 2000; ++i) f(ptrs, ints);
        });
        fmt::print("  {}x{}{}: {:.1f} GF/s, compiled in {:.1f} ms\n", r, v * lanes, indexed ? " indexed" : "",
                   2.0 * r * v * lanes * Buffers::kK * 2000 / s / 1e9, compile_time * 1e3);
      }
    }
  }

  bench_map(options, "relu", max0);
  bench_map(options, "exp", math::exp);
  bench_map(options, "log", math::log);
  bench_map(options, "erf", math::erf);
  bench_map(options, "gelu", gelu);
  bench_map(options, "tanh", math::tanh);
  bench_map(options, "sigmoid", math::sigmoid);
  bench_map(options, "sin", math::sin);

  const auto set = testing::tile_set(rows, vectors, lanes);
  const std::string dir = std::filesystem::temp_directory_path() / "pit-tile-bench";
  std::filesystem::remove_all(dir);
  std::filesystem::create_directory(dir);
  options.cache_dir = dir;
  for (int i = 0; i < 4; ++i) {
    const double t0 = now();
    auto c = codegen::compile(set, options);
    fmt::print("  {} kernels: {:.1f} ms{}\n", set.size(), (now() - t0) * 1e3, c->from_cache ? " from cache" : "");
  }
  std::filesystem::remove_all(dir);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::string(argv[1]) == "--asm") {
    const CpuTarget target = cpu_target(argv[2]);
    const int lanes = target.lanes(4);
    if (argc > 3) {
      Builder b("map");
      Value in = b.ptr_arg("in", true), n = b.int_arg("n");
      b.loop("i", Builder::i(0), n, Builder::i(lanes), [&](const Value& i) {
        Value at = b.let("at", Builder::binary(Op::mul, i, Builder::i(4)));
        b.store(in, at, gelu(b, b.let("x", Builder::load({Scalar::f32, lanes}, in, at))));
      });
      fmt::print("{}", assembly({b.finish()}, target));
      return 0;
    }
    fmt::print("{}", assembly({testing::matmul_tile(lanes == 16 ? 8 : 6, lanes == 16 ? 3 : 2, lanes, true)}, target));
    return 0;
  }
  bench(cpu_target());
  bench(cpu_target("haswell"));
}
