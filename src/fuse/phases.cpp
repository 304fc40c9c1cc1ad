#include "fuse/phases.h"

#include <algorithm>

namespace pit::fuse {
namespace {
constexpr int kUnasked = -2;
}

Phases::Phases(const graph::Graph& g, const sparsity::Analysis& a, const Fusion& f)
    : g_(g),
      masks_(a.masks),
      late_(a.late),
      f_(f),
      finders_(graph::finders(g)),
      of_symbol_(static_cast<std::size_t>(g.dims.symbol_count()), -1) {
  none_ = finders_.empty() && !a.has_late();
  for (const graph::Finder& finder : finders_) of_symbol_[finder.symbol] = f.group_of[finder.node];
}

int Phases::of(Dim d) const {
  if (none_ || d.id < 0) return -1;
  if (static_cast<std::size_t>(d.id) >= of_dim_.size()) of_dim_.resize(static_cast<std::size_t>(d.id) + 1, kUnasked);
  int& phase = of_dim_[d.id];
  if (phase != kUnasked) return phase;
  phase = -1;
  for (const int s : g_.dims.symbols_of(d)) phase = std::max(phase, of_symbol_[s]);
  return phase;
}

int Phases::of(const std::vector<Dim>& dims) const {
  int phase = -1;
  for (const Dim d : dims) phase = std::max(phase, of(d));
  return phase;
}

int Phases::of(sparsity::MaskId m) const {
  if (none_ || m.id < 0) return -1;
  masks_.phases([&](Dim d) { return of(d); }, [&](ValueId v) { return of_leaf(v); }, of_mask_);
  return of_mask_[m.id];
}

int Phases::of_value(ValueId v) const {
  const Layout& l = f_.layouts[v];
  const int memory = l.root < 0 ? -1 : of(g_.values[l.root].dims);
  return std::max({of(g_.values[v].dims), of(l.offset), of(l.strides), memory});
}

int Phases::of(const Group& group) const {
  int phase = of(group.extents);
  for (const auto& p : group.params)
    if (const Dim* d = std::get_if<Dim>(&p)) phase = std::max(phase, of(*d));
  for (const Operand& o : group.operands) {
    phase = std::max({phase, of(o.base), of(o.strides), of(o.lookup_extent), of(o.lookup_stride)});
    if (o.value >= 0) phase = std::max(phase, of_value(o.value));
  }
  for (const ValueId v : group.writes) phase = std::max(phase, of_value(v));
  return phase;
}

}  // namespace pit::fuse
