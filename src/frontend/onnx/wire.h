// A model without its weights: the big raw_data fields of the graph's initializers are cut out of the serialised bytes
// before protobuf sees them, so that they are neither copied into strings nor paged in before somebody needs them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pit::frontend {

struct Skeleton {
  std::string bytes;  ///< the model, to be parsed by protobuf
  std::vector<std::string_view>
      weights;  ///< per initializer of the graph: what was cut out, into the original; empty if nothing
};

/// Nothing if the bytes are not laid out as expected; protobuf then parses all of them and finds out what is wrong.
std::optional<Skeleton> cut_weights(std::string_view model);

}  // namespace pit::frontend
