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
namespace {

graph::Graph read_model(std::string_view data, std::vector<std::string> folders, const std::string& what,
                        std::shared_ptr<void> owner) {
  std::optional<Skeleton> skeleton = cut_weights(data);
  const std::string_view bytes = skeleton ? std::string_view(skeleton->bytes) : data;
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw ModelError(
        fmt::format("{} has {} bytes; protobuf allows 2 GB. Store the weights as external data", what, data.size()));
  }
  pit_onnx::ModelProto model;
  if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw ModelError(fmt::format("{} is not a complete ONNX model (truncated, or another format)", what));
  }
  if (!model.has_graph()) throw ModelError(fmt::format("{} is not an ONNX model: it has no graph", what));
  return Importer(model, std::move(folders), skeleton ? std::move(skeleton->weights) : std::vector<std::string_view>(),
                  std::move(owner))
      .run();
}

}  // namespace

graph::Graph read_onnx_file(const std::string& path) {
  const auto file = std::make_shared<FileMap>(path);
  namespace fs = std::filesystem;
  fs::path folder = fs::path(path).parent_path();
  if (folder.empty()) folder = ".";
  std::vector<std::string> folders = {folder.string()};
  // Where the model is a symbolic link, its weights may be links into the folder of the file behind it (the Hugging Face hub's cache), or lie there.
  std::error_code error;
  const fs::path target = fs::canonical(path, error);
  if (!error) folders.push_back(target.parent_path().string());
  return read_model({file->data(), file->size()}, std::move(folders), fmt::format("'{}'", path), file);
}

graph::Graph read_onnx_bytes(const void* data, std::size_t size, const std::string& folder) {
  return read_model({static_cast<const char*>(data), size}, folder.empty() ? std::vector<std::string>() : std::vector{folder}, "the model", nullptr);
}

}  // namespace pit::frontend
