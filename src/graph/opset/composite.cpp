// Operators that the ONNX standard defines by other operators: attention, rotary embeddings, gated units, quantisation.
#include <cmath>

#include "graph/numeric.h"
#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

constexpr int kOpset = 18;  // of the operators used in here

ValueId op(OpBuilder& b, const char* name, std::vector<ValueId> in, Attributes a = {}) {
  return b.sub(name, std::move(in), std::move(a), kOpset);
}

ValueId permuted(OpBuilder& b, ValueId x, std::vector<std::int64_t> perm) {
  return op(b, "Transpose", {x}, {{"perm", std::move(perm)}});
}

ValueId extent_of(OpBuilder& b, ValueId x, std::int64_t axis) {
  return op(b, "Shape", {x}, {{"start", axis}, {"end", axis + 1}});
}

// 0, 1, ... as [1, 1, n, 1] or [1, 1, 1, n].
ValueId positions(OpBuilder& b, ValueId x, std::int64_t axis, bool row) {
  const ValueId n = op(b, "Squeeze", {extent_of(b, x, axis), b.int_constant({0})});
  const ValueId r = op(b, "Range", {b.int_constant({0}, true), n, b.int_constant({1}, true)});
  return op(b, "Unsqueeze",
            {r, b.int_constant(row ? std::vector<std::int64_t>{0, 1, 3} : std::vector<std::int64_t>{0, 1, 2})});
}

struct Heads {
  ValueId q, k, v;
  bool flat;  // operands were [batch, sequence, heads * size]
};

Heads heads(OpBuilder& b) {
  Heads h{b.in(0), b.in(1), b.in(2), b.rank(b.in(0)) == 3};
  for (int i = 0; i < 3; ++i) {
    if (b.rank(b.in(i)) != (h.flat ? 3 : 4)) b.fail("query, key and value must all have rank 3 or all rank 4", b.in(i));
  }
  if (!h.flat) return h;
  const std::int64_t qn = b.int_attr("q_num_heads", 0), kn = b.int_attr("kv_num_heads", 0);
  if (qn <= 0 || kn <= 0) b.fail("operands of rank 3 need the attributes q_num_heads and kv_num_heads");
  const auto split = [&](ValueId x, std::int64_t n) {
    const std::vector<Dim> d = b.dims(x);
    return permuted(b, reshaped(b, x, {d[0], d[1], b.dim(n), b.table().div(d[2], b.dim(n))}), {0, 2, 1, 3});
  };
  h.q = split(h.q, qn);
  h.k = split(h.k, kn);
  h.v = split(h.v, kn);
  return h;
}

// Grouped queries: every key head serves several query heads.
ValueId repeat_heads(OpBuilder& b, ValueId x, Dim to) {
  const std::vector<Dim> d = b.dims(x);
  const auto have = b.table().constant_value(d[1]), want = b.table().constant_value(to);
  if (d[1] == to) return x;
  if (!have || !want) b.unsupported("the numbers of query and key heads must be constant", x);
  if (*have == 0 || *want % *have != 0) b.fail("the number of query heads is no multiple of that of key heads", x);
  Instance n(b, "Y[b,h:r,s,d] = X[b,h,s,d]");
  n.extent("r", b.dim(*want / *have)).input("X", x);
  return n.output("Y", b.dtype(x), {d[0], to, d[2], d[3]}, 1000).build_one();
}

// What is added to the scores: 0 or -inf from masks, a given bias; nothing if there is none. It broadcasts to [b, h, q,
// k].
ValueId attention_bias(OpBuilder& b, ValueId q, ValueId k, ValueId past) {
  const DType t = b.dtype(q);
  const ValueId zero = b.float_constant(0, t), minus = b.float_constant(-INFINITY, t);
  ValueId bias = -1;
  const auto add = [&](ValueId more) { bias = bias < 0 ? more : op(b, "Add", {bias, more}); };
  const auto allow = [&](ValueId allowed) { add(op(b, "Where", {allowed, zero, minus})); };
  if (b.has(3)) {
    ValueId mask = b.in(3);
    const Dim have = b.dims(mask).back(), want = b.dims(k)[2];
    const auto ch = b.table().constant_value(have), cw = b.table().constant_value(want);
    if (b.dtype(mask) == DType::b8) mask = op(b, "Where", {mask, zero, minus});
    if (ch && cw && *ch != 1 && *ch < *cw) {  // shorter masks are continued with -inf
      std::vector<std::int64_t> pads(2 * static_cast<std::size_t>(b.rank(mask)), 0);
      pads.back() = *cw - *ch;
      mask = op(b, "Pad", {mask, b.int_constant(pads), minus});
    }
    add(mask);
  }
  const ValueId lengths = b.optional_in(6);  // of the keys, per sample
  const ValueId columns = positions(b, k, 2, false);
  ValueId per_sample = -1;
  if (lengths >= 0) {
    per_sample = op(b, "Unsqueeze", {op(b, "Cast", {lengths}, {{"to", std::int64_t{7}}}), b.int_constant({1, 2, 3})});
    allow(op(b, "Less", {columns, per_sample}));
  }
  const std::int64_t left = b.int_attr("left_window_size", -1), right = b.int_attr("right_window_size", -1);
  const bool causal = b.int_attr("is_causal", 0) != 0;
  if (causal || left >= 0 || right >= 0) {
    ValueId rows = positions(b, q, 2, true);
    if (past >= 0) rows = op(b, "Add", {rows, extent_of(b, past, 2)});
    else if (lengths >= 0) rows = op(b, "Add", {rows, op(b, "Sub", {per_sample, extent_of(b, q, 2)})});
    if (causal) allow(op(b, "LessOrEqual", {columns, rows}));
    if (left >= 0) allow(op(b, "GreaterOrEqual", {columns, op(b, "Sub", {rows, b.int_constant({left})})}));
    if (right >= 0) allow(op(b, "LessOrEqual", {columns, op(b, "Add", {rows, b.int_constant({right})})}));
  }
  return bias;
}

std::vector<ValueId> attention(OpBuilder& b) {
  const Heads h = heads(b);
  const DType t = b.dtype(h.q);
  const ValueId past_key = b.optional_in(4), past_value = b.optional_in(5);
  const ValueId k = past_key >= 0 ? op(b, "Concat", {past_key, h.k}, {{"axis", std::int64_t{2}}}) : h.k;
  const ValueId v = past_value >= 0 ? op(b, "Concat", {past_value, h.v}, {{"axis", std::int64_t{2}}}) : h.v;
  const std::vector<Dim> dq = b.dims(h.q);
  double scale = b.float_attr("scale", 0);
  if (!b.has_attr("scale")) {
    const auto size = b.table().constant_value(dq[3]);
    if (!size) b.unsupported("the head size must be constant, or the attribute 'scale' given", h.q);
    scale = 1 / std::sqrt(static_cast<double>(*size));
  }
  const ValueId root = b.float_constant(std::sqrt(scale), t);
  const ValueId transposed = permuted(b, repeat_heads(b, k, dq[1]), {0, 1, 3, 2});
  ValueId score = op(b, "MatMul", {op(b, "Mul", {h.q, root}), op(b, "Mul", {transposed, root})});
  const std::int64_t mode = b.int_attr("qk_matmul_output_mode", 0);
  ValueId shown = score;
  if (const double cap = b.float_attr("softcap", 0); cap > 0) {
    const ValueId c = b.float_constant(cap, t);
    score = op(b, "Mul", {op(b, "Tanh", {op(b, "Div", {score, c})}), c});
  }
  if (mode == 1) shown = score;
  const ValueId bias = attention_bias(b, h.q, k, past_key);
  if (bias >= 0) score = op(b, "Add", {score, bias});
  if (mode == 2) shown = score;
  ValueId p = op(b, "Softmax", {score}, {{"axis", std::int64_t{-1}}});
  if (bias >= 0) {  // a row without any key gives zeros, not NaN
    const ValueId most = op(b, "ReduceMax", {bias, b.int_constant({-1})});
    const ValueId none = op(b, "Equal", {most, b.float_constant(-INFINITY, t)});
    p = op(b, "Where", {none, b.float_constant(0, t), p});
  }
  if (mode == 3) shown = p;
  ValueId y = op(b, "MatMul", {p, repeat_heads(b, v, dq[1])});
  if (h.flat) {
    const std::vector<Dim> d = b.dims(y);
    y = reshaped(b, permuted(b, y, {0, 2, 1, 3}), {d[0], d[2], b.table().mul(d[1], d[3])});
  }
  std::vector<ValueId> r{y, k, v, shown};
  r.resize(static_cast<std::size_t>(std::max(1, b.output_count())));
  return r;
}

std::vector<ValueId> rotary(OpBuilder& b) {
  const ValueId x0 = b.in(0), cosines = b.in(1), sines = b.in(2), ids = b.optional_in(3);
  const bool flat = b.rank(x0) == 3, interleaved = b.int_attr("interleaved", 0) != 0;
  ValueId x = x0;
  if (flat) {
    const std::int64_t n = b.int_attr("num_heads", 0);
    if (n <= 0) b.fail("an operand of rank 3 needs the attribute num_heads");
    const std::vector<Dim> d = b.dims(x);
    x = reshaped(b, x, {d[0], d[1], b.dim(n), b.table().div(d[2], b.dim(n))});
  }
  const std::vector<Dim> d = b.dims(x);
  const auto size = b.table().constant_value(d[3]);
  if (!size) b.unsupported("the head size must be constant", x);
  std::int64_t rotated = b.int_attr("rotary_embedding_dim", 0);
  if (rotated == 0) rotated = *size;
  if (rotated % 2 != 0 || rotated > *size)
    b.fail(fmt::format("{} of {} elements cannot be rotated in pairs", rotated, *size), x);
  std::string text(alternative(b.text, interleaved ? 1 : 0));
  if (rotated < *size) text += "; Y[l...,t+$w] = X[l...,t+$w]";
  Instance n(b, text);
  n.pack("l", flat ? "b,s,h" : "b,h,s").pack("a", ids >= 0 ? "P[b,s]" : "b,s");
  n.param("r", b.dim(rotated / 2))
      .param("z", b.dim(0))
      .param("w", b.dim(rotated))
      .extent("t", b.dim(*size - rotated))
      .extent("j", b.dim(rotated / 2));
  n.input("X", x).input("C", cosines).input("S", sines).output("Y", b.dtype(x), d, flat ? 1000 : 0);
  if (ids >= 0) n.input("P", ids);
  const ValueId y = n.build_one();
  if (!flat) return {y};
  return reshape_to(b, y, b.dims(x0));
}

std::vector<ValueId> swiglu(OpBuilder& b) {
  const ValueId a = b.in(0), v = b.in(1);
  Instance n(b, b.text);
  n.pack("i", axis_list("i", b.rank(a)))
      .input("A", a)
      .input("B", v)
      .operand("P", b.float_constant(b.float_attr("alpha", 1), b.dtype(a)));
  return n.output("Y", b.dtype(a), b.dims(a)).build();
}

// The scale of a quantisation as it applies to axis `axis` (per tensor, or per element of that axis).
ValueId along_axis(OpBuilder& b, ValueId s, ValueId x) {
  if (b.int_attr("block_size", 0) != 0) b.unsupported("blocked quantisation is not supported");
  if (b.rank(s) == 0) return s;
  if (b.rank(s) != 1) b.fail("scale and zero point must have rank 0 or 1", s);
  if (b.table().is_constant(b.dims(s)[0], 1)) return reshaped(b, s, {});  // one for all, whatever the axis
  std::vector<Dim> d(static_cast<std::size_t>(b.rank(x)), b.dim(1));
  if (d.empty()) return s;
  const auto a = static_cast<std::size_t>(b.normal_axis(b.int_attr("axis", 1), b.rank(x)));
  d[a] = b.dims(s)[0];
  return reshaped(b, s, d);
}

std::vector<ValueId> dequantize(OpBuilder& b) {
  const ValueId x = b.in(0), scale = b.in(1);
  const auto said = dtype_of_onnx(b.int_attr("output_dtype", 0));
  if (b.int_attr("output_dtype", 0) != 0 && said != b.dtype(scale))
    b.unsupported("only the scale's type is supported as result; leave the attribute 'output_dtype' out");
  const Attributes to{{"to", std::int64_t{1}}};
  ValueId v = op(b, "Cast", {x}, to);
  if (b.has(2)) v = op(b, "Sub", {v, op(b, "Cast", {along_axis(b, b.in(2), x)}, to)});
  return {op(b, "Mul", {v, along_axis(b, scale, x)})};
}

std::vector<ValueId> quantize(OpBuilder& b) {
  const ValueId x = b.in(0), scale = b.in(1);
  const std::int64_t code = b.int_attr("output_dtype", 0);
  const auto said = code == 0 ? std::optional(DType::u8) : dtype_of_onnx(code);
  const bool is_signed = (b.has(2) ? b.dtype(b.in(2)) : said) == DType::i8;
  if (!said || (*said != DType::i8 && *said != DType::u8))
    b.unsupported(
        fmt::format("attribute 'output_dtype' asks for {}; only int8 and uint8 are supported", onnx_type_name(code)));
  if (code != 0 && b.has(2) && *said != b.dtype(b.in(2)))
    b.fail("attribute 'output_dtype' is not the zero point's type", b.in(2));
  if (b.has(2) && !is_signed && b.dtype(b.in(2)) != DType::u8)
    b.unsupported("only i8 and u8 are supported as results", b.in(2));
  const ValueId number = is_float(b.dtype(x)) ? x : op(b, "Cast", {x}, {{"to", std::int64_t{1}}});
  ValueId v = op(b, "Round", {op(b, "Div", {number, along_axis(b, scale, x)})});
  if (b.has(2)) v = op(b, "Add", {v, op(b, "Cast", {along_axis(b, b.in(2), x)}, {{"to", std::int64_t{1}}})});
  const double lo = is_signed ? -128 : 0, hi = is_signed ? 127 : 255;
  v = op(b, "Clip", {v, b.float_constant(lo, DType::f32), b.float_constant(hi, DType::f32)});
  return {op(b, "Cast", {v}, {{"to", std::int64_t{is_signed ? 3 : 2}}})};
}

// A constant operand less its zero points (one, or one per column), as i32; -1 if that is not all known.
ValueId known_integers(OpBuilder& b, ValueId v, ValueId zero) {
  const Tensor& from = b.value(v).constant;
  if (!from.defined() || (zero >= 0 && !b.value(zero).is_constant()) || from.shape().empty()) return -1;
  const std::int64_t columns = from.shape().back();
  const std::int64_t points = zero >= 0 ? b.value(zero).constant.size() : 1;
  if (points != 1 && (points != columns || b.rank(zero) != 1)) return -1;
  const auto point = [&](std::int64_t i) {
    return zero < 0 ? 0 : read_int(b.value(zero).constant, points == 1 ? 0 : i);
  };
  std::vector<std::int32_t> points_of;
  for (std::int64_t i = 0; i < columns; ++i) points_of.push_back(static_cast<std::int32_t>(point(i)));
  Tensor t(DType::i32, from.shape());
  const auto subtract = [&](const auto* x) {
    auto* const y = t.as<std::int32_t>();
    for (std::int64_t at = 0; at < t.size(); at += columns)
      for (std::int64_t i = 0; i < columns; ++i) y[at + i] = x[at + i] - points_of[static_cast<std::size_t>(i)];
  };
  if (from.dtype() == DType::u8) subtract(from.as<std::uint8_t>());
  else subtract(from.as<std::int8_t>());
  return b.g.add_constant(b.fresh_name(b.value(v).name + ":i32"), std::move(t));
}

/// A constant matrix B of 8 bits [k,n] restated as B - zero points = weights - offsets, with weights of 8 bits and a
/// sign: what is multiplied, what is left over per column, and the sums of the columns.
struct SignedWeights {
  Tensor weights, offsets, sums;  ///< i8 [k,n], i32 [n], i32 [n]
  bool has_offsets = false;
};

SignedWeights signed_weights(const Tensor& b, const std::vector<std::int32_t>& points) {
  const std::int64_t k = b.shape()[0], n = b.shape()[1];
  const auto at = [&](std::int64_t i) {
    return b.dtype() == DType::u8 ? int{b.as<std::uint8_t>()[i]} : int{b.as<std::int8_t>()[i]};
  };
  SignedWeights w{Tensor(DType::i8, {k, n}), Tensor(DType::i32, {n}), Tensor(DType::i32, {n})};
  for (std::int64_t i = 0; i < k * n && !w.has_offsets; ++i) {
    const int v = at(i) - points[static_cast<std::size_t>(i % n)];
    w.has_offsets = v < -128 || v > 127;
  }
  const int shift = b.dtype() == DType::u8 ? 128 : 0;
  auto* const weights = w.weights.as<std::int8_t>();
  auto *const offsets = w.offsets.as<std::int32_t>(), *const sums = w.sums.as<std::int32_t>();
  for (std::int64_t j = 0; j < n; ++j) {
    const int taken = w.has_offsets ? shift : points[static_cast<std::size_t>(j)];
    offsets[j] = points[static_cast<std::size_t>(j)] - taken;
    std::uint32_t sum = 0;  // modulo 2^32, as all of these sums are
    for (std::int64_t i = j; i < k * n; i += n) {
      weights[i] = static_cast<std::int8_t>(at(i) - taken);
      sum += static_cast<std::uint32_t>(std::int32_t{weights[i]});
    }
    sums[j] = static_cast<std::int32_t>(sum);
  }
  return w;
}

// With constant weights bytes are multiplied as they are, and zero points are taken off the sums:
//   sum (a - z)(w - q) = sum a w - z sum w - q (sum a - k z).
// -1 where weights are no constant matrix, or k does not come in fours (lower::ElementTypes::quads).
ValueId product_of_bytes(OpBuilder& b) {
  const Tensor& from = b.value(b.in(1)).constant;
  const ValueId points = b.optional_in(3);
  if (!from.defined() || from.shape().size() != 2 || b.rank(b.in(0)) < 2 || from.size() == 0) return -1;
  if (from.shape()[0] % 4 != 0 || (points >= 0 && !b.value(points).is_constant())) return -1;
  const std::int64_t k = from.shape()[0], n = from.shape()[1];
  const std::int64_t many = points >= 0 ? b.value(points).constant.size() : 1;
  if (many != 1 && (many != n || b.rank(points) != 1)) return -1;
  std::vector<std::int32_t> point(static_cast<std::size_t>(n), 0);
  for (std::int64_t j = 0; points >= 0 && j < n; ++j)
    point[static_cast<std::size_t>(j)] =
        static_cast<std::int32_t>(read_int(b.value(points).constant, many == 1 ? 0 : j));
  SignedWeights w = signed_weights(from, point);
  const auto constant = [&](const char* what, Tensor t) {
    return b.g.add_constant(b.fresh_name(b.value(b.in(1)).name + what), std::move(t));
  };
  const Attributes i32{{"to", std::int64_t{6}}};
  const auto number = [&](std::int64_t v) {
    Tensor t(DType::i32, {});
    *t.as<std::int32_t>() = static_cast<std::int32_t>(v);
    return b.g.add_constant(b.fresh_name(b.value(b.in(1)).name + ":number"), std::move(t));
  };
  ValueId a = b.in(0), zero = b.optional_in(2);
  if (zero >= 0) {
    zero = op(b, "Cast", {zero}, i32);
    if (b.rank(zero) == 1 && !b.table().is_constant(b.dims(zero)[0], 1))
      zero = op(b, "Unsqueeze", {zero, b.int_constant({1})});  // per row
  }
  if (b.dtype(a) == DType::i8) {  // 128 more: without a sign
    a = op(b, "Cast", {op(b, "Add", {op(b, "Cast", {a}, i32), number(128)})}, {{"to", std::int64_t{2}}});
    zero = zero >= 0 ? op(b, "Add", {zero, number(128)}) : number(128);
  }
  std::vector<Dim> dims = b.dims(a);
  dims.back() = b.dim(n);
  Instance product(b, "Y[o...,m,n] += cast_i32(A[o...,m,k]) * cast_i32(B[k,n])");
  product.pack("o", axis_list("b", b.rank(a) - 2)).extent("k", b.dim(k));
  product.input("A", a).input("B", constant(":i8", std::move(w.weights)));
  ValueId y = product.output("Y", DType::i32, dims, 1000).build_one();
  if (zero >= 0) y = op(b, "Sub", {y, op(b, "Mul", {zero, constant(":sums", std::move(w.sums))})});
  if (!w.has_offsets) return y;
  ValueId rows = op(b, "ReduceSum", {op(b, "Cast", {a}, i32), b.int_constant({-1})});
  if (zero >= 0) rows = op(b, "Sub", {rows, op(b, "Mul", {zero, number(k)})});
  return op(b, "Sub", {y, op(b, "Mul", {rows, constant(":offsets", std::move(w.offsets))})});
}

// Integers are multiplied exactly, in i32, after the zero points are taken off.
std::vector<ValueId> matmul_integer(OpBuilder& b) {
  if (const ValueId y = product_of_bytes(b); y >= 0) return {y};
  const Attributes to{{"to", std::int64_t{6}}};
  ValueId side[2];
  for (int i = 0; i < 2; ++i) {
    if (i == 1 && (side[i] = known_integers(b, b.in(1), b.optional_in(3))) >= 0) continue;
    side[i] = op(b, "Cast", {b.in(i)}, to);
    if (!b.has(i + 2)) continue;
    ValueId zero = op(b, "Cast", {b.in(i + 2)}, to);
    if (i == 0 && b.rank(zero) == 1 && !b.table().is_constant(b.dims(zero)[0], 1))
      zero = op(b, "Unsqueeze", {zero, b.int_constant({1})});  // per row
    side[i] = op(b, "Sub", {side[i], zero});
  }
  return {op(b, "MatMul", {side[0], side[1]})};
}

// Per-tensor quantisation to u8 over the range of the data, with zero in it.
std::vector<ValueId> dynamic_quantize(OpBuilder& b) {
  const ValueId x = b.in(0), zero = b.float_constant(0, DType::f32), top = b.float_constant(255, DType::f32);
  const Attributes all{{"keepdims", std::int64_t{0}}};
  const ValueId hi = op(b, "Max", {op(b, "ReduceMax", {x}, all), zero}),
                lo = op(b, "Min", {op(b, "ReduceMin", {x}, all), zero});
  // A range of one point (all zeros) has no scale of its own: 1, as ONNX Runtime has it.
  const ValueId range = op(b, "Sub", {hi, lo});
  const ValueId scale =
      op(b, "Where", {op(b, "Equal", {range, zero}), b.float_constant(1, DType::f32), op(b, "Div", {range, top})});
  const ValueId from = op(b, "Clip", {op(b, "Round", {op(b, "Div", {op(b, "Neg", {lo}), scale})}), zero, top});
  const ValueId point = op(b, "Cast", {from}, {{"to", std::int64_t{2}}});
  std::vector<ValueId> r{op(b, "QuantizeLinear", {x, scale, point}), scale, point};
  r.resize(static_cast<std::size_t>(std::max(1, b.output_count())));
  return r;
}

// Values of attention in the example are those of one head; the library composes the operator from others.
constexpr Definition kTable[] = {
    {"Attention", "softmax(Q * sqrt(scale) . (K * sqrt(scale))^T + bias) . V", attention,
     "T[b,h,q,k] += Q[b,h,q,d] * K[b,h,k,d]; M[b,h,q] max= T[b,h,q,k]; E[b,h,q,k] = exp(T[b,h,q,k] - M[b,h,q]); "
     "Z[b,h,q] += E[b,h,q,k]; "
     "P[b,h,q,k] = E[b,h,q,k] / Z[b,h,q]; Y[b,h,q,e] += P[b,h,q,k] * V[b,h,k,e]"},
    {"RotaryEmbedding",
     "Y[l...,j+$z] = X[l...,j+$z] * C[a...,j] - X[l...,j+$r] * S[a...,j]; Y[l...,j+$r] = X[l...,j+$r] * C[a...,j] + "
     "X[l...,j+$z] * S[a...,j]\n---\n"
     "Y[l...,j*2] = X[l...,j*2] * C[a...,j] - X[l...,j*2+1] * S[a...,j]; Y[l...,j*2+1] = X[l...,j*2+1] * C[a...,j] + "
     "X[l...,j*2] * S[a...,j]",
     rotary,
     "Y[b,h,s,j+$z] = X[b,h,s,j+$z] * C[P[b,s],j] - X[b,h,s,j+$r] * S[P[b,s],j]; "
     "Y[b,h,s,j+$r] = X[b,h,s,j+$r] * C[P[b,s],j] + X[b,h,s,j+$z] * S[P[b,s],j]"},
    {"SwiGLU", "Y[i...] = A[i...] * sigmoid(A[i...] * P[]) * B[i...]", swiglu,
     "Y[i0,i1] = A[i0,i1] * sigmoid(A[i0,i1] * 1.0) * B[i0,i1]"},
    {"MatMulInteger",
     "Y[o...,m,n] += (cast_i32(A[o...,m,k]) - cast_i32(P[])) * (cast_i32(B[o...,k,n]) - cast_i32(Q[]))", matmul_integer,
     "Y[m,n] += (cast_i32(A[m,k]) - 3) * (cast_i32(B[k,n]) - 5)"},
    {"DynamicQuantizeLinear", "Y[i...] = cast_u8(min(max(round(X[i...] / S[]) + cast_f32(Z[]), 0.0), 255.0))",
     dynamic_quantize},
    {"DequantizeLinear", "Y[i...] = (cast_f32(X[i...]) - cast_f32(Z[])) * S[]", dequantize},
    {"QuantizeLinear", "Y[i...] = cast_u8(min(max(round(X[i...] / S[]) + cast_f32(Z[]), 0.0), 255.0))", quantize},
};

}  // namespace

std::span<const Definition> composite_definitions() { return kTable; }

}  // namespace pit::graph
