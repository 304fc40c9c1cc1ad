// How fast tiles run and how long they take to compile. Prints, for each target: the FMA peak (registers only), GF/s of tiles
// with and without an index on k, cold and warm compile times of a set of 48 kernels, spills in the tile's loop.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "codegen/codegen.h"
#include "codegen/math.h"
#include "kernels.h"

using namespace pit;
using namespace pit::codegen;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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
        const double s = best_of(10, [&] { for (int i = 0; i < 2000; ++i) f(ptrs, ints); });
        fmt::print("  {}x{}{}: {:.1f} GF/s, compiled in {:.1f} ms\n", r, v * lanes, indexed ? " indexed" : "",
                   2.0 * r * v * lanes * Buffers::kK * 2000 / s / 1e9, compile_time * 1e3);
      }
    }
  }

  const auto set = testing::tile_set(rows, vectors, lanes);
  const std::string dir = std::filesystem::temp_directory_path() / "pit-tile-bench";
  std::filesystem::remove_all(dir);
  std::filesystem::create_directory(dir);
  options.cache_dir = dir;
  for (int i = 0; i < 4; ++i) {
    auto c = codegen::compile(set, options);
    fmt::print("  {} kernels: {:.1f} ms{}\n", set.size(), c->seconds * 1e3, c->from_cache ? " from cache" : "");
  }
  std::filesystem::remove_all(dir);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::string(argv[1]) == "--asm") {
    const CpuTarget target = cpu_target(argv[2]);
    const int lanes = target.lanes(4);
    fmt::print("{}", assembly({testing::matmul_tile(lanes == 16 ? 8 : 6, lanes == 16 ? 3 : 2, lanes, true)}, target));
    return 0;
  }
  bench(cpu_target());
  bench(cpu_target("haswell"));
}
