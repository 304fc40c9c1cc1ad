// Which kernels a program calls. A program keeps functions, not kernels (100 KB each): these are lowered again.
#pragma once

#include <string>
#include <vector>

#include "compile/program.h"

namespace pit::compile {

/// Names an epilogue in the names of its tiles: equal ones are equal programs, on operands of the same kinds.
std::string epilogue_key(const lower::Epilogue& epilogue);

/// The tile of `rows` x `vectors` with this epilogue.
lower::TileSpec tile_spec(const lower::Epilogue& epilogue, const std::string& key, int rows, int vectors,
                          const CpuTarget& target);

/// What the contraction engine may be asked for by this step: generated with the program.
std::vector<contract::RuleKind> engine_rules(const Program& p, const Step& s);

struct KernelUse {
  codegen::Kernel kernel;
  std::vector<int> groups;  ///< whose steps call it, ascending
  std::vector<int> engine;  ///< for whose steps the contraction engine may
};

/// Every generated kernel once, in the order of the first step that it is for; what only the engine calls comes last.
std::vector<KernelUse> kernels_of(const Program& p);

}  // namespace pit::compile
