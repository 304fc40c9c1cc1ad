// The extension module pit._pit: Model, op_table, version and the error and log bridges; contractions are in
// contraction.cpp. Options are checked and defaults are written down in python/pit; this file only crosses the border.
#include <algorithm>
#include <csignal>
#include <limits>
#include <map>
#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arrays.h"
#include "contraction.h"
#include "errors.h"
#include "interrupt.h"
#include "options.h"

#include "pit/pit.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace pit::python {
namespace {

/// PIT's messages go to `sink(level, message)`. Called from any thread, so the sink is entered with the GIL; a sink
/// that fails must not end a computation, so its error is reported the way Python reports errors in destructors.
void set_log_sink(nb::object sink) {
  if (sink.is_none()) {
    set_log_hook({});
    return;
  }
  // Never freed: the hook may be copied and destroyed by threads that do not hold the GIL.
  PyObject* callable = sink.release().ptr();
  set_log_hook([callable](LogLevel level, std::string_view message) {
    if (!nb::is_alive() || !Py_IsInitialized()) return;
    const WithGil gil;
    const nb::handle receiver = callable;
    try {
      receiver(static_cast<int>(level), text(message));
    } catch (nb::python_error& e) {
      // Ctrl-C while a logger was at work: whoever is asked next, or the interpreter, raises it again. (Where Python does
      // not handle the signal, nobody would.)
      const PyOS_sighandler_t handler = PyOS_getsig(SIGINT);
      const bool handled = handler != SIG_DFL && handler != SIG_IGN;
      if (handled && e.matches(PyExc_KeyboardInterrupt)) PyErr_SetInterrupt();
      else e.discard_as_unraisable(receiver);
    }
  });
}

CompileOptions options_of(std::vector<std::pair<std::string, std::string>> outputs, int threads,
                          const std::string& sparsity, const std::string& precision, const std::string& poison,
                          const std::string& cpu, const std::string& cache_dir,
                          const std::map<std::string, std::int64_t>& limits, bool learn) {
  CompileOptions options;
  options.learn = learn;
  for (auto& [name, mask] : outputs) options.outputs.push_back({std::move(name), std::move(mask)});
  options.threads = threads;
  if (sparsity == "auto") {
    options.sparsity = Sparsity::automatic;
  } else if (sparsity == "off") {
    options.sparsity = Sparsity::off;
  } else {
    throw InputError("sparsity is \"auto\" or \"off\", not \"" + sparsity + "\"");
  }
  options.precision = precision;
  options.poison = poison_of(poison);
  options.cpu = cpu;
  options.cache_dir = cache_dir;
  for (const auto& [name, value] : limits) set_limit(options.limits, name, value);
  return options;
}

using OutputPairs = std::vector<std::pair<std::string, std::string>>;

/// Ctrl-C, the caller's token and progress.
void attach(CompileOptions& options, Interruptible& call, nb::handle progress) {
  options.cancel = call.token();
  if (!progress.is_none())
    options.progress = [&call, progress](std::string_view stage, double share) {
      call.call(progress, std::string(stage), share);
    };
}

Model load(const std::string& path, OutputPairs outputs, int threads, const std::string& sparsity,
           const std::string& precision, const std::string& poison, const std::string& cpu,
           const std::string& cache_dir, const std::map<std::string, std::int64_t>& limits, bool learn,
           nb::handle cancel, nb::handle progress) {
  CompileOptions options =
      options_of(std::move(outputs), threads, sparsity, precision, poison, cpu, cache_dir, limits, learn);
  Interruptible call(cancel);
  attach(options, call, progress);
  return call.run([&] { return Model::load(path, options); });
}

Model from_bytes(const nb::bytes& bytes, OutputPairs outputs, int threads, const std::string& sparsity,
                 const std::string& precision, const std::string& poison, const std::string& cpu,
                 const std::string& cache_dir, const std::map<std::string, std::int64_t>& limits, bool learn,
                 nb::handle cancel, nb::handle progress) {
  CompileOptions options =
      options_of(std::move(outputs), threads, sparsity, precision, poison, cpu, cache_dir, limits, learn);
  const void* data = bytes.data();
  const std::size_t size = bytes.size();
  Interruptible call(cancel);
  attach(options, call, progress);
  return call.run([&] { return Model::from_bytes(data, size, options); });
}

/// In the order of the model. `out`: arrays to write to, which are then the results of their names.
nb::dict run(const Model& model, const nb::dict& inputs, std::vector<std::string> outputs, const nb::dict& out,
             nb::handle cancel) {
  const Arguments arguments(inputs);
  const Targets targets(out);
  Interruptible call(cancel);
  const RunOptions options{std::move(outputs), targets.views(), call.token()};
  const TensorMap results = call.run([&] { return model.run(arguments.views(), options); });
  nb::dict found;
  for (const TensorInfo& info : model.outputs()) {
    const auto result = results.find(info.name);
    if (result == results.end()) continue;
    const nb::object name = text(info.name);
    found[name] = out.contains(name) ? nb::object(out[name]) : to_numpy(info.name, result->second);
  }
  return found;
}

nb::object explain(const Model& model, const std::optional<nb::dict>& inputs, bool json, nb::handle cancel) {
  std::optional<Arguments> arguments;
  if (inputs) arguments.emplace(*inputs);
  Interruptible call(cancel);
  return text(
      call.run([&] { return model.explain(arguments ? &arguments->views() : nullptr, json, {{}, {}, call.token()}); }));
}

nb::object dump(const Model& model, const std::string& stage, const std::optional<nb::dict>& inputs,
                nb::handle cancel) {
  std::optional<Arguments> arguments;
  if (inputs) arguments.emplace(*inputs);
  Interruptible call(cancel);
  return text(
      call.run([&] { return model.dump(stage, arguments ? &arguments->views() : nullptr, {{}, {}, call.token()}); }));
}

nb::object profile(const Model& model, const nb::dict& inputs, int repeat, bool json, nb::handle cancel) {
  const Arguments arguments(inputs);
  Interruptible call(cancel);
  return text(call.run([&] { return model.profile(arguments.views(), repeat, json, {{}, {}, call.token()}); }));
}

/// (name, dtype, dims): a free dimension is its name, or None where the model gives it none.
nb::list describe(const std::vector<TensorInfo>& tensors) {
  nb::list out;
  for (const TensorInfo& info : tensors) {
    nb::list dims;
    for (std::size_t i = 0; i < info.shape.size(); ++i) {
      if (info.shape[i] >= 0) {
        dims.append(info.shape[i]);
      } else if (i < info.dims.size() && !info.dims[i].empty()) {
        dims.append(text(info.dims[i]));
      } else {
        dims.append(nb::none());
      }
    }
    out.append(nb::make_tuple(text(info.name), name_of(info.dtype), nb::tuple(dims)));
  }
  return out;
}

}  // namespace
}  // namespace pit::python

NB_MODULE(_pit, m) {
  using namespace pit::python;
  bind_errors(m);
  bind_cancel(m);
  nb::class_<pit::Model>(m, "Model")
      .def("inputs", [](const pit::Model& model) { return describe(model.inputs()); })
      .def("outputs", [](const pit::Model& model) { return describe(model.outputs()); })
      .def("run", &run, "inputs"_a, "outputs"_a, "out"_a, "cancel"_a.none())
      .def("explain", &explain, "inputs"_a.none(), "json"_a, "cancel"_a.none())
      .def("dump", &dump, "stage"_a, "inputs"_a.none(), "cancel"_a.none())
      .def("profile", &profile, "inputs"_a, "repeat"_a, "json"_a, "cancel"_a.none());
  m.def("load", &load, "path"_a, "outputs"_a, "threads"_a, "sparsity"_a, "precision"_a, "poison"_a, "cpu"_a,
        "cache_dir"_a, "limits"_a, "learn"_a, "cancel"_a.none(), "progress"_a.none());
  m.def("from_bytes", &from_bytes, "data"_a, "outputs"_a, "threads"_a, "sparsity"_a, "precision"_a, "poison"_a, "cpu"_a,
        "cache_dir"_a, "limits"_a, "learn"_a, "cancel"_a.none(), "progress"_a.none());
  m.def("op_table", &pit::op_table, "json"_a);
  m.def("version", &pit::version);
  bind_contractions(m);
  m.def("set_log_sink", &set_log_sink, "sink"_a.none());
}
