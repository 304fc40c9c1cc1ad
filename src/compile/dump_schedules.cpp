// What the contraction engine would choose from, product by product.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>
#include <optional>
#include <utility>

#include "compile/dump.h"

namespace pit::compile {
namespace {

using fuse::Group;
using fuse::GroupKind;

class ScheduleDump {
 public:
  ScheduleDump(const Program& p, const CallSizes& sizes) : p_(p), sizes_(sizes), numbers_(step_numbers(p)) {}

  std::string run() {
    std::string text = fmt::format("# schedules: {}; {} thread{}; detection not included\n", sizes_.what,
                                   sizes_.threads, sizes_.threads == 1 ? "" : "s");
    for (const Step& s : p_.steps)
      if (p_.group(s).kind == GroupKind::contraction && !s.absorbed) text += step(s);
    return text;
  }

 private:
  struct Sizes {
    std::int64_t batch = 1, m = 1, n = 1, k = 1, live = 1;
  };

  std::string step(const Step& s) const {
    const std::string head =
        fmt::format("group {}, step {}: {}: ", s.group, numbers_[static_cast<std::size_t>(s.group)], s.label);
    if (s.attention >= 0) return head + "attention, by tiles of query rows: not by the engine's rules\n";
    const std::optional<Sizes> sizes = sizes_of(s);
    if (!sizes) return head + "these sizes do not fit each other\n";
    std::string text =
        head + fmt::format("{}m {}{}, n {}, k {}\n", sizes->batch > 1 ? fmt::format("{} x ", sizes->batch) : "",
                           sizes->m, sizes->live < sizes->m ? fmt::format(" ({} live)", sizes->live) : "", sizes->n,
                           sizes->k);
    return sizes->live == 0 ? text + "  no live rows\n" : text + schedules(s, *sizes);
  }

  std::int64_t product(const Group& group, const std::vector<int>& axes) const {
    return std::accumulate(axes.begin(), axes.end(), std::int64_t{1}, [&](std::int64_t total, int axis) {
      const std::int64_t extent = at(group.extents[static_cast<std::size_t>(axis)]);
      return total < 0 || extent < 0 ? -1 : total * extent;
    });
  }
  std::int64_t at(Dim d) const { return sizes_.dims[static_cast<std::size_t>(d.id)]; }

  /// Nothing where an extent is not known, or would be negative.
  std::optional<Sizes> sizes_of(const Step& s) const {
    const Group& group = p_.group(s);
    Sizes r{product(group, group.axes.batch), product(group, group.axes.m), product(group, {group.axes.n}),
            product(group, {group.axes.k})};
    if (std::min({r.batch, r.m, r.n, r.k}) < 0) return std::nullopt;
    if (group.static_b) {  // positions of the batch that share a matrix of B are rows of one product
      const std::int64_t matrices = product(group, group.matrix_axes);
      if (matrices > 0) r.m *= std::exchange(r.batch, matrices) / matrices;
    }
    const double live = sizes_.live.empty() ? 1 : sizes_.live[static_cast<std::size_t>(s.group)];
    r.live = std::llround(live * static_cast<double>(r.m));
    return r;
  }

  // Rows one behind the other, which prices do not depend on.
  contract::Problem problem_of(const Step& s, const Sizes& sizes) const {
    const Group& group = p_.group(s);
    contract::Problem p;
    p.m = sizes.live, p.n = sizes.n, p.k = sizes.k;
    const auto stride = [&](std::size_t operand, int axis) {
      return at(group.operands[operand].strides[static_cast<std::size_t>(axis)]);
    };
    p.a_k = stride(0, group.axes.k), p.b_k = stride(1, group.axes.k), p.b_n = stride(1, group.axes.n);
    p.a_rows.stride = p.k * p_.engine_of(group).engine->algebra().sizes().a, p.c_rows.stride = p.n;
    p.items.resize(static_cast<std::size_t>(sizes.batch));
    for (std::int64_t i = 0; i < sizes.batch; ++i) {
      contract::Item& item = p.items[static_cast<std::size_t>(i)];
      item.a_number = item.b_number = item.c_number = i;
    }
    return p;
  }

  std::string schedules(const Step& s, const Sizes& sizes) const {
    const contract::Problem problem = problem_of(s, sizes);
    const contract::PackedB* packed = s.contraction.weights.get();
    const contract::Engine& engine = *p_.engine_of(p_.group(s)).engine;
    if (packed && !s.contraction.panels.uniform)  // serve the dense rule alone
      return print({engine.schedule(problem, {}, packed, {}, sizes_.threads)});
    contract::Live live{.b = packed ? contract::live_of(*packed) : nullptr};
    std::string text;
    if (live.b) text += fmt::format("  of the weights {:.2f} live\n", live.b->fraction());
    text += print(engine.schedules(problem, live, packed, sizes_.threads));
    if (!s.contraction.scans_a || problem.m > kMostElements / std::max<std::int64_t>(1, problem.k)) return text;
    const detect::LiveMap map = a_tenth(problem);
    live.a = &map;
    return text + "  where a run finds a tenth of A's elements live (assumed)\n" +
           print(engine.schedules(problem, live, packed, sizes_.threads));
  }

  static constexpr std::int64_t kMostElements = 1 << 28;  // of A, for which zeros are made up

  // Zeros that only a run sees: spread evenly, as what a ReLU leaves.
  detect::LiveMap a_tenth(const contract::Problem& p) const {
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(p.m * p.k));
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = (i * 2654435761U >> 16) % 10 == 0;
    return detect::from_bytes(mask.data(), {0}, p.k, 1, p.m, p.k, 1, 1, ThreadPool(1));
  }

  static std::string print(const std::vector<contract::Schedule>& schedules) {
    std::string text;
    for (const contract::Schedule& s : schedules)
      text += fmt::format("  {:>10.1f} us  {:<20}  {}\n", s.seconds * 1e6, s.rule.name(), s.blocks.name());
    return text;
  }

  const Program& p_;
  const CallSizes& sizes_;
  std::vector<int> numbers_;
};

}  // namespace

std::string dump_schedules(const Program& p, const CallSizes& sizes) { return ScheduleDump(p, sizes).run(); }

}  // namespace pit::compile
