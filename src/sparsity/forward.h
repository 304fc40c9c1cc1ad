// Internal: the forward analysis of a graph, kept for those who ask backwards: what is demanded ideally (analysis.cpp),
// and what the kernels of a schedule really read (fuse/reads.cpp).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sparsity/control.h"
#include "sparsity/facts.h"
#include "sparsity/late.h"

namespace pit::sparsity {

/// The values that a node's program reads and writes, by tensor.
IndexContext index_context(const graph::Graph& g, const graph::Node& n, const std::vector<char>& known);

class Forward {
 public:
  /// What is to be known.
  enum class Scope { nothing, inputs, everything };  ///< inputs: no late leaves
  /// Facts about every value, node after node. `g` must outlive this.
  Forward(const graph::Graph& g, MaskProgram masks, Scope scope);

  const Known& known() const { return known_; }
  /// Per value: masks look at its elements, once a run has computed them (late.h).
  const std::vector<char>& late() const { return late_; }
  const Facts& of(graph::ValueId v) const { return facts_[static_cast<std::size_t>(v)]; }
  /// The analysis of a node's program; null where no formula describes it (opaque operators, indices that cannot be
  /// expressed, formulas too large): then everything is read.
  ProgramFacts* program(graph::NodeId n);
  const IndexContext& context(graph::NodeId n) const { return contexts_[static_cast<std::size_t>(n)]; }
  /// Why something was widened, for explain.
  const std::vector<std::string>& notes(graph::NodeId n) const { return notes_[static_cast<std::size_t>(n)]; }

 private:
  void start_values();
  void visit(graph::NodeId n);
  void by_leaves(const graph::Node& n);
  void look_late(graph::NodeId n);
  ProgramFacts& make(graph::NodeId n);

  const graph::Graph& g_;
  MaskProgram p_;
  Known known_;
  Scope scope_;
  LateLeaves late_leaves_;
  std::vector<char> late_;
  std::vector<Facts> facts_;
  std::vector<IndexContext> contexts_;
  std::vector<std::unique_ptr<ProgramFacts>> programs_;
  std::vector<std::vector<std::string>> notes_;
};

}  // namespace pit::sparsity
