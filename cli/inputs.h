// The inputs of a model, from .npy files and from lengths of sequences.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pit/model.h"

namespace pit::cli {

/// The command line says nothing that can be understood.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Splits "name=value" at the first '='. Throws UsageError naming the option.
std::pair<std::string, std::string> split_assignment(const std::string& text, const std::string& option);

/// Throws UsageError naming the option.
std::int64_t whole_number(const std::string& text, const std::string& option);

/// Reads every "name=file.npy"; then, if there are `lengths`, makes the integer inputs [batch, sequence] that are still
/// missing: one row per length, padded to the longest. Names decide what they hold: "...mask..." ones on real tokens,
/// "...type..."/"...segment..." zeros, "...position..." counts, anything else token ids.
TensorMap gather_inputs(const std::vector<TensorInfo>& declared, const std::vector<std::string>& files,
                        const std::vector<std::int64_t>& lengths);

std::map<std::string, TensorView> views_of(const TensorMap& tensors);

}  // namespace pit::cli
