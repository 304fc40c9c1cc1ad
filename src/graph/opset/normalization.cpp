// Softmax and normalisations: programs of several statements over one set of axes.
//
// Exact where the mean is. S/N is a rounded mean: it may miss by some ulps, and where a row is constant, or nearly,
// what is left of it is nothing but that error, divided by itself. So a normalisation centres twice: D = X - S/N, then
// D - T/N with T the sum of D. Both differences are exact where rows vary little against their mean, and so is T where
// they are constant: D is then the same few ulps everywhere, whose multiples have few digits (up to 2^16 elements or
// more). The second mean costs no pass of its own: T is summed beside the squares, and the squares are corrected by it,
// sum (D - T/N)^2 = V - T*T/N, never below 0. Digits are lost in that only where T/N is large against the deviation.
// With 1 / sqrt(...) once per row, and no division per element, this costs what the plain form with its division does.
//
// The bound: results are within 8 ulps of the largest of their rows, or twice ONNX Runtime's error if that is more, for
// up to 5000 elements, values up to 1e6, epsilons from 1e-12 (tests/python/test_normalization.py).
#include <set>

#include "graph/numeric.h"
#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

constexpr int kInner = 1000;  // position of an output that only this operator sees

// Axes o (before), c (normalised together), p (after), all named i0, i1, ... by position.
Instance over_axes(OpBuilder& b, std::string_view text, int first, int last) {
  const ValueId x = b.in(0);
  Instance n(b, text);
  n.pack("o", axis_list("i", first)).pack("c", axis_list("i", last - first, first));
  n.pack("p", axis_list("i", b.rank(x) - last, last));
  n.input("X", x).output("Y", b.dtype(x), b.dims(x));
  return n;
}

std::vector<ValueId> softmax(OpBuilder& b) {
  const int rank = b.rank(b.in(0));
  // Before opset 13 the operand counts as a matrix, cut in front of the axis.
  const bool flat = b.call.opset < 13;
  std::int64_t a = b.int_attr("axis", flat ? 1 : -1);
  const int axis = flat && a == rank ? rank : b.normal_axis(a, rank);
  return over_axes(b, b.text, axis, flat ? rank : axis + 1).build();
}

std::vector<ValueId> layer_norm(OpBuilder& b) {
  const ValueId x = b.in(0), w = b.in(1), bias = b.optional_in(2);
  const int rank = b.rank(x), axis = b.normal_axis(b.int_attr("axis", -1), rank);
  const DType t = b.dtype(x);
  std::string text(alternative(b.text, 0));
  if (bias >= 0) text += " + B[c...]";
  const bool mean = b.wants(1), deviation = b.wants(2);
  if (mean) text += "; M[o...,z...] = S[o...] / N[] + T[o...] / N[]";
  if (deviation) text += "; R[o...,z...] = 1.0 / sqrt(max(V[o...] - T[o...] * (T[o...] / N[]), 0.0) / N[] + E[])";
  const std::vector<Dim>& d = b.dims(x);
  Instance n = over_axes(b, text, axis, rank);
  std::string zeros;
  for (int i = axis; i < rank; ++i) zeros += i == axis ? "0" : ",0";
  n.pack("z", zeros);
  n.count("N", b.product(std::span(d).subspan(static_cast<std::size_t>(axis))), t);
  n.operand("E", b.float_constant(static_cast<float>(b.float_attr("epsilon", 1e-5f)), t));
  n.stretched_operand("W", w, d, "c", "i");
  if (bias >= 0) n.stretched_operand("B", bias, d, "c", "i");
  std::vector<Dim> kept(d.begin(), d.begin() + axis);
  kept.resize(d.size(), b.dim(1));
  if (mean) n.output("M", t, kept, 1);
  if (deviation) n.output("R", t, kept, 2);
  std::vector<ValueId> built = n.build(), r{built[0], -1, -1};
  if (mean) r[1] = built[1];
  if (deviation) r[2] = built.back();
  r.resize(static_cast<std::size_t>(std::max(1, b.output_count())));
  return r;
}

std::vector<ValueId> rms_norm(OpBuilder& b) {
  const ValueId x = b.in(0);
  const int rank = b.rank(x), axis = b.normal_axis(b.int_attr("axis", -1), rank);
  const DType t = b.dtype(x);
  const std::vector<Dim>& d = b.dims(x);
  Instance n = over_axes(b, b.text, axis, rank);
  n.count("N", b.product(std::span(d).subspan(static_cast<std::size_t>(axis))), t);
  n.operand("E", b.float_constant(static_cast<float>(b.float_attr("epsilon", 1e-5f)), t));
  n.stretched_operand("W", b.in(1), d, "c", "i");
  return n.build();
}

// Inference form: the statistics are folded into one scale and one shift per channel.
std::vector<ValueId> batch_norm(OpBuilder& b) {
  const bool trains = b.call.opset < 7 ? b.int_attr("is_test", 0) == 0 : b.int_attr("training_mode", 0) != 0;
  if (trains) b.unsupported("training mode is not supported");
  const ValueId x = b.in(0);
  const int rank = b.rank(x);
  const DType t = b.dtype(x);
  Instance scale(b, alternative(b.text, 0));
  scale.input("W", b.in(1))
      .input("V", b.in(4))
      .operand("E", b.float_constant(static_cast<float>(b.float_attr("epsilon", 1e-5f)), t));
  const ValueId a = scale.output("A", t, b.dims(b.in(1)), kInner).build_one();
  Instance shift(b, alternative(b.text, 1));
  const ValueId s = shift.input("B", b.in(2))
                        .input("M", b.in(3))
                        .input("A", a)
                        .output("S", t, b.dims(b.in(2)), kInner + 1)
                        .build_one();
  Instance n(b, alternative(b.text, 2));
  n.pack("p", axis_list("x", rank - 2)).input("X", x).input("A", a).input("S", s).output("Y", t, b.dims(x), 0);
  return n.build();
}

// X as [sample, group, elements]: what is normalised together is one axis, so that it can be a kernel's inner one, in
// two steps, of which each only splits or only merges.
ValueId grouped(OpBuilder& b, ValueId x, Dim groups, Dim channels_each) {
  const std::vector<Dim> d = b.dims(x);
  const std::span<const Dim> spatial = std::span(d).subspan(2);
  std::vector<Dim> split{d[0], groups, channels_each};
  split.insert(split.end(), spatial.begin(), spatial.end());
  return reshaped(b, reshaped(b, x, split), {d[0], groups, b.table().mul(channels_each, b.product(spatial))});
}

// Back to the dimensions `d` of X.
ValueId ungrouped(OpBuilder& b, ValueId y, Dim channels_each, const std::vector<Dim>& d) {
  std::vector<Dim> split{d[0], b.dims(y)[1], channels_each};
  split.insert(split.end(), d.begin() + 2, d.end());
  return reshaped(b, reshaped(b, y, split), d);
}

ValueId standardised(OpBuilder& b, ValueId x) {
  const DType t = b.dtype(x);
  Instance n(b, alternative(b.text, 0));
  n.input("X", x).output("Z", t, b.dims(x), kInner);
  n.count("N", b.dims(x)[2], t);
  n.operand("E", b.float_constant(static_cast<float>(b.float_attr("epsilon", 1e-5f)), t));
  return n.build_one();
}

// Z * W + B per element of dimension 1.
ValueId scaled(OpBuilder& b, ValueId z, int position) {
  ValueId factors[2];  // scale and bias: vectors whose extent is that of the axis, whatever it is called
  for (int i = 0; i < 2; ++i) {
    factors[i] = b.dims(b.in(i + 1))[0] == b.dims(z)[1] ? b.in(i + 1) : reshaped(b, b.in(i + 1), {b.dims(z)[1]});
  }
  Instance n(b, alternative(b.text, 1));
  n.pack("p", axis_list("x", b.rank(z) - 2)).input("Z", z).input("W", factors[0]).input("B", factors[1]);
  return n.output("Y", b.dtype(z), b.dims(z), position).build_one();
}

std::vector<ValueId> instance_norm(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<Dim> d = b.dims(x);
  if (b.rank(x) == 3) return {scaled(b, standardised(b, x), 0)};
  const ValueId flat = reshaped(b, x, {d[0], d[1], b.product(std::span(d).subspan(2))});
  return reshape_to(b, scaled(b, standardised(b, flat), kInner + 1), d);
}

std::vector<ValueId> group_norm(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::int64_t groups = b.int_attr("num_groups", 1);
  const std::vector<Dim> d = b.dims(x);
  const auto channels = b.table().constant_value(d[1]);
  if (!channels) b.unsupported("the number of channels must be constant", x);
  if (*channels % groups != 0) b.fail(fmt::format("{} groups do not divide the channels", groups), x);
  const Dim each = b.dim(*channels / groups);
  const ValueId z = standardised(b, grouped(b, x, b.dim(groups), each));
  if (b.call.opset >= 21) return {scaled(b, ungrouped(b, z, each, d), 0)};
  return {ungrouped(b, scaled(b, z, kInner + 1), each, d)};  // scale and shift per group
}

std::vector<ValueId> lp_norm(OpBuilder& b) {
  const int rank = b.rank(b.in(0)), axis = b.normal_axis(b.int_attr("axis", -1), rank);
  const std::int64_t p = b.int_attr("p", 2);
  return over_axes(b, alternative(b.text, p == 2 ? 0 : 1), axis, axis + 1).build();
}

// Any axes: they are moved behind the others and flattened, so that they are one here too.
std::vector<ValueId> mean_variance(OpBuilder& b) {
  const ValueId x = b.in(0);
  const int rank = b.rank(x);
  const std::vector<Dim> d = b.dims(x);
  std::set<int> over;
  for (const std::int64_t a : b.ints_attr("axes", {0, 2, 3})) over.insert(b.normal_axis(a, rank));
  if (over.empty()) {
    for (int i = 0; i < rank; ++i) over.insert(i);
  }
  std::vector<std::int64_t> order, back(d.size());
  for (const bool normalised : {false, true}) {
    for (int i = 0; i < rank; ++i) {
      if (over.count(i) == normalised) order.push_back(i);
    }
  }
  std::vector<Dim> moved, flat;
  Dim count = b.dim(1);
  for (std::size_t i = 0; i < d.size(); ++i) {
    const auto from = static_cast<std::size_t>(order[i]);
    back[from] = static_cast<std::int64_t>(i);
    moved.push_back(d[from]);
    if (over.count(static_cast<int>(from))) count = b.table().mul(count, d[from]);
    else flat.push_back(d[from]);
  }
  flat.push_back(count);
  const ValueId rows = reshaped(b, b.sub("Transpose", {x}, {{"perm", order}}, 13), flat);
  Instance n(b, b.text);
  n.pack("o", axis_list("i", static_cast<int>(flat.size()) - 1)).input("X", rows).output("Z", b.dtype(x), flat, kInner);
  n.count("N", count, b.dtype(x)).operand("E", b.float_constant(1e-9, b.dtype(x)));
  return {b.sub("Transpose", {reshaped(b, n.build_one(), moved)}, {{"perm", back}}, 13)};
}

// A sample's groups, each over all of its elements; then scale and shift.
constexpr const char* kStandardised =
    "S[n,g] += X[n,g,q]; D[n,g,q] = X[n,g,q] - S[n,g] / N[]; T[n,g] += D[n,g,q]; V[n,g] += D[n,g,q] * D[n,g,q]; "
    "Z[n,g,q] = (D[n,g,q] - T[n,g] / N[]) * (1.0 / sqrt(max(V[n,g] - T[n,g] * (T[n,g] / N[]), 0.0) / N[] + E[]))"
    "\n---\nY[n,c,p...] = Z[n,c,p...] * W[c] + B[c]";

constexpr Definition kTable[] = {
    {"Softmax",
     "M[o...,p...] max= X[o...,c...,p...]; E[o...,c...,p...] = exp(X[o...,c...,p...] - M[o...,p...]); "
     "Z[o...,p...] += E[o...,c...,p...]; Y[o...,c...,p...] = E[o...,c...,p...] / Z[o...,p...]",
     softmax, "M[r] max= X[r,c]; E[r,c] = exp(X[r,c] - M[r]); Z[r] += E[r,c]; Y[r,c] = E[r,c] / Z[r]"},
    {"LogSoftmax",
     "M[o...,p...] max= X[o...,c...,p...]; Z[o...,p...] += exp(X[o...,c...,p...] - M[o...,p...]); "
     "Y[o...,c...,p...] = X[o...,c...,p...] - M[o...,p...] - log(Z[o...,p...])",
     softmax, "M[r] max= X[r,c]; Z[r] += exp(X[r,c] - M[r]); Y[r,c] = X[r,c] - M[r] - log(Z[r])"},
    {"LayerNormalization",
     "S[o...] += X[o...,c...]; D[o...,c...] = X[o...,c...] - S[o...] / N[]; T[o...] += D[o...,c...]; "
     "V[o...] += D[o...,c...] * D[o...,c...]; Y[o...,c...] = (D[o...,c...] - T[o...] / N[]) * "
     "(1.0 / sqrt(max(V[o...] - T[o...] * (T[o...] / N[]), 0.0) / N[] + E[])) * W[c...]",
     layer_norm,
     "S[r] += X[r,c]; D[r,c] = X[r,c] - S[r] / 64.0; T[r] += D[r,c]; V[r] += D[r,c] * D[r,c]; "
     "Y[r,c] = (D[r,c] - T[r] / 64.0) * (1.0 / sqrt(max(V[r] - T[r] * (T[r] / 64.0), 0.0) / 64.0 + 1e-05)) * W[c] "
     "+ B[c]"},
    {"RMSNormalization",
     "V[o...] += X[o...,c...] * X[o...,c...]; Y[o...,c...] = X[o...,c...] / sqrt(V[o...] / N[] + E[]) * W[c...]",
     rms_norm, "V[r] += X[r,c] * X[r,c]; Y[r,c] = X[r,c] / sqrt(V[r] / 64.0 + 1e-05) * W[c]"},
    {"BatchNormalization",
     "A[c] = W[c] / sqrt(V[c] + E[])\n---\nS[c] = B[c] - M[c] * A[c]\n---\nY[n,c,p...] = X[n,c,p...] * A[c] + S[c]",
     batch_norm,
     "A[c] = W[c] / sqrt(V[c] + 1e-05); S[c] = B[c] - M[c] * A[c]; Y[n,c,x0,x1] = X[n,c,x0,x1] * A[c] + S[c]"},
    {"InstanceNormalization", kStandardised, instance_norm,
     "S[n,c] += X[n,c,q]; D[n,c,q] = X[n,c,q] - S[n,c] / 64.0; T[n,c] += D[n,c,q]; V[n,c] += D[n,c,q] * D[n,c,q]; "
     "Y[n,c,q] = (D[n,c,q] - T[n,c] / 64.0) * (1.0 / sqrt(max(V[n,c] - T[n,c] * (T[n,c] / 64.0), 0.0) / 64.0 + 1e-05)) "
     "* W[c] + B[c]"},
    {"GroupNormalization", kStandardised, group_norm,
     "S[n,g] += X[n,g,q]; D[n,g,q] = X[n,g,q] - S[n,g] / 64.0; T[n,g] += D[n,g,q]; V[n,g] += D[n,g,q] * D[n,g,q]; "
     "Z[n,g,q] = (D[n,g,q] - T[n,g] / 64.0) * (1.0 / sqrt(max(V[n,g] - T[n,g] * (T[n,g] / 64.0), 0.0) / 64.0 + "
     "1e-05))"},
    {"LpNormalization",
     // A norm of zero gives zeros, says the specification: X is zero there.
     "S[o...,p...] += X[o...,c...,p...] * X[o...,c...,p...]; Y[o...,c...,p...] = X[o...,c...,p...] / "
     "select(S[o...,p...] == 0, 1.0, sqrt(S[o...,p...]))\n---\n"
     "S[o...,p...] += abs(X[o...,c...,p...]); Y[o...,c...,p...] = X[o...,c...,p...] / "
     "select(S[o...,p...] == 0, 1.0, S[o...,p...])",
     lp_norm, "S[r] += X[r,c] * X[r,c]; Y[r,c] = X[r,c] / select(S[r] == 0, 1.0, sqrt(S[r]))"},
    {"MeanVarianceNormalization",
     "S[o...] += X[o...,q]; D[o...,q] = X[o...,q] - S[o...] / N[]; T[o...] += D[o...,q]; V[o...] += D[o...,q] * "
     "D[o...,q]; Z[o...,q] = (D[o...,q] - T[o...] / N[]) * "
     "(1.0 / (sqrt(max(V[o...] - T[o...] * (T[o...] / N[]), 0.0) / N[]) + E[]))",
     mean_variance,
     "S[c] += X[c,q]; D[c,q] = X[c,q] - S[c] / 64.0; T[c] += D[c,q]; V[c] += D[c,q] * D[c,q]; "
     "Z[c,q] = (D[c,q] - T[c] / 64.0) * (1.0 / (sqrt(max(V[c] - T[c] * (T[c] / 64.0), 0.0) / 64.0) + 1e-09))"},
};

}  // namespace

std::span<const Definition> normalization_definitions() { return kTable; }

}  // namespace pit::graph
