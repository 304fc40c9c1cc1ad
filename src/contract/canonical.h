// From a classified statement and strided operands to matrices: what the engine's Problem is made of.
//
// The axes of a class act as one. Where the strides of an operand let them (extents of 1 aside), nothing is copied;
// otherwise, and for booleans, which tiles take for numbers, a contiguous copy of the operand takes its place. The
// result needs no copy for its rows, which go through a table; only columns that are not consecutive do.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "contract/engine.h"
#include "expr/expr.h"
#include "pit/tensor.h"
#include "rules/contraction.h"
#include "support/threads.h"

namespace pit::contract {

/// A statement as numbers: which axis stands in each dimension, and the parts that axes have. "First" and "second" are
/// those of the recogniser, after its swap.
struct Form {
  Form() = default;
  Form(const expr::Program& p, const expr::Statement& s, const rules::Contraction& c);

  std::vector<int> a, b, c;  ///< axis of each dimension
  std::vector<int> batch, m, n, k;
  std::vector<int> a_batch, b_batch;  ///< of `batch`, in its order: the axes that choose a matrix of A, of B
  int axis_count = 0;
};

/// Extents of all axes, by number.
using Extents = std::vector<std::int64_t>;
std::int64_t product_of(const std::vector<int>& axes, const Extents& extents);
/// Offsets in elements of all positions of `axes` (row-major), of a tensor whose dimensions have these axes and
/// strides.
std::vector<std::int64_t> offsets_of(const std::vector<int>& axes, const std::vector<int>& dims,
                                     const std::vector<std::int64_t>& strides, const Extents& extents);
/// The view's strides, also where it leaves them out.
std::vector<std::int64_t> strides_of(const TensorView& view);

/// An operand as a batch of matrices of `type`: number i begins offsets[i] elements behind `data`.
struct Matrices {
  const char* data = nullptr;
  DType type = DType::f32;
  std::vector<std::int64_t> offsets;
  std::int64_t rows = 0, columns = 0, row_stride = 0, column_stride = 1;
  std::shared_ptr<const char> copy;  ///< keeps `data` where it is a copy
  std::int64_t element() const { return static_cast<std::int64_t>(size_of(type)); }  ///< bytes
  const char* matrix(std::int64_t number) const { return data + offsets[static_cast<std::size_t>(number)] * element(); }
  detect::Values values() const;
};

/// The matrices of an operand whose dimensions have the axes `dims`: `rows` x `columns` per position of `batch`.
/// Booleans become 0 and 1 of `type`; other views are of that type. `always_copy`: even where strides would do, for what outlives the view.
Matrices matrices_of(const TensorView& view, const std::vector<int>& dims, const std::vector<int>& batch,
                     const std::vector<int>& rows, const std::vector<int>& columns, const Extents& extents, DType type,
                     const ThreadPool& pool, bool always_copy = false);

/// A contiguous copy that has `absent` where the map has nothing live; what is there is not read. For rules that walk
/// more than the live set.
Matrices masked(const Matrices& m, const detect::LiveMap& live, double absent, const ThreadPool& pool);

/// The result, of `type`, with columns that are consecutive; `staged` stands for the view where its own are not, or where it
/// is boolean.
struct Result {
  char* data = nullptr;
  DType type = DType::f32;
  std::vector<std::int64_t> items, rows;  ///< offsets of matrices, and of rows in them
  std::shared_ptr<char> staged;
  std::int64_t element() const { return static_cast<std::int64_t>(size_of(type)); }  ///< bytes
};
/// `stage`: do not write to the view before `unstage` (it may overlap the operands).
Result result_of(const TensorView& view, const Form& form, const Extents& extents, DType type, bool stage);
/// Writes staged elements to the view.
void unstage(const Result& result, const TensorView& view, const Form& form, const Extents& extents,
             const ThreadPool& pool);

/// `b` without data stands for matrices that were packed before.
Problem make_problem(const Form& form, const Extents& extents, const Matrices& a, const Matrices& b, const Result& c);

/// The share of all m*n*k multiply-adds whose element of A, of B and of C are in live micro-tiles. Exact, but where all
/// three are known: there C's share is taken as independent of the others'.
double live_share(const Problem& p, const Live& live);

}  // namespace pit::contract
