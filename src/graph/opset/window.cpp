// Convolutions and pools: index expressions x*stride + k*dilation - pad, with a default for reads in the padding.
//
// A convolution is a matrix product of its gathered windows; with groups it is one expression over compound indices. A
// 1x1 convolution is written without window axes, and a window that tiles its operand (patch embedding) as a split
// axis, x:k: their windows are views or copies without overlap.
#include <cmath>
#include <fmt/ranges.h>
#include <limits>

#include "graph/numeric.h"
#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

constexpr int kInner = 1000;

struct Window {
  int n = 0;  // spatial dimensions
  std::vector<std::int64_t> kernel, stride, dilation;
  std::vector<Dim> begin, end, out;  // padding and extents of the result
  bool padded = false;               // some read may be outside
};

std::vector<std::int64_t> list(OpBuilder& b, const char* name, int n, std::int64_t otherwise) {
  std::vector<std::int64_t> v = b.ints_attr(name, std::vector<std::int64_t>(static_cast<std::size_t>(n), otherwise));
  if (static_cast<int>(v.size()) != n)
    b.fail(fmt::format("attribute '{}' has {} numbers for {} spatial dimensions", name, v.size(), n));
  return v;
}

// The window that a weight has; 'kernel_shape' may repeat it.
std::vector<std::int64_t> window_of(OpBuilder& b, ValueId weight) {
  std::vector<std::int64_t> kernel;
  const std::vector<Dim> k = b.dims(weight);
  for (std::size_t i = 2; i < k.size(); ++i) {
    const auto v = b.table().constant_value(k[i]);
    if (!v) b.unsupported("the window must be constant", weight);
    kernel.push_back(*v);
  }
  if (const auto said = b.ints_attr("kernel_shape", kernel); said != kernel)
    b.fail(fmt::format("attribute 'kernel_shape' is [{}], but the weight has [{}]", fmt::join(said, ", "),
                       fmt::join(kernel, ", ")),
           weight);
  return kernel;
}

Window window(OpBuilder& b, const std::vector<Dim>& in, std::vector<std::int64_t> kernel) {
  Window w;
  w.n = static_cast<int>(in.size()) - 2;
  w.kernel = std::move(kernel);
  w.stride = list(b, "strides", w.n, 1);
  w.dilation = list(b, "dilations", w.n, 1);
  const std::string auto_pad = b.string_attr("auto_pad", "NOTSET");
  const std::vector<std::int64_t> pads =
      b.ints_attr("pads", std::vector<std::int64_t>(2 * static_cast<std::size_t>(w.n), 0));
  if (pads.size() != 2 * static_cast<std::size_t>(w.n))
    b.fail(fmt::format("attribute 'pads' has {} numbers for {} spatial dimensions", pads.size(), w.n));
  const bool ceil_mode = b.int_attr("ceil_mode", 0) != 0;
  DimTable& t = b.table();
  for (std::size_t i = 0; i < static_cast<std::size_t>(w.n); ++i) {
    const Dim size = in[i + 2], s = b.dim(w.stride[i]), reach = b.dim((w.kernel[i] - 1) * w.dilation[i] + 1);
    Dim begin = b.dim(0), end = b.dim(0), out;
    if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
      out = t.ceildiv(size, s);
      const Dim total = t.max(t.sub(t.add(t.mul(t.sub(out, b.dim(1)), s), reach), size), b.dim(0));
      const Dim half = t.floordiv(total, b.dim(2)), other = t.sub(total, half);
      begin = auto_pad == "SAME_UPPER" ? half : other;
      end = auto_pad == "SAME_UPPER" ? other : half;
    } else {
      if (auto_pad == "NOTSET") {
        begin = b.dim(pads[i]);
        end = b.dim(pads[i + static_cast<std::size_t>(w.n)]);
      }
      const Dim room = t.sub(t.add(size, t.add(begin, end)), reach);
      out = t.add(ceil_mode ? t.ceildiv(room, s) : t.floordiv(room, s), b.dim(1));
      // The last window must start inside the operand or its left padding.
      if (ceil_mode) out = t.select_lt(t.mul(t.sub(out, b.dim(1)), s), t.add(size, begin), out, t.sub(out, b.dim(1)));
      if (const auto v = t.constant_value(out); v && *v < 0)
        b.fail(fmt::format("the window does not fit spatial dimension {}", i), b.in(0));
    }
    w.padded = w.padded || ceil_mode || !t.is_constant(begin, 0) || !t.is_constant(end, 0);
    w.begin.push_back(begin);
    w.end.push_back(end);
    w.out.push_back(out);
  }
  return w;
}

// Index of spatial dimension i: "x0*$s0+k0*$d0-$p0", shorter where it can be.
// `plain`: as arithmetic, also where it could be a bare axis or a split one.
std::string position(OpBuilder& b, Instance* n, const Window& w, Dim size, std::size_t i, bool plain = false) {
  const bool unpadded = b.table().is_constant(w.begin[i], 0);
  if (!plain && w.kernel[i] == 1 && w.stride[i] == 1 && unpadded && w.out[i] == size) return fmt::format("x{}", i);
  if (!plain && w.kernel[i] == w.stride[i] && w.dilation[i] == 1 && unpadded &&
      b.table().mul(w.out[i], b.dim(w.kernel[i])) == size) {
    return fmt::format("x{0}:k{0}", i);
  }
  std::string s = fmt::format("x{}", i);
  if (w.stride[i] != 1) {
    s += fmt::format("*$s{}", i);
    n->param(fmt::format("s{}", i), b.dim(w.stride[i]));
  }
  if (w.kernel[i] == 1 && !plain) {
    // a single position: no axis for it
  } else if (w.dilation[i] == 1) {
    s += fmt::format("+k{}", i);
  } else {
    s += fmt::format("+k{}", i);
    s += fmt::format("*$d{}", i);
    n->param(fmt::format("d{}", i), b.dim(w.dilation[i]));
  }
  if (!unpadded) {
    s += fmt::format("-$p{}", i);
    n->param(fmt::format("p{}", i), w.begin[i]);
  }
  return s;
}

std::string positions(OpBuilder& b, Instance* n, const Window& w, const std::vector<Dim>& in) {
  std::vector<std::string> s;
  for (std::size_t i = 0; i < static_cast<std::size_t>(w.n); ++i) {
    s.push_back(position(b, n, w, in[i + 2], i));
    n->extent(fmt::format("k{}", i), b.dim(w.kernel[i]));
    n->extent(fmt::format("x{}", i), w.out[i]);
  }
  return fmt::format("{}", fmt::join(s, ","));
}

std::string joined(const std::vector<std::string>& parts, const char* separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

// A convolution as a matrix product: the windows become columns, P[n, c:k..., x:...], and every feature a row of
// weights; groups are a batch of products, P[n, g, c:k..., x:...]. Gathering the columns is a movement of its own (a view where windows neither overlap nor stretch), what
// remains is a contraction like any other; the bias is its epilogue. `w.padded`: zeros are
// gathered where a window reaches outside.
ValueId convolve(OpBuilder& b, const Window& w, ValueId x, ValueId weight, ValueId bias, std::int64_t groups) {
  const std::vector<Dim> d = b.dims(x), k = b.dims(weight);
  const DType t = b.dtype(x);
  const auto n = static_cast<std::size_t>(w.n);
  Instance columns(b, ""), rows(b, "");
  const std::string at = positions(b, &columns, w, d);
  std::vector<std::string> terms{"c"}, read{"c"}, places;
  const Dim g = b.dim(groups), features = b.table().div(k[0], g);
  Dim q = k[1], p = b.dim(1);
  for (std::size_t i = 0; i < n; ++i) {
    const std::string axis = fmt::format("k{}", i);
    const bool moves = at.find(axis) != std::string::npos;
    if (moves) terms.push_back(axis);
    read.push_back(moves ? axis : "0");
    places.push_back(fmt::format("x{}", i));
    q = b.table().mul(q, b.dim(w.kernel[i]));
    p = b.table().mul(p, w.out[i]);
    rows.extent(axis, b.dim(w.kernel[i]));
  }
  const bool grouped = groups > 1;
  const std::string gs = grouped ? "g," : "", gc = grouped ? "g:c" : "c", gf = grouped ? "g:f" : "f";
  const auto shape = [&](std::vector<Dim> dims) {
    if (grouped) dims.insert(dims.begin() + 1, g);
    return dims;
  };
  for (Instance* i : {&columns, &rows})
    if (grouped) i->extent("g", g).extent("c", k[1]);
  columns.set_text(fmt::format("P[n,{}{},{}] = X[n,{},{}{}]", gs, joined(terms, ":"), joined(places, ":"), gc, at,
                               w.padded ? " | 0" : ""));
  const ValueId gathered = columns.input("X", x).output("P", t, shape({d[0], q, p}), kInner + 1).build_one();
  if (grouped) rows.extent("f", features);
  rows.set_text(fmt::format("V[{}f,{}] = W[{},{}]", gs, joined(terms, ":"), gf, joined(read, ",")));
  const std::vector<Dim> rows_shape = grouped ? std::vector<Dim>{g, features, q} : std::vector<Dim>{k[0], q};
  const ValueId matrix = rows.input("W", weight).output("V", t, rows_shape, kInner + 2).build_one();
  Instance product(b, fmt::format("T[n,{0}f,p] += V[{0}f,q] * P[n,{0}q,p]", gs));
  ValueId y = product.input("V", matrix)
                  .input("P", gathered)
                  .output("T", t, shape({d[0], features, p}), kInner + 3)
                  .build_one();
  if (bias >= 0) {
    Instance e(b, fmt::format("Y[n,{0}f,p] = T[n,{0}f,p] + B[{1}]", gs, gf));
    y = e.input("T", y).input("B", bias).output("Y", t, shape({d[0], features, p}), kInner + 4).build_one();
  }
  std::vector<Dim> out{d[0], k[0]};
  out.insert(out.end(), w.out.begin(), w.out.end());
  Instance image(b, fmt::format("Y[n,{},{}] = T[n,{}f,{}]", gf, joined(places, ","), gs, joined(places, ":")));
  if (grouped) image.extent("g", g).extent("f", features);
  return image.input("T", y).output("Y", t, out, 0).build_one();
}

std::vector<ValueId> conv(OpBuilder& b) {
  const ValueId x = b.in(0), weight = b.in(1), bias = b.optional_in(2);
  const std::vector<Dim> d = b.dims(x), k = b.dims(weight);
  const Window w = window(b, d, window_of(b, weight));
  const std::int64_t groups = b.int_attr("group", 1);
  const auto features = b.table().constant_value(k[0]), inner = b.table().constant_value(k[1]),
             channels = b.table().constant_value(d[1]);
  if (!features || !inner || *features % groups != 0)
    b.fail(fmt::format("{} groups do not divide the features", groups), weight);
  if (channels && (*channels % groups != 0 || *channels / groups != *inner))
    b.fail(fmt::format("the weight asks for {} channels in each of {} groups, the operand has {} in all", *inner,
                       groups, *channels),
           x);
  b.require_equal(d[1], b.table().mul(k[1], b.dim(groups)), x);
  // Products of a few rows, or of a few terms, are no work for tiles: depthwise convolutions are nests.
  constexpr std::int64_t rows = 4, terms = 32;
  std::int64_t volume = *inner;
  for (const std::int64_t e : w.kernel) volume *= e;
  if (groups == 1 || (*features / groups >= rows && volume >= terms)) return {convolve(b, w, x, weight, bias, groups)};
  const DType t = b.dtype(x);

  Instance n(b, "");
  std::string xc = "c", wc = "c", f = "f";  // channel indices of operand and weight, feature index
  if (groups > 1) {
    const bool one_in = *inner == 1, one_out = *features == groups;
    xc = one_in ? "g" : "g:c";
    wc = one_in ? "0" : "c";
    f = one_out ? "g" : "g:f";
    n.extent("g", b.dim(groups)).extent("f", b.dim(*features / groups));
  }
  std::vector<std::string> ks;
  const std::string at = positions(b, &n, w, d);
  for (int i = 0; i < w.n; ++i)
    ks.push_back(w.kernel[static_cast<std::size_t>(i)] == 1 && at.find(fmt::format("k{}", i)) == std::string::npos
                     ? "0"
                     : fmt::format("k{}", i));
  const std::string xs = axis_list("x", w.n);
  n.set_text(fmt::format("T[n,{},{}] += X[n,{},{}{}] * W[{},{},{}]", f, xs, xc, at, w.padded ? " | 0" : "", f, wc,
                         fmt::join(ks, ",")));
  std::vector<Dim> out{d[0], k[0]};
  out.insert(out.end(), w.out.begin(), w.out.end());
  const ValueId product = n.input("X", x).input("W", weight).output("T", t, out, bias >= 0 ? kInner : 0).build_one();
  if (bias < 0) return {product};
  Instance e(b, fmt::format("Y[n,f,{0}] = T[n,f,{0}] + B[f]", xs));
  return e.input("T", product).input("B", bias).output("Y", t, out, 0).build();
}

// What every position of the operand gives to every place of its window, Z[n, g:f:k..., x:...]: a matrix product of the
// weight and the operand, with a batch of groups.
ValueId spread(OpBuilder& b, ValueId x, ValueId weight, const std::vector<std::int64_t>& kernel, std::int64_t groups) {
  const std::vector<Dim> d = b.dims(x), k = b.dims(weight);
  const DType t = b.dtype(x);
  DimTable& table = b.table();
  const Dim g = b.dim(groups), c = table.div(d[1], g);
  std::vector<std::string> ks, xs;
  Dim q = k[1], p = b.dim(1);
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    ks.push_back(fmt::format("k{}", i));
    xs.push_back(fmt::format("x{}", i));
    q = table.mul(q, k[i + 2]);
    p = table.mul(p, d[i + 2]);
  }
  Instance rows(b, fmt::format("V[g,f:{},c] = W[g:c,f,{}]", joined(ks, ":"), joined(ks, ",")));
  rows.extent("g", g).extent("c", c).input("W", weight);
  const ValueId v = rows.output("V", t, {g, q, c}, kInner).build_one();
  Instance columns(b, fmt::format("P[n,g,c,{}] = X[n,g:c,{}]", joined(xs, ":"), joined(xs, ",")));
  columns.extent("g", g).extent("c", c).input("X", x);
  const ValueId m = columns.output("P", t, {d[0], g, c, p}, kInner + 1).build_one();
  Instance product(b, "Z[n,g,q,p] += V[g,q,c] * P[n,g,c,p]");
  return product.input("V", v).input("P", m).output("Z", t, {d[0], g, q, p}, kInner + 2).build_one();
}

// Every element of the result gathers from the positions whose windows cover it.
std::vector<ValueId> conv_transpose(OpBuilder& b) {
  const ValueId x = b.in(0), weight = b.in(1), bias = b.optional_in(2);
  const std::vector<Dim> d = b.dims(x), k = b.dims(weight);
  const int sn = static_cast<int>(d.size()) - 2;
  if (b.has_attr("output_shape") || b.string_attr("auto_pad", "NOTSET") != "NOTSET")
    b.unsupported("'output_shape' and 'auto_pad' are not supported; give 'pads'");
  const std::vector<std::int64_t> stride = list(b, "strides", sn, 1), dilation = list(b, "dilations", sn, 1),
                                  kernel = window_of(b, weight);
  const std::vector<std::int64_t> zeros(2 * static_cast<std::size_t>(sn), 0);
  const std::vector<std::int64_t> pads = b.ints_attr("pads", zeros), extra = b.ints_attr("output_padding", zeros);
  if (pads.size() != zeros.size())
    b.fail(fmt::format("attribute 'pads' has {} numbers for {} spatial dimensions", pads.size(), sn));
  if (extra.size() < static_cast<std::size_t>(sn))
    b.fail(fmt::format("attribute 'output_padding' has {} numbers for {} spatial dimensions", extra.size(), sn));
  const std::int64_t groups = b.int_attr("group", 1);
  const auto channels = b.table().constant_value(k[0]);
  if (!channels || *channels % groups != 0) b.fail(fmt::format("{} groups do not divide the channels", groups), weight);
  b.require_equal(d[1], k[0], x);
  DimTable& t = b.table();
  std::vector<Dim> split{d[0], b.dim(groups), k[1]}, out{d[0], t.mul(b.dim(groups), k[1])};
  for (const std::int64_t n : kernel) split.push_back(b.dim(n));
  split.insert(split.end(), d.begin() + 2, d.end());
  const ValueId z = reshape_to(b, spread(b, x, weight, kernel, groups), split)[0];

  Instance n(b, "");
  std::string condition, index, ks;
  for (std::size_t i = 0; i < static_cast<std::size_t>(sn); ++i) {
    const std::int64_t reach = (kernel[i] - 1) * dilation[i] + 1;
    out.push_back(t.add(t.mul(t.sub(d[i + 2], b.dim(1)), b.dim(stride[i])),
                        b.dim(reach + extra[i] - pads[i] - pads[i + static_cast<std::size_t>(sn)])));
    const std::string from = fmt::format("y{0}+$p{0}-k{0}*$d{0}", i);
    condition += fmt::format("{}({}) % $s{} == 0", i == 0 ? "" : " && ", from, i);
    index += fmt::format(",({})//$s{}", from, i);
    ks += fmt::format(",k{}", i);
    n.param(fmt::format("p{}", i), b.dim(pads[i]))
        .param(fmt::format("d{}", i), b.dim(dilation[i]))
        .param(fmt::format("s{}", i), b.dim(stride[i]));
  }
  n.set_text(fmt::format("T[n,g:f,{}] += select({}, Z[n,g,f{}{} | 0], 0)", axis_list("y", sn), condition, ks, index));
  const ValueId sum = n.input("Z", z).output("T", b.dtype(x), out, bias >= 0 ? kInner + 3 : 0).build_one();
  if (bias < 0) return {sum};
  Instance e(b, fmt::format("Y[n,f,{0}] = T[n,f,{0}] + B[f]", axis_list("y", sn)));
  return e.input("T", sum).input("B", bias).output("Y", b.dtype(x), out, 0).build();
}

std::vector<Dim> pooled(const std::vector<Dim>& d, const Window& w) {
  std::vector<Dim> out{d[0], d[1]};
  out.insert(out.end(), w.out.begin(), w.out.end());
  return out;
}

Window pool_window(OpBuilder& b) {
  const std::vector<Dim> d = b.dims(b.in(0));
  const Window w = window(b, d, list(b, "kernel_shape", static_cast<int>(d.size()) - 2, 0));
  // Every place of the window is walked, also where all of it is padding.
  constexpr std::int64_t most = 1 << 24;
  Dim volume = b.dim(1);
  for (std::size_t i = 0; i < w.kernel.size(); ++i) {
    volume = b.table().mul(volume, b.dim(w.kernel[i]));
    const auto reach = (w.kernel[i] - 1) * w.dilation[i] + 1;
    for (const Dim pad : {w.begin[i], w.end[i]})
      if (const auto p = b.table().constant_value(pad); p && *p >= reach && *p > 0)
        b.fail(
            fmt::format("spatial dimension {} is padded by {}, which is not less than the window, {}", i, *p, reach));
  }
  if (b.table().at_least(volume, most + 1))
    b.unsupported(
        fmt::format("a window of {} elements is more than the {} that are supported", b.table().print(volume), most));
  return w;
}

// The part of a window that can lie inside: one that is larger than the operand mostly walks padding, which adds
// nothing.
Window inner_window(OpBuilder& b, const std::vector<Dim>& d, Window w) {
  for (std::size_t i = 0; i < w.kernel.size(); ++i) {
    const auto size = b.table().constant_value(d[i + 2]), out = b.table().constant_value(w.out[i]),
               begin = b.table().constant_value(w.begin[i]);
    if (!size || !out || !begin || w.kernel[i] <= *size) continue;
    const std::int64_t step = w.dilation[i], before = *begin - (*out - 1) * w.stride[i];  // in front of the last place
    const std::int64_t first = before > 0 ? (before + step - 1) / step : 0,
                       last = std::min(w.kernel[i] - 1, (*begin + *size - 1) / step);
    if (last < first) continue;
    w.kernel[i] = last - first + 1;
    w.begin[i] = b.dim(*begin - first * step);
  }
  return w;
}

expr::Expr lowest(DType t) {
  if (is_float(t)) return expr::literal(-std::numeric_limits<double>::infinity());
  return expr::int_literal(t == DType::u8 ? 0 : -128);
}

std::vector<ValueId> max_pool(OpBuilder& b) {
  if (b.wants(1)) b.unsupported("the indices of the maxima are not supported");
  const ValueId x = b.in(0);
  const std::vector<Dim> d = b.dims(x);
  const Window w = inner_window(b, d, pool_window(b));
  Instance n(b, "");
  const std::string at = positions(b, &n, w, d);
  n.set_text(fmt::format("Y[n,c,{}] max= X[n,c,{}{}]", axis_list("x", w.n), at, w.padded ? " | L[]" : ""));
  return n.input("X", x).literal("L", lowest(b.dtype(x))).output("Y", b.dtype(x), pooled(d, w)).build();
}

std::vector<ValueId> average_pool(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<Dim> d = b.dims(x);
  const DType t = b.dtype(x);
  const Window whole = pool_window(b);
  const bool with_padding = b.int_attr("count_include_pad", 0) != 0, overhangs = b.int_attr("ceil_mode", 0) != 0;
  const Window w = with_padding && overhangs ? whole : inner_window(b, d, whole);  // that one counts padding
  Instance n(b, "");
  const std::string at = positions(b, &n, w, d), xs = axis_list("x", w.n);
  std::string text = fmt::format("S[n,c,{}] += X[n,c,{}{}]; ", xs, at, w.padded ? " | 0" : "");
  std::int64_t size = 1;  // pool_window has seen to it that it is small
  for (const std::int64_t k : whole.kernel) size *= k;
  if (!w.padded || (with_padding && !overhangs)) {
    text += fmt::format("Y[n,c,{0}] = S[n,c,{0}] / N[]", xs);
    n.count("N", b.dim(size), t);
  } else {  // count the terms that are inside (with padding: inside the padded operand)
    std::string inside;
    for (std::size_t i = 0; i < static_cast<std::size_t>(w.n); ++i) {
      const std::string p = position(b, &n, w, d[i + 2], i, true);
      inside += fmt::format("{0}{1} >= $lo{2} && {1} < $hi{2}", i == 0 ? "" : " && ", p, i);
      n.param(fmt::format("lo{}", i), with_padding ? b.table().sub(b.dim(0), w.begin[i]) : b.dim(0));
      n.param(fmt::format("hi{}", i), with_padding ? b.table().add(d[i + 2], w.end[i]) : d[i + 2]);
    }
    text += fmt::format("C[{0}] += cast_{2}({1}); Y[n,c,{0}] = S[n,c,{0}] / C[{0}]", xs, inside, name_of(t));
  }
  n.set_text(text);
  return n.input("X", x).output("Y", t, pooled(d, w)).build();
}

std::vector<ValueId> lp_pool(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<Dim> d = b.dims(x);
  const double p = static_cast<double>(b.int_attr("p", 2));
  const Window w = inner_window(b, d, pool_window(b));
  Instance n(b, "");
  const std::string at = positions(b, &n, w, d), xs = axis_list("x", w.n);
  n.set_text(fmt::format("S[n,c,{0}] += pow(abs(X[n,c,{1}{2}]), P[]); Y[n,c,{0}] = pow(S[n,c,{0}], Q[])", xs, at,
                         w.padded ? " | 0" : ""));
  n.operand("P", b.float_constant(p, b.dtype(x))).operand("Q", b.float_constant(1 / p, b.dtype(x)));
  return n.input("X", x).output("Y", b.dtype(x), pooled(d, w)).build();
}

std::vector<ValueId> global_pool(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<Dim> d = b.dims(x);
  const int n_spatial = static_cast<int>(d.size()) - 2;
  std::vector<Dim> out{d[0], d[1]};
  out.resize(d.size(), b.dim(1));
  std::string zeros;
  for (int i = 0; i < n_spatial; ++i) zeros += i == 0 ? "0" : ",0";
  Instance n(b, b.text);
  n.pack("p", axis_list("x", n_spatial)).pack("z", zeros).input("X", x).output("Y", b.dtype(x), out);
  n.count("N", b.product(std::span(d).subspan(2)), b.dtype(x));
  if (b.call.op == "GlobalLpPool") {
    const double p = static_cast<double>(b.int_attr("p", 2));
    n.operand("P", b.float_constant(p, b.dtype(x))).operand("Q", b.float_constant(1 / p, b.dtype(x)));
  }
  return n.build();
}

// X / (bias + alpha/size * sum of squares over neighbouring channels)^beta
std::vector<ValueId> local_response(OpBuilder& b) {
  const ValueId x = b.in(0);
  const DType t = b.dtype(x);
  const std::int64_t size = b.int_attr("size", 1);
  DimTable& table = b.table();
  // Only what lies inside is walked: a window may be larger than the channels are many.
  Dim half = b.dim((size - 1) / 2);
  const Dim reach = table.max(table.sub(b.dims(x)[1], b.dim(1)), b.dim(0));
  if (table.constant_value(reach) || size > 1024) half = table.min(half, reach);
  Instance n(b, b.text);
  n.pack("p", axis_list("x", b.rank(x) - 2))
      .extent("j", table.add(table.mul(half, b.dim(2)), b.dim(1)))
      .param("h", half);
  n.operand("K", b.float_constant(b.float_attr("bias", 1.0), t));
  n.operand("A", b.float_constant(b.float_attr("alpha", 0.0001f) / static_cast<double>(size), t));
  n.operand("B", b.float_constant(b.float_attr("beta", 0.75), t));
  return n.input("X", x).output("Y", t, b.dims(x)).build();
}

constexpr Definition kTable[] = {
    {"Conv", "T[n,f,x...] += X[n,c,x*$s+k*$d-$p | 0] * W[f,c,k...]; Y[n,f,x...] = T[n,f,x...] + B[f]", conv,
     "T[n,f,x0,x1] += X[n,c,x0*$s0+k0-$p0,x1*$s1+k1-$p1 | 0] * W[f,c,k0,k1]"},
    {"ConvTranspose",
     "Z[n,f,k...,x...] += W[c,f,k...] * X[n,c,x...]; T[n,f,y...] += select((y+$p-k*$d) % $s == 0, "
     "Z[n,f,k...,(y+$p-k*$d)//$s | 0], 0)",
     conv_transpose,
     "Z[n,f,k0,x0] += W[c,f,k0] * X[n,c,x0]; T[n,f,y0] += select((y0+$p0-k0*$d0) % $s0 == 0, "
     "Z[n,f,k0,(y0+$p0-k0*$d0)//$s0 | 0], 0)"},
    {"MaxPool", "Y[n,c,x...] max= X[n,c,x*$s+k*$d-$p | -inf]", max_pool,
     "Y[n,c,x0,x1] max= X[n,c,x0*$s0+k0,x1*$s1+k1]"},
    {"AveragePool", "S[n,c,x...] += X[n,c,x*$s+k*$d-$p | 0]; Y[n,c,x...] = S[n,c,x...] / N[]", average_pool,
     "S[n,c,x0,x1] += X[n,c,x0*$s0+k0,x1*$s1+k1]; Y[n,c,x0,x1] = S[n,c,x0,x1] / 4.0"},
    {"LpPool", "S[n,c,x...] += pow(abs(X[n,c,x*$s+k*$d-$p | 0]), P[]); Y[n,c,x...] = pow(S[n,c,x...], Q[])", lp_pool,
     "S[n,c,x0] += pow(abs(X[n,c,x0*$s0+k0]), 2.0); Y[n,c,x0] = pow(S[n,c,x0], 0.5)"},
    {"GlobalAveragePool", "S[n,c] += X[n,c,p...]; Y[n,c,z...] = S[n,c] / N[]", global_pool,
     "S[n,c] += X[n,c,x0,x1]; Y[n,c,0,0] = S[n,c] / 49.0"},
    {"GlobalMaxPool", "Y[n,c,z...] max= X[n,c,p...]", global_pool, "Y[n,c,0,0] max= X[n,c,x0,x1]"},
    {"GlobalLpPool", "S[n,c] += pow(abs(X[n,c,p...]), P[]); Y[n,c,z...] = pow(S[n,c], Q[])", global_pool,
     "S[n,c] += pow(abs(X[n,c,x0]), 2.0); Y[n,c,0] = pow(S[n,c], 0.5)"},
    {"LRN",
     "S[n,c,p...] += X[n,c+j-$h,p... | 0] * X[n,c+j-$h,p... | 0]; Y[n,c,p...] = X[n,c,p...] / pow(K[] + A[] * "
     "S[n,c,p...], B[])",
     local_response,
     "S[n,c,x0] += X[n,c+j-$h,x0 | 0] * X[n,c+j-$h,x0 | 0]; Y[n,c,x0] = X[n,c,x0] / pow(1.0 + 0.1 * S[n,c,x0], 0.75)"},
};

}  // namespace

std::span<const Definition> window_definitions() { return kTable; }

}  // namespace pit::graph
