// What explain, profile and ops say about programs and steps, in one wording.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "api/impl.h"
#include "rules/rules.h"
#include "sparsity/flops.h"

namespace pit::api {

using Json = nlohmann::ordered_json;

/// Text of a report; names that are no UTF-8 lose the bytes in question rather than fail.
std::string dump(const Json& j);

/// Axes with their verdicts: [{name, verdict, reduced, reason}].
Json axes_json(const expr::Program& p, const std::vector<rules::AxisRule>& rules);
/// The same for people, one line per verdict and reason: "permutable: m, n, k (reduced)", "iteration only: x, i
/// (compound index ...)".
std::vector<std::string> axes_lines(const expr::Program& p, const std::vector<rules::AxisRule>& rules);

/// What runs as one: a group, or the three groups of an attention.
struct StepInfo {
  int step = -1;                     ///< into Program::steps
  int number = -1;                   ///< counting what runs, from 0; -1 for views, which do not
  std::string kind;                  ///< control, rows, contraction, attention, nest, reference, view
  std::vector<int> groups;           ///< into Fusion::groups
  std::vector<graph::NodeId> nodes;  ///< in topological order
};

/// Everything in execution order; groups absorbed by an attention stand with it.
std::vector<StepInfo> steps_of(const compile::Program& p);

/// Concrete masks of a run (index: MaskId::id).
using Masks = std::vector<sparsity::MaskPtr>;

/// The control values and masks of one set of inputs. Computes nothing else.
class Snapshot {
 public:
  Snapshot(const Model::Impl& m, const Model::Impl::Bound& bound);
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  /// Those that kernels use.
  const Masks& masks() const { return masks_; }
  /// Of the model's Dims, with those that the data tell.
  const std::vector<std::int64_t>& dims() const { return run_->plan().dims; }
  /// The share of the analysis's FLOPs that is live; nothing if it reads values that this model does not keep.
  std::optional<sparsity::LiveFlops> flops(const sparsity::Analysis& a) const;

 private:
  const Model::Impl& model_;
  std::unique_ptr<runtime::Arena> arena_;
  std::optional<runtime::Run> run_;
  Masks masks_;
};

/// Names of the model's inputs that the masks depend on, in the model's order.
std::vector<std::string> sources_of(const compile::Program& p, const std::vector<sparsity::MaskId>& masks);

/// The mask over the rows that the step produces; id -1 where it has none (control, reference, views).
sparsity::MaskId live_mask(const compile::Program& p, const StepInfo& s);
/// "(batch, sequence)": the axes of its rows by their extents.
std::string rows_text(const compile::Program& p, const StepInfo& s);
/// "rows (batch, sequence): attention_mask[batch,sequence] != 0", or why the step is dense.
std::string live_text(const compile::Program& p, const StepInfo& s);
/// Live rows / rows; where segments of the columns have rows of their own, weighted by their widths.
std::optional<double> live_fraction(const compile::Program& p, const StepInfo& s, const Masks& masks);
/// Live terms / all, of each contraction or reduction over gathered rows of the step (an attention has two: scores,
/// output).
std::vector<double> k_fractions(const compile::Program& p, const StepInfo& s, const Masks& masks);
/// "m-axis: rows (batch, sequence)", "attention: q rows, key columns", "dense". With masks: what they come to for this
/// run; `chosen`: the rule that this run took where values were looked at.
std::string rule_text(const compile::Program& p, const StepInfo& s, const Masks* masks, const std::string& chosen = {});

/// "f32[batch, sequence, 384]"
std::string type_text(const graph::Graph& g, graph::ValueId v);

}  // namespace pit::api
