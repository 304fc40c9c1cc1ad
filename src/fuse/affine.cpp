// Affine forms of index expressions, with Dims as coefficients.
#include "expr/scalar.h"
#include "fuse/fuse.h"

namespace pit::fuse {
namespace {

using expr::Expr;
using expr::Fn;
using expr::Kind;

class AffineForm {
 public:
  AffineForm(graph::DimTable& dims, const std::vector<Dim>& extents,
             const std::vector<std::variant<Dim, double>>& params)
      : dims_(dims), extents_(extents), params_(params) {}

  std::optional<Affine> of(const Expr& e) {
    switch (e->kind) {
      case Kind::literal:
        if (const auto v = expr::as_integer(e->number)) return constant(dims_.constant(*v));
        return std::nullopt;
      case Kind::axis: return Affine{dims_.constant(0), {{e->id, dims_.constant(1)}}};
      case Kind::extent: return constant(extents_[e->id]);
      case Kind::param:
        if (const Dim* d = std::get_if<Dim>(&params_[e->id])) return constant(*d);
        return std::nullopt;
      case Kind::merge: return merge(e);
      case Kind::call: return call(e);
      case Kind::access: return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  Affine constant(Dim d) { return Affine{d, {}}; }

  // a:b:c is row-major: every axis has the product of the extents after it as coefficient.
  std::optional<Affine> merge(const Expr& e) {
    Affine sum = constant(dims_.constant(0));
    Dim step = dims_.constant(1);
    for (auto it = e->args.rbegin(); it != e->args.rend(); ++it) {
      std::optional<Affine> part = of(*it);
      if (!part) return std::nullopt;
      add(sum, *part, step);
      if ((*it)->kind == Kind::axis) step = dims_.mul(step, extents_[(*it)->id]);
      else if (it + 1 != e->args.rend()) return std::nullopt;
    }
    return sum;
  }

  std::optional<Affine> call(const Expr& e) {
    if (e->fn == Fn::neg) {
      std::optional<Affine> a = of(e->args[0]);
      if (!a) return std::nullopt;
      Affine sum = constant(dims_.constant(0));
      add(sum, *a, dims_.constant(-1));
      return sum;
    }
    if (e->fn != Fn::add && e->fn != Fn::sub && e->fn != Fn::mul) return std::nullopt;
    std::optional<Affine> a = of(e->args[0]), b = of(e->args[1]);
    if (!a || !b) return std::nullopt;
    Affine sum = constant(dims_.constant(0));
    if (e->fn == Fn::mul) {
      if (!a->coefficient.empty() && !b->coefficient.empty()) return std::nullopt;
      if (a->coefficient.empty()) std::swap(a, b);
      add(sum, *a, b->constant);
      return sum;
    }
    add(sum, *a, dims_.constant(1));
    add(sum, *b, dims_.constant(e->fn == Fn::add ? 1 : -1));
    return sum;
  }

  void add(Affine& sum, const Affine& part, Dim factor) {
    sum.constant = dims_.add(sum.constant, dims_.mul(part.constant, factor));
    for (const auto& [axis, c] : part.coefficient) {
      auto [it, fresh] = sum.coefficient.try_emplace(axis, dims_.constant(0));
      it->second = dims_.add(it->second, dims_.mul(c, factor));
    }
  }

  graph::DimTable& dims_;
  const std::vector<Dim>& extents_;
  const std::vector<std::variant<Dim, double>>& params_;
};

}  // namespace

std::optional<Affine> affine(graph::DimTable& dims, const expr::Expr& e, const std::vector<Dim>& extents,
                             const std::vector<std::variant<Dim, double>>& params) {
  return AffineForm(dims, extents, params).of(e);
}

}  // namespace pit::fuse
