#include "fuse/nest.h"

#include <algorithm>
#include <limits>

#include "fuse/group.h"
#include "fuse/layout.h"
#include "support/check.h"

namespace pit::fuse {
namespace {

using expr::Expr;

bool moves_with(const Expr& index, int axis) { return contains(expr::axes_of(index), axis); }

class NestBuilder {
 public:
  NestBuilder(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger,
              const CpuTarget& target)
      : g_(g), dims_(g.dims), group_(group), layouts_(layouts), merger_(merger), target_(target) {}

  bool run() {
    settle_params();
    find_temporaries();
    const int statements = static_cast<int>(group_.program.statements.size());
    for (int s = 0; s < statements && group_.why.empty(); ++s) build(s);
    if (!group_.why.empty()) return false;
    // Rows of several statements are not the same rows.
    if (statements == 1) group_.outer = group_.nests[0].outer;
    return true;
  }

 private:
  const expr::Statement& statement(int s) const { return group_.program.statements[s]; }
  void refuse(std::string why) {
    if (group_.why.empty()) group_.why = std::move(why);
  }

  void settle_params() {
    const auto settled = [&](const Expr& e) -> Expr {
      if (e->kind != expr::Kind::param) return e;
      const Dim* d = std::get_if<Dim>(&group_.params[e->id]);
      const auto value = d ? dims_.constant_value(*d) : std::nullopt;
      return value ? expr::int_literal(*value) : e;
    };
    for (expr::Statement& s : group_.program.statements) {
      s.value = expr::transform(s.value, settled);
      for (Expr& i : s.out_index) i = expr::transform(i, settled);
    }
  }

  // A temporary is stored whole, row-major: its shape is that of the axes by which it is written.
  void find_temporaries() {
    const expr::Program& p = group_.program;
    shapes_.resize(p.tensors.size());
    for (const expr::Statement& s : p.statements) {
      if (p.tensors[s.out].role != expr::Role::temp) continue;
      if (!shapes_[s.out].empty()) refuse("a temporary is written in parts");
      for (const Expr& i : s.out_index) {
        const auto axis = expr::bare_axis(i);
        const bool first = i->kind == expr::Kind::literal && i->number == 0;
        if (!axis && !first) return refuse("a temporary is not written along its axes");
        shapes_[s.out].push_back(axis ? group_.extents[*axis] : dims_.constant(1));
      }
    }
  }

  void build(int s) {
    Nest nest;
    nest.statement = s;
    expr::Program alone = group_.program;
    alone.statements = {statement(s)};
    std::vector<Operand> operands;
    for (lower::Operand& access : lower::nest_operands(alone)) operands.push_back(place(std::move(access)));
    if (operands.back().origin.id < 0) return refuse("it does not write along its axes");
    std::optional<lower::Scan> scan = lower::scan_of(statement(s));
    if (scan && group_.extents[scan->place] != group_.extents[scan->term]) scan.reset();
    nest.scans = scan.has_value();
    nest.vector = best_vector(s, operands, scan);
    for (Operand& o : operands) {
      o.access.inner = along(o, nest.vector);
      if (o.access.inner == lower::InnerAccess::strided)
        o.access.step = dims_.constant_value(*stride_along(o, nest.vector)).value_or(0);
    }
    for (const int a : expr::free_axes(statement(s)))
      if (a != nest.vector && (!scan || a != scan->place)) nest.outer.push_back(a);
    order_outer(s, nest.outer);
    for (const int a : expr::reduced_axes(statement(s))) {
      constexpr std::int64_t few = 16;
      const auto extent = dims_.constant_value(group_.extents[a]);
      if (extent && *extent <= few) nest.known[a] = *extent;
    }
    for (Operand& o : operands) {
      nest.operands.push_back(static_cast<int>(group_.operands.size()));
      group_.operands.push_back(std::move(o));
    }
    const auto refused = lower::refuse_nest(nest_spec(group_, nest, target_));
    if (refused) refuse(*refused);
    group_.nests.push_back(std::move(nest));
  }

  // Rows in the order in which they are written.
  void order_outer(int s, std::vector<int>& outer) const {
    std::vector<int> order;
    for (const Expr& i : statement(s).out_index)
      expr::transform(i, [&](const Expr& e) {
        if (e->kind == expr::Kind::axis && contains(outer, e->id) && !contains(order, e->id)) order.push_back(e->id);
        return e;
      });
    outer = std::move(order);
  }

  Layout layout_of(const Operand& o) const {
    if (o.value >= 0) return stretched_layout(g_, layouts_, o.value, merger_);
    std::vector<int> order(shapes_[o.access.tensor].size());
    for (std::size_t d = 0; d < order.size(); ++d) order[d] = static_cast<int>(d);
    return {-1, dims_.constant(0), strides_in_order(dims_, shapes_[o.access.tensor], order)};
  }

  // Element 0 of the tensor, the extents and strides of its dimensions. Its strides along the axes follow.
  Operand place(lower::Operand access) const {
    Operand o;
    const bool temp = group_.program.tensors[access.tensor].role == expr::Role::temp;
    o.value = temp ? -1 : group_.tensor_value[access.tensor];
    o.access = std::move(access);
    const Layout layout = layout_of(o);
    o.base = layout.offset;
    o.lookup_stride = layout.strides;
    o.lookup_extent = temp ? shapes_[o.access.tensor] : g_.values[o.value].dims;
    o.strides.assign(group_.extents.size(), dims_.constant(0));
    for (int a = 0; a < static_cast<int>(group_.extents.size()); ++a)
      if (const auto stride = stride_along(o, a)) o.strides[a] = *stride;
    const bool looks_up = std::any_of(o.access.index.begin(), o.access.index.end(),
                                      [](const Expr& i) { return i->kind == expr::Kind::access; });
    if (looks_up || has_default(o)) return o;
    if (const auto at = access_strides(dims_, o.access.index, layout, group_.extents, group_.params))
      o.origin = at->base;
    return o;
  }

  bool has_default(const Operand& o) const {
    bool found = false;
    const auto look = [&](const Expr& e) {
      found = found || (e->id == o.access.tensor && e->has_default &&
                        std::equal(o.access.index.begin(), o.access.index.end(), e->args.begin(), expr::equal));
    };
    for (const expr::Statement& s : group_.program.statements) expr::for_each_access(s.value, look);
    return found;
  }

  // Nothing, if the address does not move by a stride.
  std::optional<Dim> stride_along(const Operand& o, int axis) const {
    Dim stride = dims_.constant(0);
    for (std::size_t d = 0; d < o.access.index.size(); ++d) {
      if (!moves_with(o.access.index[d], axis)) continue;
      const auto form = affine(dims_, o.access.index[d], group_.extents, group_.params);
      if (!form) return std::nullopt;
      stride = dims_.add(stride, dims_.mul(form->coefficient.at(axis), o.lookup_stride[d]));
    }
    return stride;
  }

  lower::InnerAccess along(const Operand& o, int axis) const {
    using lower::InnerAccess;
    const bool moves = axis >= 0 && std::any_of(o.access.index.begin(), o.access.index.end(),
                                                [&](const Expr& i) { return moves_with(i, axis); });
    if (!moves) return InnerAccess::broadcast;
    const auto stride = stride_along(o, axis);
    if (!stride) return InnerAccess::computed;
    return dims_.is_constant(*stride, 1) ? InnerAccess::unit : InnerAccess::strided;
  }

  // The axis whose vectors cost least per element. Lanes that are gathered cost a load each. A scan may well do without.
  int best_vector(int s, const std::vector<Operand>& operands, const std::optional<lower::Scan>& scan) const {
    int best = -1;
    double least = scan ? static_cast<double>(operands.size()) : std::numeric_limits<double>::max();
    const auto consider = [&](int axis, bool reduced) {
      const double price = cost(axis, reduced, operands);
      if (price < least) best = axis, least = price;
    };
    std::vector<int> free = expr::free_axes(statement(s));
    order_outer(s, free);
    if (scan) std::erase(free, scan->place);
    for (auto a = free.rbegin(); a != free.rend(); ++a) consider(*a, false);
    if (expr::info(statement(s).combiner).commutative && !scan)
      for (const int a : expr::reduced_axes(statement(s))) consider(a, true);
    return best;
  }

  double cost(int axis, bool reduced, const std::vector<Operand>& operands) const {
    constexpr std::int64_t many = 1 << 10;
    const double lanes = target_.lanes(4);
    constexpr double folding = 40, taking_apart = 4;
    double vector = 1;
    for (const Operand& o : operands) {
      switch (along(o, axis)) {
        case lower::InnerAccess::broadcast: vector += 0.5; break;
        case lower::InnerAccess::unit: vector += 1; break;
        case lower::InnerAccess::strided:
          vector += dims_.is_constant(*stride_along(o, axis), 2) ? taking_apart : lanes;
          break;
        case lower::InnerAccess::computed: vector += 1.5 * lanes; break;
      }
    }
    const auto extent =
        static_cast<double>(std::max<std::int64_t>(1, dims_.constant_value(group_.extents[axis]).value_or(many)));
    return (vector * std::ceil(extent / lanes) + (reduced ? folding : 0)) / extent;
  }

  graph::Graph& g_;
  graph::DimTable& dims_;
  Group& group_;
  const std::vector<Layout>& layouts_;
  const Merger& merger_;
  CpuTarget target_;
  std::vector<std::vector<Dim>> shapes_;  ///< of temporaries, per tensor
};

}  // namespace

bool build_nests(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger,
                 const CpuTarget& target) {
  return NestBuilder(g, group, layouts, merger, target).run();
}

lower::NestSpec nest_spec(const Group& group, const Nest& nest, const CpuTarget& target) {
  lower::NestSpec spec;
  spec.program = group.program;
  spec.program.statements = {group.program.statements[nest.statement]};
  for (expr::TensorDecl& t : spec.program.tensors) t.role = expr::Role::input;
  spec.program.tensors[spec.program.statements[0].out].role = expr::Role::output;
  spec.outer = nest.outer;
  spec.vector = nest.vector;
  spec.scans = nest.scans;
  spec.extents.assign(group.extents.size(), 0);
  for (const auto& [axis, extent] : nest.known) spec.extents[axis] = extent;
  for (const int o : nest.operands) spec.operands.push_back(group.operands[o].access);
  spec.target = target;
  return spec;
}

}  // namespace pit::fuse
