#include "contract/macro_tile.h"

#include <algorithm>

#include "support/cancel.h"
#include "support/check.h"

namespace pit::contract {

static_assert(sizeof(lower::TileInts) == 10 * sizeof(std::int64_t), "passed as an array");

MacroKernel::MacroKernel(const Call& call, Family family, std::int64_t b_number)
    : MacroKernel(call.kernels.tiles(family), family, call.b.panels, call.b.k,
                  call.b.data[static_cast<std::size_t>(b_number)].get(), call.b.element,
                  {.c_element = call.sizes().c}) {}

MacroKernel::MacroKernel(const TileTable& tiles, Family family, const Panels& panels, std::int64_t k, const char* b,
                         std::int64_t b_element, const Result& result)
    : tiles_(tiles), panels_(panels), k_(k), family_(family), b_(b), b_element_(b_element), result_(result) {}

void MacroKernel::run(const MacroTile& s, std::int64_t panel, int count, std::int64_t c_offset) const {
  poll_cancel();
  const std::int64_t panel_bytes = panels_.width() * result_.c_element;
  for (int i = 0; i < count;) {
    int panels_per_tile = 1;
    while (2 * panels_per_tile <= kMaxPanels && i + 2 * panels_per_tile <= count &&
           panels_.vectors_of(panel + i + 2 * panels_per_tile - 1) == panels_.vectors &&
           tiles_.of(s.rows, panels_.vectors, 2 * panels_per_tile) != nullptr)
      panels_per_tile *= 2;
    std::int64_t columns = 0;
    for (int q = 0; q < panels_per_tile; ++q) columns += panels_.columns_of(panel + i + q);
    // A last panel that is all vectors but not all columns is narrower than the tile: its stores are masked.
    call(s, panel + i, panels_per_tile, columns, c_offset + i * panel_bytes);
    i += panels_per_tile;
  }
}

void MacroKernel::call(const MacroTile& s, std::int64_t panel, int panels, std::int64_t columns,
                       std::int64_t c_offset) const {
  const bool narrow = narrow_last_ != nullptr && panel == panels_.count() - 1;
  const int vectors = narrow ? panels_.tight().vectors_of(panel) : panels_.vectors_of(panel);
  const char* b = (narrow ? narrow_last_ : panel_at(panel)) + s.b_shift * vectors * panels_.lanes * b_element_;
  void* ptrs[7];
  int n = 0;
  ptrs[n++] =
      family_ == Family::in_place ? const_cast<void*>(static_cast<const void*>(s.a_rows)) : const_cast<char*>(s.a);
  ptrs[n++] = const_cast<char*>(b);
  if (s.k_offset) ptrs[n++] = const_cast<std::int32_t*>(s.k_offset);
  if (s.a_offset) ptrs[n++] = const_cast<std::int32_t*>(s.a_offset);
  if (s.starts) ptrs[n++] = const_cast<std::int32_t*>(s.starts);
  ptrs[n++] = const_cast<void*>(static_cast<const void*>(s.c_rows));
  const std::int64_t next_offset = s.next == 0 ? c_offset + columns * result_.c_element : c_offset;
  const lower::TileInts ints{
      s.k_count, columns,    s.first,    s.last, s.tiles, s.a_step, panels_.width() * k_ * b_element_,
      c_offset,  s.next * 8, next_offset};
  if (result_.epilogue != nullptr) return call_with_epilogue(s, vectors, c_offset / result_.c_element, ptrs, n, ints);
  tiles_.of(s.rows, vectors, panels)(ptrs, &ints.k);
}

// Operands' rows at the macro-tile's first column. Rows that a tile has too many read what the last one reads, and are
// stored nowhere.
void MacroKernel::call_with_epilogue(const MacroTile& s, int vectors, std::int64_t column, void** arguments, int count,
                                     const lower::TileInts& ints) const {
  thread_local std::vector<void*> pointers, shifted;  // attention multiplies many small blocks
  const std::vector<EpilogueRows>& epilogue = *result_.epilogue;
  const int height = tiles_.height(s.rows);
  const std::int64_t rows = s.rows * s.tiles, table_rows = std::max<std::int64_t>(rows, height);
  pointers.assign(arguments, arguments + count);
  void* padded[kMaxTileRows];
  if (height != s.rows) {
    for (int i = 0; i < height; ++i) padded[i] = i < rows ? s.c_rows[i] : result_.trash - ints.c_offset;
    pointers.back() = static_cast<void*>(padded);
  }
  const auto needed = epilogue.size() * static_cast<std::size_t>(table_rows);
  if (shifted.size() < needed) shifted.resize(needed);
  void** table = shifted.data();
  for (const EpilogueRows& x : epilogue) {
    switch (x.access) {
      case lower::EpilogueAccess::scalar: pointers.push_back(x.base); break;
      case lower::EpilogueAccess::per_n: pointers.push_back(x.base + column * x.element); break;
      case lower::EpilogueAccess::per_m:
      case lower::EpilogueAccess::per_mn: {
        pointers.push_back(static_cast<void*>(table));
        if (!s.last) break;  // not read
        const std::int64_t by = x.access == lower::EpilogueAccess::per_mn ? column * x.element : 0;
        for (std::int64_t i = 0; i < table_rows; ++i)
          table[i] = static_cast<char*>(x.rows[s.first_row + std::min(i, rows - 1)]) + by;
        table += table_rows;
        break;
      }
    }
  }
  tiles_.of(height, vectors, 1)(pointers.data(), &ints.k);
}

void MacroKernel::prefetch(std::int64_t panel, int count, std::int64_t k0, std::int64_t k1, std::int64_t piece,
                           std::int64_t pieces) const {
  constexpr std::int64_t line = 64;
  const std::int64_t row = panels_.width() * b_element_, begin = k0 * row, lines = ((k1 - k0) * row + line - 1) / line;
  for (int q = 0; q < count && panel + q < panels_.count(); ++q) {
    const char* from = panel_at(panel + q) + begin;
    for (std::int64_t i = lines * piece / pieces; i < lines * (piece + 1) / pieces; ++i)
      __builtin_prefetch(from + i * line, 0, 2);
  }
}

void MacroKernel::prefetch(std::int64_t panel, int count, const std::int32_t* k_offset, std::int64_t k_count) const {
  constexpr std::int64_t line = 64;
  const std::int64_t row = panels_.width() * b_element_;
  for (int q = 0; q < count && panel + q < panels_.count(); ++q) {
    const char* from = panel_at(panel + q);
    for (std::int64_t t = 0; t < k_count; ++t) {
      for (std::int64_t at = 0; at < row; at += line) __builtin_prefetch(from + k_offset[t] + at, 0, 2);
    }
  }
}

namespace {

template <class Rows>
std::vector<Task> split(const Call& call, const Rows& rows_of, std::int64_t block, std::int64_t step) {
  const std::vector<Item>& items = call.problem.items;
  const std::int64_t threads = call.pool.size();
  const auto panels_of = [&](const Item& item) {
    return item.last_panel < 0 ? call.b.panels.count() : item.last_panel - item.first_panel;
  };
  std::int64_t all = 0;
  for (const Item& item : items) all += (rows_of(item) + block - 1) / block;
  const bool splits_panels = leave_workers_idle(all, threads);
  const std::int64_t side_by_side = std::max<std::int64_t>(1, call.schedule.blocks.panels);
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::int64_t rows = rows_of(items[i]), panels = panels_of(items[i]), first = items[i].first_panel,
                       blocks = (rows + block - 1) / block, pieces = splits_panels ? std::min(panels, threads) : 1;
    // Pieces of as many columns, and of whole groups of panels that lie side by side in a tile.
    const std::int64_t last = first + panels, width = call.b.panels.width() * side_by_side;
    const std::int64_t columns = std::min(call.problem.n, last * call.b.panels.width()) - first * call.b.panels.width();
    const auto cut = [&](std::int64_t x) {
      if (x == pieces) return last;
      return std::min(last, first + (columns * x / pieces + width / 2) / width * side_by_side);
    };
    const auto row = [&](std::int64_t x) { return x == blocks ? rows : rows * x / blocks / step * step; };
    for (std::int64_t b = 0; b < blocks; ++b)
      for (std::int64_t q = 0; q < pieces; ++q)
        if (cut(q) < cut(q + 1) && row(b) < row(b + 1))
          tasks.push_back({static_cast<std::int64_t>(i), row(b), row(b + 1), cut(q), cut(q + 1)});
  }
  return tasks;
}

}  // namespace

std::vector<Task> make_tasks(const Call& call, std::int64_t rows, std::int64_t block, std::int64_t step) {
  return split(call, [&](const Item&) { return rows; }, block, step);
}

std::vector<Task> make_tasks_of_items(const Call& call, std::int64_t block, std::int64_t step) {
  return split(call, [&](const Item& item) { return call.problem.rows_of(item); }, block, step);
}

std::vector<const Item*> Problem::items_of_b() const {
  std::vector<const Item*> matrices;
  for (const Item& item : items) {
    if (item.b == nullptr) continue;
    const auto number = static_cast<std::size_t>(item.b_number);
    if (matrices.size() <= number) matrices.resize(number + 1, nullptr);
    matrices[number] = &item;
  }
  return matrices;
}

bool Problem::is_whole(const lower::Algebra& algebra) const {
  return sums_fit_c(algebra) && std::all_of(items.begin(), items.end(), [&](const Item& i) {
           return rows_of(i) == m && i.first_panel == 0 && i.last_panel < 0 && !i.k_list && !i.n_live;
         });
}

}  // namespace pit::contract
