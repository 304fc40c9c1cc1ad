// Models of tests/fixtures with a batch of padded sequences.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "pit/model.h"

namespace pit::test {

inline Model load_fixture(const std::string& name, CompileOptions options = {}) {
  options.threads = 2;
  return Model::load(std::string(PIT_SOURCE_DIR) + "/tests/fixtures/" + name + ".onnx", options);
}

/// Token ids, masks and types for sequences of these lengths, padded on the right to the longest.
class PaddedBatch {
 public:
  PaddedBatch(const Model& model, const std::vector<std::int64_t>& lengths) {
    const auto rows = static_cast<std::int64_t>(lengths.size());
    const std::int64_t columns = *std::max_element(lengths.begin(), lengths.end());
    for (const TensorInfo& info : model.inputs()) {
      auto& data = data_[info.name];
      for (std::int64_t b = 0; b < rows; ++b)
        for (std::int64_t s = 0; s < columns; ++s) {
          const bool real = s < lengths[static_cast<std::size_t>(b)];
          data.push_back(info.name == "attention_mask" ? real
                         : info.name == "input_ids"    ? (real ? 2 + (7 * b + s) % 5 : 1)
                                                       : 0);
          real_ += info.name == "attention_mask" && real;
        }
      views_[info.name] = TensorView{data.data(), DType::i64, {rows, columns}, {}};
    }
    padded_ = rows * columns;
  }
  const std::map<std::string, TensorView>& views() const { return views_; }
  double live() const { return static_cast<double>(real_) / static_cast<double>(padded_); }

 private:
  std::map<std::string, std::vector<std::int64_t>> data_;
  std::map<std::string, TensorView> views_;
  std::int64_t real_ = 0, padded_ = 0;
};

}  // namespace pit::test
