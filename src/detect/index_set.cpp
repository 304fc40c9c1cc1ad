#include "detect/index_set.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "support/check.h"
#include "tensor/strided.h"

namespace pit::detect {

namespace {

using Extents = std::vector<std::int64_t>;
constexpr std::size_t kPadding = 16;  // entries that kernels may read behind the end (prefetching)

/// Appends base + i for every i with row[i] != 0. Branch-free: every position is stored, only live ones advance.
std::int64_t compress(const std::uint8_t* row, std::int64_t n, std::int32_t base, std::int32_t* out) {
  std::int64_t count = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    std::uint64_t w;
    std::memcpy(&w, row + i, 8);
    if (w == 0) continue;
    for (std::int64_t j = 0; j < 8; ++j) {
      out[count] = base + static_cast<std::int32_t>(i + j);
      count += row[i + j] != 0;
    }
  }
  for (; i < n; ++i) {
    out[count] = base + static_cast<std::int32_t>(i);
    count += row[i] != 0;
  }
  return count;
}

void finish(IndexSet& s, std::size_t count) {
  s.index.resize(count);
  s.index.resize(count + kPadding, 0);
  s.all = static_cast<std::int64_t>(count) == s.outer * s.extent;
}

/// Positions of the real axis -> stored positions of a mask's axis.
Extents stored_positions(const sparsity::MaskArray& m, int axis) {
  const auto a = static_cast<std::size_t>(axis);
  Extents p(static_cast<std::size_t>(m.extents[a]), 0);
  if (m.shape[a] == 1) return p;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto v = static_cast<std::int64_t>(i);
    p[i] = m.boundaries[a].empty()
               ? v
               : std::upper_bound(m.boundaries[a].begin(), m.boundaries[a].end(), v) - m.boundaries[a].begin();
  }
  return p;
}

Extents strides_of(const Extents& shape) {
  Extents s(shape.size(), 0);
  std::int64_t n = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    s[i] = shape[i] == 1 ? 0 : n;
    n *= shape[i];
  }
  return s;
}

/// Byte offsets of all positions of the real axes `axes` (row-major) of a mask, axes uniform in it included.
Extents offsets(const sparsity::MaskArray& m, const std::vector<int>& axes) {
  const Extents strides = strides_of(m.shape);
  Extents result{0};
  for (int axis : axes) {
    const Extents p = stored_positions(m, axis);
    const std::int64_t stride = strides[static_cast<std::size_t>(axis)];
    Extents next;
    next.reserve(result.size() * p.size());
    for (std::int64_t base : result)
      for (std::int64_t q : p) next.push_back(base + q * stride);
    result = std::move(next);
  }
  return result;
}

std::int64_t extent_of(const sparsity::MaskArray& m, const std::vector<int>& axes) {
  std::int64_t n = 1;
  for (int a : axes) n *= m.extents[static_cast<std::size_t>(a)];
  return n;
}

/// "or" over all axes that are not in `kept`.
sparsity::MaskArray reduced(const sparsity::MaskArray& m, const std::vector<char>& kept) {
  bool nothing_to_do = true;
  for (std::size_t a = 0; a < m.shape.size(); ++a) nothing_to_do = nothing_to_do && (kept[a] || m.shape[a] == 1);
  if (nothing_to_do) return m;
  sparsity::MaskArray r;
  r.shape = m.shape;
  r.extents = m.extents;
  r.boundaries = m.boundaries;
  for (std::size_t a = 0; a < m.shape.size(); ++a) {
    if (!kept[a]) r.shape[a] = 1, r.boundaries[a].clear();
  }
  std::int64_t size = 1;
  for (auto n : r.shape) size *= n;
  r.bits.assign(static_cast<std::size_t>(size), 0);
  const Extents to = strides_of(r.shape);
  const std::size_t rank = m.shape.size(), last = rank - 1;
  Extents at(last, 0), steps(last, 0);
  for (std::size_t a = 0; a < last; ++a)
    if (kept[a]) steps[a] = to[a];
  std::int64_t out = 0;
  const std::int64_t n = m.shape[last], step = kept[last] && n > 1 ? 1 : 0;
  for (std::size_t i = 0; i < m.bits.size(); i += static_cast<std::size_t>(n)) {
    const std::uint8_t* row = m.bits.data() + i;
    std::uint8_t* o = r.bits.data() + out;
    if (step == 1) {
      for (std::int64_t j = 0; j < n; ++j) o[j] |= row[j];
    } else {
      *o |= static_cast<std::uint8_t>(std::memchr(row, 1, static_cast<std::size_t>(n)) != nullptr);
    }
    next_position(at, std::span(m.shape).first(last), steps, &out);
  }
  r.none = r.bits.empty() || std::memchr(r.bits.data(), 1, r.bits.size()) == nullptr;
  r.all = r.bits.empty() || std::memchr(r.bits.data(), 0, r.bits.size()) == nullptr;
  return r;
}

}  // namespace

IndexSet from_bytes(const std::uint8_t* mask, std::int64_t outer, std::int64_t extent) {
  IndexSet s;
  s.outer = outer;
  s.extent = extent;
  s.offset.resize(static_cast<std::size_t>(outer) + 1, 0);
  s.index.resize(static_cast<std::size_t>(outer * extent) + kPadding);
  std::int64_t count = 0;
  for (std::int64_t o = 0; o < outer; ++o) {
    count += compress(mask + o * extent, extent, 0, s.index.data() + count);
    s.offset[static_cast<std::size_t>(o) + 1] = count;
  }
  finish(s, static_cast<std::size_t>(count));
  return s;
}

IndexSet everything(std::int64_t outer, std::int64_t extent) {
  IndexSet s;
  s.outer = outer;
  s.extent = extent;
  s.offset.resize(static_cast<std::size_t>(outer) + 1);
  s.index.resize(static_cast<std::size_t>(outer * extent));
  for (std::int64_t o = 0; o <= outer; ++o) s.offset[static_cast<std::size_t>(o)] = o * extent;
  for (std::int64_t o = 0; o < outer; ++o) {
    std::int32_t* row = s.index.data() + o * extent;
    for (std::int64_t i = 0; i < extent; ++i) row[i] = static_cast<std::int32_t>(i);
  }
  finish(s, s.index.size());
  return s;
}

IndexSet project(const sparsity::MaskArray& m, const std::vector<int>& outer_axes, const std::vector<int>& list_axes) {
  const std::int64_t outer = extent_of(m, outer_axes), extent = extent_of(m, list_axes);
  PIT_CHECK(extent <= INT32_MAX, "an index set over {} positions", extent);
  if (m.all) return everything(outer, extent);
  IndexSet s;
  s.outer = outer;
  s.extent = extent;
  s.offset.resize(static_cast<std::size_t>(outer) + 1, 0);
  if (m.none) {
    finish(s, 0);
    return s;
  }
  std::vector<char> kept(m.shape.size(), 0);
  for (int a : outer_axes) kept[static_cast<std::size_t>(a)] = 1;
  for (int a : list_axes) kept[static_cast<std::size_t>(a)] = 1;
  const sparsity::MaskArray r = reduced(m, kept);
  const Extents rows = offsets(r, outer_axes), columns = offsets(r, list_axes);
  bool contiguous = true;
  for (std::size_t i = 0; i < columns.size() && contiguous; ++i)
    contiguous = columns[i] == static_cast<std::int64_t>(i);
  s.index.resize(static_cast<std::size_t>(outer * extent) + kPadding);
  std::vector<std::uint8_t> gathered(columns.size());
  std::int64_t count = 0;
  for (std::size_t o = 0; o < rows.size(); ++o) {
    const std::uint8_t* row = r.bits.data() + rows[o];
    if (!contiguous) {
      for (std::size_t i = 0; i < columns.size(); ++i) gathered[i] = row[columns[i]];
      row = gathered.data();
    }
    count += compress(row, extent, 0, s.index.data() + count);
    s.offset[o + 1] = count;
  }
  finish(s, static_cast<std::size_t>(count));
  return s;
}

IndexSet tile_columns(const sparsity::MaskArray& m, const std::vector<int>& outer_axes, int row_axis, int col_axis,
                      const IndexSet& rows, int tile, std::vector<std::int64_t>* first_tile) {
  std::vector<char> kept(m.shape.size(), 0);
  for (int a : outer_axes) kept[static_cast<std::size_t>(a)] = 1;
  kept[static_cast<std::size_t>(row_axis)] = kept[static_cast<std::size_t>(col_axis)] = 1;
  const sparsity::MaskArray r = reduced(m, kept);
  const Extents outer = offsets(r, outer_axes), row = offsets(r, {row_axis}), column = offsets(r, {col_axis});
  PIT_CHECK(static_cast<std::int64_t>(outer.size()) == rows.outer, "{} row lists for {} outer positions", rows.outer,
            outer.size());
  IndexSet s;
  s.extent = static_cast<std::int64_t>(column.size());
  s.offset.push_back(0);
  bool contiguous = true;
  for (std::size_t i = 0; i < column.size() && contiguous; ++i) contiguous = column[i] == static_cast<std::int64_t>(i);
  const bool row_uniform = r.shape[static_cast<std::size_t>(row_axis)] == 1;
  std::int64_t tiles = 0;
  for (std::int64_t o = 0; o < rows.outer; ++o) {
    const std::int64_t n = rows.offset[static_cast<std::size_t>(o) + 1] - rows.offset[static_cast<std::size_t>(o)];
    tiles += (n + tile - 1) / tile;
  }
  s.index.resize(static_cast<std::size_t>(tiles * s.extent) + kPadding);
  first_tile->clear();
  std::vector<std::uint8_t> live(column.size());
  std::int64_t count = 0;
  s.outer = 0;
  for (std::int64_t o = 0; o < rows.outer; ++o) {
    first_tile->push_back(s.outer);
    const std::int64_t from = rows.offset[static_cast<std::size_t>(o)],
                       to = rows.offset[static_cast<std::size_t>(o) + 1];
    for (std::int64_t t = from; t < to; t += tile) {
      std::fill(live.begin(), live.end(), 0);
      const std::int64_t end = row_uniform ? t + 1 : std::min<std::int64_t>(t + tile, to);
      for (std::int64_t i = t; i < end; ++i) {
        const std::int64_t at =
            outer[static_cast<std::size_t>(o)] + row[static_cast<std::size_t>(rows.index[static_cast<std::size_t>(i)])];
        const std::uint8_t* x = r.bits.data() + at;
        if (contiguous) {
          for (std::size_t c = 0; c < live.size(); ++c) live[c] |= x[c];
        } else {
          for (std::size_t c = 0; c < live.size(); ++c) live[c] |= x[column[c]];
        }
      }
      count += compress(live.data(), s.extent, 0, s.index.data() + count);
      s.offset.push_back(count);
      ++s.outer;
    }
  }
  finish(s, static_cast<std::size_t>(count));
  return s;
}

}  // namespace pit::detect
