// How a statement's index list carries masks between the dimensions of a tensor and the axes of the program.
//
// Each dimension's index is classified once (a bare axis, a fixed place, an affine function of one axis, a merge, a
// lookup in a known value); anything else is `unknown`: then the dimension is widened, up or down as the fact demands.
#pragma once

#include <vector>

#include "expr/expr.h"
#include "graph/graph.h"
#include "sparsity/mask.h"

namespace pit::sparsity {

struct DimIndex {
  enum class Kind : std::uint8_t { axis, point, affine, merge, lookup, unknown };
  Kind kind = Kind::unknown;
  std::vector<expr::AxisId> axes;  ///< axis, affine: one; merge: its axes; unknown: all that occur
  Position start;                  ///< point, affine
  std::int64_t step = 1;           ///< affine
  Lookup lookup;                   ///< over the program's axes
  bool maybe_broadcast = false;    ///< the dimension may turn out to be 1: then it is not indexed
};

struct IndexMap {
  std::vector<DimIndex> dims;
  std::vector<Dim> tensor;   ///< extents of the tensor
  std::vector<Dim> program;  ///< extents of the program's axes
  bool exact = true;         ///< no unknown dimension, no default, no axis twice
};

/// Resolves what a lookup reads: (known value, fixed) of a node's input tensor. Returns false if it is not known.
struct IndexContext {
  const graph::Graph* graph = nullptr;
  const graph::Node* node = nullptr;
  std::vector<ValueId> tensor_values;  ///< per tensor of the program: the value, or -1 (temporaries)
  /// per value: its elements are known before the masks (control or constant)
  const std::vector<char>* known = nullptr;
};

IndexMap index_map(const IndexContext& c, expr::TensorId tensor, const std::vector<expr::Expr>& indices,
                   bool has_default, std::vector<Dim> tensor_dims);

/// A mask over the tensor's dimensions, read through the map: over the program's axes. `upper`: where it is not exact,
/// too much is right (may be non-zero, demand); otherwise too little is (surely ...).
MaskId read_through(MaskProgram& p, const IndexMap& map, MaskId m, bool upper);

/// A mask over the program's axes, written through the map: over the tensor's dimensions, "or" over all axes that are
/// not in the map.
MaskId write_through(MaskProgram& p, const IndexMap& map, MaskId m, bool upper);

/// An integer of the program as a Position, if it is one (params, extents and literals; no axes).
std::optional<Position> as_position(const IndexContext& c, const expr::Expr& e);

}  // namespace pit::sparsity
