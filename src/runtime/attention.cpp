#include "runtime/attention.h"

#include <algorithm>
#include <cstring>

#include "contract/blocking.h"

namespace pit::runtime {

namespace {

// Elements from one row of scores to the next: whole cache lines, but no multiple of 4 KiB, for rows of a tile must not
// share their cache sets.
std::int64_t row_stride(std::int64_t keys, const Panels& panels) {
  const std::int64_t elements = (keys + panels.width() + 15) / 16 * 16;
  return elements % 256 == 0 ? elements + 16 : elements;
}

/// Whether a row of a mask is true at one of `count` increasing keys.
bool any(const std::uint8_t* row, const std::int32_t* keys, std::int64_t count) {
  std::uint8_t found = 0;
  if (keys[count - 1] - keys[0] == count - 1) {
    const std::uint8_t* bits = row + keys[0];
    std::uint64_t words = 0, word = 0;
    for (; count >= 8; count -= 8, bits += 8) {
      std::memcpy(&word, bits, 8);
      words |= word;
    }
    for (std::int64_t k = 0; k < count; ++k) found |= bits[k];
    return (words | found) != 0;
  }
  for (std::int64_t k = 0; k < count; ++k) found |= row[keys[k]];
  return found != 0;
}

}  // namespace

/// One tile of query rows whose panels are looked for, where nobody did so for an equal tile.
struct AttentionRunner::PanelSearch {
  std::int64_t batch = 0, first_row = 0;
  const std::uint8_t* mask = nullptr;  ///< of this batch position, [q][k]
  std::int64_t offset = 0;             ///< into panel_live_
};

struct AttentionRunner::Work {
  std::int64_t batch = 0;
  int worker = 0;
  const std::int32_t* keys = nullptr;
  std::int64_t key_count = 0;
  contract::Buffer buffer;
  char *k_packed = nullptr, *v_packed = nullptr, *scores = nullptr, *probabilities = nullptr, *packed_rows = nullptr,
       *trash = nullptr;
  void **q = nullptr, **score_rows = nullptr, **probability_rows = nullptr, **out = nullptr;
  const std::int32_t* rows = nullptr;  ///< of the query tile
  std::vector<contract::EpilogueRows> score_epilogue, output_epilogue;
  std::vector<char*> gathered;       // per score operand: room for compact per_n / per_mn elements
  std::vector<void**> operand_rows;  // per score operand, then per output operand
};

AttentionRunner::AttentionRunner(Run& run, const fuse::Fusion::Attention& a)
    : run_(run),
      scores_step_(run.p_.steps[a.scores]),
      softmax_step_(run.p_.steps[a.softmax]),
      output_step_(run.p_.steps[a.output]),
      scores_(run.plan().contractions[a.scores]),
      output_(run.plan().contractions[a.output]),
      scores_group_(run.p_.fusion.groups[a.scores]),
      softmax_group_(run.p_.fusion.groups[a.softmax]),
      output_group_(run.p_.fusion.groups[a.output]),
      scores_runner_(run, scores_step_, scores_),
      output_runner_(run, output_step_, output_),
      engine_(run.p_.engine_of(output_group_)) {
  const int batch = static_cast<int>(output_.batch_extents.size());
  rows_ = run.list(output_step_.contraction.live, batch, output_.batch, output_.m, false);
  keys_ = run.list(output_step_.contraction.live_k, batch, output_.batch, output_.k, false);
  key_panels_ = {scores_.n, engine_.tile.lanes, engine_.tile.vectors};
  value_panels_ = {output_.n, engine_.tile.lanes, engine_.tile.vectors};
  element_ = engine_.packs.element;
  stride_ = row_stride(scores_.n, key_panels_);
  value_steps_ =
      output_group_.operands[2].access.dtype == output_group_.epilogue.types.c
          ? contract::even_range(std::max<std::int64_t>(output_.k, 1), static_cast<std::int64_t>(cache_sizes().l2),
                                 value_panels_.width() * element_)
          : std::max<std::int64_t>(output_.k, 1);
  live_pairs_ = run.mask(output_step_.contraction.live_mk);
}

void AttentionRunner::operator()() {
  run_.record_.live = output_.batch * output_.m == 0
                          ? 1.0
                          : static_cast<double>(rows_.total()) / static_cast<double>(output_.batch * output_.m);
  output_runner_.clear_zero_rows();
  find_panels();
  run_.pool_.parallel_for(output_.batch, [&](std::int64_t b, int worker) { run_task(b, worker); });
}

// Which panels of live keys each tile of live query rows needs. Positions whose masks and lists are the same share the
// answer.
void AttentionRunner::find_panels() {
  if (!live_pairs_ || live_pairs_->all) {
    live_pairs_ = nullptr;
    return;
  }
  const std::size_t batch_axes = output_.batch_extents.size();
  for (std::size_t i = 0; i < batch_axes; ++i)
    if (!live_pairs_->boundaries[i].empty()) {
      live_pairs_ = nullptr;
      return;
    }
  const bool rows_differ = live_pairs_->shape[batch_axes] > 1;
  if (!rows_differ || live_pairs_->shape[batch_axes] != output_.m || live_pairs_->shape[batch_axes + 1] != output_.k) {
    live_pairs_ = nullptr;
    return;
  }
  const auto same = [](const LiveList& l, std::int64_t a, std::int64_t b) {
    return std::equal(l.data(a), l.data(a) + l.count(a), l.data(b), l.data(b) + l.count(b));
  };
  // positions with an answer of their own, by their place in the mask
  std::map<std::int64_t, std::vector<std::int64_t>> known;
  std::vector<PanelSearch> searches;
  panel_offset_.resize(output_.batch);
  std::int64_t size = 0;
  for (std::int64_t b = 0; b < output_.batch; ++b) {
    std::int64_t stored = 0, rest = b, span = 1;
    for (std::size_t i = batch_axes; i-- > 0;) {
      const std::int64_t at = rest % output_.batch_extents[i];
      rest /= output_.batch_extents[i];
      if (live_pairs_->shape[i] > 1) stored += at * span;
      span *= live_pairs_->shape[i];
    }
    std::vector<std::int64_t>& others = known[stored];
    const auto other = std::find_if(others.begin(), others.end(),
                                    [&](std::int64_t o) { return same(rows_, o, b) && same(keys_, o, b); });
    panel_offset_[b] = other != others.end() ? panel_offset_[*other] : size;
    if (other != others.end()) continue;
    others.push_back(b);
    const std::uint8_t* mask = live_pairs_->bits.data() + stored * output_.m * output_.k;
    for (std::int64_t r = 0; r < rows_.count(b); r += kAttentionRows) {
      searches.push_back({b, r, mask, size});
      size += panels_of(b);
    }
  }
  panel_live_.assign(static_cast<std::size_t>(size), 0);
  run_.pool_.parallel_for(static_cast<std::int64_t>(searches.size()),
                          [&](std::int64_t i, int) { find_panels_of_tile(searches[static_cast<std::size_t>(i)]); });
}

std::int64_t AttentionRunner::panels_of(std::int64_t batch) const {
  return (keys_.count(batch) + key_panels_.width() - 1) / key_panels_.width();
}

void AttentionRunner::find_panels_of_tile(const PanelSearch& s) {
  const std::int64_t width = key_panels_.width(), count = keys_.count(s.batch), panels = panels_of(s.batch);
  const std::int64_t last_row = std::min(s.first_row + kAttentionRows, rows_.count(s.batch));
  const std::int32_t* keys = keys_.data(s.batch);
  for (std::int64_t r = s.first_row; r < last_row; ++r) {
    const std::uint8_t* row = s.mask + rows_.data(s.batch)[r] * output_.k;
    for (std::int64_t p = 0; p < panels; ++p) {
      std::uint8_t& live = panel_live_[static_cast<std::size_t>(s.offset + p)];
      if (!live) live = any(row, keys + p * width, std::min(width, count - p * width));
    }
  }
}

bool AttentionRunner::panel_is_live(std::int64_t batch, std::int64_t tile, std::int64_t panel) const {
  if (!live_pairs_) return true;
  return panel_live_[panel_offset_[batch] + tile * panels_of(batch) + panel] != 0;
}

void AttentionRunner::run_task(std::int64_t batch, int worker) const {
  if (rows_.count(batch) == 0 || output_.n == 0) return;
  Work w;
  w.batch = batch;
  w.worker = worker;
  w.keys = keys_.data(batch);
  w.key_count = keys_.count(batch);
  const std::size_t score_operands = scores_group_.operands.size() - 3,
                    operands = score_operands + output_group_.operands.size() - 3;
  std::int64_t gathered_bytes = 0;  // of one row
  for (std::size_t o = 0; o < score_operands; ++o)
    gathered_bytes += stride_ * static_cast<std::int64_t>(size_of(scores_group_.operands[o + 3].access.dtype));
  char* gathered = nullptr;
  void** operand_rows = nullptr;
  const std::int64_t packed_rows =
      contract::Block::packed_elements(kAttentionRows, engine_.tile.rows, std::max(scores_.k, output_.k));
  w.buffer = run_.arena_.buffers.take(
      {{w.k_packed, (key_panels_.elements(scores_.k) + key_panels_.width() + kPackSlack) * element_},
       {w.v_packed, (value_panels_.elements(output_.k) + value_panels_.width() + kPackSlack) * element_},
       {w.scores, kAttentionRows * stride_ * element_},
       {w.probabilities, kAttentionRows * stride_ * element_},
       {w.packed_rows, packed_rows * element_},
       {w.trash, 2 * key_panels_.width() * element_},
       {w.q, kAttentionRows},
       {w.score_rows, kAttentionRows},
       {w.probability_rows, kAttentionRows},
       {w.out, kAttentionRows},
       {operand_rows, static_cast<std::int64_t>(operands) * kAttentionRows},
       {gathered, kAttentionRows * gathered_bytes}},
      output_group_.epilogue.types.c, run_.poison_);
  for (std::size_t o = 0; o < operands; ++o) w.operand_rows.push_back(operand_rows + o * kAttentionRows);
  for (std::size_t o = 0; o < score_operands; ++o) {
    w.gathered.push_back(gathered);
    gathered +=
        kAttentionRows * stride_ * static_cast<std::int64_t>(size_of(scores_group_.operands[o + 3].access.dtype));
  }
  pack_operands(w);
  for (std::int64_t r = 0; r < rows_.count(batch); r += kAttentionRows)
    query_tile(w, r, static_cast<int>(std::min(kAttentionRows, rows_.count(batch) - r)));
}

// K's live rows become the columns of packed panels, V's live rows the rows.
void AttentionRunner::pack_operands(Work& w) const {
  const Panels keys{w.key_count, key_panels_.lanes, key_panels_.vectors};
  const MatrixB k{.data = run_.root_address(scores_group_.operands[1].value) + scores_runner_.batch_offset(1, w.batch),
                  .k_stride = scores_.operands[1].k,
                  .n_stride = scores_.operands[1].n,
                  .n_list = w.keys};
  contract::pack_panels(engine_.packs, keys, 0, keys.count(), k, scores_.k, scores_.k, w.k_packed);
  const MatrixB v{.data = run_.root_address(output_group_.operands[1].value) + output_runner_.batch_offset(1, w.batch),
                  .k_stride = output_.operands[1].k,
                  .n_stride = output_.operands[1].n,
                  .k_list = w.key_count == output_.k ? nullptr : w.keys};
  contract::pack_panels(engine_.packs, value_panels_, 0, value_panels_.count(), v, w.key_count, w.key_count,
                        w.v_packed);
  auto prepare = [&](const fuse::Group& group, std::vector<contract::EpilogueRows>& epilogue) {
    epilogue.resize(group.operands.size() - 3);
    for (std::size_t o = 3; o < group.operands.size(); ++o) {
      epilogue[o - 3].access = group.epilogue.operands[o - 3];
      epilogue[o - 3].element = static_cast<std::int64_t>(size_of(group.operands[o].access.dtype));
    }
  };
  prepare(scores_group_, w.score_epilogue);
  prepare(output_group_, w.output_epilogue);
}

// Operands of the scores' epilogue (mask, position bias) at this tile's rows and chosen panels of keys, compact.
void AttentionRunner::gather_epilogue(Work& w, const std::vector<int>& panels, int rows) const {
  const std::int64_t width = key_panels_.width();
  for (std::size_t o = 0; o < w.score_epilogue.size(); ++o) {
    contract::EpilogueRows& e = w.score_epilogue[o];
    char* base = run_.root_address(scores_group_.operands[o + 3].value) + scores_runner_.batch_offset(o + 3, w.batch);
    void** out = w.operand_rows[o];
    const std::int32_t* list = w.rows;
    if (e.access == lower::EpilogueAccess::scalar) {
      e.base = base;
      continue;
    }
    if (e.access == lower::EpilogueAccess::per_m) {
      for (int i = 0; i < rows; ++i) out[i] = base + scores_runner_.row_offset(o + 3, list[i]);
      e.rows = out;
      continue;
    }
    const bool by_row = e.access == lower::EpilogueAccess::per_mn;
    for (int i = 0; i < (by_row ? rows : 1); ++i) {
      const char* source = base + (by_row ? scores_runner_.row_offset(o + 3, list[i]) : 0);
      char* target = w.gathered[o] + i * stride_ * e.element;
      out[i] = target;
      for (int p : panels) {
        const std::int64_t first = p * width, count = std::min(width, w.key_count - first);
        const std::int32_t* keys = w.keys + first;
        if (keys[count - 1] - keys[0] == count - 1) {
          std::memcpy(target, source + keys[0] * e.element, static_cast<std::size_t>(count * e.element));
        } else if (e.element == 4) {
          for (std::int64_t k = 0; k < count; ++k) std::memcpy(target + k * 4, source + keys[k] * 4, 4);
        } else {
          for (std::int64_t k = 0; k < count; ++k)
            std::memcpy(target + k * e.element, source + keys[k] * e.element, static_cast<std::size_t>(e.element));
        }
        target += count * e.element;
      }
    }
    if (by_row) e.rows = out;
    else e.base = w.gathered[o];
  }
}

// The softmax group's own kernel, on compact rows.
void AttentionRunner::softmax_rows(Work& w, int rows, std::int64_t columns) const {
  static const std::vector<std::int32_t> iota = [] {
    std::vector<std::int32_t> v(kAttentionRows + 16);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<std::int32_t>(i);
    return v;
  }();
  const RowPlan& plan = run_.plan().rows[softmax_step_.group];
  std::vector<std::int64_t> ints(softmax_step_.rows.abi.ints.size());
  std::vector<void*> ptrs(softmax_group_.operands.size() + 2);
  std::size_t n = 0;
  ptrs[n++] = const_cast<std::int32_t*>(iota.data());
  for (const fuse::Operand& o : softmax_group_.operands)
    ptrs[n++] = o.value == softmax_group_.reads[0] ? w.scores : w.probabilities;
  if (softmax_step_.rows.abi.scratch_rows > 0) ptrs[n++] = run_.arena_.scratch(w.worker);
  for (std::size_t i = 0; i < softmax_step_.rows.abi.ints.size(); ++i) {
    switch (softmax_step_.rows.abi.ints[i].kind) {
      case lower::Slot::row_count: ints[i] = rows; break;
      case lower::Slot::inner_extent: ints[i] = columns; break;
      case lower::Slot::row_stride: ints[i] = stride_ * element_; break;
      default: ints[i] = plan.ints[i];
    }
  }
  softmax_step_.rows.fn(ptrs.data(), ints.data());
}

void AttentionRunner::query_tile(Work& w, std::int64_t first_row, int rows) const {
  const std::int32_t* list = rows_.data(w.batch) + first_row;
  const Panels keys{w.key_count, key_panels_.lanes, key_panels_.vectors};
  std::vector<int> live;
  std::int64_t columns = 0;
  for (int p = 0; p < keys.count(); ++p)
    if (panel_is_live(w.batch, first_row / kAttentionRows, p)) {
      live.push_back(p);
      columns += keys.columns_of(p);
    }
  void **q = w.q, **s = w.score_rows, **pr = w.probability_rows, **out = w.out;
  char* q_base = run_.root_address(scores_group_.operands[0].value) + scores_runner_.batch_offset(0, w.batch);
  char* c_base = run_.root_address(output_group_.operands[2].value) + output_runner_.batch_offset(2, w.batch);
  for (int i = 0; i < rows; ++i) {
    q[i] = q_base + scores_runner_.row_offset(0, list[i]);
    s[i] = w.scores + i * stride_ * element_;
    pr[i] = w.probabilities + i * stride_ * element_;
    out[i] = c_base + output_runner_.row_offset(2, list[i]);
  }
  w.rows = list;
  gather_epilogue(w, live, rows);

  // Scores of the chosen panels, side by side.
  contract::Block b;
  b.packs = &engine_.packs;
  b.tile_rows = engine_.tile.rows;
  b.rows = rows;
  b.packed = w.packed_rows;
  b.packs_all = true;
  b.trash = w.trash;
  b.c_element = element_;
  b.tiles = scores_step_.contraction.tiles.get();
  b.a = q;
  b.a_k_stride = scores_.operands[0].k;
  b.k = b.k_block = scores_.k;
  b.b = w.k_packed;
  b.b_k = scores_.k;
  b.panels = keys;
  b.c = s;
  b.epilogue = &w.score_epilogue;
  b.panel_list = &live;
  contract::run_block(b);
  if (columns > 0) softmax_rows(w, rows, columns);
  // Output: the same panels' rows of V.
  for (std::size_t o = 0; o < w.output_epilogue.size(); ++o) {
    contract::EpilogueRows& e = w.output_epilogue[o];
    e.base = run_.root_address(output_group_.operands[o + 3].value) + output_runner_.batch_offset(o + 3, w.batch);
    void** pointers = w.operand_rows[w.score_epilogue.size() + o];
    for (int i = 0; i < rows; ++i) pointers[i] = e.base + output_runner_.row_offset(o + 3, list[i]);
    e.rows = pointers;
  }
  b.tiles = output_step_.contraction.tiles.get();
  b.a = pr;
  b.a_k_stride = element_;
  b.b = w.v_packed;
  b.b_k = w.key_count;
  b.panels = value_panels_;
  b.panel_list = nullptr;
  b.last_panel = value_panels_.count();
  b.c = out;
  b.epilogue = &w.output_epilogue;
  std::vector<contract::KRange> k_ranges;
  std::int64_t a = 0;
  for (int p : live) {
    const std::int64_t first = p * keys.width(), count = keys.columns_of(p);
    if (!k_ranges.empty() && k_ranges.back().b + k_ranges.back().count == first) k_ranges.back().count += count;
    else k_ranges.push_back({a, first, count});
    a += count;
  }
  b.k = columns;
  b.k_block = value_steps_;
  b.k_ranges = &k_ranges;
  contract::run_block(b);
}

}  // namespace pit::runtime
