#include "runtime/contraction.h"

#include <algorithm>
#include <cstring>

#include "support/check.h"

namespace pit::runtime {
namespace {

std::int64_t strided_offset(std::int64_t flat, const std::vector<std::int64_t>& extents,
                            const std::vector<std::int64_t>& strides) {
  std::int64_t offset = 0;
  for (std::size_t i = extents.size(); i-- > 0;) {
    if (i == 0) return offset + flat * strides[0];
    offset += flat % extents[i] * strides[i];
    flat /= extents[i];
  }
  return offset;
}

}  // namespace

ContractionRunner::ContractionRunner(Run& run, const Step& step, const ContractionPlan& plan)
    : run_(run),
      step_(step),
      plan_(plan),
      group_(run.p_.group(step)),
      panels_(group_.static_b ? step.contraction.panels : Panels{plan.n, run.p_.tile.lanes, run.p_.tile.vectors}) {
  const int batch = static_cast<int>(plan.batch_extents.size());
  rows_ = run.list(step.contraction.live, batch, plan.batch, plan.m, group_.control);
  reached_rows_ = run.list(step.contraction.reached_rows, batch, plan.batch, plan.m, group_.control);
  live_k_ = run.list(step.contraction.live_k, batch, plan.batch, plan.k, group_.control);
  live_n_ = run.list(step.contraction.live_n, batch, plan.batch, plan.n, group_.control);
  some_rows_absent_ = !reached_rows_.all() && reached_rows_.set != rows_.set;
}

std::int64_t ContractionRunner::batch_offset(std::size_t o, std::int64_t batch) const {
  return plan_.operands[o].base + strided_offset(batch, plan_.batch_extents, plan_.operands[o].batch);
}

std::int64_t ContractionRunner::row_offset(std::size_t o, std::int64_t m) const {
  return strided_offset(m, plan_.m_extents, plan_.operands[o].m);
}

void ContractionRunner::operator()() {
  clear_zero_rows();
  make_panel_groups();
  if (some_rows_absent_) split_rows_without_k();
  double live = 0;
  for (const PanelGroup& group : panel_groups_)
    if (group.has_k) live += static_cast<double>(group.rows.total() * (group.last_panel - group.first_panel));
  const double all = static_cast<double>(plan_.batch * plan_.m * panels_.count());
  run_.record_.live = all > 0 ? live / all : 1.0;
  summed_ = sum_by_engine();
  if (summed_ && group_.epilogue.program.statements.empty()) return;
  std::vector<Task> tasks;
  for (const PanelGroup& group : panel_groups_) make_tasks(group, tasks);
  run_.pool_.parallel_for(static_cast<std::int64_t>(tasks.size()),
                          [&](std::int64_t t, int worker) { run_task(tasks[t], worker); });
}

// A panel needs the rows that any segment of the columns in it needs; neighbouring panels with the same rows are one
// group.
void ContractionRunner::make_panel_groups() {
  panel_groups_.assign(1, {rows_, 0, panels_.count()});
  const sparsity::MaskArray* m = run_.mask(step_.contraction.columns);
  if (!m || m->boundaries.back().empty() || m->shape.back() < 2) return;
  const std::vector<std::int64_t>& boundaries = m->boundaries.back();
  const std::int64_t segments = m->shape.back();
  auto segment_at = [&](std::int64_t column) {
    return std::upper_bound(boundaries.begin(), boundaries.end(), column) - boundaries.begin();
  };
  panel_groups_.clear();
  std::vector<std::pair<std::int64_t, std::int64_t>> range;  // segments of each group
  for (std::int64_t p = 0; p < panels_.count(); ++p) {
    const std::int64_t first = p * panels_.width();
    const std::pair<std::int64_t, std::int64_t> r{segment_at(first), segment_at(first + panels_.columns_of(p) - 1)};
    if (range.empty() || range.back() != r) {
      range.push_back(r);
      panel_groups_.push_back({{}, p, p});
    }
    panel_groups_.back().last_panel = p + 1;
  }
  for (std::size_t i = 0; i < panel_groups_.size(); ++i)
    panel_groups_[i].rows = run_.rows_of_segments(*m, range[i].first, range[i].second, plan_, segments);
}

// Rows that nothing of A reaches hold what the epilogue makes of zero (the fill of a mask): they take no k.
void ContractionRunner::split_rows_without_k() {
  std::vector<PanelGroup> groups;
  for (const PanelGroup& group : panel_groups_)
    for (const bool with : {true, false}) {
      auto set = std::make_shared<detect::IndexSet>();
      set->outer = plan_.batch;
      set->extent = plan_.m;
      set->offset.assign(1, 0);
      set->index.resize(static_cast<std::size_t>(group.rows.total()) + 16);
      std::int64_t count = 0;
      for (std::int64_t o = 0; o < plan_.batch; ++o) {
        const std::int32_t *rows = group.rows.data(o), *reached = reached_rows_.data(o);
        for (std::int64_t i = 0; i < group.rows.count(o); ++i)
          if (std::binary_search(reached, reached + reached_rows_.count(o), rows[i]) == with)
            set->index[static_cast<std::size_t>(count++)] = rows[i];
        set->offset.push_back(count);
      }
      for (int i = 0; i < 16; ++i) set->index[static_cast<std::size_t>(count + i)] = 0;
      PanelGroup one = group;
      one.rows.set = std::move(set);
      one.has_k = with;
      if (count > 0) groups.push_back(std::move(one));
    }
  panel_groups_ = std::move(groups);
}

// Row blocks; split along the columns too when there are too few of them to keep the workers busy.
void ContractionRunner::make_tasks(const PanelGroup& group, std::vector<Task>& tasks) const {
  const LiveList& rows = group.rows;
  const std::int64_t panels = group.last_panel - group.first_panel;
  const int tile = run_.p_.tile.rows;
  const std::int64_t total = rows.total(), workers = run_.pool_.size();
  if (total == 0 || plan_.n == 0) return;
  std::int64_t block = plan_.row_block;
  if (workers > 1) {
    const std::int64_t fair = (total + 2 * workers - 1) / (2 * workers);
    block = std::clamp<std::int64_t>((fair + tile - 1) / tile * tile, std::min<std::int64_t>(4 * tile, block), block);
  }
  std::int64_t blocks = 0;
  for (std::int64_t o = 0; o < plan_.batch; ++o) blocks += (rows.count(o) + block - 1) / block;
  const std::int64_t splits =
      workers > 1 && blocks < 2 * workers ? std::min<std::int64_t>(panels, (2 * workers + blocks - 1) / blocks) : 1;
  for (std::int64_t o = 0; o < plan_.batch; ++o)
    for (std::int64_t r = 0; r < rows.count(o); r += block)
      for (std::int64_t s = 0; s < splits; ++s)
        tasks.push_back({&group, o, r, std::min(r + block, rows.count(o)), group.first_panel + panels * s / splits,
                         group.first_panel + panels * (s + 1) / splits});
}

void ContractionRunner::run_task(const Task& t, int worker) const {
  Scratch scratch(run_.arena_.scratch(worker));
  const int rows = static_cast<int>(t.end - t.begin);
  const std::int32_t* list = t.group->rows.data(t.batch) + t.begin;
  const bool sparse_k = !live_k_.all() && live_k_.count(t.batch) != plan_.k;
  const std::int64_t k = sparse_k ? live_k_.count(t.batch) : plan_.k;

  Block b;
  b.tiles = &step_.contraction.tiles;
  b.packs = &run_.p_.packs;
  b.tile_rows = run_.p_.tile.rows;
  b.lanes = run_.p_.tile.lanes;
  b.rows = rows;
  b.k = k;
  b.k_block = plan_.k_block;
  b.k_index = sparse_k ? live_k_.data(t.batch) : nullptr;
  b.panels = panels_;
  b.first_panel = t.first_panel;
  b.last_panel = t.last_panel;
  b.a_k_stride = plan_.operands[0].k;
  b.c_element = static_cast<std::int64_t>(size_of(group_.operands[2].access.dtype));
  b.room_for_all = plan_.packs_all;
  b.packed = scratch.take<float>(plan_.row_block * (plan_.packs_all ? plan_.k : plan_.k_block) + kPackSlack);
  b.trash = scratch.take<float>(2 * panels_.width());

  std::vector<KRange> k_ranges;
  const std::uint8_t* live_n = nullptr;
  if (!t.group->has_k) {
    b.k = 0;
  } else if (group_.static_b) {
    b.b = step_.contraction.weights->data[0].get();
    b.b_k = b.k = plan_.k;
    if (sparse_k) choose_k(t.batch, b, k_ranges, scratch);
  } else {
    live_n = pack_b(t, b, scratch);
  }
  if (summed_) b.k = 0, b.resumes = true;
  void* a_rows[kMaxBlockRows];
  void* c_rows[kMaxBlockRows];
  find_rows(t, list, rows, a_rows, c_rows);
  b.a = a_rows;
  b.c = c_rows;
  std::vector<EpilogueRows> epilogue;
  find_epilogue_rows(t, list, rows, epilogue, scratch);
  b.epilogue = &epilogue;
  multiply_live(b, live_n);
}

// B of this batch position in panels, its steps of k in the order of the index; which of its columns are live (null:
// all).
const std::uint8_t* ContractionRunner::pack_b(const Task& t, Block& b, Scratch& scratch) const {
  float* packed = scratch.take<float>(panels_.floats(plan_.k) + panels_.width() + kPackSlack);
  const MatrixB matrix{run_.root_address(group_.operands[1].value) + batch_offset(1, t.batch), plan_.operands[1].k,
                       plan_.operands[1].n};
  std::uint8_t* live_n = nullptr;
  if (!live_n_.all() && live_n_.count(t.batch) != plan_.n) {
    live_n = scratch.take<std::uint8_t>(plan_.n);
    std::memset(live_n, 0, static_cast<std::size_t>(plan_.n));
    for (std::int64_t i = 0; i < live_n_.count(t.batch); ++i) live_n[live_n_.data(t.batch)[i]] = 1;
  }
  for (std::int64_t p = t.first_panel; p < t.last_panel; ++p)
    pack_panel(run_.p_.packs, panels_.vectors_of(p) * b.lanes, packed + panels_.offset(p, b.k), matrix,
               p * panels_.width(), panels_.columns_of(p), nullptr, live_n, b.k, b.k_index);
  b.b = packed;
  b.b_k = b.k;
  return live_n;
}

// Where the task's rows of A and C lie.
void ContractionRunner::find_rows(const Task& t, const std::int32_t* list, int rows, void** a_rows,
                                  void** c_rows) const {
  PIT_CHECK(rows <= kMaxBlockRows, "a block of {} rows", rows);
  char* a = run_.root_address(group_.operands[0].value) + batch_offset(0, t.batch);
  char* c = run_.root_address(group_.operands[2].value) + batch_offset(2, t.batch);
  for (int i = 0; i < rows; ++i) {
    a_rows[i] = a + row_offset(0, list[i]);
    c_rows[i] = c + row_offset(2, list[i]);
  }
}

void ContractionRunner::find_epilogue_rows(const Task& t, const std::int32_t* list, int rows,
                                           std::vector<EpilogueRows>& epilogue, Scratch& scratch) const {
  epilogue.resize(group_.operands.size() - 3);
  for (std::size_t o = 3; o < group_.operands.size(); ++o) {
    EpilogueRows& e = epilogue[o - 3];
    e.access = group_.epilogue.operands[o - 3];
    e.element = static_cast<std::int64_t>(size_of(group_.operands[o].access.dtype));
    e.base = run_.root_address(group_.operands[o].value) + batch_offset(o, t.batch);
    if (e.access != lower::EpilogueAccess::per_m && e.access != lower::EpilogueAccess::per_mn) continue;
    void** pointers = scratch.take<void*>(rows);
    for (int i = 0; i < rows; ++i) pointers[i] = e.base + row_offset(o, list[i]);
    e.rows = pointers;
  }
}

// Panels without a live column take no k: their epilogue runs on zero, so that they hold what a mask makes of them.
void ContractionRunner::multiply_live(Block& b, const std::uint8_t* live_n) const {
  if (!live_n) return multiply(b);
  const std::int64_t k = b.k, first = b.first_panel, last = b.last_panel;
  auto live = [&](std::int64_t p) {
    const std::uint8_t* columns = live_n + p * panels_.width();
    return std::any_of(columns, columns + panels_.columns_of(p), [](std::uint8_t c) { return c != 0; });
  };
  for (std::int64_t p = first; p < last;) {
    const bool alive = live(p);
    b.first_panel = p;
    while (p < last && live(p) == alive) ++p;
    b.last_panel = p;
    b.k = alive ? k : 0;
    multiply(b);
  }
}

// Constant panels hold all k. Long runs of live k are walked one after the other, with partial sums in C; scattered
// ones are cheaper as a whole, with zeros for what is absent.
void ContractionRunner::choose_k(std::int64_t batch, Block& b, std::vector<KRange>& k_ranges, Scratch& scratch) const {
  constexpr std::int64_t worthwhile = 64;
  const std::int32_t* live = live_k_.data(batch);
  const std::int64_t count = live_k_.count(batch);
  for (std::int64_t i = 0; i < count; ++i) {
    if (!k_ranges.empty() && k_ranges.back().a + k_ranges.back().count == live[i]) ++k_ranges.back().count;
    else k_ranges.push_back({live[i], live[i], 1});
  }
  b.k_index = nullptr;
  const bool partial_sums_fit = group_.operands[2].access.dtype == DType::f32;
  const auto runs = static_cast<std::int64_t>(k_ranges.size());
  if (runs <= 1 || (partial_sums_fit && count >= worthwhile * runs)) {
    b.k_ranges = &k_ranges;
    return;
  }
  auto* bytes = scratch.take<std::uint8_t>(plan_.k);
  std::memset(bytes, 0, static_cast<std::size_t>(plan_.k));
  for (std::int64_t i = 0; i < count; ++i) bytes[live[i]] = 1;
  b.live_k = bytes;
}

void ContractionRunner::clear_zero_rows() const {
  if (group_.control) return;
  const sparsity::MaskArray* m = run_.mask(step_.contraction.zero);
  if (!m || m->none) return;
  const LiveList zero =
      run_.list(step_.contraction.zero, static_cast<int>(plan_.batch_extents.size()), plan_.batch, plan_.m, false);
  const std::int64_t size = static_cast<std::int64_t>(size_of(group_.operands[2].access.dtype));
  for (std::int64_t o = 0; o < plan_.batch; ++o) {
    char* c = run_.root_address(group_.operands[2].value) + batch_offset(2, o);
    for (std::int64_t i = 0; i < zero.count(o); ++i)
      std::memset(c + row_offset(2, zero.data(o)[i]), 0, static_cast<std::size_t>(plan_.n * size));
  }
}

}  // namespace pit::runtime
