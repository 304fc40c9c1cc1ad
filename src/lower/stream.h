// The streaming product: a few rows of A against rows of B that lie in memory whole. Bandwidth decides here, not
// arithmetic, so B is read in long consecutive pieces, several of its rows at a time, and only those that are live.
//
//     C[i, 0..columns] combine= product(A[i, t], B[row(t), 0..columns])     for t = 0..k in order
//
// The partial results of a piece of columns stay in L1 and are loaded and stored once per `kStreamK` steps of k; each
// element is the same chain over ascending k as in a tile.
#pragma once

#include "lower/tile.h"

namespace pit::lower {

inline constexpr int kMaxStreamRows = 8;
/// rows of B read side by side: as many streams as a hardware prefetcher follows with ease
inline constexpr int kStreamK = 4;

struct StreamSpec {
  int rows = 1;
  Algebra algebra = {};
  CpuTarget target = {};
};

/// ptrs: a (packed [steps of k][rows]), b (at the piece's first column), b_row (i32, per step of k: its row of B),
/// c_rows (`rows` pointers). ints: steps of k, columns (any number), b_step (bytes from a row of B to the next), first
/// (1: C starts at the identity), c_offset (bytes). Requires Algebra::splits_k.
codegen::Kernel lower_stream(const StreamSpec& spec);

struct StreamInts {
  std::int64_t k_count = 0, columns = 0, b_step = 0, first = 1, c_offset = 0;
};

}  // namespace pit::lower
