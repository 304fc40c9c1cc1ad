#include "fuse/merger.h"

#include <algorithm>

#include "fuse/scatter.h"
#include "support/check.h"

namespace pit::fuse {

using expr::Expr;
using expr::Kind;
using expr::Role;
using graph::Node;

// axis[a]: the group's axis for the node's axis a; `unmapped`, or `one`: an axis of extent 1 that becomes the literal
// 0.
struct Merger::Mapping {
  static constexpr int kUnmapped = -1, kOne = -2;
  std::vector<int> axis;
  std::map<expr::TensorId, expr::TensorId> tensor;
  std::map<int, int> param;
};

namespace {

ValueId value_of(const Node& n, expr::TensorId t) { return graph::tensor_values(n)[static_cast<std::size_t>(t)]; }

// Whether the access stands inside another access's index. Such values are checked against the table's extent before
// the kernel runs, so they cannot be computed by it.
bool used_as_index(const Node& n, const Expr& access) {
  bool found = false;
  for (const expr::Statement& s : n.program.statements)
    expr::for_each_access(s.value, [&](const Expr& outer) {
      for (const Expr& index : outer->args)
        expr::for_each_access(index, [&](const Expr& inner) { found = found || inner == access; });
    });
  return found;
}

}  // namespace

void Merger::start(NodeId n, int first, int last) {
  const std::optional<Restated> restated = restate(g_.nodes[n]);
  const Node& node = restated ? restated->node : g_.nodes[n];
  Mapping m;
  m.axis.assign(node.program.axes.size(), Mapping::kUnmapped);
  if (last < 0) last = static_cast<int>(node.program.statements.size());
  std::vector<int> used;
  auto use = [&](const Expr& e) {
    for (int a : expr::axes_of(e))
      if (std::find(used.begin(), used.end(), a) == used.end()) used.push_back(a);
  };
  for (int s = first; s < last; ++s) {
    for (const Expr& e : node.program.statements[s].out_index) use(e);
    use(node.program.statements[s].value);
  }
  std::sort(used.begin(), used.end());
  for (int a : used) {
    m.axis[a] = static_cast<int>(group_.program.axes.size());
    group_.program.axes.push_back(node.program.axes[a]);
    group_.extents.push_back(node.extents[a]);
  }
  // The frame: the access of highest rank whose indices are all bare.
  auto consider = [&](const std::vector<Expr>& index) {
    std::vector<int> axes;
    for (const Expr& e : index)
      if (auto a = expr::bare_axis(e)) axes.push_back(m.axis[*a]);
      else axes.push_back(-1);
    auto bare = [](const std::vector<int>& f) {
      return std::count_if(f.begin(), f.end(), [](int a) { return a >= 0; });
    };
    if (bare(axes) > bare(frame_)) frame_ = std::move(axes);
  };
  for (int s = first; s < last; ++s) consider(node.program.statements[s].out_index);
  if (node.program.statements[first].combiner == expr::Combiner::assign || node.program.statements.size() > 1)
    for (int s = first; s < last; ++s)
      expr::for_each_access(node.program.statements[s].value, [&](const Expr& e) {
        consider({e->args.begin(), e->args.end() - (e->has_default ? 1 : 0)});
      });
  take_statements(n, node, m, first, last);
  if (!restated) return;
  group_.readers = restated->readers;
  group_.readers->mid = m.axis[restated->readers.mid];
  for (int& a : group_.readers->places) a = m.axis[a];
}

bool Merger::unify_inputs(const Node& n, Mapping& m) const {
  bool ok = true, touches = false;
  auto unify = [&](const Expr& access) {
    if (access->kind != Kind::access) return;
    const ValueId v = value_of(n, access->id);
    if (v < 0 || !contains(v)) return;
    touches = true;
    if (access->has_default || used_as_index(n, access)) {
      ok = false;
      return;
    }
    const std::vector<Expr>& canonical = canonical_.at(v);
    for (std::size_t d = 0; d < canonical.size() && ok; ++d) {
      const Expr& want = access->args[d];
      const auto ours = expr::bare_axis(canonical[d]);
      if (auto a = expr::bare_axis(want)) {
        const int target = ours ? *ours : Mapping::kOne;
        if (!ours && !g_.dims.is_constant(n.extents[*a], 1)) ok = false;
        if (m.axis[*a] != Mapping::kUnmapped && m.axis[*a] != target) ok = false;
        m.axis[*a] = target;
      } else if (want->kind != Kind::literal) {
        ok = false;
      } else if (ours) {
        // reads one element of an axis; even the only one: what does not have that axis would seem to reduce over it
        ok = false;
      }
    }
  };
  for (const expr::Statement& s : n.program.statements) expr::for_each_access(s.value, unify);
  for (std::size_t i = 0; i < n.inputs.size(); ++i)
    for (const auto& [operand, dim] : n.maybe_broadcast)
      if (operand == static_cast<int>(i) && contains(n.inputs[i])) ok = false;
  return ok && touches;
}

// Axes that only stretched operands leave open: by position in the output, against the group's widest tensor.
bool Merger::unify_frame(const Node& n, Mapping& m) const {
  for (const expr::Statement& s : n.program.statements)
    for (std::size_t d = 0; d < s.out_index.size(); ++d) {
      auto a = expr::bare_axis(s.out_index[d]);
      if (!a || m.axis[*a] != Mapping::kUnmapped) continue;
      const std::ptrdiff_t f =
          static_cast<std::ptrdiff_t>(d + frame_.size()) - static_cast<std::ptrdiff_t>(s.out_index.size());
      if (f < 0 || frame_[f] < 0) return false;
      if (!(group_.extents[frame_[f]] == n.extents[*a])) return false;
      m.axis[*a] = frame_[f];
    }
  std::set<int> seen;
  for (int a : m.axis) {
    if (a == Mapping::kUnmapped) return false;
    if (a >= 0 && !seen.insert(a).second) return false;
  }
  return true;
}

bool Merger::append(NodeId n) {
  const Node& node = g_.nodes[n];
  if (!node.opaque.empty()) return false;
  Mapping m;
  m.axis.assign(node.program.axes.size(), Mapping::kUnmapped);
  if (!unify_inputs(node, m) || !unify_frame(node, m)) return false;
  for (std::size_t a = 0; a < m.axis.size(); ++a)
    if (m.axis[a] >= 0 && !(group_.extents[m.axis[a]] == node.extents[a])) return false;
  for (const expr::Statement& s : node.program.statements)
    for (const Expr& e : s.out_index)
      if (!expr::bare_axis(e) && e->kind != Kind::literal) return false;
  take_statements(n, node, m, 0, static_cast<int>(node.program.statements.size()));
  return true;
}

expr::TensorId Merger::tensor_for(const Node& n, expr::TensorId t, Mapping& m) {
  auto known = m.tensor.find(t);
  if (known != m.tensor.end()) return known->second;
  const ValueId v = value_of(n, t);
  expr::TensorId id;
  if (v >= 0 && tensor_of_.count(v)) {
    id = tensor_of_[v];
  } else {
    id = static_cast<expr::TensorId>(group_.program.tensors.size());
    expr::TensorDecl decl = n.program.tensors[t];
    decl.name = fmt::format("{}{}", decl.role == Role::input ? "x" : decl.role == Role::output ? "y" : "t", id);
    if (v >= 0) decl.dtype = g_.values[v].dtype;
    group_.program.tensors.push_back(decl);
    group_.tensor_value.push_back(v);
    if (v >= 0) tensor_of_[v] = id;
  }
  m.tensor[t] = id;
  return id;
}

Expr Merger::rewrite(const Node& n, const Expr& e, Mapping& m) {
  if (!e) return e;
  if (e->kind == Kind::access) {
    const ValueId v = value_of(n, e->id);
    const expr::TensorId t = tensor_for(n, e->id, m);
    if (v >= 0 && contains(v)) return expr::access(t, canonical_.at(v));
    std::vector<Expr> index;
    for (const Expr& a : e->args) index.push_back(rewrite(n, a, m));
    Expr outside = nullptr;
    if (e->has_default) {
      outside = index.back();
      index.pop_back();
    }
    return expr::access(t, index, outside);
  }
  if (e->kind == Kind::axis || e->kind == Kind::extent) {
    const int a = m.axis[e->id];
    if (a == Mapping::kOne) return expr::int_literal(e->kind == Kind::axis ? 0 : 1);
    return e->kind == Kind::axis ? expr::axis(a) : expr::extent(a);
  }
  if (e->kind == Kind::param) {
    auto [it, fresh] = m.param.try_emplace(e->id, static_cast<int>(group_.program.params.size()));
    if (fresh) {
      group_.program.params.push_back(fmt::format("p{}", it->second));
      group_.params.push_back(n.params[e->id]);
    }
    return expr::param(it->second);
  }
  if (e->args.empty()) return e;
  auto copy = std::make_shared<expr::Node>(*e);
  for (Expr& a : copy->args) a = rewrite(n, a, m);
  return copy;
}

void Merger::take_statements(NodeId id, const Node& n, const Mapping& mapping, int first, int last) {
  Mapping m = mapping;
  group_.nodes.push_back(id);
  group_.axis_of[id] = m.axis;
  group_.first_statement[id] = static_cast<int>(group_.program.statements.size());
  for (int i = first; i < last; ++i) {
    const expr::Statement& s = n.program.statements[i];
    expr::Statement copy;
    copy.combiner = s.combiner;
    copy.value = rewrite(n, s.value, m);
    copy.out = tensor_for(n, s.out, m);
    for (const Expr& e : s.out_index) copy.out_index.push_back(rewrite(n, e, m));
    expr::TensorDecl& decl = group_.program.tensors[copy.out];
    if (!decl.dtype) decl.dtype = expr::type_of(group_.program, copy.value).value_or(DType::f32);
    int absorbing = -1;
    if (id < static_cast<NodeId>(analysis_.nodes.size()) &&
        i < static_cast<int>(analysis_.nodes[id].statements.size())) {
      const int a = analysis_.nodes[id].statements[i].absorbing;
      if (a >= 0) absorbing = tensor_for(n, a, m);
    }
    group_.absorbing.push_back(absorbing);
    group_.program.statements.push_back(copy);
    const ValueId v = value_of(n, s.out);
    if (v >= 0) canonical_[v] = copy.out_index;
  }
  for (const auto& [operand, dim] : n.maybe_broadcast) maybe_broadcast_.insert({n.inputs[operand], dim});
}

}  // namespace pit::fuse
