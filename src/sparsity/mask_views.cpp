// Flat loops over bytes. The compiler vectorises them (this folder is compiled with -O3); nothing here allocates more
// than its result.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "sparsity/mask_nest.h"
#include "support/check.h"

namespace pit::sparsity {

namespace {

bool is_contiguous(const MaskView& v) { return v.strides == contiguous_strides(v.shape); }

Bytes contiguous_bytes(const MaskView& v) {
  Bytes out(static_cast<std::size_t>(product(v.shape)));
  if (is_contiguous(v)) {
    std::memcpy(out.data(), v.data->data(), out.size());
    return out;
  }
  const Nest nest(v.shape, {contiguous_strides(v.shape), v.strides});
  nest.rows([&](const Offsets& at) {
    std::uint8_t* o = out.data() + at[0];
    const std::uint8_t* x = v.data->data() + at[1];
    const std::int64_t s = nest.inner_stride(1);
    for (std::int64_t i = 0; i < nest.inner(); ++i) o[i] = x[i * s];
  });
  return out;
}

/// Axes along which contiguous bytes do not change are reduced to extent 1.
void drop_uniform_axes(Bytes& bits, Extents& shape, std::vector<Extents>& boundaries) {
  for (std::size_t a = 0; a < shape.size(); ++a) {
    if (shape[a] <= 1) continue;
    std::int64_t outer = 1, inner = 1;
    for (std::size_t i = 0; i < a; ++i) outer *= shape[i];
    for (std::size_t i = a + 1; i < shape.size(); ++i) inner *= shape[i];
    const std::int64_t block = shape[a] * inner;
    bool same = true;
    for (std::int64_t o = 0; o < outer && same; ++o) {
      const std::uint8_t* p = bits.data() + o * block;
      // Each slice equals the one before: one comparison of the block with itself, shifted.
      same = std::memcmp(p, p + inner, static_cast<std::size_t>(block - inner)) == 0;
    }
    if (!same) continue;
    for (std::int64_t o = 1; o < outer; ++o) {
      std::memmove(bits.data() + o * inner, bits.data() + o * block, static_cast<std::size_t>(inner));
    }
    bits.resize(static_cast<std::size_t>(outer * inner));
    shape[a] = 1;
    boundaries[a].clear();
  }
}

/// Axis `axis` gathered by `index` (-1: false); its boundaries become `boundaries`.
MaskView gather_axis(const MaskView& v, std::size_t axis, const Extents& index, Extents boundaries,
                     std::int64_t extent) {
  Extents shape = v.shape, extents = v.extents;
  std::vector<Extents> all_boundaries = v.boundaries;
  shape[axis] = static_cast<std::int64_t>(index.size());
  extents[axis] = extent;
  all_boundaries[axis] = std::move(boundaries);
  Bytes out(static_cast<std::size_t>(product(shape)), 0);
  const Extents to = contiguous_strides(shape);
  Extents slice = shape;
  slice[axis] = 1;
  const std::int64_t to_stride = shape[axis] == 1 ? 0 : to[axis];
  const Nest nest(slice, {to, v.strides});
  nest.rows([&](const Offsets& at) {
    for (std::size_t j = 0; j < index.size(); ++j) {
      if (index[j] < 0) continue;
      std::uint8_t* o = out.data() + at[0] + static_cast<std::int64_t>(j) * to_stride;
      const std::uint8_t* x = v.data->data() + at[1] + index[j] * v.strides[axis];
      const std::int64_t os = nest.inner_stride(0), xs = nest.inner_stride(1);
      for (std::int64_t i = 0; i < nest.inner(); ++i) o[i * os] = x[i * xs];
    }
  });
  return make_view(std::move(out), std::move(shape), std::move(extents), std::move(all_boundaries));
}

/// Index of the segment that holds position i, for i in positions 0..n of a partition.
Extents segment_index(const Extents& boundaries, const Extents& positions) {
  Extents index;
  for (std::int64_t p : positions) {
    index.push_back(std::upper_bound(boundaries.begin(), boundaries.end(), p) - boundaries.begin());
  }
  return index;
}

Extents iota(std::int64_t n) {
  Extents e(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < e.size(); ++i) e[i] = static_cast<std::int64_t>(i);
  return e;
}

/// The axis stored position by position (also where it was uniform, if `even_uniform`).
MaskView full_axis(const MaskView& v, std::size_t axis, bool even_uniform) {
  const std::int64_t n = v.extents[axis];
  if (!v.boundaries[axis].empty()) return gather_axis(v, axis, segment_index(v.boundaries[axis], iota(n)), {}, n);
  if (v.shape[axis] == 1 && n != 1 && even_uniform)
    return gather_axis(v, axis, Extents(static_cast<std::size_t>(n), 0), {}, n);
  return v;
}

/// out = x op y, with y broadcast along rows or all of them strided.
template <class Op>
void combine_rows(Bytes& out, const Extents& out_strides, const Extents& shape, const std::uint8_t* x_data,
                  const Extents& x_strides, const MaskView& y_view, Op op) {
  const Nest nest(shape, {out_strides, x_strides, y_view.strides});
  const std::int64_t n = nest.inner(), os = nest.inner_stride(0), xs = nest.inner_stride(1), ys = nest.inner_stride(2);
  const std::uint8_t* y_data = y_view.data->data();
  nest.rows([&](const Offsets& at) {
    std::uint8_t* o = out.data() + at[0];
    const std::uint8_t *x = x_data + at[1], *y = y_data + at[2];
    if (os == 1 && xs == 1 && ys == 1) {
      for (std::int64_t i = 0; i < n; ++i) o[i] = op(x[i], y[i]);
    } else if (os == 1 && xs + ys == 1) {
      const std::uint8_t value = xs == 0 ? *x : *y;
      const std::uint8_t* z = xs == 0 ? y : x;
      for (std::int64_t i = 0; i < n; ++i) o[i] = op(z[i], value);
    } else {
      for (std::int64_t i = 0; i < n; ++i) o[i * os] = op(x[i * xs], y[i * ys]);
    }
  });
}

constexpr double kMaskedBelow = 9900, kModerateUpTo = 1000;

template <class T, class F>
void test_elements(const Tensor& t, Bytes& out, F f) {
  const T* x = t.as<T>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(f(x[i]));
}

template <class T>
void apply_predicate(const Tensor& t, Predicate p, Bytes& out) {
  switch (p) {
    case Predicate::nonzero: return test_elements<T>(t, out, [](T x) { return x != T(0); });
    case Predicate::positive: return test_elements<T>(t, out, [](T x) { return x > T(0); });
    case Predicate::not_masked:
      return test_elements<T>(t, out, [](T x) { return !(static_cast<double>(x) <= -kMaskedBelow); });
    case Predicate::moderate:
      return test_elements<T>(t, out, [](T x) { return std::abs(static_cast<double>(x)) <= kModerateUpTo; });
    case Predicate::small_subtrahend:
      return test_elements<T>(t, out, [](T x) { return !(static_cast<double>(x) >= kMaskedBelow); });
    case Predicate::absorbing: return test_elements<T>(t, out, [](T x) { return static_cast<double>(x) <= -1e30; });
    case Predicate::minus_infinity:
      return test_elements<T>(t, out, [](T x) { return static_cast<double>(x) == -HUGE_VAL; });
    case Predicate::nan: return test_elements<T>(t, out, [](T x) { return x != x; });
  }
}

/// f16 by its bits: only what the predicates ask.
void apply_predicate_f16(const Tensor& t, Predicate p, Bytes& out) {
  const std::uint16_t* x = t.as<std::uint16_t>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool negative = x[i] >> 15;
    const int magnitude = x[i] & 0x7fff;
    constexpr int masked_from = 0x70d6, moderate_to = 0x63d0, infinity = 0x7c00;  // 9904 (the next after 9900), 1000
    bool r = false;
    switch (p) {
      case Predicate::nonzero: r = magnitude != 0; break;
      case Predicate::positive: r = !negative && magnitude != 0 && magnitude <= infinity; break;
      case Predicate::not_masked: r = magnitude > infinity || !negative || magnitude < masked_from; break;
      case Predicate::moderate: r = magnitude <= moderate_to; break;
      case Predicate::small_subtrahend: r = magnitude > infinity || negative || magnitude < masked_from; break;
      case Predicate::absorbing:
      case Predicate::minus_infinity: r = negative && magnitude == infinity; break;
      case Predicate::nan: r = magnitude > infinity; break;
    }
    out[i] = r;
  }
}

}  // namespace

MaskView make_view(Bytes bits, Extents shape, Extents extents, std::vector<Extents> boundaries) {
  MaskView v;
  const bool has_one = !bits.empty() && std::memchr(bits.data(), 1, bits.size()) != nullptr;
  if (!has_one || std::memchr(bits.data(), 0, bits.size()) == nullptr)
    return constant_view(has_one, std::move(extents));
  v.strides = contiguous_strides(shape);
  v.shape = std::move(shape);
  v.extents = std::move(extents);
  v.boundaries = std::move(boundaries);
  v.data = std::make_shared<const Bytes>(std::move(bits));
  return v;
}

Common conform(const std::vector<const MaskView*>& operands) {
  Common c;
  const std::size_t rank = operands[0]->shape.size();
  for (const MaskView* v : operands) {
    PIT_CHECK(v->shape.size() == rank, "masks of rank {} and {}", rank, v->shape.size());
    c.views.push_back(*v);
  }
  c.shape.assign(rank, 1);
  c.extents.assign(rank, 1);
  c.boundaries.assign(rank, {});
  for (std::size_t a = 0; a < rank; ++a) {
    bool full = false, partial = false, differ = false;
    for (const MaskView& v : c.views) {
      if (c.extents[a] == 1) c.extents[a] = v.extents[a];
      if (v.shape[a] == 1) continue;
      if (v.boundaries[a].empty()) {
        full = true;
        c.extents[a] = v.extents[a];
      } else {
        differ = differ || (partial && c.boundaries[a] != v.boundaries[a]);
        if (!partial) c.boundaries[a] = v.boundaries[a];
        partial = true;
      }
    }
    if (full) {
      c.boundaries[a].clear();
      c.shape[a] = c.extents[a];
      for (MaskView& v : c.views) {
        if (v.shape[a] != 1) v = full_axis(v, a, false);
        // Gathering may have found a constant; any other extent must fit.
        PIT_CHECK(v.shape[a] == 1 || v.shape[a] == c.shape[a], "mask extents {} and {} differ", v.shape[a], c.shape[a]);
      }
      continue;
    }
    if (!partial) continue;
    if (differ) {
      Extents u;
      for (const MaskView& v : c.views) u.insert(u.end(), v.boundaries[a].begin(), v.boundaries[a].end());
      std::sort(u.begin(), u.end());
      u.erase(std::unique(u.begin(), u.end()), u.end());
      Extents starts{0};
      starts.insert(starts.end(), u.begin(), u.end());
      for (MaskView& v : c.views) {
        if (v.shape[a] != 1 && v.boundaries[a] != u)
          v = gather_axis(v, a, segment_index(v.boundaries[a], starts), u, v.extents[a]);
      }
      c.boundaries[a] = std::move(u);
    }
    c.shape[a] = static_cast<std::int64_t>(c.boundaries[a].size()) + 1;
  }
  return c;
}

std::vector<int> memory_order(const Common& c) {
  std::vector<int> order;
  Extents reach(c.shape.size(), 0);
  for (std::size_t a = 0; a < c.shape.size(); ++a) {
    order.push_back(static_cast<int>(a));
    for (const MaskView& v : c.views) reach[a] = std::max(reach[a], v.strides[a]);
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return reach[static_cast<std::size_t>(a)] > reach[static_cast<std::size_t>(b)];
  });
  return order;
}

MaskView constant_view(bool value, Extents extents) {
  static const std::shared_ptr<const Bytes> bytes[2] = {std::make_shared<const Bytes>(1, 0),
                                                        std::make_shared<const Bytes>(1, 1)};
  MaskView v;
  v.data = bytes[value];
  v.shape.assign(extents.size(), 1);
  v.strides.assign(extents.size(), 0);
  v.boundaries.resize(extents.size());
  v.extents = std::move(extents);
  v.constant = true;
  v.value = value;
  return v;
}

MaskView predicate_view(const Tensor& t, Predicate p) {
  Bytes bits(static_cast<std::size_t>(t.size()));
  switch (t.dtype()) {
    case DType::f32: apply_predicate<float>(t, p, bits); break;
    case DType::f64: apply_predicate<double>(t, p, bits); break;
    case DType::i64: apply_predicate<std::int64_t>(t, p, bits); break;
    case DType::i32: apply_predicate<std::int32_t>(t, p, bits); break;
    case DType::i8: apply_predicate<std::int8_t>(t, p, bits); break;
    case DType::u8:
    case DType::b8: apply_predicate<std::uint8_t>(t, p, bits); break;
    case DType::f16: apply_predicate_f16(t, p, bits); break;
  }
  Extents shape = t.shape();
  std::vector<Extents> boundaries(shape.size());
  if (!bits.empty()) drop_uniform_axes(bits, shape, boundaries);
  return make_view(std::move(bits), std::move(shape), t.shape(), std::move(boundaries));
}

MaskView combine_views(bool conjunction, const std::vector<const MaskView*>& operands) {
  std::vector<const MaskView*> rest;
  Extents extents = operands[0]->extents;
  for (const MaskView* v : operands) {
    for (std::size_t a = 0; a < extents.size(); ++a) {
      if (extents[a] == 1) extents[a] = v->extents[a];
    }
  }
  for (const MaskView* v : operands) {
    if (!v->constant) rest.push_back(v);
    else if (v->value != conjunction) return constant_view(v->value, std::move(extents));
  }
  if (rest.empty()) return constant_view(conjunction, std::move(extents));
  if (rest.size() == 1) {
    MaskView v = *rest[0];
    v.extents = std::move(extents);
    return v;
  }
  Common c = conform(rest);
  // The result is laid out as the operands are; in the order of the axes it is a strided view.
  const std::vector<int> order = memory_order(c);
  std::vector<int> back(order.size());
  Extents shape, laid_out;
  std::vector<Extents> boundaries;
  std::vector<MaskView> views(c.views.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto a = static_cast<std::size_t>(order[i]);
    back[a] = static_cast<int>(i);
    shape.push_back(c.shape[a]);
    laid_out.push_back(extents[a]);
    boundaries.push_back(std::move(c.boundaries[a]));
  }
  for (std::size_t v = 0; v < views.size(); ++v) views[v] = permute_view(c.views[v], order, laid_out);
  Bytes out(static_cast<std::size_t>(product(shape)));
  const Extents strides = contiguous_strides(shape);
  for (std::size_t i = 1; i < views.size(); ++i) {
    const std::uint8_t* x = i == 1 ? views[0].data->data() : out.data();
    const Extents& xs = i == 1 ? views[0].strides : strides;
    if (conjunction) {
      combine_rows(out, strides, shape, x, xs, views[i],
                   [](std::uint8_t a, std::uint8_t b) { return static_cast<std::uint8_t>(a & b); });
    } else {
      combine_rows(out, strides, shape, x, xs, views[i],
                   [](std::uint8_t a, std::uint8_t b) { return static_cast<std::uint8_t>(a | b); });
    }
  }
  return permute_view(make_view(std::move(out), std::move(shape), std::move(laid_out), std::move(boundaries)), back,
                      std::move(extents));
}

MaskView negate_view(const MaskView& v) {
  if (v.constant) return constant_view(!v.value, v.extents);
  MaskView r = v;
  Bytes bits = *v.data;  // strides are kept: a permuted view stays one
  for (auto& b : bits) b ^= 1;
  r.data = std::make_shared<const Bytes>(std::move(bits));
  return r;
}

MaskView permute_view(const MaskView& v, const std::vector<int>& order, Extents extents) {
  if (v.constant) return constant_view(v.value, std::move(extents));
  MaskView r;
  r.data = v.data;
  r.extents = std::move(extents);
  for (int o : order) {
    const auto a = static_cast<std::size_t>(o);
    r.shape.push_back(o < 0 ? 1 : v.shape[a]);
    r.strides.push_back(o < 0 ? 0 : v.strides[a]);
    r.boundaries.push_back(o < 0 ? Extents{} : v.boundaries[a]);
  }
  return r;
}

MaskView merge_view(const MaskView& v, int count, Extents extents) {
  if (v.constant) return constant_view(v.value, std::move(extents));
  const std::size_t base = v.shape.size() - static_cast<std::size_t>(count);
  bool uniform = true;
  for (std::size_t a = base; a < v.shape.size(); ++a) uniform = uniform && v.shape[a] == 1;
  MaskView full = v;
  for (std::size_t a = base; a < v.shape.size() && !uniform; ++a) full = full_axis(full, a, true);
  Extents shape(full.shape.begin(), full.shape.begin() + static_cast<std::ptrdiff_t>(base));
  std::int64_t merged = 1;
  for (std::size_t a = base; a < full.shape.size(); ++a) merged *= full.shape[a];
  shape.push_back(merged);
  std::vector<Extents> boundaries(full.boundaries.begin(), full.boundaries.begin() + static_cast<std::ptrdiff_t>(base));
  boundaries.push_back({});
  return make_view(contiguous_bytes(full), std::move(shape), std::move(extents), std::move(boundaries));
}

MaskView split_view(const MaskView& v, int count, Extents extents) {
  if (v.constant) return constant_view(v.value, std::move(extents));
  const std::size_t axis = v.shape.size() - 1;
  const MaskView full = full_axis(v, axis, false);
  Extents shape(full.shape.begin(), full.shape.end() - 1);
  std::vector<Extents> boundaries(full.boundaries.begin(), full.boundaries.end() - 1);
  for (int i = 0; i < count; ++i) {
    shape.push_back(full.shape[axis] == 1 ? 1 : extents[axis + static_cast<std::size_t>(i)]);
    boundaries.push_back({});
  }
  Bytes bits = contiguous_bytes(full);
  PIT_CHECK(product(shape) == static_cast<std::int64_t>(bits.size()), "a mask of {} bytes cannot be split",
            bits.size());
  drop_uniform_axes(bits, shape, boundaries);
  return make_view(std::move(bits), std::move(shape), std::move(extents), std::move(boundaries));
}

MaskView window_view(const MaskView& v, std::int64_t start, std::int64_t step, Extents extents) {
  const std::size_t axis = v.shape.size() - 1;
  const std::int64_t n = extents[axis], length = v.extents[axis];
  Extents index(static_cast<std::size_t>(n));
  bool inside = true;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t p = start + i * step;
    const bool in = p >= 0 && p < length;
    inside = inside && in;
    index[static_cast<std::size_t>(i)] = !in ? -1 : v.shape[axis] == 1 ? 0 : p;
  }
  if (v.shape[axis] == 1 && inside) {
    MaskView r = v;
    r.extents = std::move(extents);
    return r;
  }
  if (n == 0) return constant_view(false, std::move(extents));
  return gather_axis(full_axis(v, axis, false), axis, index, {}, n);
}

MaskView place_view(const MaskView& v, std::int64_t start, std::int64_t step, Extents extents) {
  const std::size_t axis = v.shape.size() - 1;
  const std::int64_t n = extents[axis], length = v.extents[axis];
  Extents index(static_cast<std::size_t>(n), -1);
  for (std::int64_t i = 0; i < length; ++i) {
    const std::int64_t p = start + i * step;
    if (p >= 0 && p < n) index[static_cast<std::size_t>(p)] = v.shape[axis] == 1 ? 0 : i;
  }
  if (n == 0) return constant_view(false, std::move(extents));
  return gather_axis(full_axis(v, axis, false), axis, index, {}, n);
}

MaskView segments_view(const std::vector<const MaskView*>& parts, int axis, Extents boundaries, Extents extents) {
  const auto a = static_cast<std::size_t>(axis);
  std::vector<const MaskView*> kept;
  Extents kept_boundaries;
  std::int64_t from = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::int64_t to =
        i < boundaries.size() ? std::clamp(boundaries[i], from, std::max(from, extents[a])) : extents[a];
    if (to <= from) continue;
    if (!kept.empty()) kept_boundaries.push_back(from);
    kept.push_back(parts[i]);
    from = to;
  }
  if (kept.empty()) return constant_view(false, std::move(extents));
  bool same = true;
  for (const MaskView* v : kept) same = same && v->constant && v->value == kept[0]->value;
  if (kept.size() == 1 || same) {
    MaskView v = *kept[0];
    v.extents = extents;
    if (v.constant) v = constant_view(v.value, std::move(extents));
    return v;
  }
  Common c = conform(kept);
  Extents shape = c.shape;
  shape[a] = static_cast<std::int64_t>(kept.size());
  Bytes out(static_cast<std::size_t>(product(shape)));
  const Extents strides = contiguous_strides(shape);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const Nest nest(c.shape, {strides, c.views[i].strides});
    nest.rows([&](const Offsets& at) {
      std::uint8_t* o = out.data() + at[0] + static_cast<std::int64_t>(i) * strides[a];
      const std::uint8_t* x = c.views[i].data->data() + at[1];
      const std::int64_t os = nest.inner_stride(0), xs = nest.inner_stride(1);
      for (std::int64_t j = 0; j < nest.inner(); ++j) o[j * os] = x[j * xs];
    });
  }
  c.boundaries[a] = std::move(kept_boundaries);
  return make_view(std::move(out), std::move(shape), std::move(extents), std::move(c.boundaries));
}

namespace {

/// Where a lookup reads its index: offset of the fixed dimensions and a stride per axis of the mask's space.
struct IndexWalk {
  std::int64_t offset = 0;
  Extents strides;
};

IndexWalk index_walk(const Lookup& lookup, const Shape& shape, std::size_t rank) {
  IndexWalk w;
  w.strides.assign(rank, 0);
  std::int64_t stride = 1;
  PIT_CHECK(shape.size() == lookup.axes.size(), "a lookup over {} axes in an index of rank {}", lookup.axes.size(),
            shape.size());
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (lookup.axes[d] < 0) {
      w.offset += (lookup.at[d] < 0 ? lookup.at[d] + shape[d] : lookup.at[d]) * stride;
    } else if (shape[d] != 1) {
      w.strides[static_cast<std::size_t>(lookup.axes[d])] += stride;
    }
    stride *= shape[d];
  }
  return w;
}

template <class F>
void with_index(const Tensor& t, F&& f) {
  switch (t.dtype()) {
    case DType::i64: return f(t.as<std::int64_t>());
    case DType::i32: return f(t.as<std::int32_t>());
    case DType::i8: return f(t.as<std::int8_t>());
    case DType::u8:
    case DType::b8: return f(t.as<std::uint8_t>());
    default: PIT_UNREACHABLE("a lookup by {}", name_of(t.dtype()));
  }
}

}  // namespace

MaskView take_view(const MaskView& v, const Lookup& lookup, const Tensor& index, Extents extents) {
  const std::size_t rank = extents.size();
  if (v.constant || v.shape[rank] == 1) {
    std::vector<int> order;
    for (std::size_t a = 0; a < rank; ++a) order.push_back(static_cast<int>(a));
    return permute_view(v, order, std::move(extents));
  }
  MaskView full = full_axis(v, rank, false);
  const std::int64_t table = v.extents[rank];
  const IndexWalk walk = index_walk(lookup, index.shape(), rank);
  Extents shape(rank);
  std::vector<Extents> boundaries(full.boundaries.begin(), full.boundaries.end() - 1);
  for (std::size_t a = 0; a < rank; ++a) {
    if (walk.strides[a] != 0 && !full.boundaries[a].empty()) full = full_axis(full, a, false), boundaries[a].clear();
    shape[a] = walk.strides[a] != 0 ? extents[a] : full.shape[a];
  }
  Bytes out(static_cast<std::size_t>(product(shape)));
  Extents arg(full.strides.begin(), full.strides.end() - 1);
  const std::int64_t ts = full.strides[rank];
  const Nest nest(shape, {contiguous_strides(shape), arg, walk.strides});
  with_index(index, [&](const auto* ix) {
    nest.rows([&](const Offsets& at) {
      std::uint8_t* o = out.data() + at[0];
      const std::uint8_t* x = full.data->data() + at[1];
      const auto* p = ix + walk.offset + at[2];
      for (std::int64_t i = 0; i < nest.inner(); ++i) {
        std::int64_t t = static_cast<std::int64_t>(p[i * nest.inner_stride(2)]);
        if (t < 0) t += table;
        // An index out of range is the operator's error to report; nothing is read here.
        o[i * nest.inner_stride(0)] = t < 0 || t >= table ? 1 : x[i * nest.inner_stride(1) + t * ts];
      }
    });
  });
  drop_uniform_axes(out, shape, boundaries);
  return make_view(std::move(out), std::move(shape), std::move(extents), std::move(boundaries));
}

MaskView put_view(const MaskView& v, const Lookup& lookup, const Tensor& index, const std::vector<int>& reduced,
                  Extents extents) {
  const std::size_t rank = extents.size() - 1;
  if (v.constant && !v.value) return constant_view(false, std::move(extents));
  MaskView full = v;
  const std::int64_t table = extents[rank];
  const IndexWalk walk = index_walk(lookup, index.shape(), rank);
  Extents shape(rank), out_shape(rank);
  std::vector<Extents> boundaries;
  for (std::size_t a = 0; a < rank; ++a) {
    if (walk.strides[a] != 0 && !full.boundaries[a].empty()) full = full_axis(full, a, false);
    shape[a] = walk.strides[a] != 0 ? v.extents[a] : full.shape[a];
    const bool gone = std::find(reduced.begin(), reduced.end(), static_cast<int>(a)) != reduced.end();
    out_shape[a] = gone ? 1 : shape[a];
    boundaries.push_back(gone ? Extents{} : full.boundaries[a]);
  }
  out_shape.push_back(table);
  boundaries.push_back({});
  Bytes out(static_cast<std::size_t>(product(out_shape)), 0);
  Extents to = contiguous_strides(out_shape);
  const std::int64_t ts = to.back();
  to.pop_back();
  const Nest nest(shape, {to, full.strides, walk.strides});
  with_index(index, [&](const auto* ix) {
    nest.rows([&](const Offsets& at) {
      std::uint8_t* o = out.data() + at[0];
      const std::uint8_t* x = full.data->data() + at[1];
      const auto* p = ix + walk.offset + at[2];
      for (std::int64_t i = 0; i < nest.inner(); ++i) {
        std::int64_t t = static_cast<std::int64_t>(p[i * nest.inner_stride(2)]);
        if (t < 0) t += table;
        if (t >= 0 && t < table) o[i * nest.inner_stride(0) + t * ts] |= x[i * nest.inner_stride(1)];
      }
    });
  });
  if (!out.empty()) drop_uniform_axes(out, out_shape, boundaries);
  return make_view(std::move(out), std::move(out_shape), std::move(extents), std::move(boundaries));
}

std::uint64_t hash_bytes(const void* data, std::size_t size, std::uint64_t seed) {
  constexpr std::uint64_t k = 0x9fb21c651e98df25ull;
  const char* p = static_cast<const char*>(data);
  std::uint64_t h[4] = {seed ^ k, seed + k, seed * k + 1, ~seed};
  std::size_t i = 0;
  for (; i + 32 <= size; i += 32) {
    for (std::size_t j = 0; j < 4; ++j) {
      std::uint64_t w;
      std::memcpy(&w, p + i + 8 * j, 8);
      h[j] = (h[j] ^ w) * k;
      h[j] ^= h[j] >> 29;
    }
  }
  std::uint64_t r = size * k;
  for (std::uint64_t x : h) r = (r ^ x) * k, r ^= r >> 32;
  for (; i < size; ++i) r = (r ^ static_cast<std::uint8_t>(p[i])) * k, r ^= r >> 31;
  return r | 1;
}

MaskArray materialize(const MaskView& v) {
  MaskArray m;
  m.shape = v.shape;
  m.extents = v.extents;
  m.boundaries = v.boundaries;
  if (is_contiguous(v)) {
    m.bits.assign(v.data->begin(), v.data->begin() + product(v.shape));
  } else {
    const Bytes bits = contiguous_bytes(v);
    m.bits.assign(bits.begin(), bits.end());
  }
  m.all = v.constant && v.value;
  m.none = v.constant && !v.value;
  if (product(v.extents) == 0) m.all = m.none = true;
  m.hash = hash_bytes(m.bits.data(), m.bits.size(), hash_bytes(m.shape.data(), m.shape.size() * 8, 1));
  m.hash = hash_bytes(m.extents.data(), m.extents.size() * 8, m.hash);
  return m;
}

}  // namespace pit::sparsity
