#include "frontend/onnx/onnx.h"

#include <fmt/format.h>

#include <filesystem>
#include <limits>

#include "frontend/onnx/importer.h"
#include "pit/error.h"
#include "support/files.h"

namespace pit::frontend {
namespace {

graph::Graph read_model(const void* data, std::size_t size, const std::string& folder, const std::string& what) {
  if (size > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw ModelError(fmt::format("{} has {} bytes; protobuf allows 2 GB. Store the weights as external data", what, size));
  }
  pit_onnx::ModelProto model;
  if (!model.ParseFromArray(data, static_cast<int>(size))) {
    throw ModelError(fmt::format("{} is not a complete ONNX model (truncated, or another format)", what));
  }
  if (!model.has_graph()) throw ModelError(fmt::format("{} is not an ONNX model: it has no graph", what));
  return Importer(model, folder).run();
}

}  // namespace

graph::Graph read_onnx_file(const std::string& path) {
  const FileMap file(path);
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  return read_model(file.data(), file.size(), folder.string(), fmt::format("'{}'", path));
}

graph::Graph read_onnx_bytes(const void* data, std::size_t size, const std::string& folder) {
  return read_model(data, size, folder, "the model");
}

}  // namespace pit::frontend
