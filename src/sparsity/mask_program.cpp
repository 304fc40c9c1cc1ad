// Construction of mask programs: logic, quantifiers, permutation. The index maps are in mask_maps.cpp.
#include <algorithm>
#include <numeric>
#include <random>

#include "sparsity/mask_impl.h"
#include "support/check.h"

namespace pit::sparsity {

namespace {

/// Beyond this many literals a formula is held. Models whose layers all have the same live sets stay far below.
constexpr int kMaxWeight = 32;

std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
  return h * 0xff51afd7ed558ccdull;
}

std::uint64_t mix_all(std::uint64_t h, const auto& values) {
  h = mix(h, values.size());
  for (auto v : values) h = mix(h, static_cast<std::uint64_t>(v));
  return h;
}

/// Of what makes a node what it is.
std::uint64_t hash_of(const MaskNode& n) {
  std::uint64_t h = mix_all(static_cast<std::uint64_t>(n.op) * 2 + n.value, n.args);
  if (!n.axes.empty()) h = mix_all(h, n.axes);
  for (const AxisForm& f : n.forms)
    h = mix(h, (static_cast<std::uint64_t>(f.form) << 40) + static_cast<std::uint64_t>(f.extent.id));
  for (const Position& p : n.positions)
    h = mix(mix(h, static_cast<std::uint64_t>(p.dim.id)), static_cast<std::uint64_t>(p.scale * 1000003 + p.offset));
  if (n.source >= 0) h = mix(h, static_cast<std::uint64_t>(n.source) * 64 + static_cast<std::uint64_t>(n.predicate));
  if (n.lookup.value >= 0)
    h = mix_all(mix_all(mix(h, static_cast<std::uint64_t>(n.lookup.value)), n.lookup.axes), n.lookup.at);
  return h;
}

/// The same formula: what follows from its parts (boundaries, weight, what it reads) does not count.
bool same(const MaskNode& a, const MaskNode& b) {
  const auto same_form = [](const AxisForm& x, const AxisForm& y) { return x.form == y.form && x.extent == y.extent; };
  return a.op == b.op && a.value == b.value && a.args == b.args && a.axes == b.axes && a.count == b.count &&
         a.axis == b.axis && a.step == b.step && a.source == b.source && a.predicate == b.predicate &&
         a.positions == b.positions && a.lookup == b.lookup &&
         std::equal(a.forms.begin(), a.forms.end(), b.forms.begin(), b.forms.end(), same_form);
}

}  // namespace

std::size_t Rewriting::Hash::operator()(const Rewriting& r) const {
  return mix_all((static_cast<std::uint64_t>(r.op) << 32) + static_cast<std::uint64_t>(r.mask), r.numbers);
}

std::vector<Dim> MaskProgram::Impl::extents(int m) const {
  std::vector<Dim> e;
  for (const AxisForm& f : node(m).forms) e.push_back(f.extent);
  return e;
}

std::optional<std::int64_t> MaskProgram::Impl::constant_extent(Dim d) const {
  return d.id < 0 ? std::optional<std::int64_t>(1) : graph->dims.constant_value(d);
}

bool MaskProgram::Impl::ends_at(Position start, Dim length, Dim extent) const {
  if (start == Position::at(0) && length == extent) return true;
  const auto n = constant_extent(length), e = constant_extent(extent);
  if (start.is_constant() && n && e) return start.offset + *n == *e;
  // Extents are polynomials (and a few opaque terms) in the symbols: equality at random points is equality.
  if (samples_.empty()) {
    std::mt19937_64 random(20260101);
    for (int i = 0; i < 4; ++i) {
      std::vector<std::int64_t> symbols(static_cast<std::size_t>(graph->dims.symbol_count()));
      for (auto& s : symbols) s = 2 + static_cast<std::int64_t>(random() % 4093);
      samples_.push_back(graph->dims.evaluate(symbols));
    }
  }
  auto value = [](const std::vector<std::int64_t>& at, Dim d) {
    return d.id < 0 ? 1 : at[static_cast<std::size_t>(d.id)];
  };
  for (const auto& at : samples_) {
    const std::int64_t base = start.scale == 0 ? 0 : value(at, start.dim), len = value(at, length),
                       end = value(at, extent);
    if (base == graph::DimTable::kUnknown || len == graph::DimTable::kUnknown || end == graph::DimTable::kUnknown)
      return false;
    if (start.scale * base + start.offset + len != end) return false;
  }
  return true;
}

std::uint64_t MaskProgram::Impl::shape_key(const MaskNode& n) const {
  std::uint64_t h = mix(17, static_cast<std::uint64_t>(n.op));
  switch (n.op) {
    case MaskOp::permute: return node(n.args[0]).shape_key;
    case MaskOp::constant: return mix(h, n.value);
    case MaskOp::logical_and:
    case MaskOp::logical_or:
    case MaskOp::logical_not:
    case MaskOp::segments: {
      std::vector<std::uint64_t> keys;
      for (int a : n.args) keys.push_back(node(a).shape_key);
      if (n.op != MaskOp::segments) std::sort(keys.begin(), keys.end());
      for (auto k : keys) h = mix(h, k);
      return h;
    }
    default:
      for (int a : n.args) h = mix(h, static_cast<std::uint64_t>(a));
      for (int a : n.axes) h = mix(h, static_cast<std::uint64_t>(a));
      for (const Position& p : n.positions) {
        h = mix(mix(h, static_cast<std::uint64_t>(p.dim.id)), static_cast<std::uint64_t>(p.scale * 1000003 + p.offset));
      }
      h = mix(h, static_cast<std::uint64_t>(n.source) * 64 + static_cast<std::uint64_t>(n.predicate));
      return mix(mix(h, static_cast<std::uint64_t>(n.step)), static_cast<std::uint64_t>(n.count * 64 + n.lookup.value));
  }
}

int MaskProgram::Impl::weight(const MaskNode& n) const {
  int sum = 0, most = 0;
  for (int a : n.args) sum += node(a).weight, most = std::max(most, node(a).weight);
  if (n.op == MaskOp::logical_and || n.op == MaskOp::logical_or) return sum;
  return n.op == MaskOp::segments ? most : n.op != MaskOp::constant;  // each segment is a formula of its own
}

int MaskProgram::Impl::reads(const MaskNode& n) {
  std::vector<ValueId> own;
  for (ValueId v : {n.source, n.lookup.value}) {
    if (v >= 0 && !graph->values[static_cast<std::size_t>(v)].is_constant()) own.push_back(v);
  }
  if (own.empty() &&
      std::all_of(n.args.begin(), n.args.end(), [&](int a) { return node(a).reads == node(n.args[0]).reads; })) {
    return n.args.empty() ? 0 : node(n.args[0]).reads;
  }
  for (int a : n.args) {
    const auto& some = read_set(node(a).reads);
    own.insert(own.end(), some.begin(), some.end());
  }
  std::sort(own.begin(), own.end());
  own.erase(std::unique(own.begin(), own.end()), own.end());
  const auto [it, fresh] = read_set_numbers_.try_emplace(std::move(own), static_cast<int>(read_sets_.size()));
  if (fresh) read_sets_.push_back(&it->first);
  return it->second;
}

int MaskProgram::Impl::intern(MaskNode n) {
  const std::uint64_t hash = hash_of(n);
  for (auto [it, end] = interned_.equal_range(hash); it != end; ++it)
    if (same(node(it->second), n)) return it->second;
  n.shape_key = shape_key(n);
  n.weight = weight(n);
  n.reads = reads(n);
  nodes.push_back(std::move(n));
  const int id = static_cast<int>(nodes.size()) - 1;
  interned_.emplace(hash, id);
  return id;
}

void MaskProgram::Impl::forget_from(std::size_t count) {
  for (; nodes.size() > count; nodes.pop_back()) {
    auto it = interned_.find(hash_of(nodes.back()));
    while (it->second + 1 != static_cast<int>(nodes.size())) ++it;
    interned_.erase(it);
  }
}

int MaskProgram::Impl::constant(bool value, const std::vector<Dim>& e) {
  MaskNode n;
  n.value = value;
  for (Dim d : e) n.forms.push_back({Form::uniform, d, {}});
  return intern(std::move(n));
}

int MaskProgram::Impl::leaf(ValueId v, Predicate p) {
  const graph::Value& value = graph->values[static_cast<std::size_t>(v)];
  MaskNode n;
  n.op = MaskOp::leaf;
  n.source = v;
  n.predicate = p;
  if (value.is_constant()) {
    MaskView view = predicate_view(value.constant, p);
    if (view.constant) return constant(view.value, value.dims);
    for (std::size_t i = 0; i < view.shape.size(); ++i) {
      n.forms.push_back({view.shape[i] == 1 ? Form::uniform : Form::full, value.dims[i], {}});
    }
    n.known = std::make_shared<const MaskView>(std::move(view));
  } else {
    for (Dim d : value.dims) n.forms.push_back({constant_extent(d) == 1 ? Form::uniform : Form::full, d, {}});
  }
  return intern(std::move(n));
}

std::vector<AxisForm> MaskProgram::Impl::joined_forms(const std::vector<int>& operands) const {
  std::vector<AxisForm> out = node(operands[0]).forms;
  for (std::size_t i = 1; i < operands.size(); ++i) {
    const auto& forms = node(operands[i]).forms;
    PIT_CHECK(forms.size() == out.size(), "masks of rank {} and {} cannot be combined", out.size(), forms.size());
    for (std::size_t a = 0; a < out.size(); ++a) {
      const AxisForm& f = forms[a];
      if (constant_extent(out[a].extent) == 1) out[a].extent = f.extent;
      if (f.form == Form::uniform || out[a] == f) continue;
      if (out[a].form == Form::uniform) {
        out[a].form = f.form, out[a].boundaries = f.boundaries;
      } else if (out[a].form != f.form || out[a].boundaries != f.boundaries) {
        out[a].form = Form::full, out[a].boundaries.clear();
      }
    }
  }
  return out;
}

bool MaskProgram::Impl::absorbed(bool conjunction, int x, const std::vector<int>& set) const {
  const MaskNode& n = node(x);
  if (n.op != (conjunction ? MaskOp::logical_or : MaskOp::logical_and)) return false;
  // x and (x or y), where x itself may be a part of the set: (a or b) in a set {a, b, (a or b) and c} of alternatives.
  for (int a : n.args) {
    const MaskNode& part = node(a);
    const bool same_kind = part.op == (conjunction ? MaskOp::logical_and : MaskOp::logical_or);
    if (same_kind && std::includes(set.begin(), set.end(), part.args.begin(), part.args.end())) return true;
  }
  for (int y : set) {
    if (y == x) continue;
    if (std::find(n.args.begin(), n.args.end(), y) != n.args.end()) return true;
    const MaskNode& other = node(y);
    if (other.op == n.op && std::includes(n.args.begin(), n.args.end(), other.args.begin(), other.args.end()))
      return true;
  }
  return false;
}

int MaskProgram::Impl::combine(bool conjunction, std::vector<int> operands) {
  const MaskOp op = conjunction ? MaskOp::logical_and : MaskOp::logical_or;
  PIT_CHECK(!operands.empty(), "a mask operation without operands");
  const int first = operands[0];
  std::vector<int> flat;
  for (int m : operands) {
    if (node(m).op == op) flat.insert(flat.end(), node(m).args.begin(), node(m).args.end());
    else flat.push_back(m);
  }
  std::vector<int> set;
  for (int m : flat) {
    if (is_constant(m, conjunction)) continue;
    if (is_constant(m, !conjunction)) return m;
    set.push_back(m);
  }
  if (set.empty()) return first;
  std::sort(set.begin(), set.end());
  set.erase(std::unique(set.begin(), set.end()), set.end());
  for (int m : set) {
    if (node(m).op == MaskOp::logical_not && std::binary_search(set.begin(), set.end(), node(m).args[0])) {
      return constant(!conjunction, extents(m));
    }
  }
  if (auto m = resolve(conjunction, set)) return *m;
  std::vector<int> kept;
  for (int m : set) {
    if (!absorbed(conjunction, m, set)) kept.push_back(m);
  }
  if (kept.size() == 1) return kept[0];
  if (auto m = distribute_over_segments(conjunction, kept)) return *m;
  int total = 0;
  for (int m : kept) total += node(m).weight;
  if (total > kMaxWeight) {
    if (auto m = lightened(conjunction, operands)) return *m;
  }
  MaskNode n;
  n.op = op;
  n.forms = joined_forms(kept);
  n.args = std::move(kept);
  return intern(std::move(n));
}

// The same with the heaviest operands held; nothing if all are literals.
std::optional<int> MaskProgram::Impl::lightened(bool conjunction, std::vector<int> operands) {
  auto weight = [&](int m) { return node(m).weight; };
  std::stable_sort(operands.begin(), operands.end(), [&](int a, int b) { return weight(a) > weight(b); });
  int total = 0;
  for (int m : operands) total += weight(m);
  bool changed = false;
  for (int& m : operands) {
    if (total <= kMaxWeight) break;
    const int held = hold(m);
    total -= weight(m) - weight(held);
    changed = changed || held != m;
    m = held;
  }
  return changed ? std::optional<int>(combine(conjunction, std::move(operands))) : std::nullopt;
}

int MaskProgram::Impl::hold(int m) {
  const MaskNode& n = node(m);
  if (n.op == MaskOp::segments) {
    std::vector<int> parts;
    for (int a : n.args) parts.push_back(hold(a));
    return segments(n.axis, n.positions, std::move(parts));
  }
  if (n.op != MaskOp::logical_and && n.op != MaskOp::logical_or) return m;
  if (const auto u = unmerge(m, {}))
    return merge(hold(u->mask), u->axis, u->count, n.forms[static_cast<std::size_t>(u->axis)].extent);
  // What depends on other axes is held apart: an atom over all of them would be an array over all of them.
  if (std::vector<int> parts = by_axes(m); parts.size() > 1) {
    for (int& part : parts) part = hold(part);
    return combine(n.op == MaskOp::logical_and, std::move(parts));
  }
  const std::vector<int> kept = compact_order({m}, {});
  MaskNode r;
  r.op = MaskOp::hold;
  r.args = {compact(m, kept)};
  r.forms = node(r.args[0]).forms;
  return expand(intern(std::move(r)), kept, extents(m));
}

// x and (not x or y) = x and y: inside an operand of the other kind, what contradicts the set is dropped.
std::optional<int> MaskProgram::Impl::resolve(bool conjunction, const std::vector<int>& set) {
  const MaskOp dual = conjunction ? MaskOp::logical_or : MaskOp::logical_and;
  std::vector<int> negated;
  for (int m : set)
    if (node(m).op == MaskOp::logical_not) negated.push_back(node(m).args[0]);
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (node(set[i]).op != dual) continue;
    std::vector<int> rest;
    for (int a : node(set[i]).args) {
      const MaskNode& n = node(a);
      const bool contradicted = std::find(negated.begin(), negated.end(), a) != negated.end() ||
                                (n.op == MaskOp::logical_not && std::binary_search(set.begin(), set.end(), n.args[0]));
      if (!contradicted) rest.push_back(a);
    }
    if (rest.size() == node(set[i]).args.size()) continue;
    std::vector<int> operands = set;
    operands[i] = rest.empty() ? constant(!conjunction, extents(set[i])) : combine(!conjunction, std::move(rest));
    return combine(conjunction, std::move(operands));
  }
  return std::nullopt;
}

// Segments go outwards, so that equal neighbours melt together again: the "or" of the demands of Q, K and V.
std::optional<int> MaskProgram::Impl::distribute_over_segments(bool conjunction, const std::vector<int>& operands) {
  constexpr std::size_t max_segments = 64;
  int axis = -1;
  for (int m : operands) {
    if (node(m).op == MaskOp::segments) axis = axis < 0 ? node(m).axis : std::min(axis, node(m).axis);
  }
  if (axis < 0) return std::nullopt;
  std::vector<Position> boundaries;
  bool constant_boundaries = true;
  for (int m : operands) {
    if (node(m).op == MaskOp::segments && node(m).axis == axis) {
      if (boundaries.empty()) boundaries = node(m).positions;
      for (const Position& p : node(m).positions) constant_boundaries = constant_boundaries && p.is_constant();
    } else if (!uniform(m, axis)) {
      return std::nullopt;
    }
  }
  bool equal_boundaries = true;
  for (int m : operands) {
    if (node(m).op == MaskOp::segments && node(m).axis == axis)
      equal_boundaries = equal_boundaries && node(m).positions == boundaries;
  }
  if (!equal_boundaries) {
    if (!constant_boundaries) return std::nullopt;
    std::vector<std::int64_t> at;
    for (int m : operands) {
      if (node(m).op != MaskOp::segments || node(m).axis != axis) continue;
      for (const Position& p : node(m).positions) at.push_back(p.offset);
    }
    std::sort(at.begin(), at.end());
    at.erase(std::unique(at.begin(), at.end()), at.end());
    boundaries.clear();
    for (auto v : at) boundaries.push_back(Position::at(v));
  }
  if (boundaries.size() + 1 > max_segments) return std::nullopt;
  std::vector<int> parts;
  for (std::size_t segment = 0; segment <= boundaries.size(); ++segment) {
    std::vector<int> list;
    for (int m : operands) {
      const MaskNode& n = node(m);
      if (n.op != MaskOp::segments || n.axis != axis) {
        list.push_back(m);
        continue;
      }
      std::size_t own = segment;
      if (!equal_boundaries) {
        own = 0;
        while (segment > 0 && own < n.positions.size() && n.positions[own].offset <= boundaries[segment - 1].offset)
          ++own;
      }
      list.push_back(n.args[own]);
    }
    parts.push_back(combine(conjunction, std::move(list)));
  }
  return segments(axis, std::move(boundaries), std::move(parts));
}

int MaskProgram::Impl::segments(int axis, std::vector<Position> boundaries, std::vector<int> parts) {
  std::vector<Position> kept_boundaries;
  std::vector<int> kept{parts[0]};
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const bool same = parts[i] == kept.back() ||
                      (node(parts[i]).op == MaskOp::constant && is_constant(kept.back(), node(parts[i]).value));
    if (same) continue;
    kept_boundaries.push_back(boundaries[i - 1]);
    kept.push_back(parts[i]);
  }
  if (kept.size() == 1) return kept[0];
  MaskNode n;
  n.op = MaskOp::segments;
  n.forms = joined_forms(kept);
  auto& form = n.forms[static_cast<std::size_t>(axis)];
  PIT_CHECK(form.form == Form::uniform, "segments of an axis along which a segment is not uniform");
  form.form = Form::segments;
  form.boundaries = kept_boundaries;
  n.axis = axis;
  n.positions = std::move(kept_boundaries);
  n.args = std::move(kept);
  return intern(std::move(n));
}

int MaskProgram::Impl::negate(int m) {
  const MaskNode& n = node(m);
  if (n.op == MaskOp::constant) return constant(!n.value, extents(m));
  if (n.op == MaskOp::logical_not) return n.args[0];
  if (n.op == MaskOp::logical_and || n.op == MaskOp::logical_or) {  // "not" stands at atoms only
    const bool disjunction = n.op == MaskOp::logical_and;
    std::vector<int> args;
    for (int a : n.args) args.push_back(negate(a));
    return combine(!disjunction, std::move(args));
  }
  if (n.op == MaskOp::segments) {
    std::vector<int> parts;
    for (int a : n.args) parts.push_back(negate(a));
    return segments(n.axis, n.positions, std::move(parts));
  }
  MaskNode r;
  r.op = MaskOp::logical_not;
  r.forms = n.forms;
  r.args = {m};
  return intern(std::move(r));
}

int MaskProgram::Impl::permute(int m, const std::vector<int>& order, const std::vector<Dim>& e) {
  const MaskNode& n = node(m);
  bool identity = order.size() == n.forms.size();
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool same =
        order[i] == static_cast<int>(i) || (order[i] < 0 && i < n.forms.size() && n.forms[i].form == Form::uniform);
    identity = identity && same && n.forms[i].extent == e[i];
  }
  if (identity) return m;
  Rewriting key{MaskOp::permute, m, order};
  for (Dim d : e) key.numbers.push_back(d.id);
  if (auto it = rewritten_.find(key); it != rewritten_.end()) return it->second;
  const int r = permuted(m, order, e);
  rewritten_.emplace(std::move(key), r);
  return r;
}

int MaskProgram::Impl::permuted(int m, const std::vector<int>& order, const std::vector<Dim>& e) {
  const MaskNode& n = node(m);
  for (int a = 0; a < rank(m); ++a) {
    PIT_CHECK(
        n.forms[static_cast<std::size_t>(a)].form == Form::uniform || std::count(order.begin(), order.end(), a) == 1,
        "a permutation drops or repeats axis {}, along which the mask is not uniform", a);
  }
  switch (n.op) {
    case MaskOp::constant: return constant(n.value, e);
    case MaskOp::logical_not: return negate(permute(n.args[0], order, e));
    case MaskOp::logical_and:
    case MaskOp::logical_or: {
      std::vector<int> args;
      for (int a : n.args) args.push_back(permute(a, order, e));
      return combine(n.op == MaskOp::logical_and, std::move(args));
    }
    case MaskOp::segments: {
      const int axis = static_cast<int>(std::find(order.begin(), order.end(), n.axis) - order.begin());
      std::vector<int> parts;
      for (int a : n.args) parts.push_back(permute(a, order, e));
      return segments(axis, n.positions, std::move(parts));
    }
    case MaskOp::permute: {
      std::vector<int> composed;
      for (int o : order) composed.push_back(o < 0 ? -1 : n.axes[static_cast<std::size_t>(o)]);
      // A uniform axis of the result may have been inserted on the way: it stays inserted.
      return permute(n.args[0], composed, e);
    }
    default: break;
  }
  MaskNode r;
  r.op = MaskOp::permute;
  r.args = {m};
  for (std::size_t i = 0; i < order.size(); ++i) {
    AxisForm f = order[i] < 0 ? AxisForm{} : n.forms[static_cast<std::size_t>(order[i])];
    f.extent = e[i];
    r.forms.push_back(std::move(f));
    // Where the source is uniform it does not matter which of its axes (if any) this one was.
    r.axes.push_back(r.forms.back().form == Form::uniform ? -1 : order[i]);
  }
  return intern(std::move(r));
}

void MaskProgram::Impl::axis_order(int m, std::vector<int>& order) const {
  const MaskNode& n = node(m);
  auto add = [&](int axis) {
    if (!uniform(m, axis) && std::find(order.begin(), order.end(), axis) == order.end()) order.push_back(axis);
  };
  switch (n.op) {
    case MaskOp::constant: return;
    case MaskOp::permute:
      for (int j = 0; j < rank(n.args[0]); ++j) {
        for (int i = 0; i < rank(m); ++i) {
          if (n.axes[static_cast<std::size_t>(i)] == j) add(i);
        }
      }
      return;
    case MaskOp::logical_and:
    case MaskOp::logical_or:
    case MaskOp::logical_not:
    case MaskOp::segments: {
      if (n.op == MaskOp::segments) add(n.axis);
      std::vector<int> args = n.args;
      std::stable_sort(args.begin(), args.end(), [&](int a, int b) { return node(a).shape_key < node(b).shape_key; });
      for (int a : args) axis_order(a, order);
      return;
    }
    default:
      for (int i = 0; i < rank(m); ++i) add(i);
  }
}

std::vector<int> MaskProgram::Impl::compact_order(const std::vector<int>& ms, const std::vector<int>& last) const {
  std::vector<int> sorted = ms, order;
  std::stable_sort(sorted.begin(), sorted.end(), [&](int a, int b) { return node(a).shape_key < node(b).shape_key; });
  for (int m : sorted) axis_order(m, order);
  std::erase_if(order, [&](int a) { return std::find(last.begin(), last.end(), a) != last.end(); });
  order.insert(order.end(), last.begin(), last.end());
  return order;
}

int MaskProgram::Impl::compact(int m, const std::vector<int>& kept) {
  const auto e = extents(m);
  std::vector<Dim> out;
  for (int a : kept) out.push_back(e[static_cast<std::size_t>(a)]);
  return permute(m, kept, out);
}

int MaskProgram::Impl::expand(int m, const std::vector<int>& kept, const std::vector<Dim>& e) {
  std::vector<int> order(e.size(), -1);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (!uniform(m, static_cast<int>(i))) order[static_cast<std::size_t>(kept[i])] = static_cast<int>(i);
  }
  return permute(m, order, e);
}

// -- The public face
// ----------------------------------------------------------------------------------------------------

MaskProgram::MaskProgram(const graph::Graph* g) : impl_(std::make_shared<Impl>()) { impl_->graph = g; }

MaskId MaskProgram::everything(std::vector<Dim> e) { return {impl_->constant(true, e)}; }
MaskId MaskProgram::nothing(std::vector<Dim> e) { return {impl_->constant(false, e)}; }
MaskId MaskProgram::leaf(ValueId v, Predicate p) { return {impl_->leaf(v, p)}; }
MaskId MaskProgram::and_(MaskId a, MaskId b) { return {impl_->combine(true, {a.id, b.id})}; }
MaskId MaskProgram::or_(MaskId a, MaskId b) { return {impl_->combine(false, {a.id, b.id})}; }
MaskId MaskProgram::not_(MaskId a) { return {impl_->negate(a.id)}; }
MaskId MaskProgram::any(MaskId a, const std::vector<int>& axes) { return {impl_->any(a.id, axes)}; }
MaskId MaskProgram::all(MaskId a, const std::vector<int>& axes) { return not_(any(not_(a), axes)); }
MaskId MaskProgram::permute(MaskId a, const std::vector<int>& order, std::vector<Dim> e) {
  PIT_CHECK(order.size() == e.size(), "permute: {} axes, {} extents", order.size(), e.size());
  return {impl_->permute(a.id, order, e)};
}
MaskId MaskProgram::merge(MaskId a, int first, int count, Dim extent) {
  return {impl_->merge(a.id, first, count, extent)};
}
MaskId MaskProgram::split(MaskId a, int axis, std::vector<Dim> e) { return {impl_->split(a.id, axis, e)}; }
MaskId MaskProgram::window(MaskId a, int axis, Position start, std::int64_t step, Dim count) {
  return {impl_->window(a.id, axis, start, step, count)};
}
MaskId MaskProgram::place(MaskId a, int axis, Position start, std::int64_t step, Dim extent, bool upper) {
  return {impl_->place(a.id, axis, start, step, extent, upper)};
}
MaskId MaskProgram::take(MaskId a, const Lookup& index, std::vector<Dim> e) { return {impl_->take(a.id, index, e)}; }
MaskId MaskProgram::put(MaskId a, const Lookup& index, const std::vector<int>& reduced, Dim table_extent) {
  return {impl_->put(a.id, index, reduced, table_extent)};
}
MaskId MaskProgram::fit(MaskId a, int axis, Dim extent) { return {impl_->fit(a.id, axis, extent)}; }

bool MaskProgram::is_everything(MaskId m) const { return impl_->is_constant(m.id, true); }
bool MaskProgram::is_nothing(MaskId m) const { return impl_->is_constant(m.id, false); }
bool MaskProgram::is_uniform(MaskId m, int axis) const { return impl_->uniform(m.id, axis); }
const std::vector<AxisForm>& MaskProgram::forms(MaskId m) const { return impl_->node(m.id).forms; }
std::vector<Dim> MaskProgram::extents(MaskId m) const { return impl_->extents(m.id); }
int MaskProgram::size() const { return static_cast<int>(impl_->nodes.size()); }

}  // namespace pit::sparsity
