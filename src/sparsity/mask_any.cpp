// any over axes of an "and": the one operation on masks that may be as large as a contraction. It is kept small by what holds in
// this run: what does not depend on the reduced axes goes out, an axis of one operand alone is reduced there.
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

/// any over `axes` of one operand, or of the "and" of two.
MaskView reduce(const std::vector<const MaskView*>& operands, const std::vector<int>& axes) {
  Common c = conform(operands);
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
