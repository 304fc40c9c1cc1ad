// The stages of the compiler that need no code generator, for graphs that fuzz targets make.
#pragma once

#include <string>
#include <vector>

#include "fuzz/fuzz.h"

#include "fuse/fuse.h"
#include "graph/graph.h"
#include "sparsity/analysis.h"
#include "support/cpu.h"

namespace pit::fuzz {

/// Small, so that what is refused beyond them is refused often, and what is not is fast.
inline constexpr CompileLimits kLimits{
    .rank = 16, .elements = std::int64_t{1} << 40, .operators = 200, .nesting = 8, .folding = 1 << 14};

inline void verified(const graph::Graph& g, const char* when) {
  const auto violation = graph::verify(g);
  require(!violation, std::string(when) + ": " + violation.value_or("") + "\n" + graph::print(g));
}

/// Passes, analysis, fusion.
inline void compile(graph::Graph& g) {
  verified(g, "after the operators");
  graph::run_passes(g);
  verified(g, "after the passes");
  std::vector<sparsity::OutputDemand> demands;
  for (const graph::ValueId v : g.outputs) demands.push_back({v, -1});
  sparsity::Analysis analysis = sparsity::analyze(g, demands);
  fuse::print(g, fuse::fuse(g, analysis, cpu_target("haswell")));
}

}  // namespace pit::fuzz
