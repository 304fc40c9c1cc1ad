#include "contract/engine.h"

#include <algorithm>
#include <functional>
#include <immintrin.h>
#include <limits>
#include <set>

#include "contract/blocking.h"
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

  Panels panels(std::int64_t n, std::int64_t k, const detect::LiveMap* live) const override {
    return costs_.panels(n, k, live);
  }

  std::shared_ptr<PackedB> pack(const std::vector<const char*>& b, std::int64_t k, const Panels& panels,
                                std::int64_t k_stride, std::int64_t n_stride,
                                std::shared_ptr<const detect::LiveMap> live, const ThreadPool& pool) const override {
    auto packed = std::make_shared<PackedB>();
    packed->k = k;
    packed->n = panels.columns;
    packed->panels = panels;
    packed->element = kernels_.sizes().b;
    packed->live = std::move(live);
    packed->keeps_narrow_last = true;
    // One block: of small matrices, each with its own slack would be mostly slack.
    const std::int64_t bytes = Buffer::rounded<char>((packed->panels.elements(k) + packed->narrow_elements()) *
                                                     packed->element),
                       count = std::ssize(b);
    const auto block = std::static_pointer_cast<char>(
        long_lived_memory(static_cast<std::size_t>(count * bytes + kPackSlack * packed->element)));
    for (std::int64_t i = 0; i < count; ++i) packed->data.emplace_back(block, block.get() + i * bytes);
    std::vector<Item> items(b.size());
    std::vector<const Item*> from;
    for (std::size_t i = 0; i < b.size(); ++i) items[i].b = b[i], from.push_back(&items[i]);
    fill_panels(*packed, from, k_stride, n_stride, pool);
    return packed;
  }

  std::vector<Schedule> schedules(const Problem& p, const Live& live, const PackedB* packed,
                                  int threads) const override {
    std::vector<Schedule> result;
    const auto layout_of = [&](RuleKind rule) { return layout(p, live, packed, rule); };
    for (const Rule& rule : applicable_rules(kernels_, p, live, layout_of))
      result.push_back(schedule(p, live, packed, rule, threads));
    sort_by_price(result);
    return result;
  }

  Schedule schedule(const Problem& p, const Live& live, const PackedB* packed, const Rule& rule,
                    int threads) const override {
    return costs_.schedule(p, live, layout(p, live, packed, rule.kind), rule, threads);
  }

  Schedule dense_schedule(const Problem& p, const PackedB* packed, int threads) const override {
    const Rule rule{.kind = RuleKind::dense, .tile_rows = kernels_.rows(), .tile_columns = 1};
    return {.rule = rule,
            .blocks = blocking_of(kernels_, caches_, p, {}, rule, layout(p, {}, packed, rule.kind), threads)};
  }

  bool worth_detecting(const Problem& p, const detect::Values& a, std::int64_t g_rows, std::int64_t g_columns,
                       bool packed, int threads) const override {
    // A sample is a few per cent of the scan that it may save; of small operands it would be a large part.
    constexpr std::int64_t small = 1 << 16;
    const auto matrices = static_cast<std::int64_t>(a.batch_offsets.size());
    const std::int64_t groups = matrices * (a.rows / g_rows), samples = std::clamp<std::int64_t>(groups / 32, 2, 16);
    if (a.rows * a.columns * matrices < small || groups < 8 * samples) return true;
    const auto isa = detect::scan_isa(kernels_.target());
    const double fraction = detect::sample_fraction(a, g_rows, g_columns, algebra().absent(), samples, isa);
    return costs_.worth_detecting(p, g_rows, g_columns, fraction, {.panels = kernels_.panels(p.n), .packed = packed},
                                  threads);
  }

  static std::vector<Family> families_of(RuleKind rule) {
    switch (rule) {
      case RuleKind::dense: return {Family::plain, Family::prefetching};
      case RuleKind::m: return {Family::plain};
      case RuleKind::k:
      case RuleKind::c_n: return {Family::indexed};
      case RuleKind::element:
      case RuleKind::bt_k: return {Family::ragged};
      case RuleKind::b_k: return {Family::both};
      case RuleKind::both: return {Family::both, Family::ragged};
      case RuleKind::c_m: return {Family::in_place};
      case RuleKind::stream: return {};
    }
    PIT_UNREACHABLE("rule {}", static_cast<int>(rule));
  }

  static void generate(const Kernels& kernels, const std::vector<RuleKind>& rules) {
    std::set<Family> families;
    for (const RuleKind rule : rules)
      for (const Family f : families_of(rule)) families.insert(f);
    std::vector<std::function<void()>> jobs = {[&] { kernels.packs(); }};
    for (const Family f : families) jobs.emplace_back([&kernels, f] { kernels.tiles(f); });
    if (std::find(rules.begin(), rules.end(), RuleKind::stream) != rules.end())
      jobs.emplace_back([&] { kernels.stream(1); });
    ThreadPool(kernels.threads()).parallel_for(static_cast<std::int64_t>(jobs.size()), [&](std::int64_t i, int) {
      jobs[static_cast<std::size_t>(i)]();
    });
  }

  void generate(const std::vector<RuleKind>& rules) const override { generate(kernels_, rules); }

  void prepare(const Problem& p, const Live& live, PackedB* packed, const Schedule& schedule) const override {
    const RuleKind kind = schedule.rule.kind;
    kernels_.packs();
    for (const Family f : families_of(kind)) kernels_.tiles(f);
    if (kind == RuleKind::stream) kernels_.stream(1);
    if (!packed || p.items.empty()) return;
    if (kind == RuleKind::stream)
      for (const Item& item : p.items) packed->rows(item.b_number);
    if (live.b && (kind == RuleKind::b_k || kind == RuleKind::both)) packed->live_k(*live.b, 0, 0);
    if (live.b && kind == RuleKind::bt_k)
      packed->strips(*live.b, strip_shape(kernels_, p, schedule), ThreadPool(kernels_.threads()));
  }

  std::vector<codegen::Kernel> kernels(const std::vector<RuleKind>& rules) const override {
    std::vector<codegen::Kernel> list;
    generate(Kernels(kernels_.algebra(), kernels_.target(), {}, 1, &list), rules);
    return list;
  }

  const PackSet& packs() const override { return kernels_.packs(); }

  void run(const Problem& p, const Live& live, PackedB* packed, const Schedule& schedule, const ThreadPool& pool,
           Poison poison) const override {
    if (p.m == 0 || p.n == 0 || p.items.empty()) return;
    // Without a step of k there are identities, and what an epilogue makes of them.
    const Schedule chosen = p.k > 0 ? schedule : dense_schedule(p, packed, pool.size());
    if (packed) return run_rule({kernels_, p, live, *packed, chosen, pool, buffers_, caches_, poison});
    PackedB here;
    const Buffer buffer = pack_for_call(p, live, chosen, pool, here);
    run_rule({kernels_, p, live, here, chosen, pool, buffers_, caches_, poison});
  }

 private:
  // B that comes with the call is packed as its rule likes it.
  LayoutB layout(const Problem& p, const Live& live, const PackedB* packed, RuleKind rule) const {
    if (packed) return {.panels = packed->panels, .packed = true};
    if (rule == RuleKind::c_m) return {.panels = costs_.panels(p.n, p.k, live.c, Family::in_place)};
    const bool gathers_b = rule == RuleKind::b_k || rule == RuleKind::both;
    return {.panels = panels(p.n, p.k, gathers_b ? live.b : nullptr)};
  }

  // B comes with the call: packed into memory of the pool, once per matrix, through the lists of its item; or by the
  // tasks; or read as it lies. (Panels as narrow as can be where no index of byte offsets serves all.)
  Buffer pack_for_call(const Problem& p, const Live& live, const Schedule& schedule, const ThreadPool& pool,
                       PackedB& here) const {
    here.k = p.k;
    here.n = p.n;
    here.element = kernels_.sizes().b;
    here.panels = layout(p, live, nullptr, schedule.rule.kind).panels;
    if (schedule.rule.kind == RuleKind::dense) here.panels = {p.n, kernels_.lanes(), kernels_.vectors()};
    if (!walks_panels(schedule.rule.kind) || schedule.blocks.packs_b) return {};
    const std::vector<const Item*> matrices = p.items_of_b();
    const std::int64_t bytes = (here.panels.elements(p.k) + kPackSlack) * here.element;
    Buffer buffer = buffers_.take(static_cast<std::int64_t>(matrices.size()) * Buffer::rounded<char>(bytes));
    for (std::size_t i = 0; i < matrices.size(); ++i)
      here.data.push_back({std::shared_ptr<void>(), buffer.take<char>(bytes)});
    fill_panels(here, matrices, p.b_k, p.b_n, pool);
    return buffer;
  }

  // `from`: of each matrix an item that has it, or null.
  void fill_panels(PackedB& b, const std::vector<const Item*>& from, std::int64_t k_stride, std::int64_t n_stride,
                   const ThreadPool& pool) const {
    const std::int64_t count = b.panels.count(), pieces = count + (b.narrow_elements() > 0 ? 1 : 0);
    pool.parallel_for(static_cast<std::int64_t>(from.size()) * pieces, [&](std::int64_t t, int) {
      const auto i = static_cast<std::size_t>(t / pieces);
      const bool narrow = t % pieces == count;
      const std::int64_t p = narrow ? count - 1 : t % pieces;
      if (from[i] == nullptr) return;
      const Item& item = *from[i];
      const MatrixB matrix{.data = item.b,
                           .k_stride = k_stride * b.element,
                           .n_stride = n_stride * b.element,
                           .k_list = item.k_list,
                           .n_live = item.n_live};
      char* const panel_0 =
          narrow ? b.narrow_last(static_cast<std::int64_t>(i)) - b.panels.offset(p, b.k) * b.element : b.data[i].get();
      pack_panels(kernels_.packs(), narrow ? b.panels.tight() : b.panels, p, p + 1, matrix,
                  item.k_list ? item.k_count : b.k, b.k, panel_0);
    });
  }

  void run_rule(const Call& call) const {
    const RuleKind kind = call.schedule.rule.kind;
    switch (kind) {
      case RuleKind::dense: run_dense(call); break;
      case RuleKind::k: run_k(call); break;
      case RuleKind::m: run_rows(call); break;
      case RuleKind::element: run_elements(call); break;
      case RuleKind::b_k: run_b_k(call); break;
      case RuleKind::bt_k: run_transposed(call); break;
      case RuleKind::both: run_both(call); break;
      case RuleKind::c_m: run_output(call); break;
      case RuleKind::c_n: run_columns(call); break;
      case RuleKind::stream: run_stream(call); break;
    }
    // Stores past the caches are in no order with later ones. (The workers' ended with locked instructions, which wait
    // for them.)
    if (call.schedule.blocks.streams_c) _mm_sfence();
    const bool separate = call.problem.epilogue != nullptr && kind != RuleKind::dense &&
                          (kind == RuleKind::stream || !tasks_apply_epilogue(call));
    if (separate) run_epilogue(call);
    if (call.live.c && (kind != RuleKind::c_n || separate)) mask_output(call);
  }

  Kernels kernels_;
  CacheSizes caches_;
  CostModel costs_;
  mutable BufferPool buffers_;
};

}  // namespace

void sort_by_price(std::vector<Schedule>& schedules) {
  std::stable_sort(schedules.begin(), schedules.end(),
                   [](const Schedule& x, const Schedule& y) { return x.seconds < y.seconds; });
}

std::shared_ptr<const Engine> Engine::create(const lower::Algebra& algebra, const CpuTarget& target,
                                             const std::string& cache_dir, int threads) {
  if (const auto why = lower::refuse_algebra(algebra)) throw UnsupportedError(*why);
  return std::make_shared<GeneratedEngine>(algebra, target, cache_dir, threads);
}

}  // namespace pit::contract
