// Internal: loop nests over strided bytes, shared by the operations on concrete masks.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "sparsity/mask_views.h"

namespace pit::sparsity {

using Extents = std::vector<std::int64_t>;

inline std::int64_t product(const Extents& e) {
  std::int64_t n = 1;
  for (auto x : e) n *= x;
  return n;
}

inline Extents contiguous_strides(const Extents& shape) {
  Extents s(shape.size(), 0);
  std::int64_t n = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    s[i] = shape[i] == 1 ? 0 : n;
    n *= shape[i];
  }
  return s;
}

constexpr std::size_t kMaxOperands = 3;
using Offsets = std::array<std::int64_t, kMaxOperands>;  ///< of up to three operands

/// A nest of loops over `shape` with one stride per operand, adjacent axes fused where all operands allow it.
struct Nest {
  Extents shape;
  std::vector<Extents> strides;  ///< [operand][axis]

  Nest(const Extents& full_shape, const std::vector<Extents>& full_strides) : strides(full_strides.size()) {
    for (std::size_t a = 0; a < full_shape.size(); ++a) {
      if (full_shape[a] == 1) continue;
      bool fuse = !shape.empty();
      for (std::size_t o = 0; o < strides.size() && fuse; ++o) {
        fuse = strides[o].back() == full_strides[o][a] * full_shape[a];
      }
      if (fuse) {
        shape.back() *= full_shape[a];
        for (std::size_t o = 0; o < strides.size(); ++o) strides[o].back() = full_strides[o][a];
      } else {
        shape.push_back(full_shape[a]);
        for (std::size_t o = 0; o < strides.size(); ++o) strides[o].push_back(full_strides[o][a]);
      }
    }
    if (shape.empty()) {
      shape.push_back(1);
      for (auto& s : strides) s.push_back(0);
    }
  }

  /// f(offsets per operand) for every position of all axes but the innermost.
  template <class F>
  void rows(F&& f) const {
    const std::size_t n = strides.size(), depth = shape.size() - 1;
    if (product(shape) == 0) return;
    Offsets offset{};
    if (depth == 0) return f(offset);
    // The outermost axes count like an odometer, the last of them is a plain loop.
    const std::int64_t last = shape[depth - 1];
    Offsets step{};
    for (std::size_t o = 0; o < n; ++o) step[o] = strides[o][depth - 1];
    Extents at(depth, 0);
    while (true) {
      Offsets here = offset;
      for (std::int64_t i = 0; i < last; ++i) {
        f(here);
        for (std::size_t o = 0; o < kMaxOperands; ++o) here[o] += step[o];
      }
      std::size_t d = depth - 1;
      while (d-- > 0) {
        for (std::size_t o = 0; o < n; ++o) offset[o] += strides[o][d];
        if (++at[d] < shape[d]) break;
        for (std::size_t o = 0; o < n; ++o) offset[o] -= strides[o][d] * shape[d];
        at[d] = 0;
      }
      if (d == static_cast<std::size_t>(-1)) return;
    }
  }
  std::int64_t inner() const { return shape.back(); }
  std::int64_t inner_stride(std::size_t o) const { return strides[o].back(); }
};

/// Contiguous bytes as a view; a constant one if all are equal.
MaskView make_view(Bytes bits, Extents shape, Extents extents, std::vector<Extents> boundaries);

/// Brings operands to one partition of every axis; returns the common stored shape, boundaries and extents.
struct Common {
  std::vector<MaskView> views;
  Extents shape, extents;
  std::vector<Extents> boundaries;
};
Common conform(const std::vector<const MaskView*>& operands);

/// Axes in the order of memory: large strides, in any operand, outside; so inner loops run along it.
std::vector<int> memory_order(const Common& c);

}  // namespace pit::sparsity
