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
      axes = here;
    });
  return same ? axes : std::vector<expr::AxisId>{};
}

class Restater {
 public:
  explicit Restater(const Node& n) : node_(n) {}

  std::optional<Restated> run() {
    const std::vector<ValueId> values = graph::tensor_values(node_);
    for (expr::Statement& s : node_.program.statements)
      if (expr::scatters(s) && !statement(s, values)) return std::nullopt;
    if (readers_.index < 0) return std::nullopt;
    for (const expr::Statement& s : node_.program.statements)  // what is left must not walk the lists
      if (s.combiner == expr::Combiner::assign && !expr::reduced_axes(s).empty()) return std::nullopt;
    return Restated{std::move(node_), std::move(readers_)};
  }

 private:
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

  Node node_;
  Readers readers_;
};

}  // namespace

bool scatters(const Node& n) {
  return n.opaque.empty() && std::any_of(n.program.statements.begin(), n.program.statements.end(),
                                         [](const auto& s) { return expr::scatters(s); });
}

std::optional<Restated> restate(const Node& n) {
  if (!scatters(n)) return std::nullopt;
  return Restater(n).run();
}

}  // namespace pit::fuse
