// Fusion: from graph nodes to groups, each of which becomes one step of the plan.
//
// What is decided here, once per model, symbolically (a plan only evaluates Dims afterwards):
//   * views: a pure movement (transpose, slice, split, expand, a provable reshape) costs nothing: its output is the
//     storage of its
//     input under other strides;
//   * storage order: a value whose only user permutes it is stored in the permuted order (SWrite does the
//     transposition), so
//     that what follows is contiguous;
//   * groups: a contraction with the element-wise operators that follow it (its epilogue: bias, activation, residual,
//     mask
//     addition); element-wise and normalising operators that share their rows (one row kernel); softmax between two
//     contractions (attention);
//   * operands: for each distinct access of a group its base and its stride along every axis of the group, as Dims.
//
// Every group carries its merged program, so that lowering, `explain` and tests see expressions, never operator names.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "expr/expr.h"
#include "graph/graph.h"
#include "lower/nest.h"
#include "lower/rows.h"
#include "lower/tile.h"
#include "sparsity/analysis.h"

namespace pit::fuse {

using graph::Dim;
using graph::NodeId;
using graph::ValueId;

/// Whether a list of values, of nodes or of axes has this one.
inline bool contains(const std::vector<int>& list, int x) {
  return std::find(list.begin(), list.end(), x) != list.end();
}

/// An affine index: constant + sum of coefficient * axis.
struct Affine {
  Dim constant;
  std::map<expr::AxisId, Dim> coefficient;
};
/// The affine form of an index expression of a node's or group's program, or nothing (lookups, products of axes).
std::optional<Affine> affine(graph::DimTable& dims, const expr::Expr& e, const std::vector<Dim>& extents,
                             const std::vector<std::variant<Dim, double>>& params);

/// Where a value lives: `root`'s storage from element `offset`, with strides in elements (symbolic).
struct Layout {
  ValueId root = -1;
  Dim offset;
  std::vector<Dim> strides;
};

/// One distinct access of an input or output of a group.
struct Operand {
  lower::Operand access;  ///< tensor and index in the group's program, inner access, dtype
  ValueId value = -1;
  Dim base;  ///< in elements, relative to the root's storage
  /// elements, per axis of the group's program (zero where the access does not move)
  std::vector<Dim> strides;
  /// per dimension of the accessed tensor, for dimensions under a lookup
  std::vector<Dim> lookup_extent, lookup_stride;
  /// nest: where the access is at the origin of the axes, in elements; unset where it is not affine, or has a default
  Dim origin;
};

/// Who writes where, in a group whose first node writes through lookups, S[I[k],p] += U[k,p]: restated over the places
/// that are written, S[t,p] += U[k,p], where each t walks the list of the k with I[k] == t.
struct Readers {
  ValueId index = -1;       ///< I: [k], or [k][depth]
  std::vector<int> places;  ///< the axes t, in the order of the dimensions
  int mid = -1;             ///< the axis k
  ValueId kept = -1;        ///< the group's only result has this value's elements where no k writes; -1: others
};

enum class GroupKind {
  view,         ///< nothing to do
  elements,     ///< writes known Dims into a small integer tensor
  rows,         ///< row kernel
  contraction,  ///< packed matmul with epilogue
  nest,         ///< a loop nest for each statement of one node
  reference     ///< a library routine; of expressions, the few that have no kernel, by the interpreter
};

/// The axes of a contraction by their part in it.
struct ContractionAxes {
  /// Axes of the group's program, in the order of the output: those that choose a B (and perhaps an A), those of A
  /// alone.
  std::vector<int> batch, m;
  int n = -1, k = -1;  ///< n may be -1 (matrix-vector)
};

/// How one statement of a nest group runs.
struct Nest {
  int statement = -1;                 ///< of the group's program
  std::vector<int> outer;             ///< free axes that make its rows, outermost first
  int vector = -1;                    ///< axis of the vectors
  bool scans = false;                 ///< one walk along an axis (lower::Scan)
  std::map<int, std::int64_t> known;  ///< axes that are reduced, short and of known extent
  std::vector<int> operands;          ///< of the group, as in lower::NestSpec; the last is written
};

struct Group {
  GroupKind kind = GroupKind::reference;
  std::string why;            ///< reference: why there is no kernel; for explain
  std::vector<NodeId> nodes;  ///< in topological order
  /// the statements of nodes[0] that run here, where others run elsewhere (parts of a concatenation); -1: all
  int first = 0, last = -1;
  std::vector<ValueId> reads, writes;  ///< values from outside; values that others (or the model's outputs) need
  std::map<ValueId, std::vector<expr::Expr>> index_of;  ///< of `writes`, over the group's axes
  bool control = false;                                 ///< runs before the masks are known, densely

  // The merged program. tensor_value[t] is the value of program tensor t, -1 for temporaries of a node's own program.
  expr::Program program;
  std::vector<Dim> extents;
  std::vector<std::variant<Dim, double>> params;
  std::vector<ValueId> tensor_value;
  std::map<NodeId, std::vector<int>> axis_of;  ///< node -> its axes as axes of the group
  std::map<NodeId, int> first_statement;       ///< node -> its first statement in the merged program
  std::vector<int> absorbing;                  ///< per statement (see sparsity::StatementFacts), program tensor or -1
  /// rows: in lower::collect_operands' order. contraction: A, B, C, then epilogue operands
  std::vector<Operand> operands;
  int inner = -1, mid = -1;        ///< rows
  std::optional<Readers> readers;  ///< rows
  std::vector<int> outer;          ///< rows: in nesting order, outermost first; nest: of a single statement
  /// nest: one per statement. The operands' base is element 0 of the tensor, and value -1 is a temporary.
  std::vector<Nest> nests;
  /// rows: the only result takes the place of this value, which nobody else reads; -1: none
  ValueId onto = -1;
  /// ... and differs from it only where this one is not zero: other rows are not visited. -1: nothing is known
  ValueId added = -1;

  // contraction
  ContractionAxes axes;
  lower::Epilogue epilogue;       ///< empty program: none
  ValueId wants_contiguous = -1;  ///< why an epilogue was refused: this view has strided columns
  bool static_b = false;          ///< B is a constant: packed at compile time
  /// static_b: the batch axes along which B moves. Each of their positions has a matrix of its own (stacked weights of
  /// experts or heads).
  std::vector<int> matrix_axes;

  // Live sets, as masks over the group's axes (reads.h).
  sparsity::MaskId live_rows;  ///< what must be produced, `any` over inner / n (and over mid / k)
  /// contraction: live_rows before `any` over n, where segments of the columns differ (fused QKV); else unset
  sparsity::MaskId live_columns;
  sparsity::MaskId live_k;     ///< contraction: statement's live set (axes: all of the group); rows with mid: likewise
  sparsity::MaskId zero_rows;  ///< demanded but known zero: to be filled with zeros (any over inner)

  /// Whether it computes listed rows, and leaves out others.
  bool has_rows() const {
    return kind == GroupKind::rows || kind == GroupKind::contraction || (kind == GroupKind::nest && nests.size() == 1);
  }
  /// Tensors of values in `writes` are outputs of the program, other written ones temporaries.
  void tensor_roles_from_writes();
  /// contraction: the dimension of A that k indexes.
  int k_position() const;
  bool absorbing_tensor_is(expr::TensorId t) const {
    return std::find(absorbing.begin(), absorbing.end(), t) != absorbing.end();
  }
};

/// A claim of the read contract (verify.h) about one group.
struct Obligation {
  int group = -1;
  ValueId value = -1;         ///< the result concerned
  sparsity::MaskId violated;  ///< must be nothing: over the axes of one of the group's nodes, or of the group
  bool proved = false;        ///< it is, whatever the inputs
  std::string text;           ///< what is claimed
};

struct Fusion {
  std::vector<Layout> layouts;  ///< per value; root -1: the value is never materialised (internal to a group)
  std::vector<Group> groups;    ///< in execution order, control groups first
  std::vector<int> group_of;    ///< per node
  /// Softmax fused with the contractions around it: (scores, softmax, output) groups by index; runtime runs them per
  /// query tile.
  struct Attention {
    int scores, softmax, output;
  };
  std::vector<Attention> attentions;
  /// Of late leaves that are not computed in full: where they are, or are filled with zeros (over their dimensions).
  std::map<ValueId, sparsity::MaskId> defined;
  std::vector<Obligation> obligations;  ///< those that are not proved are looked at in each run
};

/// Decides all of the above. Adds Dims to g.dims and masks to `analysis`.
Fusion fuse(graph::Graph& g, sparsity::Analysis& analysis, const CpuTarget& target);

/// "rows", "contraction", ...
const char* name_of(GroupKind kind);
/// One line per group, for tests and messages.
std::string print(const graph::Graph& g, const Fusion& f);
/// All of one group, for dumps: nodes, merged program, axes with their parts and extents, operands with base and
/// strides (in elements), epilogue, live sets. Several lines, indented by two.
std::string print(const graph::Graph& g, const sparsity::MaskProgram& masks, const Group& group);

}  // namespace pit::fuse
