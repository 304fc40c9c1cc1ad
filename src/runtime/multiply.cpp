// The loops around the register tile.
#include <algorithm>

#include "runtime/contraction.h"

namespace pit::runtime {
namespace {

constexpr int max_rows = 16, max_operands = 24;

// One tile's pointers: C and epilogue operands of up to tile_rows rows at one panel.
class TileCall {
 public:
  TileCall(const Block& b, int first_row, int rows, int variant_rows) : b_(b), first_(first_row), rows_(rows), variant_(variant_rows) {}

  void operator()(codegen::KernelFn fn, const float* a, const float* panel, std::int64_t k, std::int64_t column, std::int64_t columns,
                  int first, int last) {
    // After a panel's last tile comes, most often, the first one of the panel to the right.
    const bool more = first_ + rows_ < b_.rows;
    const int next = more ? first_ + rows_ : 0;
    const std::int64_t next_column = more ? column : column + columns;
    void* ptrs[4 + max_operands];
    void* c[2 * max_rows];  // this tile's, the next one's
    void* e[max_operands][max_rows];
    for (int i = 0; i < variant_; ++i)
      c[i] = i < rows_ ? static_cast<char*>(b_.c[first_ + i]) + column * b_.c_element : static_cast<void*>(b_.trash);
    for (int i = 0; i < variant_; ++i) c[variant_ + i] = static_cast<char*>(b_.c[std::min(next + i, b_.rows - 1)]) + next_column * b_.c_element;
    int p = 0;
    ptrs[p++] = const_cast<float*>(a);
    ptrs[p++] = const_cast<float*>(panel);
    ptrs[p++] = c;
    const std::size_t operands = b_.epilogue ? b_.epilogue->size() : 0;
    for (std::size_t o = 0; o < operands; ++o) {
      const EpilogueRows& x = (*b_.epilogue)[o];
      switch (x.access) {
        case lower::EpilogueAccess::scalar: ptrs[p++] = x.base; break;
        case lower::EpilogueAccess::per_n: ptrs[p++] = x.base + column * x.element; break;
        case lower::EpilogueAccess::per_m:
        case lower::EpilogueAccess::per_mn: {
          const std::int64_t shift = x.access == lower::EpilogueAccess::per_mn ? column * x.element : 0;
          for (int i = 0; i < variant_; ++i) e[o][i] = static_cast<char*>(x.rows[first_ + std::min(i, rows_ - 1)]) + shift;
          ptrs[p++] = e[o];
          break;
        }
      }
    }
    const lower::TileInts ints{.k = k, .columns = columns, .first = first, .last = last, .next_rows = 8 * variant_};
    fn(ptrs, &ints.k);
  }

 private:
  const Block& b_;
  int first_, rows_, variant_;
};

}  // namespace

namespace {

// The stretches of k between which partial sums wait in C, none longer than a block.
void plan_stretches(const Block& b, std::vector<Stretch>& out) {
  auto cut = [&](const Stretch& s) {
    for (std::int64_t i = 0; i < s.count; i += b.k_block) out.push_back({s.a + i, s.b + i, std::min(b.k_block, s.count - i)});
  };
  if (b.stretches) for (const Stretch& s : *b.stretches) cut(s);
  else cut({0, 0, b.k});
  if (out.empty()) out.push_back({0, 0, 0});  // no terms: the epilogue still runs
}

// SRead: packs the block's rows, tile by tile.
void pack_block(const Block& b, const Stretch& s) {
  float* at = b.packed;
  const bool indexed = b.k_index != nullptr;
  for (int r = 0; r < b.rows; r += b.tile_rows) {
    const int rows = std::min(b.tile_rows, b.rows - r);
    const int width = b.tiles->rows[b.tiles->variant(rows)];
    void* moved[max_rows];
    for (int i = 0; i < rows; ++i) moved[i] = static_cast<char*>(b.a[r + i]) + (indexed ? 0 : s.a * b.a_k_stride);
    pack_rows(*b.packs, width, at, moved, rows, s.count, b.a_k_stride, indexed ? b.k_index + s.a : nullptr);
    for (std::int64_t i = 0; b.live_k && i < s.count; ++i)
      if (!b.live_k[s.a + i]) std::fill_n(at + i * width, width, 0.0f);
    at += s.count * width;
  }
}

}  // namespace

void multiply(const Block& b) {
  thread_local std::vector<Stretch> stretches;
  stretches.clear();
  plan_stretches(b, stretches);
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    const Stretch& s = stretches[i];
    pack_block(b, s);
    const int first = i == 0 && !b.resumes, last = i + 1 == stretches.size();
    const std::int64_t panels = b.panel_list ? static_cast<std::int64_t>(b.panel_list->size()) : b.last_panel - b.first_panel;
    std::int64_t column = b.panel_list ? 0 : b.first_panel * b.panels.width();
    for (std::int64_t j = 0; j < panels; ++j) {
      const std::int64_t p = b.panel_list ? (*b.panel_list)[j] : b.first_panel + j;
      const int vectors = b.panels.vectors_of(p);
      const float* panel = b.b + b.panels.offset(p, b.b_k) + s.b * vectors * b.lanes;
      const float* a = b.packed;
      for (int r = 0; r < b.rows; r += b.tile_rows) {
        const int rows = std::min(b.tile_rows, b.rows - r);
        const int variant = b.tiles->variant(rows), width = b.tiles->rows[variant];
        TileCall(b, r, rows, width)(b.tiles->kernel[variant][vectors - 1], a, panel, s.count, column, b.panels.columns_of(p), first, last);
        a += s.count * width;
      }
      column += b.panels.columns_of(p);
    }
  }
}

}  // namespace pit::runtime
