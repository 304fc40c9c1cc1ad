// What a binder works with: one operator being added to the graph (OpBuilder), and one node being instantiated from a
// template (Instance). Binders live in the other files of this folder, one file per family of operators.
#pragma once

#include <fmt/format.h>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/opset.h"
#include "pit/error.h"

namespace pit::graph {

/// A small integer (or bool) tensor whose elements are known as Dims; row-major, static shape.
struct Known {
  Shape shape;
  std::vector<Dim> e;
};

class OpBuilder {
 public:
  OpBuilder(Graph& graph, const OpCall& op_call, std::string_view template_text)
      : g(graph), call(op_call), text(template_text) {}

  Graph& g;
  const OpCall& call;
  const std::string_view text;  ///< the operator's template
  /// Operands that are f32 versions of half-precision ones (half.h): (operand here, operand of the model).
  std::vector<std::pair<ValueId, ValueId>> halves;

  // -- operands
  int input_count() const { return static_cast<int>(call.inputs.size()); }
  bool has(int i) const { return i < input_count() && call.inputs[static_cast<std::size_t>(i)] >= 0; }
  ValueId in(int i) const;  ///< ModelError when absent
  ValueId optional_in(int i) const { return has(i) ? in(i) : -1; }
  const Value& value(ValueId v) const { return g.values[static_cast<std::size_t>(v)]; }
  std::vector<Dim> dims(ValueId v) const { return value(v).dims; }  ///< a copy: values move when one is added
  int rank(ValueId v) const { return static_cast<int>(value(v).dims.size()); }
  DType dtype(ValueId v) const { return value(v).dtype; }
  ValueId declared(ValueId v) const;  ///< the model's operand for one in here
  DType declared_type(ValueId v) const { return dtype(declared(v)); }
  const std::string& name_of(ValueId v) const { return value(declared(v)).name; }
  /// The first operand that nobody has asked for since the last `forget_reads`; -1 if there is none.
  int unread_input() const;
  void forget_reads() { read_.clear(); }
  int output_count() const { return static_cast<int>(call.output_names.size()); }
  bool wants(int i) const { return i < output_count() && !call.output_names[static_cast<std::size_t>(i)].empty(); }

  // -- attributes
  bool has_attr(const char* name) const { return call.attributes.count(name) != 0; }
  std::int64_t int_attr(const char* name, std::int64_t otherwise) const;
  double float_attr(const char* name, double otherwise) const;
  std::string string_attr(const char* name, const std::string& otherwise) const;
  std::vector<std::int64_t> ints_attr(const char* name, const std::vector<std::int64_t>& otherwise = {}) const;
  int normal_axis(std::int64_t axis, int rank, const char* what = "axis") const;  ///< counts from the end; ModelError
  /// Axes from an attribute (older opsets) or a constant input; empty if neither is there. Normalised for `rank`,
  /// ascending.
  std::vector<int> axes(const char* name, int input, int rank) const;

  // -- what is known at compile time
  std::optional<Known> known(ValueId v) const;                          ///< integers and bools of up to 4096 elements
  std::optional<std::vector<std::int64_t>> constants(ValueId v) const;  ///< the same where all are constant
  std::vector<std::int64_t> need_constants(int input, const char* what) const;  ///< UnsupportedError otherwise
  std::optional<double> scalar(ValueId v) const;       ///< value of a constant with one element
  std::optional<expr::Expr> literal(ValueId v) const;  ///< the same as an expression

  // -- dims
  DimTable& table() const { return g.dims; }
  Dim dim(std::int64_t v) const { return g.dims.constant(v); }
  std::vector<Dim> broadcast(const std::vector<std::vector<Dim>>& shapes) const;
  Dim product(std::span<const Dim> dims) const;
  /// The operator relies on a == b (position < extent): proven, or a check for the plan, or ModelError.
  void require_equal(Dim a, Dim b, ValueId about = -1) const;
  void require_below(Dim position, Dim extent, ValueId about) const;

  // -- results
  std::string output_name(int position) const;  ///< the model's, or made up
  std::string fresh_name(const std::string& hint) const;
  ValueId add_known(Known k, DType dtype, int position);
  ValueId add_tensor(Tensor t, int position);
  /// Another operator in terms of which this one is defined. Its first output.
  ValueId sub(const std::string& op, std::vector<ValueId> inputs, Attributes attributes = {}, int opset = -1);
  std::vector<ValueId> sub_n(const std::string& op, std::vector<ValueId> inputs, int outputs,
                             Attributes attributes = {}, int opset = -1);
  ValueId float_constant(double v, DType dtype);
  ValueId int_constant(std::vector<std::int64_t> v, bool scalar = false);
  /// A node that only the library's routine `routine` describes.
  std::vector<ValueId> opaque(const std::string& routine, std::vector<ValueId> inputs,
                              std::vector<std::pair<DType, std::vector<Dim>>> outputs,
                              std::map<std::string, std::vector<std::int64_t>> ints = {},
                              std::map<std::string, std::vector<double>> floats = {});

  /// fold() for a node of this operator: data that do not fit it are the model's mistake.
  std::optional<std::vector<Tensor>> try_fold(const Node& n, std::span<const DType> dtypes,
                                              std::span<const std::vector<Dim>> shapes) const;

  // -- errors
  std::string who() const;                                                              ///< "MatMul 'encoder.0.query'"
  [[noreturn]] void fail(const std::string& message, ValueId about = -1) const;         ///< ModelError
  [[noreturn]] void unsupported(const std::string& message, ValueId about = -1) const;  ///< UnsupportedError

 private:
  mutable std::vector<bool> read_;  ///< operands that `in` was asked for
};

/// TensorProto.DataType -> DType, where we have it; and the name that ONNX gives it.
std::optional<DType> dtype_of_onnx(std::int64_t code);
std::string onnx_type_name(std::int64_t code);

/// "i0,i1,i2"
std::string axis_list(const std::string& prefix, int count, int first = 0);
/// Indices of an operand that is broadcast to `out`: axes aligned right, 0 where stretched; `maybe` gets its dims for
/// which only run time knows.
std::string stretched(const OpBuilder& b, const std::vector<Dim>& operand, const std::vector<Dim>& out,
                      const std::string& prefix, std::vector<int>* maybe);

/// One node from a template. Packs: `name...` anywhere is `pack(name)`, inside an access of tensor T first
/// `pack("T.name")`.
class Instance {
 public:
  Instance(OpBuilder& b, std::string_view text) : b_(b), text_(text) {}
  Instance& pack(std::string name, std::string indices);
  Instance& input(std::string tensor, ValueId v);
  Instance& operand(std::string tensor, ValueId v);  ///< a literal where `v` is a constant with one element
  /// An operand broadcast against `out` under pack `pack` (axes `prefix`0, `prefix`1, ...).
  Instance& stretched_operand(std::string tensor, ValueId v, const std::vector<Dim>& out, const std::string& pack,
                              const std::string& prefix);
  Instance& literal(std::string tensor, expr::Expr e);
  Instance& output(std::string tensor, DType dtype, std::vector<Dim> dims, int position = -1);
  Instance& extent(std::string axis, Dim d);
  /// A number of terms: a literal of type `dtype` if it is constant, otherwise the parameter $tensor, cast.
  Instance& count(const std::string& tensor, Dim n, DType dtype);
  Instance& maybe(std::string tensor, int dim);                             ///< stretched or not: the plan decides
  Instance& rename(std::vector<std::pair<std::string, std::string>> axes);  ///< axis names in the packs given so far
  Instance& set_text(std::string text);
  Instance& param(std::string name, Dim d);
  Instance& param(std::string name, double d);
  /// Adds the node and its output values; a small node on constants becomes constants at once.
  std::vector<ValueId> build();
  ValueId build_one() { return build().at(0); }

 private:
  struct Out {
    std::string tensor;
    DType dtype;
    std::vector<Dim> dims;
    int position;
  };
  expr::Program instantiate() const;
  expr::Program parsed(const std::string& text, const std::vector<std::string>& outputs) const;
  ValueId bound(const std::string& tensor) const;
  const Out& out(const std::string& tensor) const;
  void bind_extents(Node* n) const;
  void check_operands(const Node& n) const;
  void read_ones_at_zero(Node* n) const;

  OpBuilder& b_;
  std::string text_;
  std::vector<std::pair<std::string, std::string>> packs_;
  std::vector<std::pair<std::string, expr::Expr>> literals_;
  std::vector<std::pair<std::string, ValueId>> inputs_;
  std::vector<Out> outputs_;
  std::vector<std::pair<std::string, Dim>> extents_;
  std::vector<std::pair<std::string, std::variant<Dim, double>>> params_;
  std::vector<std::pair<std::string, int>> maybe_;  // (tensor, dim)
};

using Binder = std::vector<ValueId> (*)(OpBuilder&);

/// One operator of the op set.
struct Definition {
  const char* op;
  const char* text;  ///< template; several alternatives are separated by "\n---\n" (OpBuilder::text has all)
  Binder bind;
  const char* example = nullptr;  ///< instance for `pit ops`; null: the template with packs of one or two axes
  const char* opaque = nullptr;   ///< why no expression describes it
};

// One table per file of this folder.
std::span<const Definition> elementwise_definitions();
std::span<const Definition> reduction_definitions();
std::span<const Definition> contraction_definitions();
std::span<const Definition> normalization_definitions();
std::span<const Definition> layout_definitions();
std::span<const Definition> indexing_definitions();
std::span<const Definition> generator_definitions();
std::span<const Definition> window_definitions();
std::span<const Definition> composite_definitions();
std::span<const Definition> experts_definitions();
std::span<const Definition> loss_definitions();
std::span<const Definition> sampling_definitions();

/// Template text with its packs spelt out: pack(tensor or "", name) gives the list of indices.
std::string expand_packs(std::string_view text,
                         const std::function<std::string(const std::string& tensor, const std::string& name)>& pack);
/// The n-th alternative of a template text.
std::string_view alternative(std::string_view text, int n);
/// The template with every pack spelt out for a typical rank.
std::string example_of(std::string_view text);

/// What the operator asks of its attributes and operands, checked (constraints.cpp): ModelError, or UnsupportedError
/// where the standard allows more than PIT does.
void check_constraints(OpBuilder& b);
/// The same as text: of the operands, of the attributes.
std::pair<std::string, std::string> constraints_of(std::string_view op);

/// Dims of a result whose shape is the data of `shape`: their number must be known, they are found at run time.
std::vector<Dim> unknown_dims(const OpBuilder& b, ValueId shape);

/// The elements of `x` under other dimensions (reshape.cpp).
std::vector<ValueId> reshape_to(OpBuilder& b, ValueId x, const std::vector<Dim>& out);
/// The same as a value of the operator's own.
ValueId reshaped(OpBuilder& b, ValueId x, std::vector<Dim> out);

/// Result of an operator whose operands are known integers (shape computations); nothing if it is not one of those.
std::optional<std::vector<ValueId>> evaluate_known(OpBuilder& b);

/// If all operands of `n` are constants and it is small: its outputs, computed. Used while adding and by
/// fold_constants.
std::optional<std::vector<Tensor>> fold(Graph& g, const Node& n, std::span<const DType> dtypes,
                                        std::span<const std::vector<Dim>> dims);

}  // namespace pit::graph
