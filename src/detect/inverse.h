// Who reads or writes each place of a table: an index, turned around.
#pragma once

#include <cstdint>

#include "detect/index_set.h"
#include "support/threads.h"

namespace pit::detect {

/// Positions of a table of `extents`, row-major: `rows` times one for each dimension. i64 or i32.
struct Places {
  const void* index = nullptr;
  bool wide = true;  ///< i64
  std::int64_t rows = 0;
  std::vector<std::int64_t> extents;

  std::int64_t at(std::int64_t i) const {
    return wide ? static_cast<const std::int64_t*>(index)[i] : static_cast<const std::int32_t*>(index)[i];
  }
};

/// The number of a place that is out of range (in 0..rows * dimensions); -1: none. Negative ones count from the end.
std::int64_t out_of_range(const Places& p, const ThreadPool& pool);

/// List t: the rows whose place is t, ascending. All places are in range. A counting sort; the lists are the same for
/// any number of threads.
IndexSet inverse(const Places& p, const ThreadPool& pool);

}  // namespace pit::detect
