// Walking strided data: the one odometer, and copies between layouts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pit {

/// `at`, a position in a box of extents `shape`, becomes the next one in row-major order (the last axis runs fastest).
/// False after the last position, when `at` is the first one again.
inline bool next_position(std::span<std::int64_t> at, std::span<const std::int64_t> shape) {
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (++at[d] < shape[d]) return true;
    at[d] = 0;
  }
  return false;
}

/// The same, and `offset`, which is sum(at * strides), follows.
inline bool next_position(std::span<std::int64_t> at, std::span<const std::int64_t> shape,
                          std::span<const std::int64_t> strides, std::int64_t* offset) {
  for (std::size_t d = shape.size(); d-- > 0;) {
    *offset += strides[d];
    if (++at[d] < shape[d]) return true;
    *offset -= strides[d] * shape[d];
    at[d] = 0;
  }
  return false;
}

/// Copies a box of `shape` elements of `bytes` bytes each; strides are in elements and may be zero or negative. An
/// empty stride list means row-major.
void copy_strided(std::span<const std::int64_t> shape, std::size_t bytes, const void* from,
                  std::span<const std::int64_t> from_strides, void* to, std::span<const std::int64_t> to_strides);

}  // namespace pit
