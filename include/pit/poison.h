// A debug mode that shows when something is read that nobody computed.
#pragma once

#include <cstdint>

namespace pit {

/// What memory holds before it is written. Results do not depend on it. A maximum hides NaN, and 0 * NaN shows what 0 *
/// 1e30 hides, so both are useful.
enum class Poison : std::uint8_t {
  none,  ///< whatever was there
  nan,   ///< NaN; integers far out of range
  large  ///< numbers of large size and changing sign: 1e30, 6e4 in f16
};

}  // namespace pit
