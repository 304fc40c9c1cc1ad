// Runs the analysis on a graph for concrete inputs: control values by the reference, then the masks.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "sparsity/analysis.h"

namespace pit::sparsity::test {

/// A graph's analysis with masks evaluated for one set of inputs.
struct Evaluated {
  std::vector<std::int64_t> dims;
  std::vector<Tensor> control;  ///< per value: defined where it was computed
  std::vector<MaskPtr> masks;
};

/// Computes the control values that `roots` read (and nothing else) and evaluates `roots`.
Evaluated evaluate(const graph::Graph& g, const Analysis& a, const std::vector<MaskId>& roots,
                   const std::vector<Tensor>& inputs);

/// Inputs of a text model: right- or left-padded sequences of the given lengths; zeros for inputs that are neither ids
/// nor masks.
std::vector<Tensor> text_inputs(const graph::Graph& g, const std::vector<std::int64_t>& lengths, std::int64_t sequence,
                                bool left);

/// Index of the model input whose name contains "mask", or -1.
graph::ValueId mask_input(const graph::Graph& g);

}  // namespace pit::sparsity::test
