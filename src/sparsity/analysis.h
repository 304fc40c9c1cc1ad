// Support (forward) and demand (backward): which elements of which values must be computed, for a whole graph.
//
// Both are derived from the *expressions*, node of the expression by node, not from operator names (the transfer
// functions and the traps: shared notes condensed in README.md):
//   * support: a product is zero where a factor is, a sum where all terms are, f(x) where x is if f(0)=0, a reduction
//     where
//     all its terms are absent; index maps (bare axes, windows, merges/splits, lookups with a known index) carry masks
//     along;
//   * before a softmax also: `dead` (surely masked), `sure` (surely not masked), surely -inf, surely NaN;
//   * demand: the elements that anybody reads, intersected with the support of what reads them; minus what an absorbing
//     partner swallows (score + -3.4e38).
// Known values: `control` values depend only on integer/boolean/small inputs, shapes and small constants, cheaply (a
// cost bound keeps embeddings and tables out). They are computed densely before anything else, and the mask program
// reads them.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "graph/finders.h"
#include "graph/graph.h"
#include "sparsity/mask.h"

namespace pit::sparsity {

/// One demanded output. `mask`: a control value (e.g. the model input attention_mask) over the output's leading axes,
/// or -1: in full.
struct OutputDemand {
  ValueId value = -1;
  ValueId mask = -1;
};

struct ValueMasks {
  MaskId nonzero;   ///< may be non-zero
  MaskId demand;    ///< somebody reads it
  MaskId numbers;   ///< what must hold a finite number, if not the dense value; unset before fusion
  MaskId computed;  ///< demand and nonzero: what kernels must produce; demand and not nonzero must hold zeros
};

/// What is known about one statement of a node.
struct StatementFacts {
  /// over the program's axes, in order: terms to be computed = computed(out) at the left index, and the value non-zero
  MaskId live;
  /// The value is an addition in which this operand (position in the program's tensors) absorbs: where it is <= -1e30
  /// the result is the operand itself, and the other side may be undefined. -1: none. Lowering emits a select.
  int absorbing = -1;
};

struct NodeFacts {
  std::vector<StatementFacts> statements;
  bool is_softmax = false;         ///< m max= X; e = exp(X-m); z += e; Y = e/z, recognised by structure
  std::vector<std::string> notes;  ///< for explain: "rows from attention_mask", "widened: data-dependent index"
};

class Forward;

struct Analysis {
  explicit Analysis(const graph::Graph& g) : masks(&g) {}
  MaskProgram masks;
  /// what is known of every value (forward.h); whoever builds a program lets go of it when all is decided
  std::shared_ptr<Forward> forward;
  std::vector<std::vector<ValueId>> extent_inputs;  ///< per NodeId (graph/finders.h)
  std::vector<char> finds;       ///< per NodeId: extents of its results are found by it, so it always runs
  std::vector<MaskId> required;  ///< per ValueId: what the caller wants of it (outputs)
  /// per ValueId; of an ideal reader, until fusion puts the schedule's demand here (fuse/reads.h)
  std::vector<ValueMasks> values;
  std::vector<NodeFacts> nodes;  ///< per NodeId
  std::vector<char> control;     ///< per ValueId: a control value (computed in full, before the masks)
  std::vector<char> late;        ///< per ValueId: masks look at it as well, but only once its step has run (late.h)
  bool has_late() const { return std::find(late.begin(), late.end(), 1) != late.end(); }
  /// per ValueId, of late leaves: where they can matter to an output, for all that is known without such. There they are
  /// computed: elsewhere masks may find anything.
  std::vector<MaskId> relied;
  std::vector<char> weight;        ///< per ValueId: whether the elements, if it is a constant, were never looked at
  std::vector<std::string> notes;  ///< about the whole model: what a declaration would save, known limits met
};

struct AnalysisOptions {
  bool enabled = true;  ///< false: every mask is `everything` for what reaches an output (sparsity="off")
};

/// Makes these values control values, computed in full. Returns whether one of them was not.
bool compute_in_full(const graph::Graph& g, Analysis& a, const std::vector<ValueId>& values);

/// Analyses the graph for the given outputs. Throws InputError if a mask does not fit its output (naming both).
Analysis analyze(const graph::Graph& g, const std::vector<OutputDemand>& outputs, const AnalysisOptions& options = {});

/// Text form for dumps: what is known of each value and statement (`nonzero`, `demand`, ... as in ValueMasks), by the
/// names of masks, whose formulas follow.
std::string print(const graph::Graph& g, const Analysis& a);

}  // namespace pit::sparsity
