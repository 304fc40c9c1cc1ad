#include "frontend/onnx/onnx.h"

#include <filesystem>
#include <fmt/format.h>
#include <limits>
#include <optional>
#include <string_view>

#include "frontend/onnx/importer.h"
#include "frontend/onnx/wire.h"
#include "pit/error.h"
#include "support/files.h"

namespace pit::frontend {

struct OnnxModel::Impl {
  pit_onnx::ModelProto model;
  std::optional<Importer> importer;
};

namespace {

std::shared_ptr<OnnxModel::Impl> parsed(std::string_view data, std::vector<std::string> folders,
                                        const std::string& what, std::shared_ptr<void> owner,
                                        const CompileLimits& limits, int threads) {
  auto impl = std::make_shared<OnnxModel::Impl>();
  std::optional<Skeleton> skeleton = cut_weights(data);
  const std::string_view bytes = skeleton ? std::string_view(skeleton->bytes) : data;
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw ModelError(
        fmt::format("{} has {} bytes; protobuf allows 2 GB. Store the weights as external data", what, data.size()));
  }
  if (!impl->model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw ModelError(fmt::format("{} is not a complete ONNX model (truncated, or another format)", what));
  }
  if (!impl->model.has_graph()) throw ModelError(fmt::format("{} is not an ONNX model: it has no graph", what));
  impl->importer.emplace(impl->model, std::move(folders),
                         skeleton ? std::move(skeleton->weights) : std::vector<std::string_view>(), std::move(owner),
                         limits, threads);
  return impl;
}

}  // namespace

OnnxModel OnnxModel::from_file(const std::string& path, const CompileLimits& limits, int threads) {
  const auto file = std::make_shared<FileMap>(path);
  namespace fs = std::filesystem;
  fs::path folder = fs::path(path).parent_path();
  if (folder.empty()) folder = ".";
  std::vector<std::string> folders = {folder.string()};
  // Where the model is a symbolic link, its weights may be links into the folder of the file behind it (the Hugging
  // Face hub's cache), or lie there.
  std::error_code error;
  const fs::path target = fs::canonical(path, error);
  if (!error) folders.push_back(target.parent_path().string());
  return OnnxModel(
      parsed({file->data(), file->size()}, std::move(folders), fmt::format("'{}'", path), file, limits, threads));
}

OnnxModel OnnxModel::from_bytes(const void* data, std::size_t size, const std::string& folder,
                                const CompileLimits& limits, int threads) {
  return OnnxModel(parsed({static_cast<const char*>(data), size},
                          folder.empty() ? std::vector<std::string>() : std::vector{folder}, "the model", nullptr,
                          limits, threads));
}

graph::Graph OnnxModel::graph() {
  graph::Graph g = impl_->importer->run();
  impl_->importer->drop_data();
  return g;
}

graph::Graph OnnxModel::split_graph(const std::set<std::string>& symbols) {
  return impl_->importer->run_split(symbols);
}

graph::Graph read_onnx_file(const std::string& path) { return OnnxModel::from_file(path).graph(); }

graph::Graph read_onnx_bytes(const void* data, std::size_t size, const std::string& folder) {
  return OnnxModel::from_bytes(data, size, folder).graph();
}

}  // namespace pit::frontend
