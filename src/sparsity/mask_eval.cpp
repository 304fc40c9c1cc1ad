// Evaluation of mask programs, and what people see of them.
#include <algorithm>
#include <optional>
#include <set>

#include "sparsity/mask_views.h"
#include "support/check.h"

namespace pit::sparsity {

namespace {

using Extents = std::vector<std::int64_t>;

class Evaluation {
 public:
  const MaskProgram::Impl& program;
  const std::vector<std::int64_t>* dims = nullptr;  ///< as known by now
  const std::function<const Tensor&(ValueId)> control;

  Evaluation(const MaskProgram::Impl& p, std::function<const Tensor&(ValueId)> c)
      : program(p), control(std::move(c)), place_(p.nodes.size(), -1) {}

  void put(std::size_t m) {
    MaskView v = once(program.nodes[m]);
    place_[m] = static_cast<std::int32_t>(views_.size());
    views_.push_back(std::move(v));
  }

  std::int64_t extent(Dim d) const {
    if (d.id < 0) return 1;
    const std::int64_t e = (*dims)[static_cast<std::size_t>(d.id)];
    PIT_CHECK(e != graph::DimTable::kUnknown, "a mask needs the extent {}", program.graph->dims.print(d));
    return e;
  }
  std::int64_t position(const Position& p) const { return p.offset + (p.scale == 0 ? 0 : p.scale * extent(p.dim)); }
  Extents extents(const MaskNode& n) const {
    Extents e;
    e.reserve(n.forms.size());
    for (const AxisForm& f : n.forms) e.push_back(extent(f.extent));
    return e;
  }
  const MaskView& view(int m) const { return views_[static_cast<std::size_t>(place_[static_cast<std::size_t>(m)])]; }
  const Tensor& tensor(ValueId v) const {
    const auto& value = program.graph->values[static_cast<std::size_t>(v)];
    return value.is_constant() ? value.constant : control(v);
  }
  MaskView evaluate(const MaskNode& n) const;

  /// The value of a node. Equal small arrays share their bytes, and an operation on the same bytes is done once: the
  /// demands of a stack of layers become equal after some layers, whatever their formulas.
  MaskView once(const MaskNode& n) {
    switch (n.op) {
      case MaskOp::logical_and:
      case MaskOp::logical_or: return combined(n);
      case MaskOp::any:
      case MaskOp::put:
      case MaskOp::logical_not: return cached(key_of(n), [&] { return evaluate(n); });
      case MaskOp::permute:
      case MaskOp::segments:
      case MaskOp::hold: return evaluate(n);
      default: return shared(evaluate(n));
    }
  }

  MaskPtr array(const MaskView& v) {
    MaskPtr& same_view = by_view_[describe(v)];
    if (same_view) return same_view;
    MaskArray m = materialize(v);
    const auto [from, to] = by_value_.equal_range(m.hash);
    for (auto it = from; it != to; ++it) {
      const MaskArray& o = *it->second;
      if (o.bits == m.bits && o.shape == m.shape && o.extents == m.extents && o.boundaries == m.boundaries)
        return same_view = it->second;
    }
    same_view = std::make_shared<const MaskArray>(std::move(m));
    by_value_.emplace(same_view->hash, same_view);
    return same_view;
  }

 private:
  static constexpr std::size_t kMaxShared = 1 << 16;
  std::vector<std::int32_t> place_;  ///< of a node's view, -1: none; most programs have many nodes that no run needs
  std::deque<MaskView> views_;
  /// by operation and operands, all of which `views_` or this keep alive
  std::unordered_map<std::string, MaskView> done_;
  std::unordered_multimap<std::uint64_t, std::shared_ptr<const Bytes>> shared_;
  std::unordered_map<std::string, MaskPtr> by_view_;
  std::unordered_multimap<std::uint64_t, MaskPtr> by_value_;

  static void word(std::string& key, std::int64_t v) { key.append(reinterpret_cast<const char*>(&v), sizeof v); }

  /// Equal for views of the same bytes that say the same.
  static std::string describe(const MaskView& v) {
    std::string key;
    key.reserve(8 * (4 * v.shape.size() + 1));
    word(key, reinterpret_cast<std::intptr_t>(v.data.get()));
    for (std::size_t a = 0; a < v.shape.size(); ++a) {
      word(key, v.shape[a]), word(key, v.strides[a]), word(key, v.extents[a]);
      word(key, static_cast<std::int64_t>(v.boundaries[a].size()));
      for (std::int64_t c : v.boundaries[a]) word(key, c);
    }
    return key;
  }

  std::string key_of(const MaskNode& n) const {
    std::string key;
    word(key, static_cast<std::int64_t>(n.op));
    for (int m : n.args) key += describe(view(m));
    for (int a : n.axes) word(key, a);
    word(key, n.lookup.value);
    for (int a : n.lookup.axes) word(key, a);
    for (std::int64_t a : n.lookup.at) word(key, a);
    if (n.op == MaskOp::put) word(key, extent(n.forms.back().extent));
    return key;
  }

  template <class F>
  MaskView cached(std::string key, F&& f) {
    if (auto it = done_.find(key); it != done_.end()) return it->second;
    MaskView v = shared(f());
    done_.emplace(std::move(key), v);
    return v;
  }

  MaskView shared(MaskView v) {
    if (v.constant || v.data->size() > kMaxShared) return v;
    const std::uint64_t h = hash_bytes(v.data->data(), v.data->size(), 3);
    const auto [from, to] = shared_.equal_range(h);
    for (auto it = from; it != to; ++it) {
      if (*it->second == *v.data) {
        v.data = it->second;
        return v;
      }
    }
    shared_.emplace(h, v.data);
    return v;
  }

  /// An and/or in the operands' own layout, whatever the node's order of axes: the same formula over [b,q,k], [b,1,q,k]
  /// and [q,b,k] is evaluated once.
  MaskView combined(const MaskNode& n) {
    const bool conjunction = n.op == MaskOp::logical_and;
    const Extents e = extents(n);
    std::vector<const MaskView*> operands;
    for (int m : n.args) {
      const MaskView& v = view(m);
      if (v.constant && v.value != conjunction) return constant_view(v.value, e);
      if (!v.constant) operands.push_back(&v);
    }
    if (operands.empty()) return constant_view(conjunction, e);
    std::sort(operands.begin(), operands.end(),
              [](const MaskView* a, const MaskView* b) { return a->data.get() < b->data.get(); });
    const std::vector<int> order = layout(operands);
    std::vector<int> back(e.size(), -1);
    Extents laid_out;
    for (int a : order) {
      back[static_cast<std::size_t>(a)] = static_cast<int>(laid_out.size());
      laid_out.push_back(e[static_cast<std::size_t>(a)]);
    }
    std::vector<MaskView> permuted;
    std::string key;
    word(key, static_cast<std::int64_t>(n.op));
    for (const MaskView* v : operands) {
      permuted.push_back(permute_view(*v, order, laid_out));
      key += describe(permuted.back());
    }
    auto compute = [&] {
      std::vector<const MaskView*> args;
      for (const MaskView& v : permuted) args.push_back(&v);
      return combine_views(conjunction, args);
    };
    return permute_view(cached(std::move(key), compute), back, e);
  }

  /// The axes on which the operands depend, outer ones in memory first.
  static std::vector<int> layout(const std::vector<const MaskView*>& operands) {
    std::vector<std::pair<Extents, int>> axes;
    for (std::size_t a = 0; a < operands[0]->shape.size(); ++a) {
      Extents strides;
      bool depends = false;
      for (const MaskView* v : operands) strides.push_back(v->strides[a]), depends = depends || v->shape[a] != 1;
      strides.insert(strides.begin(), *std::max_element(strides.begin(), strides.end()));
      if (depends) axes.emplace_back(std::move(strides), static_cast<int>(a));
    }
    std::stable_sort(axes.begin(), axes.end(), [](const auto& x, const auto& y) { return x.first > y.first; });
    std::vector<int> order;
    for (const auto& [strides, a] : axes) order.push_back(a);
    return order;
  }
};

MaskView Evaluation::evaluate(const MaskNode& n) const {
  auto args = [&] {
    std::vector<const MaskView*> a;
    for (int m : n.args) a.push_back(&view(m));
    return a;
  };
  switch (n.op) {
    case MaskOp::logical_and:
    case MaskOp::logical_or: break;
    case MaskOp::constant: return constant_view(n.value, extents(n));
    case MaskOp::leaf: {
      if (n.known) return *n.known;
      MaskView v = predicate_view(tensor(n.source), n.predicate);
      PIT_CHECK(v.extents == extents(n), "the mask of '{}' has another shape than planned",
                program.graph->values[static_cast<std::size_t>(n.source)].name);
      return v;
    }
    case MaskOp::logical_not: return negate_view(view(n.args[0]));
    case MaskOp::any: return any_view(args(), n.axes);
    case MaskOp::permute: return permute_view(view(n.args[0]), n.axes, extents(n));
    case MaskOp::merge: return merge_view(view(n.args[0]), n.count, extents(n));
    case MaskOp::split: return split_view(view(n.args[0]), n.count, extents(n));
    case MaskOp::window: return window_view(view(n.args[0]), position(n.positions[0]), n.step, extents(n));
    case MaskOp::place: return place_view(view(n.args[0]), position(n.positions[0]), n.step, extents(n));
    case MaskOp::segments: {
      Extents boundaries;
      for (const Position& p : n.positions) boundaries.push_back(position(p));
      return segments_view(args(), n.axis, std::move(boundaries), extents(n));
    }
    case MaskOp::take: return take_view(view(n.args[0]), n.lookup, tensor(n.lookup.value), extents(n));
    case MaskOp::put: return put_view(view(n.args[0]), n.lookup, tensor(n.lookup.value), n.axes, extents(n));
    case MaskOp::fit: {
      const MaskView& v = view(n.args[0]);
      Extents e = extents(n);
      const int axis = static_cast<int>(e.size()) - 1;
      if (e.back() == 1 && v.extents.back() != 1) {
        MaskView r = any_view({&v}, {axis});
        r.extents = std::move(e);
        return r;
      }
      MaskView r = v;
      r.extents = std::move(e);
      return r;
    }
    case MaskOp::hold: return view(n.args[0]);
  }
  PIT_UNREACHABLE("mask operation {}", static_cast<int>(n.op));
}

}  // namespace

void MaskProgram::phases(const std::function<int(Dim)>& of_dim, const std::function<int(ValueId)>& of_leaf,
                         std::vector<int>& phases) const {
  for (std::size_t i = phases.size(); i < impl_->nodes.size(); ++i) {
    const MaskNode& n = impl_->nodes[i];
    int last = -1;
    const auto dim = [&](Dim d) { last = d.id < 0 ? last : std::max(last, of_dim(d)); };
    const auto value = [&](ValueId v) {
      if (v < 0) return;
      last = std::max(last, of_leaf(v));
      for (const Dim d : impl_->graph->values[static_cast<std::size_t>(v)].dims) dim(d);
      for (const Dim d : impl_->graph->values[static_cast<std::size_t>(v)].elements) dim(d);
    };
    for (const AxisForm& f : n.forms) {
      dim(f.extent);
      for (const Position& p : f.boundaries) dim(p.dim);
    }
    for (const Position& p : n.positions) dim(p.dim);
    value(n.source), value(n.lookup.value);
    for (const int a : n.args) last = std::max(last, phases[static_cast<std::size_t>(a)]);
    phases.push_back(last);
  }
}

struct MaskEvaluation::Impl {
  Impl(const MaskProgram::Impl& p, std::function<const Tensor&(ValueId)> control) : evaluation(p, std::move(control)) {}
  Evaluation evaluation;
  std::vector<char> asked;  ///< per node: it has been evaluated, or is about to be
  std::vector<MaskPtr> results;
};

MaskEvaluation::MaskEvaluation(const MaskProgram& program, std::function<const Tensor&(ValueId)> control)
    : impl_(std::make_unique<Impl>(*program.impl_, std::move(control))) {
  impl_->results.resize(program.impl_->nodes.size());
  impl_->asked.assign(program.impl_->nodes.size(), 0);
}
MaskEvaluation::~MaskEvaluation() = default;
const std::vector<MaskPtr>& MaskEvaluation::results() const { return impl_->results; }

void MaskEvaluation::advance(const std::vector<MaskId>& roots, const std::vector<std::int64_t>& dims) {
  if (roots.empty()) return;
  Evaluation& e = impl_->evaluation;
  e.dims = &dims;
  std::vector<int> open, fresh;
  const auto need = [&](int m) {
    char& asked = impl_->asked[static_cast<std::size_t>(m)];
    if (!asked) open.push_back(m);
    asked = 1;
  };
  for (const MaskId r : roots) need(r.id);
  while (!open.empty()) {
    const int m = open.back();
    open.pop_back();
    fresh.push_back(m);
    for (const int a : e.program.nodes[static_cast<std::size_t>(m)].args) need(a);
  }
  std::sort(fresh.begin(), fresh.end());  // arguments have smaller numbers than what uses them
  for (const int m : fresh) e.put(static_cast<std::size_t>(m));
  for (const MaskId r : roots) {
    MaskPtr& result = impl_->results[static_cast<std::size_t>(r.id)];
    if (!result) result = e.array(e.view(r.id));
  }
}

std::vector<MaskPtr> MaskProgram::evaluate(const std::vector<MaskId>& roots, const std::vector<std::int64_t>& dims,
                                           const std::function<const Tensor&(ValueId)>& control) const {
  MaskEvaluation e(*this, control);
  e.advance(roots, dims);
  std::vector<MaskPtr> results = e.results();
  results.resize(impl_->nodes.size());
  return results;
}

bool MaskArray::at(const std::int64_t* index) const {
  std::int64_t offset = 0;
  for (std::size_t a = 0; a < shape.size(); ++a) {
    std::int64_t p = shape[a] == 1 ? 0 : index[a];
    if (shape[a] != 1 && !boundaries[a].empty())
      p = std::upper_bound(boundaries[a].begin(), boundaries[a].end(), index[a]) - boundaries[a].begin();
    offset = offset * shape[a] + p;
  }
  return bits[static_cast<std::size_t>(offset)] != 0;
}

double MaskArray::fraction() const {
  if (all) return 1;
  if (none) return 0;
  bool segments = false;
  for (const auto& c : boundaries) segments = segments || !c.empty();
  if (!segments) {
    return static_cast<double>(std::count(bits.begin(), bits.end(), 1)) / static_cast<double>(bits.size());
  }
  // Every stored element stands for a box of real ones.
  std::vector<std::vector<double>> share(shape.size());
  for (std::size_t a = 0; a < shape.size(); ++a) {
    for (std::int64_t i = 0; i < shape[a]; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const double n = static_cast<double>(extents[a]);
      double width = n / static_cast<double>(shape[a]);
      if (shape[a] != 1 && !boundaries[a].empty()) {
        const double from = i == 0 ? 0 : static_cast<double>(boundaries[a][k - 1]);
        width = (i + 1 == shape[a] ? n : static_cast<double>(boundaries[a][k])) - from;
      }
      share[a].push_back(n == 0 ? 0 : width / n);
    }
  }
  double sum = 0;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (!bits[i]) continue;
    double box = 1;
    std::size_t rest = i;
    for (std::size_t a = shape.size(); a-- > 0;) {
      const auto n = static_cast<std::size_t>(shape[a]);
      box *= share[a][rest % n];
      rest /= n;
    }
    sum += box;
  }
  return sum;
}

std::vector<ValueId> MaskProgram::leaves(const std::vector<MaskId>& roots) const {
  std::set<int> sets;  // most roots read the same
  for (MaskId r : roots) sets.insert(impl_->node(r.id).reads);
  std::vector<ValueId> values;
  for (int s : sets) {
    const auto& some = impl_->read_set(s);
    values.insert(values.end(), some.begin(), some.end());
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

namespace {

/// A formula as text, for people: beyond a certain length nobody reads it, and formulas share parts, so the whole text
/// may be exponentially long.
class Printer {
 public:
  explicit Printer(const MaskProgram::Impl& p) : p_(p) {}

  std::string print(int m, int depth = 0) {
    const MaskNode& n = p_.node(m);
    if (n.op == MaskOp::permute || n.op == MaskOp::fit || n.op == MaskOp::hold) return print(n.args[0], depth);
    if (depth > kMaxDepth || left_ == 0) return "...";
    --left_;
    switch (n.op) {
      case MaskOp::constant: return n.value ? "everything" : "nothing";
      case MaskOp::leaf: return leaf(n);
      case MaskOp::logical_and: return "(" + list(n, " and ", depth) + ")";
      case MaskOp::logical_or: return "(" + list(n, " or ", depth) + ")";
      case MaskOp::logical_not: return "not " + list(n, "", depth);
      case MaskOp::any: {
        std::string axes;
        for (int a : n.axes) axes += (axes.empty() ? "" : ",") + dim(n.forms[static_cast<std::size_t>(a)].extent);
        return "any[" + axes + "](" + list(n, " and ", depth) + ")";
      }
      case MaskOp::merge: return "merge(" + list(n, ", ", depth) + ")";
      case MaskOp::split: return "split(" + list(n, ", ", depth) + ")";
      case MaskOp::window: return "window[" + range(n, n) + "](" + list(n, ", ", depth) + ")";
      case MaskOp::place: return "place[" + range(n, p_.node(n.args[0])) + "](" + list(n, ", ", depth) + ")";
      case MaskOp::segments:
        return "segments[" + dim(n.forms[static_cast<std::size_t>(n.axis)].extent) + "](" + list(n, " | ", depth) + ")";
      case MaskOp::take: return "take(" + list(n, ", ", depth) + " by " + name(n.lookup.value) + ")";
      case MaskOp::put: return "put(" + list(n, ", ", depth) + " by " + name(n.lookup.value) + ")";
      case MaskOp::permute:
      case MaskOp::fit:
      case MaskOp::hold: break;
    }
    return "?";
  }

 private:
  static constexpr int kMaxDepth = 8, kMaxNodes = 80;

  std::string dim(Dim d) const { return d.id < 0 ? "1" : p_.graph->dims.print(d); }
  /// first:count of the positions on the last axis, :step if they are not side by side; of one position, its number
  std::string range(const MaskNode& n, const MaskNode& narrow) const {
    const Position& p = n.positions[0];
    std::string first = p.is_constant() ? "" : dim(p.dim);
    if (p.scale != 0 && p.scale != 1) first = std::to_string(p.scale) + "*" + first;
    if (p.is_constant() || p.offset > 0) first += (first.empty() ? "" : "+") + std::to_string(p.offset);
    else if (p.offset < 0) first += std::to_string(p.offset);
    const std::string count = dim(narrow.forms.back().extent);
    if (count == "1") return first;
    return first + ":" + count + (n.step == 1 ? "" : ":" + std::to_string(n.step));
  }
  const std::string& name(ValueId v) const { return p_.graph->values[static_cast<std::size_t>(v)].name; }

  std::string leaf(const MaskNode& n) const {
    static const char* tests[] = {" != 0",   " > -9900", " is moderate", " <= -1e30",
                                  " < 9900", " == -inf", " > 0",         " is NaN"};
    std::string e;
    for (const AxisForm& f : n.forms) e += (e.empty() ? "" : ",") + dim(f.extent);
    return name(n.source) + "[" + e + "]" + tests[static_cast<int>(n.predicate)];
  }

  std::string list(const MaskNode& n, const char* separator, int depth) {
    std::string s;
    for (int a : n.args) {
      if (!s.empty()) s += separator;
      if (left_ == 0) return s + "...";
      s += print(a, depth + 1);
    }
    return s;
  }

  const MaskProgram::Impl& p_;
  int left_ = kMaxNodes;
};

}  // namespace

std::string MaskProgram::print(MaskId m) const { return Printer(*impl_).print(m.id); }

}  // namespace pit::sparsity
