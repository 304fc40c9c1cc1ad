// Element-wise operators: unary, binary and n-ary with NumPy's broadcasting, comparisons, logic, casts, activations.
#include <cmath>
#include <limits>

#include "graph/numeric.h"
#include "graph/opset/half.h"

namespace pit::graph {
namespace {

using Operands = std::vector<std::pair<std::string, ValueId>>;

// `text` over operands that are broadcast against each other; every operand's pack is `i`.
ValueId broadcast_op(OpBuilder& b, std::string_view text, const Operands& operands, DType dtype, int position = 0) {
  std::vector<std::vector<Dim>> shapes;
  for (const auto& [name, v] : operands) shapes.push_back(b.dims(v));
  const std::vector<Dim> out = b.broadcast(shapes);
  Instance n(b, text);
  n.pack("i", axis_list("i", static_cast<int>(out.size())));
  for (const auto& [name, v] : operands) n.stretched_operand(name, v, out, "i", "i");
  n.output("Y", dtype, out, position);
  return n.build_one();
}

constexpr int kInner = 1000;  // position of an output that only this operator sees

std::vector<ValueId> unary(OpBuilder& b) { return {broadcast_op(b, b.text, {{"X", b.in(0)}}, b.dtype(b.in(0)))}; }

std::vector<ValueId> unary_float(OpBuilder& b) {
  if (!is_float(b.dtype(b.in(0)))) b.unsupported("only floating-point operands are supported", b.in(0));
  return unary(b);
}

// Arc tangent of T >= 0, in f64: a quotient of polynomials (Cephes) up to 0.66, of what is left beyond the angle pi/4 up
// to 2.41, beyond pi/2 from there on.
#define PIT_ARC_TANGENT                                                                                                \
  "W[i...] = select(T[i...] > 2.414213562373095, -1.0 / T[i...], select(T[i...] > 0.66, (T[i...] - 1.0) / (T[i...] + " \
  "1.0), T[i...])); Z[i...] = W[i...] * W[i...]; "                                                                     \
  "A[i...] = select(T[i...] > 2.414213562373095, 1.5707963267948966, select(T[i...] > 0.66, 0.7853981633974483, "      \
  "0.0)) + (W[i...] + W[i...] * Z[i...] * ((((-0.8750608600031904 * Z[i...] - 16.15753718733365) * Z[i...] - "         \
  "75.00855792314705) * Z[i...] - 122.88666844901361) * Z[i...] - 64.85021904942025) / (((((Z[i...] + "                \
  "24.858464901423062) * Z[i...] + 165.02700983169885) * Z[i...] + 432.88106049129027) * Z[i...] + "                   \
  "485.3903996359137) * Z[i...] + 194.5506571482614)); "

std::vector<ValueId> inverse_angle(OpBuilder& b) {
  const ValueId x = b.in(0);
  std::string text(b.text);
  constexpr std::string_view narrow = "cast_f32";
  text.replace(text.rfind(narrow), narrow.size(), fmt::format("cast_{}", name_of(b.dtype(x))));
  return {broadcast_op(b, text, {{"X", x}}, b.dtype(x))};
}

std::vector<ValueId> predicate(OpBuilder& b) { return {broadcast_op(b, b.text, {{"X", b.in(0)}}, DType::b8)}; }

// `x` itself if the operator with the constant `other` does not change it, bit for bit, and does not stretch it. (x +
// 0.0 is not one of these: it turns -0 into +0.)
bool neutral(OpBuilder& b, ValueId x, ValueId other, bool right) {
  const std::optional<double> c = b.scalar(other);
  if (!c || b.broadcast({b.dims(x), b.dims(other)}) != b.dims(x)) return false;
  const std::string& op = b.call.op;
  const bool integer = !is_float(b.dtype(x));
  if (op == "Mul" || op == "And") return *c == 1;
  if (op == "Div" || op == "Pow") return right && *c == 1;
  if (op == "Or") return *c == 0;
  if (op == "Sub") return right && *c == 0 && (integer || !std::signbit(*c));
  return op == "Add" && integer && *c == 0;
}

// The second operand. Before opset 7 it alone was stretched, its axes laid from attribute `axis` on; a slope per channel
// from axis 1.
ValueId second(OpBuilder& b) {
  const ValueId x = b.in(0), y = b.in(1);
  if (b.call.opset >= 7) return y;
  const int rank = b.rank(x), own = b.rank(y);
  int first = rank - own;
  if (b.call.op == "PRelu" && own == 1 && !b.table().is_constant(b.dims(y)[0], 1)) first = std::min(1, rank - 1);
  if (b.int_attr("broadcast", 0) != 0 && b.has_attr("axis")) first = b.normal_axis(b.int_attr("axis", 0), rank);
  if (first < 0 || first + own > rank) b.fail(fmt::format("rank {} does not stretch to rank {}", own, rank), y);
  std::vector<Dim> dims = b.dims(y);
  dims.resize(static_cast<std::size_t>(rank - first), b.dim(1));
  return first + own == rank ? y : reshaped(b, y, dims);
}

std::vector<ValueId> binary(OpBuilder& b) {
  const ValueId x = b.in(0), y = second(b);
  if (neutral(b, x, y, true)) return {x};
  if (neutral(b, y, x, false)) return {y};
  return {broadcast_op(b, b.text, {{"A", x}, {"B", y}}, b.dtype(x))};
}

std::vector<ValueId> comparison(OpBuilder& b) {
  const ValueId x = b.in(0), y = second(b);
  return {broadcast_op(b, b.text, {{"A", x}, {"B", y}}, DType::b8)};
}

std::vector<ValueId> logical(OpBuilder& b) {
  const ValueId x = b.in(0), y = second(b);
  if (neutral(b, x, y, true)) return {x};
  if (neutral(b, y, x, false)) return {y};
  return {broadcast_op(b, b.text, {{"A", x}, {"B", y}}, DType::b8)};
}

// Max, Min, Sum, Mean of any number of operands: a fold of the binary template.
ValueId fold_operands(OpBuilder& b, int last_position) {
  ValueId r = b.in(0);
  for (int i = 1; i < b.input_count(); ++i) {
    const int position = i + 1 == b.input_count() ? last_position : kInner + i;
    r = broadcast_op(b, alternative(b.text, 0), {{"A", r}, {"B", b.in(i)}}, b.dtype(r), position);
  }
  return r;
}

std::vector<ValueId> variadic(OpBuilder& b) { return {fold_operands(b, 0)}; }

std::vector<ValueId> mean(OpBuilder& b) {
  const ValueId sum = fold_operands(b, kInner);
  return {broadcast_op(b, alternative(b.text, 1), {{"X", sum}, {"C", b.float_constant(b.input_count(), b.dtype(sum))}},
                       b.dtype(sum))};
}

std::vector<ValueId> modulo(OpBuilder& b) {
  const ValueId x = b.in(0), y = b.in(1);
  const bool c_style = b.int_attr("fmod", 0) != 0;
  if (is_float(b.dtype(x)) && !c_style && b.call.opset < 28)
    b.fail("floating-point operands need the attribute fmod = 1");
  const int form = c_style ? 1 : is_float(b.dtype(x)) ? 2 : 0;
  return {broadcast_op(b, alternative(b.text, form), {{"A", x}, {"B", y}}, b.dtype(x))};
}

std::string cast_text(DType to, const char* what) { return fmt::format("cast_{}({})", name_of(to), what); }

std::vector<ValueId> power(OpBuilder& b) {
  const ValueId x = b.in(0), y = second(b);
  const DType base = b.dtype(x), exponent = b.dtype(y);
  const auto in_type = [&](DType t, const char* factor = "") {
    const std::string f = fmt::format("pow({}, {}){}", cast_text(t, "A[i...]"), cast_text(t, "B[i...]"), factor);
    return std::vector<ValueId>{broadcast_op(b, "Y[i...] = " + cast_text(base, f.c_str()), {{"A", x}, {"B", y}}, base)};
  };
  const auto e = b.scalar(y);
  constexpr double exact = 1 << 24;  // whole numbers up to here are exact in f32
  if (base == exponent ||
      (is_float(base) && e && b.literal(y) && std::abs(*e) <= exact && std::fmod(*e * 1024, 1) == 0))
    return {broadcast_op(b, b.text, {{"A", x}, {"B", y}}, base)};
  // The result has the base's type, but neither operand may lose digits on the way: an exponent's last one is the
  // result's sign.
  if (is_float(base) && exponent == DType::f16) return in_type(base);
  if (is_float(base))
    return in_type(exponent == DType::f32 ? (base == DType::f64 ? DType::f64 : DType::f32) : DType::f64);
  // A whole exponent that is known takes the base's type. Otherwise conversion truncates, and the exponential of a
  // logarithm may fall short of an integer by an ulp or two.
  if (e && *e >= 0 && *e < 64 && *e == std::floor(*e))
    return {broadcast_op(b, "Y[i...] = pow(A[i...], " + cast_text(base, "B[i...]") + ")", {{"A", x}, {"B", y}}, base)};
  return in_type(DType::f64, " * 1.000000000000001");
}

std::vector<ValueId> where(OpBuilder& b) {
  const ValueId c = b.in(0), x = b.in(1), y = b.in(2);
  if (const auto known = b.scalar(c)) {  // the branch that is taken, unless it is stretched
    const ValueId taken = *known != 0 ? x : y;
    if (b.broadcast({b.dims(c), b.dims(x), b.dims(y)}) == b.dims(taken)) return {taken};
  }
  return {broadcast_op(b, b.text, {{"C", c}, {"A", x}, {"B", y}}, b.dtype(x))};
}

std::vector<ValueId> cast_to(OpBuilder& b, DType to) {
  const ValueId x = b.in(0);
  if (b.dtype(x) == to) return {x};
  const bool widens = is_half(b.dtype(x)) && to == DType::f32;
  if (const ValueId known = widens ? known_wide(b.g, x) : -1; known >= 0) return {known};
  const ValueId y = widens && b.value(x).is_constant()
                        ? b.add_tensor(widened(b.value(x).constant), 0)
                        : broadcast_op(b, "Y[i...] = " + cast_text(to, "X[i...]"), {{"X", x}}, to);
  if (widens) b.g.wide[x] = {y, false};
  return {y};
}

std::vector<ValueId> cast(OpBuilder& b) {
  const std::int64_t code = b.int_attr("to", 0);
  const std::optional<DType> to = dtype_of_onnx(code);
  // bfloat16 is widened where it is stored; a cast would have to round.
  constexpr std::int64_t bfloat16 = 16;
  if (!to || code == bfloat16)
    b.unsupported(fmt::format("casts to element type {} are not supported", onnx_type_name(code)));
  return cast_to(b, *to);
}

std::vector<ValueId> cast_like(OpBuilder& b) { return cast_to(b, b.dtype(b.in(1))); }

std::vector<ValueId> clip(OpBuilder& b) {
  const ValueId x = b.in(0);
  const DType t = b.dtype(x);
  ValueId lo = b.optional_in(1), hi = b.optional_in(2);
  if (b.call.opset < 11) {  // attributes: what is left out is the largest finite f32, which stops infinities
    constexpr double most = std::numeric_limits<float>::max();
    lo = b.float_constant(b.float_attr("min", -most), t);
    hi = b.float_constant(b.float_attr("max", most), t);
  }
  if (lo < 0 && hi < 0) return {x};
  Operands operands{{"X", x}};
  if (lo >= 0) operands.emplace_back("L", lo);
  if (hi >= 0) operands.emplace_back("H", hi);
  const char* text = lo < 0   ? "Y[i...] = min(X[i...], H[i...])"
                     : hi < 0 ? "Y[i...] = max(X[i...], L[i...])"
                              : "Y[i...] = min(max(X[i...], L[i...]), H[i...])";
  return {broadcast_op(b, text, operands, t)};
}

std::vector<ValueId> gelu(OpBuilder& b) {
  const std::string approximate = b.string_attr("approximate", "none");
  return {broadcast_op(b, alternative(b.text, approximate == "tanh" ? 1 : 0), {{"X", b.in(0)}}, b.dtype(b.in(0)))};
}

// Activations with one or two attributes, given to the template as constants P and Q.
struct Parameter {
  const char* attribute;
  double otherwise;
};

ValueId activation(OpBuilder& b, std::initializer_list<Parameter> parameters) {
  const ValueId x = b.in(0);
  Operands operands{{"X", x}};
  const char* names[] = {"P", "Q"};
  int k = 0;
  for (const Parameter& p : parameters) {
    operands.emplace_back(names[k++], b.float_constant(b.float_attr(p.attribute, p.otherwise), b.dtype(x)));
  }
  return broadcast_op(b, b.text, operands, b.dtype(x));
}

std::vector<ValueId> leaky_relu(OpBuilder& b) { return {activation(b, {{"alpha", 0.01f}})}; }
std::vector<ValueId> alpha_one(OpBuilder& b) { return {activation(b, {{"alpha", 1.0}})}; }
std::vector<ValueId> hard_sigmoid(OpBuilder& b) { return {activation(b, {{"alpha", 0.2f}, {"beta", 0.5}})}; }
std::vector<ValueId> selu(OpBuilder& b) {
  return {activation(b, {{"alpha", 1.67326319217681884765625}, {"gamma", 1.05070102214813232421875}})};
}

// Integers are moved by a bias that need not be one: in doubles then.
std::vector<ValueId> shrink(OpBuilder& b) {
  const ValueId x = b.in(0);
  if (is_float(b.dtype(x))) return {activation(b, {{"lambd", 0.5}, {"bias", 0.0}})};
  const double lambd = b.float_attr("lambd", 0.5), bias = b.float_attr("bias", 0.0);
  const std::string v = cast_text(DType::f64, "X[i...]");
  const std::string text =
      fmt::format("select({0} < -P[i...], {0} + Q[i...], select({0} > P[i...], {0} - Q[i...], 0.0))", v);
  return {broadcast_op(
      b, "Y[i...] = " + cast_text(b.dtype(x), text.c_str()),
      {{"X", x}, {"P", b.float_constant(lambd, DType::f64)}, {"Q", b.float_constant(bias, DType::f64)}}, b.dtype(x))};
}

std::vector<ValueId> is_inf(OpBuilder& b) {
  const bool negative = b.int_attr("detect_negative", 1) != 0, positive = b.int_attr("detect_positive", 1) != 0;
  const int which = negative && positive ? 0 : positive ? 1 : negative ? 2 : 3;
  return {broadcast_op(b, alternative(b.text, which), {{"X", b.in(0)}}, DType::b8)};
}

std::vector<ValueId> identity(OpBuilder& b) { return {b.in(0)}; }

std::vector<ValueId> dropout(OpBuilder& b) {
  b.optional_in(1);  // the ratio: of training
  if (b.call.opset < 7 && b.int_attr("is_test", 0) == 0) b.unsupported("training mode is not supported");
  if (b.has(2) && b.constants(b.in(2)) != std::vector<std::int64_t>{0}) b.unsupported("training mode is not supported");
  std::vector<ValueId> r{b.in(0)};
  if (!b.wants(1)) return r;
  const DType mask = b.call.opset < 10 ? b.dtype(b.in(0)) : DType::b8;
  const std::string ones = mask == DType::b8 ? "isnan(X[i...]) || true" : cast_text(mask, "isnan(X[i...]) || true");
  r.push_back(broadcast_op(b, "Y[i...] = " + ones, {{"X", b.in(0)}}, mask, 1));
  return r;
}

constexpr Definition kTable[] = {
    {"Add", "Y[i...] = A[i...] + B[i...]", binary},
    {"Sub", "Y[i...] = A[i...] - B[i...]", binary},
    {"Mul", "Y[i...] = A[i...] * B[i...]", binary},
    {"Div", "Y[i...] = A[i...] / B[i...]", binary},
    {"Mod",
     "Y[i...] = A[i...] % B[i...]\n---\nY[i...] = fmod(A[i...], B[i...])\n---\n"
     "R[i...] = fmod(A[i...], B[i...]); "
     "Y[i...] = select((R[i...] < 0 ^^ B[i...] < 0) && !(R[i...] == 0), R[i...] + B[i...], R[i...])",
     modulo},
    {"Pow", "Y[i...] = pow(A[i...], B[i...])", power},
    {"Max", "Y[i...] = max(A[i...], B[i...])", variadic},
    {"Min", "Y[i...] = min(A[i...], B[i...])", variadic},
    {"Sum", "Y[i...] = A[i...] + B[i...]", variadic},
    {"Mean", "Y[i...] = A[i...] + B[i...]\n---\nY[i...] = X[i...] / C[i...]", mean},
    {"Equal", "Y[i...] = A[i...] == B[i...]", comparison},
    {"Less", "Y[i...] = A[i...] < B[i...]", comparison},
    {"LessOrEqual", "Y[i...] = A[i...] <= B[i...]", comparison},
    {"Greater", "Y[i...] = A[i...] > B[i...]", comparison},
    {"GreaterOrEqual", "Y[i...] = A[i...] >= B[i...]", comparison},
    {"And", "Y[i...] = A[i...] && B[i...]", logical},
    {"Or", "Y[i...] = A[i...] || B[i...]", logical},
    {"Xor", "Y[i...] = A[i...] ^^ B[i...]", logical},
    {"Not", "Y[i...] = !X[i...]", predicate},
    {"IsNaN", "Y[i...] = isnan(X[i...])", predicate},
    {"IsInf",
     "Y[i...] = isinf(X[i...])\n---\nY[i...] = isinf(X[i...]) && X[i...] > 0\n---\n"
     "Y[i...] = isinf(X[i...]) && X[i...] < 0\n---\nY[i...] = isinf(X[i...]) && false",
     is_inf},
    {"Where", "Y[i...] = select(C[i...], A[i...], B[i...])", where},
    {"Cast", "Y[i...] = cast_f32(X[i...])", cast},
    {"CastLike", "Y[i...] = cast_f32(X[i...])", cast_like},
    {"Identity", "Y[i...] = X[i...]", identity},
    {"Dropout", "Y[i...] = X[i...]", dropout},
    {"Clip", "Y[i...] = min(max(X[i...], L[]), H[])", clip},
    {"Neg", "Y[i...] = -X[i...]", unary},
    {"Abs", "Y[i...] = abs(X[i...])", unary},
    {"Sign", "Y[i...] = sign(X[i...])", unary},
    {"Sqrt", "Y[i...] = sqrt(X[i...])", unary_float},
    {"Reciprocal", "Y[i...] = recip(X[i...])", unary_float},
    {"Exp", "Y[i...] = exp(X[i...])", unary_float},
    {"Log", "Y[i...] = log(X[i...])", unary_float},
    {"Erf", "Y[i...] = erf(X[i...])", unary_float},
    {"Tanh", "Y[i...] = tanh(X[i...])", unary_float},
    {"Sigmoid", "Y[i...] = sigmoid(X[i...])", unary_float},
    {"Sin", "Y[i...] = sin(X[i...])", unary_float},
    {"Cos", "Y[i...] = cos(X[i...])", unary_float},
    {"Tan", "Y[i...] = sin(X[i...]) / cos(X[i...])", unary_float},
    {"Sinh", "Y[i...] = (exp(X[i...]) - exp(-X[i...])) * 0.5", unary_float},
    {"Cosh", "Y[i...] = (exp(X[i...]) + exp(-X[i...])) * 0.5", unary_float},
    // Far out the square would overflow; there both are log(2x).
    {"Asinh",
     "Y[i...] = sign(X[i...]) * select(abs(X[i...]) > 1e9, log(abs(X[i...])) + 0.6931471805599453, "
     "log(abs(X[i...]) + sqrt(X[i...] * X[i...] + 1.0)))",
     unary_float},
    {"Acosh",
     "Y[i...] = select(X[i...] > 1e9, log(X[i...]) + 0.6931471805599453, log(X[i...] + sqrt(X[i...] - 1.0) * "
     "sqrt(X[i...] + 1.0)))",
     unary_float},
    {"Atanh", "Y[i...] = 0.5 * log((1.0 + X[i...]) / (1.0 - X[i...]))", unary_float},
    {"Atan",
     "T[i...] = abs(cast_f64(X[i...])); " PIT_ARC_TANGENT "Y[i...] = cast_f32(select(X[i...] < 0, -A[i...], A[i...]))",
     inverse_angle},
    {"Asin",
     "T[i...] = abs(cast_f64(X[i...])) / (1.0 + sqrt((1.0 - cast_f64(X[i...])) * (1.0 + "
     "cast_f64(X[i...])))); " PIT_ARC_TANGENT "Y[i...] = cast_f32(select(X[i...] < 0, -2.0 * A[i...], 2.0 * A[i...]))",
     inverse_angle},
    {"Acos",
     "T[i...] = sqrt((1.0 - cast_f64(X[i...])) / (1.0 + cast_f64(X[i...]))); " PIT_ARC_TANGENT
     "Y[i...] = cast_f32(2.0 * A[i...])",
     inverse_angle},
    {"Floor", "Y[i...] = floor(X[i...])", unary_float},
    {"Ceil", "Y[i...] = ceil(X[i...])", unary_float},
    {"Round", "Y[i...] = round(X[i...])", unary_float},
    {"Relu", "Y[i...] = max(X[i...], 0)", unary},
    {"Gelu",
     "Y[i...] = 0.5 * X[i...] * (1.0 + erf(X[i...] * 0.70710678118654752))\n---\n"
     "Y[i...] = 0.5 * X[i...] * (1.0 + tanh(0.79788456080286536 * (X[i...] + 0.044715 * X[i...] * X[i...] * X[i...])))",
     gelu},
    {"Softplus", "Y[i...] = max(X[i...], 0.0) + log(1.0 + exp(-abs(X[i...])))", unary_float},
    {"Softsign", "Y[i...] = X[i...] / (1.0 + abs(X[i...]))", unary_float},
    {"Mish", "Y[i...] = X[i...] * tanh(max(X[i...], 0.0) + log(1.0 + exp(-abs(X[i...]))))", unary_float},
    {"HardSwish", "Y[i...] = X[i...] * min(max(X[i...] * 0.16666666666666667 + 0.5, 0.0), 1.0)", unary_float},
    {"HardSigmoid", "Y[i...] = min(max(X[i...] * P[i...] + Q[i...], 0.0), 1.0)", hard_sigmoid},
    {"Swish", "Y[i...] = X[i...] * sigmoid(X[i...] * P[i...])", alpha_one},
    {"LeakyRelu", "Y[i...] = select(X[i...] < 0.0, X[i...] * P[i...], X[i...])", leaky_relu},
    {"ThresholdedRelu", "Y[i...] = select(X[i...] > P[i...], X[i...], 0.0)", alpha_one},
    {"Elu", "Y[i...] = select(X[i...] < 0.0, P[i...] * (exp(X[i...]) - 1.0), X[i...])", alpha_one},
    {"Celu", "Y[i...] = max(X[i...], 0.0) + min(P[i...] * (exp(X[i...] / P[i...]) - 1.0), 0.0)", alpha_one},
    {"Selu", "Y[i...] = Q[i...] * select(X[i...] > 0.0, X[i...], P[i...] * exp(X[i...]) - P[i...])", selu},
    {"Shrink",
     "Y[i...] = select(X[i...] < -P[i...], X[i...] + Q[i...], select(X[i...] > P[i...], X[i...] - Q[i...], 0.0))",
     shrink},
    {"PRelu", "Y[i...] = select(A[i...] < 0.0, A[i...] * B[i...], A[i...])", binary},
};

}  // namespace

std::span<const Definition> elementwise_definitions() { return kTable; }

}  // namespace pit::graph
