#include "runtime/rows.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "pit/error.h"

namespace pit::runtime {
namespace {

// Coordinates of a flat position, row-major.
void unflatten(std::int64_t flat, const std::vector<std::int64_t>& extents, std::vector<std::int64_t>& at) {
  at.resize(extents.size());
  for (std::size_t i = extents.size(); i-- > 0;) {
    at[i] = flat % extents[i];
    flat /= extents[i];
  }
}

}  // namespace

RowRunner::RowRunner(Run& run, const Step& step, const RowPlan& plan)
    : run_(run), step_(step), plan_(plan), group_(run.p_.group(step)) {}

void RowRunner::operator()() {
  const int drivers = static_cast<int>(plan_.driver_axes.size());
  LiveList rows = run_.list(step_.rows.live, drivers, plan_.driver_count, plan_.rows, group_.control);
  run_.record_.live = plan_.driver_count * plan_.rows == 0
                          ? 1.0
                          : static_cast<double>(rows.total()) / static_cast<double>(plan_.driver_count * plan_.rows);
  if (!step_.rows.lookups.empty()) check_lookups(rows);
  clear_zero_rows();
  LiveList mid;
  if (group_.readers) {
    list_readers();
  } else if (group_.mid >= 0) {
    const int outer = static_cast<int>(group_.outer.size());
    mid = run_.list(step_.rows.live_k, outer, plan_.driver_count * plan_.rows, plan_.mid, group_.control);
  }
  std::vector<Task> tasks;
  make_tasks(rows, tasks);
  // Short tasks go to a worker several at a time.
  const std::int64_t count = static_cast<std::int64_t>(tasks.size());
  const std::int64_t at_once =
      std::clamp<std::int64_t>(count * plan_.task_rows / std::max<std::int64_t>(1, rows.total()), 1,
                               std::max<std::int64_t>(1, count / (4 * run_.pool_.size())));
  run_.pool_.parallel_for((count + at_once - 1) / at_once, [&](std::int64_t chunk, int worker) {
    Call call;
    for (std::int64_t t = chunk * at_once; t < std::min(count, (chunk + 1) * at_once); ++t)
      run_task(tasks[static_cast<std::size_t>(t)], rows, mid, worker, call);
  });
}

// Tasks of about equal live work: long lists are cut, short ones stay whole.
void RowRunner::make_tasks(const LiveList& rows, std::vector<Task>& tasks) const {
  for (std::int64_t o = 0; o < plan_.driver_count; ++o) {
    const std::int64_t n = rows.count(o);
    if (n == 0) continue;
    const std::int64_t pieces = (n + plan_.task_rows - 1) / plan_.task_rows;
    for (std::int64_t i = 0; i < pieces; ++i) tasks.push_back({o, n * i / pieces, n * (i + 1) / pieces});
  }
}

void RowRunner::run_task(const Task& t, const LiveList& rows, const LiveList& mid, int worker, Call& call) const {
  const std::size_t operands = group_.operands.size();
  auto& [ptrs, ints, at] = call;
  ptrs.resize(operands + 4);
  ints = plan_.ints;
  unflatten(t.outer, plan_.driver_extents, at);
  std::size_t p = 0;
  const std::size_t rows_at = p++;
  const std::size_t mid_at = step_.rows.abi.has_mid ? p++ : 0;
  if (step_.rows.abi.lists_of_rows)
    ptrs[p++] = const_cast<std::int64_t*>(readers_.offset.data() + t.outer * plan_.rows);
  const std::size_t operands_at = p;
  for (std::size_t i = 0; i < operands; ++i) {
    std::int64_t offset = plan_.base[i];
    for (std::size_t d = 0; d < at.size(); ++d) offset += at[d] * plan_.driver_strides[d][i];
    ptrs[p++] = run_.root_address(group_.operands[i].value) + offset;
  }
  if (step_.rows.abi.scratch_rows > 0) ptrs[p++] = run_.arena_.scratch(worker);
  int mid_slot = -1, row_slot = -1;
  for (std::size_t i = 0; i < step_.rows.abi.ints.size(); ++i) {
    const lower::Slot& s = step_.rows.abi.ints[i];
    if (s.kind == lower::Slot::row_count) row_slot = static_cast<int>(i);
    if (s.kind == lower::Slot::mid_count) mid_slot = static_cast<int>(i);
    if (s.kind == lower::Slot::coordinate_base)
      for (std::size_t d = 0; d < at.size(); ++d)
        if (plan_.driver_axes[d] == s.a) ints[i] = at[d];
  }
  const std::int32_t* list = rows.data(t.outer);
  if (!step_.rows.abi.has_mid || group_.readers || mid.all()) {
    ptrs[rows_at] = const_cast<std::int32_t*>(list + t.begin);
    if (step_.rows.abi.has_mid)
      ptrs[mid_at] = const_cast<std::int32_t*>(group_.readers ? readers_.index.data() : mid.iota);
    if (kept_ < 0) {
      if (row_slot >= 0) ints[row_slot] = t.end - t.begin;
      step_.rows.fn(ptrs.data(), ints.data());
      return;
    }
    const auto from = static_cast<const char*>(ptrs[operands_at + static_cast<std::size_t>(kept_)]);
    const auto to = static_cast<char*>(ptrs[operands_at + static_cast<std::size_t>(written_)]);
    const std::int64_t from_stride = row_stride(kept_), to_stride = row_stride(written_);
    const std::size_t bytes = static_cast<std::size_t>(plan_.inner) *
                              size_of(group_.operands[static_cast<std::size_t>(written_)].access.dtype);
    const std::int64_t* const offset = readers_.offset.data() + t.outer * plan_.rows;
    const auto is_written = [&](std::int64_t r) { return offset[list[r]] < offset[list[r] + 1]; };
    for (std::int64_t r = t.begin, end = r; r < t.end; r = end) {
      if (!is_written(r)) {
        if (to != from) std::memcpy(to + list[r] * to_stride, from + list[r] * from_stride, bytes);
        end = r + 1;
        continue;
      }
      while (end < t.end && is_written(end)) ++end;
      ptrs[rows_at] = const_cast<std::int32_t*>(list + r);
      if (row_slot >= 0) ints[row_slot] = end - r;
      step_.rows.fn(ptrs.data(), ints.data());
    }
    return;
  }
  // Every row has its own list along the middle axis.
  for (std::int64_t r = t.begin; r < t.end; ++r) {
    const std::int64_t o = t.outer * plan_.rows + list[r];
    ptrs[rows_at] = const_cast<std::int32_t*>(list + r);
    ptrs[mid_at] = const_cast<std::int32_t*>(mid.data(o));
    if (row_slot >= 0) ints[row_slot] = 1;
    ints[mid_slot] = mid.count(o);
    step_.rows.fn(ptrs.data(), ints.data());
  }
}

// Which updates each row takes. An index out of range is the user's mistake, found before anything is written.
void RowRunner::list_readers() {
  const graph::Value& value = run_.p_.graph.values[group_.readers->index];
  const Tensor index = run_.contiguous(group_.readers->index);
  detect::Places places{index.data(), index.dtype() == DType::i64, plan_.mid, {}};
  for (int a : group_.readers->places) places.extents.push_back(run_.plan()[group_.extents[a]]);
  if (const std::int64_t bad = detect::out_of_range(places, run_.pool_); bad >= 0) {
    const std::int64_t dimension = bad % static_cast<std::int64_t>(places.extents.size());
    throw InputError(fmt::format("{}: index {} in '{}' is out of range for extent {} of dimension {}",
                                 run_.p_.graph.describe(group_.nodes[0]), places.at(bad), value.name,
                                 places.extents[static_cast<std::size_t>(dimension)], dimension),
                     run_.p_.graph.describe(group_.nodes[0]), value.name);
  }
  readers_ = detect::inverse(places, run_.pool_);
  note_kept_rows();
}

// Rows that nobody writes are copies: no kernel sums nothing faster than memory is copied. Short rows are not worth a
// call of their own.
void RowRunner::note_kept_rows() {
  constexpr std::int64_t kLeastBytes = 512;
  int kept = -1, written = -1;
  for (std::size_t i = 0; i < group_.operands.size(); ++i) {
    const fuse::Operand& o = group_.operands[i];
    if (o.access.written) written = static_cast<int>(i);
    else if (o.value == group_.readers->kept) kept = static_cast<int>(i);
  }
  if (kept < 0 || written < 0) return;
  for (int i : {kept, written}) {
    const lower::Operand& o = group_.operands[static_cast<std::size_t>(i)].access;
    if (o.inner != lower::InnerAccess::unit || plan_.inner * static_cast<std::int64_t>(size_of(o.dtype)) < kLeastBytes)
      return;
  }
  kept_ = kept;
  written_ = written;
}

std::int64_t RowRunner::row_stride(int operand) const {
  for (std::size_t s = 0; s < step_.rows.abi.ints.size(); ++s)
    if (step_.rows.abi.ints[s].kind == lower::Slot::row_stride && step_.rows.abi.ints[s].a == operand)
      return plan_.ints[s];
  return 0;
}

// Demanded rows that are known to be zero hold zeros, though no kernel visits them.
void RowRunner::clear_zero_rows() const {
  if (group_.control) return;
  const sparsity::MaskArray* m = run_.mask(step_.rows.zero);
  if (!m || m->none) return;
  const LiveList zero =
      run_.list(step_.rows.zero, static_cast<int>(plan_.driver_axes.size()), plan_.driver_count, plan_.rows, false);
  std::vector<std::int64_t> at;
  for (std::size_t i = 0; i < group_.operands.size(); ++i) {
    if (!group_.operands[i].access.written) continue;
    const lower::InnerAccess access = group_.operands[i].access.inner;
    const std::int64_t size = static_cast<std::int64_t>(size_of(group_.operands[i].access.dtype));
    const bool strided = access == lower::InnerAccess::strided;
    const std::int64_t length = access == lower::InnerAccess::unit ? plan_.inner * size : size;
    const std::int64_t pieces = strided ? plan_.inner : 1,
                       step = strided ? run_.plan()[group_.operands[i].strides[group_.inner]] * size : 0;
    const std::int64_t row_stride = this->row_stride(static_cast<int>(i));
    for (std::int64_t o = 0; o < plan_.driver_count; ++o) {
      unflatten(o, plan_.driver_extents, at);
      char* base = run_.root_address(group_.operands[i].value) + plan_.base[i];
      for (std::size_t d = 0; d < at.size(); ++d) base += at[d] * plan_.driver_strides[d][i];
      for (std::int64_t r = 0; r < zero.count(o); ++r)
        for (std::int64_t piece = 0; piece < pieces; ++piece)
          std::memset(base + zero.data(o)[r] * row_stride + piece * step, 0, static_cast<std::size_t>(length));
    }
  }
}

namespace {

/// Smallest and largest of some integers.
struct Range {
  std::int64_t low = 0, high = -1;
};

template <class T>
void extend(Range& range, const char* base, std::int64_t count, std::int64_t stride) {
  T low = static_cast<T>(range.low), high = static_cast<T>(range.high);
  for (std::int64_t i = 0; i < count; ++i) {
    const T v = *reinterpret_cast<const T*>(base + i * stride);
    low = std::min(low, v);
    high = std::max(high, v);
  }
  range = {low, high};
}

}  // namespace

// An index out of range is the user's mistake, found before the kernel reads with it. Only live rows count: padding may
// hold anything.
void RowRunner::check_lookups(const LiveList& rows) const {
  std::vector<Task> tasks;
  make_tasks(rows, tasks);
  for (const RowStep::Lookup& l : step_.rows.lookups) {
    const fuse::Operand& index = group_.operands[l.index];
    const fuse::Operand& table = group_.operands[l.table];
    const std::int64_t extent = run_.plan()[table.lookup_extent[l.dim]];
    const std::int64_t size = static_cast<std::int64_t>(size_of(index.access.dtype));
    const bool moves_inside = group_.inner >= 0 && run_.plan()[index.strides[group_.inner]] != 0;
    const std::int64_t count = moves_inside ? run_.plan()[group_.extents[group_.inner]] : 1,
                       stride = moves_inside ? run_.plan()[index.strides[group_.inner]] * size : 0;
    const std::int64_t row_stride = this->row_stride(l.index);
    std::vector<Range> found(tasks.size());
    run_.pool_.parallel_for(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t t, int) {
      const Task& task = tasks[static_cast<std::size_t>(t)];
      std::vector<std::int64_t> at;
      unflatten(task.outer, plan_.driver_extents, at);
      const char* base = run_.root_address(index.value) + plan_.base[l.index];
      bool moves = task.outer == 0;
      for (std::size_t d = 0; d < at.size(); ++d) {
        base += at[d] * plan_.driver_strides[d][l.index];
        moves = moves || plan_.driver_strides[d][l.index] != 0;
      }
      if (!moves) return;  // the same indices as before
      Range& range = found[static_cast<std::size_t>(t)];
      const std::int64_t end = row_stride == 0 ? std::min(task.begin + 1, task.end) : task.end;
      for (std::int64_t r = task.begin; r < end; ++r) {
        const char* row = base + rows.data(task.outer)[r] * row_stride;
        if (index.access.dtype == DType::i64) extend<std::int64_t>(range, row, count, stride);
        else extend<std::int32_t>(range, row, count, stride);
      }
    });
    const auto bad =
        std::find_if(found.begin(), found.end(), [&](const Range& r) { return r.low < -extent || r.high >= extent; });
    if (bad == found.end()) continue;
    const auto& values = run_.p_.graph.values;
    throw InputError(fmt::format("{}: index {} in '{}' is out of range for '{}', whose dimension {} has {} elements",
                                 run_.p_.graph.describe(group_.nodes[0]), bad->high >= extent ? bad->high : bad->low,
                                 values[index.value].name, values[table.value].name, l.dim, extent),
                     run_.p_.graph.describe(group_.nodes[0]), values[index.value].name);
  }
}

}  // namespace pit::runtime
