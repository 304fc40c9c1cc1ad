#include "contract/live_k.h"

#include <algorithm>

#include "support/check.h"

namespace pit::contract {

CoveredMap::CoveredMap(const detect::LiveMap& map, std::int64_t g_rows, std::int64_t g_columns) : map_(&map) {
  const std::int64_t up = std::max<std::int64_t>(1, g_rows / map.g_rows),
                     across = std::max<std::int64_t>(1, g_columns / map.g_columns);
  if (up == 1 && across == 1) return;
  own_ = detect::coarsen(map, up, across);
  map_ = &own_;
}

std::int64_t live_columns_bound(const detect::LiveMap& map, std::int64_t batch_row) {
  return std::min(map.columns, map.counts[static_cast<std::size_t>(batch_row)] * map.g_columns);
}

std::int64_t live_columns(const detect::LiveMap& map, std::int64_t batch_row, std::int32_t scale, std::int32_t* out) {
  const std::uint64_t* bits = map.row(batch_row);
  if (map.g_columns == 1) return detect::expand(bits, map.words(), 0, scale, out);
  std::int64_t count = 0;
  for (std::int64_t w = 0; w < map.words(); ++w)
    for (std::uint64_t word = bits[w]; word != 0; word &= word - 1) {
      const std::int64_t begin = (w * 64 + __builtin_ctzll(word)) * map.g_columns,
                         end = std::min(begin + map.g_columns, map.columns);
      for (std::int64_t k = begin; k < end; ++k) out[count++] = static_cast<std::int32_t>(k) * scale;
    }
  return count;
}

}  // namespace pit::contract
