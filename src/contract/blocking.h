// Block sizes. All rules keep three things apart: what a macro-tile reuses (steps of k of a panel of B: L1), what a
// panel is run against (packed A: L2 or L3), and how often all of B is read (rows per block). Sizes follow from live
// bytes, not from the dense shape.
#pragma once

#include "contract/engine.h"
#include "contract/kernels.h"

namespace pit::contract {

/// Shares of live elements as a rule covers them.
struct Shares {
  double a = 1;  ///< of A in the rule's groups of rows (k, both), micro-tiles (m, element), or any row (stream)
  double b = 1;  ///< of B in a panel
  double c = 1;  ///< of C in a panel
};

/// B as the rules find it.
struct LayoutB {
  Panels panels;
  bool packed = false;  ///< before the call
};

/// How the rule cuts the call for `threads` workers.
Blocking blocking_of(const Kernels& kernels, const CacheSizes& caches, const Problem& p, const Shares& shares,
                     const Rule& rule, const LayoutB& b, int threads);

/// k in as few equal ranges as stay below the length at which macro-tiles that walk a panel from L2, `row_bytes` a step,
/// are fastest.
std::int64_t even_range(std::int64_t k, std::int64_t l2_bytes, std::int64_t row_bytes);

}  // namespace pit::contract
