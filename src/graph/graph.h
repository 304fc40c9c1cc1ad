// The graph: values and operators, where every operator means a tensor expression over its operands.
//
// Invariants (graph::verify checks them after every pass):
//   * nodes are in topological order; a value has one producer (a node, an input, or a constant) and one immutable
//   type;
//   * every value has a dtype and a *rank*; its dims are symbolic (Dim), constant where the model fixes them;
//   * a node holds an instantiated expression program: rank, broadcasting and attributes are already spelt out in it,
//   its
//     input (output) tensors correspond one by one, in order, to `inputs` (`outputs`), and every axis has its extent as
//     a Dim. No later stage looks at `op` or at attributes except to name the node for people. The exceptions are
//     `opaque` nodes: operators that no tensor expression describes (sorting, data-dependent shapes); `opaque` names
//     the library routine and `opaque_ints` / `opaque_floats` carry its attributes; every analysis treats them as
//     "everything".
//   * values whose elements are known as Dims (shape computations) have `elements`; the nodes that only feed shapes are
//   gone.
//   * broadcasting is explicit in the program: a dimension of extent 1 that is stretched is indexed by the literal 0.
//   Where it is not known
//     at compile time whether an extent is 1 (two different symbols), the program uses the axis and the node is marked
//     in `maybe_broadcast`: (input, dim) pairs where the plan uses stride 0 if the extent turns out to be 1.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "expr/expr.h"
#include "graph/dim.h"
#include "pit/limits.h"
#include "pit/tensor.h"

namespace pit::graph {

using ValueId = int;  ///< position in Graph::values
using NodeId = int;   ///< position in Graph::nodes

struct Value {
  std::string name;  ///< the model's name (unique; made up where the model has none)
  DType dtype = DType::f32;
  std::vector<Dim> dims;      ///< outermost first; the rank is its size
  NodeId producer = -1;       ///< -1: input or constant
  int input = -1;             ///< position in Graph::inputs, or -1
  Tensor constant;            ///< defined() if the value is a constant
  std::vector<Dim> elements;  ///< known elements (rank 0 or 1 integer values of shape computations); see has_elements
  bool has_elements = false;
  bool is_constant() const { return constant.defined(); }
};

struct Node {
  std::string op;    ///< the model's operator, for people: "MatMul"
  std::string name;  ///< the model's name of the node
  std::vector<ValueId>
      inputs;  ///< operands of the program's input tensors, in order (absent optional inputs are not there)
  std::vector<ValueId> outputs;  ///< of its output tensors, in order
  expr::Program program;
  std::vector<Dim> extents;                          ///< per axis of the program
  std::vector<std::variant<Dim, double>> params;     ///< per parameter of the program
  std::vector<std::pair<int, int>> maybe_broadcast;  ///< (index into inputs, dim)
  std::string opaque;                                ///< library routine, for operators without expression
  std::map<std::string, std::vector<std::int64_t>> opaque_ints;
  std::map<std::string, std::vector<double>> opaque_floats;
  bool removed = false;  ///< set by passes; `compact` drops them
};

/// An equality of extents that the model relies on and that could not be proven; a plan must find it true.
struct Check {
  Dim a, b;
  std::string who;  ///< the operator, for the error message
};

struct Graph {
  DimTable dims;
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<ValueId> inputs;
  std::vector<std::string> input_names, output_names;
  std::vector<ValueId> outputs;
  std::vector<Check> checks;
  /// While operators are added: the f32 versions of half-precision values (opset/half.h). Dropped by `compact`.
  struct Wide {
    ValueId value;
    bool computed;  ///< the half-precision value is this one rounded, rather than this one a copy of it
  };
  std::unordered_map<ValueId, Wide> wide;
  std::string name;
  CompileLimits limits;
  std::int64_t folded = 0;  ///< what of `limits.folding` is used
  /// Whether so many more elements may be computed now; they are counted then.
  bool may_fold(std::int64_t elements);
  /// Keeps memory of constants alive (maps of weight files).
  std::vector<std::shared_ptr<void>> storage;

  ValueId add_value(Value v);
  ValueId add_constant(std::string name, Tensor t);
  NodeId add_node(Node n);                    ///< sets the producers of its outputs
  ValueId find(std::string_view name) const;  ///< -1 if absent
  /// Users of every value: (node, position in its inputs).
  std::vector<std::vector<std::pair<NodeId, int>>> users() const;
  std::string describe(NodeId n) const;  ///< "MatMul 'encoder.0.query'" for error messages
};

/// Per tensor of the node's program: the value behind it, or -1 (temporaries).
std::vector<ValueId> tensor_values(const Node& n);

/// First violated invariant in words, or nothing.
std::optional<std::string> verify(const Graph& g);

/// "f32[batch, sequence, 384]", with the elements where they are known: "i64[2] = {batch, 4}".
std::string print_type(const Graph& g, const Value& v);
/// Text form for tests and dumps: inputs, constants, one line per node with its expression, dims and types, outputs, checks.
std::string print(const Graph& g);

// -- Passes, in this order (graph/passes.cpp; the list with its reasons is in the README)
// --------------------------------
void fold_constants(Graph& g);  ///< small constant subgraphs -> constants (interpreter), known elements -> `elements`
void value_number(Graph& g);    ///< equal programs on equal operands become one node
void remove_dead(Graph& g);     ///< nodes that reach no output
void compact(Graph& g);         ///< drops removed nodes and unused values, keeps topological order
void run_passes(Graph& g);      ///< all of them, each followed by verify (InternalError if it fails)

}  // namespace pit::graph
