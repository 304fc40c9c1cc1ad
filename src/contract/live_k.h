// Lists of steps of k: the live k of groups of rows, as elements.
#pragma once

#include "contract/macro_tile.h"

namespace pit::contract {

/// The map in micro-tiles of at least rule.g_rows rows and rule.g_columns columns: the call's own, or a coarser one.
class CoveredMap {
 public:
  CoveredMap(const detect::LiveMap& map, std::int64_t g_rows, std::int64_t g_columns);
  const detect::LiveMap& operator*() const { return *map_; }
  const detect::LiveMap* operator->() const { return map_; }

 private:
  detect::LiveMap own_;
  const detect::LiveMap* map_;
};

/// Appends the live columns (elements) of one row of micro-tiles, ascending, times `scale`. Returns how many. Room for
/// 16 more is needed.
std::int64_t live_columns(const detect::LiveMap& map, std::int64_t batch_row, std::int32_t scale, std::int32_t* out);
/// An upper bound of that number.
std::int64_t live_columns_bound(const detect::LiveMap& map, std::int64_t batch_row);

}  // namespace pit::contract
