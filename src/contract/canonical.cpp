#include "contract/canonical.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "contract/elements.h"
#include "contract/pack.h"
#include "support/check.h"

namespace pit::contract {
namespace {

bool has(const std::vector<int>& axes, int a) { return std::find(axes.begin(), axes.end(), a) != axes.end(); }

std::vector<int> axes_by_dimension(const std::vector<expr::Expr>& indices) {
  std::vector<int> axes;
  for (const expr::Expr& i : indices) {
    const auto a = expr::bare_axis(i);
    PIT_CHECK(a.has_value(), "an index that is no axis");
    axes.push_back(*a);
  }
  return axes;
}

/// How far an axis moves in memory: of a diagonal, the sum of its strides.
std::int64_t stride_along(int axis, const std::vector<int>& dims, const std::vector<std::int64_t>& strides) {
  std::int64_t stride = 0;
  for (std::size_t d = 0; d < dims.size(); ++d)
    if (dims[d] == axis) stride += strides[d];
  return stride;
}

/// The one stride of axes that act as one, or nothing. `otherwise` where they have one position.
std::optional<std::int64_t> merged_stride(const std::vector<int>& axes, const std::vector<int>& dims,
                                          const std::vector<std::int64_t>& strides, const Extents& extents,
                                          std::int64_t otherwise) {
  std::optional<std::int64_t> step;  // of the innermost axis
  std::int64_t next = 0;
  for (std::size_t i = axes.size(); i-- > 0;) {
    const std::int64_t extent = extents[static_cast<std::size_t>(axes[i])];
    if (extent == 0) return otherwise;
    if (extent == 1) continue;
    const std::int64_t stride = stride_along(axes[i], dims, strides);
    if (step && stride != next) return std::nullopt;
    if (!step) step = stride;
    next = stride * extent;
  }
  return step.value_or(otherwise);
}

std::vector<int> joined(std::initializer_list<const std::vector<int>*> lists) {
  std::vector<int> all;
  for (const auto* l : lists) all.insert(all.end(), l->begin(), l->end());
  return all;
}

/// Visits row r of a nest: offset of its first element, with `count` elements `step` apart.
struct Rows {
  std::vector<std::int64_t> offsets;
  std::int64_t count = 1, step = 1;
};

Rows rows_over(std::vector<int> axes, const std::vector<int>& dims, const std::vector<std::int64_t>& strides,
               const Extents& extents) {
  Rows rows;
  if (!axes.empty()) {
    rows.count = extents[static_cast<std::size_t>(axes.back())];
    rows.step = stride_along(axes.back(), dims, strides);
    axes.pop_back();
  }
  if (rows.count > 0) rows.offsets = offsets_of(axes, dims, strides, extents);
  return rows;
}

/// Some rows per task: enough to be worth one.
template <class F>
void for_rows(const ThreadPool& pool, const Rows& rows, F&& body) {
  const auto total = static_cast<std::int64_t>(rows.offsets.size());
  const std::int64_t chunk = std::max<std::int64_t>(1, (1 << 15) / std::max<std::int64_t>(rows.count, 1));
  pool.parallel_for((total + chunk - 1) / chunk, [&](std::int64_t task, int) {
    for (std::int64_t r = task * chunk; r < std::min(total, (task + 1) * chunk); ++r) body(r);
  });
}

std::shared_ptr<char> copy_of(const TensorView& view, const std::vector<int>& axes, const std::vector<int>& dims,
                              const Extents& extents, DType type, const ThreadPool& pool) {
  const Rows rows = rows_over(axes, dims, strides_of(view), extents);
  const auto from_size = static_cast<std::int64_t>(size_of(view.dtype));
  const ElementBits one(type, 1), zero(type, 0);
  std::shared_ptr<char> copy =
      aligned_bytes(std::max<std::int64_t>(1, static_cast<std::int64_t>(rows.offsets.size()) * rows.count * one.size));
  with_size(one.size, [&](auto size) {
    for_rows(pool, rows, [&](std::int64_t r) {
      char* to = copy.get() + r * rows.count * size;
      const char* from = static_cast<const char*>(view.data) + rows.offsets[static_cast<std::size_t>(r)] * from_size;
      const std::int64_t step = rows.step * from_size, count = rows.count;
      if (view.dtype == type)
        for (std::int64_t i = 0; i < count; ++i) move_element<size>(to + i * size, from + i * step);
      else
        for (std::int64_t i = 0; i < count; ++i)
          move_element<size>(to + i * size, from[i * step] != 0 ? one.bytes : zero.bytes);
    });
  });
  return copy;
}

/// Dense strides of `axes` (row-major), as dimensions.
std::vector<std::int64_t> dense_strides(const std::vector<int>& axes, const Extents& extents) {
  std::vector<std::int64_t> strides(axes.size());
  std::int64_t step = 1;
  for (std::size_t d = axes.size(); d-- > 0; step *= extents[static_cast<std::size_t>(axes[d])]) strides[d] = step;
  return strides;
}

}  // namespace

Form::Form(const expr::Program& p, const expr::Statement& s, const rules::Contraction& found)
    : a(axes_by_dimension(found.a->args)),
      b(axes_by_dimension(found.b->args)),
      c(axes_by_dimension(s.out_index)),
      batch(found.batch),
      m(found.m),
      n(found.n),
      k(found.k),
      axis_count(static_cast<int>(p.axes.size())) {
  for (const int axis : batch) {
    if (has(a, axis)) a_batch.push_back(axis);
    if (has(b, axis)) b_batch.push_back(axis);
  }
}

std::int64_t product_of(const std::vector<int>& axes, const Extents& extents) {
  std::int64_t product = 1;
  for (const int axis : axes) product *= extents[static_cast<std::size_t>(axis)];
  return product;
}

std::vector<std::int64_t> offsets_of(const std::vector<int>& axes, const std::vector<int>& dims,
                                     const std::vector<std::int64_t>& strides, const Extents& extents) {
  std::vector<std::int64_t> offsets = {0};
  for (const int axis : axes) {
    const std::int64_t stride = stride_along(axis, dims, strides), extent = extents[static_cast<std::size_t>(axis)];
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * static_cast<std::size_t>(extent));
    for (const std::int64_t o : offsets)
      for (std::int64_t i = 0; i < extent; ++i) next.push_back(o + i * stride);
    offsets = std::move(next);
  }
  return offsets;
}

std::vector<std::int64_t> strides_of(const TensorView& view) {
  if (!view.strides.empty() || view.shape.empty()) return view.strides;
  std::vector<std::int64_t> strides(view.shape.size());
  std::int64_t step = 1;
  for (std::size_t d = view.shape.size(); d-- > 0; step *= view.shape[d]) strides[d] = step;
  return strides;
}

detect::Values Matrices::values() const { return {data, type, offsets, rows, columns, row_stride, column_stride}; }

Matrices matrices_of(const TensorView& view, const std::vector<int>& dims, const std::vector<int>& batch,
                     const std::vector<int>& rows, const std::vector<int>& columns, const Extents& extents, DType type,
                     const ThreadPool& pool, bool always_copy) {
  Matrices out;
  out.type = type;
  out.rows = product_of(rows, extents);
  out.columns = product_of(columns, extents);
  std::vector<std::int64_t> strides = strides_of(view);
  auto merge = [&](const std::vector<int>& by) {
    const auto across = merged_stride(columns, by, strides, extents, 1);
    const auto down = merged_stride(rows, by, strides, extents, out.columns);
    if (across) out.column_stride = *across;
    if (down) out.row_stride = *down;
    return across && down;
  };
  if (view.dtype == type && !always_copy && merge(dims)) {
    // Null means something else here; an operand without elements may have no address.
    static const char nothing = 0;
    out.data = view.data ? static_cast<const char*>(view.data) : &nothing;
    out.offsets = offsets_of(batch, dims, strides, extents);
    return out;
  }
  // A transposed operand is copied as it lies: reads stay consecutive, and packing takes either order.
  const bool transposed =
      !columns.empty() && !rows.empty() &&
      std::abs(stride_along(rows.back(), dims, strides)) < std::abs(stride_along(columns.back(), dims, strides));
  const std::vector<int> order = transposed ? joined({&batch, &columns, &rows}) : joined({&batch, &rows, &columns});
  const std::shared_ptr<char> copy = copy_of(view, order, dims, extents, type, pool);
  strides = dense_strides(order, extents);
  PIT_CHECK(merge(order), "a contiguous operand does not merge");
  out.offsets = offsets_of(batch, order, strides, extents);
  out.data = copy.get();
  out.copy = copy;
  return out;
}

Matrices masked(const Matrices& m, const detect::LiveMap& live, double absent, const ThreadPool& pool) {
  const auto count = static_cast<std::int64_t>(m.offsets.size());
  const ElementBits nothing(m.type, absent);
  const std::shared_ptr<char> copy = aligned_bytes(std::max<std::int64_t>(1, count * m.rows * m.columns * m.element()));
  with_size(m.element(), [&](auto size) {
    pool.parallel_for(count * m.rows, [&](std::int64_t t, int) {
      const std::int64_t number = t / m.rows, row = t % m.rows, step = m.column_stride * size;
      const char* from = m.matrix(number) + row * m.row_stride * size;
      char* to = copy.get() + t * m.columns * size;
      for (std::int64_t g = 0; g < live.column_groups(); ++g) {
        const std::int64_t begin = g * live.g_columns, end = std::min(m.columns, begin + live.g_columns);
        const bool is_live = live.test(number * live.row_groups() + row / live.g_rows, g);
        for (std::int64_t c = begin; c < end; ++c)
          move_element<size>(to + c * size, is_live ? from + c * step : nothing.bytes);
      }
    });
  });
  Matrices out;
  out.type = m.type;
  out.data = copy.get();
  out.copy = copy;
  out.rows = m.rows, out.columns = m.columns, out.row_stride = m.columns;
  for (std::int64_t i = 0; i < count; ++i) out.offsets.push_back(i * m.rows * m.columns);
  return out;
}

Result result_of(const TensorView& view, const Form& form, const Extents& extents, DType type, bool stage) {
  Result out;
  out.type = type;
  const std::vector<std::int64_t> strides = strides_of(view);
  const auto across = merged_stride(form.n, form.c, strides, extents, 1);
  if (view.dtype == type && !stage && across == 1) {
    out.data = static_cast<char*>(view.data);
    out.items = offsets_of(form.batch, form.c, strides, extents);
    out.rows = offsets_of(form.m, form.c, strides, extents);
    return out;
  }
  const std::vector<int> order = joined({&form.batch, &form.m, &form.n});
  const std::vector<std::int64_t> dense = dense_strides(order, extents);
  out.staged = aligned_bytes(std::max<std::int64_t>(1, product_of(order, extents) * out.element()));
  out.data = out.staged.get();
  out.items = offsets_of(form.batch, order, dense, extents);
  out.rows = offsets_of(form.m, order, dense, extents);
  return out;
}

void unstage(const Result& result, const TensorView& view, const Form& form, const Extents& extents,
             const ThreadPool& pool) {
  if (!result.staged) return;
  const Rows rows = rows_over(joined({&form.batch, &form.m, &form.n}), form.c, strides_of(view), extents);
  const auto to_size = static_cast<std::int64_t>(size_of(view.dtype));
  const ElementBits zero(result.type, 0);
  with_size(result.element(), [&](auto size) {
    for_rows(pool, rows, [&](std::int64_t r) {
      const char* from = result.staged.get() + r * rows.count * size;
      char* to = static_cast<char*>(view.data) + rows.offsets[static_cast<std::size_t>(r)] * to_size;
      const std::int64_t step = rows.step * to_size, count = rows.count;
      if (view.dtype == result.type)
        for (std::int64_t i = 0; i < count; ++i) move_element<size>(to + i * step, from + i * size);
      else  // booleans, which were summed as 0 and 1
        for (std::int64_t i = 0; i < count; ++i)
          to[i * step] = std::memcmp(from + i * size, zero.bytes, static_cast<std::size_t>(size)) != 0 ? 1 : 0;
    });
  });
}

Problem make_problem(const Form& form, const Extents& extents, const Matrices& a, const Matrices& b, const Result& c) {
  Problem p;
  p.m = a.rows, p.k = a.columns, p.n = b.columns;
  p.a_k = a.column_stride;
  p.a_rows.stride = a.row_stride * a.element();
  p.b_k = b.row_stride, p.b_n = b.column_stride;
  p.c_rows.table = c.rows;
  // Numbers count positions of an operand's own batch axes: as if these were all of a dense tensor's dimensions.
  const std::vector<std::int64_t> a_numbers =
      offsets_of(form.batch, form.a_batch, dense_strides(form.a_batch, extents), extents);
  const std::vector<std::int64_t> b_numbers =
      offsets_of(form.batch, form.b_batch, dense_strides(form.b_batch, extents), extents);
  for (std::size_t i = 0; i < c.items.size(); ++i) {
    Item item;
    item.a_number = a_numbers[i], item.b_number = b_numbers[i], item.c_number = static_cast<std::int64_t>(i);
    item.a = a.matrix(item.a_number);
    if (b.data) item.b = b.matrix(item.b_number);
    item.c = c.data + c.items[i] * c.element();
    p.items.push_back(item);
  }
  return p;
}

}  // namespace pit::contract
