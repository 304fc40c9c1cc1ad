// A compiled model: everything that does not depend on the shapes of a run.
//
// graph -> analysis -> fusion -> kernels -> code, packed weights. Immutable once built; shared by all plans and runs.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codegen/codegen.h"
#include "fuse/fuse.h"
#include "graph/graph.h"
#include "lower/rows.h"
#include "lower/tile.h"
#include "sparsity/analysis.h"
#include "support/cpu.h"

namespace pit::runtime {

using graph::Dim;
using graph::ValueId;

/// The generated tiles of one epilogue: kernel[row variant][vectors - 1].
struct TileSet {
  std::vector<int> rows;                                ///< ascending row counts that have a kernel
  std::vector<std::vector<codegen::KernelFn>> kernel;
  /// The smallest variant with at least `count` rows.
  int variant(int count) const;
};

/// The packing kernels for panels of every width, with and without an index on k.
struct PackSet {
  std::map<int, std::array<codegen::KernelFn, 2>> transpose, copy, gather;  ///< by width; [indexed]
};

/// A constant B in panels, in 64-byte aligned storage.
struct PackedWeights {
  std::shared_ptr<float> data;
  std::size_t bytes = 0;
};

struct RowStep {
  lower::RowKernel abi;
  codegen::KernelFn fn = nullptr;
  bool element_wise = false;    ///< no reduction: outer axes may merge into inner
  std::vector<char> value_axis; ///< per axis: its coordinate is used as a value, so it cannot merge
  /// Lookups to be checked: (table operand, its dimension, index operand).
  struct Lookup { int table, dim, index; };
  std::vector<Lookup> lookups;
  sparsity::MaskId live, zero;  ///< over the outer axes, in nesting order
  sparsity::MaskId terms;       ///< with mid: over the outer axes, then mid
};

struct ContractionStep {
  TileSet tiles;
  PackedWeights weights;        ///< static_b
  // Live sets, over (batch..., m...): what is produced, demanded zeros, rows with any term; and terms over (batch..., k), (batch..., n),
  // (batch..., m..., k). `columns`: over (batch..., m..., n) where pieces of the columns have rows of their own, else unset.
  sparsity::MaskId columns;
  sparsity::MaskId live, zero, terms_rows, terms_k, terms_n, terms_mk;
};

/// One group with its code.
struct Step {
  int group = -1;
  RowStep rows;
  ContractionStep contraction;
  int attention = -1;           ///< index into fusion.attentions if this step runs as (the last) part of one
  bool absorbed = false;        ///< runs as part of a later attention step
  std::string label;            ///< for profiles: the names of its nodes
};

struct ProgramOptions {
  std::vector<sparsity::OutputDemand> outputs;
  CpuTarget target;
  std::string cache_dir;
  bool sparse = true;
  int threads = 1;
};

struct Program {
  graph::Graph graph;
  std::unique_ptr<sparsity::Analysis> analysis;
  fuse::Fusion fusion;
  std::vector<sparsity::OutputDemand> demands;
  std::vector<Step> steps;                 ///< one per group, in order
  std::vector<ValueId> element_values;     ///< known elements that something reads as data
  std::vector<ValueId> mask_leaves;        ///< control values that the mask program reads
  std::vector<graph::NodeId> extent_nodes; ///< run before planning: extents depend on their results (see graph::extent_nodes)
  PackSet packs;
  lower::TileShape tile;
  CpuTarget target;
  std::shared_ptr<const codegen::Code> code;
  std::string code_report;                 ///< "43 kernels, 0.31 s" for explain
  std::size_t packed_bytes = 0;

  const fuse::Group& group(const Step& s) const { return fusion.groups[s.group]; }
};

/// Builds everything. The graph has run its passes; `options.outputs` refers to its values.
std::shared_ptr<const Program> build_program(graph::Graph g, const ProgramOptions& options);

/// Panel geometry of a packed B with `columns` columns: full panels of vectors*lanes, then one of as few vectors as needed.
struct Panels {
  std::int64_t columns = 0;
  int lanes = 16, vectors = 3;
  std::int64_t count() const { return (columns + width() - 1) / width(); }
  std::int64_t width() const { return static_cast<std::int64_t>(lanes) * vectors; }
  int vectors_of(std::int64_t p) const {
    const std::int64_t left = columns - p * width();
    return left >= width() ? vectors : static_cast<int>((left + lanes - 1) / lanes);
  }
  std::int64_t columns_of(std::int64_t p) const { return std::min(width(), columns - p * width()); }
  /// Floats before panel p, for k rows per panel.
  std::int64_t offset(std::int64_t p, std::int64_t k) const { return p * width() * k; }
  std::int64_t floats(std::int64_t k) const {
    return columns == 0 ? 0 : offset(count() - 1, k) + static_cast<std::int64_t>(vectors_of(count() - 1)) * lanes * k;
  }
};

}  // namespace pit::runtime
