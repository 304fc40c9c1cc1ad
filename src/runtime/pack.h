// Packing: SRead outside of the tile. Chooses the generated packing kernel by the strides of what is read.
#pragma once

#include <cstdint>

#include "runtime/program.h"
#include "support/threads.h"

namespace pit::runtime {

/// dst[k][width] from up to `width` rows (byte pointers), `k_stride` bytes apart along k, optionally through k_index.
void pack_rows(const PackSet& packs, int width, float* dst, void* const* rows, int count, std::int64_t k,
               std::int64_t k_stride, const std::int32_t* k_index);

/// A matrix B[k,n] in memory, strides in bytes.
struct MatrixB {
  const char* data = nullptr;
  std::int64_t k_stride = 0, n_stride = 0;
};

/// One panel (columns n0 .. n0+columns) of B, dst[k][vectors*lanes]. `n_index` (may be null) maps packed columns to B's columns, `n_live`
/// (may be null) says which of B's columns are live: dead ones pack as 0. `k_index` as above.
void pack_panel(const PackSet& packs, int width, float* dst, const MatrixB& b, std::int64_t n0, std::int64_t columns,
                const std::int32_t* n_index, const std::uint8_t* n_live, std::int64_t k, const std::int32_t* k_index);

/// All panels of a constant B.
PackedWeights pack_constant(const Program& p, const fuse::Group& group, const ThreadPool& pool);

/// Floats of slack that packing may write behind its destination.
inline constexpr std::int64_t pack_slack = 1024;

std::shared_ptr<float> aligned_floats(std::int64_t count);

}  // namespace pit::runtime
