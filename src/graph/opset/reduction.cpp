// Reductions over axes. Reduced dimensions that are kept have the literal index 0 on the left.
#include <algorithm>

#include "graph/numeric.h"
#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

struct Reduced {
  std::vector<int> axes;
  std::string in, out;    // index lists
  std::vector<Dim> dims;  // of the result
  Dim count;              // of terms
  bool none = false;      // nothing to do (noop_with_empty_axes)
};

Reduced reduced(OpBuilder& b) {
  const ValueId x = b.in(0);
  const int rank = b.rank(x);
  const bool keep = b.int_attr("keepdims", 1) != 0;
  Reduced r;
  r.axes = b.axes("axes", 1, rank);
  if (r.axes.empty()) {
    r.none = b.int_attr("noop_with_empty_axes", 0) != 0;
    for (int i = 0; i < rank && !r.none; ++i) r.axes.push_back(i);
  }
  r.in = axis_list("i", rank);
  r.count = b.dim(1);
  for (int i = 0; i < rank; ++i) {
    const Dim d = b.dims(x)[static_cast<std::size_t>(i)];
    const bool over = std::find(r.axes.begin(), r.axes.end(), i) != r.axes.end();
    if (over) r.count = b.table().mul(r.count, d);
    if (over && !keep) continue;
    r.out += (r.out.empty() ? "" : ",") + (over ? std::string("0") : fmt::format("i{}", i));
    r.dims.push_back(over ? b.dim(1) : d);
  }
  return r;
}

std::vector<ValueId> reduce_with(OpBuilder& b, std::string_view text) {
  const Reduced r = reduced(b);
  const ValueId x = b.in(0);
  if (r.none) return {x};
  Instance n(b, text);
  n.pack("i", r.in).pack("o", r.out).input("X", x).output("Y", b.dtype(x), r.dims);
  if (text.find("$n") != std::string_view::npos) n.param("n", r.count);
  return n.build();
}

std::vector<ValueId> reduce(OpBuilder& b) { return reduce_with(b, alternative(b.text, 0)); }

std::vector<ValueId> reduce_extreme(OpBuilder& b) {
  return reduce_with(b, alternative(b.text, b.dtype(b.in(0)) == DType::b8 ? 1 : 0));
}

// With no axes and noop_with_empty_axes, operators that map their terms first still map them.
std::vector<ValueId> reduce_mapped(OpBuilder& b) {
  if (!reduced(b).none) return reduce(b);
  Instance n(b, alternative(b.text, 1));
  const ValueId x = b.in(0);
  n.pack("i", axis_list("i", b.rank(x))).input("X", x).output("Y", b.dtype(x), b.dims(x));
  return n.build();
}

// Normalisations that are written out subtract this mean from its terms, and where those are equal nothing must be
// left: so it is rounded once, from a sum in f64.
std::vector<ValueId> reduce_mean(OpBuilder& b) {
  const Reduced r = reduced(b);
  const ValueId x = b.in(0);
  if (r.none) return {x};
  const bool wide = b.dtype(x) == DType::f32;
  Instance n(b, alternative(b.text, wide ? 0 : 1));
  n.pack("i", r.in).pack("o", r.out).input("X", x).output("Y", b.dtype(x), r.dims);
  n.count("N", r.count, wide ? DType::f64 : b.dtype(x));
  return n.build();
}

constexpr Definition kTable[] = {
    {"ReduceSum", "Y[o...] += X[i...]", reduce, "Y[i0] += X[i0,i1]"},
    {"ReduceProd", "Y[o...] *= X[i...]", reduce, "Y[i0] *= X[i0,i1]"},
    {"ReduceMax", "Y[o...] max= X[i...]\n---\nY[o...] or= X[i...]", reduce_extreme, "Y[i0] max= X[i0,i1]"},
    {"ReduceMin", "Y[o...] min= X[i...]\n---\nY[o...] and= X[i...]", reduce_extreme, "Y[i0] min= X[i0,i1]"},
    {"ReduceMean",
     "S[o...] += cast_f64(X[i...]); Y[o...] = cast_f32(S[o...] / N[])\n---\nS[o...] += X[i...]; Y[o...] = S[o...] / "
     "N[]",
     reduce_mean, "S[i0] += cast_f64(X[i0,i1]); Y[i0] = cast_f32(S[i0] / 64.0)"},
    {"ReduceL1", "Y[o...] += abs(X[i...])\n---\nY[i...] = abs(X[i...])", reduce_mapped, "Y[i0] += abs(X[i0,i1])"},
    {"ReduceL2", "S[o...] += X[i...] * X[i...]; Y[o...] = sqrt(S[o...])\n---\nY[i...] = abs(X[i...])", reduce_mapped,
     "S[i0] += X[i0,i1] * X[i0,i1]; Y[i0] = sqrt(S[i0])"},
    {"ReduceSumSquare", "Y[o...] += X[i...] * X[i...]\n---\nY[i...] = X[i...] * X[i...]", reduce_mapped,
     "Y[i0] += X[i0,i1] * X[i0,i1]"},
    {"ReduceLogSum", "S[o...] += X[i...]; Y[o...] = log(S[o...])\n---\nY[i...] = log(X[i...])", reduce_mapped,
     "S[i0] += X[i0,i1]; Y[i0] = log(S[i0])"},
    {"ReduceLogSumExp", "Y[o...] logsumexp= X[i...]", reduce, "Y[i0] logsumexp= X[i0,i1]"},
};

}  // namespace

std::span<const Definition> reduction_definitions() { return kTable; }

}  // namespace pit::graph
