// Running contractions: what is live of a step becomes a problem of the contraction engine, rows by their addresses
// (SRead, SWrite), steps of k and columns by lists.
#pragma once

#include "contract/block.h"
#include "contract/canonical.h"
#include "contract/engine.h"
#include "contract/learned.h"
#include "runtime/run.h"

namespace pit::runtime {

class ContractionRunner {
 public:
  ContractionRunner(Run& run, const Step& step, const ContractionPlan& plan);
  void operator()();

  /// Byte offset of operand `o` at flat batch and row positions.
  std::int64_t batch_offset(std::size_t o, std::int64_t batch) const;
  std::int64_t row_offset(std::size_t o, std::int64_t m) const;
  /// Zeros for the rows of the result that must hold them though no kernel visits them.
  void clear_zero_rows() const;

 private:
  /// Panels with the same live rows. Usually one group; fused QKV has one per segment of its columns.
  struct PanelGroup {
    LiveList rows;
    std::int64_t first_panel = 0, last_panel = 0;
    bool has_k = true;  ///< false: nothing of A reaches these rows, their epilogue runs on zero
  };
  void make_panel_groups();
  void split_rows_without_k();
  void make_problem();
  void add_operands();
  void add_item(const PanelGroup& group, std::int64_t batch);
  /// How far an operand's rows lie behind its first one, in units of `unit` bytes.
  contract::RowOffsets rows_at(std::size_t operand, std::int64_t unit) const;
  void find_lists(std::int64_t batch, contract::Item& item);
  void clear_absent_k(std::int64_t batch, contract::Item& item);
  contract::Schedule choose(contract::Live& live);
  detect::Values rows_of_a();

  Run& run_;
  const Step& step_;
  const ContractionPlan& plan_;
  const fuse::Group& group_;
  const compile::EngineOfType& engine_;
  Panels panels_;
  std::vector<PanelGroup> panel_groups_;
  LiveList rows_, reached_rows_, live_k_, live_n_;
  bool some_rows_absent_ = false;  ///< there are rows to be written that have no k
  contract::Problem problem_;
  contract::Epilogue epilogue_;
  std::vector<char*> operands_;                    ///< per batch position and operand: the epilogue's first elements
  std::vector<std::vector<std::uint8_t>> n_live_;  ///< per batch position
  std::vector<std::vector<char>> cleared_a_;       ///< of items whose elements are there in part
  detect::LiveMap zeros_;                          ///< A's, where values are looked at
  contract::Choice choice_;                        ///< what is to be learned from this run
};

}  // namespace pit::runtime
