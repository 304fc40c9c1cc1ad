// Operators that read through computed indices (lookups), and selections along an axis.
#include <algorithm>
#include <fmt/ranges.h>

#include "graph/numeric.h"
#include "graph/opset/builder.h"
#include "support/check.h"

namespace pit::graph {
namespace {

std::vector<ValueId> gather(OpBuilder& b) {
  const ValueId x = b.in(0), indices = b.in(1);
  const int rank = b.rank(x), axis = b.normal_axis(b.int_attr("axis", 0), rank);
  const auto at = static_cast<std::size_t>(axis);
  const std::vector<Dim>&d = b.dims(x), &k = b.dims(indices);
  std::vector<Dim> out(d.begin(), d.begin() + axis);
  out.insert(out.end(), k.begin(), k.end());
  out.insert(out.end(), d.begin() + axis + 1, d.end());

  Instance n(b, b.text);
  n.pack("o", axis_list("i", axis)).pack("p", axis_list("i", rank - axis - 1, axis + 1));
  n.input("X", x).output("Y", b.dtype(x), out);
  const std::optional<Known> known = b.known(indices);
  if (known && known->e.size() == 1) {  // one position: a plain index, as a slice would have it
    Dim p = known->e[0];
    const auto v = b.table().constant_value(p), size = b.table().constant_value(d[at]);
    if (v && size && (*v < -*size || *v >= *size))
      b.fail(fmt::format("index {} is out of range for extent {}", *v, *size), indices);
    if (v && *v < 0) p = b.table().add(p, d[at]);
    const auto c = b.table().constant_value(p);
    std::string zeros;
    for (std::size_t i = 0; i < k.size(); ++i) zeros += i == 0 ? "0" : ",0";
    if (c || b.table().at_least(p, 0) || v) {
      b.require_below(p, d[at], x);
      n.set_text(fmt::format("Y[o...,k...,p...] = X[o...,{},p...]", c ? std::to_string(*c) : "$k"));
      if (!c) n.param("k", p);
      return n.pack("k", zeros).build();
    }
  }
  // Positions in an unbroken ascending row are a slice.
  if (const auto v = b.constants(indices); v && k.size() == 1 && v->size() > 1 && v->front() >= 0) {
    bool row = true;
    for (std::size_t i = 1; i < v->size(); ++i) row = row && (*v)[i] == (*v)[0] + static_cast<std::int64_t>(i);
    if (row) {
      b.require_below(b.dim(v->back()), d[at], x);
      n.set_text(out[at] == d[at] ? "Y[o...,k,p...] = X[o...,k,p...]" : "Y[o...,k,p...] = X[o...,k+$start,p...]");
      if (out[at] != d[at]) n.param("start", b.dim(v->front()));
      return n.build();
    }
  }
  return n.pack("k", axis_list("k", static_cast<int>(k.size()))).input("I", indices).build();
}

std::vector<ValueId> gather_nd(OpBuilder& b) {
  const ValueId x = b.in(0), indices = b.in(1);
  const int batch = static_cast<int>(b.int_attr("batch_dims", 0));
  const std::vector<Dim>&d = b.dims(x), &k = b.dims(indices);
  const auto depth = b.table().constant_value(k.back());
  if (!depth) b.unsupported("the last dimension of the indices must be constant", indices);
  const int kr = static_cast<int>(k.size());
  if (batch < 0 || batch >= kr || *depth > b.rank(x) - batch)
    b.fail(fmt::format("indices of depth {} with {} batch dimensions do not fit rank {}", *depth, batch, b.rank(x)),
           indices);
  const int r = static_cast<int>(*depth);
  std::vector<Dim> out(k.begin(), k.end() - 1);
  out.insert(out.end(), d.begin() + batch + r, d.end());
  std::string text = "Y[b...,k...,p...] = X[b...";
  for (int i = 0; i < r; ++i) text += fmt::format(",I[b...,k...,{}]", i);
  Instance n(b, text + ",p...]");
  n.pack("b", axis_list("b", batch)).pack("k", axis_list("k", kr - 1 - batch));
  n.pack("p", axis_list("i", b.rank(x) - batch - r, batch + r));
  return n.input("X", x).input("I", indices).output("Y", b.dtype(x), out).build();
}

std::vector<ValueId> gather_elements(OpBuilder& b) {
  const ValueId x = b.in(0), indices = b.in(1);
  const int rank = b.rank(x), axis = b.normal_axis(b.int_attr("axis", 0), rank);
  const std::vector<Dim>&d = b.dims(x), &k = b.dims(indices);
  bool same = true;
  for (int i = 0; i < rank; ++i)
    same = same && (i == axis || d[static_cast<std::size_t>(i)] == k[static_cast<std::size_t>(i)]);
  if (!same) return b.opaque("gather_elements", {x, indices}, {{b.dtype(x), k}}, {{"axis", {axis}}});
  Instance n(b, b.text);
  n.pack("o", axis_list("i", axis)).pack("p", axis_list("i", rank - axis - 1, axis + 1));
  return n.input("X", x).input("I", indices).output("Y", b.dtype(x), k).build();
}

std::vector<ValueId> one_hot(OpBuilder& b) {
  const ValueId indices = b.in(0), values = b.in(2);
  const auto depth = b.known(b.in(1));
  if (!depth || depth->e.size() != 1) b.unsupported("the depth must be known when the model is compiled", b.in(1));
  const int rank = b.rank(indices), axis = b.normal_axis(b.int_attr("axis", -1), rank + 1);
  std::vector<Dim> out = b.dims(indices);
  out.insert(out.begin() + axis, depth->e[0]);
  const ValueId index = b.sub("Cast", {indices}, {{"to", std::int64_t{7}}});
  Instance n(b, b.text);
  n.pack("o", axis_list("i", axis)).pack("p", axis_list("i", rank - axis, axis)).param("n", depth->e[0]);
  return n.input("I", index).input("V", values).output("Y", b.dtype(values), out).build();
}

std::vector<ValueId> cum_sum(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<std::int64_t> a = b.need_constants(1, "axis");
  const int rank = b.rank(x), axis = b.normal_axis(a[0], rank);
  const bool exclusive = b.int_attr("exclusive", 0) != 0, reverse = b.int_attr("reverse", 0) != 0;
  Instance n(b, alternative(b.text, (reverse ? 2 : 0) + (exclusive ? 1 : 0)));
  n.pack("o", axis_list("b", axis)).pack("p", axis_list("b", rank - axis - 1, axis + 1));
  n.extent("i", b.dims(x)[static_cast<std::size_t>(axis)]);
  return n.input("X", x).output("Y", b.dtype(x), b.dims(x)).build();
}

// The extreme, and the first (or last) place that has it. NaN comes before every number, as NumPy has it.
std::vector<ValueId> arg_extreme(OpBuilder& b, bool largest) {
  const ValueId x = b.in(0);
  const int rank = b.rank(x), axis = b.normal_axis(b.int_attr("axis", 0), rank);
  const bool keep = b.int_attr("keepdims", 1) != 0, last = b.int_attr("select_last_index", 0) != 0;
  std::vector<Dim> out = b.dims(x);
  const Dim extent = out[static_cast<std::size_t>(axis)];
  if (b.table().is_constant(extent, 0)) b.fail("an axis without elements has no largest and no least one", x);
  b.require_equal(b.table().max(extent, b.dim(1)), extent, x);
  if (keep) out[static_cast<std::size_t>(axis)] = b.dim(1);
  else out.erase(out.begin() + axis);
  const std::string o = axis_list("b", axis), p = axis_list("b", rank - axis - 1, axis + 1),
                    place = o + (o.empty() || p.empty() ? "" : ",") + p,
                    kept = keep ? o + (o.empty() ? "0" : ",0") + (p.empty() ? "" : ",") + p : place,
                    at = fmt::format("X[{}{}k{}{}]", o, o.empty() ? "" : ",", p.empty() ? "" : ",", p);
  const std::string is_nan = is_float(b.dtype(x)) ? fmt::format("isnan({}) || ", at) : "";
  Instance n(b, fmt::format("M[{0}] {1}= {2}; Y[{3}] {4}= select({5}{2} == M[{0}], k, {6})", place,
                            largest ? "max" : "min", at, kept, last ? "max" : "min", is_nan, last ? "-1" : "|k|"));
  return n.input("X", x).output("Y", DType::i64, out).build();
}

std::vector<ValueId> arg_max(OpBuilder& b) { return arg_extreme(b, true); }
std::vector<ValueId> arg_min(OpBuilder& b) { return arg_extreme(b, false); }

// -- operators that no expression describes
// ---------------------------------------------------------------------------------

std::vector<ValueId> top_k(OpBuilder& b) {
  const ValueId x = b.in(0), k = b.in(1);
  const int rank = b.rank(x), axis = b.normal_axis(b.int_attr("axis", -1), rank);
  std::vector<Dim> out = b.dims(x);
  const auto known = b.known(k);
  out[static_cast<std::size_t>(axis)] =
      known && known->e.size() == 1 ? known->e[0] : b.table().fresh(b.output_name(0) + ".k");
  auto r = b.opaque("topk", {x, k}, {{b.dtype(x), out}, {DType::i64, out}},
                    {{"axis", {axis}}, {"largest", {b.int_attr("largest", 1)}}});
  r.resize(static_cast<std::size_t>(b.output_count()));
  return r;
}

std::vector<ValueId> non_zero(OpBuilder& b) {
  const ValueId x = b.in(0);  // a scalar's position has no coordinates: [0, 1], or [0, 0]
  return b.opaque("nonzero", {x}, {{DType::i64, {b.dim(b.rank(x)), b.table().fresh(b.output_name(0) + ".count")}}});
}

std::vector<ValueId> compress(OpBuilder& b) {
  const ValueId x = b.in(0);
  const bool flat = !b.has_attr("axis");
  const int axis = flat ? 0 : b.normal_axis(b.int_attr("axis", 0), b.rank(x));
  std::vector<Dim> out = b.dims(x);
  if (flat) out.assign(1, b.dim(0));
  out[static_cast<std::size_t>(axis)] = b.table().fresh(b.output_name(0) + ".count");
  return b.opaque("compress", {x, b.in(1)}, {{b.dtype(x), out}}, {{"axis", {flat ? -1 : axis}}});
}

std::vector<std::int64_t> reduction_code(OpBuilder& b) {
  const std::string r = b.string_attr("reduction", "none");
  const char* names[] = {"none", "add", "mul", "max", "min"};
  for (std::int64_t i = 0; i < 5; ++i) {
    if (r == names[i]) return {i};
  }
  PIT_UNREACHABLE("unknown reduction '{}'", r);
}

// Indices of depth `depth` each write a block of the dimensions after it.
void require_updates(OpBuilder& b, std::int64_t depth) {
  const ValueId x = b.in(0), indices = b.in(1), updates = b.in(2);
  if (depth > b.rank(x)) b.fail(fmt::format("indices of depth {} do not fit rank {}", depth, b.rank(x)), indices);
  std::vector<Dim> written = b.dims(indices);
  const std::vector<Dim> d = b.dims(x), u = b.dims(updates);
  written.pop_back();
  written.insert(written.end(), d.begin() + depth, d.end());
  if (u.size() != written.size())
    b.fail(fmt::format("the updates have rank {}, not {}", u.size(), written.size()), updates);
  for (std::size_t i = 0; i < u.size(); ++i) b.require_equal(u[i], written[i], updates);
}

// The alternative of the template for a reduction of elements of this type.
int scatter_of(std::int64_t reduction, DType t) {
  if (t != DType::b8 || reduction == 0) return static_cast<int>(reduction);
  return reduction == 1 || reduction == 3 ? 5 : 6;  // add, max: where one is true; mul, min: where all are
}

// Rows of one axis, written by updates of one axis: what stands before and behind is reshaped.
std::vector<ValueId> scatter_rows(OpBuilder& b, int depth, int reduction) {
  const ValueId x = b.in(0), indices = b.in(1), updates = b.in(2);
  const std::vector<Dim> d = b.dims(x), k = b.dims(indices);
  const std::span<const Dim> lead = std::span(k).first(k.size() - 1), block = std::span(d).subspan(depth);
  const Dim count = b.product(lead), length = b.product(block);
  std::vector<Dim> rows(d.begin(), d.begin() + depth);
  rows.push_back(length);
  const auto as = [&](ValueId v, const std::vector<Dim>& dims) { return b.dims(v) == dims ? v : reshaped(b, v, dims); };
  std::string at;
  for (int i = 0; i < depth; ++i) at += fmt::format("{}I[k,{}]", i == 0 ? "" : ",", i);
  Instance n(b, alternative(b.text, reduction));
  n.pack("at", at).pack("t", axis_list("t", depth));
  n.input("I", as(indices, {count, k.back()})).input("U", as(updates, {count, length})).input("X", as(x, rows));
  if (d == rows) return n.output("Y", b.dtype(x), rows).build();
  return reshape_to(b, n.output("Y", b.dtype(x), rows, 1).build()[0], d);
}

std::vector<ValueId> scatter_nd(OpBuilder& b) {
  const ValueId indices = b.in(1);
  if (const auto depth = b.table().constant_value(b.dims(indices).back())) {
    require_updates(b, *depth);
    // Single elements are no rows: a routine serves them. Nor are products of updates formed first: they may be infinite
    // where the model's are not.
    const DType t = b.dtype(b.in(0));
    const std::int64_t reduction = reduction_code(b)[0];
    const bool regroups = reduction == 2 && is_float(t);
    if (*depth > 0 && *depth < b.rank(b.in(0)) && !regroups)
      return scatter_rows(b, static_cast<int>(*depth), scatter_of(reduction, t));
  }
  return b.opaque("scatter_nd", {b.in(0), b.in(1), b.in(2)}, {{b.dtype(b.in(0)), b.dims(b.in(0))}},
                  {{"reduction", reduction_code(b)}});
}

std::vector<ValueId> scatter_elements(OpBuilder& b) {
  const int axis = b.normal_axis(b.int_attr("axis", 0), b.rank(b.in(0)));
  return b.opaque("scatter_elements", {b.in(0), b.in(1), b.in(2)}, {{b.dtype(b.in(0)), b.dims(b.in(0))}},
                  {{"axis", {axis}}, {"reduction", reduction_code(b)}});
}

std::vector<ValueId> hardmax(OpBuilder& b) {
  const ValueId x = b.in(0);
  const bool flat = b.call.opset < 13;
  const int axis = b.normal_axis(b.int_attr("axis", flat ? 1 : -1), b.rank(x));
  return b.opaque("hardmax", {x}, {{b.dtype(x), b.dims(x)}}, {{"axis", {axis}}, {"flat", {flat ? 1 : 0}}});
}

// Within its length each sequence is read backwards. A length below zero stays one, so that it is told like one that is too
// long.
std::vector<ValueId> reverse_sequence(OpBuilder& b) {
  const ValueId x = b.in(0), lengths = b.in(1);
  const int rank = b.rank(x);
  const int batch = b.normal_axis(b.int_attr("batch_axis", 1), rank, "batch_axis"),
            time = b.normal_axis(b.int_attr("time_axis", 0), rank, "time_axis");
  if (batch == time) b.fail(fmt::format("batch and time are both axis {}", batch), x);
  b.require_equal(b.dims(lengths)[0], b.dims(x)[static_cast<std::size_t>(batch)], lengths);
  const std::string length = fmt::format("L[i{}]", batch), t = fmt::format("i{}", time);
  std::vector<std::string> backwards;
  for (int i = 0; i < rank; ++i)
    backwards.push_back(i == time ? fmt::format("max({0}-1-{1},min({0},0))", length, t) : fmt::format("i{}", i));
  const std::string all = axis_list("i", rank);
  Instance n(b, fmt::format("Y[{0}] = select({1} < {2}, X[{3}], X[{0}])", all, t, length, fmt::join(backwards, ",")));
  return n.input("X", x).input("L", lengths).output("Y", b.dtype(x), b.dims(x)).build();
}

constexpr const char* kDataShape = "the shape of the result depends on the data";
constexpr const char* kOrder = "order statistics have no tensor expression";
constexpr const char* kScatter = "writes single elements through computed indices";
// What is added to is kept as it is where no update reaches it: -0 + 0 would be 0.
constexpr const char* kScatterRows =
    "S[at...,p] last= U[k,p]; L[at...] max= k; Y[t...,p] = select(L[t...] >= 0, S[t...,p], X[t...,p])\n---\n"
    "S[at...,p] += U[k,p]; L[at...] max= k; Y[t...,p] = select(L[t...] >= 0, X[t...,p] + S[t...,p], X[t...,p])\n---\n"
    "S[at...,p] *= U[k,p]; Y[t...,p] = X[t...,p] * S[t...,p]\n---\n"
    "S[at...,p] max= U[k,p]; Y[t...,p] = max(X[t...,p], S[t...,p])\n---\n"
    "S[at...,p] min= U[k,p]; Y[t...,p] = min(X[t...,p], S[t...,p])\n---\n"
    "S[at...,p] or= U[k,p]; Y[t...,p] = X[t...,p] || S[t...,p]\n---\n"
    "S[at...,p] and= U[k,p]; Y[t...,p] = X[t...,p] && S[t...,p]";

constexpr Definition kTable[] = {
    {"Gather", "Y[o...,k...,p...] = X[o...,I[k...],p...]", gather, "Y[k0,k1,i1] = X[I[k0,k1],i1]"},
    {"GatherND", "Y[b...,k...,p...] = X[b...,I[b...,k...,0],p...]", gather_nd, "Y[k0,i2] = X[I[k0,0],I[k0,1],i2]"},
    {"GatherElements", "Y[o...,k,p...] = X[o...,I[o...,k,p...],p...]", gather_elements},
    {"OneHot", "Y[o...,d,p...] = select(I[o...,p...] == d || I[o...,p...] + $n == d, V[1], V[0])", one_hot,
     "Y[i0,d] = select(I[i0] == d || I[i0] + $n == d, V[1], V[0])"},
    {"CumSum",
     "Y[o...,i,p...] += select(j <= i, X[o...,j,p...], 0)\n---\nY[o...,i,p...] += select(j < i, X[o...,j,p...], "
     "0)\n---\n"
     "Y[o...,i,p...] += select(j >= i, X[o...,j,p...], 0)\n---\nY[o...,i,p...] += select(j > i, X[o...,j,p...], 0)",
     cum_sum},
    {"CumProd",
     "Y[o...,i,p...] *= select(j <= i, X[o...,j,p...], 1)\n---\nY[o...,i,p...] *= select(j < i, X[o...,j,p...], "
     "1)\n---\n"
     "Y[o...,i,p...] *= select(j >= i, X[o...,j,p...], 1)\n---\nY[o...,i,p...] *= select(j > i, X[o...,j,p...], 1)",
     cum_sum},
    {"ArgMax", "M[o...,p...] max= X[o...,k,p...]; Y[o...,p...] min= select(X[o...,k,p...] == M[o...,p...], k, |k|)",
     arg_max, "M[i0] max= X[i0,k]; Y[i0] min= select(isnan(X[i0,k]) || X[i0,k] == M[i0], k, |k|)"},
    {"ArgMin", "M[o...,p...] min= X[o...,k,p...]; Y[o...,p...] min= select(X[o...,k,p...] == M[o...,p...], k, |k|)",
     arg_min, "M[i0] min= X[i0,k]; Y[i0] min= select(isnan(X[i0,k]) || X[i0,k] == M[i0], k, |k|)"},
    {"TopK", "", top_k, nullptr, kOrder},
    {"Hardmax", "", hardmax, nullptr, kOrder},
    {"NonZero", "", non_zero, nullptr, kDataShape},
    {"Compress", "", compress, nullptr, kDataShape},
    {"ScatterND", kScatterRows, scatter_nd,
     "S[I[k,0],p] += U[k,p]; L[I[k,0]] max= k; Y[t,p] = select(L[t] >= 0, X[t,p] + S[t,p], X[t,p])"},
    {"ScatterElements", "", scatter_elements, nullptr, kScatter},
    {"Scatter", "", scatter_elements, nullptr, kScatter},
    {"ReverseSequence", "Y[t,b,p...] = select(t < L[b], X[L[b]-1-t,b,p...], X[t,b,p...])", reverse_sequence,
     "Y[t,b] = select(t < L[b], X[max(L[b]-1-t,min(L[b],0)),b], X[t,b])"},
};

}  // namespace

std::span<const Definition> indexing_definitions() { return kTable; }

}  // namespace pit::graph
