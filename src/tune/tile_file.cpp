// The database on disk: one JSON file per identity, written whole, believed only if its hash holds and it is ours.
//
//     {"format": "pit-tile-costs 2", "hash": "<content hash of body, dumped>", "body": {
//        "cpu": ..., "target": ..., "version": ...,
//        "limits": [{"threads": 1, "fma_gflops": ..., ...}, ...],
//        "tiles": {"4x3x1 k-index sum": {"k_step": [l1, l2, l3], "tile": ..., "reload": ..., "call": ...}, ...},
//        "packs": {"transpose 4": {"element": ..., "element_memory": ..., "call": ...}, ...}}}
//
// Keys are names, and names are understood by looking them up among the keys that this version measures; others are
// skipped. Numbers are written with as many digits as give the same double back, so a body that was read dumps as it
// was written.
#include <cmath>
#include <cpuid.h>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pit/version.h"
#include "support/files.h"
#include "support/log.h"
#include "tune/tile_costs.h"

namespace pit::tuning {

namespace {

using Json = nlohmann::json;

// Goes up when the meaning of a figure or the code of tiles changes within a version of PIT.
constexpr const char* kFormat = "pit-tile-costs 2";
// A figure beyond is a mistake: a million seconds, or a million GB/s.
constexpr double kSane = 1e15;

struct Bad {
  std::string why;
};

double number(const Json& object, const char* name) {
  const Json& value = object.at(name);
  const double x = value.is_number() ? value.get<double>() : NAN;
  if (!(x > 0 && x < kSane)) throw Bad{fmt::format("'{}' is no positive number", name)};
  return x;
}

constexpr std::pair<const char*, double MachineLimits::*> kRates[] = {
    {"fma_gflops", &MachineLimits::fma_gflops},         {"read_gbytes", &MachineLimits::read_gbytes},
    {"write_gbytes", &MachineLimits::write_gbytes},     {"copy_gbytes", &MachineLimits::copy_gbytes},
    {"l2_read_gbytes", &MachineLimits::l2_read_gbytes}, {"l3_read_gbytes", &MachineLimits::l3_read_gbytes}};

Json json_of(const MachineLimits& limits) {
  Json out{{"threads", limits.threads}};
  for (const auto& [name, rate] : kRates) out[name] = limits.*rate;
  return out;
}

MachineLimits limits_of(const Json& json, const Identity& who) {
  MachineLimits limits;
  limits.cpu = who.cpu;
  limits.target = who.target;
  limits.threads = json.at("threads").get<int>();
  if (limits.threads < 1) throw Bad{"limits of no thread"};
  for (const auto& [name, rate] : kRates) limits.*rate = number(json, name);
  return limits;
}

Json json_of(const TileCost& cost) {
  return {{"k_step", cost.k_step}, {"tile", cost.tile}, {"reload", cost.reload}, {"call", cost.call}};
}

TileCost tile_of(const Json& json) {
  TileCost cost;
  const Json& k_steps = json.at("k_step");
  if (k_steps.size() != cost.k_step.size()) throw Bad{"a tile without a k_step per level"};
  for (std::size_t level = 0; level < cost.k_step.size(); ++level)
    cost.k_step[level] = number(Json{{"k_step", k_steps[level]}}, "k_step");
  cost.tile = number(json, "tile");
  cost.reload = number(json, "reload");
  cost.call = number(json, "call");
  cost.measured = true;
  return cost;
}

Json json_of(const PackCost& cost) {
  return {{"element", cost.element}, {"element_memory", cost.element_memory}, {"call", cost.call}};
}

PackCost pack_of(const Json& json) {
  PackCost cost;
  cost.element = number(json, "element");
  cost.element_memory = number(json, "element_memory");
  cost.call = number(json, "call");
  cost.measured = true;
  return cost;
}

/// The body of a file of this identity, or Bad.
Json checked_body(const std::string& text, const Identity& who) {
  const Json file = Json::parse(text, nullptr, false);
  if (file.is_discarded() || !file.is_object()) throw Bad{"it is truncated or damaged"};
  if (file.value("format", "") != kFormat) throw Bad{"it has another format"};
  const Json& body = file.at("body");
  if (file.value("hash", "") != content_hash(body.dump())) throw Bad{"it is damaged"};
  const Identity theirs{body.value("cpu", ""), body.value("target", ""), body.value("version", "")};
  if (theirs.cpu != who.cpu) throw Bad{fmt::format("it was measured on another CPU ({})", theirs.cpu)};
  if (theirs.target != who.target) throw Bad{fmt::format("it was measured for another target ({})", theirs.target)};
  if (theirs.version != who.version) throw Bad{fmt::format("it was measured by PIT {}", theirs.version)};
  return body;
}

}  // namespace

std::string cpu_model() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(0x80000000, &a, &b, &c, &d) || a < 0x80000004) return "unknown";
  char text[49] = {};
  for (unsigned leaf = 0; leaf < 3; ++leaf) {
    unsigned words[4];
    __cpuid(0x80000002 + leaf, words[0], words[1], words[2], words[3]);
    std::memcpy(text + 16 * leaf, words, sizeof words);
  }
  std::string name(text);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  name.erase(0, std::min(name.find_first_not_of(' '), name.size()));
  // Hypervisors shorten the brand ("AMD EPYC"); the generation is in the signature: base plus extended family and
  // model.
  __cpuid(1, a, b, c, d);
  const unsigned family = (a >> 8 & 15) + (a >> 20 & 255), model = (a >> 4 & 15) | (a >> 12 & 0xf0);
  return fmt::format("{} (family {} model {})", name.empty() ? "unknown" : name, family, model);
}

Identity identity_of(const CpuTarget& target) {
  return {cpu_model(), target.features.empty() ? target.name : target.name + " " + target.features, PIT_VERSION};
}

std::string TileCosts::path(const std::string& cache_dir, const CpuTarget& target) {
  const Identity who = identity_of(target);
  return fmt::format("{}/tiles-{}.json", cache_dir, content_hash(who.cpu + '\n' + who.target + '\n' + who.version));
}

std::string TileCosts::to_json() const {
  const Identity who = identity_of(target_);
  Json body{{"cpu", who.cpu}, {"target", who.target}, {"version", who.version}, {"limits", Json::array()}};
  for (const auto& [threads, limits] : limits_) body["limits"].push_back(json_of(limits));
  body["tiles"] = Json::object();
  for (const auto& [key, cost] : tiles_) body["tiles"][key.name()] = json_of(cost);
  body["packs"] = Json::object();
  for (const auto& [key, cost] : packs_) body["packs"][key.name()] = json_of(cost);
  return Json{{"format", kFormat}, {"hash", content_hash(body.dump())}, {"body", body}}.dump(1) + "\n";
}

bool TileCosts::read_json(const std::string& text, std::string* reason) {
  try {
    const Identity who = identity_of(target_);
    const Json body = checked_body(text, who);
    const Json &limits = body.at("limits"), &tiles = body.at("tiles"), &packs = body.at("packs");
    if (limits.empty()) throw Bad{"it has no limits"};
    limits_.clear();
    for (const Json& entry : limits) set(limits_of(entry, who));
    for (const TileKey& key : tiles_to_measure(target_))
      if (auto found = tiles.find(key.name()); found != tiles.end()) set(key, tile_of(*found));
    for (const PackKey& key : packs_to_measure(target_))
      if (auto found = packs.find(key.name()); found != packs.end()) set(key, pack_of(*found));
    if (tiles_.empty() || packs_.empty()) throw Bad{"it has none of the tiles or packs that this version uses"};
    return true;
  } catch (const Bad& bad) {
    *reason = bad.why;
  } catch (const Json::exception&) {
    *reason = "it is incomplete or damaged";
  }
  return false;
}

TileCosts TileCosts::load(const std::string& cache_dir, const CpuTarget& target) {
  if (cache_dir.empty()) return defaults(target);
  const std::string file = path(cache_dir, target);
  std::string reason;
  try {
    std::error_code error;
    if (!std::filesystem::exists(file, error)) return defaults(target);
    TileCosts costs(target);
    if (costs.read_json(read_file(file), &reason)) return costs;
  } catch (const std::exception& e) {
    reason = e.what();
  }
  warn("ignoring the tile database {}: {}; 'pit tune' writes it again", file, reason);
  return defaults(target);
}

bool TileCosts::store(const std::string& cache_dir, std::string* reason) const {
  return write_file_atomically(path(cache_dir, target_), to_json(), reason);
}

}  // namespace pit::tuning
