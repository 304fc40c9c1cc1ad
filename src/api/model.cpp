// The public Model: the compiler's stages behind one object, plan cache, arena pool.
#include "pit/model.h"

#include <algorithm>
#include <cstring>
#include <list>
#include <mutex>

#include "api/entry.h"
#include "api/impl.h"
#include "frontend/onnx/onnx.h"
#include "graph/reference.h"
#include "pit/version.h"
#include "support/cancel.h"
#include "support/check.h"
#include "support/files.h"
#include "support/stages.h"
#include "tensor/strided.h"

namespace pit {
namespace {

using graph::ValueId;

constexpr const char* kNoMemory = "there is not enough memory to compile this model";

// The requested outputs become the graph's, in the order of the request or of the model.
std::vector<sparsity::OutputDemand> select_outputs(graph::Graph& g, const std::vector<OutputSpec>& wanted) {
  std::vector<sparsity::OutputDemand> demands;
  if (wanted.empty()) {
    for (ValueId v : g.outputs) demands.push_back({v, -1});
    return demands;
  }
  auto known = [](const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& n : names) list += (list.empty() ? "'" : ", '") + n + "'";
    return list;
  };
  std::vector<std::pair<std::size_t, sparsity::OutputDemand>> chosen;
  for (const OutputSpec& spec : wanted) {
    const auto it = std::find(g.output_names.begin(), g.output_names.end(), spec.name);
    if (it == g.output_names.end())
      throw InputError(fmt::format("the model has no output '{}'; it has {}", spec.name, known(g.output_names)), {},
                       spec.name);
    const std::size_t at = static_cast<std::size_t>(it - g.output_names.begin());
    sparsity::OutputDemand demand{g.outputs[at], -1};
    if (!spec.mask.empty()) {
      const auto mask = std::find(g.input_names.begin(), g.input_names.end(), spec.mask);
      if (mask == g.input_names.end())
        throw InputError(
            fmt::format("output '{}' is declared by the mask '{}', which is no input of the model; inputs are {}",
                        spec.name, spec.mask, known(g.input_names)),
            {}, spec.mask);
      demand.mask = g.inputs[mask - g.input_names.begin()];
    }
    chosen.push_back({at, demand});
  }
  std::stable_sort(chosen.begin(), chosen.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  std::vector<ValueId> values;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (i > 0 && chosen[i].first == chosen[i - 1].first)
      throw InputError(fmt::format("output '{}' is requested twice", g.output_names[chosen[i].first]), {},
                       g.output_names[chosen[i].first]);
    names.push_back(g.output_names[chosen[i].first]);
    values.push_back(chosen[i].second.value);
    demands.push_back(chosen[i].second);
  }
  g.output_names = std::move(names);
  g.outputs = std::move(values);
  return demands;
}

// Passes renumber values: the masks are found again by their inputs' names.
void renumber(const graph::Graph& g, const std::vector<std::string>& masks,
              std::vector<sparsity::OutputDemand>& demands) {
  for (std::size_t i = 0; i < demands.size(); ++i) {
    demands[i].value = g.outputs[i];
    if (masks[i].empty()) continue;
    const auto it = std::find(g.input_names.begin(), g.input_names.end(), masks[i]);
    PIT_CHECK(it != g.input_names.end(), "the mask '{}' vanished", masks[i]);
    demands[i].mask = g.inputs[it - g.input_names.begin()];
  }
}

// The mask's axes are the leading axes of the output; what cannot be seen here is checked when shapes are known.
void fit_masks(graph::Graph& g, const std::vector<sparsity::OutputDemand>& demands) {
  for (std::size_t o = 0; o < demands.size(); ++o) {
    if (demands[o].mask < 0) continue;
    const graph::Value &mask = g.values[demands[o].mask], &output = g.values[demands[o].value];
    const std::string what = fmt::format("the mask '{}' does not fit the output '{}'", mask.name, g.output_names[o]);
    if (mask.dims.size() > output.dims.size())
      throw InputError(
          fmt::format("{}: it has rank {}, the output {}; the mask's axes are the leading axes of the output", what,
                      mask.dims.size(), output.dims.size()),
          {}, mask.name);
    for (std::size_t d = 0; d < mask.dims.size(); ++d) {
      if (mask.dims[d] == output.dims[d]) continue;
      // Two symbols may turn out to be equal; a symbol and a number are different axes.
      if (g.dims.constant_value(mask.dims[d]) || g.dims.constant_value(output.dims[d]))
        throw InputError(fmt::format("{}: axis {} has extent {}, the output's {}", what, d, g.dims.print(mask.dims[d]),
                                     g.dims.print(output.dims[d])),
                         {}, mask.name);
      g.checks.push_back({mask.dims[d], output.dims[d], what});
    }
  }
}

std::vector<TensorInfo> describe(const graph::Graph& g, const std::vector<ValueId>& values,
                                 const std::vector<std::string>& names) {
  std::vector<TensorInfo> infos;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const graph::Value& v = g.values[values[i]];
    TensorInfo info{names[i], v.dtype, {}, {}};
    for (graph::Dim d : v.dims) {
      const auto c = g.dims.constant_value(d);
      info.shape.push_back(c ? *c : -1);
      info.dims.push_back(c ? std::to_string(*c) : g.dims.print(d));
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

std::shared_ptr<Model::Impl> build(graph::Graph g, const CompileOptions& options,
                                   std::shared_ptr<ThreadPool> pool = nullptr) {
  if (options.precision != "f32")
    throw InputError(fmt::format("precision '{}' is not supported; use \"f32\"", options.precision));
  const int threads = api::thread_count(options.threads);
  auto impl = std::make_shared<Model::Impl>();
  impl->poison = options.poison != Poison::none ? options.poison : api::environment_poison();
  impl->pool = pool ? std::move(pool) : std::make_shared<ThreadPool>(threads);

  Stages::begin("simplify", 0.1);
  compile::ProgramOptions o;
  std::vector<sparsity::OutputDemand> demands = select_outputs(g, options.outputs);
  std::vector<std::string> masks;
  for (const auto& d : demands) {
    std::string name;
    for (std::size_t i = 0; i < g.inputs.size(); ++i)
      if (d.mask >= 0 && g.inputs[i] == d.mask) name = g.input_names[i];
    masks.push_back(name);
  }
  try {
    graph::run_passes(g);
  } catch (const InputError& e) {  // an operator on constants refuses them: there is no caller to blame
    throw ModelError(e.what(), e.op(), e.tensor());
  }
  renumber(g, masks, demands);
  fit_masks(g, demands);
  impl->inputs = describe(g, g.inputs, g.input_names);
  impl->outputs = describe(g, g.outputs, g.output_names);
  o.outputs = std::move(demands);
  o.target = cpu_target(options.cpu);
  o.cache_dir = api::cache_directory(options.cache_dir);
  o.sparse = impl->sparse = options.sparsity == Sparsity::automatic;
  o.learn = api::learns(options.learn);
  o.verify = impl->poison != Poison::none;
  o.threads = threads;
  impl->program = compile::build_program(std::move(g), o);
  return impl;
}

// Whether two dimensions of inputs are one symbol.
bool shares_symbols(const graph::Graph& g) {
  std::set<int> seen;
  for (const ValueId v : g.inputs)
    for (const graph::Dim d : g.values[v].dims)
      if (const int s = g.dims.symbol_index(d); s >= 0 && !seen.insert(s).second) return true;
  return false;
}

std::shared_ptr<const Model::Impl> build(frontend::OnnxModel model, const CompileOptions& options) {
  graph::Graph g = model.graph();
  const bool shares = shares_symbols(g);
  std::shared_ptr<Model::Impl> impl = build(std::move(g), options);
  if (!shares) return impl;
  impl->split_graph = [model](const std::set<std::string>& symbols) mutable { return model.split_graph(symbols); };
  CompileOptions again = options;
  again.cancel.reset(), again.progress = nullptr;  // those of this call
  impl->build_again = [again, pool = impl->pool](graph::Graph split) -> std::shared_ptr<const Model::Impl> {
    return build(std::move(split), again, pool);
  };
  return impl;
}

}  // namespace

// -- runs
// -----------------------------------------------------------------------------------------------------------------

std::shared_ptr<const runtime::Plan> Model::Impl::plan_for(const std::vector<std::int64_t>& symbols) const {
  constexpr std::size_t capacity = 64;
  {
    const std::lock_guard lock(mutex);
    for (auto it = plans.begin(); it != plans.end(); ++it)
      if ((*it)->symbols == symbols) {
        plans.splice(plans.begin(), plans, it);
        return plans.front();
      }
  }
  auto plan = runtime::make_plan(*program, symbols);
  const std::lock_guard lock(mutex);
  plans.push_front(plan);
  if (plans.size() > capacity) plans.pop_back();
  return plan;
}

std::unique_ptr<runtime::Arena> Model::Impl::take_arena() const {
  const std::lock_guard lock(mutex);
  if (arenas.empty()) return std::make_unique<runtime::Arena>();
  auto arena = std::move(arenas.back());
  arenas.pop_back();
  return arena;
}

void Model::Impl::give_arena(std::unique_ptr<runtime::Arena> arena) const {
  const std::lock_guard lock(mutex);
  arenas.push_back(std::move(arena));
}

namespace {

bool is_contiguous(const TensorView& view) {
  std::int64_t step = 1;
  for (std::size_t d = view.shape.size(); d-- > 0 && !view.strides.empty();) {
    if (view.shape[d] != 1 && view.strides[d] != step) return false;
    step *= view.shape[d];
  }
  return true;
}

/// First byte and one behind the last that a view may touch.
std::pair<const char*, const char*> span_of(const TensorView& view) {
  const auto bytes = static_cast<std::int64_t>(size_of(view.dtype));
  const auto* base = static_cast<const char*>(view.data);
  const std::int64_t size = element_count(view.shape);
  if (size == 0) return {base, base};
  if (view.strides.empty()) return {base, base + size * bytes};
  std::int64_t low = 0, high = 1;
  for (std::size_t d = 0; d < view.shape.size(); ++d)
    (view.strides[d] < 0 ? low : high) += (view.shape[d] - 1) * view.strides[d];
  return {base + low * bytes, base + high * bytes};
}

}  // namespace

const Model::Impl& Model::Impl::fitting(const std::map<std::string, TensorView>& given, std::string* why) const {
  const graph::Graph& g = program->graph;
  if (!split_graph) return *this;
  std::map<int, std::int64_t> extents;  // by symbol
  std::set<std::string> differ;
  std::string& first = *why;
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    const graph::Value& v = g.values[g.inputs[i]];
    const auto it = given.find(g.input_names[i]);
    // `bind` says what is wrong
    if (it == given.end() || it->second.dtype != v.dtype || it->second.shape.size() != v.dims.size()) return *this;
    for (std::size_t d = 0; d < v.dims.size(); ++d) {
      const std::int64_t have = it->second.shape[d];
      if (const auto want = g.dims.constant_value(v.dims[d]); want && *want != have) return *this;
      const int s = g.dims.symbol_index(v.dims[d]);
      const std::int64_t want = s < 0 ? have : extents.emplace(s, have).first->second;
      if (want == have) continue;
      if (differ.insert(g.dims.symbol_name(s)).second && first.empty())
        first = fmt::format("dimension {} of input '{}' is {}, but '{}' must be {}", d, v.name, have,
                            g.dims.print(v.dims[d]), want);
    }
  }
  if (differ.empty()) return *this;

  Split& split = [&]() -> Split& {
    const std::lock_guard lock(mutex);
    return splits[differ];
  }();
  try {
    split.once.call([&] {
      // What the operators ask for is known before anything is compiled.
      if (split.graph.values.empty()) {
        const std::lock_guard lock(split_mutex);
        split.graph = split_graph(differ);
      }
      const graph::Graph& s = split.graph;
      std::vector<std::int64_t> symbols(static_cast<std::size_t>(s.dims.symbol_count()), -1);
      for (std::size_t i = 0; i < s.inputs.size(); ++i) {
        const graph::Value& v = s.values[s.inputs[i]];
        const Shape& shape = given.at(s.input_names[i]).shape;
        for (std::size_t d = 0; d < v.dims.size(); ++d)
          if (const int at = s.dims.symbol_index(v.dims[d]); at >= 0) symbols[static_cast<std::size_t>(at)] = shape[d];
      }
      const std::vector<std::int64_t> dims = s.dims.evaluate(symbols);
      graph::check_extents(s, dims);
      for (const graph::Value& v : s.values)
        for (const graph::Dim d : v.dims) {
          if (dims[static_cast<std::size_t>(d.id)] != graph::DimTable::kUnknown) continue;
          const std::vector<int> over = s.dims.symbols_of(d);  // some may be of the data
          if (std::all_of(over.begin(), over.end(), [&](int at) { return symbols[static_cast<std::size_t>(at)] >= 0; }))
            throw InputError(fmt::format("the extent {} of '{}' cannot be computed: shapes do not fit each other",
                                         s.dims.print(d), v.name),
                             {}, v.name);
        }
      split.model = build_again(std::exchange(split.graph, {}));
    });
  } catch (const InternalError&) {
    throw;
  } catch (const CancelledError&) {
    throw;
  } catch (const Error& e) {
    throw InputError(fmt::format("{}: {}", first, e.what()), e.op(), e.tensor());
  }
  return *split.model;
}

Model::Impl::Bound Model::Impl::bind(const std::map<std::string, TensorView>& given) const {
  const graph::Graph& g = program->graph;
  for (const auto& [name, view] : given)
    if (std::find(g.input_names.begin(), g.input_names.end(), name) == g.input_names.end()) {
      std::string known;
      for (const std::string& n : g.input_names) known += (known.empty() ? "'" : ", '") + n + "'";
      throw InputError(fmt::format("the model has no input '{}'; it has {}", name, known), {}, name);
    }
  Bound bound;
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    const auto it = given.find(g.input_names[i]);
    const graph::Value& v = g.values[g.inputs[i]];
    if (it == given.end())
      throw InputError(fmt::format("input '{}' is missing: {} [{}]", g.input_names[i], name_of(v.dtype),
                                   fmt::join(inputs[i].dims, ", ")),
                       {}, g.input_names[i]);
    const TensorView& view = it->second;
    if (view.dtype != v.dtype)
      throw InputError(fmt::format("input '{}' is {}, but the model wants {}; convert it first", g.input_names[i],
                                   name_of(view.dtype), name_of(v.dtype)),
                       {}, g.input_names[i]);
    bound.tensors.push_back(contiguous_input(view, g.input_names[i]));
    bound.given.push_back(span_of(view));
  }
  for (const Tensor& t : bound.tensors) bound.data.push_back(t.data());
  bound.plan = plan_for(graph::bind_symbols(g, bound.tensors));
  return bound;
}

Tensor contiguous_input(const TensorView& view, const std::string& name) {
  static const std::shared_ptr<void> unowned = std::make_shared<char>();
  const std::int64_t size = element_count(view.shape);
  if (!view.data && size > 0) throw InputError(fmt::format("input '{}' has no data", name), {}, name);
  const bool row_major = is_contiguous(view);
  if (size == 0) return Tensor(view.dtype, view.shape);  // the view's address may be null
  if (row_major) return Tensor(view.dtype, view.shape, view.data, unowned);
  Tensor copy;
  try {
    copy = Tensor(view.dtype, view.shape);
  } catch (const std::bad_alloc&) {
    throw InputError(fmt::format("input '{}' is {} and not contiguous; there is not enough memory for a copy", name,
                                 to_string(view.shape)),
                     {}, name);
  }
  copy_strided(view.shape, size_of(view.dtype), view.data, view.strides, copy.data(), {});
  return copy;
}

namespace {

[[noreturn]] void out_of_memory(const graph::Graph& g, const runtime::Plan& plan) {
  const graph::Value* largest = nullptr;
  double most = -1;
  for (const graph::Value& v : g.values) {
    double bytes = static_cast<double>(size_of(v.dtype));
    for (const std::int64_t d : plan.shape_of(v)) bytes *= static_cast<double>(d);
    if (!plan.has_shape(v)) continue;  // nobody got that far
    if (!v.is_constant() && bytes > most) largest = &v, most = bytes;
  }
  throw InputError(fmt::format("there is not enough memory for inputs of these shapes: {:.1f} MB of buffers beside "
                               "inputs and outputs; the largest "
                               "tensor, '{}', is {} ({:.1f} MB)",
                               static_cast<double>(plan.arena_bytes) / 1e6, largest ? largest->name : "",
                               largest ? to_string(plan.shape_of(*largest)) : "", most / 1e6),
                   {}, largest ? largest->name : "");
}

}  // namespace

std::vector<Tensor> Model::Impl::execute(const Bound& bound, runtime::RunProfile* profile,
                                         const runtime::Targets& targets) const {
  for (const std::shared_ptr<void>& owner : program->files)
    if (const FileMap* file = FileMap::of(owner); file->changed())
      throw ModelError(
          fmt::format("'{}' was changed after the model was compiled, and it holds weights that are read in place; "
                      "compile the model again",
                      file->path()));
  const FloatEnvironment environment;
  auto arena = take_arena();
  std::vector<Tensor> out;
  try {
    out = runtime::Run(*program, *bound.plan, *arena, *pool, poison).execute(bound.data, profile, targets);
  } catch (const std::bad_alloc&) {
    out_of_memory(program->graph, *bound.plan);  // the arena is given up, too: it may have grown beyond what is good
  } catch (...) {
    give_arena(std::move(arena));
    throw;
  }
  give_arena(std::move(arena));
  return out;
}

struct Model::Access {
  static Model make(std::shared_ptr<const Impl> impl) { return Model(std::move(impl)); }
};

namespace {

// Where a call's outputs go: the caller's memory, or a tensor that is copied there when all is done.
class Outputs {
 public:
  Outputs(const Model::Impl& m, const Model::Impl::Bound& bound, const RunOptions& options) : m_(m) {
    const std::size_t count = m.outputs.size();
    targets_.memory.assign(count, nullptr);
    views_.assign(count, nullptr);
    late_.assign(count, 0);
    if (!options.outputs.empty()) targets_.wanted.assign(count, 0);
    for (const std::string& name : options.outputs) targets_.wanted[number_of(name)] = 1;
    for (const auto& [name, view] : options.out) {
      const std::size_t o = number_of(name);
      if (!targets_.wants(o))
        throw InputError(fmt::format("there is memory for output '{}', which is not among the outputs wanted", name),
                         {}, name);
      views_[o] = &view;
      check(o, bound);
    }
    for (std::size_t o = 0; o < count; ++o)
      if (views_[o] && !late_[o] && is_contiguous(*views_[o]) && views_[o]->data) targets_.memory[o] = views_[o]->data;
  }

  const runtime::Targets& targets() const { return targets_; }

  TensorMap finish(const std::vector<Tensor>& results) const {
    TensorMap map;
    for (std::size_t o = 0; o < results.size(); ++o)
      if (targets_.wants(o) && late_[o]) check_shape(o, results[o].shape());
    for (std::size_t o = 0; o < results.size(); ++o) {
      if (!targets_.wants(o)) continue;
      if (views_[o] && !targets_.memory[o]) scatter(results[o], *views_[o]);
      map.emplace(m_.outputs[o].name, results[o]);
    }
    return map;
  }

 private:
  std::size_t number_of(const std::string& name) const {
    std::string known;
    for (std::size_t o = 0; o < m_.outputs.size(); ++o) {
      if (m_.outputs[o].name == name) return o;
      known += (known.empty() ? "'" : ", '") + m_.outputs[o].name + "'";
    }
    throw InputError(fmt::format("there is no output '{}'; the model was compiled for {}", name, known), {}, name);
  }

  void check(std::size_t o, const Model::Impl::Bound& bound) {
    const std::string& name = m_.outputs[o].name;
    const TensorView& view = *views_[o];
    const graph::Value& value = m_.program->graph.values[m_.program->graph.outputs[o]];
    const std::string what = fmt::format("the memory for output '{}'", name);
    if (view.dtype != m_.outputs[o].dtype)
      throw InputError(
          fmt::format("{} is {}, but the output is {}", what, name_of(view.dtype), name_of(m_.outputs[o].dtype)), {},
          name);
    late_[o] = !bound.plan->has_shape(value);  // known once the model has run
    if (!late_[o]) check_shape(o, bound.plan->shape_of(value));
    if (view.shape.size() != value.dims.size() ||
        std::any_of(view.shape.begin(), view.shape.end(), [](auto e) { return e < 0; }))
      throw InputError(fmt::format("{} has the shape {}, but the output has rank {}", what, to_string(view.shape),
                                   value.dims.size()),
                       {}, name);
    if (!view.data && element_count(view.shape) > 0) throw InputError(fmt::format("{} has no address", what), {}, name);
    if (reinterpret_cast<std::uintptr_t>(view.data) % size_of(view.dtype) != 0)
      throw InputError(fmt::format("{} is not aligned to its element size", what), {}, name);
    if (!view.strides.empty() && view.strides.size() != value.dims.size())
      throw InputError(fmt::format("{} has {} strides for rank {}", what, view.strides.size(), value.dims.size()), {},
                       name);
    if (overlaps_itself(view))
      throw InputError(fmt::format("{}: several of its elements are in the same place (strides {})", what,
                                   to_string(Shape(view.strides))),
                       {}, name);
    for (std::size_t i = 0; i < bound.tensors.size(); ++i)
      if (overlap(span_of(view), {bound.given[i].first, bound.given[i].second}))
        throw InputError(fmt::format("{} overlaps input '{}'", what, m_.inputs[i].name), {}, name);
    for (std::size_t other = 0; other < views_.size(); ++other)
      if (other != o && views_[other] && overlap(span_of(view), span_of(*views_[other])))
        throw InputError(fmt::format("{} overlaps that of output '{}'", what, m_.outputs[other].name), {}, name);
  }

  void check_shape(std::size_t o, const Shape& shape) const {
    if (views_[o]->shape != shape)
      throw InputError(fmt::format("the memory for output '{}' has the shape {}, but the output has {}",
                                   m_.outputs[o].name, to_string(views_[o]->shape), to_string(shape)),
                       {}, m_.outputs[o].name);
  }

  /// Whether the strides may put two elements in one place: from the smallest stride to the largest, each must pass all
  /// that the smaller ones reach.
  static bool overlaps_itself(const TensorView& view) {
    if (view.strides.empty() || element_count(view.shape) < 2) return false;
    std::vector<std::pair<std::int64_t, std::int64_t>> axes;  // stride, extent
    for (std::size_t d = 0; d < view.shape.size(); ++d)
      if (view.shape[d] > 1) axes.emplace_back(std::abs(view.strides[d]), view.shape[d]);
    std::sort(axes.begin(), axes.end());
    std::int64_t reached = 0;
    for (const auto& [stride, extent] : axes) {
      if (stride <= reached) return true;
      reached += stride * (extent - 1);
    }
    return false;
  }

  static bool overlap(std::pair<const char*, const char*> a, std::pair<const char*, const char*> b) {
    return a.first < b.second && b.first < a.second;
  }

  static void scatter(const Tensor& from, const TensorView& to) {
    copy_strided(to.shape, size_of(from.dtype()), from.data(), {}, to.data, to.strides);
  }

  const Model::Impl& m_;
  runtime::Targets targets_;
  std::vector<const TensorView*> views_;  ///< per output; null: none given
  std::vector<char> late_;                ///< per output with a view: the run tells its shape
};

Model compiled(const std::string& what, const CompileOptions& options,
               const std::function<frontend::OnnxModel()>& read) {
  // The caller's rounding must not decide what constants become.
  return api::typed<ModelError>(kNoMemory, [&] {
    const CancelScope scope(options.cancel);
    const Stages stages("compile " + what, options.progress);
    Stages::begin("read", 0);
    Model model = Model::Access::make(build(read(), options));
    Stages::end();
    return model;
  });
}

}  // namespace

TensorMap Model::Impl::run(const std::map<std::string, TensorView>& given, const RunOptions& options) const {
  const Bound bound = bind(given);
  const Outputs targets(*this, bound, options);
  return targets.finish(execute(bound, nullptr, targets.targets()));
}

Model Model::load(const std::string& path, const CompileOptions& options) {
  return compiled(fmt::format("'{}'", path), options,
                  [&] { return frontend::OnnxModel::from_file(path, options.limits, options.threads); });
}

Model Model::from_bytes(const void* data, std::size_t size, const CompileOptions& options) {
  return compiled(fmt::format("a model of {} bytes", size), options,
                  [&] { return frontend::OnnxModel::from_bytes(data, size, {}, options.limits, options.threads); });
}

const std::vector<TensorInfo>& Model::inputs() const { return impl_->inputs; }
const std::vector<TensorInfo>& Model::outputs() const { return impl_->outputs; }

TensorMap Model::run(const std::map<std::string, TensorView>& inputs, const RunOptions& options) const {
  const CancelScope scope(options.cancel);
  return impl_->with_fitting(inputs, [&](const Impl& m) { return m.run(inputs, options); });
}

std::string Model::explain(const std::map<std::string, TensorView>* inputs, bool json,
                           const RunOptions& options) const {
  const CancelScope scope(options.cancel);
  if (inputs == nullptr) return explain_model(*impl_, inputs, json);
  return impl_->with_fitting(*inputs, [&](const Impl& m) { return explain_model(m, inputs, json); });
}

std::string Model::dump(std::string_view stage, const std::map<std::string, TensorView>* inputs,
                        const RunOptions& options) const {
  return api::typed<InputError>("there is not enough memory for this dump", [&] {
    const CancelScope scope(options.cancel);
    if (inputs == nullptr) return dump_model(*impl_, stage, inputs);
    return impl_->with_fitting(*inputs, [&](const Impl& m) { return dump_model(m, stage, inputs); });
  });
}

std::string Model::profile(const std::map<std::string, TensorView>& inputs, int repeat, bool json,
                           const RunOptions& options) const {
  const CancelScope scope(options.cancel);
  return impl_->with_fitting(inputs, [&](const Impl& m) { return profile_model(m, inputs, repeat, json); });
}

const char* version() noexcept { return PIT_VERSION; }

}  // namespace pit
