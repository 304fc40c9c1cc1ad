// Operators that read between elements: positions in the operand become a table of indices and weights, made when a
// model is compiled where they depend on extents alone (Resize), computed where they are data (GridSample).
#include <algorithm>
#include <cmath>

#include "graph/numeric.h"
#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

constexpr int kOpset = 18;     // of the operators used in here
constexpr int kInner = 1000;   // position of an output that only this operator sees
constexpr double kMost = 1e9;  // extents are far smaller

ValueId op(OpBuilder& b, const char* name, std::vector<ValueId> in, Attributes a = {}) {
  return b.sub(name, std::move(in), std::move(a), kOpset);
}

std::int64_t need_extent(OpBuilder& b, ValueId x, int axis) {
  const auto n = b.table().constant_value(b.dims(x)[static_cast<std::size_t>(axis)]);
  if (!n) b.unsupported(fmt::format("the extent of dimension {} must be known when the model is compiled", axis), x);
  return *n;
}

// -- Resize

// One axis: `in` elements become `out`, each `scale` as wide; `first`..`last` is the part that is resized.
struct Stretch {
  int axis = 0;
  std::int64_t in = 0, out = 0;
  double scale = 1, first = 0, last = 1;
};

// Elements and weights of each result, `taps` of them; weights beside nothing are `outside`.
struct Taps {
  std::int64_t taps = 0;
  std::vector<std::int64_t> index;
  std::vector<double> weight;
  std::vector<bool> outside;
};

// In f32, as ONNX Runtime and the standard's reference compute it: what lies on the edge between two elements must fall
// to the same side.
float position(const std::string& mode, const Stretch& s, std::int64_t y) {
  const auto n = static_cast<float>(s.in), at = static_cast<float>(y), scale = static_cast<float>(s.scale),
             length = scale * n, out = static_cast<float>(s.out), first = static_cast<float>(s.first),
             last = static_cast<float>(s.last);
  const float half = (at + 0.5f) / scale - 0.5f;
  if (mode == "half_pixel") return half;
  if (mode == "half_pixel_symmetric") return n / 2 * (1 - out / length) + half;
  if (mode == "pytorch_half_pixel") return s.out > 1 ? half : 0;
  if (mode == "align_corners") return s.out == 1 ? 0 : at * (n - 1) / (length - 1);
  if (mode == "asymmetric") return at / scale;
  if (s.out == 1) return (first + last) * (n - 1) / 2;  // tf_crop_and_resize
  return first * (n - 1) + at * (last - first) * (n - 1) / (out - 1);
}

double nearest(const std::string& mode, double x) {
  if (mode == "floor") return std::floor(x);
  if (mode == "ceil") return std::ceil(x);
  return mode == "round_prefer_ceil" ? std::floor(x + 0.5) : std::ceil(x - 0.5);
}

double hat(const std::string& mode, double a, double x) {
  x = std::abs(x);
  if (mode == "linear") return std::max(0.0, 1 - x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

Taps taps_of(OpBuilder& b, const Stretch& s) {
  const std::string mode = b.string_attr("mode", "nearest"),
                    place = b.string_attr("coordinate_transformation_mode",
                                          b.call.opset < 11 ? "asymmetric" : "half_pixel"),
                    rounding = b.string_attr("nearest_mode", b.call.opset < 11 ? "floor" : "round_prefer_floor");
  const bool smooth = b.int_attr("antialias", 0) != 0, exclude = b.int_attr("exclude_outside", 0) != 0;
  const double a = b.float_attr("cubic_coeff_a", -0.75);
  // Shrinking with antialias, the kernel is as wide as what becomes one element.
  const double wide = smooth && mode != "nearest" && s.scale < 1 ? 1 / s.scale : 1, reach = mode == "cubic" ? 2 : 1;
  Taps t;
  t.taps = mode == "nearest" ? 1 : static_cast<std::int64_t>(2 * std::ceil(reach * wide));
  constexpr std::int64_t most = 1 << 24;
  if (t.taps > most / std::max<std::int64_t>(s.out, 1)) b.unsupported("the table of weights would be too large");
  for (std::int64_t y = 0; y < s.out; ++y) {
    const double x = std::clamp<double>(position(place, s, y), -kMost, kMost);
    t.outside.push_back(place == "tf_crop_and_resize" && (x < 0 || x > static_cast<double>(s.in - 1)));
    const std::int64_t before = t.taps / 2 - 1;
    const double base = mode == "nearest" ? nearest(rounding, x) : std::floor(x) - static_cast<double>(before);
    double sum = 0;
    const std::size_t row = t.weight.size();
    for (std::int64_t k = 0; k < t.taps; ++k) {
      const double at = base + static_cast<double>(k);
      const bool inside = at >= 0 && at < static_cast<double>(s.in);
      double w = mode == "nearest" ? 1 : hat(mode, a, (x - at) / wide);
      // An antialiased or excluding kernel ends at the edge; others repeat it.
      if (exclude && !inside) w = 0;
      sum += w;
      t.index.push_back(std::clamp(static_cast<std::int64_t>(at), std::int64_t{0}, s.in - 1));
      t.weight.push_back(w);
    }
    for (std::size_t k = row; k < t.weight.size() && sum != 0; ++k) t.weight[k] /= sum;
  }
  return t;
}

ValueId constant_of(OpBuilder& b, DType t, std::vector<std::int64_t> dims, const auto& values) {
  Tensor r(t, std::move(dims));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (is_float(t)) write_double(r, static_cast<std::int64_t>(i), static_cast<double>(values[i]));
    else write_int(r, static_cast<std::int64_t>(i), static_cast<std::int64_t>(values[i]));
  }
  return b.g.add_constant(b.fresh_name("table"), std::move(r));
}

ValueId stretch_axis(OpBuilder& b, ValueId x, const Stretch& s) {
  const Taps t = taps_of(b, s);
  const DType type = b.dtype(x);
  const int rank = b.rank(x);
  std::vector<Dim> out = b.dims(x);
  out[static_cast<std::size_t>(s.axis)] = b.dim(s.out);
  Instance n(b,
             t.taps == 1 ? "Y[o...,y,p...] = X[o...,I[y,0],p...]" : "Y[o...,y,p...] += X[o...,I[y,k],p...] * W[y,k]");
  n.pack("o", axis_list("i", s.axis)).pack("p", axis_list("i", rank - s.axis - 1, s.axis + 1));
  n.input("X", x).input("I", constant_of(b, DType::i64, {s.out, t.taps}, t.index));
  if (t.taps > 1) n.input("W", constant_of(b, type, {s.out, t.taps}, t.weight));
  ValueId y = n.output("Y", type, out, kInner + s.axis).build_one();
  if (std::none_of(t.outside.begin(), t.outside.end(), [](bool o) { return o; })) return y;
  std::vector<std::int64_t> shape(static_cast<std::size_t>(rank), 1);
  shape[static_cast<std::size_t>(s.axis)] = s.out;
  const ValueId outside = constant_of(b, DType::b8, shape, t.outside);
  const ValueId value = op(b, "CastLike", {b.float_constant(b.float_attr("extrapolation_value", 0), DType::f32), x});
  return op(b, "Where", {outside, value, y});
}

std::vector<double> need_numbers(OpBuilder& b, ValueId v, const char* what) {
  if (!b.value(v).is_constant()) b.unsupported(fmt::format("{} must be constant", what), v);
  const Tensor& t = b.value(v).constant;
  std::vector<double> r;
  for (std::int64_t i = 0; i < t.size(); ++i) r.push_back(read_double(t, i));
  return r;
}

// Where the operands stand: Upsample and the first Resize have scales alone.
struct Places {
  int roi = -1, scales = 1, sizes = -1;
};

// Scales as wide as asked for, or the one that fits all axes.
void set_sizes(OpBuilder& b, const std::vector<std::int64_t>& sizes, std::vector<Stretch>* all) {
  const std::string policy = b.string_attr("keep_aspect_ratio_policy", "stretch");
  double common = policy == "not_larger" ? kMost : 0;
  for (std::size_t i = 0; i < all->size(); ++i) {
    Stretch& s = (*all)[i];
    if (sizes[i] < 0) b.fail(fmt::format("size {} is negative", sizes[i]));
    s.out = sizes[i];
    s.scale = static_cast<double>(s.out) / static_cast<double>(s.in);
    common = policy == "not_larger" ? std::min(common, s.scale) : std::max(common, s.scale);
  }
  if (policy == "stretch") return;
  for (Stretch& s : *all) {
    s.scale = common;
    s.out = static_cast<std::int64_t>(std::floor(common * static_cast<double>(s.in) + 0.5));
  }
}

void set_scales(OpBuilder& b, const std::vector<double>& scales, std::vector<Stretch>* all) {
  for (std::size_t i = 0; i < all->size(); ++i) {
    Stretch& s = (*all)[i];
    s.scale = scales[i];
    if (!(s.scale > 0) || s.scale > kMost) b.fail(fmt::format("{} is no scale", s.scale));
    // in f32, as whoever made the file did
    s.out = static_cast<std::int64_t>(std::floor(static_cast<float>(s.in) * static_cast<float>(s.scale)));
  }
}

std::vector<ValueId> resize_with(OpBuilder& b, const Places& at) {
  ValueId x = b.in(0);
  const int rank = b.rank(x);
  std::vector<std::int64_t> axes = b.ints_attr("axes");
  if (axes.empty())
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  const ValueId roi_operand = at.roi >= 0 ? b.optional_in(at.roi) : -1;
  const ValueId size_operand = at.sizes >= 0 ? b.optional_in(at.sizes) : -1;
  std::vector<double> scales;
  std::vector<std::int64_t> sizes;
  if (b.has_attr("scales")) {
    const auto it = b.call.attributes.find("scales");
    scales = std::get<std::vector<double>>(it->second);
  } else if (const ValueId v = b.optional_in(at.scales); v >= 0) {
    scales = need_numbers(b, v, "the scales");
  }
  if (size_operand >= 0) sizes = b.need_constants(at.sizes, "sizes");
  if (scales.empty() == sizes.empty()) b.fail("there must be either scales or sizes");
  if (scales.size() + sizes.size() != axes.size())
    b.fail(fmt::format("{} scales or sizes for {} axes", scales.size() + sizes.size(), axes.size()));
  std::vector<double> roi;
  if (b.string_attr("coordinate_transformation_mode", "") == "tf_crop_and_resize") {
    if (roi_operand < 0) b.fail("this mode needs a region");
    roi = need_numbers(b, roi_operand, "the region");
    if (roi.size() != 2 * axes.size()) b.fail(fmt::format("a region of {} numbers", roi.size()), roi_operand);
  }
  std::vector<Stretch> all;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    Stretch s;
    s.axis = b.normal_axis(axes[i], rank);
    const bool same = roi.empty() && !scales.empty() && scales[i] == 1;
    const auto known = b.table().constant_value(b.dims(x)[static_cast<std::size_t>(s.axis)]);
    s.in = same && !known ? -1 : need_extent(b, x, s.axis);
    if (s.in == 0) b.unsupported("an empty dimension cannot be resized", x);
    if (!roi.empty()) s.first = roi[i], s.last = roi[i + axes.size()];
    all.push_back(s);
  }
  sizes.empty() ? set_scales(b, scales, &all) : set_sizes(b, sizes, &all);
  if (b.string_attr("mode", "nearest") != "nearest" && !is_float(b.dtype(x)))
    b.unsupported("only floating-point operands are supported in this mode", x);
  for (const Stretch& s : all) {
    if (s.in < 0 || (s.out == s.in && s.scale == 1 && roi.empty())) continue;
    if (s.out > kMost) b.fail(fmt::format("the result has {} elements along dimension {}", s.out, s.axis), x);
    const std::vector<Dim> d = b.dims(x);
    std::vector<Dim> out = d;
    out[static_cast<std::size_t>(s.axis)] = b.dim(s.out);
    if (const auto what = beyond_limits(b.g, out)) b.fail("the result has " + *what, x);
    x = stretch_axis(b, x, s);
  }
  return {x};
}

std::vector<ValueId> resize(OpBuilder& b) { return resize_with(b, b.call.opset < 11 ? Places{} : Places{1, 2, 3}); }
std::vector<ValueId> upsample(OpBuilder& b) { return resize_with(b, {}); }

// -- GridSample

// Positions along one axis as floats, from -1..1: kept near the operand, so that they fit an integer.
std::string place(const std::string& padding, bool corners, int a, const std::string& at) {
  const std::string n = fmt::format("M{}[]", a), g = fmt::format("G[n,{},$g{}]", at, a);
  std::string p =
      corners ? fmt::format("({} + 1.0) * 0.5 * ({} - 1.0)", g, n) : fmt::format("(({} + 1.0) * {} - 1.0) * 0.5", g, n);
  return fmt::format("P{0}[n,{1}] = min(max({2}, {3}), {4} + 1.0)", a, at, p, padding == "border" ? "0.0" : "-2.0",
                     padding == "border" ? n + " - 2.0" : n);
}

std::vector<ValueId> grid_sample(OpBuilder& b) {
  const ValueId x = b.in(0), grid = b.in(1);
  const int spatial = b.rank(x) - 2;
  const DType t = b.dtype(x);
  const std::string mode = b.string_attr("mode", "linear"), padding = b.string_attr("padding_mode", "zeros");
  if (mode == "cubic" || mode == "bicubic") b.unsupported("cubic interpolation is not supported");
  if (padding == "reflection") b.unsupported("reflection at the border is not supported");
  if (t != b.dtype(grid)) b.unsupported("operands of two types are not supported", grid);
  if (b.rank(grid) != b.rank(x)) b.fail("operand and grid have different ranks", grid);
  const std::vector<Dim> d = b.dims(x), g = b.dims(grid);
  b.require_equal(d[0], g[0], grid);
  b.require_equal(g.back(), b.dim(spatial), grid);
  const bool corners = b.int_attr("align_corners", 0) != 0, rounds = mode == "nearest";
  const std::string at = axis_list("y", spatial);
  std::string text;
  std::vector<Dim> out{d[0], d[1]}, places(g.begin(), g.end() - 1);
  out.insert(out.end(), g.begin() + 1, g.end() - 1);
  // Whole parts, one less, so that no index is a lookup alone (those count from the end where negative).
  std::vector<ValueId> whole, part;
  for (int a = 0; a < spatial; ++a) {
    const std::string m = fmt::format("M{}", a);
    Instance n(b, place(padding, corners, a, at));
    n.param(fmt::format("g{}", a), b.dim(spatial - 1 - a))
        .input("G", grid)
        .count(m, d[static_cast<std::size_t>(a) + 2], t);
    const ValueId p = n.output(fmt::format("P{}", a), t, places, kInner + 4 * a).build_one();
    const ValueId floor = op(b, rounds ? "Round" : "Floor", {p});
    part.push_back(op(b, "Sub", {p, floor}));
    const ValueId index = op(b, "Cast", {floor}, {{"to", std::int64_t{7}}});
    whole.push_back(op(b, "Sub", {index, b.int_constant({1})}));
  }
  Instance n(b, "");
  for (int corner = 0; corner < (rounds ? 1 : 1 << spatial); ++corner) {
    std::string index, weight;
    for (int a = 0; a < spatial; ++a) {
      const bool far = (corner >> a) & 1;
      index += fmt::format(",I{}[n,{}]+{}", a, at, far ? 2 : 1);
      if (!rounds) weight += fmt::format(fmt::runtime(far ? " * F{}[n,{}]" : " * (1.0 - F{}[n,{}])"), a, at);
    }
    text += fmt::format("{}X[n,c{} | 0]{}", corner == 0 ? "" : " + ", index, weight);
  }
  n.set_text(fmt::format("Y[n,c,{}] = {}", at, text)).input("X", x);
  for (int a = 0; a < spatial; ++a) {
    n.input(fmt::format("I{}", a), whole[static_cast<std::size_t>(a)]);
    if (!rounds) n.input(fmt::format("F{}", a), part[static_cast<std::size_t>(a)]);
  }
  return n.output("Y", t, out).build();
}

// -- AffineGrid: positions -1..1 of every place, as a matrix, times theta

std::vector<ValueId> affine_grid(OpBuilder& b) {
  const ValueId theta = b.in(0);
  const std::vector<std::int64_t> size = b.need_constants(1, "size");
  const std::int64_t spatial = static_cast<std::int64_t>(size.size()) - 2;
  if (spatial != 2 && spatial != 3) b.fail(fmt::format("a size of {} numbers", size.size()), b.in(1));
  const bool corners = b.int_attr("align_corners", 0) != 0;
  std::int64_t count = 1;
  for (std::size_t i = 2; i < size.size(); ++i)
    if (size[i] < 0 || __builtin_mul_overflow(count, size[i], &count) || count > (1 << 24))
      b.unsupported("the grid is too large", b.in(1));
  std::vector<double> base;
  for (std::int64_t p = 0; p < count; ++p) {
    std::int64_t rest = p;
    for (std::size_t i = size.size(); i-- > 2;) {
      const double at = static_cast<double>(rest % size[i]), n = static_cast<double>(size[i]);
      rest /= size[i];
      base.push_back(corners ? (n == 1 ? -1 : 2 * at / (n - 1) - 1) : (2 * at + 1) / n - 1);
    }
    base.push_back(1);
  }
  const ValueId places = constant_of(b, b.dtype(theta), {count, spatial + 1}, base);
  const ValueId y =
      op(b, "MatMul", {places, op(b, "Transpose", {theta}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}})});
  std::vector<Dim> out{b.dims(theta)[0]};
  for (std::size_t i = 2; i < size.size(); ++i) out.push_back(b.dim(size[i]));
  out.push_back(b.dim(spatial));
  b.require_equal(b.dims(theta)[0], b.dim(size[0]), theta);
  b.require_equal(b.dims(theta)[1], b.dim(spatial), theta);
  return reshape_to(b, y, out);
}

// -- CenterCropPad: what is in the middle

std::vector<ValueId> center_crop_pad(OpBuilder& b) {
  ValueId x = b.in(0);
  const int rank = b.rank(x);
  const std::vector<std::int64_t> want = b.need_constants(1, "shape");
  std::vector<std::int64_t> axes = b.ints_attr("axes"), starts, ends, pads(2 * static_cast<std::size_t>(rank), 0);
  if (axes.empty())
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  if (axes.size() != want.size()) b.fail(fmt::format("{} extents for {} axes", want.size(), axes.size()), b.in(1));
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = b.normal_axis(axes[i], rank);
    const auto at = static_cast<std::size_t>(axis);
    const std::int64_t have = need_extent(b, x, axis), less = std::max<std::int64_t>(have - want[i], 0);
    if (want[i] < 0) b.fail(fmt::format("the shape has the extent {}", want[i]), b.in(1));
    const std::int64_t more = std::max<std::int64_t>(want[i] - have, 0);
    starts.push_back(less / 2);
    ends.push_back(less / 2 + std::min(have, want[i]));
    pads[at] = more / 2;
    pads[at + static_cast<std::size_t>(rank)] = more - more / 2;
  }
  x = op(b, "Slice", {x, b.int_constant(starts), b.int_constant(ends), b.int_constant(axes)});
  return {op(b, "Pad", {x, b.int_constant(pads)})};
}

// -- Col2Im: each element of the image is the sum of the blocks' elements that lie on it

std::vector<ValueId> col2im(OpBuilder& b) {
  const ValueId x = b.in(0);
  const std::vector<std::int64_t> image = b.need_constants(1, "image_shape"),
                                  block = b.need_constants(2, "block_shape");
  const std::size_t n_axes = image.size();
  const auto list = [&](const char* name, std::size_t count, std::int64_t otherwise) {
    std::vector<std::int64_t> v = b.ints_attr(name, std::vector<std::int64_t>(count, otherwise));
    if (v.size() != count) b.fail(fmt::format("attribute '{}' has {} numbers, not {}", name, v.size(), count));
    return v;
  };
  const auto stride = list("strides", n_axes, 1), dilation = list("dilations", n_axes, 1),
             pads = list("pads", 2 * n_axes, 0);
  if (block.size() != n_axes || n_axes == 0) b.fail("image and block have different ranks", b.in(2));
  DimTable& t = b.table();
  Dim volume = b.dim(1), blocks = b.dim(1);
  std::vector<Dim> counts;
  for (std::size_t i = 0; i < n_axes; ++i) {
    if (image[i] < 1 || block[i] < 1 || image[i] > kMost || block[i] > kMost) b.fail("extents must be positive");
    const std::int64_t room = image[i] + pads[i] + pads[i + n_axes] - dilation[i] * (block[i] - 1) - 1;
    if (room < 0) b.fail(fmt::format("no block fits along spatial dimension {}", i));
    counts.push_back(b.dim(room / stride[i] + 1));
    volume = t.mul(volume, b.dim(block[i]));
    blocks = t.mul(blocks, counts.back());
  }
  const std::vector<Dim> d = b.dims(x);
  const Dim channels = t.floordiv(d[1], volume);
  b.require_equal(t.mul(channels, volume), d[1], x);
  b.require_equal(blocks, d[2], x);
  std::vector<Dim> split{d[0], channels}, out = split;
  for (const std::int64_t k : block) split.push_back(b.dim(k));
  split.insert(split.end(), counts.begin(), counts.end());
  Instance n(b, "");
  std::string condition, index, ks;
  for (std::size_t i = 0; i < n_axes; ++i) {
    out.push_back(b.dim(image[i]));
    const std::string from = fmt::format("y{0}+$p{0}-k{0}*$d{0}", i);
    condition += fmt::format("{}({}) % $s{} == 0", i == 0 ? "" : " && ", from, i);
    index += fmt::format(",({})//$s{}", from, i);
    ks += fmt::format(",k{}", i);
    n.param(fmt::format("p{}", i), b.dim(pads[i]))
        .param(fmt::format("d{}", i), b.dim(dilation[i]))
        .param(fmt::format("s{}", i), b.dim(stride[i]));
  }
  n.set_text(fmt::format("Y[n,c,{}] += select({}, Z[n,c{}{} | 0], 0)", axis_list("y", static_cast<int>(n_axes)),
                         condition, ks, index));
  return n.input("Z", reshape_to(b, x, split)[0]).output("Y", b.dtype(x), out).build();
}

constexpr Definition kTable[] = {
    {"Resize", "Y[o...,y,p...] += X[o...,I[y,k],p...] * W[y,k]", resize, "Y[i,y] += X[i,I[y,k]] * W[y,k]"},
    {"Upsample", "Y[o...,y,p...] += X[o...,I[y,k],p...] * W[y,k]", upsample, "Y[i,y] = X[i,I[y,0]]"},
    {"GridSample", "Y[n,c,y...] = X[n,c,I[n,y...]+1 | 0] * (1.0 - F[n,y...]) + X[n,c,I[n,y...]+2 | 0] * F[n,y...]",
     grid_sample, "Y[n,c,y] = X[n,c,I[n,y]+1 | 0] * (1.0 - F[n,y]) + X[n,c,I[n,y]+2 | 0] * F[n,y]"},
    {"AffineGrid", "Y[n,y...,k] += B[y...,j] * T[n,k,j]", affine_grid, "Y[n,y,k] += B[y,j] * T[n,k,j]"},
    {"CenterCropPad", "Y[i...] = X[i... | 0]", center_crop_pad, "Y[i0] = X[i0-$p | 0]"},
    {"Col2Im", "Y[n,c,y...] += select((y+$p-k*$d) % $s == 0, Z[n,c,k,(y+$p-k*$d)//$s | 0], 0)", col2im,
     "Y[n,c,y0] += select((y0+$p0-k0*$d0) % $s0 == 0, Z[n,c,k0,(y0+$p0-k0*$d0)//$s0 | 0], 0)"},
};

}  // namespace

std::span<const Definition> sampling_definitions() { return kTable; }

}  // namespace pit::graph
