// What was found out about a contraction: collected once, written as text or JSON.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "api/contraction_impl.h"
#include "api/text.h"

namespace pit::api {
namespace {

using rules::Operand;

/// The engine's rules for micro-tiles along an axis of this part in this matrix; empty: it has none (yet).
const char* engine_rules(Operand operand, bool reduced) {
  switch (operand) {
    case Operand::first: return reduced ? "k, element, both" : "m, element";
    case Operand::second: return reduced ? "B.k, Bt.k, both, stream" : "";
    case Operand::result: return reduced ? "" : "C.m";
  }
  return "";
}

struct Axis {
  std::string name, part, verdict, reason;
};

struct Line {
  std::string matrix, axis, part, rules, reason;
  std::vector<std::string> reads;
  bool admitted = false, writes = false;
};

struct Report {
  std::string expression, combiner, product, cpu;
  double identity = 0, absent = 0;
  bool swapped = false;
  lower::TileShape tile{};
  std::vector<Axis> axes;
  std::vector<Line> lines;
};

std::string part_of(const contract::Form& f, int axis) {
  const std::pair<const char*, const std::vector<int>*> parts[] = {
      {"batch", &f.batch}, {"m", &f.m}, {"n", &f.n}, {"k", &f.k}};
  for (const auto& [name, axes] : parts)
    if (std::find(axes->begin(), axes->end(), axis) != axes->end()) return name;
  return "";
}

Report collect(const Contraction::Impl& c) {
  Report r;
  r.expression = c.expression;
  r.combiner = expr::info(c.algebra.combiner).text;
  r.product = expr::info(c.algebra.product).name;
  r.identity = c.algebra.identity();
  r.absent = c.algebra.absent();
  r.swapped = c.found.swapped;
  r.cpu = c.target.name;
  r.tile = lower::tile_shape(c.target, c.algebra);
  const auto verdicts = rules::infer(c.program);
  for (const rules::AxisRule& v : verdicts)
    r.axes.push_back({c.program.axes[static_cast<std::size_t>(v.axis)], part_of(c.form, v.axis),
                      rules::name_of(v.verdict), v.reason});
  auto tensor = [&](int id) { return c.program.tensors[static_cast<std::size_t>(id)].name; };
  for (const rules::SparseRule& s : rules::sparse_rules(c.program, c.found)) {
    Line line;
    line.matrix = tensor(s.operand == Operand::first    ? c.found.a->id
                         : s.operand == Operand::second ? c.found.b->id
                                                        : c.program.statements[0].out);
    line.axis = c.program.axes[static_cast<std::size_t>(s.axis)];
    line.part = part_of(c.form, s.axis);
    line.rules = s.admitted ? engine_rules(s.operand, line.part == "k") : "";
    if (s.operand == Operand::result && line.part != "m") line.rules = "";
    line.reason = s.reason;
    line.reads = s.reads;
    line.admitted = s.admitted;
    line.writes = s.writes;
    r.lines.push_back(std::move(line));
  }
  return r;
}

std::string number(double v) { return std::isinf(v) ? (v < 0 ? "-inf" : "inf") : fmt::format("{:g}", v); }

std::string to_json(const Report& r) {
  nlohmann::ordered_json j;
  j["expression"] = r.expression;
  j["algebra"] = {
      {"combiner", r.combiner}, {"product", r.product}, {"identity", number(r.identity)}, {"absent", number(r.absent)}};
  j["operands_exchanged"] = r.swapped;
  j["cpu"] = r.cpu;
  j["tile"] = {{"rows", r.tile.rows}, {"columns", r.tile.vectors * r.tile.lanes}};
  j["axes"] = nlohmann::ordered_json::array();
  for (const Axis& a : r.axes)
    j["axes"].push_back({{"name", a.name}, {"part", a.part}, {"verdict", a.verdict}, {"reason", a.reason}});
  j["rules"] = nlohmann::ordered_json::array();
  for (const Line& l : r.lines)
    j["rules"].push_back({{"matrix", l.matrix},
                          {"axis", l.axis},
                          {"part", l.part},
                          {"admitted", l.admitted},
                          {"gathers", l.reads},
                          {"scatters_result", l.writes},
                          {"engine", l.rules},
                          {"reason", l.reason}});
  return j.dump(2);
}

std::string to_text(const Report& r) {
  std::string text = fmt::format(
      "{}\n  reduces with '{}' what '{}' makes of two elements; identity {}, absent {}\n  tile {}x{} on {}{}\n\n",
      r.expression, r.combiner, r.product, number(r.identity), number(r.absent), r.tile.rows,
      r.tile.vectors * r.tile.lanes, r.cpu,
      r.swapped ? "; operands exchanged: rows of the rules below are columns of the result" : "");
  Table axes({false, false, false}, {0, 0, 0});
  axes.add({"axis", "part", "order"});
  for (const Axis& a : r.axes) axes.add({a.name, a.part, a.reason.empty() ? a.verdict : a.verdict + ": " + a.reason});
  text += axes.print() + "\n";
  Table rules({false, false, false, false, false, false}, {0, 0, 0, 0, 0, 0});
  rules.add({"sparse", "along", "gathers", "scatters", "rules", "because"});
  for (const Line& l : r.lines)
    rules.add({l.matrix, l.axis, l.admitted ? fmt::format("{}", fmt::join(l.reads, ", ")) : "no",
               l.writes ? "result" : "-", l.rules.empty() ? "-" : l.rules, l.reason});
  return text + rules.print();
}

}  // namespace

std::string explain_contraction(const Contraction::Impl& c, bool json) {
  const Report r = collect(c);
  return json ? to_json(r) : to_text(r);
}

}  // namespace pit::api
