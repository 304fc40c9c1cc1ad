// ONNX -> graph. Reads ModelProto (IR version 3 and later, opsets 11 and later), external weight files (mapped, never
// outside the model's folder), model-local functions (inlined), and hands each operator to graph::add_operator.
#pragma once

#include <cstddef>
#include <string>

#include "graph/graph.h"

namespace pit::frontend {

/// From a file; weights stay mapped where the file allows it. Throws ModelError / UnsupportedError.
graph::Graph read_onnx_file(const std::string& path);
/// From memory. `folder` is where external data may lie; empty: external data is a ModelError.
graph::Graph read_onnx_bytes(const void* data, std::size_t size, const std::string& folder = {});

}  // namespace pit::frontend
