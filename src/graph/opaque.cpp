#include "graph/opaque.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <numeric>
#include <type_traits>

#include "graph/numeric.h"
#include "graph/routine.h"
#include "support/check.h"

namespace pit::graph {
namespace {

using Routine = std::vector<Tensor> (*)(const Call&);

// Integers are compared and computed as integers: a double does not tell neighbours beyond 2^53 apart.
template <class T>
T element(const Tensor& t, std::int64_t i) {
  if constexpr (std::is_integral_v<T>) return read_int(t, i);
  else return read_double(t, i);
}

template <class T>
bool is_nan(T v) {
  return v != v;
}

// f(a, b) where integers wrap around in two's complement.
template <class T, class F>
T wrapping(T a, T b, F f) {
  using U = std::conditional_t<std::is_integral_v<T>, std::uint64_t, T>;
  return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
}

// f with a value of the type in which elements of `t` are computed.
template <class F>
auto in_type_of(DType t, F&& f) {
  return is_float(t) ? f(double{}) : f(std::int64_t{});
}

// The position of the largest (least) of a.size elements, a.inner apart; the first of equals, or the last. NaN is found
// before every number, as NumPy has it.
template <class T>
std::int64_t extreme_position(const Tensor& x, const Around& a, std::int64_t begin, bool largest, bool last) {
  std::int64_t best = 0;
  T w = element<T>(x, begin);
  for (std::int64_t k = 1; k < a.size; ++k) {
    const T v = element<T>(x, begin + k * a.inner);
    const bool better = is_nan(v) ? !is_nan(w) : !is_nan(w) && (largest ? v > w : v < w);
    const bool equal = v == w || (is_nan(v) && is_nan(w));
    if (!better && !(last && equal)) continue;
    best = k;
    w = v;
  }
  return best;
}

std::int64_t extreme_position(const Tensor& x, const Around& a, std::int64_t begin, bool largest, bool last) {
  return in_type_of(x.dtype(), [&](auto zero) { return extreme_position<decltype(zero)>(x, a, begin, largest, last); });
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
  const std::int64_t given = c.in[1].size();
  const bool fits = c.number("axes_left_out") != 0 ? given <= static_cast<std::int64_t>(axes.size())
                                                   : given == static_cast<std::int64_t>(axes.size());
  if (!fits || c.in[2].size() != given || (!steps.empty() && static_cast<std::int64_t>(steps.size()) != given))
    c.fail("starts, ends, axes and steps have different lengths");
  for (std::size_t k = 0; k < static_cast<std::size_t>(given); ++k) {
    const Around a(x.shape(), axes[k]);
    const std::int64_t step = steps.empty() ? 1 : std::clamp(steps[k], -a.size - 1, a.size + 1);
    const auto clamp = [&](std::int64_t v, std::int64_t lo, std::int64_t hi) {
      return std::clamp(v < 0 ? (v < -a.size ? -1 : v + a.size) : v, lo, hi);
    };
    const std::int64_t lo = step > 0 ? 0 : -1, hi = step > 0 ? a.size : a.size - 1;
    // see slice_cut
    const std::int64_t s = clamp(read_int(c.in[1], static_cast<std::int64_t>(k)), std::min<std::int64_t>(0, hi), hi);
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

// Number of integers from `start` to before `limit`. Their distance may be more than an i64 holds.
std::int64_t steps_between(std::int64_t start, std::int64_t limit, std::int64_t step) {
  const __int128 distance = static_cast<__int128>(limit) - start, s = step;
  if (distance == 0 || (distance > 0) != (s > 0)) return 0;
  const __int128 n = (distance + s + (s > 0 ? -1 : 1)) / s;
  return static_cast<std::int64_t>(std::min<__int128>(n, INT64_MAX));
}

std::int64_t count_of_range(const Call& c) {
  double n = 0;
  if (is_float(c.dtypes[0])) {
    const double s = read_double(c.in[0], 0), l = read_double(c.in[1], 0), d = read_double(c.in[2], 0);
    if (d == 0 || !std::isfinite(s) || !std::isfinite(l)) c.fail("the step must not be 0, the bounds must be finite");
    n = std::max(std::ceil((l - s) / d), 0.0);
  } else {
    const std::int64_t step = read_int(c.in[2], 0);
    if (step == 0) c.fail("the step must not be 0");
    n = static_cast<double>(steps_between(read_int(c.in[0], 0), read_int(c.in[1], 0), step));
  }
  if (!(n <= 1LL << 44)) c.fail(fmt::format("{} elements are more than any machine can hold", n));
  return static_cast<std::int64_t>(n);
}

std::vector<Tensor> range(const Call& c) {
  Tensor y(c.dtypes[0], {count_of_range(c)});
  if (is_float(y.dtype())) {
    const double s = read_double(c.in[0], 0), d = read_double(c.in[2], 0);
    for (std::int64_t i = 0; i < y.size(); ++i) write_double(y, i, s + static_cast<double>(i) * d);
  } else {
    const std::int64_t s = read_int(c.in[0], 0), d = read_int(c.in[2], 0);
    for (std::int64_t i = 0; i < y.size(); ++i)
      write_int(y, i, wrapping(s, wrapping(i, d, std::multiplies<>()), std::plus<>()));
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
      const std::int64_t best = extreme_position(x, a, o * a.size * a.inner + i, true, false);
      write_double(y, (o * a.size + best) * a.inner + i, 1);
    }
  }
  return {y};
}

const std::map<std::string, Routine>& routines() {
  static const std::map<std::string, Routine> table = {{"reshape", reshape},
                                                       {"expand", expand},
                                                       {"slice", slice},
                                                       {"range", range},
                                                       {"topk", top_k},
                                                       {"nonzero", non_zero},
                                                       {"compress", compress},
                                                       {"scatter_nd", scatter_nd},
                                                       {"hardmax", hardmax},
                                                       {"scatter_elements", scatter_elements},
                                                       {"gather_elements", gather_elements}};
  return table;
}

}  // namespace

std::vector<Tensor> run_opaque(const Node& n, std::span<const Tensor> inputs, std::span<const Shape> output_shapes,
                               std::span<const DType> output_dtypes, const ThreadPool& pool,
                               std::span<const Tensor> targets) {
  const auto it = routines().find(n.opaque);
  PIT_CHECK(it != routines().end(), "no routine '{}'", n.opaque);
  const Call call{n, inputs, output_shapes, output_dtypes, pool, targets};
  try {
    return it->second(call);
  } catch (const InputError& e) {
    if (!e.op().empty()) throw;
    call.fail(e.what());  // a shape that no tensor can have
  }
}

std::int64_t range_count(const Node& n, std::span<const Tensor> inputs, DType dtype) {
  return count_of_range({n, inputs, {}, std::span(&dtype, 1), ThreadPool(1)});
}

std::vector<std::string> opaque_routines() {
  std::vector<std::string> r;
  for (const auto& [name, f] : routines()) r.push_back(name);
  return r;
}

}  // namespace pit::graph
