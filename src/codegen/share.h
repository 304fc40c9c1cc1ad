// Equal values as one node. Which values of a statement are one node decides nothing but how often they are evaluated,
// so two kernels that differ only in that mean the same, and print the same.
#pragma once

#include <unordered_set>

#include "codegen/kernel_ir.h"

namespace pit::codegen {

/// Makes values; those that are equal are one node. Operands have to come from the same maker.
class Sharer {
 public:
  Value make(ValueNode node);

 private:
  struct Hash {
    std::size_t operator()(const Value& v) const;
  };
  struct Equal {
    bool operator()(const Value& a, const Value& b) const;
  };
  std::unordered_set<Value, Hash, Equal> nodes_;
};

/// The kernel with as few nodes as there are different values. Kernels that mean the same term by term have equal bytes
/// then (`encode`).
Kernel shared(const Kernel& k);

}  // namespace pit::codegen
