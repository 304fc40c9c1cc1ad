// Which rules apply to a call.
#pragma once

#include <functional>
#include <vector>

#include "contract/blocking.h"
#include "contract/engine.h"
#include "contract/kernels.h"

namespace pit::contract {

/// Columns of a micro-tile of A from which the m rule is worth a thought: below, a tile loads and stores C more than it
/// multiplies.
inline constexpr std::int64_t kLeastK = 16;

/// Dense first. `layout`: B as a rule finds it.
std::vector<Rule> applicable_rules(const Kernels& kernels, const Problem& p, const Live& live,
                                   const std::function<LayoutB(RuleKind)>& layout);

/// The rule of the narrower product that C.n (`rule`) computes: k where A has zeros, else dense.
Rule narrow_rule(const Live& live, const Rule& rule);

}  // namespace pit::contract
