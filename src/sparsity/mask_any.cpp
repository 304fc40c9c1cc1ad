// any over axes of an "and": the one operation on masks that may be as large as a contraction. It is kept small by what holds in
// this run: what does not depend on the reduced axes goes out, an axis of one operand alone is reduced there.
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
  for (; i < n; ++i) if (x[i] & y[i]) return 1;
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

void pack_bits(const std::uint8_t* x, std::int64_t n, std::uint64_t* words) {
  for (std::int64_t w = 0; w * 64 < n; ++w) {
    std::uint64_t word = 0;
    const std::int64_t end = std::min(n, w * 64 + 64);
    std::int64_t i = w * 64;
    for (; i + 8 <= end; i += 8) {
      std::uint64_t bytes;
      std::memcpy(&bytes, x + i, 8);
      word |= ((bytes * 0x0102040810204080ull) >> 56) << (i & 63);  // the low bits of eight bytes, side by side
    }
    for (; i < end; ++i) word |= static_cast<std::uint64_t>(x[i]) << (i & 63);
    words[w] = word;
  }
}

void unpack_bits(const std::uint64_t* words, std::int64_t n, std::uint8_t* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(words[i >> 6] >> (i & 63) & 1);
}

/// any over r of X[s..., r..., k...] and Y[s..., r..., b...] where there are many b and k (a window and the rows of a batch): rows of X as
/// bits along k, of which each b collects those that it has. Nothing where that does not pay.
std::optional<MaskView> collect_rows(const Common& c, const std::vector<int>& axes) {
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
  const int packed = extent(own[1]) > extent(own[0]);
  const MaskView &x = c.views[static_cast<std::size_t>(packed)], &y = c.views[static_cast<std::size_t>(1 - packed)];
  std::vector<int>&k = own[packed], &b = own[1 - packed];
  if (k.empty() || extent(b) < 2) return std::nullopt;
  std::stable_sort(k.begin(), k.end(), [&](int i, int j) { return x.strides[static_cast<std::size_t>(i)] > x.strides[static_cast<std::size_t>(j)]; });
  const Extents xk = positions(c, k, x.strides);
  if (xk.back() != static_cast<std::int64_t>(xk.size()) - 1) return std::nullopt;  // not side by side
  const Extents xs = positions(c, both, x.strides), ys = positions(c, both, y.strides), xr = positions(c, reduced, x.strides),
                yr = positions(c, reduced, y.strides), yb = positions(c, b, y.strides);
  const std::int64_t n = static_cast<std::int64_t>(xk.size()), words = (n + 63) / 64;
  std::vector<std::uint64_t> rows(xr.size() * static_cast<std::size_t>(words)), sum(static_cast<std::size_t>(words));
  Bytes out(xs.size() * yb.size() * xk.size());
  std::uint8_t* o = out.data();
  for (std::size_t s = 0; s < xs.size(); ++s) {
    for (std::size_t r = 0; r < xr.size(); ++r) pack_bits(x.data->data() + xs[s] + xr[r], n, rows.data() + static_cast<std::int64_t>(r) * words);
    for (std::int64_t from_b : yb) {
      std::fill(sum.begin(), sum.end(), 0);
      for (std::size_t r = 0; r < xr.size(); ++r) {
        if (!(*y.data)[static_cast<std::size_t>(ys[s] + yr[r] + from_b)]) continue;
        const std::uint64_t* row = rows.data() + static_cast<std::int64_t>(r) * words;
        for (std::int64_t w = 0; w < words; ++w) sum[static_cast<std::size_t>(w)] |= row[w];
      }
      unpack_bits(sum.data(), n, o);
      o += n;
    }
  }
  std::vector<int> order = both, back(c.shape.size(), -1);
  order.insert(order.end(), b.begin(), b.end());
  order.insert(order.end(), k.begin(), k.end());
  Extents shape, extents;
  std::vector<Extents> cuts;
  for (int axis : order) {
    const auto a = static_cast<std::size_t>(axis);
    back[a] = static_cast<int>(shape.size());
    shape.push_back(c.shape[a]), extents.push_back(c.extents[a]), cuts.push_back(c.cuts[a]);
  }
  return permute_view(make_view(std::move(out), std::move(shape), std::move(extents), std::move(cuts)), back, c.extents);
}

/// any over `axes` of one operand, or of the "and" of two.
MaskView reduce(const std::vector<const MaskView*>& operands, const std::vector<int>& axes) {
  Common c = conform(operands);
  if (auto r = collect_rows(c, axes)) return *r;
  Extents out_shape = c.shape;
  std::vector<Extents> out_cuts = c.cuts;
  for (int a : axes) out_shape[static_cast<std::size_t>(a)] = 1, out_cuts[static_cast<std::size_t>(a)].clear();
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
  return make_view(std::move(out), std::move(out_shape), c.extents, std::move(out_cuts));
}

/// Groups of operands that are connected by a reduced axis.
std::vector<std::vector<MaskView>> components(std::vector<MaskView> views, const std::vector<int>& axes) {
  std::vector<std::vector<MaskView>> groups;
  for (MaskView& v : views) {
    std::vector<MaskView> group{std::move(v)};
    for (std::size_t g = groups.size(); g-- > 0;) {
      const bool joined = std::any_of(axes.begin(), axes.end(), [&](int a) {
        return depends(group[0], a) && std::any_of(groups[g].begin(), groups[g].end(), [&](const MaskView& o) { return depends(o, a); });
      });
      if (!joined) continue;
      group.insert(group.end(), groups[g].begin(), groups[g].end());
      groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(g));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

MaskView any_of_group(std::vector<MaskView> group, const std::vector<int>& axes) {
  for (int a : axes) {
    std::vector<std::size_t> users;
    for (std::size_t i = 0; i < group.size(); ++i) if (depends(group[i], a)) users.push_back(i);
    if (users.size() == 1 && group.size() > 1) group[users[0]] = reduce({&group[users[0]]}, {a});
  }
  while (group.size() > 2) {  // rare: folded into one
    group[group.size() - 2] = combine_views(true, {&group[group.size() - 2], &group.back()});
    group.pop_back();
  }
  if (group.size() == 2) return reduce({&group[0], &group[1]}, axes);
  return reduce({&group[0]}, axes);
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
