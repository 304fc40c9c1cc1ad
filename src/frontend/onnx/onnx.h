// ONNX -> graph. Reads ModelProto (IR version 3 and later, opsets 11 and later), external weight files (mapped, never
// outside the model's folder), model-local functions (inlined), and hands each operator to graph::add_operator.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>

#include "graph/graph.h"
#include "pit/limits.h"

namespace pit::frontend {

/// A model as its file has it. The names of free dimensions are hints: where two inputs use one name, `graph` takes
/// them for one extent, which proofs of equal shapes, fusion and masks live on, and nearly always is what the exporter
/// meant. But nothing in ONNX says that they are equal, and exporters give one name to all sequences, or to a batch of
/// 1 beside others. `split_graph` makes the graph that does without: the caller takes it once inputs come whose extents
/// differ. Only operators then decide what must be equal.
class OnnxModel {
 public:
  /// From a file; weights stay mapped where the file allows it, `threads` copy the others. Throws ModelError /
  /// UnsupportedError.
  static OnnxModel from_file(const std::string& path, const CompileLimits& limits = {}, int threads = 1);
  /// From memory. `folder` is where external data may lie; empty: external data is a ModelError. After `graph` the
  /// bytes are not needed.
  static OnnxModel from_bytes(const void* data, std::size_t size, const std::string& folder = {},
                              const CompileLimits& limits = {}, int threads = 1);

  graph::Graph graph();
  /// After `graph`: each dimension of an input with one of these symbols is a symbol of its own.
  graph::Graph split_graph(const std::set<std::string>& symbols);

  struct Impl;

 private:
  explicit OnnxModel(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

graph::Graph read_onnx_file(const std::string& path);
graph::Graph read_onnx_bytes(const void* data, std::size_t size, const std::string& folder = {});

}  // namespace pit::frontend
