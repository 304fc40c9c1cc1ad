#include "contract/pack.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "support/check.h"
#include "support/memory.h"

namespace pit::contract {

std::shared_ptr<char> aligned_bytes(std::int64_t bytes) {
  const std::size_t rounded = (static_cast<std::size_t>(bytes) + 63) / 64 * 64;
  void* p = std::aligned_alloc(64, rounded ? rounded : 64);
  if (!p) throw std::bad_alloc();
  return {static_cast<char*>(p), [](char* q) { std::free(q); }};
}

void pack_rows(const PackSet& packs, int width, char* dst, void* const* rows, int count, std::int64_t k,
               std::int64_t k_stride, const std::int32_t* k_index) {
  const bool indexed = k_index != nullptr;
  void* ptrs[3] = {dst, const_cast<void*>(static_cast<const void*>(rows)), const_cast<std::int32_t*>(k_index)};
  if (k_stride == packs.element) {
    const std::int64_t ints[2] = {k, count};
    packs.transpose.at(width)[indexed](ptrs, ints);
  } else {
    const std::int64_t ints[3] = {k, count, k_stride};
    packs.gather.at(width)[indexed](ptrs, ints);
  }
}

namespace {

// Columns n0 .. n0 + columns, side by side in `width`.
void pack_panel(const PackSet& packs, int width, char* dst, const MatrixB& b, std::int64_t n0, std::int64_t columns,
                std::int64_t k) {
  if (b.n_stride == packs.element && !b.n_list && !b.n_live) {
    void* ptrs[3] = {dst, const_cast<char*>(b.data + n0 * b.n_stride), const_cast<std::int32_t*>(b.k_list)};
    const std::int64_t ints[3] = {k, columns, b.k_stride};
    packs.copy.at(width)[b.k_list != nullptr](ptrs, ints);
    return;
  }
  void* rows[64];
  PIT_CHECK(columns <= 64, "a panel of {} columns", columns);
  auto column = [&](std::int64_t i) { return b.n_list ? b.n_list[n0 + i] : n0 + i; };
  for (std::int64_t i = 0; i < columns; ++i) rows[i] = const_cast<char*>(b.data + column(i) * b.n_stride);
  pack_rows(packs, width, dst, rows, static_cast<int>(columns), k, b.k_stride, b.k_list);
  if (!b.n_live) return;
  // Dead columns hold nothing defined: they pack as 0, which keeps what is computed from them finite.
  for (std::int64_t i = 0; i < columns; ++i)
    if (!b.n_live[column(i)])
      for (std::int64_t r = 0; r < k; ++r)
        std::memset(dst + (r * width + i) * packs.element, 0, static_cast<std::size_t>(packs.element));
}

}  // namespace

void pack_panels(const PackSet& packs, const Panels& panels, std::int64_t first, std::int64_t last, const MatrixB& b,
                 std::int64_t k, std::int64_t k_room, char* dst) {
  for (std::int64_t p = first; p < last; ++p)
    pack_panel(packs, panels.vectors_of(p) * panels.lanes, dst + panels.offset(p, k_room) * packs.element, b,
               p * panels.width(), panels.columns_of(p), k);
}

}  // namespace pit::contract
