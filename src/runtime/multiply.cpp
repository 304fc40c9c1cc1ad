// The loops around the register tile: panels of B, in each one k-block after the other, in each all tiles of
// the block in one call (a macro-tile).
#include <algorithm>

#include "runtime/contraction.h"
#include "support/cancel.h"

namespace pit::runtime {
namespace {

constexpr int kMaxRows = 16;

/// Steps of k; between these and the next ones partial sums wait in C.
struct KBlock {
  KRange k;
  const float* a = nullptr;  ///< packed, tile after tile
  bool first = false, last = false;
};

/// Of a thread, from one call to the next: attention multiplies many small blocks.
struct Memory {
  std::vector<KBlock> k_blocks;
  std::vector<void*> shifted, pointers;
};

class Multiplication {
 public:
  Multiplication(const Block& b, Memory& memory)
      : b_(b),
        k_blocks_(memory.k_blocks),
        shifted_(memory.shifted),
        pointers_(memory.pointers),
        whole_(b.rows / b.tile_rows * b.tile_rows),
        rest_(b.rows - whole_) {
    if (rest_ > 0) rest_width_ = b.tiles->rows[b.tiles->variant(rest_)];
    k_blocks_.clear();
    plan_k_blocks();
    shifted_.resize(operands() * static_cast<std::size_t>(whole_ + 2 * kMaxRows));
    pointers_.resize(3 + operands());
  }

  // Where there is room for all of k of the block's A, C is visited panel by panel, while it is near; else k-block by
  // k-block.
  void operator()() {
    if (b_.room_for_all) {
      std::int64_t floats = 0;
      for (KBlock& p : k_blocks_) {
        p.a = b_.packed + floats;
        pack(p);
        floats += p.k.count * (whole_ + rest_width_);
      }
      over_panels([&](std::int64_t panel, std::int64_t column) {
        for (const KBlock& p : k_blocks_) run(p, panel, column);
      });
      return;
    }
    for (KBlock& p : k_blocks_) {
      p.a = b_.packed;
      pack(p);
      over_panels([&](std::int64_t panel, std::int64_t column) { run(p, panel, column); });
    }
  }

 private:
  std::size_t operands() const { return b_.epilogue ? b_.epilogue->size() : 0; }

  void plan_k_blocks() {
    auto cut = [&](const KRange& s) {
      for (std::int64_t i = 0; i < s.count; i += b_.k_block)
        k_blocks_.push_back({{s.a + i, s.b + i, std::min(b_.k_block, s.count - i)}});
    };
    if (b_.k_ranges)
      for (const KRange& s : *b_.k_ranges) cut(s);
    else cut({0, 0, b_.k});
    if (k_blocks_.empty()) k_blocks_.push_back({{0, 0, 0}});  // no k: the epilogue still runs
    k_blocks_.front().first = !b_.resumes;
    k_blocks_.back().last = true;
  }

  // SRead: packs the block's rows, tile by tile.
  void pack(const KBlock& block) const {
    const KRange& s = block.k;
    auto* at = const_cast<float*>(block.a);
    const bool indexed = b_.k_index != nullptr;
    for (int r = 0; r < b_.rows; r += b_.tile_rows) {
      const int rows = std::min(b_.tile_rows, b_.rows - r), width = r < whole_ ? b_.tile_rows : rest_width_;
      void* moved[kMaxRows];
      for (int i = 0; i < rows; ++i) moved[i] = static_cast<char*>(b_.a[r + i]) + (indexed ? 0 : s.a * b_.a_k_stride);
      pack_rows(*b_.packs, width, at, moved, rows, s.count, b_.a_k_stride, indexed ? b_.k_index + s.a : nullptr);
      for (std::int64_t i = 0; b_.live_k && i < s.count; ++i)
        if (!b_.live_k[s.a + i]) std::fill_n(at + i * width, width, 0.0f);
      at += s.count * width;
    }
  }

  template <class F>
  void over_panels(F&& body) const {
    const std::int64_t panels =
        b_.panel_list ? static_cast<std::int64_t>(b_.panel_list->size()) : b_.last_panel - b_.first_panel;
    std::int64_t column = b_.panel_list ? 0 : b_.first_panel * b_.panels.width();
    for (std::int64_t j = 0; j < panels; ++j) {
      const std::int64_t p = b_.panel_list ? (*b_.panel_list)[static_cast<std::size_t>(j)] : b_.first_panel + j;
      body(p, column);
      column += b_.panels.columns_of(p);
    }
  }

  void run(const KBlock& p, std::int64_t panel, std::int64_t column) {
    poll_cancel();
    if (whole_ > 0) call(p, panel, column, 0, whole_, b_.tile_rows, p.a);
    if (rest_ > 0) call(p, panel, column, whole_, rest_, rest_width_, p.a + p.k.count * whole_);
  }

  // Rows first .. first+rows in tiles of `height`; rows that a last tile has too many are stored nowhere.
  void call(const KBlock& p, std::int64_t panel, std::int64_t column, int first, int rows, int height, const float* a) {
    const int vectors = b_.panels.vectors_of(panel);
    const std::int64_t columns = b_.panels.columns_of(panel), shift = column * b_.c_element;
    void* padded[kMaxRows];
    void** ptrs = pointers_.data();
    std::size_t n = 0;
    ptrs[n++] = const_cast<float*>(a);
    ptrs[n++] = const_cast<float*>(b_.b + b_.panels.offset(panel, b_.b_k) + p.k.b * vectors * b_.lanes);
    if (rows % height != 0) {  // the rest alone: whole tiles have no rows to spare
      for (int i = 0; i < height; ++i)
        padded[i] = i < rows ? b_.c[first + i] : reinterpret_cast<char*>(b_.trash) - shift;
      ptrs[n++] = padded;
    } else {
      ptrs[n++] = const_cast<void*>(static_cast<const void*>(b_.c + first));
    }
    void** table = shifted_.data();
    for (std::size_t o = 0; o < operands(); ++o) {
      const EpilogueRows& x = (*b_.epilogue)[o];
      switch (x.access) {
        case lower::EpilogueAccess::scalar: ptrs[n++] = x.base; break;
        case lower::EpilogueAccess::per_n: ptrs[n++] = x.base + column * x.element; break;
        case lower::EpilogueAccess::per_m:
        case lower::EpilogueAccess::per_mn: {
          ptrs[n++] = table;
          if (!p.last) break;  // not read
          const std::int64_t by = x.access == lower::EpilogueAccess::per_mn ? column * x.element : 0;
          const int count = std::max(rows, height);
          for (int i = 0; i < count; ++i) table[i] = static_cast<char*>(x.rows[first + std::min(i, rows - 1)]) + by;
          table += count;
          break;
        }
      }
    }
    // After these come the rest of the rows, or the first rows of the panel to the right.
    const lower::TileInts ints{.k = p.k.count,
                               .columns = columns,
                               .first = p.first,
                               .last = p.last,
                               .tiles = std::max(1, rows / height),
                               .a_step = p.k.count * height * static_cast<std::int64_t>(sizeof(float)),
                               .c_offset = shift,
                               .next_offset = shift + columns * b_.c_element};
    b_.tiles->kernel[static_cast<std::size_t>(b_.tiles->variant(height))][static_cast<std::size_t>(vectors - 1)](
        ptrs, &ints.k);
  }

  const Block& b_;
  std::vector<KBlock>& k_blocks_;
  std::vector<void*>& shifted_;        ///< row pointers of epilogue operands at the panel's column
  std::vector<void*>& pointers_;       ///< the kernel's
  int whole_, rest_, rest_width_ = 0;  ///< rows in whole tiles, rows left, and the height of their tile
};

}  // namespace

void multiply(const Block& b) {
  thread_local Memory memory;
  Multiplication multiplication(b, memory);
  multiplication();
}

}  // namespace pit::runtime
