// Block sizes. All rules keep three things apart: what a macro-tile reuses (steps of k of a panel of B: L1), what a
// panel is run against (packed A: L2 or L3), and how often all of B is read (rows per block). Sizes follow from live
// bytes, not from the dense shape.
#pragma once

#include "contract/macro_tile.h"

namespace pit::contract {

/// Steps of k of one panel of B that stay in L1 while several tiles use them; all of k for algebras that cannot split
/// it.
std::int64_t k_block(const Call& call);
/// Whether macro-tiles of so many rows fetch B ahead (Family::prefetching): a few tiles, which would wait for memory in
/// the first one and leave it idle in the others.
bool prefetches_b(const Kernels& kernels, const CacheSizes& caches, std::int64_t rows, std::int64_t b_bytes);
/// k in as few equal ranges as stay below the length at which macro-tiles that walk a panel of `width` columns from L2
/// are fastest.
std::int64_t even_range(std::int64_t k, std::int64_t l2_bytes, std::int64_t width);
/// Steps of k of one panel of B that dense macro-tiles walk from end to end: from L2, which hardware fetches in time,
/// so that partial results pass through C seldom; where B is fetched `prefetching`, as much as that.
std::int64_t dense_range(const Call& call, bool prefetching);
/// Steps of k, a multiple of 64, of which `rows` rows of packed A stay in L2 while all panels pick from them, and what
/// a panel has (`density`) in L1 while all tiles do; all of k where it cannot be split.
std::int64_t packed_range(const Call& call, std::int64_t rows, double density);
/// The element rule's ranges of k, a multiple of 64 (a word of a live map), for `panels_per_tile` panels of `width`
/// columns. What is read of B's range should stay in L1; but each run of k costs as much as some six steps of k, so
/// where elements are rare, ranges are longer.
std::int64_t element_range(const CacheSizes& caches, std::int64_t width, int panels_per_tile, double density);
/// Rows per block, a multiple of `step`, so that a block's packed A (live_share of m x k) stays within its share of the
/// caches and every worker gets blocks.
std::int64_t row_block(const Call& call, double live_share, std::int64_t step, std::int64_t least, std::int64_t most);

}  // namespace pit::contract
