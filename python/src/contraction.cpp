#include "contraction.h"

#include <memory>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <optional>
#include <string>
#include <utility>

#include "arrays.h"
#include "interrupt.h"
#include "options.h"

#include "pit/pit.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace pit::python {
namespace {

using Extents = std::pair<std::int64_t, std::int64_t>;

Granularity granularity_of(const Extents& g) { return {g.first, g.second}; }

/// None: everything is live; a pair: detect at that granularity; a live set.
Zeros zeros_of(const std::string& name, nb::handle value) {
  if (value.is_none()) return Zeros::dense();
  if (nb::isinstance<LiveSet>(value)) return Zeros::in(nb::cast<const LiveSet&>(value));
  Extents g;
  if (!nb::try_cast(value, g))
    throw InputError("the zeros of '" + name + "' are None, \"detect\" or a pit.LiveSet", {}, name);
  return Zeros::detect(granularity_of(g));
}

nb::dict to_dict(const CallReport& report) {
  nb::list candidates;
  for (const Candidate& c : report.candidates) candidates.append(nb::make_tuple(c.rule, c.seconds));
  nb::dict out;
  out["rule"] = report.rule;
  out["candidates"] = candidates;
  out["live_fraction"] = report.live_fraction;
  out["detect_seconds"] = report.detect_seconds;
  out["choose_seconds"] = report.choose_seconds;
  out["compute_seconds"] = report.compute_seconds;
  out["total_seconds"] = report.total_seconds;
  return out;
}

Contraction compile(const std::string& expression, int threads, const std::string& cpu, const std::string& cache_dir,
                    const std::string& poison, bool learn) {
  const ContractionOptions options{threads, cpu, cache_dir, poison_of(poison), learn};
  const WithoutGil released;
  return Contraction::compile(expression, options);
}

PreparedOperand prepare(const Contraction& contraction, nb::handle b, nb::handle zeros) {
  const Array array("b", b);
  const Zeros known = zeros_of("b", zeros);
  const WithoutGil released;
  return contraction.prepare(array.view(), known);
}

/// (result, report or None). `out` is None or an array to write to, which is then the result.
nb::tuple run(const Contraction& contraction, nb::handle a, nb::handle b, nb::handle a_zeros, nb::handle b_zeros,
              nb::handle c_live, nb::handle out, const std::string& rule, bool want_report, nb::handle cancel) {
  CallReport report;
  Interruptible call(cancel);
  const CallOptions options{zeros_of("a", a_zeros),          zeros_of("b", b_zeros),
                            zeros_of("c", c_live),           rule,
                            want_report ? &report : nullptr, call.token()};
  const Array first("a", a);
  const PreparedOperand* prepared = nb::isinstance<PreparedOperand>(b) ? &nb::cast<const PreparedOperand&>(b) : nullptr;
  std::optional<Array> second, target;
  if (!prepared) second.emplace("b", b);
  if (!out.is_none()) target = Array::writable("out", out);
  const Tensor result = call.run([&] {
    if (!target)
      return prepared ? contraction.run(first.view(), *prepared, options)
                      : contraction.run(first.view(), second->view(), options);
    if (prepared) contraction.run_into(target->view(), first.view(), *prepared, options);
    else contraction.run_into(target->view(), first.view(), second->view(), options);
    return Tensor();
  });
  return nb::make_tuple(target ? nb::borrow(out) : to_numpy("out", result),
                        want_report ? nb::object(to_dict(report)) : nb::none());
}

LiveSet detect(nb::handle values, const Extents& granularity, double absent, int threads) {
  const Array array("values", values);
  const WithoutGil released;
  return LiveSet::detect(array.view(), granularity_of(granularity), absent, threads);
}

void bind_live_set(nb::module_& m) {
  nb::class_<LiveSet>(m, "LiveSet")
      .def_static("detect", &detect, "values"_a, "granularity"_a, "absent"_a, "threads"_a)
      .def_static(
          "from_mask",
          [](nb::handle mask, std::int64_t rows, std::int64_t columns, const Extents& g) {
            return LiveSet::from_mask(Array("mask", mask).view(), rows, columns, granularity_of(g));
          },
          "mask"_a, "rows"_a, "columns"_a, "granularity"_a)
      .def_static(
          "from_lengths",
          [](nb::handle lengths, std::int64_t rows, std::int64_t columns) {
            return LiveSet::from_lengths(Array("lengths", lengths).view(), rows, columns);
          },
          "lengths"_a, "rows"_a, "columns"_a)
      .def_static(
          "from_rows",
          [](nb::handle indices, std::int64_t rows, std::int64_t columns) {
            return LiveSet::from_rows(Array("indices", indices).view(), rows, columns);
          },
          "indices"_a, "rows"_a, "columns"_a)
      .def_static(
          "from_experts",
          [](nb::handle experts, std::int64_t expert_count, std::int64_t columns) {
            return LiveSet::from_experts(Array("experts", experts).view(), expert_count, columns);
          },
          "experts"_a, "expert_count"_a, "columns"_a)
      .def("shape", [](const LiveSet& s) { return nb::make_tuple(s.batch(), s.rows(), s.columns()); })
      .def("granularity", [](const LiveSet& s) { return Extents(s.granularity().rows, s.granularity().columns); })
      .def("count", &LiveSet::count)
      .def("total", &LiveSet::total)
      .def("fraction", &LiveSet::fraction)
      .def("index",
           [](const LiveSet& s) {
             const auto [offsets, indices] = s.index();
             return nb::make_tuple(to_numpy("offsets", offsets), to_numpy("indices", indices));
           })
      .def("mask", [](const LiveSet& s) { return to_numpy("mask", s.mask()); });
}

nb::dict limits(int threads, const std::string& cpu) {
  Interruptible call{nb::none()};
  const MachineLimits found = call.run([&] { return measure_limits(threads, cpu, call.token()); });
  nb::dict out;
  out["cpu"] = found.cpu;
  out["target"] = found.target;
  out["threads"] = found.threads;
  out["fma_gflops"] = found.fma_gflops;
  out["read_gbytes"] = found.read_gbytes;
  out["write_gbytes"] = found.write_gbytes;
  out["copy_gbytes"] = found.copy_gbytes;
  out["l2_read_gbytes"] = found.l2_read_gbytes;
  out["l3_read_gbytes"] = found.l3_read_gbytes;
  return out;
}

std::string run_tune(const std::string& cpu, const std::string& cache_dir, nb::handle progress, nb::handle cancel) {
  Interruptible call(cancel);
  auto report = [&](double share) { call.call(progress, share); };
  TuneOptions options{cpu, cache_dir, nullptr, &report, call.token()};
  if (!progress.is_none())
    options.progress = [](double share, void* context) { (*static_cast<decltype(report)*>(context))(share); };
  return call.run([&] { return tune(options); });
}

}  // namespace

void bind_contractions(nb::module_& m) {
  bind_live_set(m);
  nb::class_<PreparedOperand>(m, "Prepared")
      .def("shape", [](const PreparedOperand& p) { return nb::tuple(nb::cast(p.shape())); })
      .def("bytes", &PreparedOperand::bytes)
      .def("live_fraction", &PreparedOperand::live_fraction);
  nb::class_<Contraction>(m, "Contraction")
      .def("expression", &Contraction::expression)
      .def("explain", &Contraction::explain, "json"_a)
      .def("prepare", &prepare, "b"_a, "zeros"_a.none())
      .def("run", &run, "a"_a, "b"_a, "a_zeros"_a.none(), "b_zeros"_a.none(), "c_live"_a.none(), "out"_a.none(),
           "rule"_a, "report"_a, "cancel"_a.none());
  m.def("contraction", &compile, "expression"_a, "threads"_a, "cpu"_a, "cache_dir"_a, "poison"_a, "learn"_a);
  m.def("measure_limits", &limits, "threads"_a, "cpu"_a);
  m.def("tune", &run_tune, "cpu"_a, "cache_dir"_a, "progress"_a.none(), "cancel"_a.none());
}

}  // namespace pit::python
