// A compiled model: everything that does not depend on the shapes of a run.
//
// graph -> analysis -> fusion -> kernels -> code, packed weights. Immutable once built; shared by all plans and runs.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codegen/codegen.h"
#include "contract/engine.h"
#include "contract/learned.h"
#include "contract/packed.h"
#include "fuse/fuse.h"
#include "graph/finders.h"
#include "graph/graph.h"
#include "lower/nest.h"
#include "lower/rows.h"
#include "lower/tile.h"
#include "sparsity/analysis.h"
#include "support/cpu.h"

namespace pit::compile {

using contract::PackSet;
using contract::Panels;
using graph::Dim;
using graph::ValueId;

/// How wide, in vectors, the panels of a step can be: what is generated, and what a plan may ask for. `gathered`: the
/// panels consist of live columns, of which there may be any number up to panels.columns (attention's keys).
std::vector<int> panel_widths(const Panels& panels, bool gathered);

struct RowStep {
  lower::RowKernel abi;
  codegen::KernelFn fn = nullptr;
  bool element_wise = false;     ///< no reduction: outer axes may merge into inner
  std::vector<char> value_axis;  ///< per axis: its coordinate is used as a value, so it cannot merge
  /// Lookups to be checked: (table operand, its dimension, index operand).
  struct Lookup {
    int table, dim, index;
  };
  std::vector<Lookup> lookups;
  sparsity::MaskId live, zero;  ///< over the outer axes, in nesting order
  sparsity::MaskId live_k;      ///< with mid: over the outer axes, then mid
};

struct NestStep {
  /// Of each statement.
  struct Part {
    lower::NestKernel abi;
    codegen::KernelFn fn = nullptr;
  };
  std::vector<Part> parts;
  sparsity::MaskId live, zero;  ///< of a single statement: over the group's outer axes
};

struct ContractionStep {
  /// Those that apply the epilogue; null: none, and the engine's own serve
  std::shared_ptr<const contract::TileTable> tiles;
  bool gathers_columns = false;                ///< the scores of an attention: its columns are live keys
  Panels panels;                               ///< static_b: of its B
  std::shared_ptr<contract::PackedB> weights;  ///< static_b
  std::vector<std::int64_t> matrix_steps;      ///< static_b (see compile/pack.h)
  // Zeros that only values tell: the contraction engine then sums what is there, wherever that is cheaper.
  bool scans_a = false;                             ///< A may hold such (ReLU): they are looked for in each run
  bool pruned = false;                              ///< many steps of k of panels of the weights are zero
  std::shared_ptr<const detect::LiveMap> live_b;    ///< then: which
  std::shared_ptr<contract::LearnedPrices> prices;  ///< with either: of all runs; null: they teach nothing
  // Live sets, over (batch..., m...): what is produced, demanded zeros, rows with any step of k; and steps of k over
  // (batch..., k), (batch..., n), (batch..., m..., k). `columns`: over (batch..., m..., n) where segments of the
  // columns have rows of their own, else unset.
  sparsity::MaskId columns;
  sparsity::MaskId live, zero, reached_rows, live_k, live_n, live_mk;
};

/// One group with its code.
struct Step {
  int group = -1;
  RowStep rows;
  NestStep nest;
  ContractionStep contraction;
  int attention = -1;     ///< index into fusion.attentions if this step runs as (the last) part of one
  bool absorbed = false;  ///< runs as part of a later attention step
  std::string label;      ///< for profiles: the names of its nodes
};

/// What computes the contractions on elements of one type.
struct EngineOfType {
  std::shared_ptr<const contract::Engine> engine;
  PackSet packs;
  lower::TileShape tile;
};

struct ProgramOptions {
  std::vector<sparsity::OutputDemand> outputs;
  CpuTarget target;
  std::string cache_dir;
  bool sparse = true;
  bool learn = false;   ///< products that look at values learn what their rules take
  bool verify = false;  ///< runs look at all claims of the read contract, not only at those that are not proved
  int threads = 1;
};

/// What is known once a step has run, and not before: the extents that it finds in its data, the elements of its results
/// that masks look at, and what waited for these alone. The first phase (after no step) is what the inputs tell; most
/// models have no other.
struct Phase {
  int after = -1;                       ///< step
  std::vector<graph::Finder> finders;   ///< the extents; of one node. None: masks alone wait for it
  std::vector<Dim> dims;                ///< ascending
  std::vector<ValueId> values;          ///< whose shapes and layouts are known now
  std::vector<ValueId> element_values;  ///< of Program::element_values, whose elements are known now
  std::vector<int> steps;               ///< whose extents and strides are known now
  std::vector<int> checks;              ///< of Graph::checks
  std::vector<int> claims;              ///< of Program::claims, whose masks are evaluated now
  std::vector<sparsity::MaskId> masks;  ///< of those that runs evaluate; what is below is known by then, too
};

struct Program {
  graph::Graph graph;
  std::unique_ptr<sparsity::Analysis> analysis;
  fuse::Fusion fusion;
  std::vector<sparsity::OutputDemand> demands;
  std::vector<Step> steps;                              ///< one per group, in order
  std::vector<fuse::Obligation> claims;                 ///< of the read contract: looked at in each run
  std::vector<ValueId> element_values;                  ///< known elements that something reads as data
  std::vector<ValueId> mask_leaves;                     ///< control values and late leaves that the mask program reads
  std::vector<Phase> phases;                            ///< in order of `after`; the first is what the inputs tell
  std::map<lower::ElementTypes, EngineOfType> engines;  ///< of the types that contractions have
  CpuTarget target;
  std::vector<std::shared_ptr<void>> files;  ///< FileMaps in which constants lie that runs read
  std::shared_ptr<const codegen::Code> code;
  std::string code_report;  ///< "43 kernels, 0.31 s" for explain

  /// Whether runs find extents, and so extend their plans.
  bool finds_extents() const {
    return std::any_of(phases.begin(), phases.end(), [](const Phase& phase) { return !phase.finders.empty(); });
  }
  /// Of all packed weights, with the second layouts that some steps have asked for by now.
  std::size_t packed_bytes() const;
  const fuse::Group& group(const Step& s) const { return fusion.groups[s.group]; }
  /// Of a contraction.
  const EngineOfType& engine_of(const fuse::Group& group) const { return engines.at(group.epilogue.types); }
};

/// Builds everything. The graph has run its passes; `options.outputs` refers to its values.
std::shared_ptr<const Program> build_program(graph::Graph g, const ProgramOptions& options);

}  // namespace pit::compile
