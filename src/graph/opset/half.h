// Half precision means storage: what a model computes in 16 bits is computed in f32.
//
// An operator on half-precision operands is added as the same operator on their f32 versions, and its results are
// rounded once, by a Cast behind it, for whoever wants 16 bits: outputs of the model, casts to other types, and
// operators that only move data. Operators that compute read each other's f32 results, and the casts between them are
// dead. So no binder, analysis or kernel has to know how a sum of halves is accumulated or where a square overflows,
// and products of halves run on the f32 kernels. Attributes keep f32's precision too (an epsilon of 1e-12 is 0 in f16).
//
// Between operators that compute nothing is rounded. The letter of ONNX would round each result, and 65504 is soon
// exceeded: a normalisation written out as Sub, Pow, ReduceMean, Sqrt, Div squares values beyond 255 to infinity and
// answers 0 or NaN. Exporters write such graphs for machines that accumulate in f32, and ONNX Runtime answers as if in
// f32, for its CPU provider inserts the same casts and removes those that meet. A cast to half precision that stands
// in the model does round.
//
// Movement of what is stored in 16 bits (inputs, tables of embeddings, casts) stays in 16 bits; it is widened where it
// is computed with. Constants that are computed with are widened while the graph is built.
#pragma once

#include "graph/opset/builder.h"

namespace pit::graph {

/// Types that are only stored. Another one (bf16) joins here, in `onnx_code` and in `widened`.
inline bool is_half(DType t) { return t == DType::f16; }

/// Whether this operator has to be added on the f32 versions of its operands.
bool computes_with_halves(const Graph& g, const OpCall& call);

/// Adds it so; `bind` adds the operator that `OpBuilder` holds.
std::vector<ValueId> add_widened(Graph& g, const OpCall& call, std::string_view text,
                                 const std::function<std::vector<ValueId>(OpBuilder&)>& bind);

/// The f32 version of a half-precision value that has one already; -1 if it has none.
ValueId known_wide(const Graph& g, ValueId v);

/// The same elements in f32.
Tensor widened(const Tensor& t);

}  // namespace pit::graph
