// TensorProto -> Tensor, external data included.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnx-ml.pb.h"

#include "pit/tensor.h"
#include "support/files.h"
#include "support/threads.h"

namespace pit::frontend {

class TensorReader {
 public:
  /// `folders`: where external data may lie, and where they are looked for, in this order; empty: nowhere. `threads`
  /// copy what cannot be used in place.
  TensorReader(std::vector<std::string> folders, int threads) : folders_(std::move(folders)), pool_(threads) {}

  /// `raw`: the tensor's raw data where they were cut out of the message. With `owner`, which keeps them alive, they
  /// are used in place if they are aligned. Throws ModelError or UnsupportedError naming the tensor.
  Tensor read(const pit_onnx::TensorProto& t, std::string_view raw = {}, const std::shared_ptr<void>& owner = nullptr);

 private:
  Tensor read_external(const pit_onnx::TensorProto& t, DType dtype, const Shape& shape);
  std::shared_ptr<FileMap> open(const std::string& tensor, const std::string& location);

  Tensor copy_of(DType dtype, const Shape& shape, std::string_view raw, const std::shared_ptr<void>& owner);

  bool is_inside(const std::string& path) const;

  std::vector<std::string> folders_;
  ThreadPool pool_;
  std::map<std::string, std::shared_ptr<FileMap>> files_;
};

}  // namespace pit::frontend
