// Proofs about masks: whether a formula is nothing whatever the inputs are.
//
// A sequent calculus over the normal form: from all of `given` follows one of `goals`, at every position. Logic is taken apart; atoms follow
// from equal atoms; "any" follows from an instance, and may be instantiated at a position of its own where nothing else depends on it.
// Sound, not complete: what it cannot decide within its budget counts as not proved.
#include <algorithm>
#include <set>

#include "sparsity/mask_impl.h"

namespace pit::sparsity {
namespace {

class Prover {
 public:
  explicit Prover(MaskProgram::Impl& p) : p_(p) {}

  bool follows(std::set<int> given, std::set<int> goals) {
    if (--budget_ < 0) return false;
    for (int m : given)
      if (p_.is_constant(m, false) || goals.count(m)) return true;
    for (int m : goals)
      if (p_.is_constant(m, true)) return true;
    if (auto done = take_apart_given(given, goals)) return *done;
    if (auto done = take_apart_goals(given, goals)) return *done;
    if (auto done = by_pieces(given, goals)) return *done;
    return by_instances(given, goals);
  }

 private:
  const MaskNode& node(int m) const { return p_.node(m); }

  static std::set<int> without(std::set<int> s, int m) {
    s.erase(m);
    return s;
  }

  std::optional<bool> take_apart_given(const std::set<int>& given, const std::set<int>& goals) {
    for (int m : given) {
      const MaskNode n = node(m);
      std::set<int> rest = without(given, m);
      if (n.op == MaskOp::logical_and) {
        rest.insert(n.args.begin(), n.args.end());
        return follows(rest, goals);
      }
      if (n.op == MaskOp::logical_not) {
        std::set<int> more = goals;
        more.insert(n.args[0]);
        return follows(rest, more);
      }
      if (const int inside = opened(m); inside >= 0) {
        rest.insert(inside);
        return follows(rest, goals);
      }
    }
    // Cases last: each doubles the work.
    for (int m : given) {
      const MaskNode n = node(m);
      if (n.op != MaskOp::logical_or) continue;
      const std::set<int> rest = without(given, m);
      return std::all_of(n.args.begin(), n.args.end(), [&](int a) {
        std::set<int> one = rest;
        one.insert(a);
        return follows(one, goals);
      });
    }
    return std::nullopt;
  }

  std::optional<bool> take_apart_goals(const std::set<int>& given, const std::set<int>& goals) {
    for (int m : goals) {
      const MaskNode n = node(m);
      std::set<int> rest = without(goals, m);
      if (n.op == MaskOp::logical_or) {
        rest.insert(n.args.begin(), n.args.end());
        return follows(given, rest);
      }
      if (n.op == MaskOp::logical_not) {
        std::set<int> more = given;
        more.insert(n.args[0]);
        return follows(more, rest);
      }
      if (const int inside = opened(m); inside >= 0) {
        rest.insert(inside);
        return follows(given, rest);
      }
    }
    for (int m : goals) {
      const MaskNode n = node(m);
      if (n.op != MaskOp::logical_and) continue;
      const std::set<int> rest = without(goals, m);
      return std::all_of(n.args.begin(), n.args.end(), [&](int a) {
        std::set<int> one = rest;
        one.insert(a);
        return follows(given, one);
      });
    }
    return std::nullopt;
  }

  /// The formula that a held atom stands for, in the atom's place; -1 if it is none.
  int opened(int m) {
    const MaskNode n = node(m);
    if (n.op == MaskOp::hold) return n.args[0];
    if (n.op != MaskOp::permute || node(n.args[0]).op != MaskOp::hold) return -1;
    return p_.permute(node(n.args[0]).args[0], n.axes, p_.extents(m));
  }

  // Formulas that are put together from pieces of one axis: piece by piece.
  std::optional<bool> by_pieces(const std::set<int>& given, const std::set<int>& goals) {
    const MaskNode* first = nullptr;
    for (const std::set<int>* side : {&given, &goals})
      for (int m : *side)
        if (!first && node(m).op == MaskOp::pieces) first = &node(m);
    if (!first) return std::nullopt;
    const MaskNode cut = *first;
    for (std::size_t i = 0; i < cut.args.size(); ++i) {
      const auto piece = [&](const std::set<int>& side) {
        std::set<int> r;
        for (int m : side) {
          const MaskNode& n = node(m);
          r.insert(n.op == MaskOp::pieces && n.axis == cut.axis && n.positions == cut.positions ? n.args[i] : m);
        }
        return r;
      };
      if (!follows(piece(given), piece(goals))) return false;
    }
    return true;
  }

  struct Any {
    std::vector<int> order;  ///< axis of the space -> axis of the atom
    MaskNode atom;
  };
  std::optional<Any> any_of(int m) const {
    const MaskNode& n = node(m);
    if (n.op == MaskOp::any) {
      Any a{{}, n};
      for (int i = 0; i < p_.rank(m); ++i) a.order.push_back(i);
      return a;
    }
    if (n.op == MaskOp::permute && node(n.args[0]).op == MaskOp::any) return Any{n.axes, node(n.args[0])};
    return std::nullopt;
  }

  // The operands of an "any" at a position of the space: each reduced axis of the atom at an axis of the space of its extent, for which `usable`.
  template <class Usable>
  std::vector<std::set<int>> instances(int m, const Any& a, Usable&& usable) {
    std::vector<std::set<int>> found;
    const std::vector<Dim> extents = p_.extents(m);
    std::vector<int> order = a.order;
    for (int reduced : a.atom.axes) std::replace(order.begin(), order.end(), reduced, -1);
    place(a, extents, order, 0, usable, found);
    return found;
  }

  template <class Usable>
  void place(const Any& a, const std::vector<Dim>& extents, std::vector<int>& order, std::size_t k, Usable& usable, std::vector<std::set<int>>& found) {
    if (k == a.atom.axes.size()) {
      std::set<int> operands;
      for (int x : a.atom.args) operands.insert(p_.permute(x, order, extents));
      found.push_back(std::move(operands));
      return;
    }
    const int reduced = a.atom.axes[k];
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (order[i] >= 0 || !usable(static_cast<int>(i)) || !(extents[i] == a.atom.forms[static_cast<std::size_t>(reduced)].extent)) continue;
      order[i] = reduced;
      place(a, extents, order, k + 1, usable, found);
      order[i] = -1;
    }
  }

  bool by_instances(const std::set<int>& given, const std::set<int>& goals) {
    const auto free = [&](int axis, int except) {
      for (const std::set<int>* side : {&given, &goals})
        for (int m : *side)
          if (m != except && !p_.uniform(m, axis)) return false;
      return true;
    };
    for (int m : given) {  // somewhere it holds: call that place so
      const auto a = any_of(m);
      if (!a) continue;
      const auto at = instances(m, *a, [&](int axis) { return free(axis, m); });
      if (at.empty()) continue;
      std::set<int> more = without(given, m);
      more.insert(at[0].begin(), at[0].end());
      return follows(more, goals);
    }
    for (int m : goals) {  // here it holds
      const auto a = any_of(m);
      if (!a) continue;
      for (const std::set<int>& operands : instances(m, *a, [](int) { return true; })) {
        const std::set<int> rest = without(goals, m);
        if (std::all_of(operands.begin(), operands.end(), [&](int x) {
              std::set<int> one = rest;
              one.insert(x);
              return follows(given, one);
            })) return true;
      }
    }
    return monotone(given, goals);
  }

  // Index maps keep what follows from what: f(x) implies f(y) where x implies y.
  bool monotone(const std::set<int>& given, const std::set<int>& goals) {
    for (int g : given)
      for (int d : goals)
        if (same_map(node(g), node(d)) && follows({node(g).args[0]}, {node(d).args[0]})) return true;
    for (int g : given)
      for (int d : goals) {
        const MaskNode &x = node(g), &y = node(d);
        if (x.op != MaskOp::permute || y.op != MaskOp::permute || x.axes != y.axes) continue;
        if (p_.extents(x.args[0]) == p_.extents(y.args[0]) && same_map(node(x.args[0]), node(y.args[0])) &&
            follows({node(x.args[0]).args[0]}, {node(y.args[0]).args[0]})) return true;
      }
    return false;
  }

  bool same_map(const MaskNode& x, const MaskNode& y) const {
    switch (x.op) {
      case MaskOp::merge: case MaskOp::split: case MaskOp::window: case MaskOp::place: case MaskOp::take: case MaskOp::put: case MaskOp::fit: break;
      default: return false;
    }
    return x.op == y.op && x.axes == y.axes && x.count == y.count && x.axis == y.axis && x.positions == y.positions && x.step == y.step &&
           x.lookup == y.lookup && p_.extents(x.args[0]) == p_.extents(y.args[0]);
  }

  MaskProgram::Impl& p_;
  int budget_ = 2000;
};

}  // namespace

bool MaskProgram::is_surely_nothing(MaskId m) const {
  const MaskNode& n = impl_->node(m.id);
  if (n.op == MaskOp::constant) return !n.value;
  return Prover(*impl_).follows({m.id}, {});
}

}  // namespace pit::sparsity
