#include "rules/rules.h"

#include <algorithm>
#include <fmt/format.h>
#include <string>
#include <utility>

namespace pit::rules {
namespace {

using expr::AxisId;
using expr::Expr;
using expr::Kind;
using expr::Program;
using expr::Statement;
using expr::TensorId;

// One index of one access, on either side of a statement.
struct IndexUse {
  TensorId tensor;
  int dim;
  const Expr* index;
  int statement;
};

// Axes that stand in an index itself; those inside a lookup belong to the lookup's own indices.
void axes_beside_lookups(const Expr& e, std::vector<AxisId>* axes) {
  if (e->kind == Kind::axis) axes->push_back(e->id);
  if (e->kind == Kind::access) return;
  for (const Expr& a : e->args) axes_beside_lookups(a, axes);
}

bool stands_in(const Expr& index, AxisId a) {
  std::vector<AxisId> axes;
  axes_beside_lookups(index, &axes);
  return std::find(axes.begin(), axes.end(), a) != axes.end();
}

bool contains(const std::vector<AxisId>& axes, AxisId a) {
  return std::find(axes.begin(), axes.end(), a) != axes.end();
}

class Inference {
 public:
  explicit Inference(const Program& p) : p_(p), value_statement_(p.axes.size(), -1) {
    for (std::size_t s = 0; s < p.statements.size(); ++s) {
      statement_ = static_cast<int>(s);
      const Statement& st = p.statements[s];
      indices(st.out, st.out_index, st.out_index.size());
      value(st.value);
    }
  }

  AxisRule judge(AxisId a) const {
    AxisRule rule;
    rule.axis = a;
    bool occurs = false;
    for (const Statement& s : p_.statements) {
      const bool reduced = contains(expr::reduced_axes(s), a);
      occurs = occurs || reduced || contains(expr::free_axes(s), a);
      rule.reduced = rule.reduced || reduced;
      const expr::CombinerInfo& combiner = expr::info(s.combiner);
      if ((reduced || is_scattered(s, a)) && !(combiner.commutative && combiner.associative)) {
        return refused(rule, fmt::format("{} does not commute in `{}`", combiner.text, expr::print(p_, s)));
      }
    }
    if (!occurs) return refused(rule, "it occurs in no statement");
    if (const int s = value_statement_[static_cast<std::size_t>(a)]; s >= 0) {
      return refused(rule, "its position is used as a value" + where(s));
    }
    if (std::string other = shared_dimension(a); !other.empty()) return refused(rule, std::move(other));
    for (const IndexUse& use : uses_) {
      if (expr::bare_axis(*use.index) || !stands_in(*use.index, a)) continue;
      const char* what = (*use.index)->kind == Kind::merge ? "merged" : "compound";
      return iteration(rule, fmt::format("{} index {} in {}", what, print_index(use), tensor_name(use.tensor)));
    }
    const bool has_dimension =
        std::any_of(uses_.begin(), uses_.end(), [&](const IndexUse& u) { return is_bare(u, a); });
    if (!has_dimension) return iteration(rule, "it indexes no dimension by itself");
    rule.verdict = Verdict::permutable;
    return rule;
  }

 private:
  // Whether a lookup on the left folds the axis.
  static bool is_scattered(const Statement& s, AxisId a) {
    return expr::scatters(s) && std::any_of(s.out_index.begin(), s.out_index.end(), [&](const Expr& e) {
             return !expr::bare_axis(e) && contains(expr::axes_of(e), a);
           });
  }

  static AxisRule refused(AxisRule rule, std::string why) {
    rule.verdict = Verdict::refused;
    rule.reason = std::move(why);
    return rule;
  }

  static AxisRule iteration(AxisRule rule, std::string why) {
    rule.verdict = Verdict::iteration;
    rule.reason = std::move(why);
    return rule;
  }

  static bool is_bare(const IndexUse& u, AxisId a) { return expr::bare_axis(*u.index) == a; }

  // Collects the indices of an access and, through lookups, of the accesses in them.
  void indices(TensorId t, const std::vector<Expr>& args, std::size_t rank) {
    for (std::size_t d = 0; d < rank; ++d) {
      uses_.push_back({t, static_cast<int>(d), &args[d], statement_});
      lookups(args[d]);
    }
  }

  void lookups(const Expr& e) {
    if (e->kind == Kind::access) {
      access(e);
    } else {
      for (const Expr& a : e->args) lookups(a);
    }
  }

  void access(const Expr& e) {
    indices(e->id, e->args, e->args.size() - (e->has_default ? 1 : 0));
    if (e->has_default) value(e->args.back());
  }

  void value(const Expr& e) {
    if (e->kind == Kind::access) return access(e);
    if (e->kind == Kind::axis && value_statement_[static_cast<std::size_t>(e->id)] < 0) {
      value_statement_[static_cast<std::size_t>(e->id)] = statement_;
    }
    for (const Expr& a : e->args) value(a);
  }

  // A dimension of `a` that another access indexes differently, in words; empty if there is none.
  std::string shared_dimension(AxisId a) const {
    for (const IndexUse& mine : uses_) {
      if (!is_bare(mine, a)) continue;
      for (const IndexUse& other : uses_) {
        if (other.tensor != mine.tensor || other.dim != mine.dim || is_bare(other, a)) continue;
        return fmt::format("dimension {} of {} is indexed by {} and also by {}{}", mine.dim, tensor_name(mine.tensor),
                           print_index(mine), print_index(other), where(other.statement));
      }
    }
    return {};
  }

  std::string print_index(const IndexUse& u) const { return expr::print_index(p_, *u.index); }
  // Names the statement where there are several.
  std::string where(int s) const {
    if (p_.statements.size() < 2) return {};
    return fmt::format(" in `{}`", expr::print(p_, p_.statements[static_cast<std::size_t>(s)]));
  }
  const std::string& tensor_name(TensorId t) const { return p_.tensors[static_cast<std::size_t>(t)].name; }

  const Program& p_;
  int statement_ = 0;
  std::vector<IndexUse> uses_;
  std::vector<int> value_statement_;  // per axis: the first statement that uses its position as a value, or -1
};

}  // namespace

std::vector<AxisRule> infer(const Program& p) {
  const Inference inference(p);
  std::vector<AxisRule> rules;
  for (std::size_t a = 0; a < p.axes.size(); ++a) rules.push_back(inference.judge(static_cast<AxisId>(a)));
  return rules;
}

std::string describe(const Program& p, const std::vector<AxisRule>& rules) {
  std::string permutable;
  std::vector<std::pair<std::string, std::string>> others;  // axes, and what is true of all of them
  for (const AxisRule& r : rules) {
    const std::string& name = p.axes[static_cast<std::size_t>(r.axis)];
    if (r.verdict == Verdict::permutable) {
      permutable += (permutable.empty() ? "" : " ") + name;
      continue;
    }
    const std::string what = fmt::format("{}: {}", name_of(r.verdict), r.reason);
    const auto same = std::find_if(others.begin(), others.end(), [&](const auto& o) { return o.second == what; });
    if (same == others.end()) {
      others.emplace_back(name, what);
    } else {
      same->first += " " + name;
    }
  }
  std::string text = fmt::format("{}\n  {}", expr::print(p), permutable.empty() ? "none" : permutable);
  for (std::size_t i = 0; i < others.size(); ++i) {
    text += fmt::format("{}{} {}", i == 0 ? " | " : "; ", others[i].first, others[i].second);
  }
  return text;
}

const char* name_of(Verdict v) {
  switch (v) {
    case Verdict::permutable: return "permutable";
    case Verdict::iteration: return "iteration only";
    case Verdict::refused: return "refused";
  }
  return "?";
}

}  // namespace pit::rules
