// What the passes of `build_program` have made, as text for people. Everything is read from the finished program, which
// keeps no text and no kernel for it: kernels are lowered again, assembly is generated anew, wherever the code came
// from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compile/program.h"

namespace pit::compile {

/// Per group (and step) the number by which reports know what runs, counting from 0; views, which do not run, have -1,
/// the groups of an attention the same.
std::vector<int> step_numbers(const Program& p);

/// The sizes of one call, for what depends on them.
struct CallSizes {
  std::vector<std::int64_t> dims;  ///< values of all Dims (DimTable::evaluate)
  std::vector<double> live;        ///< per step: live rows / rows; empty: all are
  std::string what;                ///< whose they are: "the inputs given", "assumed: batch = 32"
  int threads = 1;
};

/// Nodes after simplification: types, symbolic extents, expressions.
std::string dump_graph(const Program& p);
/// Per value, the masks of the analysis: what may be non-zero, what the schedule demands, what is computed.
std::string dump_masks(const Program& p);
/// Groups: kind, nodes, axes, operands, epilogue, live sets; then the claims of the read contract.
std::string dump_groups(const Program& p);
/// For each contraction the engine's schedules for these sizes, cheapest first, with the seconds it predicts.
std::string dump_schedules(const Program& p, const CallSizes& sizes);
/// The IR of every generated kernel, with the steps that call it.
std::string dump_kernels(const Program& p);
/// The assembly of the same kernels for the program's target. Takes about a second for a hundred kernels.
std::string dump_assembly(const Program& p);

}  // namespace pit::compile
