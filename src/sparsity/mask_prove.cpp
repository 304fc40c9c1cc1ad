// Proofs about masks: whether one follows from another, whatever the inputs are.
//
// A sequent calculus over the normal form, position by position: logic is taken apart, equal atoms close a branch, an
// "any" that is given holds at a place of its own (axes are added to the space), and one that is a goal is tried at all
// places that have a name. Sound, not complete: what it cannot decide within its budget counts as not proved.
#include <algorithm>
#include <set>
#include <utility>

#include "sparsity/mask_impl.h"

namespace pit::sparsity {
namespace {

using Masks = std::set<int>;

/// What is to be shown: wherever all of `given` hold, one of `goals` does.
struct Sequent {
  Masks given, goals;
  Masks anys;    ///< goals that are an "any", kept for places that come up later
  Masks named;   ///< an "any" that was given, and has its place
  int rank = 0;  ///< of the space when they were last tried
};

class Prover {
 public:
  Prover(MaskProgram::Impl& p, int steps) : p_(p), budget_(steps) {}

  bool holds(Sequent s) {
    if (--budget_ < 0) return false;
    for (int m : s.given)
      if (p_.is_constant(m, false) || s.goals.count(m) || s.anys.count(m)) return true;
    for (int m : s.goals)
      if (p_.is_constant(m, true)) return true;
    if (auto done = open_one(s)) return *done;
    if (auto done = settle_one(s)) return *done;
    if (auto done = by_segments(s)) return *done;
    if (auto done = name_a_place(s)) return *done;
    if (auto done = try_places(s)) return *done;
    if (auto done = by_cases(s)) return *done;
    return by_maps(s);
  }

 private:
  const MaskNode& node(int m) const { return p_.node(m); }

  static Masks replaced(Masks set, int m, const std::vector<int>& by) {
    set.erase(m);
    set.insert(by.begin(), by.end());
    return set;
  }

  // -- logic
  // -------------------------------------------------------------------------------------------------------------

  // What needs no cases: conjunctions that are given, disjunctions that are goals, negations, held atoms.
  std::optional<bool> open_one(Sequent& s) {
    for (const bool is_goal : {false, true}) {
      Masks &here = is_goal ? s.goals : s.given, &there = is_goal ? s.given : s.goals;
      for (int m : here) {
        const MaskNode& n = node(m);
        if (n.op == (is_goal ? MaskOp::logical_or : MaskOp::logical_and)) {
          here = replaced(here, m, n.args);
          return holds(std::move(s));
        }
        if (n.op == MaskOp::logical_not) {
          here.erase(m);
          there.insert(n.args[0]);
          return holds(std::move(s));
        }
        // "Not all of these" is given: then to show all of them is as good.
        if (!is_goal && n.op == MaskOp::logical_or &&
            std::any_of(n.args.begin(), n.args.end(), [&](int a) { return node(a).op == MaskOp::logical_not; })) {
          here.erase(m);
          there.insert(p_.negate(m));
          return holds(std::move(s));
        }
        if (const int inside = opened(m); inside >= 0) {
          here = replaced(here, m, {inside});
          return holds(std::move(s));
        }
      }
    }
    return std::nullopt;
  }

  // Cases that are decided: of a conjunction to be shown, what is given; of a disjunction that is given, what is a goal
  // anyway.
  std::optional<bool> settle_one(Sequent& s) {
    for (const bool is_goal : {false, true}) {
      Masks& here = is_goal ? s.goals : s.given;
      const auto known = [&](int a) {
        return is_goal ? s.given.count(a) != 0 || denied(s.goals, a)
                       : s.goals.count(a) != 0 || s.anys.count(a) != 0 || denied(s.given, a);
      };
      for (int m : here) {
        const MaskNode& n = node(m);
        if (n.op != (is_goal ? MaskOp::logical_and : MaskOp::logical_or)) continue;
        std::vector<int> open;
        for (int a : n.args)
          if (!known(a)) open.push_back(a);
        if (open.empty()) return true;
        if (open.size() == n.args.size()) continue;
        here = replaced(here, m, {open.size() == 1 ? open[0] : p_.combine(is_goal, open)});
        return holds(std::move(s));
      }
    }
    return std::nullopt;
  }

  // Whether `a` is the negation of one of them.
  bool denied(const Masks& side, int a) const {
    return node(a).op == MaskOp::logical_not && side.count(node(a).args[0]) != 0;
  }

  std::optional<bool> by_cases(const Sequent& s) {
    for (const bool is_goal : {false, true})
      for (int m : is_goal ? s.goals : s.given) {
        const MaskNode& n = node(m);
        if (n.op != (is_goal ? MaskOp::logical_and : MaskOp::logical_or)) continue;
        return std::all_of(n.args.begin(), n.args.end(), [&](int a) {
          Sequent one = s;
          Masks& side = is_goal ? one.goals : one.given;
          side = replaced(side, m, {a});
          return holds(std::move(one));
        });
      }
    return std::nullopt;
  }

  /// The formula that a held atom stands for, in the atom's place; -1 if it is none.
  int opened(int m) {
    const MaskNode& n = node(m);
    if (n.op == MaskOp::hold) return n.args[0];
    if (n.op != MaskOp::permute || node(n.args[0]).op != MaskOp::hold) return -1;
    return p_.permute(node(n.args[0]).args[0], n.axes, p_.extents(m));
  }

  // Formulas that are put together from segments of one axis: segment by segment.
  std::optional<bool> by_segments(const Sequent& s) {
    int first = -1;
    for (const Masks* side : {&s.given, &s.goals})
      for (int m : *side)
        if (first < 0 && node(m).op == MaskOp::segments) first = m;
    if (first < 0) return std::nullopt;
    const MaskNode& cut = node(first);
    for (std::size_t i = 0; i < cut.args.size(); ++i) {
      const auto segment = [&](const Masks& side) {
        Masks r;
        for (int m : side) {
          const MaskNode& n = node(m);
          r.insert(n.op == MaskOp::segments && n.axis == cut.axis && n.positions == cut.positions ? n.args[i] : m);
        }
        return r;
      };
      if (!holds({segment(s.given), segment(s.goals), s.anys, s.named, s.rank})) return false;
    }
    return true;
  }

  // -- quantifiers
  // -------------------------------------------------------------------------------------------------------

  struct Any {
    std::vector<int> order;  ///< axis of the space -> axis of the atom
    const MaskNode& atom;
  };
  std::optional<Any> any_of(int m) const {
    const MaskNode& n = node(m);
    if (n.op == MaskOp::any) {
      Any a{{}, n};
      for (int i = 0; i < p_.rank(m); ++i) a.order.push_back(i);
      for (int reduced : n.axes) a.order[static_cast<std::size_t>(reduced)] = -1;
      return a;
    }
    if (n.op != MaskOp::permute || node(n.args[0]).op != MaskOp::any) return std::nullopt;
    Any a{n.axes, node(n.args[0])};  // nodes do not move when others are made
    for (int reduced : a.atom.axes) std::replace(a.order.begin(), a.order.end(), reduced, -1);
    return a;
  }

  // An "any" that is given holds somewhere: that place gets axes of its own.
  std::optional<bool> name_a_place(const Sequent& s) {
    constexpr int most_axes = 16;
    for (int m : s.given) {
      const auto a = any_of(m);
      if (!a || s.named.count(m) != 0 || p_.rank(m) > most_axes) continue;
      std::vector<Dim> extents = p_.extents(m);
      std::vector<int> wider, order = a->order;
      for (int i = 0; i < p_.rank(m); ++i) wider.push_back(i);
      for (int reduced : a->atom.axes) {
        extents.push_back(a->atom.forms[static_cast<std::size_t>(reduced)].extent);
        wider.push_back(-1);
        order.push_back(reduced);
      }
      const auto moved = [&](const Masks& side) {
        Masks r;
        for (int x : side)
          if (x != m) r.insert(p_.permute(x, wider, extents));
        return r;
      };
      Sequent next{moved(s.given), moved(s.goals), moved(s.anys), moved(s.named), s.rank};
      next.named.insert(p_.permute(m, wider, extents));
      for (int x : a->atom.args) next.given.insert(p_.permute(x, order, extents));
      return holds(std::move(next));
    }
    return std::nullopt;
  }

  // An "any" that is a goal holds if one of its instances does: at all places that have a name.
  std::optional<bool> try_places(const Sequent& s) {
    Sequent next = s;
    for (int m : s.goals)
      if (any_of(m)) next.goals.erase(m), next.anys.insert(m);
    const int rank = next.anys.empty() ? 0 : p_.rank(*next.anys.begin());
    const Masks fresh = rank > s.rank ? next.anys : Masks(s.goals.begin(), s.goals.end());
    bool found = false;
    for (int m : fresh) {
      const auto a = any_of(m);
      if (!a) continue;
      std::vector<int> order = a->order;
      std::vector<int> instances;
      place(*a, p_.extents(m), order, 0, instances);
      next.goals.insert(instances.begin(), instances.end());
      found = found || !instances.empty();
    }
    next.rank = rank;
    if (!found) return std::nullopt;
    return holds(std::move(next));
  }

  // Each reduced axis of the atom at an axis of the space that has its extent.
  void place(const Any& a, const std::vector<Dim>& extents, std::vector<int>& order, std::size_t k,
             std::vector<int>& instances) {
    constexpr std::size_t most = 16;
    if (instances.size() >= most) return;
    if (k == a.atom.axes.size()) {
      std::vector<int> operands;
      for (int x : a.atom.args) operands.push_back(p_.permute(x, order, extents));
      instances.push_back(p_.combine(true, operands));
      return;
    }
    const int reduced = a.atom.axes[k];
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (order[i] >= 0 || !(extents[i] == a.atom.forms[static_cast<std::size_t>(reduced)].extent)) continue;
      order[i] = reduced;
      place(a, extents, order, k + 1, instances);
      order[i] = -1;
    }
  }

  // -- index maps
  // --------------------------------------------------------------------------------------------------------

  // Maps that say for each position where to look commute with logic: what follows there follows here.
  bool by_maps(const Sequent& s) {
    std::vector<int> atoms(s.given.begin(), s.given.end());
    atoms.insert(atoms.end(), s.goals.begin(), s.goals.end());
    for (int first : atoms) {
      Sequent inside;
      for (int m : s.given)
        if (same_map(first, m)) inside.given.insert(mapped(m));
      for (int m : s.goals)
        if (same_map(first, m)) inside.goals.insert(mapped(m));
      if (inside.given.size() + inside.goals.size() > 1 && holds(std::move(inside))) return true;
    }
    return false;
  }

  int atom_of(int m) const { return node(m).op == MaskOp::permute ? node(m).args[0] : m; }
  int mapped(int m) const { return node(atom_of(m)).args[0]; }

  bool same_map(int a, int b) const {
    const bool moved = node(a).op == MaskOp::permute;
    if (moved != (node(b).op == MaskOp::permute) || (moved && node(a).axes != node(b).axes)) return false;
    const MaskNode &x = node(atom_of(a)), &y = node(atom_of(b));
    switch (x.op) {
      case MaskOp::merge:
      case MaskOp::split:
      case MaskOp::window:
      case MaskOp::take: break;
      default: return false;
    }
    return x.op == y.op && x.axes == y.axes && x.count == y.count && x.axis == y.axis && x.positions == y.positions &&
           x.step == y.step && x.lookup == y.lookup && p_.extents(x.args[0]) == p_.extents(y.args[0]);
  }

  MaskProgram::Impl& p_;
  int budget_;
};

}  // namespace

bool MaskProgram::follows(MaskId premise, MaskId conclusion, int steps) {
  // What was put together by "or" and "and" shows at once.
  if (is_nothing(premise) || is_everything(conclusion) || or_(premise, conclusion) == conclusion ||
      and_(premise, conclusion) == premise)
    return true;
  Impl& p = *impl_;
  // Part by part: each has its steps.
  if (const MaskNode& n = p.node(conclusion.id); n.op == MaskOp::logical_and)
    return std::all_of(n.args.begin(), n.args.end(), [&](int a) { return follows(premise, {a}, steps); });
  if (const MaskNode& n = p.node(premise.id); n.op == MaskOp::logical_or)
    return std::all_of(n.args.begin(), n.args.end(), [&](int a) { return follows({a}, conclusion, steps); });
  // A proof leaves nothing behind: its formulas are of no use to anybody else, and what was rewritten names them.
  const std::size_t before = p.nodes.size();
  auto rewritten = std::exchange(p.rewritten_, {});
  const bool proved = Prover(p, steps).holds({{premise.id}, {conclusion.id}, {}, {}, 0});
  p.rewritten_ = std::move(rewritten);
  p.forget_from(before);
  return proved;
}

}  // namespace pit::sparsity
