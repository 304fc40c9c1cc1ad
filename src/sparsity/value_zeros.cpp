#include "sparsity/value_zeros.h"

#include <algorithm>
#include <variant>

namespace pit::sparsity {

using expr::Expr;
using expr::Fn;
using expr::Kind;
using graph::ValueId;

namespace {

class NodeZeros {
 public:
  NodeZeros(const graph::Graph& g, const graph::Node& n, std::vector<char>& values) : g_(g), n_(n), values_(values) {}

  void operator()() {
    const expr::Program& p = n_.program;
    tensors_.assign(p.tensors.size(), 0);
    value_of_.assign(p.tensors.size(), -1);
    std::size_t in = 0, out = 0;
    for (std::size_t t = 0; t < p.tensors.size(); ++t) {
      if (p.tensors[t].role == expr::Role::input) value_of_[t] = n_.inputs[in++];
      if (p.tensors[t].role == expr::Role::output) value_of_[t] = n_.outputs[out++];
      if (p.tensors[t].role == expr::Role::input) tensors_[t] = values_[static_cast<std::size_t>(value_of_[t])];
    }
    // What several statements write parts of is as good as its last part: concatenations of the like are the usual
    // case.
    for (const expr::Statement& s : p.statements)
      tensors_[static_cast<std::size_t>(s.out)] = s.combiner == expr::Combiner::assign && has_zeros(s.value);
    for (std::size_t t = 0; t < p.tensors.size(); ++t)
      if (p.tensors[t].role == expr::Role::output) values_[static_cast<std::size_t>(value_of_[t])] = tensors_[t];
  }

 private:
  bool is_zero(const Expr& e) const {
    if (e->kind == Kind::literal) return e->number == 0;
    if (e->kind == Kind::call && e->fn == Fn::cast) return is_zero(e->args[0]);
    if (e->kind == Kind::param) {
      const double* v = std::get_if<double>(&n_.params[static_cast<std::size_t>(e->id)]);
      return v && *v == 0;
    }
    if (e->kind != Kind::access || value_of_[static_cast<std::size_t>(e->id)] < 0) return false;
    const graph::Value& v = g_.values[static_cast<std::size_t>(value_of_[static_cast<std::size_t>(e->id)])];
    return v.is_constant() && v.dtype == DType::f32 && v.constant.size() == 1 && v.constant.as<float>()[0] == 0;
  }

  bool has_zeros(const Expr& e) const {
    if (e->kind == Kind::access) return tensors_[static_cast<std::size_t>(e->id)] != 0;
    if (e->kind != Kind::call) return false;
    const auto& x = e->args;
    const auto has = [&](const Expr& a) { return has_zeros(a); };
    const auto zero = [&](const Expr& a) { return is_zero(a); };
    const auto zero_or_has = [&](const Expr& a) { return is_zero(a) || has_zeros(a); };
    switch (e->fn) {
      case Fn::max: return std::any_of(x.begin(), x.end(), zero) || std::all_of(x.begin(), x.end(), has);
      case Fn::min: return std::any_of(x.begin(), x.end(), zero_or_has);
      case Fn::select: return zero(x[1]) || zero(x[2]) || (has(x[1]) && has(x[2]));
      case Fn::mul: return has(x[0]) || has(x[1]);
      case Fn::div:
      case Fn::pow:
      case Fn::cast: return has(x[0]);
      default: break;
    }
    const expr::FnInfo& law = expr::info(e->fn);
    return law.zero_preserving && std::all_of(x.begin(), x.end(), has);
  }

  const graph::Graph& g_;
  const graph::Node& n_;
  std::vector<char>& values_;
  std::vector<char> tensors_;
  std::vector<ValueId> value_of_;
};

}  // namespace

std::vector<char> zeros_by_value(const graph::Graph& g) {
  std::vector<char> values(g.values.size(), 0);
  for (const graph::Node& n : g.nodes)
    if (!n.removed && n.opaque.empty()) NodeZeros(g, n, values)();
  return values;
}

}  // namespace pit::sparsity
