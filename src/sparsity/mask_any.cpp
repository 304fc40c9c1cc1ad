// any over axes of an "and": the one operation on masks that may be as large as a contraction. It is kept small by what
// holds in this run: what does not depend on the reduced axes goes out, an axis of one operand alone is reduced there.
#include <map>
#include <optional>

#include "sparsity/mask_nest.h"

namespace pit::sparsity {

namespace {

bool depends(const MaskView& v, int axis) { return v.shape[static_cast<std::size_t>(axis)] != 1; }

/// Stops at the first hit, which is near where masks overlap at all.
std::uint8_t any_of_both(const std::uint8_t* x, const std::uint8_t* y, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    std::uint64_t a, b;
    std::memcpy(&a, x + i, 8);
    std::memcpy(&b, y + i, 8);
    if (a & b) return 1;
  }
  for (; i < n; ++i)
    if (x[i] & y[i]) return 1;
  return 0;
}

/// Offsets of all positions of some axes, row-major.
Extents positions(const Common& c, const std::vector<int>& axes, const Extents& strides) {
  Extents at{0};
  for (int axis : axes) {
    const auto a = static_cast<std::size_t>(axis);
    Extents finer;
    for (std::int64_t base : at) {
      for (std::int64_t i = 0; i < c.shape[a]; ++i) finer.push_back(base + i * strides[a]);
    }
    at = std::move(finer);
  }
  return at;
}

/// n bytes, `stride` apart, as bits.
void pack_bits(const std::uint8_t* x, std::int64_t n, std::int64_t stride, std::uint64_t* words) {
  for (std::int64_t w = 0; w * 64 < n; ++w) {
    std::uint64_t word = 0;
    const std::int64_t end = std::min(n, w * 64 + 64);
    std::int64_t i = w * 64;
    for (; stride == 1 && i + 8 <= end; i += 8) {
      std::uint64_t bytes;
      std::memcpy(&bytes, x + i, 8);
      word |= ((bytes * 0x0102040810204080ull) >> 56) << (i & 63);  // the low bits of eight bytes, side by side
    }
    for (; i < end; ++i) word |= static_cast<std::uint64_t>(x[i * stride]) << (i & 63);
    words[w] = word;
  }
}

void unpack_bits(const std::uint64_t* words, std::int64_t n, std::uint8_t* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(words[i >> 6] >> (i & 63) & 1);
}

/// Rows of bits.
struct Bits {
  std::int64_t count, words;
  std::vector<std::uint64_t> data;

  Bits(std::size_t rows, std::int64_t n)
      : count(n), words((n + 63) / 64), data(rows * static_cast<std::size_t>(words)) {}
  std::uint64_t* row(std::size_t r) { return data.data() + static_cast<std::int64_t>(r) * words; }
  void pack(const std::uint8_t* x, const Extents& rows, std::int64_t stride) {
    for (std::size_t r = 0; r < rows.size(); ++r) pack_bits(x + rows[r], count, stride, row(r));
  }
};

/// The stride between all positions, if they are evenly spaced.
std::optional<std::int64_t> even_stride(const Extents& at) {
  if (at.size() < 2) return 1;
  const std::int64_t stride = at[1] - at[0];
  for (std::size_t i = 2; i < at.size(); ++i)
    if (at[i] - at[i - 1] != stride) return std::nullopt;
  return stride;
}

/// Out[b,k]: rows of X as bits along k, of which each b collects those r that it has.
void collect_rows(const std::uint8_t* x, const Extents& xr, Bits& rows, const std::uint8_t* y, const Extents& yr,
                  const Extents& yb, std::uint8_t* out) {
  rows.pack(x, xr, 1);
  std::vector<std::uint64_t> sum(static_cast<std::size_t>(rows.words));
  for (std::int64_t b : yb) {
    std::fill(sum.begin(), sum.end(), 0);
    for (std::size_t r = 0; r < yr.size(); ++r) {
      if (!y[yr[r] + b]) continue;
      const std::uint64_t* row = rows.row(r);
      for (std::size_t w = 0; w < sum.size(); ++w) sum[w] |= row[w];
    }
    unpack_bits(sum.data(), rows.count, out);
    out += rows.count;
  }
}

/// Out[b,k]: rows of X and of Y as bits along r, and whether they meet.
void meet_rows(const std::uint8_t* x, const Extents& xk, std::int64_t x_stride, Bits& xs, const std::uint8_t* y,
               const Extents& yb, std::int64_t y_stride, Bits& ys, std::uint8_t* out) {
  xs.pack(x, xk, x_stride);
  ys.pack(y, yb, y_stride);
  for (std::size_t b = 0; b < yb.size(); ++b) {
    const std::uint64_t* v = ys.row(b);
    for (std::size_t k = 0; k < xk.size(); ++k) {
      const std::uint64_t* u = xs.row(k);
      std::int64_t w = 0;
      while (w < xs.words && !(u[w] & v[w])) ++w;
      *out++ = w < xs.words;
    }
  }
}

/// any over r of X[s..., r..., k...] and Y[s..., r..., b...] by bits, where there are many b and k (a window and the
/// rows of a batch). Nothing where that does not pay.
std::optional<MaskView> contract_bits(const Common& c, const std::vector<int>& axes) {
  constexpr std::int64_t worth = 1 << 16;
  if (c.views.size() != 2 || product(c.shape) < worth) return std::nullopt;
  std::vector<int> both, reduced, own[2];
  for (int a = 0; a < static_cast<int>(c.shape.size()); ++a) {
    const bool in[2] = {depends(c.views[0], a), depends(c.views[1], a)};
    if (std::find(axes.begin(), axes.end(), a) != axes.end()) reduced.push_back(a);
    else if (in[0] && in[1]) both.push_back(a);
    else if (in[0] || in[1]) own[in[1]].push_back(a);
  }
  auto extent = [&](const std::vector<int>& list) {
    std::int64_t n = 1;
    for (int a : list) n *= c.shape[static_cast<std::size_t>(a)];
    return n;
  };
  const int larger = extent(own[1]) > extent(own[0]);
  const MaskView &x = c.views[static_cast<std::size_t>(larger)], &y = c.views[static_cast<std::size_t>(1 - larger)];
  std::vector<int>&k = own[larger], &b = own[1 - larger];
  if (k.empty() || extent(b) < 2) return std::nullopt;
  std::stable_sort(k.begin(), k.end(), [&](int i, int j) {
    return x.strides[static_cast<std::size_t>(i)] > x.strides[static_cast<std::size_t>(j)];
  });
  const Extents xk = positions(c, k, x.strides), yb = positions(c, b, y.strides), xr = positions(c, reduced, x.strides),
                yr = positions(c, reduced, y.strides), xs = positions(c, both, x.strides),
                ys = positions(c, both, y.strides);
  const bool collects = even_stride(xk) == 1;
  const auto x_stride = even_stride(xr), y_stride = even_stride(yr);
  if (!collects && (!x_stride || !y_stride)) return std::nullopt;
  Bits x_bits(collects ? xr.size() : xk.size(), static_cast<std::int64_t>(collects ? xk.size() : xr.size()));
  Bits y_bits(collects ? 0 : yb.size(), static_cast<std::int64_t>(xr.size()));
  Bytes out(xs.size() * yb.size() * xk.size());
  for (std::size_t s = 0; s < xs.size(); ++s) {
    const std::uint8_t *from_x = x.data->data() + xs[s], *from_y = y.data->data() + ys[s];
    std::uint8_t* to = out.data() + s * yb.size() * xk.size();
    if (collects) collect_rows(from_x, xr, x_bits, from_y, yr, yb, to);
    else meet_rows(from_x, xk, *x_stride, x_bits, from_y, yb, *y_stride, y_bits, to);
  }
  std::vector<int> order = both, back(c.shape.size(), -1);
  order.insert(order.end(), b.begin(), b.end());
  order.insert(order.end(), k.begin(), k.end());
  Extents shape, extents;
  std::vector<Extents> boundaries;
  for (int axis : order) {
    const auto a = static_cast<std::size_t>(axis);
    back[a] = static_cast<int>(shape.size());
    shape.push_back(c.shape[a]), extents.push_back(c.extents[a]), boundaries.push_back(c.boundaries[a]);
  }
  return permute_view(make_view(std::move(out), std::move(shape), std::move(extents), std::move(boundaries)), back,
                      c.extents);
}

/// any over `axes` of one operand, or of the "and" of two.
MaskView reduce(const std::vector<const MaskView*>& operands, const std::vector<int>& axes) {
  Common c = conform(operands);
  if (auto r = contract_bits(c, axes)) return *r;
  Extents out_shape = c.shape;
  std::vector<Extents> out_boundaries = c.boundaries;
  for (int a : axes) out_shape[static_cast<std::size_t>(a)] = 1, out_boundaries[static_cast<std::size_t>(a)].clear();
  Bytes out(static_cast<std::size_t>(product(out_shape)), 0);
  const bool two = c.views.size() == 2;
  const Extents natural = contiguous_strides(out_shape);
  Extents shape;
  std::vector<Extents> strides(c.views.size() + 1);
  for (int axis : memory_order(c)) {
    const auto a = static_cast<std::size_t>(axis);
    shape.push_back(c.shape[a]);
    strides[0].push_back(natural[a]);
    for (std::size_t v = 0; v < c.views.size(); ++v) strides[v + 1].push_back(c.views[v].strides[a]);
  }
  const Nest nest(shape, strides);
  const std::int64_t n = nest.inner(), os = nest.inner_stride(0), xs = nest.inner_stride(1);
  const std::int64_t ys = two ? nest.inner_stride(2) : 0;
  static const std::uint8_t one = 1;
  nest.rows([&](const Offsets& at) {
    std::uint8_t* o = out.data() + at[0];
    const std::uint8_t* x = c.views[0].data->data() + at[1];
    const std::uint8_t* y = two ? c.views[1].data->data() + at[2] : &one;
    if ((xs == 0 && !*x) || (ys == 0 && !*y)) return;
    if (os == 0 && n > 1) {
      if (*o) return;
      std::uint8_t any = 0;
      if (xs + ys == 1) {
        any = std::memchr(xs == 1 ? x : y, 1, static_cast<std::size_t>(n)) != nullptr;
      } else if (xs == 1 && ys == 1) {
        any = any_of_both(x, y, n);
      } else {
        for (std::int64_t i = 0; i < n; ++i) any |= x[i * xs] & y[i * ys];
      }
      *o = any;
    } else if (os == 1 && xs == 1 && ys == 1) {
      for (std::int64_t i = 0; i < n; ++i) o[i] |= x[i] & y[i];
    } else if (os == 1 && xs + ys == 1) {
      const std::uint8_t* z = xs == 1 ? x : y;
      for (std::int64_t i = 0; i < n; ++i) o[i] |= z[i];
    } else {
      for (std::int64_t i = 0; i < n; ++i) o[i * os] |= x[i * xs] & y[i * ys];
    }
  });
  return make_view(std::move(out), std::move(out_shape), c.extents, std::move(out_boundaries));
}

/// Groups of operands that are connected by a reduced axis.
std::vector<std::vector<MaskView>> components(std::vector<MaskView> views, const std::vector<int>& axes) {
  std::vector<std::vector<MaskView>> groups;
  for (MaskView& v : views) {
    std::vector<MaskView> group{std::move(v)};
    for (std::size_t g = groups.size(); g-- > 0;) {
      const bool joined = std::any_of(axes.begin(), axes.end(), [&](int a) {
        return depends(group[0], a) &&
               std::any_of(groups[g].begin(), groups[g].end(), [&](const MaskView& o) { return depends(o, a); });
      });
      if (!joined) continue;
      group.insert(group.end(), groups[g].begin(), groups[g].end());
      groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(g));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<int> axes_of(const MaskView& v) {
  std::vector<int> axes;
  for (int a = 0; a < static_cast<int>(v.shape.size()); ++a)
    if (depends(v, a)) axes.push_back(a);
  return axes;
}

/// Operands over the same axes become one.
std::vector<MaskView> by_axes(std::vector<MaskView> group) {
  std::map<std::vector<int>, std::vector<const MaskView*>> same;
  for (const MaskView& v : group) same[axes_of(v)].push_back(&v);
  std::vector<MaskView> result;
  for (const auto& [axes, views] : same) result.push_back(combine_views(true, views));
  return result;
}

/// How many positions the operands that depend on `axis` have together.
std::int64_t reach(const std::vector<MaskView>& group, int axis) {
  Extents shape(group[0].shape.size(), 1);
  for (const MaskView& v : group) {
    for (std::size_t a = 0; a < shape.size() && depends(v, axis); ++a) shape[a] = std::max(shape[a], v.shape[a]);
  }
  return product(shape);
}

// One axis after the other, the one whose operands are smallest first: any over q and k of A[q], B[q,k] and C[b,k]
// never needs an array over all three.
MaskView any_of_group(std::vector<MaskView> group, std::vector<int> axes) {
  const Extents extents = [&] {
    Extents e = group[0].extents;
    for (const MaskView& v : group)
      for (std::size_t a = 0; a < e.size(); ++a)
        if (e[a] == 1) e[a] = v.extents[a];
    return e;
  }();
  std::erase_if(axes, [&](int a) {
    return std::none_of(group.begin(), group.end(), [&](const MaskView& v) { return depends(v, a); });
  });
  while (group.size() > 1 && !axes.empty()) {
    group = by_axes(std::move(group));
    const bool all_share = std::all_of(axes.begin(), axes.end(), [&](int a) {
      return std::all_of(group.begin(), group.end(), [&](const MaskView& v) { return depends(v, a); });
    });
    if (group.size() == 2 && all_share) return reduce({&group[0], &group[1]}, axes);
    const auto next =
        std::min_element(axes.begin(), axes.end(), [&](int a, int b) { return reach(group, a) < reach(group, b); });
    std::vector<MaskView> users, rest;
    for (MaskView& v : group) (depends(v, *next) ? users : rest).push_back(std::move(v));
    while (users.size() > 2) {  // rare: folded into one
      users[users.size() - 2] = combine_views(true, {&users[users.size() - 2], &users.back()});
      users.pop_back();
    }
    if (users.size() == 2) rest.push_back(reduce({&users[0], &users[1]}, {*next}));
    else if (users.size() == 1) rest.push_back(reduce({&users[0]}, {*next}));
    axes.erase(next);
    for (const MaskView& v : rest)
      if (v.constant && !v.value) return constant_view(false, extents);
    if (rest.size() > 1) std::erase_if(rest, [](const MaskView& v) { return v.constant; });
    if (rest.empty()) return constant_view(true, extents);
    group = std::move(rest);
  }
  if (group.size() == 1 && group[0].constant) return constant_view(group[0].value, extents);
  if (group.size() == 1) return axes.empty() ? group[0] : reduce({&group[0]}, axes);
  std::vector<const MaskView*> all;
  for (const MaskView& v : group) all.push_back(&v);
  return combine_views(true, all);
}

}  // namespace

MaskView any_view(const std::vector<const MaskView*>& operands, const std::vector<int>& axes) {
  Extents extents = operands[0]->extents;
  std::vector<MaskView> outside, inside;
  for (const MaskView* v : operands) {
    for (std::size_t a = 0; a < extents.size(); ++a) {
      if (extents[a] == 1) extents[a] = v->extents[a];
    }
  }
  for (const MaskView* v : operands) {
    if (v->constant && !v->value) return constant_view(false, std::move(extents));
    if (v->constant) continue;
    const bool reduced = std::any_of(axes.begin(), axes.end(), [&](int a) { return depends(*v, a); });
    (reduced ? inside : outside).push_back(*v);
  }
  for (auto& group : components(std::move(inside), axes)) outside.push_back(any_of_group(std::move(group), axes));
  if (outside.empty()) return constant_view(true, std::move(extents));
  std::vector<const MaskView*> all;
  for (const MaskView& v : outside) all.push_back(&v);
  MaskView r = combine_views(true, all);
  r.extents = std::move(extents);
  return r;
}

}  // namespace pit::sparsity
