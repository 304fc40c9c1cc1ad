// Walks the model's nodes in topological order and hands each to graph::add_operator.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "onnx-ml.pb.h"

#include "frontend/onnx/tensors.h"
#include "graph/graph.h"
#include "graph/opset.h"

namespace pit::frontend {

/// Names of input symbols that the model declares equal: later name -> earlier one.
using Aliases = std::map<std::string, std::string>;

class Importer {
 public:
  /// `weights`: raw data cut out of the message, per initializer; `owner` keeps them alive (null: only during the
  /// import). `threads` copy what cannot be used in place.
  Importer(pit_onnx::ModelProto& model, std::vector<std::string> folders, std::vector<std::string_view> weights,
           std::shared_ptr<void> owner, const CompileLimits& limits = {}, int threads = 1);
  /// Dimensions of inputs that have one name are one symbol.
  graph::Graph run();
  /// After `run`: the same, but each dimension with one of these symbols is a symbol of its own.
  graph::Graph run_split(const std::set<std::string>& split);
  /// After `run`: forgets the data that tensors of the graph hold by now.
  void drop_data();

 private:
  // Names visible at a place: those of the enclosing graphs too.
  struct Scope {
    const Scope* parent = nullptr;
    std::unordered_map<std::string, graph::ValueId> values;
    std::map<std::string, int> opsets;              // per domain
    std::string prefix;                             // of names made in here; empty at the top
    const graph::Attributes* attributes = nullptr;  // of the function call being inlined
    graph::ValueId find(const std::string& name) const;
  };
  using Nodes = google::protobuf::RepeatedPtrField<pit_onnx::NodeProto>;

  graph::Graph import_once(const std::set<std::string>& split, Aliases* found);
  bool knows(const pit_onnx::NodeProto& n) const;
  [[noreturn]] void refuse_operators(const std::string& who) const;  // UnsupportedError: all that are unknown
  void add_initializers(pit_onnx::GraphProto& g, Scope* scope);
  void add_input(const pit_onnx::ValueInfoProto& v, Scope* scope);
  void add_nodes(Nodes& nodes, Scope* scope);
  void add_node(pit_onnx::NodeProto& n, Scope* scope);
  void enter(const std::string& who, const std::string& name, int operators, const Scope& outer, Scope* body);
  void add_function(pit_onnx::NodeProto& n, pit_onnx::FunctionProto& f, Scope* scope);
  void add_if(pit_onnx::NodeProto& n, Scope* scope);
  std::vector<graph::ValueId> inputs_of(const pit_onnx::NodeProto& n, const Scope& scope) const;
  graph::Attributes attributes_of(pit_onnx::NodeProto& n, const Scope& scope);
  graph::Attribute attribute(pit_onnx::AttributeProto& a, const std::string& who);
  void define(const std::string& name, graph::ValueId v, const pit_onnx::NodeProto& n, Scope* scope);
  void compare_with_declared(const std::string& name, graph::ValueId v);
  std::vector<int> topological(const Nodes& nodes, const Scope& scope) const;

  pit_onnx::ModelProto& model_;
  TensorReader tensors_;
  std::unordered_map<const pit_onnx::TensorProto*, Tensor> read_;  // a second pass must not read again
  std::unordered_map<std::string, const pit_onnx::ValueInfoProto*> declared_;
  std::map<std::string, pit_onnx::FunctionProto*> functions_;  // "domain:name"
  std::vector<std::string_view> weights_;
  std::shared_ptr<void> owner_;
  graph::Graph* g_ = nullptr;
  Aliases aliases_;
  const std::set<std::string>* split_ = nullptr;
  Aliases* found_ = nullptr;
  CompileLimits limits_;
  int depth_ = 0;     // functions and branches that we are in
  int inserted_ = 0;  // operators of functions and branches
};

}  // namespace pit::frontend
