// Extents and shapes that follow from a program: the part of the interpreter that needs no data.
#pragma once

#include <map>
#include <vector>

#include "expr/expr.h"

namespace pit::expr {

struct Shapes {
  std::vector<std::int64_t> extents;  ///< per axis; 0 for axes that occur nowhere
  std::vector<Shape> tensors;         ///< per tensor, complete
};

/// `known[t]`: whether tensor_shapes[t] is given; the others follow from the statements that write them.
Shapes infer_shapes(const Program& p, const std::vector<Shape>& tensor_shapes, const std::vector<bool>& known,
                    const std::map<AxisId, std::int64_t>& extents, const std::vector<double>& params);

}  // namespace pit::expr
