// Stands in for the engine until it is there: the meaning of a Problem, literally. Not to stay.
#include <cmath>
#include <limits>

#include "contract/engine.h"
#include "support/check.h"

namespace pit::contract {

class PackedB {
 public:
  std::vector<std::vector<float>> b;
  std::shared_ptr<const detect::LiveMap> live;
};

std::int64_t bytes_of(const PackedB& b) {
  std::int64_t n = 0;
  for (const auto& x : b.b) n += static_cast<std::int64_t>(x.size() * 4);
  return n;
}
const detect::LiveMap* live_of(const PackedB& b) { return b.live.get(); }

std::string Rule::name() const {
  static const char* const names[] = {"dense", "k", "m", "element", "B.k", "both", "C.m", "stream"};
  if (kind == RuleKind::dense) return "dense";
  return fmt::format("{} {}x{} @ {}x{}", names[static_cast<int>(kind)], g_rows, g_columns, tile_rows, tile_columns);
}

namespace {

class StubEngine final : public Engine {
 public:
  explicit StubEngine(const lower::Algebra& a) : algebra_(a) {}

  std::shared_ptr<PackedB> pack(const std::vector<const float*>& b, std::int64_t k, std::int64_t n, std::int64_t k_stride,
                                std::int64_t n_stride, std::shared_ptr<const detect::LiveMap> live, const ThreadPool&) const override {
    auto packed = std::make_shared<PackedB>();
    for (const float* from : b) {
      std::vector<float> copy;
      for (std::int64_t i = 0; i < k; ++i)
        for (std::int64_t j = 0; j < n; ++j) copy.push_back(from[i * k_stride + j * n_stride]);
      packed->b.push_back(std::move(copy));
    }
    packed->live = std::move(live);
    return packed;
  }

  std::vector<Costed> candidates(const Problem&, const Live& live, const PackedB*, int) const override {
    std::vector<Costed> c;
    double t = 1e-6;
    auto add = [&](RuleKind kind, const detect::LiveMap* m) {
      c.push_back({{kind, m ? m->g_rows : 0, m ? m->g_columns : 0, 4, 24}, t});
      t += 1e-6;
    };
    if (live.a) add(RuleKind::k, live.a), add(RuleKind::m, live.a);
    if (live.b) add(RuleKind::b_k, live.b);
    if (live.a && live.b) add(RuleKind::both, live.a);
    if (live.c) add(RuleKind::c_m, live.c);
    add(RuleKind::dense, nullptr);
    return c;
  }

  bool worth_detecting(const Problem&, std::int64_t, std::int64_t, double fraction, bool, int) const override { return fraction < 0.9; }

  void run(const Problem& p, const Live& live, PackedB* packed, const Rule&, const ThreadPool& pool, bool) const override {
    pool.parallel_for(static_cast<std::int64_t>(p.items.size()), [&](std::int64_t i, int) { item(p, live, packed, p.items[i]); });
  }

  const lower::Algebra& algebra() const override { return algebra_; }

 private:
  static bool is_live(const detect::LiveMap* m, std::int64_t number, std::int64_t r, std::int64_t c) {
    return !m || m->test(number * m->row_groups() + r / m->g_rows, c / m->g_columns);
  }

  void item(const Problem& p, const Live& live, const PackedB* packed, const Item& it) const {
    for (std::int64_t r = 0; r < p.m; ++r)
      for (std::int64_t c = 0; c < p.n; ++c) {
        std::vector<float> x, y;
        if (is_live(live.c, it.c_number, r, c))
          for (std::int64_t k = 0; k < p.k; ++k)
            if (is_live(live.a, it.a_number, r, k) && is_live(live.b, it.b_number, k, c)) {
              x.push_back(it.a[r * p.a_row + k * p.a_k]);
              y.push_back(it.b ? it.b[k * p.b_k + c * p.b_n] : packed->b[it.b_number][k * p.n + c]);
            }
        it.c[p.c_rows[r] + c] = combine(x, y);
      }
  }

  float combine(const std::vector<float>& x, const std::vector<float>& y) const {
    using expr::Combiner;
    using expr::Fn;
    float acc = static_cast<float>(algebra_.identity());
    auto keep_nan = [](float u, float v, float w) { return std::isnan(u) || std::isnan(v) ? std::numeric_limits<float>::quiet_NaN() : w; };
    std::vector<float> products;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (algebra_.is_sum_of_products()) acc = std::fma(x[i], y[i], acc);
      float v = 0;
      switch (algebra_.product) {
        case Fn::add: v = x[i] + y[i]; break;
        case Fn::min: case Fn::logical_and: v = keep_nan(x[i], y[i], std::min(x[i], y[i])); break;
        case Fn::max: v = keep_nan(x[i], y[i], std::max(x[i], y[i])); break;
        default: v = x[i] * y[i];
      }
      products.push_back(v);
    }
    if (algebra_.is_sum_of_products()) return acc;
    float top = static_cast<float>(algebra_.identity());
    for (float v : products) top = keep_nan(top, v, algebra_.combiner == Combiner::min ? std::min(top, v) : std::max(top, v));
    if (algebra_.combiner != Combiner::logsumexp || !std::isfinite(top)) return top;
    float sum = 0;
    for (float v : products) sum += std::exp(v - top);
    return top + std::log(sum);
  }

  lower::Algebra algebra_;
};

}  // namespace

std::shared_ptr<const Engine> Engine::create(const lower::Algebra& algebra, const CpuTarget&, const std::string&) {
  return std::make_shared<StubEngine>(algebra);
}

}  // namespace pit::contract
