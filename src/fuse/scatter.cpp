#include "fuse/scatter.h"

#include <algorithm>

namespace pit::fuse {

using expr::Expr;
using expr::Kind;
using graph::Node;

namespace {

// The axes by which the dimensions 0..depth of a tensor are read; empty if they differ, or are not bare.
std::vector<expr::AxisId> read_by(const expr::Program& p, expr::TensorId t, std::size_t depth) {
  std::vector<expr::AxisId> axes;
  bool same = true;
  for (const expr::Statement& s : p.statements)
    expr::for_each_access(s.value, [&](const Expr& e) {
      if (e->id != t) return;
      std::vector<expr::AxisId> here;
      for (std::size_t d = 0; d < depth; ++d)
        if (const auto a = expr::bare_axis(e->args[d])) here.push_back(*a);
      same = same && here.size() == depth && (axes.empty() || axes == here);
      axes = std::move(here);
    });
  return same ? axes : std::vector<expr::AxisId>{};
}

class Restater {
 public:
  explicit Restater(const Node& n) : original_(n), node_(n) {}

  std::optional<Restated> run() {
    const std::vector<ValueId> values = graph::tensor_values(node_);
    for (expr::Statement& s : node_.program.statements)
      if (expr::scatters(s) && !statement(s, values)) return std::nullopt;
    if (readers_.index < 0) return std::nullopt;
    readers_.kept = kept(values);
    return Restated{std::move(node_), std::move(readers_)};
  }

 private:
  // X of a last statement `select(L[t] >= 0, .., X[t,p])` behind `L[I[k]] max= k`, or of one that joins X[t,p] and
  // S[t,p] as S joins its terms.
  ValueId kept(const std::vector<ValueId>& values) const {
    const expr::Statement& last = node_.program.statements.back();
    const Expr& e = last.value;
    if (last.combiner != expr::Combiner::assign || e->kind != Kind::call) return -1;
    const auto scattered = [&](const Expr& x) -> const expr::Statement* {
      if (x->kind != Kind::access) return nullptr;
      for (std::size_t s = 0; s + 1 < node_.program.statements.size(); ++s)
        if (node_.program.statements[s].out == x->id && expr::scatters(original_.program.statements[s]))
          return &node_.program.statements[s];
      return nullptr;
    };
    const Expr* x = nullptr;
    if (e->fn == expr::Fn::select && e->args[0]->kind == Kind::call && e->args[0]->fn == expr::Fn::ge) {
      const Expr &top = e->args[0]->args[0], &least = e->args[0]->args[1];
      const expr::Statement* s = scattered(top);
      if (s && s->combiner == expr::Combiner::max && expr::bare_axis(s->value) == readers_.mid &&
          least->kind == Kind::literal && least->number == 0)
        x = &e->args[2];
    } else if (e->args.size() == 2) {
      if (const expr::Statement* s = scattered(e->args[1]); s && joins(e->fn, s->combiner)) x = &e->args[0];
    }
    if (x == nullptr || (*x)->kind != Kind::access || (*x)->has_default) return -1;
    const bool same_place =
        std::equal((*x)->args.begin(), (*x)->args.end(), last.out_index.begin(), last.out_index.end(),
                   [](const Expr& a, const Expr& b) { return expr::equal(a, b); });
    const bool input = node_.program.tensors[static_cast<std::size_t>((*x)->id)].role == expr::Role::input;
    return same_place && input ? values[static_cast<std::size_t>((*x)->id)] : -1;
  }

  static bool joins(expr::Fn f, expr::Combiner c) {
    using expr::Combiner;
    using expr::Fn;
    return (f == Fn::mul && c == Combiner::product) || (f == Fn::max && c == Combiner::max) ||
           (f == Fn::min && c == Combiner::min) || (f == Fn::logical_or && c == Combiner::logical_or) ||
           (f == Fn::logical_and && c == Combiner::logical_and);
  }

  bool statement(expr::Statement& s, const std::vector<ValueId>& values) {
    const auto first_plain =
        std::find_if(s.out_index.begin(), s.out_index.end(), [](const Expr& e) { return e->kind != Kind::access; });
    const auto depth = static_cast<std::size_t>(first_plain - s.out_index.begin());
    expr::Statement rest = s;
    rest.out_index.assign(first_plain, s.out_index.end());
    if (expr::scatters(rest)) return false;
    for (std::size_t d = 0; d < depth; ++d)
      if (!lookup(*s.out_index[d], d, depth, values)) return false;
    const std::vector<expr::AxisId> left = expr::free_axes(rest), right = expr::axes_of(s.value);
    if (std::find(left.begin(), left.end(), readers_.mid) != left.end()) return false;
    if (std::find(right.begin(), right.end(), readers_.mid) == right.end()) return false;
    const std::vector<expr::AxisId> places = read_by(node_.program, s.out, depth);
    if (places.empty() || (!readers_.places.empty() && readers_.places != places)) return false;
    readers_.places = places;
    for (std::size_t d = 0; d < depth; ++d) s.out_index[d] = expr::axis(places[d]);
    return true;
  }

  // I[k], or I[k,d] where there are several.
  bool lookup(const expr::Node& e, std::size_t d, std::size_t depth, const std::vector<ValueId>& values) {
    const auto axis = e.args.empty() ? std::nullopt : expr::bare_axis(e.args[0]);
    const ValueId v = values[static_cast<std::size_t>(e.id)];
    if (!axis || e.has_default || v < 0 ||
        node_.program.tensors[static_cast<std::size_t>(e.id)].role != expr::Role::input)
      return false;
    const bool by_dimension =
        e.args.size() == 2 && e.args[1]->kind == Kind::literal && e.args[1]->number == static_cast<double>(d);
    if (!(e.args.size() == 1 && depth == 1) && !by_dimension) return false;
    if (readers_.index >= 0 && (readers_.index != v || readers_.mid != *axis)) return false;
    readers_.index = v;
    readers_.mid = *axis;
    return true;
  }

  const Node& original_;
  Node node_;
  Readers readers_;
};

}  // namespace

bool scatters(const Node& n) { return n.opaque.empty() && expr::scatters(n.program); }

std::optional<Restated> restate(const Node& n) {
  if (!scatters(n)) return std::nullopt;
  return Restater(n).run();
}

}  // namespace pit::fuse
