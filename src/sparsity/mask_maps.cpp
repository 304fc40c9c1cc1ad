// Index maps on masks: merge, split, window, place, take, put, fit. They are pushed down to the atoms; inverse pairs
// cancel.
#include <algorithm>

#include "sparsity/mask_impl.h"
#include "support/check.h"

namespace pit::sparsity {

namespace {
constexpr std::int64_t kMaxStaticElements = 1 << 16;  ///< of an axis whose segments are rearranged position by position
constexpr std::size_t kMaxSegments = 64;

bool is_logical(MaskOp op) {
  return op == MaskOp::logical_and || op == MaskOp::logical_or || op == MaskOp::logical_not;
}
}  // namespace

template <class F>
int MaskProgram::Impl::map_logical(int m, F&& f) {
  const MaskNode& n = node(m);
  if (n.op == MaskOp::logical_not) return negate(f(n.args[0]));
  std::vector<int> args;
  for (int a : n.args) args.push_back(f(a));
  return combine(n.op == MaskOp::logical_and, std::move(args));
}

std::vector<Dim> MaskProgram::Impl::replaced_extents(int m, int axis, int count, const std::vector<Dim>& with) const {
  std::vector<Dim> e = extents(m);
  e.erase(e.begin() + axis, e.begin() + axis + count);
  e.insert(e.begin() + axis, with.begin(), with.end());
  return e;
}

int MaskProgram::Impl::merge(int m, int first, int count, Dim extent) {
  if (count == 1) {
    std::vector<int> order(static_cast<std::size_t>(rank(m)));
    for (int i = 0; i < rank(m); ++i) order[static_cast<std::size_t>(i)] = i;
    return permute(m, order, replaced_extents(m, first, 1, {extent}));
  }
  const MaskNode& n = node(m);
  const std::vector<Dim> out = replaced_extents(m, first, count, {extent});
  int dependent = 0, dependent_axis = -1;
  bool others_one = true;
  for (int a = first; a < first + count; ++a) {
    if (!uniform(m, a)) ++dependent, dependent_axis = a;
  }
  for (int a = first; a < first + count; ++a) {
    others_one =
        others_one && (a == dependent_axis || constant_extent(n.forms[static_cast<std::size_t>(a)].extent) == 1);
  }
  if (dependent == 0 || (dependent == 1 && others_one)) {
    std::vector<int> order;
    for (int a = 0; a < first; ++a) order.push_back(a);
    order.push_back(dependent_axis);
    for (int a = first + count; a < rank(m); ++a) order.push_back(a);
    return permute(m, order, out);
  }
  if (is_logical(n.op)) return map_logical(m, [&](int a) { return merge(a, first, count, extent); });
  if (n.op == MaskOp::segments) {
    if (auto r = merge_segments(m, first, count, extent)) return *r;
  }
  // merge(split(x)) = x
  const int atom = n.op == MaskOp::permute ? n.args[0] : m;
  if (node(atom).op == MaskOp::split && node(atom).count == count) {
    const int base = rank(atom) - count;
    bool inverse = true;
    for (int i = 0; i < count; ++i) {
      const int from = n.op == MaskOp::permute ? n.axes[static_cast<std::size_t>(first + i)] : first + i;
      const auto& f = node(atom).forms[static_cast<std::size_t>(base + i)];
      inverse = inverse && (from == base + i || (f.form == Form::uniform && from < 0)) &&
                f.extent == n.forms[static_cast<std::size_t>(first + i)].extent;
    }
    if (inverse) {
      std::vector<int> order;
      for (int a = 0; a < rank(m); ++a) {
        if (a == first) order.push_back(base);
        if (a >= first && a < first + count) continue;
        order.push_back(n.op == MaskOp::permute ? n.axes[static_cast<std::size_t>(a)] : a);
      }
      return permute(node(atom).args[0], order, out);
    }
  }
  std::vector<int> group;
  for (int a = first; a < first + count; ++a) group.push_back(a);
  std::vector<int> kept = compact_order({m}, group);
  MaskNode r;
  r.op = MaskOp::merge;
  r.count = count;
  r.args = {compact(m, kept)};
  kept.resize(kept.size() - static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < kept.size(); ++i) r.forms.push_back(node(r.args[0]).forms[i]);
  r.forms.push_back({Form::full, extent, {}});
  for (int& a : kept) a = a < first ? a : a - count + 1;
  kept.push_back(first);
  return expand(intern(std::move(r)), kept, out);
}

std::optional<int> MaskProgram::Impl::merge_segments(int m, int first, int count, Dim extent) {
  const MaskNode& n = node(m);
  auto merged_parts = [&] {
    std::vector<int> parts;
    for (int a : n.args) parts.push_back(merge(a, first, count, extent));
    return parts;
  };
  if (n.axis < first || n.axis >= first + count) {
    auto parts = merged_parts();
    return segments(n.axis < first ? n.axis : n.axis - count + 1, n.positions, std::move(parts));
  }
  std::int64_t inner = 1, outer = 1;
  for (int a = first; a < first + count; ++a) {
    if (a == n.axis) continue;
    if (!uniform(m, a)) return std::nullopt;
    const auto c = constant_extent(n.forms[static_cast<std::size_t>(a)].extent);
    if (!c) return std::nullopt;
    (a < n.axis ? outer : inner) *= *c;
  }
  std::vector<Position> boundaries;
  std::vector<int> parts = merged_parts();
  if (outer == 1) {
    for (const Position& p : n.positions) boundaries.push_back({p.dim, p.scale * inner, p.offset * inner});
    return segments(first, std::move(boundaries), std::move(parts));
  }
  const auto period = constant_extent(n.forms[static_cast<std::size_t>(n.axis)].extent);
  if (!period || static_cast<std::size_t>(outer) * parts.size() > kMaxSegments) return std::nullopt;
  std::vector<int> repeated;
  for (std::int64_t o = 0; o < outer; ++o) {
    if (o > 0) boundaries.push_back(Position::at(o * *period * inner));
    for (const Position& p : n.positions) {
      if (!p.is_constant()) return std::nullopt;
      boundaries.push_back(Position::at((o * *period + p.offset) * inner));
    }
    repeated.insert(repeated.end(), parts.begin(), parts.end());
  }
  return segments(first, std::move(boundaries), std::move(repeated));
}

int MaskProgram::Impl::split(int m, int axis, const std::vector<Dim>& e) {
  const MaskNode& n = node(m);
  const int count = static_cast<int>(e.size());
  const std::vector<Dim> out = replaced_extents(m, axis, 1, e);
  int wide = 0, wide_at = -1;
  for (int i = 0; i < count; ++i) {
    if (constant_extent(e[static_cast<std::size_t>(i)]) != 1) ++wide, wide_at = i;
  }
  if (uniform(m, axis) || wide <= 1) {
    std::vector<int> order;
    for (int a = 0; a < axis; ++a) order.push_back(a);
    for (int i = 0; i < count; ++i) order.push_back(!uniform(m, axis) && i == wide_at ? axis : -1);
    for (int a = axis + 1; a < rank(m); ++a) order.push_back(a);
    return permute(m, order, out);
  }
  if (is_logical(n.op)) return map_logical(m, [&](int a) { return split(a, axis, e); });
  if (n.op == MaskOp::segments) {
    if (auto r = split_segments(m, axis, e)) return *r;
  }
  // split(merge(x)) = x
  const int atom = n.op == MaskOp::permute ? n.args[0] : m;
  if (node(atom).op == MaskOp::merge && node(atom).count == count) {
    const int base = rank(atom) - 1, source = node(atom).args[0];
    const int from = n.op == MaskOp::permute ? n.axes[static_cast<std::size_t>(axis)] : axis;
    bool inverse = from == base;
    for (int i = 0; i < count; ++i) {
      inverse =
          inverse && node(source).forms[static_cast<std::size_t>(base + i)].extent == e[static_cast<std::size_t>(i)];
    }
    if (inverse) {
      std::vector<int> order;
      for (int a = 0; a < rank(m); ++a) {
        if (a == axis) {
          for (int i = 0; i < count; ++i) order.push_back(base + i);
        } else {
          order.push_back(n.op == MaskOp::permute ? n.axes[static_cast<std::size_t>(a)] : a);
        }
      }
      return permute(source, order, out);
    }
  }
  std::vector<int> kept = compact_order({m}, {axis});
  MaskNode r;
  r.op = MaskOp::split;
  r.count = count;
  r.args = {compact(m, kept)};
  kept.pop_back();
  for (std::size_t i = 0; i < kept.size(); ++i) r.forms.push_back(node(r.args[0]).forms[i]);
  for (Dim d : e) r.forms.push_back({constant_extent(d) == 1 ? Form::uniform : Form::full, d, {}});
  for (int& a : kept) a = a < axis ? a : a + count - 1;
  for (int i = 0; i < count; ++i) kept.push_back(axis + i);
  return expand(intern(std::move(r)), kept, out);
}

std::optional<int> MaskProgram::Impl::split_segments(int m, int axis, const std::vector<Dim>& e) {
  const MaskNode& n = node(m);
  auto split_part = [&](int part) { return split(part, axis, e); };
  if (n.axis != axis) {
    std::vector<int> parts;
    for (int a : n.args) parts.push_back(split_part(a));
    const int moved = n.axis < axis ? n.axis : n.axis + static_cast<int>(e.size()) - 1;
    return segments(moved, n.positions, std::move(parts));
  }
  std::vector<std::int64_t> sizes;
  std::int64_t inner = 1;
  bool inner_known = true, all_known = true;
  for (std::size_t i = 0; i < e.size(); ++i) {
    const auto c = constant_extent(e[i]);
    all_known = all_known && c;
    if (i > 0) inner_known = inner_known && c, inner *= c.value_or(1);
    sizes.push_back(c.value_or(0));
  }
  if (!inner_known || inner == 0) return std::nullopt;
  std::vector<Position> boundaries;
  bool divisible = true;
  for (const Position& p : n.positions) {
    divisible = divisible && p.scale % inner == 0 && p.offset % inner == 0;
    boundaries.push_back({p.dim, p.scale / inner, p.offset / inner});
  }
  if (divisible) {
    std::vector<int> parts;
    for (int a : n.args) parts.push_back(split_part(a));
    return segments(axis, std::move(boundaries), std::move(parts));
  }
  // All static: perhaps the pattern is periodic and depends on one of the new axes only.
  if (!all_known || sizes[0] * inner > kMaxStaticElements) return std::nullopt;
  std::vector<std::size_t> segment_of(static_cast<std::size_t>(sizes[0] * inner));
  std::size_t segment = 0;
  for (std::size_t i = 0; i < segment_of.size(); ++i) {
    while (segment < n.positions.size() && n.positions[segment].is_constant() &&
           n.positions[segment].offset <= static_cast<std::int64_t>(i))
      ++segment;
    segment_of[i] = segment;
  }
  for (const Position& p : n.positions)
    if (!p.is_constant()) return std::nullopt;
  std::int64_t stride = static_cast<std::int64_t>(segment_of.size());
  for (std::size_t c = 0; c < e.size(); ++c) {
    stride /= sizes[c];
    std::vector<int> part(static_cast<std::size_t>(sizes[c]), -1);
    bool only = true;
    for (std::size_t i = 0; i < segment_of.size() && only; ++i) {
      int& p = part[i / static_cast<std::size_t>(stride) % static_cast<std::size_t>(sizes[c])];
      if (p < 0) p = n.args[segment_of[i]];
      only = p == n.args[segment_of[i]];
    }
    if (!only) continue;
    std::vector<Position> at;
    std::vector<int> parts{split_part(part[0])};
    for (std::size_t i = 1; i < part.size(); ++i) {
      if (part[i] == part[i - 1]) continue;
      at.push_back(Position::at(static_cast<std::int64_t>(i)));
      parts.push_back(split_part(part[i]));
    }
    if (parts.size() > kMaxSegments) return std::nullopt;
    return segments(axis + static_cast<int>(c), std::move(at), std::move(parts));
  }
  return std::nullopt;
}

int MaskProgram::Impl::window(int m, int axis, Position start, std::int64_t step, Dim count) {
  const MaskNode& n = node(m);
  const std::vector<Dim> out = replaced_extents(m, axis, 1, {count});
  const Dim extent = n.forms[static_cast<std::size_t>(axis)].extent;
  std::vector<int> same(static_cast<std::size_t>(rank(m)));
  for (int i = 0; i < rank(m); ++i) same[static_cast<std::size_t>(i)] = i;
  if (uniform(m, axis)) return permute(m, same, out);
  if (start == Position::at(0) && step == 1 && count == extent) return m;
  if (is_logical(n.op) && n.op != MaskOp::logical_not) {
    return map_logical(m, [&](int a) { return window(a, axis, start, step, count); });
  }
  if (n.op == MaskOp::segments && n.axis != axis) {
    std::vector<int> parts;
    for (int a : n.args) parts.push_back(window(a, axis, start, step, count));
    return segments(n.axis, n.positions, std::move(parts));
  }
  if (n.op == MaskOp::segments && step == 1 && start.is_constant() && start.offset >= 0) {
    const auto limit = constant_extent(count);
    std::vector<Position> boundaries;
    std::vector<int> parts;
    bool good = true;
    for (std::size_t i = 0; i < n.args.size() && good; ++i) {
      if (i > 0) {
        Position c = n.positions[i - 1];
        c.offset -= start.offset;
        if (c.is_constant() && c.offset <= 0) {
          parts.clear();
        } else if (c.is_constant() && limit && c.offset >= *limit) {
          break;
        } else {
          good = c.is_constant() || start.offset == 0;  // otherwise the cut may lie before the window
          boundaries.push_back(c);
        }
      }
      parts.push_back(permute(n.args[i], same, out));
    }
    if (good) return segments(axis, std::move(boundaries), std::move(parts));
  }
  std::vector<int> kept = compact_order({m}, {axis});
  MaskNode r;
  r.op = MaskOp::window;
  r.positions = {start};
  r.step = step;
  r.args = {compact(m, kept)};
  r.forms = node(r.args[0]).forms;
  r.forms.back() = {constant_extent(count) == 1 ? Form::uniform : Form::full, count, {}};
  return expand(intern(std::move(r)), kept, out);
}

int MaskProgram::Impl::place(int m, int axis, Position start, std::int64_t step, Dim extent, bool upper) {
  const MaskNode& n = node(m);
  const std::vector<Dim> out = replaced_extents(m, axis, 1, {extent});
  const Dim length = n.forms[static_cast<std::size_t>(axis)].extent;
  std::vector<int> same(static_cast<std::size_t>(rank(m)));
  for (int i = 0; i < rank(m); ++i) same[static_cast<std::size_t>(i)] = i;
  if (is_constant(m, false)) return constant(false, out);
  if (start == Position::at(0) && step == 1 && length == extent) return m;
  const bool single = constant_extent(length) == 1;
  const bool own_segments = n.op == MaskOp::segments && n.axis == axis;
  if ((uniform(m, axis) || own_segments) && (step == 1 || single)) {
    const int none = constant(false, out);
    std::vector<Position> boundaries;
    std::vector<int> parts;
    const bool at_zero = start == Position::at(0);
    bool ordered = start.is_constant() ? start.offset >= 0 : start.scale >= 0 && start.offset >= 0;
    if (!at_zero) parts.push_back(none), boundaries.push_back(start);
    if (own_segments) {
      ordered = ordered && start.is_constant();
      for (std::size_t i = 0; i < n.args.size(); ++i) {
        if (i > 0) {
          Position c = n.positions[i - 1];
          c.offset += start.offset;
          boundaries.push_back(c);
        }
        parts.push_back(permute(n.args[i], same, out));
      }
    } else {
      parts.push_back(permute(m, same, out));
    }
    if (!ends_at(start, length, extent)) {
      const auto len = constant_extent(length);
      Position end = start;
      if (len) {
        end.offset += *len;
      } else if (start.is_constant()) {
        end = {length, 1, start.offset};
      } else {
        ordered = false;
      }
      boundaries.push_back(end);
      parts.push_back(none);
    }
    if (ordered) return segments(axis, std::move(boundaries), std::move(parts));
  }
  if (uniform(m, axis) && step != 1 && !single) return upper ? permute(m, same, out) : constant(false, out);
  if (n.op == MaskOp::logical_or) {
    return map_logical(m, [&](int a) { return place(a, axis, start, step, extent, upper); });
  }
  std::vector<int> kept = compact_order({m}, {axis});
  MaskNode r;
  r.op = MaskOp::place;
  r.positions = {start};
  r.step = step;
  r.args = {compact(m, kept)};
  r.forms = node(r.args[0]).forms;
  r.forms.back() = {constant_extent(extent) == 1 ? Form::uniform : Form::full, extent, {}};
  return expand(intern(std::move(r)), kept, out);
}

int MaskProgram::Impl::take(int m, const Lookup& index, const std::vector<Dim>& e) {
  const int table = rank(m) - 1;
  PIT_CHECK(static_cast<int>(e.size()) == table, "take: rank {} from a mask of rank {}", e.size(), table + 1);
  if (uniform(m, table)) {
    std::vector<int> order;
    for (int a = 0; a < table; ++a) order.push_back(a);
    return permute(m, order, e);
  }
  std::vector<int> fixed = index.axes;
  fixed.push_back(table);
  if (const auto u = unmerge(m, fixed)) {
    Lookup finer = index;
    for (int& a : finer.axes) a = a > u->axis ? a + u->count - 1 : a;
    std::vector<Dim> finer_extents = extents(u->mask);
    finer_extents.pop_back();
    const int taken = take(u->mask, finer, finer_extents);
    const int merged = merge(taken, u->axis, u->count, e[static_cast<std::size_t>(u->axis)]);
    std::vector<int> same(e.size());
    for (std::size_t i = 0; i < e.size(); ++i) same[i] = static_cast<int>(i);
    return permute(merged, same, e);
  }
  std::vector<int> kept = compact_order({m}, {});
  std::erase(kept, table);
  for (int a : index.axes) {
    if (a >= 0 && std::find(kept.begin(), kept.end(), a) == kept.end()) kept.push_back(a);
  }
  MaskNode r;
  r.op = MaskOp::take;
  r.lookup = index;
  for (int& a : r.lookup.axes) {
    if (a >= 0) a = static_cast<int>(std::find(kept.begin(), kept.end(), a) - kept.begin());
  }
  std::vector<int> with_table = kept;
  with_table.push_back(table);
  r.args = {compact(m, with_table)};
  for (std::size_t i = 0; i < kept.size(); ++i) {
    AxisForm f = node(r.args[0]).forms[i];
    f.extent = e[static_cast<std::size_t>(kept[i])];
    const bool indexed =
        std::find(r.lookup.axes.begin(), r.lookup.axes.end(), static_cast<int>(i)) != r.lookup.axes.end();
    if (indexed) f.form = constant_extent(f.extent) == 1 ? Form::uniform : Form::full, f.boundaries.clear();
    r.forms.push_back(std::move(f));
  }
  return expand(intern(std::move(r)), kept, e);
}

int MaskProgram::Impl::put(int m, const Lookup& index, const std::vector<int>& reduced, Dim table_extent) {
  std::vector<Dim> out = extents(m);
  out.push_back(table_extent);
  if (is_constant(m, false)) return constant(false, out);
  std::vector<int> before;  // reduced axes that the index does not see
  for (int a : reduced) {
    if (std::find(index.axes.begin(), index.axes.end(), a) == index.axes.end()) before.push_back(a);
  }
  m = any(m, before);
  if (const auto u = unmerge(m, index.axes)) {
    auto moved = [&](int a) { return a > u->axis ? a + u->count - 1 : a; };
    Lookup finer = index;
    for (int& a : finer.axes) a = moved(a);
    std::vector<int> finer_reduced;
    for (int a : reduced) {
      for (int i = 0; a == u->axis && i < u->count; ++i) finer_reduced.push_back(a + i);
      if (a != u->axis) finer_reduced.push_back(moved(a));
    }
    return merge(put(u->mask, finer, finer_reduced, table_extent), u->axis, u->count,
                 out[static_cast<std::size_t>(u->axis)]);
  }
  std::vector<int> kept = compact_order({m}, {});
  for (int a : index.axes) {
    if (a >= 0 && std::find(kept.begin(), kept.end(), a) == kept.end()) kept.push_back(a);
  }
  MaskNode r;
  r.op = MaskOp::put;
  r.lookup = index;
  for (int& a : r.lookup.axes) {
    if (a >= 0) a = static_cast<int>(std::find(kept.begin(), kept.end(), a) - kept.begin());
  }
  r.args = {compact(m, kept)};
  for (std::size_t i = 0; i < kept.size(); ++i) {
    AxisForm f = node(r.args[0]).forms[i];
    const bool indexed =
        std::find(r.lookup.axes.begin(), r.lookup.axes.end(), static_cast<int>(i)) != r.lookup.axes.end();
    if (std::find(reduced.begin(), reduced.end(), kept[i]) != reduced.end()) {
      r.axes.push_back(static_cast<int>(i));
      f = {Form::uniform, f.extent, {}};
    } else if (indexed && constant_extent(f.extent) != 1) {
      f = {Form::full, f.extent, {}};
    }
    r.forms.push_back(std::move(f));
  }
  r.forms.push_back({constant_extent(table_extent) == 1 ? Form::uniform : Form::full, table_extent, {}});
  kept.push_back(static_cast<int>(out.size()) - 1);
  return expand(intern(std::move(r)), kept, out);
}

int MaskProgram::Impl::fit(int m, int axis, Dim extent) {
  const std::vector<Dim> out = replaced_extents(m, axis, 1, {extent});
  if (constant_extent(extent) == 1) m = any(m, {axis});
  if (uniform(m, axis) || extents(m)[static_cast<std::size_t>(axis)] == extent) {
    std::vector<int> order(static_cast<std::size_t>(rank(m)));
    for (int i = 0; i < rank(m); ++i) order[static_cast<std::size_t>(i)] = i;
    return permute(m, order, out);
  }
  if (node(m).op == MaskOp::logical_or) return map_logical(m, [&](int a) { return fit(a, axis, extent); });
  std::vector<int> kept = compact_order({m}, {axis});
  MaskNode r;
  r.op = MaskOp::fit;
  r.args = {compact(m, kept)};
  r.forms = node(r.args[0]).forms;
  r.forms.back() = {Form::full, extent, {}};
  return expand(intern(std::move(r)), kept, out);
}

}  // namespace pit::sparsity
