// Reshape, Flatten, Squeeze, Unsqueeze: the same elements in the same order under other dimensions.
//
// Factored from both ends into the smallest groups whose products are provably equal: identity (1:1), split (1:n) and
// merge (n:1). What is left in the middle must have equal products too, since the number of elements does not change;
// it is used if it is itself one of these. Anything else is the opaque routine "reshape" (the data do not move).
#include "graph/opset/reshape.h"

#include <algorithm>
#include <fmt/ranges.h>

#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

// Length of the smallest equal groups at the front of a[i..), b[j..).
std::optional<std::pair<std::size_t, std::size_t>> smallest(DimTable& t, std::span<const Dim> a,
                                                            std::span<const Dim> b) {
  const auto products = [&](std::span<const Dim> dims) {  // of the first 0, 1, 2, ...
    std::vector<Dim> p{t.constant(1)};
    for (const Dim d : dims) p.push_back(t.mul(p.back(), d));
    return p;
  };
  const std::vector<Dim> pa = products(a), pb = products(b);
  for (std::size_t total = 2; total <= a.size() + b.size(); ++total) {
    for (std::size_t na = 1; na < total && na <= a.size(); ++na) {
      const std::size_t nb = total - na;
      if (nb <= b.size() && pa[na] == pb[nb]) return std::pair(na, nb);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::vector<ReshapeGroup>> factor_reshape(DimTable& t, const std::vector<Dim>& in,
                                                        const std::vector<Dim>& out) {
  std::vector<int> ia, ib;
  std::vector<Dim> a, b;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!t.is_constant(in[i], 1)) ia.push_back(static_cast<int>(i)), a.push_back(in[i]);
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!t.is_constant(out[i], 1)) ib.push_back(static_cast<int>(i)), b.push_back(out[i]);
  }
  std::vector<ReshapeGroup> front, back;
  std::size_t i = 0, j = 0, ei = a.size(), ej = b.size();
  const auto group = [&](std::size_t i0, std::size_t i1, std::size_t j0, std::size_t j1, bool proven) {
    return ReshapeGroup{{ia.begin() + static_cast<std::ptrdiff_t>(i0), ia.begin() + static_cast<std::ptrdiff_t>(i1)},
                        {ib.begin() + static_cast<std::ptrdiff_t>(j0), ib.begin() + static_cast<std::ptrdiff_t>(j1)},
                        proven};
  };
  while (i < ei && j < ej) {
    const auto n = smallest(t, std::span(a).subspan(i, ei - i), std::span(b).subspan(j, ej - j));
    if (!n || (n->first > 1 && n->second > 1)) break;
    front.push_back(group(i, i + n->first, j, j + n->second, true));
    i += n->first, j += n->second;
  }
  while (i < ei && j < ej) {
    std::vector<Dim> ra(a.begin() + static_cast<std::ptrdiff_t>(i), a.begin() + static_cast<std::ptrdiff_t>(ei));
    std::vector<Dim> rb(b.begin() + static_cast<std::ptrdiff_t>(j), b.begin() + static_cast<std::ptrdiff_t>(ej));
    std::reverse(ra.begin(), ra.end());
    std::reverse(rb.begin(), rb.end());
    const auto n = smallest(t, ra, rb);
    if (!n || (n->first > 1 && n->second > 1)) break;
    if (n->first == ei - i && n->second == ej - j) break;  // the whole middle: nothing gained
    back.push_back(group(ei - n->first, ei, ej - n->second, ej, true));
    ei -= n->first, ej -= n->second;
  }
  if (i < ei || j < ej) {
    if (ei - i > 1 && ej - j > 1) return std::nullopt;
    front.push_back(group(i, ei, j, ej, false));
  }
  front.insert(front.end(), back.rbegin(), back.rend());
  return front;
}

std::vector<ValueId> reshape_to(OpBuilder& b, ValueId x, const std::vector<Dim>& out) {
  const std::vector<Dim> in = b.dims(x);
  if (in == out) return {x};
  const Dim total_in = b.product(in), total_out = b.product(out);
  const auto ci = b.table().constant_value(total_in), co = b.table().constant_value(total_out);
  if (ci && co && *ci != *co) b.fail(fmt::format("{} elements cannot be reshaped to {}", *ci, *co), x);
  b.require_equal(total_in, total_out, x);
  // Without elements nothing relates the dimensions.
  const auto groups = ci == 0 ? std::nullopt : factor_reshape(b.table(), in, out);
  if (!groups) return b.opaque("reshape", {x}, {{b.dtype(x), out}});

  std::vector<std::string> xi(in.size(), "0"), yi(out.size(), "0");
  for (const ReshapeGroup& g : *groups) {
    // Axes are named after the dimension on the side that has more of them.
    const bool merge = g.in.size() > g.out.size();
    std::string names;
    for (const int d : merge ? g.in : g.out) {
      const std::string axis = fmt::format("{}{}", merge ? "j" : "i", d);
      (merge ? xi : yi)[static_cast<std::size_t>(d)] = axis;
      names += (names.empty() ? "" : ":") + axis;
    }
    if (!names.empty() && !(merge ? g.out : g.in).empty())
      (merge ? yi : xi)[static_cast<std::size_t>((merge ? g.out : g.in)[0])] = names;
    // A group against nothing: its only extent is 1 at run time.
    if (merge && g.out.empty()) {
      for (const int d : g.in) xi[static_cast<std::size_t>(d)] = "0";
    }
  }
  Instance n(b, "Y[y...] = X[x...]");
  n.pack("x", fmt::format("{}", fmt::join(xi, ","))).pack("y", fmt::format("{}", fmt::join(yi, ",")));
  n.input("X", x).output("Y", b.dtype(x), out, 0);
  return n.build();
}

ValueId reshaped(OpBuilder& b, ValueId x, std::vector<Dim> dims) {
  constexpr int opset = 18;
  Value shape;
  shape.name = b.fresh_name("shape");
  shape.dtype = DType::i64;
  shape.dims = {b.dim(static_cast<std::int64_t>(dims.size()))};
  shape.elements = std::move(dims);
  shape.has_elements = true;
  return b.sub("Reshape", {x, b.g.add_value(std::move(shape))}, {{"allowzero", std::int64_t{1}}}, opset);
}

}  // namespace pit::graph
