#include "contract/engine.h"

#include <algorithm>
#include <immintrin.h>
#include <limits>

#include "contract/cost.h"
#include "contract/macro_tile.h"
#include "contract/rules.h"
#include "support/check.h"
#include "support/memory.h"

namespace pit::contract {
namespace {

class GeneratedEngine final : public Engine {
 public:
  GeneratedEngine(const lower::Algebra& algebra, const CpuTarget& target, const std::string& cache_dir, int threads)
      : kernels_(algebra, target, cache_dir, threads), caches_(cache_sizes()), costs_(kernels_, caches_, cache_dir) {}

  const lower::Algebra& algebra() const override { return kernels_.algebra(); }

  Panels panels(std::int64_t n) const override { return kernels_.panels(n); }

  std::shared_ptr<PackedB> pack(const std::vector<const float*>& b, std::int64_t k, const Panels& panels,
                                std::int64_t k_stride, std::int64_t n_stride,
                                std::shared_ptr<const detect::LiveMap> live, const ThreadPool& pool) const override {
    auto packed = std::make_shared<PackedB>();
    packed->k = k;
    packed->n = panels.columns;
    packed->panels = panels;
    packed->live = std::move(live);
    const std::int64_t floats = packed->panels.floats(k) + kPackSlack;
    for (std::size_t i = 0; i < b.size(); ++i) {
      packed->data.push_back(
          std::static_pointer_cast<float>(long_lived_memory(static_cast<std::size_t>(floats) * sizeof(float))));
    }
    fill_panels(*packed, b, k_stride, n_stride, pool);
    return packed;
  }

  std::vector<Schedule> schedules(const Problem& p, const Live& live, const PackedB* packed,
                                  int threads) const override {
    std::vector<Schedule> result;
    for (const Rule& rule : applicable_rules(kernels_, p, live, packed != nullptr))
      result.push_back(costs_.schedule(p, live, packed != nullptr, rule, threads));
    std::stable_sort(result.begin(), result.end(),
                     [](const Schedule& x, const Schedule& y) { return x.seconds < y.seconds; });
    return result;
  }

  Schedule schedule(const Problem& p, const Live& live, const PackedB* packed, const Rule& rule,
                    int threads) const override {
    return costs_.schedule(p, live, packed != nullptr, rule, threads);
  }

  bool worth_detecting(const Problem& p, const detect::Values& a, std::int64_t g_rows, std::int64_t g_columns,
                       bool packed, int threads) const override {
    // A sample is a few per cent of the scan that it may save; of small operands it would be a large part.
    constexpr std::int64_t small = 1 << 16;
    const auto matrices = static_cast<std::int64_t>(a.batch_offsets.size());
    const std::int64_t groups = matrices * (a.rows / g_rows), samples = std::clamp<std::int64_t>(groups / 32, 2, 16);
    if (a.rows * a.columns * matrices < small || groups < 8 * samples) return true;
    const auto isa = detect::scan_isa(kernels_.target());
    const double fraction =
        detect::sample_fraction(a, g_rows, g_columns, static_cast<float>(algebra().absent()), samples, isa);
    return costs_.worth_detecting(p, g_rows, g_columns, fraction, packed, threads);
  }

  void generate(const std::vector<RuleKind>& rules) const override {
    kernels_.packs();
    for (const RuleKind rule : rules) {
      switch (rule) {
        case RuleKind::dense: kernels_.tiles(Family::plain), kernels_.tiles(Family::prefetching); break;
        case RuleKind::m: kernels_.tiles(Family::plain); break;
        case RuleKind::k:
        case RuleKind::c_n: kernels_.tiles(Family::indexed); break;
        case RuleKind::element: kernels_.tiles(Family::ragged); break;
        case RuleKind::b_k: kernels_.tiles(Family::both); break;
        case RuleKind::both: kernels_.tiles(Family::both), kernels_.tiles(Family::ragged); break;
        case RuleKind::c_m: kernels_.tiles(Family::in_place); break;
        case RuleKind::stream: kernels_.stream(1); break;
      }
    }
  }

  const PackSet& packs() const override { return kernels_.packs(); }

  void run(const Problem& p, const Live& live, PackedB* packed, const Schedule& schedule, const ThreadPool& pool,
           Poison poison) const override {
    if (p.m == 0 || p.n == 0 || p.items.empty()) return;
    if (packed) return run_rule({kernels_, p, live, *packed, schedule, pool, buffers_, caches_, poison});
    // B comes with the call: packed into memory of the pool, once per matrix; or read as it lies.
    PackedB here;
    here.k = p.k;
    here.n = p.n;
    here.panels = panels(p.n);
    std::vector<const float*> matrices;
    for (const Item& item : p.items) {
      const auto number = static_cast<std::size_t>(item.b_number);
      if (matrices.size() <= number) matrices.resize(number + 1, nullptr);
      matrices[number] = item.b;
    }
    Buffer buffer;
    if (schedule.rule.kind != RuleKind::stream) {
      const std::int64_t floats = here.panels.floats(p.k) + kPackSlack;
      buffer = buffers_.take(static_cast<std::int64_t>(matrices.size()) * Buffer::rounded<float>(floats));
      for (std::size_t i = 0; i < matrices.size(); ++i)
        here.data.push_back({std::shared_ptr<void>(), buffer.take<float>(floats)});
      fill_panels(here, matrices, p.b_k, p.b_n, pool);
    }
    run_rule({kernels_, p, live, here, schedule, pool, buffers_, caches_, poison});
  }

 private:
  void fill_panels(PackedB& b, const std::vector<const float*>& from, std::int64_t k_stride, std::int64_t n_stride,
                   const ThreadPool& pool) const {
    const std::int64_t count = b.panels.count();
    pool.parallel_for(static_cast<std::int64_t>(from.size()) * count, [&](std::int64_t t, int) {
      const auto i = static_cast<std::size_t>(t / count);
      const std::int64_t p = t % count;
      if (!from[i]) return;
      const MatrixB matrix{reinterpret_cast<const char*>(from[i]), k_stride * 4, n_stride * 4};
      pack_panel(kernels_.packs(), b.panels.vectors_of(p) * b.panels.lanes, b.data[i].get() + b.panels.offset(p, b.k),
                 matrix, p * b.panels.width(), b.panels.columns_of(p), nullptr, nullptr, b.k, nullptr);
    });
  }

  void run_rule(const Call& call) const {
    if (call.problem.k == 0) return fill_identity(call);
    const RuleKind kind = call.schedule.rule.kind;
    switch (kind) {
      case RuleKind::dense: run_dense(call); break;
      case RuleKind::k: run_k(call); break;
      case RuleKind::m: run_rows(call); break;
      case RuleKind::element: run_elements(call); break;
      case RuleKind::b_k: run_b_k(call); break;
      case RuleKind::both: run_both(call); break;
      case RuleKind::c_m: run_output(call); break;
      case RuleKind::c_n: run_columns(call); break;
      case RuleKind::stream: run_stream(call); break;
    }
    if (call.live.c && kind != RuleKind::c_n) mask_output(call);
    // Stores past the caches are in no order with later ones. (The workers' ended with locked instructions, which wait
    // for them.)
    if (call.schedule.blocks.streams_c) _mm_sfence();
  }

  void fill_identity(const Call& call) const {
    for (const Item& item : call.problem.items)
      for (std::int64_t row : call.problem.c_rows)
        fill(item.c + row, call.problem.n, static_cast<float>(algebra().identity()));
  }

  Kernels kernels_;
  CacheSizes caches_;
  CostModel costs_;
  mutable BufferPool buffers_;
};

}  // namespace

std::shared_ptr<const Engine> Engine::create(const lower::Algebra& algebra, const CpuTarget& target,
                                             const std::string& cache_dir, int threads) {
  if (const auto why = lower::refuse_algebra(algebra)) throw UnsupportedError(*why);
  return std::make_shared<GeneratedEngine>(algebra, target, cache_dir, threads);
}

}  // namespace pit::contract
