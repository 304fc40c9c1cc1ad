#include "contract/walk.h"

#include <algorithm>

namespace pit::contract {

Walk::Walk(const Call& call, const Task& task, Family family, std::int64_t unit)
    : call_(call),
      task_(task),
      item_(call.problem.items[static_cast<std::size_t>(task.item)]),
      blocks_(call.schedule.blocks),
      begin_(task.begin * unit),
      rows_(std::min(task.end * unit, call.problem.rows_of(item_)) - begin_),
      tile_(call.kernels.rows()),
      size_(call.sizes().a),
      panel_row_(call.panel_row()),
      kernel_(call, family, item_.b_number) {}

char* Walk::pack_tiles(char* to, std::int64_t row, std::int64_t rows, std::int64_t k_count, const std::int32_t* k,
                       std::int64_t k0, std::int64_t k_room) const {
  void* a_rows[kMaxTileRows];
  for (const std::int64_t end = row + rows; row < end; row += tile_) {
    const int height = static_cast<int>(std::min(tile_, end - row));
    for (int i = 0; i < height; ++i) a_rows[i] = const_cast<char*>(a_row(row + i) + k0 * call_.a_k());
    pack_rows(call_.kernels.packs(), height, to, a_rows, height, k_count, call_.a_k(), k);
    to += (k_room < 0 ? k_count : k_room) * height * size_;
  }
  return to;
}

MacroTile Walk::macro_tile(const char* a, std::int64_t k_room, std::int64_t row, std::int64_t height,
                           std::int64_t tiles, void* const* c_rows, std::int64_t t) const {
  MacroTile s;
  s.rows = static_cast<int>(height), s.tiles = tiles;
  s.a = a + (row * k_room + t * height) * size_, s.a_step = k_room * height * size_;
  s.c_rows = c_rows + row, s.next = height * tiles;
  return s;
}

void Walk::flush(std::int64_t row, std::int64_t rows, std::int64_t panel, int count, const std::uint8_t* wanted) const {
  const std::int64_t width = call_.b.panels.width(), first = panel * width,
                     columns = std::min(call_.problem.n - first, count * width), size = call_.sizes().c;
  for (std::int64_t i = row; i < row + rows; ++i)
    if (!wanted || wanted[i]) copy_row(c_row(i) + first * size, sums(i), columns * size, blocks_.streams_c);
}

}  // namespace pit::contract
