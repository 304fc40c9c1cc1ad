// The whole-model oracle: every node by expr::interpret (or its opaque routine), one after the other, no fusion, no
// sparsity.
#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"
#include "support/threads.h"

namespace pit::graph {

/// Symbol values from the shapes of the inputs (in the order of Graph::inputs; -1 where not bound by an input). Throws
/// InputError for a wrong rank or dtype, or extents that contradict each other.
std::vector<std::int64_t> bind_symbols(const Graph& g, std::span<const Tensor> inputs);
/// InputError if extents that must be equal are not, as far as they are known (`dims`: DimTable::evaluate).
void check_extents(const Graph& g, const std::vector<std::int64_t>& dims);

/// Values of all outputs. Throws InputError when the inputs do not fit.
std::vector<Tensor> run_reference(const Graph& g, std::span<const Tensor> inputs);
/// Values of everything (undefined Tensors for values of removed nodes): for tests that look inside.
std::vector<Tensor> run_reference_values(const Graph& g, std::span<const Tensor> inputs);

/// One node on concrete operands. `dims`: DimTable::evaluate for the current symbols. `pool` and `targets` serve the
/// library routines (see run_opaque).
std::vector<Tensor> run_node(const Graph& g, const Node& n, std::span<const Tensor> inputs,
                             const std::vector<std::int64_t>& dims, const ThreadPool& pool = ThreadPool(1),
                             std::span<const Tensor> targets = {});

/// A value with known elements as a tensor.
Tensor materialise(const Graph& g, const Value& v, const std::vector<std::int64_t>& dims);

}  // namespace pit::graph
