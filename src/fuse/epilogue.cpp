// The element-wise statements behind a contraction, restated over (m, n) for the register tile.
#include "fuse/epilogue.h"

#include <algorithm>

#include "fuse/contraction.h"
#include "fuse/group.h"
#include "fuse/layout.h"
#include "support/check.h"

namespace pit::fuse {
namespace {

using expr::Expr;
using lower::EpilogueAccess;

class EpilogueBuilder {
 public:
  EpilogueBuilder(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger)
      : g_(g), group_(group), layouts_(layouts), merger_(merger) {}

  bool build() {
    expr::Program& p = group_.epilogue.program;
    p.axes = {"m", "n"};
    add_tensor("acc", expr::Role::input, 2, group_.epilogue.types.c);
    tensor_[group_.program.statements[0].out] = 0;
    for (std::size_t i = 1; i < group_.program.statements.size(); ++i)
      if (!statement(group_.program.statements[i], i + 1 == group_.program.statements.size())) return false;
    for (std::size_t i = 1; i < group_.program.statements.size(); ++i) {
      const int absorbing = group_.absorbing[i];
      group_.epilogue.absorbing.push_back(absorbing >= 0 && tensor_.count(absorbing) ? tensor_[absorbing] : -1);
    }
    order_inputs_first();
    if (auto why = lower::refuse_epilogue(group_.epilogue)) return refuse(*why);
    return true;
  }

 private:
  bool refuse(std::string why) {
    group_.why = std::move(why);
    return false;
  }

  expr::TensorId add_tensor(std::string name, expr::Role role, int rank, DType dtype) {
    group_.epilogue.program.tensors.push_back({std::move(name), role, rank, dtype});
    return static_cast<expr::TensorId>(group_.epilogue.program.tensors.size()) - 1;
  }

  bool statement(const expr::Statement& s, bool last) {
    if (s.combiner != expr::Combiner::assign) return refuse("a reduction in an epilogue");
    expr::Statement e;
    e.value = rewrite(s.value);
    if (!e.value) return false;
    const DType t = group_.program.tensors[s.out].dtype.value_or(DType::f32);
    e.out =
        add_tensor(last ? "y" : fmt::format("t{}", tensor_.size()), last ? expr::Role::output : expr::Role::temp, 2, t);
    e.out_index = {expr::axis(0), expr::axis(1)};
    tensor_[s.out] = e.out;
    group_.epilogue.program.statements.push_back(e);
    return true;
  }

  Expr rewrite(const Expr& e) {
    if (e->kind == expr::Kind::access) return access(e);
    if (e->kind == expr::Kind::axis || e->kind == expr::Kind::extent)
      return refuse("an axis is used as a value"), nullptr;
    if (e->kind == expr::Kind::param) {
      const auto& v = group_.params[e->id];
      if (const double* d = std::get_if<double>(&v)) return expr::literal(*d);
      auto c = g_.dims.constant_value(std::get<Dim>(v));
      return c ? expr::int_literal(*c) : (refuse("a parameter is not constant"), nullptr);
    }
    if (e->args.empty()) return e;
    auto copy = std::make_shared<expr::Node>(*e);
    for (Expr& a : copy->args)
      if (!(a = rewrite(a))) return nullptr;
    return copy;
  }

  Expr access(const Expr& e) {
    auto inside = tensor_.find(e->id);
    if (inside != tensor_.end() && group_.tensor_value[e->id] >= 0 && merger_.contains(group_.tensor_value[e->id]))
      return expr::access(inside->second, {expr::axis(0), expr::axis(1)});
    if (e->has_default) return refuse("a read with a default"), nullptr;
    for (std::size_t i = 3; i < group_.operands.size(); ++i)
      if (group_.operands[i].access.tensor == e->id && same_index(group_.operands[i].access.index, e->args))
        return placed_[i - 3];
    return new_operand(e);
  }

  static bool same_index(const std::vector<Expr>& a, const std::vector<Expr>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Expr& x, const Expr& y) { return expr::equal(x, y); });
  }

  Expr new_operand(const Expr& e) {
    Operand o;
    o.value = group_.tensor_value[e->id];
    if (o.value < 0) return refuse("a temporary is not inside"), nullptr;
    o.access = {e->id, e->args, lower::InnerAccess::unit, false, g_.values[o.value].dtype};
    Layout layout = layouts_[o.value];
    for (const auto& [value, dim] : merger_.maybe_broadcast())
      if (value == o.value)
        layout.strides[dim] = g_.dims.select_eq(g_.values[value].dims[dim], g_.dims.constant(1), g_.dims.constant(0),
                                                layout.strides[dim]);
    for (const Expr& i : e->args)
      if (i->kind == expr::Kind::access) return refuse("a lookup in an epilogue"), nullptr;
    auto s = access_strides(g_.dims, e->args, layout, group_.extents, group_.params);
    if (!s) return refuse("an index is not affine"), nullptr;
    o.base = s->base;
    o.strides = s->strides;
    const Dim along_n = o.strides[group_.axes.n];
    const bool unit = g_.dims.is_constant(along_n, 1), still = g_.dims.is_constant(along_n, 0);
    if (!unit && !still) {
      group_.wants_contiguous = o.value;
      return refuse("an epilogue operand is not contiguous along the columns"), nullptr;
    }
    // Batch axes only move the base.
    const bool moves = std::any_of(group_.axes.m.begin(), group_.axes.m.end(),
                                   [&](int a) { return !g_.dims.is_constant(o.strides[a], 0); });
    const EpilogueAccess kind = unit ? (moves ? EpilogueAccess::per_mn : EpilogueAccess::per_n)
                                     : (moves ? EpilogueAccess::per_m : EpilogueAccess::scalar);
    std::vector<Expr> index;
    if (moves) index.push_back(expr::axis(0));
    if (unit) index.push_back(expr::axis(1));
    const expr::TensorId t = add_tensor(fmt::format("x{}", group_.operands.size()), expr::Role::input,
                                        static_cast<int>(index.size()), o.access.dtype);
    group_.epilogue.operands.push_back(kind);
    group_.epilogue.dtypes.push_back(o.access.dtype);
    if (group_.absorbing_tensor_is(e->id)) tensor_.emplace(e->id, t);
    group_.operands.push_back(o);
    placed_.push_back(expr::access(t, index));
    return placed_.back();
  }

  // Inputs before temporaries and the output, so that an input's position is its operand number plus one.
  void order_inputs_first() {
    expr::Program& p = group_.epilogue.program;
    std::vector<int> place(p.tensors.size());
    std::vector<expr::TensorDecl> sorted;
    for (bool inputs : {true, false})
      for (std::size_t t = 0; t < p.tensors.size(); ++t)
        if ((p.tensors[t].role == expr::Role::input) == inputs) {
          place[t] = static_cast<int>(sorted.size());
          sorted.push_back(p.tensors[t]);
        }
    p.tensors = sorted;
    for (int& a : group_.epilogue.absorbing)
      if (a >= 0) a = place[a];
    for (expr::Statement& s : p.statements) {
      s.out = place[s.out];
      s.value = expr::transform(s.value, [&](const Expr& e) -> Expr {
        if (e->kind != expr::Kind::access) return e;
        return expr::access(place[e->id], e->args);
      });
    }
  }

  graph::Graph& g_;
  Group& group_;
  const std::vector<Layout>& layouts_;
  const Merger& merger_;
  std::map<expr::TensorId, expr::TensorId> tensor_;  // group's tensor -> epilogue's
  std::vector<Expr> placed_;                         // accesses of operands 3.. in the epilogue's program
};

}  // namespace

bool build_epilogue(graph::Graph& g, Group& group, const std::vector<Layout>& layouts, const Merger& merger) {
  group.epilogue = {};
  group.epilogue.types = *contraction_types(group.program, group.program.statements[0]);
  group.epilogue.result = group.operands[2].access.dtype;
  if (group.program.statements.size() == 1) return true;
  return EpilogueBuilder(g, group, layouts, merger).build();
}

}  // namespace pit::fuse
