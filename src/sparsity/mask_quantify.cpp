// Construction of quantifiers: "any over axes", in the normal form that mask.h describes.
#include <algorithm>
#include <numeric>

#include "sparsity/mask_impl.h"

namespace pit::sparsity {

bool MaskProgram::Impl::segments_not_empty(int m) const {
  const MaskNode& n = node(m);
  std::int64_t last = 0;
  for (const Position& p : n.positions) {
    if (!p.is_constant() || p.offset <= last) return false;
    last = p.offset;
  }
  const Dim e = n.forms[static_cast<std::size_t>(n.axis)].extent;
  const auto c = constant_extent(e);
  return c ? *c > last : graph->dims.at_least(e, last + 1);
}

// The first axis of `m` that a literal in it merges from several, as (axis, the merge).
std::pair<int, int> MaskProgram::Impl::merged_axis(int m, const std::vector<int>& except) const {
  const MaskNode& n = node(m);
  const int atom = n.op == MaskOp::permute ? n.args[0] : m;
  if (node(atom).op == MaskOp::merge) {
    const int last = rank(atom) - 1;
    for (int i = 0; i < rank(m); ++i) {
      const bool here = n.op == MaskOp::permute ? n.axes[static_cast<std::size_t>(i)] == last : i == last;
      if (here && std::find(except.begin(), except.end(), i) == except.end()) return {i, atom};
    }
  }
  if (n.op == MaskOp::logical_and || n.op == MaskOp::logical_or || n.op == MaskOp::logical_not) {
    for (int a : n.args) {
      if (const auto found = merged_axis(a, except); found.first >= 0) return found;
    }
  }
  return {-1, -1};
}

// Whether splitting the axis `at` of `m` leaves nothing but cancelled merges and uniform axes.
bool MaskProgram::Impl::splits_cleanly(int m, int axis, const std::vector<Dim>& e) const {
  if (uniform(m, axis)) return true;
  const MaskNode& n = node(m);
  if (n.op == MaskOp::logical_and || n.op == MaskOp::logical_or || n.op == MaskOp::logical_not) {
    return std::all_of(n.args.begin(), n.args.end(), [&](int a) { return splits_cleanly(a, axis, e); });
  }
  const int atom = n.op == MaskOp::permute ? n.args[0] : m;
  if (node(atom).op != MaskOp::merge || node(atom).count != static_cast<int>(e.size())) return false;
  const int last = rank(atom) - 1;
  if ((n.op == MaskOp::permute ? n.axes[static_cast<std::size_t>(axis)] : axis) != last) return false;
  const auto& forms = node(node(atom).args[0]).forms;
  for (std::size_t i = 0; i < e.size(); ++i) {
    if (!(forms[static_cast<std::size_t>(last) + i].extent == e[i])) return false;
  }
  return true;
}

std::optional<MaskProgram::Impl::Unmerged> MaskProgram::Impl::unmerge(int m, const std::vector<int>& except) {
  const auto [axis, atom] = merged_axis(m, except);
  if (axis < 0) return std::nullopt;
  std::vector<Dim> e;
  const auto& forms = node(node(atom).args[0]).forms;
  for (std::size_t i = forms.size() - static_cast<std::size_t>(node(atom).count); i < forms.size(); ++i)
    e.push_back(forms[i].extent);
  // Where only one of the parts is wider than 1, split() leaves the merge as it is: whoever takes it apart would not
  // come to an end.
  if (std::count_if(e.begin(), e.end(), [&](Dim d) { return constant_extent(d) != 1; }) <= 1) return std::nullopt;
  if (!splits_cleanly(m, axis, e)) return std::nullopt;
  return Unmerged{split(m, axis, e), axis, static_cast<int>(e.size())};
}

int MaskProgram::Impl::any(int m, std::vector<int> axes) {
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  std::erase_if(axes, [&](int a) { return uniform(m, a); });
  if (axes.empty()) return m;
  // Parts of a formula are shared: without a memory each would be rewritten once per way to it.
  Rewriting key{MaskOp::any, m, axes};
  if (auto it = rewritten_.find(key); it != rewritten_.end()) return it->second;
  const int r = quantified(m, axes);
  rewritten_.emplace(std::move(key), r);
  return r;
}

int MaskProgram::Impl::quantified(int m, const std::vector<int>& axes) {
  if (const auto u = unmerge(m, {})) {
    std::vector<int> finer;
    for (int a : axes) {
      if (a != u->axis) finer.push_back(a < u->axis ? a : a + u->count - 1);
      else
        for (int i = 0; i < u->count; ++i) finer.push_back(a + i);
    }
    return merge(any(u->mask, finer), u->axis, u->count, extents(m)[static_cast<std::size_t>(u->axis)]);
  }
  const MaskNode& n = node(m);
  switch (n.op) {
    case MaskOp::logical_or: {
      std::vector<int> args;
      for (int a : n.args) args.push_back(any(a, axes));
      return combine(false, std::move(args));
    }
    case MaskOp::logical_and: return any_of_all(n.args, axes);
    case MaskOp::segments: {
      const bool reduced = std::find(axes.begin(), axes.end(), n.axis) != axes.end();
      if (reduced && !segments_not_empty(m)) break;
      std::vector<int> parts;
      for (int a : n.args) parts.push_back(any(a, axes));
      return reduced ? combine(false, std::move(parts)) : segments(n.axis, n.positions, std::move(parts));
    }
    case MaskOp::permute: {
      const MaskNode& atom = node(n.args[0]);
      if (atom.op == MaskOp::put) {
        // Over the table's axis, too: whoever takes anything. The index does not matter then.
        const int table = rank(n.args[0]) - 1;
        std::vector<int> inner = atom.axes, order = n.axes;
        bool whole = false;
        for (int a : axes) {
          const int from = n.axes[static_cast<std::size_t>(a)];
          if (from == table) whole = true;
          else inner.push_back(from);
        }
        if (!whole) break;
        std::replace(order.begin(), order.end(), table, -1);
        return permute(any(atom.args[0], inner), order, extents(m));
      }
      if (atom.op != MaskOp::any) break;
      std::vector<int> inner = atom.axes;
      for (int a : axes) inner.push_back(n.axes[static_cast<std::size_t>(a)]);
      const int reduced = any(combine(true, atom.args), inner);
      return permute(reduced, n.axes, extents(m));
    }
    case MaskOp::any: {
      std::vector<int> inner = n.axes;
      inner.insert(inner.end(), axes.begin(), axes.end());
      return any(combine(true, n.args), inner);
    }
    default: break;
  }
  return any_atom({m}, axes);
}

std::vector<int> MaskProgram::Impl::axes_of(int m) const {
  std::vector<int> axes;
  for (int a = 0; a < rank(m); ++a)
    if (!uniform(m, a)) axes.push_back(a);
  return axes;
}

std::vector<int> MaskProgram::Impl::by_axes(int m) {
  std::map<std::vector<int>, std::vector<int>> groups;
  for (int a : node(m).args) groups[axes_of(a)].push_back(a);
  std::vector<int> parts;
  for (auto& [axes, group] : groups)
    parts.push_back(group.size() == 1 ? group[0] : combine(node(m).op == MaskOp::logical_and, std::move(group)));
  return parts;
}

// An "or" over three axes or more of operands that each depend on fewer: rows or columns of pairs.
bool MaskProgram::Impl::is_wide(int m) const {
  if (node(m).op != MaskOp::logical_or) return false;
  const std::size_t all = axes_of(m).size();
  auto narrow = [&](int x) {
    const MaskNode& n = node(x);
    if (n.op != MaskOp::logical_and) return axes_of(x).size() < all;
    return std::all_of(n.args.begin(), n.args.end(), [&](int a) { return axes_of(a).size() < all; });
  };
  return all >= 3 && std::all_of(node(m).args.begin(), node(m).args.end(), narrow);
}

// any over q of A[b,q,k] and (R[b,q] or C[b,k]) = (any over q of A and R) or (C and any over q of A): no array over all
// of b, q and k.
std::optional<int> MaskProgram::Impl::distributed(const std::vector<int>& members, const std::vector<int>& axes) {
  constexpr std::size_t max_parts = 8;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!is_wide(members[i])) continue;
    std::vector<int> parts;
    for (int part : by_axes(members[i])) {
      const MaskNode& n = node(part);
      if (is_wide(part)) parts.insert(parts.end(), n.args.begin(), n.args.end());  // products of narrow ones
      else parts.push_back(part);
    }
    if (parts.size() > max_parts) continue;
    std::vector<int> alternatives;
    for (int part : parts) {
      std::vector<int> operands = members;
      operands[i] = part;
      alternatives.push_back(any(combine(true, std::move(operands)), axes));
    }
    return combine(false, std::move(alternatives));
  }
  return std::nullopt;
}

// any over axes of x0 and x1 and ...: what does not depend on them goes out, axes of one operand alone are reduced
// there.
int MaskProgram::Impl::any_of_all(const std::vector<int>& operands, std::vector<int> axes) {
  std::vector<int> outside, inside;
  for (int m : operands) {
    const bool depends = std::any_of(axes.begin(), axes.end(), [&](int a) { return !uniform(m, a); });
    (depends ? inside : outside).push_back(m);
  }
  // Components: operands connected by a reduced axis.
  std::vector<int> component(inside.size());
  std::iota(component.begin(), component.end(), 0);
  for (int a : axes) {
    int root = -1;
    for (std::size_t i = 0; i < inside.size(); ++i) {
      if (uniform(inside[i], a)) continue;
      if (root < 0) {
        root = component[i];
      } else {
        const int other = component[i];
        for (int& c : component) c = c == other ? root : c;
      }
    }
  }
  for (std::size_t c = 0; c < inside.size(); ++c) {
    std::vector<int> members;
    for (std::size_t i = 0; i < inside.size(); ++i) {
      if (component[i] == static_cast<int>(c)) members.push_back(inside[i]);
    }
    if (members.empty()) continue;
    if (members.size() == 1) {
      outside.push_back(any(members[0], axes));
      continue;
    }
    if (const auto m = distributed(members, axes)) {
      outside.push_back(*m);
      continue;
    }
    std::vector<int> shared;
    bool changed = false;
    for (int a : axes) {
      int users = 0, user = -1;
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (!uniform(members[i], a)) ++users, user = static_cast<int>(i);
      }
      if (users > 1) shared.push_back(a);
      if (users != 1) continue;
      auto& m = members[static_cast<std::size_t>(user)];
      const int reduced = any(m, {a});
      if (uniform(reduced, a)) m = reduced, changed = true;
    }
    outside.push_back(changed ? any(combine(true, members), shared) : any_atom(members, shared));
  }
  return combine(true, std::move(outside));
}

int MaskProgram::Impl::any_atom(const std::vector<int>& operands, const std::vector<int>& axes) {
  const auto e = extents(combine(true, operands));
  const std::vector<int> kept = compact_order(operands, {});
  MaskNode n;
  n.op = MaskOp::any;
  for (int m : operands) n.args.push_back(compact(m, kept));
  std::sort(n.args.begin(), n.args.end());
  n.forms = joined_forms(n.args);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (std::find(axes.begin(), axes.end(), kept[i]) == axes.end()) continue;
    n.axes.push_back(static_cast<int>(i));
    n.forms[i].form = Form::uniform;
    n.forms[i].boundaries.clear();
  }
  return expand(intern(std::move(n)), kept, e);
}

}  // namespace pit::sparsity
