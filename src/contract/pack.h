// Packing: SRead outside of the tile. Chooses the generated packing kernel by the strides of what is read.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>

#include "codegen/kernel_ir.h"

namespace pit::contract {

/// The packing kernels for panels of every width, with and without an index on k.
struct PackSet {
  std::int64_t element = 0;                                                 ///< bytes of what they move
  std::map<int, std::array<codegen::KernelFn, 2>> transpose, copy, gather;  ///< by width; [indexed]
};

/// Panel geometry of a packed B with `columns` columns: full panels of vectors*lanes, then one of as few vectors as
/// needed, or, where an index of byte offsets has to serve all panels, one as wide as the others.
struct Panels {
  std::int64_t columns = 0;
  int lanes = 16, vectors = 3;
  bool uniform = false;
  std::int64_t count() const { return (columns + width() - 1) / width(); }
  std::int64_t width() const { return static_cast<std::int64_t>(lanes) * vectors; }
  int vectors_of(std::int64_t p) const {
    const std::int64_t left = columns - p * width();
    return uniform || left >= width() ? vectors : static_cast<int>((left + lanes - 1) / lanes);
  }
  std::int64_t columns_of(std::int64_t p) const { return std::min(width(), columns - p * width()); }
  /// The same, but that the last one is as narrow as can be.
  Panels tight() const { return {columns, lanes, vectors, false}; }
  /// Elements before panel p, for k rows per panel.
  std::int64_t offset(std::int64_t p, std::int64_t k) const { return p * width() * k; }
  std::int64_t elements(std::int64_t k) const {
    return columns == 0 ? 0 : offset(count() - 1, k) + static_cast<std::int64_t>(vectors_of(count() - 1)) * lanes * k;
  }
};

/// dst[k][width] from up to `width` rows (byte pointers), `k_stride` bytes apart along k, optionally through k_index.
void pack_rows(const PackSet& packs, int width, char* dst, void* const* rows, int count, std::int64_t k,
               std::int64_t k_stride, const std::int32_t* k_index);

/// A matrix B[k,n] in memory, strides in bytes, and which of it is packed. Lists and `n_live` may be null: everything.
struct MatrixB {
  const char* data = nullptr;
  std::int64_t k_stride = 0, n_stride = 0;
  const std::int32_t* k_list = nullptr;  ///< the i-th packed step of k is B's row k_list[i]
  const std::int32_t* n_list = nullptr;  ///< the i-th packed column is B's column n_list[i]
  const std::uint8_t* n_live = nullptr;  ///< per column of B: those that are dead (0) pack as zeros
};

/// Panels first..last of B, `k` steps each: panel p at panels.offset(p, k_room) elements from `dst`.
void pack_panels(const PackSet& packs, const Panels& panels, std::int64_t first, std::int64_t last, const MatrixB& b,
                 std::int64_t k, std::int64_t k_room, char* dst);

/// Elements of slack that packing may write behind its destination.
inline constexpr std::int64_t kPackSlack = 1024;

std::shared_ptr<char> aligned_bytes(std::int64_t bytes);

}  // namespace pit::contract
