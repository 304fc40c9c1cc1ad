// The extension module pit._pit: Model, op_table, version and the error and log bridges; contractions are in
// contraction.cpp. Options are checked and defaults are written down in python/pit; this file only crosses the border.
#include <nanobind/nanobind.h>
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
#include "gil.h"
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
      e.discard_as_unraisable(receiver);
    }
  });
}

CompileOptions options_of(std::vector<std::pair<std::string, std::string>> outputs, int threads,
                          const std::string& sparsity, const std::string& precision, const std::string& poison,
                          const std::string& cpu, const std::string& cache_dir) {
  CompileOptions options;
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
  return options;
}

using OutputPairs = std::vector<std::pair<std::string, std::string>>;

Model load(const std::string& path, OutputPairs outputs, int threads, const std::string& sparsity,
           const std::string& precision, const std::string& poison, const std::string& cpu, const std::string& cache_dir) {
  const CompileOptions options = options_of(std::move(outputs), threads, sparsity, precision, poison, cpu, cache_dir);
  const WithoutGil released;
  return Model::load(path, options);
}

Model from_bytes(nb::bytes bytes, OutputPairs outputs, int threads, const std::string& sparsity,
                 const std::string& precision, const std::string& poison, const std::string& cpu, const std::string& cache_dir) {
  const CompileOptions options = options_of(std::move(outputs), threads, sparsity, precision, poison, cpu, cache_dir);
  const void* data = bytes.data();
  const std::size_t size = bytes.size();
  const WithoutGil released;
  return Model::from_bytes(data, size, options);
}

nb::dict run(const Model& model, const nb::dict& inputs) {
  const Arguments arguments(inputs);
  TensorMap results;
  {
    const WithoutGil released;
    results = model.run(arguments.views());
  }
  nb::dict out;
  for (const TensorInfo& info : model.outputs()) {
    if (const auto found = results.find(info.name); found != results.end())
      out[text(info.name)] = to_numpy(info.name, found->second);
  }
  return out;
}

nb::object explain(const Model& model, const std::optional<nb::dict>& inputs, bool json) {
  std::optional<Arguments> arguments;
  if (inputs) arguments.emplace(*inputs);
  std::string report;
  {
    const WithoutGil released;
    report = model.explain(arguments ? &arguments->views() : nullptr, json);
  }
  return text(report);
}

nb::object profile(const Model& model, const nb::dict& inputs, int repeat, bool json) {
  const Arguments arguments(inputs);
  std::string report;
  {
    const WithoutGil released;
    report = model.profile(arguments.views(), repeat, json);
  }
  return text(report);
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
  nb::class_<pit::Model>(m, "Model")
      .def("inputs", [](const pit::Model& model) { return describe(model.inputs()); })
      .def("outputs", [](const pit::Model& model) { return describe(model.outputs()); })
      .def("run", &run, "inputs"_a)
      .def("explain", &explain, "inputs"_a.none(), "json"_a)
      .def("profile", &profile, "inputs"_a, "repeat"_a, "json"_a);
  m.def("load", &load, "path"_a, "outputs"_a, "threads"_a, "sparsity"_a, "precision"_a, "poison"_a, "cpu"_a,
        "cache_dir"_a);
  m.def("from_bytes", &from_bytes, "data"_a, "outputs"_a, "threads"_a, "sparsity"_a, "precision"_a, "poison"_a, "cpu"_a,
        "cache_dir"_a);
  m.def("op_table", &pit::op_table, "json"_a);
  m.def("version", &pit::version);
  bind_contractions(m);
  m.def("set_log_sink", &set_log_sink, "sink"_a.none());
}
