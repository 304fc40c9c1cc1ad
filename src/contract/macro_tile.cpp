#include "contract/macro_tile.h"

#include <algorithm>
#include <cstring>
#include <emmintrin.h>

#include "support/cancel.h"
#include "support/check.h"
#include "tensor/poison.h"

namespace pit::contract {

static_assert(sizeof(lower::TileInts) == 10 * sizeof(std::int64_t), "passed as an array");

Buffer Call::scratch(std::int64_t bytes) const {
  Buffer buffer = buffers.take(bytes);
  fill_poison(buffer.data(), DType::f32, buffer.bytes() / 4, poison);
  return buffer;
}

MacroKernel::MacroKernel(const Call& call, Family family, std::int64_t b_number)
    : kernels_(call.kernels),
      tiles_(call.kernels.tiles(family)),
      panels_(call.b.panels),
      k_(call.b.k),
      family_(family),
      b_(call.b.data[static_cast<std::size_t>(b_number)].get()) {}

void MacroKernel::run(const MacroTile& s, std::int64_t panel, int count, std::int64_t c_offset) const {
  poll_cancel();
  const int max_panels = kernels_.max_panels(s.rows);
  const std::int64_t panel_bytes = panels_.width() * 4;
  for (int i = 0; i < count;) {
    int panels_per_tile = 1;
    while (2 * panels_per_tile <= max_panels && i + 2 * panels_per_tile <= count &&
           panels_.vectors_of(panel + i + 2 * panels_per_tile - 1) == panels_.vectors)
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
  const int vectors = panels_.vectors_of(panel);
  const float* b = b_ + panels_.offset(panel, k_) + s.b_shift * vectors * panels_.lanes;
  void* ptrs[7];
  int n = 0;
  ptrs[n++] =
      family_ == Family::in_place ? const_cast<void*>(static_cast<const void*>(s.a_rows)) : const_cast<float*>(s.a);
  ptrs[n++] = const_cast<float*>(b);
  if (s.k_offset) ptrs[n++] = const_cast<std::int32_t*>(s.k_offset);
  if (s.a_offset) ptrs[n++] = const_cast<std::int32_t*>(s.a_offset);
  if (s.starts) ptrs[n++] = const_cast<std::int32_t*>(s.starts);
  ptrs[n++] = const_cast<void*>(static_cast<const void*>(s.c_rows));
  const std::int64_t next_offset = s.next == 0 ? c_offset + panels * panels_.width() * 4 : c_offset;
  const lower::TileInts ints{s.k_count, columns,    s.first,    s.last, s.tiles, s.a_step, panels_.width() * k_ * 4,
                             c_offset,  s.next * 8, next_offset};
  tiles_.of(s.rows, vectors, panels)(ptrs, &ints.k);
}

void MacroKernel::prefetch(std::int64_t panel, int count, std::int64_t k0, std::int64_t k1, std::int64_t piece,
                           std::int64_t pieces) const {
  constexpr std::int64_t line = 64;
  const std::int64_t row = panels_.width() * 4, begin = k0 * row, lines = ((k1 - k0) * row + line - 1) / line;
  for (int q = 0; q < count && panel + q < panels_.count(); ++q) {
    const char* from = reinterpret_cast<const char*>(b_ + panels_.offset(panel + q, k_)) + begin;
    for (std::int64_t i = lines * piece / pieces; i < lines * (piece + 1) / pieces; ++i)
      __builtin_prefetch(from + i * line, 0, 2);
  }
}

void MacroKernel::prefetch(std::int64_t panel, int count, const std::int32_t* k_offset, std::int64_t k_count) const {
  constexpr std::int64_t line = 64;
  const std::int64_t row = panels_.width() * 4;
  for (int q = 0; q < count && panel + q < panels_.count(); ++q) {
    const char* from = reinterpret_cast<const char*>(b_ + panels_.offset(panel + q, k_));
    for (std::int64_t t = 0; t < k_count; ++t) {
      for (std::int64_t at = 0; at < row; at += line) __builtin_prefetch(from + k_offset[t] + at, 0, 2);
    }
  }
}

std::vector<Task> make_tasks(const Call& call, std::int64_t rows, std::int64_t block, std::int64_t step) {
  const std::int64_t items = static_cast<std::int64_t>(call.problem.items.size());
  const std::int64_t panels = call.b.panels.count();
  std::vector<Task> tasks;
  if (rows == 0 || panels == 0) return tasks;
  const std::int64_t blocks = (rows + block - 1) / block, threads = call.pool.size();
  std::int64_t pieces = 1;
  if (items * blocks % threads != 0 && items * blocks < 4 * threads) pieces = std::min(panels, threads);
  for (std::int64_t i = 0; i < items; ++i)
    for (std::int64_t b = 0; b < blocks; ++b)
      for (std::int64_t q = 0; q < pieces; ++q) {
        // Pieces of an even number of panels, which tiles of few rows take two at a time.
        auto cut = [&](std::int64_t x) { return x == pieces ? panels : panels * x / pieces / 2 * 2; };
        auto row = [&](std::int64_t x) { return x == blocks ? rows : rows * x / blocks / step * step; };
        if (cut(q) < cut(q + 1) && row(b) < row(b + 1)) tasks.push_back({i, row(b), row(b + 1), cut(q), cut(q + 1)});
      }
  return tasks;
}

void point_to_rows(const Problem& p, float* c, std::int64_t begin, std::int64_t end, void** rows) {
  for (std::int64_t i = begin; i < end; ++i) *rows++ = c + p.c_rows[static_cast<std::size_t>(i)];
}

void fill(float* p, std::int64_t count, float value) { std::fill_n(p, count, value); }

void copy_row(float* to, const float* from, std::int64_t count, bool streaming) {
  if (!streaming) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
    return;
  }
  // Around the caches go whole lines only: memory would have to read the rest of a line that is written in part.
  constexpr std::int64_t line = 16;
  for (; count > 0 && (reinterpret_cast<std::uintptr_t>(to) & 63) != 0; --count) *to++ = *from++;
  for (; count >= line; count -= line, to += line, from += line)
    for (std::int64_t i = 0; i < line; i += 4) _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
  for (; count > 0; --count) *to++ = *from++;
}

}  // namespace pit::contract
