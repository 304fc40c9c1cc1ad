// Attention: scores, softmax and output fused per batch position and tile of query rows.
//
// The scores never exist as a tensor. For each batch position (sequence x head) the live keys are gathered once into
// packed panels of K and V; for each tile of live query rows the panels that some row of the tile attends are
// multiplied, the softmax's own row kernel runs on the compact scores, and the result meets V. The kernels are the ones
// of the three groups, unchanged; only what their rows and columns mean is different here: columns are live keys, rows
// live queries.
#pragma once

#include "runtime/contraction.h"

namespace pit::runtime {

/// Query rows that one tile takes at a time.
inline constexpr std::int64_t kAttentionRows = 32;

class AttentionRunner {
 public:
  AttentionRunner(Run& run, const fuse::Fusion::Attention& a);
  void operator()();

 private:
  struct PanelSearch;
  void find_panels();
  void find_panels_of_tile(const PanelSearch& s);
  std::int64_t panels_of(std::int64_t batch) const;
  void run_task(std::int64_t batch, int worker) const;

  /// Everything that one task (batch position) carries through its query tiles.
  struct Work;
  void pack_operands(Work& w) const;
  void query_tile(Work& w, std::int64_t first_row, int rows) const;
  void softmax_rows(Work& w, int rows, std::int64_t columns) const;
  void gather_epilogue(Work& w, const std::vector<int>& panels, int rows) const;
  bool panel_is_live(std::int64_t batch, std::int64_t tile, std::int64_t panel) const;

  Run& run_;
  const Step &scores_step_, &softmax_step_, &output_step_;
  const ContractionPlan &scores_, &output_;
  const fuse::Group &scores_group_, &softmax_group_, &output_group_;
  ContractionRunner scores_runner_, output_runner_;
  const compile::EngineOfType& engine_;
  LiveList rows_, keys_;
  Panels key_panels_, value_panels_;
  std::int64_t value_steps_ = 1;                     ///< of k, between which sums wait in the output
  std::int64_t stride_ = 0;                          ///< elements between rows of scores
  std::int64_t element_ = 0;                         ///< bytes
  const sparsity::MaskArray* live_pairs_ = nullptr;  ///< (batch..., q, k); null: every panel is live
  std::vector<std::int64_t> panel_offset_;           ///< per batch position, into panel_live_
  std::vector<std::uint8_t> panel_live_;             ///< [tile][panel]
};

}  // namespace pit::runtime
