// The op set as data: one entry per ONNX operator, its meaning a template of the expression language.
//
// A template is expression text with *packs*: `name...` inside an index list stands for a list of index expressions
// that the operator's binder supplies from rank, broadcasting and attributes. E.g.
//
//     Add        Y[i...] = A[i...] + B[i...]                      (in A and B: aligned right, 0 where stretched)
//     MatMul     Y[o...,m...,n...] += A[o...,m...,k] * B[o...,k,n...]
//     Softmax    M[o...,p...] max= X[o...,c...,p...];  E[o...,c...,p...] = exp(X[o...,c...,p...] - M[o...,p...]); ...
//     Transpose  Y[p...] = X[i...]
//
// Adding an operator is one entry here (template + a binder, usually an existing one) and one test; see
// docs/add-an-operator.md.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "graph/graph.h"

namespace pit::graph {

/// An attribute value as the front end read it.
using Attribute = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<std::string>, Tensor>;
using Attributes = std::map<std::string, Attribute>;

/// What a front end hands over for one operator. Absent optional inputs are -1.
struct OpCall {
  std::string op;
  std::string name;
  int opset = 0;
  std::vector<ValueId> inputs;
  std::vector<std::string> output_names;  ///< empty string: output not wanted
  Attributes attributes;
};

/// Adds the operator to the graph (possibly as several nodes) and returns its outputs (-1 where not wanted). Infers
/// dtypes and dims. Throws UnsupportedError (unknown operator or feature) or ModelError (operands do not fit), naming
/// operator and tensor.
std::vector<ValueId> add_operator(Graph& g, const OpCall& call);

/// In words what about these dims is beyond the graph's limits: "rank 65, more than the limit 'rank' of 64". A front
/// end asks for the inputs and constants that it adds, add_operator for results, so that no later stage has to think of
/// overflow.
std::optional<std::string> beyond_limits(const Graph& g, const std::vector<Dim>& dims);

/// Whether the op set has `op` (so a front end need not inline a function body for it), and the newest opset it knows.
bool has_operator(std::string_view op);
int newest_opset();

/// For `pit ops`: every operator with its template, a typical instance, and notes.
struct OpEntry {
  std::string op;
  std::string expression;            ///< the template
  expr::Program example;             ///< a typical instance (rules are derived from it)
  std::string opaque;                ///< why no expression describes it, for opaque operators
  std::string operands, attributes;  ///< what it asks of them, in the notation of opset/constraints.cpp
};
std::vector<OpEntry> op_entries();

}  // namespace pit::graph
