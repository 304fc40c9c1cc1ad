#include "runtime/contraction.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

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
      engine_(run.p_.engine_of(group_)),
      panels_(group_.static_b ? step.contraction.panels : Panels{plan.n, engine_.tile.lanes, engine_.tile.vectors}) {
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
  make_problem();
  if (problem_.items.empty() || problem_.n == 0) return;
  contract::Live micro_tiles;
  const contract::Schedule chosen = choose(micro_tiles);
  if (chosen.rule.kind == contract::RuleKind::dense) micro_tiles = {};
  else run_.record_.live *= contract::live_share(problem_, micro_tiles);
  const contract::RunTimer timer(run_.pool_.size());
  engine_.engine->run(problem_, micro_tiles, step_.contraction.weights.get(), chosen, run_.pool_, run_.poison_);
  if (step_.contraction.prices) step_.contraction.prices->observe(choice_, timer.seconds());
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

// Items are batch positions x groups of panels, each with its own rows.
void ContractionRunner::make_problem() {
  const lower::ElementSizes size = engine_.engine->algebra().sizes();
  const int steps = group_.epilogue.types.steps();
  problem_.n = plan_.n, problem_.k = plan_.k / steps;
  problem_.a_k = plan_.operands[0].k * steps / size.a;
  if (!group_.static_b) problem_.b_k = plan_.operands[1].k / size.b, problem_.b_n = plan_.operands[1].n / size.b;
  problem_.a_rows = rows_at(0, 1);
  problem_.c_rows = rows_at(2, static_cast<std::int64_t>(size_of(group_.operands[2].access.dtype)));
  n_live_.resize(static_cast<std::size_t>(plan_.batch));
  add_operands();
  for (const PanelGroup& group : panel_groups_)
    for (std::int64_t o = 0; o < plan_.batch; ++o)
      if (group.rows.count(o) > 0) add_item(group, o);
}

void ContractionRunner::add_operands() {
  epilogue_.result = group_.operands[2].access.dtype;
  if (group_.epilogue.program.statements.empty()) return;
  problem_.epilogue = &epilogue_;
  epilogue_.tiles = step_.contraction.tiles.get();
  for (std::size_t o = 3; o < group_.operands.size(); ++o) {
    const lower::EpilogueAccess access = group_.epilogue.operands[o - 3];
    epilogue_.operands.push_back({.access = access,
                                  .element = static_cast<std::int64_t>(size_of(group_.operands[o].access.dtype)),
                                  .rows = lower::is_per_row(access) ? rows_at(o, 1) : contract::RowOffsets{}});
  }
  operands_.reserve(static_cast<std::size_t>(plan_.batch) * epilogue_.operands.size());
  for (std::int64_t batch = 0; batch < plan_.batch; ++batch)
    for (std::size_t o = 3; o < group_.operands.size(); ++o)
      operands_.push_back(run_.root_address(group_.operands[o].value) + batch_offset(o, batch));
}

void ContractionRunner::add_item(const PanelGroup& group, std::int64_t batch) {
  contract::Item item;
  item.a = run_.root_address(group_.operands[0].value) + batch_offset(0, batch);
  item.c = run_.root_address(group_.operands[2].value) + batch_offset(2, batch);
  if (group_.static_b) {
    item.b_number = strided_offset(batch, plan_.batch_extents, step_.contraction.matrix_steps);
  } else if (group.has_k) {
    item.b = run_.root_address(group_.operands[1].value) + batch_offset(1, batch);
    item.b_number = batch;
  }
  if (group.last_panel - group.first_panel != panels_.count())
    item.first_panel = group.first_panel, item.last_panel = group.last_panel;
  item.operands = operands_.data() + static_cast<std::size_t>(batch) * epilogue_.operands.size();
  if (!group.rows.all()) item.row_list = group.rows.data(batch);
  item.rows = group.rows.count(batch);
  problem_.m = std::max(problem_.m, item.rows);
  find_lists(batch, item);
  if (!group.has_k) item.k_list = live_k_.data(batch), item.k_count = 0;
  problem_.items.push_back(item);
}

contract::RowOffsets ContractionRunner::rows_at(std::size_t operand, std::int64_t unit) const {
  if (plan_.m_extents.size() <= 1)
    return {.stride = plan_.m_extents.empty() ? 0 : plan_.operands[operand].m[0] / unit, .table = {}};
  contract::RowOffsets rows;
  rows.table.reserve(static_cast<std::size_t>(plan_.m));
  for (std::int64_t i = 0; i < plan_.m; ++i) rows.table.push_back(row_offset(operand, i) / unit);
  return rows;
}

// The live steps of k and columns of B.
void ContractionRunner::find_lists(std::int64_t batch, contract::Item& item) {
  const bool some = !live_k_.all() && live_k_.count(batch) != plan_.k;
  if (some && group_.epilogue.types.steps() > 1) clear_absent_k(batch, item);
  else if (some) item.k_list = live_k_.data(batch), item.k_count = live_k_.count(batch);
  if (group_.static_b || live_n_.all() || live_n_.count(batch) == plan_.n) return;
  std::vector<std::uint8_t>& live = n_live_[static_cast<std::size_t>(batch)];
  if (live.empty()) {
    live.resize(static_cast<std::size_t>(plan_.n));
    for (std::int64_t i = 0; i < live_n_.count(batch); ++i) live[static_cast<std::size_t>(live_n_.data(batch)[i])] = 1;
  }
  item.n_live = live.data();
}

// An element of which only some steps of k are there: the item gets rows of its own, in which the others are zeros.
void ContractionRunner::clear_absent_k(std::int64_t batch, contract::Item& item) {
  std::int64_t first = 0, last = 0;
  for (std::int64_t i = 0; i < item.rows; ++i) {
    const std::int64_t row = problem_.a_rows[contract::Problem::row_of(item, i)];
    first = std::min(first, row), last = std::max(last, row);
  }
  std::vector<char>& rows = cleared_a_.emplace_back(static_cast<std::size_t>(last - first + plan_.k));
  for (std::int64_t i = 0; i < item.rows; ++i) {
    const std::int64_t row = problem_.a_rows[contract::Problem::row_of(item, i)];
    for (std::int64_t t = 0; t < live_k_.count(batch); ++t) {
      const std::int64_t k = live_k_.data(batch)[t];
      rows[static_cast<std::size_t>(row - first + k)] = item.a[row + k];
    }
  }
  item.a = rows.data() - first;
}

// Zeros that only values tell: A's (ReLU) are found now, in one pass over the live rows, which what made them has just
// left in the caches; those of pruned weights when they were packed. All rules sum the same chains of ascending k.
contract::Schedule ContractionRunner::choose(contract::Live& live) {
  const ContractionStep& step = step_.contraction;
  const contract::Engine& engine = *engine_.engine;
  const int threads = run_.pool_.size();
  if (problem_.k == 0) return engine.dense_schedule(problem_, step.weights.get(), threads);
  if (step.scans_a || step.pruned) live.b = contract::live_of(*step.weights);
  if (step.scans_a && problem_.is_whole(engine.algebra()) && problem_.a_k == 1) {
    const detect::Values values = rows_of_a();
    if (engine.worth_detecting(problem_, values, 1, 1, true, threads)) {
      zeros_ = detect::scan(values, 1, 1, 0, run_.pool_, {}, detect::scan_isa(run_.p_.target));
      zeros_.batch /= problem_.m, zeros_.rows = problem_.m;
      live.a = &zeros_;
    }
  }
  if (!live.a && !live.b) return engine.dense_schedule(problem_, step.weights.get(), threads);
  run_.record_.candidates = engine.schedules(problem_, live, step.weights.get(), threads);
  if (step.prices)
    choice_ = contract::choose_and_prepare(*step.prices, engine, problem_, live, step.weights.get(), threads,
                                           run_.record_.candidates);
  return run_.record_.candidates.front();
}

// Each row a matrix: they lie anywhere. Items with the same rows of the same A share its number.
detect::Values ContractionRunner::rows_of_a() {
  const std::int64_t size = engine_.engine->algebra().sizes().a;
  const char* const first = problem_.items[0].a;
  detect::Values values{
      .data = first, .dtype = group_.epilogue.types.c, .batch_offsets = {}, .rows = 1, .columns = problem_.k};
  std::map<std::pair<const char*, const std::int32_t*>, std::int64_t> numbers;
  for (contract::Item& item : problem_.items) {
    const auto [known, fresh] = numbers.try_emplace({item.a, item.row_list}, std::ssize(numbers));
    item.a_number = known->second;
    for (std::int64_t i = 0; fresh && i < problem_.m; ++i)
      values.batch_offsets.push_back((item.a - first + problem_.a_rows[contract::Problem::row_of(item, i)]) / size);
  }
  return values;
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
