// The k rule: each group of rows walks the terms that are live in it. SRead packs them side by side; B's rows are found through an index of byte
// offsets into a panel, which costs the tile next to nothing.
#include <algorithm>
#include <vector>

#include "contract/blocking.h"
#include "contract/terms.h"

namespace pit::contract {
namespace {

class TermsBlock {
 public:
  TermsBlock(const Call& call, const Task& task, const detect::LiveMap& map, std::int64_t term_block, bool compact)
      : call_(call), task_(task), map_(map), item_(call.problem.items[static_cast<std::size_t>(task.item)]), kb_(term_block), compact_(compact),
        begin_(task.begin * map.g_rows), end_(std::min(task.end * map.g_rows, call.problem.m)), panel_bytes_(call.b.panels.width() * 4),
        runner_(call, Family::indexed, item_.b_number) {}

  void operator()() {
    const int wide = call_.kernels.wide(static_cast<int>(std::min<std::int64_t>(map_.g_rows, call_.kernels.rows())));
    together_ = compact_ ? std::max(2, wide) : wide;
    // Few terms per group: all panels of a group one after the other, so that its piece of C stays in L1. Many: all groups against one
    // panel, so that the panel stays in L2.
    const std::int64_t groups = task_.end - task_.begin;
    allocate();
    std::int64_t terms = 0;
    for (std::int64_t g = 0; g < groups; ++g) terms += read_group(g);
    const bool by_group = compact_ && terms * 16 < groups * map_.columns;
    for (std::int64_t p = task_.first_panel; p < task_.last_panel; p += together_) {
      const int count = static_cast<int>(std::min<std::int64_t>(together_, task_.last_panel - p));
      if (!compact_) {
        for (const Group& g : groups_) multiply(g, p, count, p * panel_bytes_);
      } else if (by_group) {
        for (const Group& g : groups_) {
          multiply(g, p, count, 0);
          flush(g, p, count);
        }
      } else {
        for (int q = 0; q < count; q += wide)
          for (const Group& g : groups_) multiply(g, p + q, std::min(wide, count - q), q * panel_bytes_);
        for (const Group& g : groups_) flush(g, p, count);
      }
    }
  }

 private:
  struct Group {
    std::int64_t row, rows;         ///< within the block
    std::int64_t terms;
    const float* a;
    const std::int32_t* k_offset;
  };

  void allocate() {
    std::int64_t floats = pack_slack, terms = 0;
    for (std::int64_t g = task_.begin; g < task_.end; ++g) {
      const std::int64_t bound = live_columns_bound(map_, number(g)), rows = std::min(map_.g_rows, call_.problem.m - g * map_.g_rows);
      floats += (bound * rows + 15) / 16 * 16;
      terms += bound + 16;
    }
    const std::int64_t rows = end_ - begin_, scratch = compact_ ? rows * together_ * call_.b.panels.width() : 0;
    buffer_ = call_.buffers.take(Buffer::rounded<float>(floats) + Buffer::rounded<std::int32_t>(terms) + 2 * Buffer::rounded<void*>(rows) +
                                 Buffer::rounded<float>(scratch));
    packed_ = buffer_.take<float>(floats);
    offsets_ = buffer_.take<std::int32_t>(terms);
    a_rows_ = buffer_.take<void*>(rows);
    c_rows_ = buffer_.take<void*>(rows);
    scratch_ = buffer_.take<float>(scratch);
    groups_.reserve(static_cast<std::size_t>(task_.end - task_.begin));
    if (!compact_) {
      point_to_rows(call_.problem, item_.c, begin_, end_, c_rows_);
    } else {
      for (std::int64_t i = 0; i < rows; ++i) c_rows_[i] = scratch_ + i * together_ * call_.b.panels.width();
    }
    for (std::int64_t i = 0; i < rows; ++i) a_rows_[i] = const_cast<float*>(item_.a + (begin_ + i) * call_.problem.a_row);
  }

  std::int64_t number(std::int64_t group) const { return item_.a_number * map_.row_groups() + group; }

  // SRead of one group.
  std::int64_t read_group(std::int64_t i) {
    const Problem& p = call_.problem;
    Group g;
    g.row = i * map_.g_rows;
    g.rows = std::min(map_.g_rows, end_ - begin_ - g.row);
    g.terms = live_columns(map_, number(task_.begin + i), 1, offsets_);
    g.a = packed_;
    g.k_offset = offsets_;
    const int tile = call_.kernels.rows();
    for (std::int64_t r = 0; r < g.rows; r += tile) {
      const int count = static_cast<int>(std::min<std::int64_t>(tile, g.rows - r));
      pack_rows(call_.kernels.packs(), count, packed_, a_rows_ + g.row + r, count, g.terms, p.a_k * 4, offsets_);
      packed_ += g.terms * count;
    }
    packed_ = reinterpret_cast<float*>((reinterpret_cast<std::uintptr_t>(packed_) + 63) / 64 * 64);
    for (std::int64_t t = 0; t < g.terms; ++t) offsets_[t] *= static_cast<std::int32_t>(panel_bytes_);
    std::fill_n(offsets_ + g.terms, 8, 0);
    offsets_ += g.terms + 8;
    groups_.push_back(g);
    return g.terms;
  }

  void multiply(const Group& g, std::int64_t panel, int count, std::int64_t c_offset) {
    const int tile = call_.kernels.rows();
    const std::int64_t whole = g.rows / tile * tile;
    // The terms of a block stay in L1 for all tiles of the group; with few tiles there is nothing to keep.
    const std::int64_t kb = g.rows > 2 * tile ? kb_ : std::max<std::int64_t>(1, g.terms);
    for (std::int64_t t = 0; t == 0 || t < g.terms; t += kb) {
      Strip s;
      s.terms = std::min(kb, g.terms - t);
      s.k_offset = g.k_offset + t;
      s.first = t == 0;
      s.last = t + kb >= g.terms;
      if (whole > 0) {
        s.rows = tile, s.tiles = whole / tile;
        s.a = g.a + t * tile, s.a_step = g.terms * tile * 4, s.c_rows = c_rows_ + g.row;
        runner_.run(s, panel, count, c_offset);
      }
      if (whole < g.rows) {
        s.rows = static_cast<int>(g.rows - whole), s.tiles = 1;
        s.a = g.a + whole * g.terms + t * s.rows, s.c_rows = c_rows_ + g.row + whole;
        runner_.run(s, panel, count, c_offset);
      }
    }
  }

  // SWrite past the caches.
  void flush(const Group& g, std::int64_t panel, int count) {
    const std::int64_t first = panel * call_.b.panels.width(), columns = std::min(call_.problem.n - first, count * call_.b.panels.width());
    for (std::int64_t i = g.row; i < g.row + g.rows; ++i)
      copy_row(item_.c + call_.problem.c_rows[static_cast<std::size_t>(begin_ + i)] + first, static_cast<float*>(c_rows_[i]), columns, true);
  }

  const Call& call_;
  const Task& task_;
  const detect::LiveMap& map_;
  const Item& item_;
  std::int64_t kb_;
  bool compact_;
  int together_ = 1;
  std::int64_t begin_, end_, panel_bytes_;  ///< rows of the block
  StripRunner runner_;
  Buffer buffer_;
  float* packed_ = nullptr;
  std::int32_t* offsets_ = nullptr;
  void** a_rows_ = nullptr;
  void** c_rows_ = nullptr;
  float* scratch_ = nullptr;
  std::vector<Group> groups_;
};

}  // namespace

void run_terms(const Call& call, const Rule& rule) {
  const CoveredMap map(*call.live.a, rule.g_rows, 1);
  const std::int64_t tile = call.kernels.rows(), kb = term_block(call);
  const bool compact = streams_c(call);
  const std::int64_t rows = row_block(call, map->fraction(), map->g_rows, 16 * tile, 1024 * tile);
  const std::vector<Task> tasks = make_tasks(call, map->row_groups(), std::max<std::int64_t>(1, rows / map->g_rows));
  call.pool.parallel_for(static_cast<std::int64_t>(tasks.size()),
                         [&](std::int64_t t, int) { TermsBlock(call, tasks[static_cast<std::size_t>(t)], *map, kb, compact)(); });
}

}  // namespace pit::contract
