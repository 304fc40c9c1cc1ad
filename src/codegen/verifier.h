// The verifier with a place: `verify` in kernel_ir.h is its short form.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "codegen/kernel_ir.h"

namespace pit::codegen {

struct Violation {
  std::string what;
  std::optional<std::size_t> statement;  ///< in the order of the printed form; none: names and arguments
};

/// First violation of the specification, or nothing.
std::optional<Violation> find_violation(const Kernel& k);

}  // namespace pit::codegen
