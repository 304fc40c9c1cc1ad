// Operators that only move elements: index maps.
#include <algorithm>
#include <fmt/ranges.h>
#include <numeric>

#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

constexpr std::int64_t kFar = std::int64_t{1} << 45;  // beyond every extent; sums and products with extents fit an i64

std::vector<ValueId> transpose(OpBuilder& b) {
  const ValueId x = b.in(0);
  const int rank = b.rank(x);
  std::vector<std::int64_t> perm = b.ints_attr("perm");
  if (!b.has_attr("perm")) {
    for (int i = rank; i-- > 0;) perm.push_back(i);
  }
  std::vector<std::int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < static_cast<int>(sorted.size()); ++i) {
    if (sorted[static_cast<std::size_t>(i)] != i || static_cast<int>(sorted.size()) != rank)
      b.fail(fmt::format("perm [{}] is no permutation of {} dimensions", fmt::join(perm, ", "), rank), x);
  }
  if (std::is_sorted(perm.begin(), perm.end())) return {x};
  std::vector<Dim> out;
  std::string list;
  for (const std::int64_t p : perm) {
    out.push_back(b.dims(x)[static_cast<std::size_t>(p)]);
    list += fmt::format("{}i{}", list.empty() ? "" : ",", p);
  }
  Instance n(b, b.text);
  return n.pack("p", list).pack("i", axis_list("i", rank)).input("X", x).output("Y", b.dtype(x), out).build();
}

std::vector<ValueId> reshape(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::optional<Known> target = b.known(b.in(1));
  if (!target) return b.opaque("reshape", {x, b.in(1)}, {{b.dtype(x), unknown_dims(b, b.in(1))}});
  const bool allow_zero = b.int_attr("allowzero", 0) != 0;
  DimTable& t = b.table();
  std::vector<Dim> out;
  int inferred = -1;
  for (std::size_t i = 0; i < target->e.size(); ++i) {
    Dim d = target->e[i];
    if (t.is_constant(d, -1)) {
      if (inferred >= 0) b.fail("the target shape has -1 twice", b.in(1));
      inferred = static_cast<int>(i);
    } else if (t.is_constant(d, 0) && !allow_zero) {
      if (i >= b.dims(x).size())
        b.fail(fmt::format("dimension {} of the target shape is 0, but the operand has no such dimension", i), x);
      d = b.dims(x)[i];
    } else if (const auto v = t.constant_value(d); v && *v < 0) {
      b.fail(fmt::format("the target shape has the extent {}", *v), b.in(1));
    }
    out.push_back(inferred == static_cast<int>(i) ? b.dim(1) : d);
  }
  if (inferred >= 0) {
    const Dim rest = b.product(out);
    if (t.is_constant(rest, 0)) b.fail("the target shape has -1 beside an extent of 0", b.in(1));
    out[static_cast<std::size_t>(inferred)] = t.div(b.product(b.dims(x)), rest);
  }
  return reshape_to(b, x, out);
}

std::vector<ValueId> flatten(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<Dim>& d = b.dims(x);
  const int rank = b.rank(x);
  std::int64_t axis = b.int_attr("axis", 1);
  if (axis != rank) axis = rank == 0 && axis == 0 ? 0 : b.normal_axis(axis, rank);
  const auto cut = static_cast<std::size_t>(axis);
  return reshape_to(b, x, {b.product(std::span(d).first(cut)), b.product(std::span(d).subspan(cut))});
}

std::vector<ValueId> squeeze(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<int> axes = b.axes("axes", 1, b.rank(x));
  const bool all = axes.empty();
  std::vector<Dim> out;
  for (int i = 0; i < b.rank(x); ++i) {
    const Dim d = b.dims(x)[static_cast<std::size_t>(i)];
    const bool named = std::find(axes.begin(), axes.end(), i) != axes.end();
    const auto v = b.table().constant_value(d);
    if (named && v && *v != 1) b.fail(fmt::format("dimension {} has the extent {}, not 1", i, *v), x);
    if (all && !v)
      b.unsupported(
          fmt::format("whether dimension {} has the extent 1 is not known when the model is compiled; name the axes",
                      i),
          x);
    if (named || (all && v == 1)) continue;
    out.push_back(d);
  }
  return reshape_to(b, x, out);
}

std::vector<ValueId> unsqueeze(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<std::int64_t> list = b.has_attr("axes") ? b.ints_attr("axes") : b.need_constants(1, "axes");
  const int rank = b.rank(x) + static_cast<int>(list.size());
  std::vector<bool> inserted(static_cast<std::size_t>(rank), false);
  for (const std::int64_t a : list) inserted[static_cast<std::size_t>(b.normal_axis(a, rank))] = true;
  if (std::count(inserted.begin(), inserted.end(), true) != static_cast<std::ptrdiff_t>(list.size()))
    b.fail("'axes' names an axis twice");
  std::vector<Dim> out;
  std::size_t next = 0;
  for (const bool one : inserted) out.push_back(one ? b.dim(1) : b.dims(x)[next++]);
  return reshape_to(b, x, out);
}

std::vector<ValueId> expand(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::optional<Known> target = b.known(b.in(1));
  if (!target) {  // a shorter shape leaves the operand's leading dimensions as they are
    std::vector<Dim> dims = unknown_dims(b, b.in(1));
    const std::vector<Dim>& own = b.dims(x);
    if (dims.size() < own.size())
      dims.insert(dims.begin(), own.begin(), own.end() - static_cast<std::ptrdiff_t>(dims.size()));
    return b.opaque("expand", {x, b.in(1)}, {{b.dtype(x), dims}});
  }
  const std::vector<Dim> out = b.broadcast({b.dims(x), target->e});
  if (out == b.dims(x)) return {x};
  Instance n(b, b.text);
  n.pack("i", axis_list("i", static_cast<int>(out.size())));
  std::vector<int> maybe;
  n.pack("X.i", stretched(b, b.dims(x), out, "i", &maybe)).input("X", x).output("Y", b.dtype(x), out);
  for (const int d : maybe) n.maybe("X", d);
  return n.build();
}

std::vector<ValueId> concat(OpBuilder& b) {
  const int rank = b.rank(b.in(0)), axis = b.normal_axis(b.int_attr("axis", 0), rank);
  const auto at = static_cast<std::size_t>(axis);
  std::vector<ValueId> parts;
  for (int i = 0; i < b.input_count(); ++i) {
    const ValueId v = b.in(i);
    if (b.rank(v) != rank && !(b.rank(v) == 1 && b.table().is_constant(b.dims(v)[0], 0)))
      b.fail(fmt::format("operands have ranks {} and {}", rank, b.rank(v)), v);
    if (b.rank(v) == rank && !b.table().is_constant(b.dims(v)[at], 0)) parts.push_back(v);
  }
  if (parts.empty()) return {b.in(0)};
  if (parts.size() == 1) return {parts[0]};
  std::vector<Dim> out = b.dims(parts[0]);
  for (std::size_t p = 1; p < parts.size(); ++p) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      const Dim d = b.dims(parts[p])[i];
      if (i != at && !b.table().constant_value(out[i]) && b.table().constant_value(d)) out[i] = d;
    }
  }
  Dim offset = b.dim(0);
  std::string text;
  Instance n(b, "");
  for (std::size_t p = 0; p < parts.size(); ++p) {
    text += fmt::format("{}Y[o...,c{}+$o{},p...] = X{}[o...,c{},p...]", p == 0 ? "" : "; ", p, p, p, p);
    n.input(fmt::format("X{}", p), parts[p]).param(fmt::format("o{}", p), offset);
    offset = b.table().add(offset, b.dims(parts[p])[at]);
  }
  out[at] = offset;
  n.set_text(text).pack("o", axis_list("i", axis)).pack("p", axis_list("i", rank - axis - 1, axis + 1));
  return n.output("Y", b.dtype(parts[0]), out).build();
}

// X[.., start + step*i, ..]: `count` elements of one axis per entry.
struct Cut {
  int axis;
  Dim start, step, count;
};

std::vector<ValueId> cut(OpBuilder& b, ValueId x, const std::vector<Cut>& cuts, int position) {
  std::vector<Dim> out = b.dims(x);
  std::vector<std::string> index;
  for (int i = 0; i < b.rank(x); ++i) index.push_back(fmt::format("i{}", i));
  Instance n(b, "Y[i...] = X[x...]");
  bool trivial = true;
  for (const Cut& c : cuts) {
    const auto a = static_cast<std::size_t>(c.axis);
    const bool unit = b.table().is_constant(c.step, 1);
    if (unit && b.table().is_constant(c.start, 0) && c.count == out[a]) continue;  // the whole axis
    trivial = false;
    out[a] = c.count;
    if (b.table().is_constant(c.count, 1) && b.table().constant_value(c.start)) {  // one known position
      index[a] = fmt::format("{}", *b.table().constant_value(c.start));
      continue;
    }
    index[a] = unit ? fmt::format("i{0}+$start{0}", c.axis) : fmt::format("i{0}*$step{0}+$start{0}", c.axis);
    n.param(fmt::format("start{}", c.axis), c.start);
    if (!unit) n.param(fmt::format("step{}", c.axis), c.step);
  }
  if (trivial) return {x};
  n.pack("x", fmt::format("{}", fmt::join(index, ",")));
  // An axis cut down to one known position has the index 0 in the result.
  for (std::size_t a = 0; a < index.size(); ++a) index[a] = index[a][0] == 'i' ? fmt::format("i{}", a) : "0";
  n.pack("i", fmt::format("{}", fmt::join(index, ",")));
  return n.input("X", x).output("Y", b.dtype(x), out, position).build();
}

// What lies beyond an end counts as that end. Going backwards, the end before the first element is -1, but a start
// there is the first element (the standard clamps starts to [0, size - 1]; Python's slices have none then).
Cut slice_cut(OpBuilder& b, int axis, Dim size, Dim start, Dim end, std::int64_t step) {
  DimTable& t = b.table();
  const Dim zero = b.dim(0), lowest = b.dim(step > 0 ? 0 : -1), highest = step > 0 ? size : t.sub(size, b.dim(1));
  const auto within = [&](Dim d, Dim least) {
    const auto v = t.constant_value(d);
    if (v && *v >= kFar) return highest;
    if (v && *v <= -kFar) return least;
    if (v ? *v < 0 : !t.at_least(d, 0)) d = v ? t.add(d, size) : t.select_lt(d, zero, t.add(d, size), d);
    return t.max(t.min(d, highest), least);
  };
  start = within(start, step > 0 ? zero : t.min(zero, highest));
  end = within(end, lowest);
  step = std::clamp(step, -kFar, kFar);
  const Dim length = step > 0 ? t.sub(end, start) : t.sub(start, end);
  return {axis, start, b.dim(step), t.max(t.ceildiv(length, b.dim(std::abs(step))), zero)};
}

std::vector<std::int64_t> distinct_axes(OpBuilder& b, std::vector<std::int64_t> axes) {
  std::vector<bool> seen(static_cast<std::size_t>(b.rank(b.in(0))), false);
  for (std::int64_t& a : axes) {
    a = b.normal_axis(a, b.rank(b.in(0)));
    if (seen[static_cast<std::size_t>(a)]) b.fail(fmt::format("axis {} is named twice", a));
    seen[static_cast<std::size_t>(a)] = true;
  }
  return axes;
}

std::vector<ValueId> slice(OpBuilder& b) {
  const ValueId x = b.in(0);
  std::vector<Dim> starts, ends;
  std::vector<std::int64_t> axes, steps;
  const auto as_dims = [&](const std::vector<std::int64_t>& v) {
    std::vector<Dim> d;
    for (const std::int64_t e : v) d.push_back(b.dim(e));
    return d;
  };
  if (b.call.opset < 10) {
    starts = as_dims(b.ints_attr("starts"));
    ends = as_dims(b.ints_attr("ends"));
    axes = b.ints_attr("axes");
  } else {
    const auto s = b.known(b.in(1)), e = b.known(b.in(2));
    if (b.has(3)) axes = b.need_constants(3, "axes");
    if (b.has(4)) steps = b.need_constants(4, "steps");
    if (!s || !e) {
      std::vector<Dim> out = b.dims(x);
      const bool all = axes.empty();
      if (std::find(steps.begin(), steps.end(), 0) != steps.end()) b.fail("a step is 0", b.in(4));
      if (all) {
        axes.resize(static_cast<std::size_t>(b.rank(x)));
        std::iota(axes.begin(), axes.end(), 0);
      }
      axes = distinct_axes(b, axes);
      for (const std::int64_t a : axes) {
        out[static_cast<std::size_t>(a)] = b.table().fresh(fmt::format("{}.{}", b.output_name(0), a));
      }
      return b.opaque("slice", {x, b.in(1), b.in(2)}, {{b.dtype(x), out}},
                      {{"axes", axes}, {"axes_left_out", {all ? 1 : 0}}, {"steps", steps}});
    }
    starts = s->e;
    ends = e->e;
  }
  if (axes.empty()) {
    for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  if (steps.empty()) steps.assign(axes.size(), 1);
  if (starts.size() != axes.size() || ends.size() != axes.size() || steps.size() != axes.size())
    b.fail("starts, ends, axes and steps have different lengths");
  std::vector<Cut> cuts;
  axes = distinct_axes(b, axes);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (steps[i] == 0) b.fail("a step is 0");
    const int axis = static_cast<int>(axes[i]);
    cuts.push_back(slice_cut(b, axis, b.dims(x)[static_cast<std::size_t>(axis)], starts[i], ends[i], steps[i]));
  }
  return cut(b, x, cuts, 0);
}

std::vector<ValueId> split(OpBuilder& b) {
  const ValueId x = b.in(0);
  const int axis = b.normal_axis(b.int_attr("axis", 0), b.rank(x));
  const Dim size = b.dims(x)[static_cast<std::size_t>(axis)];
  DimTable& t = b.table();
  std::vector<Dim> parts;
  const auto n = static_cast<std::size_t>(b.output_count());
  if (b.has(1)) {
    const auto k = b.known(b.in(1));
    if (!k) b.unsupported("the sizes must be known when the model is compiled", b.in(1));
    parts = k->e;
  } else if (b.has_attr("split")) {
    for (const std::int64_t p : b.ints_attr("split")) parts.push_back(b.dim(p));
  } else {
    // Equal parts; from opset 18 the last one may be smaller.
    const auto count = b.int_attr("num_outputs", static_cast<std::int64_t>(n));
    if (count <= 0) b.fail("there must be at least one part");
    if (count != static_cast<std::int64_t>(n))
      b.fail(fmt::format("attribute 'num_outputs' is {}, but there are {} outputs", count, n));
    const Dim chunk = t.ceildiv(size, b.dim(count));
    if (b.call.opset < 18) b.require_equal(t.mul(chunk, b.dim(count)), size, x);
    for (std::int64_t i = 0; i + 1 < count; ++i) parts.push_back(chunk);
    parts.push_back(t.sub(size, t.mul(chunk, b.dim(count - 1))));
  }
  if (parts.size() != n) b.fail(fmt::format("{} outputs, but {} sizes", n, parts.size()));
  b.require_equal(std::accumulate(parts.begin(), parts.end(), b.dim(0), [&](Dim p, Dim q) { return t.add(p, q); }),
                  size, x);
  std::vector<ValueId> r;
  Dim start = b.dim(0);
  for (std::size_t i = 0; i < n; ++i) {
    const int position = static_cast<int>(i);
    r.push_back(b.wants(position) ? cut(b, x, {{axis, start, b.dim(1), parts[i]}}, position)[0] : -1);
    start = t.add(start, parts[i]);
  }
  return r;
}

std::vector<ValueId> tile(OpBuilder& b) {
  const ValueId x = b.in(0);
  const auto k = b.known(b.in(1));
  if (!k || static_cast<int>(k->e.size()) != b.rank(x))
    b.unsupported("the repeats must be known when the model is compiled, one per dimension", b.in(1));
  std::vector<Dim> out;
  std::string written, read;
  Instance n(b, b.text);
  for (int i = 0; i < b.rank(x); ++i) {
    const auto u = static_cast<std::size_t>(i);
    const Dim d = b.dims(x)[u];
    out.push_back(b.table().mul(d, k->e[u]));
    const char* comma = i > 0 ? "," : "";
    if (out[u] == d) {
      written += fmt::format("{}i{}", comma, i);
      read += fmt::format("{}i{}", comma, i);
    } else if (b.table().is_constant(d, 1)) {
      written += fmt::format("{}r{}", comma, i);
      read += fmt::format("{}0", comma);
    } else {  // copies one after the other: the copy's number, then the position in it
      written += fmt::format("{0}r{1}:i{1}", comma, i);
      read += fmt::format("{}i{}", comma, i);
      n.extent(fmt::format("r{}", i), k->e[u]);
    }
  }
  if (out == b.dims(x)) return {x};
  return n.pack("Y.i", written).pack("X.i", read).input("X", x).output("Y", b.dtype(x), out).build();
}

// A place outside of axis `i`, at `at` of it, as one inside: mirrored at its ends, the nearest, or from the other end.
std::string folded(OpBuilder& b, Instance& n, const std::string& mode, const std::string& at, int i, Dim before,
                   Dim after) {
  DimTable& t = b.table();
  const Dim size = b.dims(b.in(0))[static_cast<std::size_t>(i)], last = t.sub(size, b.dim(1));
  b.require_equal(t.max(size, b.dim(1)), size, b.in(0));  // nothing has no inside
  n.param(fmt::format("e{}", i), last);
  if (mode == "edge") return fmt::format("min(max({},0),$e{})", at, i);
  if (mode == "wrap") {
    n.param(fmt::format("q{}", i), size);
    return fmt::format("({})%$q{}", at, i);
  }
  const auto within = [&](Dim amount) {
    const auto v = t.constant_value(amount), most = t.constant_value(last);
    return v && most && *v >= 0 && *v <= *most;
  };
  n.param(fmt::format("q{}", i), t.max(t.mul(last, b.dim(2)), b.dim(1)));
  const std::string once = within(before) && within(after)
                               ? fmt::format("max({0},0-({0}))", at)  // mirrored once: no division
                               : fmt::format("({})%$q{}", at, i);
  return fmt::format("min({0},$q{1}-{0})", once, i);
}

std::vector<ValueId> pad(OpBuilder& b) {
  const ValueId x = b.in(0);
  const int rank = b.rank(x);
  std::vector<Dim> amounts;
  if (b.call.opset < 11) {
    for (const std::int64_t p : b.ints_attr("pads")) amounts.push_back(b.dim(p));
  } else {
    const auto k = b.known(b.in(1));
    if (!k) b.unsupported("the amounts must be known when the model is compiled", b.in(1));
    amounts = k->e;
  }
  std::vector<int> axes;
  if (b.has(3)) {
    for (const std::int64_t a : distinct_axes(b, b.need_constants(3, "axes"))) axes.push_back(static_cast<int>(a));
  } else {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  if (amounts.size() != 2 * axes.size())
    b.fail(fmt::format("{} amounts for {} axes; there must be two per axis", amounts.size(), axes.size()));
  const std::string mode = b.string_attr("mode", "constant");
  ValueId value = b.optional_in(2);  // of no meaning in other modes
  DimTable& t = b.table();
  std::vector<Dim> out = b.dims(x), before(static_cast<std::size_t>(rank), b.dim(0)), after = before;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto a = static_cast<std::size_t>(axes[i]);
    before[a] = amounts[i];
    after[a] = amounts[i + axes.size()];
    out[a] = t.add(out[a], t.add(before[a], after[a]));
  }
  if (out == b.dims(x) && std::all_of(before.begin(), before.end(), [&](Dim d) { return t.is_constant(d, 0); }))
    return {x};
  Instance n(b, mode == "constant" ? b.text : "Y[i...] = X[i...]");
  std::string list;
  for (int i = 0; i < rank; ++i) {
    const auto a = static_cast<std::size_t>(i);
    const bool moved = out[a] != b.dims(x)[a] || !t.is_constant(before[a], 0);
    const std::string at = moved ? fmt::format("i{0}-$p{0}", i) : fmt::format("i{}", i);
    if (moved) n.param(fmt::format("p{}", i), before[a]);
    list += (i == 0 ? "" : ",") + (moved && mode != "constant" ? folded(b, n, mode, at, i, before[a], after[a]) : at);
  }
  n.pack("i", axis_list("i", rank)).pack("X.i", list).input("X", x);
  if (mode != "constant") return n.output("Y", b.dtype(x), out).build();
  if (value < 0) value = b.float_constant(b.float_attr("value", 0), b.dtype(x));
  if (b.rank(value) != 0) value = reshape_to(b, value, {})[0];
  return n.operand("V", value).output("Y", b.dtype(x), out).build();
}

// Whether blocks are in the order depth, column, row (or column, row, depth).
bool depth_first(OpBuilder& b) { return b.string_attr("mode", "DCR") == "DCR"; }

std::vector<ValueId> depth_to_space(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<Dim> d = b.dims(x);
  DimTable& t = b.table();
  const Dim s = b.dim(b.int_attr("blocksize", 1)), s2 = t.mul(s, s);
  // blocks that do not tile the operand would leave elements out
  b.require_equal(t.mul(t.floordiv(d[1], s2), s2), d[1], x);
  Instance n(b, alternative(b.text, depth_first(b) ? 0 : 1));
  n.input("X", x).extent("p", s).extent("q", s).extent("c", t.floordiv(d[1], s2)).extent("h", d[2]).extent("w", d[3]);
  return n.output("Y", b.dtype(x), {d[0], t.floordiv(d[1], s2), t.mul(d[2], s), t.mul(d[3], s)}).build();
}

std::vector<ValueId> space_to_depth(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<Dim> d = b.dims(x);
  DimTable& t = b.table();
  const Dim s = b.dim(b.int_attr("blocksize", 1)), h = t.floordiv(d[2], s), w = t.floordiv(d[3], s);
  b.require_equal(t.mul(h, s), d[2], x);
  b.require_equal(t.mul(w, s), d[3], x);
  Instance n(b, alternative(b.text, depth_first(b) ? 0 : 1));
  n.input("X", x).extent("p", s).extent("q", s).extent("c", d[1]).extent("h", h).extent("w", w);
  return n.output("Y", b.dtype(x), {d[0], t.mul(d[1], t.mul(s, s)), h, w}).build();
}

std::vector<ValueId> trilu(OpBuilder& b) {
  const ValueId x = b.in(0);
  Dim k = b.dim(0);
  if (b.has(1)) {
    const auto e = b.known(b.in(1));
    if (!e || e->e.size() != 1) b.unsupported("the diagonal must be known when the model is compiled", b.in(1));
    k = e->e[0];
  }
  Instance n(b, alternative(b.text, b.int_attr("upper", 1) != 0 ? 0 : 1));
  n.pack("o", axis_list("b", b.rank(x) - 2)).input("X", x).param("k", k);
  n.literal("Z", b.dtype(x) == DType::b8 ? expr::bool_literal(false) : expr::int_literal(0));
  return n.output("Y", b.dtype(x), b.dims(x)).build();
}

constexpr const char* kSplitMerge = "Y[y...] = X[x...]";

constexpr Definition kTable[] = {
    {"Transpose", "Y[p...] = X[i...]", transpose, "Y[i1,i0] = X[i0,i1]"},
    {"Reshape", kSplitMerge, reshape, "Y[i0,i1,i2] = X[i0,i1:i2]"},
    {"Flatten", kSplitMerge, flatten, "Y[j0,j1:j2] = X[j0,j1,j2]"},
    {"Squeeze", kSplitMerge, squeeze, "Y[i0] = X[i0,0]"},
    {"Unsqueeze", kSplitMerge, unsqueeze, "Y[i0,0] = X[i0]"},
    {"Expand", "Y[i...] = X[i...]", expand, "Y[i0,i1] = X[i0,0]"},
    {"Concat", "Y[o...,c0+$o0,p...] = X0[o...,c0,p...]; Y[o...,c1+$o1,p...] = X1[o...,c1,p...]", concat},
    {"Slice", "Y[i...] = X[x...]", slice, "Y[i0,i1] = X[i0,i1*$step+$start]"},
    {"Split", "Y[i...] = X[x...]", split, "Y[i0,i1] = X[i0,i1+$start]"},
    {"Tile", "Y[i...] = X[i...]", tile, "Y[i0,r1:i1] = X[i0,i1]"},
    {"Pad", "Y[i...] = X[i... | V[]]", pad, "Y[i0,i1] = X[i0,i1-$p | 0]"},
    {"DepthToSpace", "Y[n,c,h:p,w:q] = X[n,p:q:c,h,w]\n---\nY[n,c,h:p,w:q] = X[n,c:p:q,h,w]", depth_to_space,
     "Y[n,c,h:p,w:q] = X[n,p:q:c,h,w]"},
    {"SpaceToDepth", "Y[n,p:q:c,h,w] = X[n,c,h:p,w:q]\n---\nY[n,c:p:q,h,w] = X[n,c,h:p,w:q]", space_to_depth},
    {"Trilu",
     "Y[o...,i,j] = select(j - i >= $k, X[o...,i,j], Z[])\n---\nY[o...,i,j] = select(j - i <= $k, X[o...,i,j], Z[])",
     trilu, "Y[i,j] = select(j - i >= $k, X[i,j], 0)"},
};

}  // namespace

std::span<const Definition> layout_definitions() { return kTable; }

}  // namespace pit::graph
