// One run in flight: addresses, masks, live lists, workers' scratch.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "compile/program.h"

#include "contract/buffers.h"
#include "detect/index_set.h"
#include "runtime/plan.h"
#include "support/threads.h"

namespace pit::runtime {

/// Memory of a run, pooled by the model: an arena, scratch for every worker's row kernels, and buffers for tasks.
class Arena {
 public:
  void reserve(std::int64_t arena_bytes, std::int64_t scratch_bytes, int workers);
  char* data() { return static_cast<char*>(arena_.get()); }
  char* scratch(int worker) { return static_cast<char*>(scratch_[worker].get()); }
  std::int64_t bytes() const;
  /// A copy of the plan for one run to extend; a copy that a run before has extended is used again.
  Plan& copy_of(const Plan& plan);
  contract::BufferPool buffers;

 private:
  std::shared_ptr<void> arena_;
  std::int64_t arena_bytes_ = 0, scratch_bytes_ = 0;
  std::vector<std::shared_ptr<void>> scratch_;
  std::unique_ptr<Plan> copy_;
  std::vector<std::int64_t> copied_;  ///< the symbols of the plan that it is a copy of
};

/// What a profile records of a step.
struct StepRecord {
  double seconds = 0;
  double live = 1;  ///< live rows / rows; where zeros were found in values, of the multiply-adds
  /// Where zeros were looked for in values: what this made possible. The first is what ran, the others
  /// follow by price.
  std::vector<contract::Schedule> candidates;
};

struct RunProfile {
  std::vector<StepRecord> steps;  ///< per step of the program
  double mask_seconds = 0;        ///< mask program and index sets
  double total_seconds = 0;
};

/// What of a run's outputs is wanted, and where.
struct Targets {
  std::vector<char> wanted;   ///< per output; empty: all
  std::vector<void*> memory;  ///< per output, contiguous and of its size; null (or empty): the run's own
  bool wants(std::size_t o) const { return wanted.empty() || wanted[o] != 0; }
  void* memory_of(std::size_t o) const { return memory.empty() ? nullptr : memory[o]; }
};

/// The live positions of a list axis per outer position: an index set, or everything.
struct LiveList {
  detect::IndexSetPtr set;  ///< null: everything
  const std::int32_t* iota = nullptr;
  std::int64_t extent = 0, outer = 1;
  bool all() const { return set == nullptr; }
  const std::int32_t* data(std::int64_t o) const { return all() ? iota : set->index.data() + set->offset[o]; }
  std::int64_t count(std::int64_t o) const { return all() ? extent : set->offset[o + 1] - set->offset[o]; }
  std::int64_t total() const { return all() ? extent * outer : set->count(); }
};

class Run {
 public:
  Run(const Program& p, const Plan& plan, Arena& arena, const ThreadPool& pool, Poison poison)
      : p_(p), plan_(&plan), arena_(arena), pool_(pool), poison_(poison) {}

  /// inputs: per model input, contiguous. Returns the outputs in the graph's order; those that are not wanted are null,
  /// and what only they need is not computed, unless a phase begins behind it.
  std::vector<Tensor> execute(const std::vector<const void*>& inputs, RunProfile* profile, const Targets& targets = {});

  /// The masks only (for explain): executes control steps, and whatever else extents and masks wait for.
  const std::vector<sparsity::MaskPtr>& masks_only(const std::vector<const void*>& inputs);
  /// With the extents that this run has found by now.
  const Plan& plan() const { return *plan_; }
  /// After masks_only: a value that masks read (one of Program::mask_leaves), contiguous; valid as long as the arena
  /// is.
  Tensor control_value(ValueId v) const { return contiguous(v); }

 private:
  friend class RowRunner;
  friend class NestRunner;
  friend class ContractionRunner;
  friend class AttentionRunner;

  void bind(const std::vector<const void*>& inputs, const Targets& targets);
  void bind_workspace();
  Tensor make_output(std::size_t o) const;
  std::vector<char> needed_steps() const;
  /// The steps before `end` that are needed, one after the other.
  void run_steps(std::size_t end, const std::vector<char>& needed, RunProfile* profile);
  bool wants(std::size_t o) const { return targets_->wants(o); }
  void fill_elements(const compile::Phase& phase);
  void run_step(std::size_t i);
  void run_reference(std::size_t i);
  /// Late values that step i writes first get memory; those that nobody reads after it give it back.
  void give_birth(std::size_t i);
  void bury(std::size_t i);
  /// A routine's results whose shapes were not known before; where it can be, a result is the late value itself.
  void give_birth_to_results(std::size_t i, const std::vector<Tensor>& results, const std::vector<Tensor>& inputs);
  bool adopt(ValueId v, const Tensor& t, const std::vector<Tensor>& inputs);
  /// The phase that begins behind step i, if it is the next; null if none does.
  const compile::Phase* phase_behind(std::size_t i) const;
  /// The results of step i, a routine, tell extents that others wait for.
  void find_extents(std::size_t i, const std::vector<Tensor>& results);
  void enter_phase_behind(std::size_t i);
  Tensor leaf(ValueId v) const;
  void evaluate_first_masks();
  void evaluate_masks(const compile::Phase& phase);
  void check_claims(const compile::Phase& phase) const;
  void zero_undemanded();
  void copy_plain_outputs();
  void poison_memory();
  void poison(const fuse::Group& group);

  /// Address of element 0 of a value's root storage.
  char* root_address(ValueId v) const { return address_[p_.fusion.layouts[v].root]; }
  /// The value where it lies, if it is contiguous there.
  std::optional<Tensor> in_place(ValueId v) const;
  /// A contiguous copy of a value, or the value itself when it is contiguous.
  Tensor contiguous(ValueId v) const;
  const sparsity::MaskArray* mask(sparsity::MaskId m) const {
    return m.id < 0 ? nullptr : masks_->results()[m.id].get();
  }
  /// Lists over the axes [outer_axes, rank) of a mask, one per position of the axes before.
  LiveList list(sparsity::MaskId m, int outer_axes, std::int64_t outer, std::int64_t extent, bool control);

  /// Rows (batch, m) that any of the segments first..last of the last axis of `m` needs.
  LiveList rows_of_segments(const sparsity::MaskArray& m, std::int64_t first, std::int64_t last,
                            const ContractionPlan& c, std::int64_t segments);

  const Program& p_;
  const Plan* plan_;       ///< shared by all runs, or own_
  Plan* own_ = nullptr;    ///< a copy to be extended, where runs find extents
  std::size_t phase_ = 0;  ///< of p_.phases, the last one entered
  Arena& arena_;
  const ThreadPool& pool_;
  Poison poison_;
  const Targets* targets_ = nullptr;
  std::vector<char*> address_;
  std::vector<Tensor> outputs_;
  std::map<ValueId, contract::Buffer> late_;       ///< memory of late values
  std::map<ValueId, Tensor> adopted_;              ///< late values that a routine has made
  std::optional<sparsity::MaskEvaluation> masks_;  ///< none before the first step that is not control
  std::map<ValueId, Tensor> leaves_;               ///< of masks
  /// Equal masks are one object, whatever axes a step makes of theirs: what a list looks like is part of its key.
  struct ListKey {
    const void* mask;
    int outer_axes;
    std::int64_t outer, extent;
    auto operator<=>(const ListKey&) const = default;
  };
  std::map<ListKey, detect::IndexSetPtr> lists_;
  /// and the first and last segment
  std::map<std::tuple<ListKey, std::int64_t, std::int64_t>, detect::IndexSetPtr> segment_lists_;
  std::vector<std::int32_t> iota_;
  StepRecord record_;  ///< of the step being run
};

}  // namespace pit::runtime
