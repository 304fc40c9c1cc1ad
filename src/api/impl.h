// Inside of a Model.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "pit/model.h"
#include "runtime/run.h"
#include "support/fork.h"

namespace pit {

struct Model::Impl {
  std::shared_ptr<const compile::Program> program;
  std::shared_ptr<ThreadPool> pool;
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
  std::vector<Tensor> execute(const Bound& bound, runtime::RunProfile* profile,
                              const runtime::Targets& targets = {}) const;
  TensorMap run(const std::map<std::string, TensorView>& inputs, const RunOptions& options) const;

  std::shared_ptr<const runtime::Plan> plan_for(const std::vector<std::int64_t>& symbols) const;
  std::unique_ptr<runtime::Arena> take_arena() const;
  void give_arena(std::unique_ptr<runtime::Arena> arena) const;

  /// The model for these inputs: this one; or, where dimensions that share a name have different extents, the one that
  /// is compiled without these names. That happens at the first call that needs it, and only if its operators allow it:
  /// InputError otherwise. `why` says what differs, for errors of a run without the names.
  const Impl& fitting(const std::map<std::string, TensorView>& given, std::string* why) const;
  /// f(that model); what it refuses begins with what differs.
  template <class F>
  auto with_fitting(const std::map<std::string, TensorView>& given, F&& f) const {
    std::string why;
    const Impl& impl = fitting(given, &why);
    try {
      return f(impl);
    } catch (const InputError& e) {
      if (why.empty()) throw;
      throw InputError(why + ": " + e.what(), e.op(), e.tensor());
    }
  }

  /// A model without some of the names that dimensions of inputs share.
  struct Split {
    Once once;
    graph::Graph graph;  ///< until `model` is made of it
    std::shared_ptr<const Impl> model;
  };
  /// Null where no name is used twice.
  std::function<graph::Graph(const std::set<std::string>&)> split_graph;
  mutable Mutex split_mutex;  ///< guards split_graph, which reads the one file that there is
  std::function<std::shared_ptr<const Impl>(graph::Graph)> build_again;
  mutable std::map<std::set<std::string>, Split> splits;  ///< guarded by mutex, what is in them by `once`

  mutable Mutex mutex;  ///< guards plans (most recently used first), arenas and splits
  mutable std::list<std::shared_ptr<const runtime::Plan>> plans;
  mutable std::vector<std::unique_ptr<runtime::Arena>> arenas;
};

/// The view itself when contiguous, else a copy.
Tensor contiguous_input(const TensorView& view, const std::string& name);

std::string explain_model(const Model::Impl& m, const std::map<std::string, TensorView>* inputs, bool json);
std::string dump_model(const Model::Impl& m, std::string_view stage, const std::map<std::string, TensorView>* inputs);
std::string profile_model(const Model::Impl& m, const std::map<std::string, TensorView>& inputs, int repeat, bool json);

}  // namespace pit
