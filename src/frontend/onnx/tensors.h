// TensorProto -> Tensor, external data included.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "onnx-ml.pb.h"
#include "pit/tensor.h"
#include "support/files.h"

namespace pit::frontend {

class TensorReader {
 public:
  /// `folder`: where external data may lie; empty: nowhere.
  explicit TensorReader(std::string folder) : folder_(std::move(folder)) {}

  /// Takes raw data out of the message (they are not copied). Throws ModelError or UnsupportedError naming the tensor.
  Tensor read(pit_onnx::TensorProto& t);

 private:
  Tensor read_external(const pit_onnx::TensorProto& t, DType dtype, const Shape& shape);
  std::shared_ptr<FileMap> open(const std::string& tensor, const std::string& location);

  std::string folder_;
  std::map<std::string, std::shared_ptr<FileMap>> files_;
};

}  // namespace pit::frontend
