#include "expr/shapes.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <string>

#include "pit/error.h"
#include "support/check.h"

namespace pit::expr {
namespace {

struct Interval {
  std::int64_t low, high;  // inclusive; low > high: empty
  bool empty() const { return low > high; }
};

class Inference {
 public:
  Inference(const Program& p, const std::vector<double>& params) : p_(p), params_(params) {
    extents_.assign(p.axes.size(), -1);
    source_.resize(p.axes.size());
    writers_.assign(p.tensors.size(), 0);
    for (const Statement& s : p.statements) ++writers_[static_cast<std::size_t>(s.out)];
  }

  Shapes run(const std::vector<Shape>& shapes, const std::vector<bool>& known,
             const std::map<AxisId, std::int64_t>& extents) {
    shapes_ = shapes;
    shapes_.resize(p_.tensors.size());
    known_ = known;
    known_.resize(p_.tensors.size(), false);
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) check_rank(t);
    for (const auto& [a, n] : extents) {
      PIT_CHECK(a >= 0 && static_cast<std::size_t>(a) < p_.axes.size(), "extent of axis {}, which does not exist", a);
      if (n < 0) throw InputError(fmt::format("axis {} cannot have extent {}", axis_name(a), n));
      set(a, n, "the given extents");
    }
    // Temporaries get their shapes from axes, axes theirs from shapes: until nothing new follows.
    do {
      changed_ = false;
      for (const Statement& s : p_.statements) {
        if (writers_[static_cast<std::size_t>(s.out)] == 1) bare_indices(s.out, s.out_index);
        for (const Expr& i : s.out_index) for_each_access(i, [&](const Expr& e) { bare_indices(e->id, e->args); });
        for_each_access(s.value, [&](const Expr& e) { bare_indices(e->id, e->args); });
      }
      for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
        if (!known_[t] && p_.tensors[t].role != Role::input) shape_of_written(t);
      }
    } while (changed_);
    require_complete();
    Shapes result;
    result.extents = extents_;
    for (std::int64_t& n : result.extents) n = std::max<std::int64_t>(n, 0);
    result.tensors = shapes_;
    return result;
  }

  void require_tensors() const {
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
      if (known_[t]) continue;
      const std::string& name = p_.tensors[t].name;
      throw InputError(fmt::format("the shape of {} does not follow from `{}`; it must be given", name, print(p_)), {},
                       name);
    }
  }

 private:
  const std::string& axis_name(AxisId a) const { return p_.axes[static_cast<std::size_t>(a)]; }

  void check_rank(std::size_t t) const {
    const TensorDecl& decl = p_.tensors[t];
    if (!known_[t]) return;
    element_count(shapes_[t]);
    if (static_cast<int>(shapes_[t].size()) == decl.rank) return;
    throw InputError(
        fmt::format("{} has shape {}; `{}` needs rank {}", decl.name, to_string(shapes_[t]), print(p_), decl.rank), {},
        decl.name);
  }

  void set(AxisId a, std::int64_t n, const std::string& source) {
    const auto i = static_cast<std::size_t>(a);
    if (extents_[i] < 0) {
      extents_[i] = n;
      source_[i] = source;
      changed_ = true;
    } else if (extents_[i] != n) {
      throw InputError(fmt::format("axis {} has extent {} by {} and {} by {} in `{}`", axis_name(a), extents_[i],
                                   source_[i], n, source, print(p_)));
    }
  }

  void bare_indices(TensorId tensor, const std::vector<Expr>& indices) {
    const auto t = static_cast<std::size_t>(tensor);
    if (!known_[t]) return;
    for (std::size_t d = 0; d < shapes_[t].size(); ++d) {
      if (const auto a = bare_axis(indices[d]))
        set(*a, shapes_[t][d], fmt::format("dimension {} of {}", d, p_.tensors[t].name));
    }
  }

  void shape_of_written(std::size_t t) {
    Shape shape(static_cast<std::size_t>(p_.tensors[t].rank), 0);
    bool any = false;
    for (const Statement& s : p_.statements) {
      if (static_cast<std::size_t>(s.out) != t) continue;
      any = true;
      for (std::size_t d = 0; d < shape.size(); ++d) {
        const std::optional<Interval> range =
            s.out_index[d]->kind == Kind::access ? interval_of_readers(t, d) : interval(s.out_index[d]);
        if (!range) return;
        if (!range->empty()) shape[d] = std::max(shape[d], add(range->high, 1));
      }
    }
    if (!any) return;
    shapes_[t] = std::move(shape);
    known_[t] = true;
    changed_ = true;
  }

  // What is written through a lookup is as long as the axis by which it is read.
  std::optional<Interval> interval_of_readers(std::size_t t, std::size_t d) const {
    std::optional<Interval> found;
    for (const Statement& s : p_.statements)
      for_each_access(s.value, [&](const Expr& e) {
        if (static_cast<std::size_t>(e->id) == t && !found && bare_axis(e->args[d])) found = interval(e->args[d]);
      });
    return found;
  }

  // Bounds of an index expression; nothing while an extent is missing, and for lookups.
  std::optional<Interval> interval(const Expr& e) const {
    switch (e->kind) {
      case Kind::literal: return point(e->number);
      case Kind::param:
        if (static_cast<std::size_t>(e->id) >= params_.size()) return std::nullopt;
        return point(params_[static_cast<std::size_t>(e->id)]);
      case Kind::extent:
      case Kind::axis: {
        const std::int64_t n = extents_[static_cast<std::size_t>(e->id)];
        if (n < 0) return std::nullopt;
        return e->kind == Kind::extent ? Interval{n, n} : Interval{0, n - 1};
      }
      case Kind::merge: {
        Shape parts;
        for (const Expr& a : e->args) parts.push_back(extents_[static_cast<std::size_t>(a->id)]);
        if (std::any_of(parts.begin(), parts.end(), [](std::int64_t n) { return n < 0; })) return std::nullopt;
        return Interval{0, element_count(parts) - 1};
      }
      case Kind::access: return std::nullopt;
      case Kind::call: return interval_of_call(*e);
    }
    return std::nullopt;
  }

  Interval point(double v) const {
    if (!(std::abs(v) < 0x1p63)) beyond();  // a parameter's; literals end at 2^53
    const auto i = static_cast<std::int64_t>(v);
    return {i, i};
  }

  [[noreturn]] void beyond() const {
    throw InputError(fmt::format("an index on the left of `{}` has values beyond 2^63", print(p_)));
  }

  std::int64_t add(std::int64_t a, std::int64_t b) const {
    if (__builtin_add_overflow(a, b, &a)) beyond();
    return a;
  }
  std::int64_t sub(std::int64_t a, std::int64_t b) const {
    if (__builtin_sub_overflow(a, b, &a)) beyond();
    return a;
  }
  std::int64_t mul(std::int64_t a, std::int64_t b) const {
    if (__builtin_mul_overflow(a, b, &a)) beyond();
    return a;
  }

  std::optional<Interval> interval_of_call(const Node& n) const {
    const auto a = interval(n.args[0]);
    if (!a) return std::nullopt;
    if (n.fn == Fn::neg) return Interval{sub(0, a->high), sub(0, a->low)};
    const auto b = interval(n.args[1]);
    if (!b) return std::nullopt;
    if (a->empty() || b->empty()) return Interval{0, -1};
    switch (n.fn) {
      case Fn::add: return Interval{add(a->low, b->low), add(a->high, b->high)};
      case Fn::sub: return Interval{sub(a->low, b->high), sub(a->high, b->low)};
      case Fn::min: return Interval{std::min(a->low, b->low), std::min(a->high, b->high)};
      case Fn::max: return Interval{std::max(a->low, b->low), std::max(a->high, b->high)};
      case Fn::mul: {
        const auto [low, high] =
            std::minmax({mul(a->low, b->low), mul(a->low, b->high), mul(a->high, b->low), mul(a->high, b->high)});
        return Interval{low, high};
      }
      case Fn::floordiv:
        if (b->low != b->high || b->low <= 0) return std::nullopt;
        return Interval{floor_div(a->low, b->low), floor_div(a->high, b->low)};
      case Fn::mod:
        if (b->low <= 0) return std::nullopt;
        return Interval{0, b->high - 1};
      default: return std::nullopt;
    }
  }

  static std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

  // Every axis that occurs, or whose extent is asked for, must have one by now.
  void require_complete() const {
    std::vector<bool> used(p_.axes.size(), false);
    for (const Statement& s : p_.statements) {
      for (const Expr& i : s.out_index) mark(i, &used);
      mark(s.value, &used);
    }
    for (std::size_t a = 0; a < used.size(); ++a) {
      if (!used[a] || extents_[a] >= 0) continue;
      throw InputError(
          fmt::format("the extent of axis {} does not follow from the shapes in `{}`: it is no bare index of a "
                      "tensor of known shape; it must be given",
                      p_.axes[a], print(p_)));
    }
  }

  static void mark(const Expr& e, std::vector<bool>* used) {
    if (e->kind == Kind::axis || e->kind == Kind::extent) (*used)[static_cast<std::size_t>(e->id)] = true;
    for (const Expr& a : e->args) mark(a, used);
  }

  const Program& p_;
  const std::vector<double>& params_;
  std::vector<std::int64_t> extents_;
  std::vector<std::string> source_;
  std::vector<int> writers_;
  std::vector<Shape> shapes_;
  std::vector<bool> known_;
  bool changed_ = false;
};

}  // namespace

Shapes infer_shapes(const Program& p, const std::vector<Shape>& tensor_shapes, const std::vector<bool>& known,
                    const std::map<AxisId, std::int64_t>& extents, const std::vector<double>& params) {
  Inference inference(p, params);
  Shapes result = inference.run(tensor_shapes, known, extents);
  inference.require_tensors();
  return result;
}

std::vector<std::int64_t> infer_extents(const Program& p, const std::vector<Shape>& tensor_shapes,
                                        const std::map<AxisId, std::int64_t>& extents) {
  std::vector<bool> known(p.tensors.size(), false);
  for (std::size_t t = 0; t < p.tensors.size(); ++t) {
    const bool given = t < tensor_shapes.size() && (!tensor_shapes[t].empty() || p.tensors[t].rank == 0);
    known[t] = given;
  }
  const std::vector<double> params;
  return Inference(p, params).run(tensor_shapes, known, extents).extents;
}

}  // namespace pit::expr
