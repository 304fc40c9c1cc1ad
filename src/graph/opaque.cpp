#include "graph/opaque.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <numeric>

#include "graph/numeric.h"
#include "support/check.h"

namespace pit::graph {
namespace {

struct Call {
  const Node& node;
  std::span<const Tensor> in;
  std::span<const Shape> shapes;
  std::span<const DType> dtypes;

  const std::vector<std::int64_t>& ints(const char* name) const {
    const auto it = node.opaque_ints.find(name);
    PIT_CHECK(it != node.opaque_ints.end(), "routine '{}' needs '{}'", node.opaque, name);
    return it->second;
  }
  std::int64_t number(const char* name) const { return ints(name).at(0); }
  [[noreturn]] void fail(const std::string& message) const {
    const std::string who = node.name.empty() ? node.op : fmt::format("{} '{}'", node.op, node.name);
    throw InputError(fmt::format("{}: {}", who, message), who);
  }
};

using Routine = std::vector<Tensor> (*)(const Call&);

std::int64_t product(const Shape& s, std::size_t first, std::size_t last) {
  return std::accumulate(s.begin() + static_cast<std::ptrdiff_t>(first), s.begin() + static_cast<std::ptrdiff_t>(last),
                         std::int64_t{1}, std::multiplies<>());
}

// The operand as [outer][size][inner] around an axis.
struct Around {
  std::int64_t outer, size, inner;
  Around(const Shape& s, std::int64_t axis)
      : outer(product(s, 0, static_cast<std::size_t>(axis))),
        size(s[static_cast<std::size_t>(axis)]),
        inner(product(s, static_cast<std::size_t>(axis) + 1, s.size())) {}
};

void copy(Tensor& to, std::int64_t at, const Tensor& from, std::int64_t begin, std::int64_t count) {
  if (count <= 0) return;
  const std::size_t e = size_of(to.dtype());
  std::memcpy(to.as<char>() + static_cast<std::size_t>(at) * e, from.as<char>() + static_cast<std::size_t>(begin) * e,
              static_cast<std::size_t>(count) * e);
}

std::vector<std::int64_t> row_major(const Shape& s) {
  std::vector<std::int64_t> r(s.size(), 1);
  for (std::size_t i = s.size(); i-- > 1;) r[i - 1] = r[i] * s[i];
  return r;
}

// A shape given as data, with -1 and 0 as Reshape means them.
std::vector<Tensor> reshape(const Call& c) {
  Shape s = c.shapes[0];
  const Tensor& x = c.in[0];
  if (c.in.size() > 1) {
    s.clear();
    for (std::int64_t i = 0; i < c.in[1].size(); ++i) s.push_back(read_int(c.in[1], i));
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (s[i] == 0 && i < x.shape().size()) s[i] = x.shape()[i];
    }
  }
  if (const auto it = std::find(s.begin(), s.end(), -1); it != s.end()) {
    *it = 1;
    const std::int64_t rest = element_count(s);
    *it = rest == 0 ? 0 : x.size() / rest;
  }
  if (element_count(s) != x.size()) c.fail(fmt::format("{} elements cannot be reshaped to {}", x.size(), to_string(s)));
  Tensor y(x.dtype(), s);
  copy(y, 0, x, 0, x.size());
  return {y};
}

std::vector<Tensor> expand(const Call& c) {
  const Tensor& x = c.in[0];
  Shape s;
  for (std::int64_t i = 0; i < c.in[1].size(); ++i) s.push_back(read_int(c.in[1], i));
  if (s.size() < x.shape().size()) s.insert(s.begin(), x.shape().size() - s.size(), 1);
  const std::size_t offset = s.size() - x.shape().size();
  std::vector<std::int64_t> stride(s.size(), 0), own = row_major(x.shape());
  for (std::size_t i = offset; i < s.size(); ++i) {
    const std::int64_t d = x.shape()[i - offset];
    if (s[i] == 1) s[i] = d;
    if (d != 1 && d != s[i]) c.fail(fmt::format("{} does not broadcast to {}", to_string(x.shape()), to_string(s)));
    stride[i] = d == 1 ? 0 : own[i - offset];
  }
  Tensor y(x.dtype(), s);
  const std::vector<std::int64_t> st = row_major(s);
  for (std::int64_t n = 0; n < y.size(); ++n) {
    std::int64_t from = 0;
    for (std::size_t i = 0; i < s.size(); ++i) from += n / st[i] % s[i] * stride[i];
    copy(y, n, x, from, 1);
  }
  return {y};
}

std::vector<Tensor> slice(const Call& c) {
  Tensor x = c.in[0];
  const std::vector<std::int64_t>&axes = c.ints("axes"), &steps = c.ints("steps");
  for (std::size_t k = 0; k < axes.size() && static_cast<std::int64_t>(k) < c.in[1].size(); ++k) {
    const Around a(x.shape(), axes[k]);
    const std::int64_t step = steps.empty() ? 1 : std::clamp(steps[k], -a.size - 1, a.size + 1);
    const auto clamp = [&](std::int64_t v, std::int64_t lo, std::int64_t hi) {
      return std::clamp(v < 0 ? (v < -a.size ? -1 : v + a.size) : v, lo, hi);
    };
    const std::int64_t lo = step > 0 ? 0 : -1, hi = step > 0 ? a.size : a.size - 1;
    const std::int64_t s = clamp(read_int(c.in[1], static_cast<std::int64_t>(k)), lo, hi);
    const std::int64_t e = clamp(read_int(c.in[2], static_cast<std::int64_t>(k)), lo, hi);
    const std::int64_t n = std::max<std::int64_t>(0, step > 0 ? (e - s + step - 1) / step : (s - e - step - 1) / -step);
    Shape shape = x.shape();
    shape[static_cast<std::size_t>(axes[k])] = n;
    Tensor y(x.dtype(), shape);
    for (std::int64_t o = 0; o < a.outer; ++o) {
      for (std::int64_t i = 0; i < n; ++i)
        copy(y, (o * n + i) * a.inner, x, (o * a.size + s + i * step) * a.inner, a.inner);
    }
    x = y;
  }
  return {x};
}

std::vector<Tensor> range(const Call& c) {
  const double s = read_double(c.in[0], 0), l = read_double(c.in[1], 0), d = read_double(c.in[2], 0);
  if (d == 0 || !std::isfinite(s) || !std::isfinite(l)) c.fail("the step must not be 0, the bounds must be finite");
  const double n = std::max(std::ceil((l - s) / d), 0.0);
  if (!(n <= 1LL << 44)) c.fail(fmt::format("{} elements are more than any machine can hold", n));
  Tensor y(c.dtypes[0], {static_cast<std::int64_t>(n)});
  for (std::int64_t i = 0; i < y.size(); ++i) {
    if (is_float(y.dtype())) write_double(y, i, s + static_cast<double>(i) * d);
    else write_int(y, i, read_int(c.in[0], 0) + i * read_int(c.in[2], 0));
  }
  return {y};
}

std::vector<Tensor> arg_extreme(const Call& c, bool largest) {
  const Tensor& x = c.in[0];
  const Around a(x.shape(), c.number("axis"));
  const bool last = c.number("select_last") != 0;
  Tensor y(DType::i64, c.shapes[0]);
  for (std::int64_t o = 0; o < a.outer; ++o) {
    for (std::int64_t i = 0; i < a.inner; ++i) {
      std::int64_t best = 0;
      for (std::int64_t k = 1; k < a.size; ++k) {
        const double v = read_double(x, (o * a.size + k) * a.inner + i),
                     w = read_double(x, (o * a.size + best) * a.inner + i);
        if ((largest ? v > w : v < w) || (last && v == w)) best = k;
      }
      write_int(y, o * a.inner + i, best);
    }
  }
  return {y};
}

std::vector<Tensor> arg_max(const Call& c) { return arg_extreme(c, true); }
std::vector<Tensor> arg_min(const Call& c) { return arg_extreme(c, false); }

// Equal values keep the order of their positions.
std::vector<Tensor> top_k(const Call& c) {
  const Tensor& x = c.in[0];
  const std::int64_t axis = c.number("axis"), k = read_int(c.in[1], 0);
  const bool largest = c.number("largest") != 0;
  const Around a(x.shape(), axis);
  if (k < 0 || k > a.size) c.fail(fmt::format("k is {}, but the axis has {} elements", k, a.size));
  Shape s = x.shape();
  s[static_cast<std::size_t>(axis)] = k;
  Tensor values(x.dtype(), s), indices(DType::i64, s);
  std::vector<std::int64_t> order(static_cast<std::size_t>(a.size));
  for (std::int64_t o = 0; o < a.outer; ++o) {
    for (std::int64_t i = 0; i < a.inner; ++i) {
      std::iota(order.begin(), order.end(), 0);
      const auto before = [&](std::int64_t p, std::int64_t q) {
        const double v = read_double(x, (o * a.size + p) * a.inner + i),
                     w = read_double(x, (o * a.size + q) * a.inner + i);
        if (std::isnan(v) || std::isnan(w))
          return !std::isnan(v) && std::isnan(w) ? !largest : std::isnan(v) && !std::isnan(w) ? largest : p < q;
        return v != w ? (largest ? v > w : v < w) : p < q;
      };
      std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
      for (std::int64_t j = 0; j < k; ++j) {
        const std::int64_t to = (o * k + j) * a.inner + i;
        copy(values, to, x, (o * a.size + order[static_cast<std::size_t>(j)]) * a.inner + i, 1);
        write_int(indices, to, order[static_cast<std::size_t>(j)]);
      }
    }
  }
  return {values, indices};
}

std::vector<Tensor> non_zero(const Call& c) {
  const Tensor& x = c.in[0];
  std::vector<std::int64_t> found;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double v = read_double(x, i);
    if (v != 0 || std::isnan(v)) found.push_back(i);
  }
  const Shape s = x.shape().empty() ? Shape{1} : x.shape();
  const std::vector<std::int64_t> stride = row_major(s);
  const auto n = static_cast<std::int64_t>(found.size());
  Tensor y(DType::i64, {static_cast<std::int64_t>(s.size()), n});
  for (std::size_t d = 0; d < s.size(); ++d) {
    for (std::int64_t i = 0; i < n; ++i)
      write_int(y, static_cast<std::int64_t>(d) * n + i, found[static_cast<std::size_t>(i)] / stride[d] % s[d]);
  }
  return {y};
}

std::vector<Tensor> compress(const Call& c) {
  const Tensor& x = c.in[0];
  const std::int64_t axis = c.number("axis");
  const Shape flat{x.size()};
  const Shape& in_shape = axis < 0 ? flat : x.shape();
  const std::int64_t at = std::max<std::int64_t>(axis, 0);
  const Around a(in_shape, at);
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < std::min(c.in[1].size(), a.size); ++i) {
    if (read_int(c.in[1], i) != 0) kept.push_back(i);
  }
  Shape s = in_shape;
  const auto n = static_cast<std::int64_t>(kept.size());
  s[static_cast<std::size_t>(at)] = n;
  Tensor y(x.dtype(), s);
  for (std::int64_t o = 0; o < a.outer; ++o) {
    for (std::int64_t i = 0; i < n; ++i)
      copy(y, (o * n + i) * a.inner, x, (o * a.size + kept[static_cast<std::size_t>(i)]) * a.inner, a.inner);
  }
  return {y};
}

std::int64_t wrapped(const Call& c, std::int64_t i, std::int64_t n) {
  if (i < -n || i >= n) c.fail(fmt::format("index {} is out of range for extent {}", i, n));
  return i < 0 ? i + n : i;
}

void combine(const Call& c, Tensor& y, std::int64_t at, const Tensor& u, std::int64_t from) {
  const std::int64_t how = c.number("reduction");
  if (how == 0) return copy(y, at, u, from, 1);
  if (is_float(y.dtype())) {
    const double a = read_double(y, at), b = read_double(u, from);
    return write_double(y, at, how == 1 ? a + b : how == 2 ? a * b : how == 3 ? std::max(a, b) : std::min(a, b));
  }
  const std::int64_t a = read_int(y, at), b = read_int(u, from);
  write_int(y, at, how == 1 ? a + b : how == 2 ? a * b : how == 3 ? std::max(a, b) : std::min(a, b));
}

Tensor copied(const Tensor& x) {
  Tensor y(x.dtype(), x.shape());
  copy(y, 0, x, 0, x.size());
  return y;
}

std::vector<Tensor> scatter_nd(const Call& c) {
  const Tensor &x = c.in[0], &index = c.in[1], &u = c.in[2];
  Tensor y = copied(x);
  const std::int64_t depth = index.shape().back(), rows = depth == 0 ? 1 : index.size() / depth;
  const std::vector<std::int64_t> stride = row_major(x.shape());
  const std::int64_t block = product(x.shape(), static_cast<std::size_t>(depth), x.shape().size());
  if (u.size() != rows * block) c.fail(fmt::format("{} updates for {} elements", u.size(), rows * block));
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t at = 0;
    for (std::int64_t d = 0; d < depth; ++d) {
      const auto e = static_cast<std::size_t>(d);
      at += wrapped(c, read_int(index, r * depth + d), x.shape()[e]) * stride[e];
    }
    for (std::int64_t i = 0; i < block; ++i) combine(c, y, at + i, u, r * block + i);
  }
  return {y};
}

std::vector<Tensor> scatter_elements(const Call& c) {
  const Tensor &x = c.in[0], &index = c.in[1], &u = c.in[2];
  Tensor y = copied(x);
  const auto axis = static_cast<std::size_t>(c.number("axis"));
  const std::vector<std::int64_t> to = row_major(x.shape()), from = row_major(index.shape());
  if (u.shape() != index.shape()) c.fail("indices and updates have different shapes");
  for (std::size_t d = 0; d < to.size(); ++d)
    if (d != axis && index.shape()[d] > x.shape()[d])
      c.fail(fmt::format("the indices are {}, which is longer in dimension {} than the data, {}", to_string(index.shape()), d, to_string(x.shape())));
  for (std::int64_t n = 0; n < index.size(); ++n) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < to.size(); ++d) {
      const std::int64_t p = d == axis ? wrapped(c, read_int(index, n), x.shape()[d]) : n / from[d] % index.shape()[d];
      at += p * to[d];
    }
    combine(c, y, at, u, n);
  }
  return {y};
}

std::vector<Tensor> gather_elements(const Call& c) {
  const Tensor &x = c.in[0], &index = c.in[1];
  const auto axis = static_cast<std::size_t>(c.number("axis"));
  const std::vector<std::int64_t> own = row_major(x.shape()), from = row_major(index.shape());
  Tensor y(x.dtype(), index.shape());
  for (std::size_t d = 0; d < own.size(); ++d)
    if (d != axis && index.shape()[d] > x.shape()[d])
      c.fail(fmt::format("the indices are {}, which is longer in dimension {} than the data, {}", to_string(index.shape()), d, to_string(x.shape())));
  for (std::int64_t n = 0; n < index.size(); ++n) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < own.size(); ++d) {
      at += (d == axis ? wrapped(c, read_int(index, n), x.shape()[d]) : n / from[d] % index.shape()[d]) * own[d];
    }
    copy(y, n, x, at, 1);
  }
  return {y};
}

std::vector<Tensor> hardmax(const Call& c) {
  const Tensor& x = c.in[0];
  const std::int64_t axis = c.number("axis");
  Around a(x.shape(), axis);
  if (c.number("flat") != 0) {
    a.size *= a.inner;
    a.inner = 1;
  }
  Tensor y(x.dtype(), x.shape());
  for (std::int64_t i = 0; i < y.size(); ++i) write_double(y, i, 0);
  for (std::int64_t o = 0; o < a.outer; ++o) {
    for (std::int64_t i = 0; i < a.inner && a.size > 0; ++i) {
      std::int64_t best = 0;
      for (std::int64_t k = 1; k < a.size; ++k) {
        if (read_double(x, (o * a.size + k) * a.inner + i) > read_double(x, (o * a.size + best) * a.inner + i))
          best = k;
      }
      write_double(y, (o * a.size + best) * a.inner + i, 1);
    }
  }
  return {y};
}

std::vector<Tensor> pad(const Call& c) {
  const Tensor& x = c.in[0];
  const std::vector<std::int64_t>& pads = c.ints("pads");
  const std::int64_t mode = c.number("mode");  // 0 reflect, 1 edge, 2 wrap
  Shape s = x.shape();
  for (std::size_t d = 0; d < s.size(); ++d) s[d] += pads[d] + pads[d + s.size()];
  Tensor y(x.dtype(), s);
  const std::vector<std::int64_t> own = row_major(x.shape()), to = row_major(s);
  for (std::int64_t n = 0; n < y.size(); ++n) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < s.size(); ++d) {
      const std::int64_t size = x.shape()[d];
      if (size == 0) c.fail("an empty operand cannot be padded in this mode");
      std::int64_t p = n / to[d] % s[d] - pads[d];
      if (mode == 1) p = std::clamp<std::int64_t>(p, 0, size - 1);
      if (mode == 2) p = ((p % size) + size) % size;
      if (mode == 0) {
        const std::int64_t period = std::max<std::int64_t>(1, 2 * (size - 1));
        p = ((p % period) + period) % period;
        if (p >= size) p = period - p;
      }
      at += p * own[d];
    }
    copy(y, n, x, at, 1);
  }
  return {y};
}

std::vector<Tensor> reverse_sequence(const Call& c) {
  const Tensor& x = c.in[0];
  const auto batch = static_cast<std::size_t>(c.number("batch_axis")),
             time = static_cast<std::size_t>(c.number("time_axis"));
  const std::vector<std::int64_t> stride = row_major(x.shape());
  Tensor y(x.dtype(), x.shape());
  for (std::int64_t n = 0; n < x.size(); ++n) {
    const std::int64_t t = n / stride[time] % x.shape()[time], b = n / stride[batch] % x.shape()[batch];
    const std::int64_t length = read_int(c.in[1], b);
    copy(y, n, x, t < length ? n + (length - 1 - 2 * t) * stride[time] : n, 1);
  }
  return {y};
}

const std::map<std::string, Routine>& routines() {
  static const std::map<std::string, Routine> table = {{"reshape", reshape},
                                                       {"expand", expand},
                                                       {"slice", slice},
                                                       {"range", range},
                                                       {"argmax", arg_max},
                                                       {"argmin", arg_min},
                                                       {"topk", top_k},
                                                       {"nonzero", non_zero},
                                                       {"compress", compress},
                                                       {"scatter_nd", scatter_nd},
                                                       {"hardmax", hardmax},
                                                       {"scatter_elements", scatter_elements},
                                                       {"pad", pad},
                                                       {"gather_elements", gather_elements},
                                                       {"reverse_sequence", reverse_sequence}};
  return table;
}

}  // namespace

std::vector<Tensor> run_opaque(const Node& n, std::span<const Tensor> inputs, std::span<const Shape> output_shapes,
                               std::span<const DType> output_dtypes) {
  const auto it = routines().find(n.opaque);
  PIT_CHECK(it != routines().end(), "no routine '{}'", n.opaque);
  return it->second({n, inputs, output_shapes, output_dtypes});
}

std::vector<std::string> opaque_routines() {
  std::vector<std::string> r;
  for (const auto& [name, f] : routines()) r.push_back(name);
  return r;
}

}  // namespace pit::graph
