// Inside of a Model.
#pragma once

#include <list>
#include <mutex>

#include "pit/model.h"
#include "runtime/run.h"
#include "support/fork.h"

namespace pit {

struct Model::Impl {
  std::shared_ptr<const runtime::Program> program;
  std::unique_ptr<ThreadPool> pool;
  std::vector<TensorInfo> inputs, outputs;
  Poison poison = Poison::none;
  bool sparse = true;  ///< false: Sparsity::off

  /// Inputs that fit the model, with the plan for their shapes.
  struct Bound {
    std::vector<Tensor> tensors;
    std::vector<const void*> data;
    std::vector<std::pair<const char*, const char*>> given;  ///< memory of the caller's views
    std::shared_ptr<const runtime::Plan> plan;
  };
  Bound bind(const std::map<std::string, TensorView>& given) const;
  std::vector<Tensor> execute(const Bound& bound, runtime::RunProfile* profile, const runtime::Targets& targets = {}) const;
  TensorMap run(const std::map<std::string, TensorView>& inputs, const RunOptions& options) const;

  std::shared_ptr<const runtime::Plan> plan_for(const std::vector<std::int64_t>& symbols) const;
  std::unique_ptr<runtime::Arena> take_arena() const;
  void give_arena(std::unique_ptr<runtime::Arena> arena) const;

  mutable Mutex mutex;  ///< guards plans (most recently used first) and arenas
  mutable std::list<std::shared_ptr<const runtime::Plan>> plans;
  mutable std::vector<std::unique_ptr<runtime::Arena>> arenas;
};

/// The view itself when contiguous, else a copy.
Tensor contiguous_input(const TensorView& view, const std::string& name);

std::string explain_model(const Model::Impl& m, const std::map<std::string, TensorView>* inputs, bool json);
std::string profile_model(const Model::Impl& m, const std::map<std::string, TensorView>& inputs, int repeat, bool json);

}  // namespace pit
