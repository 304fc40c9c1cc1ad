// Library routines for operators that no tensor expression describes (sorting, data-dependent shapes, colliding
// writes): loops over contiguous tensors. The executor calls them by the name in Node::opaque; so does the
// reference.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "support/threads.h"

namespace pit::graph {

/// Runs the node's routine. `output_shapes` are those that the plan knows; an extent of -1 is found by the routine
/// (data-dependent). Throws InputError, naming the operator, when the data do not fit (an index out of range). A result
/// lies in the memory of its target, where there is one of its shape that the routine makes use of.
std::vector<Tensor> run_opaque(const Node& n, std::span<const Tensor> inputs, std::span<const Shape> output_shapes,
                               std::span<const DType> output_dtypes, const ThreadPool& pool = ThreadPool(1),
                               std::span<const Tensor> targets = {});

/// Names of all routines.
std::vector<std::string> opaque_routines();

/// Number of elements of a Range. Throws InputError where it is none or more than any machine can hold.
std::int64_t range_count(const Node& n, std::span<const Tensor> inputs, DType dtype);

}  // namespace pit::graph
