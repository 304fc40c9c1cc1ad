// Reads and writes through computed indices: ScatterND, ScatterElements, GatherElements.
//
// Updates of one element are folded in the order in which they are given, for any number of threads: a thread owns what
// it writes. All indices are looked at before anything is written.
#include <limits>

#include "graph/numeric.h"
#include "graph/routine.h"
#include "support/buffer.h"

namespace pit::graph {
namespace {

constexpr std::int64_t kPieceBytes = 64 << 10;  // that a task should move at least

struct Half {
  std::uint16_t bits;
};
struct Bool {
  std::uint8_t byte;
};

enum class Reduction : std::uint8_t { none, add, mul, max, min };  // as `reduction` of the node counts them

template <Reduction how, class T>
T combined(T a, T b) {
  if constexpr (how == Reduction::none) {
    return b;
  } else if constexpr (std::is_same_v<T, Half>) {
    return {float_to_half(combined<how>(half_to_float(a.bits), half_to_float(b.bits)))};
  } else if constexpr (std::is_same_v<T, Bool>) {  // a sum is true where a term is, a product where all factors are
    const bool x = a.byte != 0, y = b.byte != 0;
    return {static_cast<std::uint8_t>(how == Reduction::add || how == Reduction::max ? x || y : x && y)};
  } else if constexpr (how == Reduction::add || how == Reduction::mul) {
    // Integers wrap around in two's complement, without promotion to a signed int that could overflow.
    using U = std::conditional_t<std::is_integral_v<T>, std::uint64_t, T>;
    const U x = static_cast<U>(a), y = static_cast<U>(b);
    return static_cast<T>(how == Reduction::add ? x + y : x * y);
  } else {  // NaN goes through maximum and minimum, as it does through sums
    if (a != a || b != b) return a + b;
    return how == Reduction::max ? std::max(a, b) : std::min(a, b);
  }
}

// f<T, how>() for the elements' type and the node's reduction.
template <class T, class F>
void with_reduction(Reduction how, F&& f) {
  switch (how) {
    case Reduction::none: return f.template operator()<T, Reduction::none>();
    case Reduction::add: return f.template operator()<T, Reduction::add>();
    case Reduction::mul: return f.template operator()<T, Reduction::mul>();
    case Reduction::max: return f.template operator()<T, Reduction::max>();
    case Reduction::min: return f.template operator()<T, Reduction::min>();
  }
}
template <class F>
void with_types(const Call& c, F&& f) {
  const auto how = static_cast<Reduction>(c.number("reduction"));
  switch (c.in[0].dtype()) {
    case DType::f32: return with_reduction<float>(how, f);
    case DType::f64: return with_reduction<double>(how, f);
    case DType::f16: return with_reduction<Half>(how, f);
    case DType::i64: return with_reduction<std::int64_t>(how, f);
    case DType::i32: return with_reduction<std::int32_t>(how, f);
    case DType::i8: return with_reduction<std::int8_t>(how, f);
    case DType::u8: return with_reduction<std::uint8_t>(how, f);
    case DType::b8: return with_reduction<Bool>(how, f);
  }
}

// An operand of indices, i32 or i64.
class Indices {
 public:
  explicit Indices(const Tensor& t) : data_(t.data()), wide_(t.dtype() == DType::i64) {
    PIT_CHECK(wide_ || t.dtype() == DType::i32, "indices of type {}", name_of(t.dtype()));
  }
  std::int64_t operator[](std::int64_t i) const {
    return wide_ ? static_cast<const std::int64_t*>(data_)[i] : static_cast<const std::int32_t*>(data_)[i];
  }
  /// Counted from the front.
  std::int64_t position(std::int64_t i, std::int64_t extent) const {
    const std::int64_t v = (*this)[i];
    return v < 0 ? v + extent : v;
  }

 private:
  const void* data_;
  bool wide_;
};

// InputError if an index is out of range; `extent_of(i)` is that of the dimension that index i is for.
template <class ExtentOf>
void check_indices(const Call& c, const ExtentOf& extent_of) {
  const Indices index(c.in[1]);
  in_pieces(c.pool, c.in[1].size(), 1 << 14, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = extent_of(i);
      if (index[i] < -n || index[i] >= n) c.fail(fmt::format("index {} is out of range for extent {}", index[i], n));
    }
  });
}

void copy_data(const Call& c, const Tensor& x, Tensor& y) {
  in_pieces(c.pool, x.size(), kPieceBytes,
            [&](std::int64_t begin, std::int64_t end, int) { copy(y, begin, x, begin, end - begin); });
}

// The updates in order of tasks: those for the rows of one task together, each task's in the order given.
struct Assignment {
  std::int64_t rows_per_task, tasks;
  std::vector<std::int64_t> begin;  // tasks + 1
  Buffer<std::int64_t> update;
};

Assignment assign(const Buffer<std::int64_t>& row_of, std::int64_t rows, std::int64_t row_bytes, int threads) {
  Assignment a;
  const std::int64_t least = std::max<std::int64_t>(1, 4 * kPieceBytes / std::max<std::int64_t>(row_bytes, 1));
  a.rows_per_task = threads == 1 ? rows : std::max(least, (rows + 4095) / 4096);
  a.tasks = (rows + a.rows_per_task - 1) / a.rows_per_task;
  a.begin.assign(static_cast<std::size_t>(a.tasks) + 1, 0);
  a.update.resize(row_of.size());
  for (const std::int64_t row : row_of) ++a.begin[static_cast<std::size_t>(row / a.rows_per_task) + 1];
  std::partial_sum(a.begin.begin(), a.begin.end(), a.begin.begin());
  std::vector<std::int64_t> next(a.begin.begin(), a.begin.end() - 1);
  for (std::size_t u = 0; u < row_of.size(); ++u)
    a.update[static_cast<std::size_t>(next[static_cast<std::size_t>(row_of[u] / a.rows_per_task)]++)] =
        static_cast<std::int64_t>(u);
  return a;
}

}  // namespace

// Data of [rows][block]: update u is a block for row row_of[u]. A task copies its rows and folds in their updates while
// they are in the cache.
std::vector<Tensor> scatter_nd(const Call& c) {
  const Tensor &x = c.in[0], &u = c.in[2];
  const Shape& shape = x.shape();
  const auto depth = static_cast<std::size_t>(c.in[1].shape().back());
  if (depth > shape.size()) c.fail(fmt::format("indices of depth {} do not fit rank {}", depth, shape.size()));
  const std::int64_t updates = product(c.in[1].shape(), 0, c.in[1].shape().size() - 1), rows = product(shape, 0, depth),
                     block = product(shape, depth, shape.size());
  if (u.size() != updates * block) c.fail(fmt::format("{} updates for {} elements", u.size(), updates * block));
  Tensor y = c.result(0, shape);
  if (updates == 0 || x.size() == 0) {
    check_indices(c, [&](std::int64_t i) { return shape[static_cast<std::size_t>(i) % depth]; });
    copy_data(c, x, y);
    return {y};
  }
  check_indices(c, [&](std::int64_t i) { return shape[static_cast<std::size_t>(i) % depth]; });
  const Indices index(c.in[1]);
  Buffer<std::int64_t> row_of(static_cast<std::size_t>(updates));
  in_pieces(c.pool, updates, 1 << 14, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      std::int64_t row = 0;
      for (std::size_t d = 0; d < depth; ++d)
        row = row * shape[d] +
              index.position(r * static_cast<std::int64_t>(depth) + static_cast<std::int64_t>(d), shape[d]);
      row_of[static_cast<std::size_t>(r)] = row;
    }
  });
  const Assignment a = assign(row_of, rows, block * static_cast<std::int64_t>(size_of(x.dtype())), c.pool.size());
  with_types(c, [&]<class T, Reduction how>() {
    c.pool.parallel_for(a.tasks, [&](std::int64_t task, int) {
      const std::int64_t first = task * a.rows_per_task, last = std::min(rows, first + a.rows_per_task);
      copy(y, first * block, x, first * block, (last - first) * block);
      const std::int64_t end = a.begin[static_cast<std::size_t>(task) + 1];
      for (std::int64_t i = a.begin[static_cast<std::size_t>(task)]; i < end; ++i) {
        constexpr std::int64_t kAhead = 8;  // updates come in any order: no hardware foresees them
        if (i + kAhead < end) {
          const T* const next = u.as<T>() + a.update[static_cast<std::size_t>(i + kAhead)] * block;
          for (std::int64_t p = 0; p < std::min<std::int64_t>(block, 512 / sizeof(T)); p += 64 / sizeof(T))
            __builtin_prefetch(next + p);
        }
        const std::int64_t update = a.update[static_cast<std::size_t>(i)];
        T* const to = y.as<T>() + row_of[static_cast<std::size_t>(update)] * block;
        const T* const from = u.as<T>() + update * block;
        for (std::int64_t p = 0; p < block; ++p) to[p] = combined<how>(to[p], from[p]);
      }
    });
  });
  return {y};
}

namespace {

// Around the axis of ScatterElements and GatherElements: the indices are [outer][size][inner], and what the positions
// of `outer` and `inner` are in the data, which may be longer there.
class Columns {
 public:
  explicit Columns(const Call& c)
      : axis_(static_cast<std::size_t>(c.number("axis"))), index_(c.in[1].shape(), c.number("axis")) {
    const Shape &data = c.in[0].shape(), &shape = c.in[1].shape();
    for (std::size_t d = 0; d < data.size(); ++d)
      if (d != axis_ && shape[d] > data[d])
        c.fail(fmt::format("the indices are {}, which is longer in dimension {} than the data, {}", to_string(shape), d,
                           to_string(data)));
    const std::vector<std::int64_t> stride = row_major(data);
    step = stride[axis_];
    extent = data[axis_];
    outer = offsets(shape, stride, 0, axis_, index_.outer);
    inner = offsets(shape, stride, axis_ + 1, data.size(), index_.inner);
    size = index_.size;
    check_indices(c, [&](std::int64_t) { return extent; });
  }
  std::int64_t extent, step, size;         ///< of the data along the axis; of the indices
  std::vector<std::int64_t> outer, inner;  ///< offsets in the data

 private:
  static std::vector<std::int64_t> offsets(const Shape& shape, const std::vector<std::int64_t>& stride,
                                           std::size_t first, std::size_t last, std::int64_t count) {
    std::vector<std::int64_t> r(static_cast<std::size_t>(count), 0);
    std::int64_t repeat = 1;
    for (std::size_t d = last; d-- > first; repeat *= shape[d])
      for (std::int64_t i = 0; i < count; ++i) r[static_cast<std::size_t>(i)] += i / repeat % shape[d] * stride[d];
    return r;
  }

  std::size_t axis_;
  Around index_;
};

}  // namespace

// Every position beside the axis is a column of its own: threads share them out.
std::vector<Tensor> scatter_elements(const Call& c) {
  const Tensor &x = c.in[0], &u = c.in[2];
  if (u.shape() != c.in[1].shape()) c.fail("indices and updates have different shapes");
  const Columns columns(c);
  const Indices index(c.in[1]);
  Tensor y = c.result(0, x.shape());
  copy_data(c, x, y);
  if (u.size() == 0) return {y};
  const auto outer = static_cast<std::int64_t>(columns.outer.size()),
             inner = static_cast<std::int64_t>(columns.inner.size());
  with_types(c, [&]<class T, Reduction how>() {
    const auto scatter = [&](std::int64_t o, std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = 0; k < columns.size; ++k) {
        const std::int64_t from = (o * columns.size + k) * inner;
        T* const to = y.as<T>() + columns.outer[static_cast<std::size_t>(o)];
        for (std::int64_t i = begin; i < end; ++i) {
          T& e =
              to[index.position(from + i, columns.extent) * columns.step + columns.inner[static_cast<std::size_t>(i)]];
          e = combined<how>(e, u.as<T>()[from + i]);
        }
      }
    };
    const std::int64_t least = kPieceBytes / static_cast<std::int64_t>(sizeof(T)) / (columns.size * inner) + 1;
    if (outer >= 2L * c.pool.size() || inner == 1) {
      in_pieces(c.pool, outer, least, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t o = begin; o < end; ++o) scatter(o, 0, inner);
      });
    } else {  // pieces of whole cache lines
      in_pieces(c.pool, (inner + 63) / 64, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t o = 0; o < outer; ++o) scatter(o, begin * 64, std::min(end * 64, inner));
      });
    }
  });
  return {y};
}

std::vector<Tensor> gather_elements(const Call& c) {
  const Tensor& x = c.in[0];
  const Columns columns(c);
  const Indices index(c.in[1]);
  Tensor y = c.result(0, c.in[1].shape());
  if (y.size() == 0) return {y};
  const auto inner = static_cast<std::int64_t>(columns.inner.size());
  const auto gather = [&]<class T>(T) {
    in_pieces(c.pool, y.size() / inner, kPieceBytes / static_cast<std::int64_t>(sizeof(T)) / inner + 1,
              [&](std::int64_t begin, std::int64_t end, int) {
                for (std::int64_t r = begin; r < end; ++r) {
                  const T* const from = x.as<T>() + columns.outer[static_cast<std::size_t>(r / columns.size)];
                  for (std::int64_t i = 0; i < inner; ++i)
                    y.as<T>()[r * inner + i] = from[index.position(r * inner + i, columns.extent) * columns.step +
                                                    columns.inner[static_cast<std::size_t>(i)]];
                }
              });
  };
  switch (size_of(x.dtype())) {
    case 1: gather(std::uint8_t{}); break;
    case 2: gather(std::uint16_t{}); break;
    case 4: gather(std::uint32_t{}); break;
    default: gather(std::uint64_t{}); break;
  }
  return {y};
}

}  // namespace pit::graph
