// LiveSet: live maps of the public API.
#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "api/contraction_impl.h"
#include "api/entry.h"
#include "detect/live_map.h"

namespace pit {
namespace {

constexpr const char* kNoMemory = "there is not enough memory for this live set";

std::shared_ptr<const LiveSet::Impl> wrap(detect::LiveMap map) {
  return std::make_shared<const LiveSet::Impl>(std::move(map));
}

void want(bool condition, const char* tensor, const std::string& message) {
  if (!condition) throw InputError(message, "LiveSet", tensor);
}

void check_view(const TensorView& view, const char* tensor) {
  const std::int64_t size = element_count(view.shape);
  want(view.data || size == 0, tensor, fmt::format("'{}' has no data", tensor));
  want(view.strides.empty() || view.strides.size() == view.shape.size(), tensor,
       fmt::format("'{}' has {} extents, but {} strides", tensor, view.shape.size(), view.strides.size()));
}

void check_extents(std::int64_t rows, std::int64_t columns) {
  want(rows >= 0 && columns >= 0, "", fmt::format("matrices of {} x {} elements", rows, columns));
  element_count({rows, columns});
}

/// Elements of an integer tensor, row-major.
std::vector<std::int64_t> integers(const TensorView& view, const char* tensor) {
  check_view(view, tensor);
  want(view.dtype == DType::i64 || view.dtype == DType::i32, tensor,
       fmt::format("'{}' is {}; give i64 or i32", tensor, name_of(view.dtype)));
  const std::vector<std::int64_t> strides = contract::strides_of(view);
  std::vector<int> axes(view.shape.size());
  for (std::size_t d = 0; d < axes.size(); ++d) axes[d] = static_cast<int>(d);
  std::vector<std::int64_t> values;
  for (const std::int64_t at : contract::offsets_of(axes, axes, strides, view.shape))
    values.push_back(view.dtype == DType::i64 ? static_cast<const std::int64_t*>(view.data)[at]
                                              : static_cast<const std::int32_t*>(view.data)[at]);
  return values;
}

/// Offsets of the matrices that the last two dimensions are.
std::vector<std::int64_t> matrix_offsets(const TensorView& view, const std::vector<std::int64_t>& strides) {
  std::vector<int> all(view.shape.size());
  for (std::size_t d = 0; d < all.size(); ++d) all[d] = static_cast<int>(d);
  return contract::offsets_of({all.begin(), all.end() - 2}, all, strides, view.shape);
}

}  // namespace

std::shared_ptr<const detect::LiveMap> LiveSet::Impl::transposed(const ThreadPool& pool) const {
  const std::lock_guard lock(mutex_);
  if (!transposed_) transposed_ = std::make_shared<const detect::LiveMap>(detect::transposed(map, pool));
  return transposed_;
}

LiveSet LiveSet::detect(const TensorView& values, Granularity granularity, double absent, int threads) {
  return api::typed<InputError>(kNoMemory, [&] {
    check_view(values, "values");
    want(values.dtype == DType::f32 || values.dtype == DType::f64, "values",
         fmt::format("'values' is {}; zeros are detected in f32 and f64", name_of(values.dtype)));
    want(values.shape.size() >= 2, "values",
         fmt::format("'values' has the shape {}; give [batch..., rows, columns]", to_string(values.shape)));
    const std::size_t rank = values.shape.size();
    const std::int64_t rows = values.shape[rank - 2], columns = values.shape[rank - 1];
    const Granularity g = api::checked(granularity, rows, columns, "LiveSet", "values");
    const std::vector<std::int64_t> strides = contract::strides_of(values);
    const ThreadPool pool(api::thread_count(threads));
    const detect::Values matrices{values.data,       values.dtype,     matrix_offsets(values, strides), rows, columns,
                                  strides[rank - 2], strides[rank - 1]};
    return LiveSet(wrap(detect::scan(matrices, g.rows, g.columns, absent, pool)));
  });
}

LiveSet LiveSet::from_mask(const TensorView& mask, std::int64_t rows, std::int64_t columns, Granularity granularity) {
  return api::typed<InputError>(kNoMemory, [&] {
    check_view(mask, "mask");
    check_extents(rows, columns);
    want(mask.dtype == DType::b8 || mask.dtype == DType::u8, "mask",
         fmt::format("'mask' is {}; give bool or u8", name_of(mask.dtype)));
    const Granularity g = api::checked(granularity, rows, columns, "LiveSet", "mask");
    const std::size_t rank = mask.shape.size();
    const std::int64_t row_groups = rows / g.rows + (rows % g.rows != 0),
                       column_groups = columns / g.columns + (columns % g.columns != 0);
    want(rank >= 2 && mask.shape[rank - 2] == row_groups && mask.shape[rank - 1] == column_groups, "mask",
         fmt::format("'mask' has the shape {}; micro-tiles of {} x {} in matrices of {} x {} make [batch..., {}, {}]",
                     to_string(mask.shape), g.rows, g.columns, rows, columns, row_groups, column_groups));
    const std::vector<std::int64_t> strides = contract::strides_of(mask);
    return LiveSet(wrap(detect::from_bytes(static_cast<const std::uint8_t*>(mask.data), matrix_offsets(mask, strides),
                                           strides[rank - 2], strides[rank - 1], rows, columns, g.rows, g.columns,
                                           ThreadPool(1))));
  });
}

LiveSet LiveSet::from_lengths(const TensorView& lengths, std::int64_t rows, std::int64_t columns) {
  return api::typed<InputError>(kNoMemory, [&] {
    check_extents(rows, columns);
    want(lengths.shape.size() == 1, "lengths",
         fmt::format("'lengths' has the shape {}; give [batch]", to_string(lengths.shape)));
    const std::vector<std::int64_t> values = integers(lengths, "lengths");
    for (const std::int64_t n : values)
      want(n >= 0 && n <= rows, "lengths", fmt::format("'lengths' has {}; there are {} rows", n, rows));
    return LiveSet(wrap(detect::from_lengths(values, rows, columns)));
  });
}

LiveSet LiveSet::from_rows(const TensorView& indices, std::int64_t rows, std::int64_t columns) {
  return api::typed<InputError>(kNoMemory, [&] {
    check_extents(rows, columns);
    want(indices.shape.size() == 1, "indices",
         fmt::format("'indices' has the shape {}; give [count]", to_string(indices.shape)));
    const std::vector<std::int64_t> values = integers(indices, "indices");
    for (const std::int64_t r : values)
      want(r >= 0 && r < rows, "indices", fmt::format("'indices' has {}; rows are 0 to {}", r, rows - 1));
    return LiveSet(wrap(detect::from_rows(values, rows, columns)));
  });
}

LiveSet LiveSet::from_experts(const TensorView& experts, std::int64_t expert_count, std::int64_t columns) {
  return api::typed<InputError>(kNoMemory, [&] {
    check_extents(expert_count, columns);
    const std::size_t rank = experts.shape.size();
    want(rank == 1 || rank == 2, "experts",
         fmt::format("'experts' has the shape {}; give [rows] or [rows, top_k]", to_string(experts.shape)));
    const std::int64_t top_k = rank == 2 ? experts.shape[1] : 1;
    want(top_k >= 1, "experts", "'experts' has no expert per row");
    const std::vector<std::int64_t> values = integers(experts, "experts");
    for (const std::int64_t e : values)
      want(e < expert_count, "experts", fmt::format("'experts' has {}; there are {} experts", e, expert_count));
    return LiveSet(wrap(detect::from_experts(values, top_k, expert_count, columns)));
  });
}

std::int64_t LiveSet::batch() const { return impl_->map.batch; }
std::int64_t LiveSet::rows() const { return impl_->map.rows; }
std::int64_t LiveSet::columns() const { return impl_->map.columns; }
Granularity LiveSet::granularity() const { return {impl_->map.g_rows, impl_->map.g_columns}; }
std::int64_t LiveSet::count() const { return impl_->map.live; }
std::int64_t LiveSet::total() const { return impl_->map.total(); }
double LiveSet::fraction() const { return impl_->map.fraction(); }

std::pair<Tensor, Tensor> LiveSet::index() const {
  return api::typed<InputError>(kNoMemory, [&] {
    const detect::IndexSet lists = detect::lists(impl_->map, ThreadPool(1));
    const std::int64_t count = lists.count();
    std::pair<Tensor, Tensor> out{Tensor(DType::i64, {impl_->map.batch * impl_->map.row_groups() + 1}),
                                  Tensor(DType::i32, {count})};
    std::copy_n(lists.offset.begin(), out.first.size(), out.first.as<std::int64_t>());
    std::copy_n(lists.index.begin(), count, out.second.as<std::int32_t>());
    return out;
  });
}

Tensor LiveSet::mask() const {
  return api::typed<InputError>(kNoMemory, [&] {
    const detect::LiveMap& map = impl_->map;
    Tensor out(DType::b8, {map.batch, map.row_groups(), map.column_groups()});
    auto* to = out.as<std::uint8_t>();
    for (std::int64_t r = 0; r < map.batch * map.row_groups(); ++r)
      for (std::int64_t c = 0; c < map.column_groups(); ++c) *to++ = map.test(r, c) ? 1 : 0;
    return out;
  });
}

namespace api {

Granularity checked(Granularity g, std::int64_t rows, std::int64_t columns, const std::string& op,
                    const std::string& tensor) {
  if (g.rows < 1 || g.columns < 1)
    throw InputError(fmt::format("micro-tiles of {} x {}: both extents are at least 1", g.rows, g.columns), op, tensor);
  return {std::min(g.rows, std::max<std::int64_t>(rows, 1)), std::min(g.columns, std::max<std::int64_t>(columns, 1))};
}

std::shared_ptr<const detect::LiveMap> fit_live_set(const std::shared_ptr<const LiveSet>& live, std::int64_t batch,
                                                    std::int64_t rows, std::int64_t columns, bool transpose,
                                                    const ThreadPool& pool, const std::string& op,
                                                    const std::string& tensor) {
  if (!live) throw InputError(fmt::format("the zeros of '{}' are known, but there is no live set", tensor), op, tensor);
  const detect::LiveMap& map = live->impl().map;
  if (map.batch == batch && map.rows == rows && map.columns == columns) {
    if (transpose) return live->impl().transposed(pool);
    return {live, &map};
  }
  // Rows of micro-tiles lie one after the other, whatever matrix they belong to.
  const bool restated = map.columns == columns && map.batch * map.rows == batch * rows && map.rows % map.g_rows == 0 &&
                        rows % map.g_rows == 0;
  if (!restated)
    throw InputError(
        fmt::format("the live set of '{}' is for {} of {} x {} elements, in micro-tiles of {} x {}; the operand has {} "
                    "of {} x {}",
                    tensor, map.batch == 1 ? "one matrix" : fmt::format("{} matrices", map.batch), map.rows,
                    map.columns, map.g_rows, map.g_columns, batch == 1 ? "one" : std::to_string(batch), rows, columns),
        op, tensor);
  auto again = std::make_shared<detect::LiveMap>(map);
  again->batch = batch;
  again->rows = rows;
  if (transpose) *again = detect::transposed(*again, pool);
  return again;
}

}  // namespace api
}  // namespace pit
