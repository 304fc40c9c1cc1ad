#include "contract/block.h"

#include <algorithm>
#include <cstring>

namespace pit::contract {
namespace {

/// Steps of k; between these and the next ones partial sums wait in C.
struct KBlock {
  KRange k;
  const char* a = nullptr;  ///< packed, tile after tile
  bool first = false, last = false;
};

class BlockRunner {
 public:
  BlockRunner(const Block& b, std::vector<KBlock>& k_blocks)
      : b_(b),
        kernel_(*b.tiles, Family::plain, b.panels, b.b_k, b.b, b.packs->element, {b.c_element, b.epilogue, b.trash}),
        k_blocks_(k_blocks),
        element_(b.packs->element),
        whole_(b.rows / b.tile_rows * b.tile_rows),
        rest_(static_cast<int>(b.rows - whole_)) {
    if (rest_ > 0) rest_height_ = b.tiles->height(rest_);
    if (b.b_last != nullptr) kernel_.narrow_last(b.b_last);
    k_blocks_.clear();
    plan_k_blocks();
  }

  // Where there is room for all of k of the block's A, C is visited panel by panel, while it is near; else k-block by
  // k-block.
  void operator()() {
    if (b_.packs_all) {
      std::int64_t bytes = 0;
      for (KBlock& p : k_blocks_) {
        p.a = b_.packed + bytes;
        pack(p);
        bytes += p.k.count * (whole_ + rest_height_) * element_;
      }
      over_panels(b_.panels_at_once, [&](std::int64_t panel, int count, std::int64_t column) {
        for (const KBlock& p : k_blocks_) run(p, panel, count, column);
      });
      return;
    }
    for (KBlock& p : k_blocks_) {
      p.a = b_.packed;
      pack(p);
      over_panels(1, [&](std::int64_t panel, int count, std::int64_t column) { run(p, panel, count, column); });
    }
  }

 private:
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
    auto* at = const_cast<char*>(block.a);
    const bool indexed = b_.k_index != nullptr;
    for (std::int64_t r = 0; r < b_.rows; r += b_.tile_rows) {
      const int rows = static_cast<int>(std::min<std::int64_t>(b_.tile_rows, b_.rows - r)),
                height = r < whole_ ? b_.tile_rows : rest_height_;
      void* moved[kMaxTileRows];
      for (int i = 0; i < rows; ++i) moved[i] = static_cast<char*>(b_.a[r + i]) + (indexed ? 0 : s.a * b_.a_k_stride);
      pack_rows(*b_.packs, height, at, moved, rows, s.count, b_.a_k_stride, indexed ? b_.k_index + s.a : nullptr);
      for (std::int64_t i = 0; b_.live_k && i < s.count; ++i)
        if (!b_.live_k[s.a + i])
          std::memset(at + i * height * element_, 0, static_cast<std::size_t>(height * element_));
      at += s.count * height * element_;
    }
  }

  template <class F>
  void over_panels(int at_once, F&& body) const {
    if (b_.panel_list) {
      std::int64_t column = 0;
      for (const int p : *b_.panel_list) {
        body(p, 1, column);
        column += b_.panels.columns_of(p);
      }
      return;
    }
    for (std::int64_t p = b_.first_panel; p < b_.last_panel;) {
      const int count = static_cast<int>(std::min<std::int64_t>(at_once, b_.last_panel - p));
      body(p, count, p * b_.panels.width());
      p += count;
    }
  }

  void run(const KBlock& p, std::int64_t panel, int count, std::int64_t column) const {
    MacroTile s{.k_count = p.k.count, .b_shift = p.k.b, .first = p.first, .last = p.last};
    if (whole_ > 0) {
      s.rows = b_.tile_rows, s.tiles = whole_ / b_.tile_rows;
      s.a = p.a, s.a_step = p.k.count * b_.tile_rows * element_, s.c_rows = b_.c;
      kernel_.run(s, panel, count, column * b_.c_element);
    }
    if (rest_ > 0) {
      s.rows = rest_, s.tiles = 1;
      s.a = p.a + p.k.count * whole_ * element_, s.c_rows = b_.c + whole_, s.first_row = whole_;
      kernel_.run(s, panel, count, column * b_.c_element);
    }
  }

  const Block& b_;
  MacroKernel kernel_;
  std::vector<KBlock>& k_blocks_;
  std::int64_t element_;        ///< bytes
  std::int64_t whole_;          ///< rows in whole tiles
  int rest_, rest_height_ = 0;  ///< rows left, and the height of their tile
};

}  // namespace

void run_block(const Block& b) {
  // For no columns there may be no tile either.
  if (b.panel_list ? b.panel_list->empty() : b.first_panel == b.last_panel) return;
  thread_local std::vector<KBlock> k_blocks;  // attention multiplies many small blocks
  BlockRunner runner(b, k_blocks);
  runner();
}

}  // namespace pit::contract
