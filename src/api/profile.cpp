// A clock per step: the run of median time, as a table, as JSON, and in Chrome's trace format, which Perfetto opens.
#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "api/describe.h"
#include "api/text.h"
#include "support/check.h"

namespace pit {
namespace {

using api::Json;

struct Entry {
  int step = -1;  ///< as in explain; -1: masks
  std::string name, kind, rule;
  std::vector<std::string> operators;
  double seconds = 0, live = 1;
  std::vector<contract::Schedule> candidates;  ///< where zeros were looked for in values
};

struct Profile {
  std::vector<Entry> entries;  ///< in execution order
  double mask_seconds = 0, total_seconds = 0;
  double between_seconds = 0;  ///< of the total, outside all steps and masks
  int runs = 0;
};

/// The run whose total is in the middle (the lower one of two): medians of parts would not add up to anything.
const runtime::RunProfile& middle(const std::vector<runtime::RunProfile>& runs) {
  std::vector<const runtime::RunProfile*> sorted;
  for (const runtime::RunProfile& r : runs) sorted.push_back(&r);
  const auto half = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::nth_element(sorted.begin(), half, sorted.end(),
                   [](const auto* a, const auto* b) { return a->total_seconds < b->total_seconds; });
  return **half;
}

std::vector<std::string> operator_names(const compile::Program& p, const api::StepInfo& s) {
  std::vector<std::string> names;
  for (graph::NodeId n : s.nodes) names.push_back(p.graph.describe(n));
  return names;
}

// "MatMul+Add+Gelu"
std::string label_of(const compile::Program& p, const api::StepInfo& s) {
  std::string text;
  for (graph::NodeId n : s.nodes) text += (text.empty() ? "" : "+") + p.graph.nodes[n].op;
  return text;
}

Profile measure(const Model::Impl& m, const std::map<std::string, TensorView>& inputs, int repeat) {
  const compile::Program& p = *m.program;
  const Model::Impl::Bound bound = m.bind(inputs);
  const std::vector<api::StepInfo> steps = api::steps_of(p);
  m.execute(bound, nullptr);  // memory is claimed and touched here, not under the clock
  std::vector<runtime::RunProfile> runs(static_cast<std::size_t>(repeat));
  for (runtime::RunProfile& r : runs) m.execute(bound, &r);
  const api::Masks masks = api::Snapshot(m, bound).masks();

  const runtime::RunProfile& run = middle(runs);
  Profile profile;
  profile.runs = repeat;
  profile.mask_seconds = run.mask_seconds;
  profile.total_seconds = run.total_seconds;
  bool masks_placed = false;
  auto place_masks = [&] {
    profile.entries.push_back({-1, "masks", "mask", "", {}, profile.mask_seconds, 1, {}});
    masks_placed = true;
  };
  for (const api::StepInfo& s : steps) {
    if (s.number < 0) continue;
    if (s.kind != "control" && !masks_placed) place_masks();
    const runtime::StepRecord& record = run.steps[s.step];
    const std::string chosen = record.candidates.empty() ? std::string() : record.candidates[0].rule.name();
    profile.entries.push_back({s.number, label_of(p, s), s.kind, api::rule_text(p, s, &masks, chosen),
                               operator_names(p, s), record.seconds, record.live, record.candidates});
  }
  if (!masks_placed) place_masks();
  profile.between_seconds = profile.total_seconds;
  for (const Entry& e : profile.entries) profile.between_seconds -= e.seconds;
  return profile;
}

std::string profile_json(const Profile& p) {
  Json steps = Json::array(), events = Json::array();
  double at = 0;  // laid end to end
  for (const Entry& e : p.entries) {
    steps.push_back({{"step", e.step},
                     {"name", e.name},
                     {"kind", e.kind},
                     {"seconds", e.seconds},
                     {"live", e.live},
                     {"rule", e.rule},
                     {"operators", e.operators}});
    for (const contract::Schedule& c : e.candidates)
      steps.back()["candidates"].push_back(
          {{"rule", c.rule.name()}, {"seconds", c.seconds}, {"correction", c.correction}});
    events.push_back({{"name", e.name},
                      {"cat", e.kind},
                      {"ph", "X"},
                      {"ts", at * 1e6},
                      {"dur", e.seconds * 1e6},
                      {"pid", 1},
                      {"tid", 1},
                      {"args", {{"step", e.step}, {"live", e.live}, {"rule", e.rule}, {"operators", e.operators}}}});
    at += e.seconds;
  }
  return api::dump({{"steps", std::move(steps)},
                    {"mask_seconds", p.mask_seconds},
                    {"between_seconds", p.between_seconds},
                    {"total_seconds", p.total_seconds},
                    {"runs", p.runs},
                    {"displayTimeUnit", "ms"},
                    {"traceEvents", std::move(events)}});
}

std::string share_of(double seconds, double total) {
  return total > 0 ? fmt::format("{:.1f} %", 100 * seconds / total) : "-";
}

std::string profile_text(const Profile& p) {
  api::Table steps({true, false, false, true, true, true, false}, {0, 48, 0, 0, 0, 0, 40});
  steps.add({"step", "operators", "kind", "time", "share", "live", "rule"});
  std::vector<std::string> kinds;
  std::map<std::string, std::pair<double, int>> sums;
  for (const Entry& e : p.entries) {
    steps.add({e.step < 0 ? "" : std::to_string(e.step), e.name, e.kind, api::seconds_text(e.seconds),
               share_of(e.seconds, p.total_seconds), e.kind == "mask" ? "" : fmt::format("{:.3f}", e.live), e.rule});
    auto& [seconds, count] = sums[e.kind];
    if (count++ == 0) kinds.push_back(e.kind);
    seconds += e.seconds;
  }
  api::Table by_kind({false, true, true, true}, {0, 0, 0, 0});
  by_kind.add({"kind", "steps", "time", "share"});
  for (const std::string& k : kinds)
    by_kind.add({k, std::to_string(sums[k].second), api::seconds_text(sums[k].first),
                 share_of(sums[k].first, p.total_seconds)});
  by_kind.add({"(between)", "", api::seconds_text(p.between_seconds), share_of(p.between_seconds, p.total_seconds)});
  by_kind.rule();
  by_kind.add({"all", std::to_string(p.entries.size()), api::seconds_text(p.total_seconds),
               share_of(p.total_seconds, p.total_seconds)});
  return fmt::format(
      "{}; live: share of rows computed, or of multiply-adds where zeros were found in values.\n\n{}\n{}",
      p.runs == 1 ? std::string("One run") : fmt::format("The run of median time of {}", p.runs), steps.print(),
      by_kind.print());
}

}  // namespace

std::string profile_model(const Model::Impl& m, const std::map<std::string, TensorView>& inputs, int repeat,
                          bool json) {
  if (repeat < 1) throw InputError(fmt::format("repeat = {}: at least one run is needed", repeat));
  const Profile p = measure(m, inputs, repeat);
  return json ? profile_json(p) : profile_text(p);
}

}  // namespace pit
