// B in panels, for each of its matrices.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "contract/engine.h"
#include "contract/kernels.h"

namespace pit::contract {

class PackedB {
 public:
  std::int64_t k = 0, n = 0;
  Panels panels;
  std::vector<std::shared_ptr<float>> data;        ///< per matrix: panels.floats(k) floats
  std::shared_ptr<const detect::LiveMap> live;     ///< null: all

  std::int64_t bytes() const;
  /// The same elements as rows of n: made when first asked for, by products of a few rows.
  const float* rows(std::int64_t number);

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<float>> rows_;
};

}  // namespace pit::contract
