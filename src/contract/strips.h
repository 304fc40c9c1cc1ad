// Strips of B: a few neighbouring columns each, as many as a tile has rows, with the steps of k that any of them has.
// What the rule for B's transpose (run_transposed.cpp) walks instead of B, as tiles of ragged ranges read it.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <vector>

#include "contract/buffers.h"
#include "contract/pack.h"
#include "detect/live_map.h"
#include "support/threads.h"

namespace pit::contract {

/// How B is cut.
struct StripShape {
  std::int64_t columns = 1;     ///< of a strip: a power of two
  std::int64_t range = 1;       ///< steps of k in a range
  std::int64_t step_bytes = 0;  ///< of a step of k in the panels that tiles read beside the strips
  auto operator<=>(const StripShape&) const = default;
};

/// One matrix of B. All ranges of k one after the other, in each all strips, in each their live steps: positions. A last
/// strip is as wide as the others: columns that it lacks hold zeros.
struct Strips {
  std::int64_t count = 0, ranges = 1;
  const char* values = nullptr;            ///< [position][column of the strip]
  const std::int32_t* k_offset = nullptr;  ///< [position]: k * step_bytes
  const std::int32_t* starts = nullptr;    ///< [range][strip]: its first position; and the end of all

  const std::int32_t* starts_of(std::int64_t range, std::int64_t strip) const { return starts + range * count + strip; }
};

/// Where columns of B lie: element (k, column + i) at first + k * k_stride + i * n_stride bytes, for the columns of a
/// strip.
struct StripSource {
  const char* first = nullptr;
  std::int64_t k_stride = 0, n_stride = 0;
};

/// Finds and reads strips. Elements that no strip has are not looked at.
class StripReader {
 public:
  /// `live`: B's map, of all its matrices; `element`: bytes.
  StripReader(const detect::LiveMap& live, const StripShape& shape, std::int64_t element, const ThreadPool& pool);

  std::int64_t strips() const { return strips_; }
  /// Memory for one matrix's strips: counts them.
  std::int64_t bytes(std::int64_t number);
  /// Reads matrix `number`, of which `bytes` was asked, into `memory`. `source` tells where a strip's first column lies.
  Strips read(std::int64_t number, char* memory, const std::function<StripSource(std::int64_t)>& source) const;

 private:
  std::int64_t live_k(std::int64_t number, std::int64_t strip, std::vector<std::int32_t>& list) const;

  StripShape shape_;
  std::int64_t element_, k_, n_, strips_, ranges_;
  const ThreadPool& pool_;
  detect::LiveMap map_;                            ///< of B's transpose, rows of micro-tiles at least a strip high
  std::vector<std::vector<std::int32_t>> starts_;  ///< per matrix
};

}  // namespace pit::contract
