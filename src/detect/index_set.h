// Index sets: which micro-tiles are live, in the form that indexed loops walk.
//
// An IndexSet is a compressed list per outer position: for outer o the live positions are index[offset[o] ..
// offset[o+1]), ascending. It comes out of one pass over a mask or over values; it is shared by all operators with the
// same live set.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sparsity/mask.h"
#include "support/buffer.h"

namespace pit::detect {

struct IndexSet {
  std::int64_t outer = 1;            ///< number of lists
  std::int64_t extent = 0;           ///< positions are in 0..extent
  std::vector<std::int64_t> offset;  ///< outer + 1
  Buffer<std::int32_t> index;        ///< ascending within a list; padded with 16 readable entries behind the end
  bool all = false;                  ///< every list is 0..extent
  std::int64_t count() const { return offset.empty() ? 0 : offset.back(); }
};
using IndexSetPtr = std::shared_ptr<const IndexSet>;

/// One byte per element (0 = dead), `outer` rows of `extent`.
IndexSet from_bytes(const std::uint8_t* mask, std::int64_t outer, std::int64_t extent);

/// 0..extent for every outer position.
IndexSet everything(std::int64_t outer, std::int64_t extent);

/// The lists of the merged axes `list_axes` (adjacent, row-major) of a mask, one list per position of the axes
/// `outer_axes` (uniform axes in `outer_axes` are expanded); true where any position of all other axes is. Axis numbers
/// ascend.
IndexSet project(const sparsity::MaskArray& m, const std::vector<int>& outer_axes, const std::vector<int>& list_axes);

/// For each outer position and each group of `tile` consecutive entries of `rows`' list: the union of the live
/// positions of `cols_of(row)`: the key lists of query tiles. `m` is over (outer..., row, col), outer and row may be
/// uniform. Result.outer = total number of tiles, in order of (outer, tile); `first_tile[o]` is the first tile of outer
/// position o.
IndexSet tile_columns(const sparsity::MaskArray& m, const std::vector<int>& outer_axes, int row_axis, int col_axis,
                      const IndexSet& rows, int tile, std::vector<std::int64_t>* first_tile);

}  // namespace pit::detect
