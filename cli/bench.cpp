// Our own sparse against our own dense, in one process: a fresh pattern per iteration, the two in turns, detection
// inside the timer, and the limit of the machine measured in the same run. Outputs are compared in every iteration.
#include "bench.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "inputs.h"
#include "pattern.h"

#include "pit/contraction.h"
#include "pit/tune.h"

namespace pit::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

struct AlgebraName {
  const char* name;
  const char* expression;
  DType dtype;
  double absent;
  int operations;  ///< instructions per term, where a sum of products has one (a multiply-add)
};

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr AlgebraName kAlgebras[] = {
    {"sum", "C[m,n] += A[m,k] * B[k,n]", DType::f32, 0, 1},
    {"max-plus", "C[m,n] max= A[m,k] + B[k,n]", DType::f32, -kInf, 2},
    {"min-plus", "C[m,n] min= A[m,k] + B[k,n]", DType::f32, kInf, 2},
    {"logsumexp", "C[m,n] logsumexp= A[m,k] + B[k,n]", DType::f32, -kInf, 2},
    {"or-and", "C[m,n] or= A[m,k] && B[k,n]", DType::b8, 0, 2},
};

const AlgebraName& algebra_named(const std::string& name) {
  for (const AlgebraName& a : kAlgebras)
    if (a.name == name) return a;
  throw InputError(fmt::format("no algebra is named '{}'", name));
}

/// A matrix of a case: what of it is absent.
struct Side {
  std::string granularity = "1x1";
  double zeros = 0;
};

struct Arguments {
  std::int64_t m = 1024, n = 1024, k = 1024;
  Side a, b, c;
  std::string algebra = "sum", rule;
  bool dynamic_b = false, candidates = false, learn = true, json = false;
  int threads = 1, repeat = 10;
  std::uint64_t seed = 1;
  std::int64_t rows = 4096, columns = 4096;  // detect
};

struct Quartiles {
  double low, middle, high;
};

Quartiles quartiles_of(std::vector<double> v) {
  const double middle = median_of(v);
  std::sort(v.begin(), v.end());
  return {v[v.size() / 4], middle, v[(3 * v.size()) / 4 < v.size() ? (3 * v.size()) / 4 : v.size() - 1]};
}

template <class F>
double milliseconds(F&& f) {
  const Clock::time_point begin = Clock::now();
  f();
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// Of the last level; 8 MiB where the system does not say.
double last_level_cache() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  double kib = 0;
  return file >> kib && kib > 0 ? kib * 1024 : 8 << 20;
}

/// Largest difference, over the wanted elements; infinities and NaN are equal to themselves. What is not wanted must be
/// the identity.
double largest_difference(const Tensor& x, const Tensor& y, const Pattern* wanted, double identity) {
  double largest = 0;
  const std::int64_t columns = x.shape()[1];
  auto value = [](const Tensor& t, std::int64_t i) {
    return t.dtype() == DType::b8 ? static_cast<double>(t.as<std::uint8_t>()[i])
                                  : static_cast<double>(t.as<float>()[i]);
  };
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double got = value(x, i), want = wanted && !wanted->at(i / columns, i % columns) ? identity : value(y, i);
    if (got == want || (std::isnan(got) && std::isnan(want))) continue;
    const double difference = std::abs(got - want);
    largest = std::isnan(difference) ? kInf : std::max(largest, difference);
  }
  return largest;
}

// -- matmul
// -----------------------------------------------------------------------------------------------------------------

class MatmulBench {
 public:
  explicit MatmulBench(const Arguments& args)
      : args_(args),
        algebra_(algebra_named(args.algebra)),
        random_(args.seed),
        g_a_(parse_granularity(args.a.granularity, "--granularity")),
        g_b_(parse_granularity(args.b.granularity, "--b-granularity")),
        g_c_(parse_granularity(args.c.granularity, "--c-granularity")),
        contraction_(Contraction::compile(algebra_.expression,
                                          {.threads = args.threads, .cpu = {}, .cache_dir = {}, .learn = args.learn})),
        a_values_(random_tensor(algebra_.dtype, {args.m, args.k}, random_)),
        b_values_(random_tensor(algebra_.dtype, {args.k, args.n}, random_)),
        a_(algebra_.dtype, {args.m, args.k}),
        b_(algebra_.dtype, {args.k, args.n}),
        sparse_(algebra_.dtype, {args.m, args.n}),
        dense_(algebra_.dtype, {args.m, args.n}) {}

  Json run() {
    fresh_b();
    limits_ = measure_limits(args_.threads);
    fresh_patterns();
    run_sparse(args_.rule, nullptr);  // warm-up: caches, page faults, frequency
    run_dense();
    for (int i = 0; i < args_.repeat; ++i) iterate(i);
    return result();
  }

 private:
  void fresh_b() {
    pattern_b_ = random_pattern(args_.k, args_.n, g_b_, args_.b.zeros, random_);
    write_pattern(pattern_b_, b_values_, algebra_.absent, b_);
    if (args_.dynamic_b) return;
    dense_b_ = std::make_unique<PreparedOperand>(contraction_.prepare(b_.view()));
    sparse_b_ = std::make_unique<PreparedOperand>(
        args_.b.zeros > 0 ? contraction_.prepare(b_.view(), Zeros::detect(g_b_)) : *dense_b_);
  }

  void fresh_patterns() {
    pattern_a_ = random_pattern(args_.m, args_.k, g_a_, args_.a.zeros, random_);
    write_pattern(pattern_a_, a_values_, algebra_.absent, a_);
    if (args_.dynamic_b && args_.b.zeros > 0) fresh_b();
    if (args_.c.zeros > 0) pattern_c_ = random_pattern(args_.m, args_.n, g_c_, args_.c.zeros, random_);
  }

  /// Milliseconds of the call and of what makes a live set for it. The report's own cost, which is counting, is not
  /// part of it.
  double run_sparse(const std::string& rule, CallReport* report) {
    CallReport own;
    CallOptions options;
    options.rule = rule;
    options.report = report ? report : &own;
    if (args_.a.zeros > 0) options.a = Zeros::detect(g_a_);
    if (args_.dynamic_b && args_.b.zeros > 0) options.b = Zeros::detect(g_b_);
    convert_ms_ = milliseconds([&] {
      if (args_.c.zeros > 0) options.c = Zeros::in(wanted());
    });
    if (args_.dynamic_b) contraction_.run_into(sparse_.view(), a_.view(), b_.view(), options);
    else contraction_.run_into(sparse_.view(), a_.view(), *sparse_b_, options);
    return convert_ms_ + options.report->total_seconds * 1e3;
  }

  double run_dense() {
    return milliseconds([&] {
      CallOptions options;
      options.rule = "dense";
      if (args_.dynamic_b) contraction_.run_into(dense_.view(), a_.view(), b_.view(), options);
      else contraction_.run_into(dense_.view(), a_.view(), *dense_b_, options);
    });
  }

  LiveSet wanted() const {
    const TensorView mask{const_cast<std::uint8_t*>(pattern_c_.live.data()),
                          DType::u8,
                          {pattern_c_.row_groups(), pattern_c_.column_groups()},
                          {}};
    return LiveSet::from_mask(mask, args_.m, args_.n, g_c_);
  }

  void iterate(int i) {
    fresh_patterns();
    CallReport report;
    // Who comes first finds other data in the caches: the contestants take turns.
    if (i % 2 == 1) dense_ms_.push_back(run_dense());
    sparse_ms_.push_back(run_sparse(args_.rule, &report));
    detect_share_.push_back((convert_ms_ + report.detect_seconds * 1e3) / sparse_ms_.back());
    if (i % 2 == 0) dense_ms_.push_back(run_dense());
    const double identity = algebra_.absent;
    difference_ =
        std::max(difference_, largest_difference(sparse_, dense_, args_.c.zeros > 0 ? &pattern_c_ : nullptr, identity));
    live_.push_back(report.live_fraction);
    ++rules_[report.rule];
    for (const Candidate& c : report.candidates) predicted_[c.rule].push_back(c.seconds / c.correction * 1e3);
    compute_ms_.push_back((report.compute_seconds + report.choose_seconds) * 1e3);
    if (args_.candidates)
      for (const Candidate& c : report.candidates) measured_[c.rule].push_back(run_sparse(c.rule, nullptr));
    scan_bytes_ = move_bytes_ = 0;
    count_bytes();
  }

  /// What must move: live elements of A, rows of B that some live element of A meets, all of C. A scan reads
  /// everything.
  void count_bytes() {
    const auto size = static_cast<double>(algebra_.dtype == DType::b8 ? 1 : 4);
    const auto m = static_cast<double>(args_.m), n = static_cast<double>(args_.n), k = static_cast<double>(args_.k);
    const auto live_k = static_cast<double>(pattern_a_.live_columns());
    move_bytes_ = size * (m * k * pattern_a_.share() + live_k * n * pattern_b_.share());
    write_bytes_ = size * m * n;
    scan_bytes_ = size * ((args_.a.zeros > 0 ? m * k : 0) + (args_.dynamic_b && args_.b.zeros > 0 ? k * n : 0));
  }

  Json limit(double live) const {
    const double terms =
        static_cast<double>(args_.m) * static_cast<double>(args_.n) * static_cast<double>(args_.k) * live;
    const double all = 4 * (static_cast<double>(args_.m * args_.k) + static_cast<double>(args_.k * args_.n) +
                            static_cast<double>(args_.m * args_.n));
    const bool cached = all < last_level_cache() / 2;
    const double read = cached ? limits_.l3_read_gbytes : limits_.read_gbytes,
                 write = cached ? limits_.l3_read_gbytes : limits_.write_gbytes;
    const double compute_ms = 2 * terms * algebra_.operations / (limits_.fma_gflops * 1e6);
    const double move_ms = (move_bytes_ / read + write_bytes_ / write) / 1e6, scan_ms = scan_bytes_ / read / 1e6;
    return {{"total_ms", std::max(compute_ms, move_ms) + scan_ms},
            {"compute_ms", compute_ms},
            {"move_ms", move_ms},
            {"scan_ms", scan_ms},
            {"bandwidth_of", cached ? "cache" : "memory"},
            {"fma_gflops", limits_.fma_gflops},
            {"read_gbytes", limits_.read_gbytes},
            {"write_gbytes", limits_.write_gbytes}};
  }

  Json result() const {
    const Quartiles sparse = quartiles_of(sparse_ms_), dense = quartiles_of(dense_ms_);
    const double live = median_of(live_);
    const Json bound = limit(live);
    const auto most = std::max_element(rules_.begin(), rules_.end(),
                                       [](const auto& x, const auto& y) { return x.second < y.second; });
    Json j;
    j["sparse_ms"] = sparse.middle;
    j["dense_ms"] = dense.middle;
    j["limit_ms"] = bound["total_ms"];
    j["speedup"] = dense.middle / sparse.middle;
    j["share_of_limit"] = bound["total_ms"].get<double>() / sparse.middle;
    j["detect_share"] = median_of(detect_share_);
    j["live_fraction"] = live;
    j["rule"] = most->first;
    j["max_abs_diff"] = std::isfinite(difference_) ? Json(difference_) : Json("inf");
    if (const auto p = predicted_.find(most->first); p != predicted_.end()) {
      j["predicted_ms"] = median_of(p->second);
      j["compute_ms"] = median_of(compute_ms_);
    }
    j["candidates"] = Json::array();
    std::vector<std::pair<double, std::string>> order;
    for (const auto& [rule, times] : predicted_) order.emplace_back(median_of(times), rule);
    std::sort(order.begin(), order.end());
    for (const auto& [ms, rule] : order) {
      Json c = {{"rule", rule}, {"predicted_ms", ms}};
      if (const auto found = measured_.find(rule); found != measured_.end())
        c["measured_ms"] = median_of(found->second);
      j["candidates"].push_back(std::move(c));
    }
    j["limit"] = bound;
    j["sparse_quartiles_ms"] = {sparse.low, sparse.high};
    j["dense_quartiles_ms"] = {dense.low, dense.high};
    describe_case(j);
    return j;
  }

  void describe_case(Json& j) const {
    j["m"] = args_.m, j["n"] = args_.n, j["k"] = args_.k;
    j["algebra"] = args_.algebra;
    j["granularity"] = args_.a.granularity, j["zeros"] = args_.a.zeros;
    if (args_.b.zeros > 0) j["b_granularity"] = args_.b.granularity, j["b_zeros"] = args_.b.zeros;
    if (args_.c.zeros > 0) j["c_granularity"] = args_.c.granularity, j["c_zeros"] = args_.c.zeros;
    j["static_b"] = !args_.dynamic_b;
    j["threads"] = args_.threads, j["repeat"] = args_.repeat, j["seed"] = args_.seed;
    j["cpu"] = limits_.cpu, j["target"] = limits_.target;
  }

  const Arguments& args_;
  const AlgebraName& algebra_;
  Random random_;
  Granularity g_a_, g_b_, g_c_;
  Contraction contraction_;
  Tensor a_values_, b_values_, a_, b_, sparse_, dense_;
  Pattern pattern_a_, pattern_b_, pattern_c_;
  std::unique_ptr<PreparedOperand> dense_b_, sparse_b_;
  MachineLimits limits_;
  std::vector<double> sparse_ms_, dense_ms_, detect_share_, live_, compute_ms_;
  std::map<std::string, std::vector<double>> predicted_, measured_;
  std::map<std::string, int> rules_;
  double convert_ms_ = 0, difference_ = 0, move_bytes_ = 0, write_bytes_ = 0, scan_bytes_ = 0;
};

std::string matmul_text(const Json& j) {
  std::string text =
      fmt::format("{} {} x {} x {}, zeros {} at {}, {} thread{}, {}\n\n", j["algebra"].get<std::string>(),
                  j["m"].get<std::int64_t>(), j["n"].get<std::int64_t>(), j["k"].get<std::int64_t>(),
                  j["zeros"].get<double>(), j["granularity"].get<std::string>(), j["threads"].get<int>(),
                  j["threads"].get<int>() == 1 ? "" : "s", j["cpu"].get<std::string>());
  auto row = [&](const char* label, const std::string& value) { text += fmt::format("  {:<18}{}\n", label, value); };
  auto ms = [&](const Json& v) { return fmt::format("{:10.3f} ms", v.get<double>()); };
  row("sparse", ms(j["sparse_ms"]) + "   by rule " + j["rule"].get<std::string>());
  row("own dense", ms(j["dense_ms"]) + fmt::format("   {:.2f} times as long", j["speedup"].get<double>()));
  row("limit",
      ms(j["limit_ms"]) + fmt::format("   compute {:.3f}, moving {:.3f}, scan {:.3f}; reached {:.0f} %",
                                      j["limit"]["compute_ms"].get<double>(), j["limit"]["move_ms"].get<double>(),
                                      j["limit"]["scan_ms"].get<double>(), 100 * j["share_of_limit"].get<double>()));
  row("detection", fmt::format("{:10.1f} %    of the sparse time", 100 * j["detect_share"].get<double>()));
  row("live", fmt::format("{:10.2f} %    of all multiply-adds", 100 * j["live_fraction"].get<double>()));
  row("difference", fmt::format("{:>10}      largest, to own dense", j["max_abs_diff"].dump()));
  text += "\n  candidates                        predicted    measured\n";
  for (const Json& c : j["candidates"])
    text += fmt::format("    {:<30}{:9.3f}{:>12}\n", c["rule"].get<std::string>(), c["predicted_ms"].get<double>(),
                        c.contains("measured_ms") ? fmt::format("{:.3f}", c["measured_ms"].get<double>()) : "-");
  return text;
}

// -- detection
// --------------------------------------------------------------------------------------------------------------

Json detect_bench(const Arguments& args) {
  const Granularity g = parse_granularity(args.a.granularity, "--granularity");
  Random random(args.seed);
  const Tensor values = random_tensor(DType::f32, {args.rows, args.columns}, random);
  Tensor x(DType::f32, values.shape()), copy(DType::f32, values.shape());
  const MachineLimits limits = measure_limits(args.threads);
  std::vector<double> detect_ms, index_ms, copy_ms;
  bool correct = true;
  double live = 0;
  for (int i = -1; i < args.repeat; ++i) {
    const Pattern pattern = random_pattern(args.rows, args.columns, g, args.a.zeros, random);
    write_pattern(pattern, values, 0, x);
    std::unique_ptr<LiveSet> found;
    const double detect =
        milliseconds([&] { found = std::make_unique<LiveSet>(LiveSet::detect(x.view(), g, 0, args.threads)); });
    const double index = milliseconds([&] { found->index(); });
    const double copying = milliseconds([&] { std::memcpy(copy.data(), x.data(), x.bytes()); });
    const Tensor mask = found->mask();
    correct = correct && std::equal(pattern.live.begin(), pattern.live.end(), mask.as<std::uint8_t>());
    live = found->fraction();
    if (i < 0) continue;  // warm-up
    detect_ms.push_back(detect), index_ms.push_back(index), copy_ms.push_back(copying);
  }
  const double ms = median_of(detect_ms), read = static_cast<double>(x.bytes());
  const std::int64_t tile_rows = (args.rows + g.rows - 1) / g.rows,
                     words = ((args.columns + g.columns - 1) / g.columns + 63) / 64;
  const auto written = static_cast<double>(tile_rows * words * 8);
  const double limit_ms = (read / limits.read_gbytes + written / limits.write_gbytes) / 1e6;
  return {{"detect_ms", ms},
          {"index_ms", median_of(index_ms)},
          {"memcpy_ms", median_of(copy_ms)},
          {"limit_ms", limit_ms},
          {"gbytes", read / ms / 1e6},
          {"memcpy_gbytes", 2 * read / median_of(copy_ms) / 1e6},
          {"read_gbytes", limits.read_gbytes},
          {"share_of_limit", limit_ms / ms},
          {"live_fraction", live},
          {"correct", correct},
          {"rows", args.rows},
          {"columns", args.columns},
          {"granularity", args.a.granularity},
          {"zeros", args.a.zeros},
          {"threads", args.threads},
          {"repeat", args.repeat},
          {"seed", args.seed},
          {"cpu", limits.cpu},
          {"target", limits.target}};
}

std::string detect_text(const Json& j) {
  return fmt::format(
      "live micro-tiles of {} in {} x {} f32, {} zeros, {} thread(s), {}\n\n"
      "  detection   {:9.3f} ms   {:6.1f} GB/s, {:.0f} % of the limit\n  index lists {:9.3f} ms\n  memcpy      {:9.3f} "
      "ms   {:6.1f} GB/s read and written\n"
      "  limit       {:9.3f} ms   {:6.1f} GB/s\n  {}\n",
      j["granularity"].get<std::string>(), j["rows"].get<std::int64_t>(), j["columns"].get<std::int64_t>(),
      j["zeros"].get<double>(), j["threads"].get<int>(), j["cpu"].get<std::string>(), j["detect_ms"].get<double>(),
      j["gbytes"].get<double>(), 100 * j["share_of_limit"].get<double>(), j["index_ms"].get<double>(),
      j["memcpy_ms"].get<double>(), j["memcpy_gbytes"].get<double>(), j["limit_ms"].get<double>(),
      j["read_gbytes"].get<double>(),
      j["correct"].get<bool>() ? "found exactly the pattern" : "WRONG: not the pattern");
}

constexpr const char* kFooter = R"(Examples:
  pit bench matmul --m 4096 --n 4096 --k 4096 --granularity 32x1 --zeros 0.9 --threads 1 --json
  pit bench matmul --m 32 --k 3072 --n 768 --zeros 0.95 --b-granularity 1x64 --b-zeros 0.75
  pit bench matmul --c-granularity 1x24 --c-zeros 0.9 --algebra max-plus --candidates
  pit bench detect --rows 4096 --columns 4096 --granularity 32x1 --zeros 0.9)";

void add_case_options(CLI::App& command, Arguments& args) {
  command.add_option("--granularity", args.a.granularity, "Micro-tile of A, rows x columns (default: 1x1)")
      ->type_name("RxC");
  command.add_option("--zeros", args.a.zeros, "Share of A's micro-tiles that are absent (default: 0)")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--threads", args.threads, "Threads (default: 1; 0: what this process may use)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--repeat", args.repeat, "Iterations to take medians of (default: 10)")
      ->check(CLI::PositiveNumber);
  command.add_option("--seed", args.seed, "Of the patterns (default: 1)");
  command.add_flag("--json", args.json, "One JSON object instead of a table");
  command.footer(kFooter);
}

}  // namespace

Command add_bench(CLI::App& app) {
  auto args = std::make_shared<Arguments>();
  auto* bench =
      app.add_subcommand("bench", "Measure sparse products, or detection, against own dense and the machine's limit");
  bench->require_subcommand(1);
  bench->footer(kFooter);
  auto* matmul = bench->add_subcommand("matmul", "C[m,n] of A[m,k] and B[k,n]: sparse, dense and the limit in one run");
  for (const auto& [name, extent] : {std::pair{"--m", &args->m}, {"--n", &args->n}, {"--k", &args->k}})
    matmul->add_option(name, *extent, "Extent (default: 1024)")->check(CLI::PositiveNumber);
  add_case_options(*matmul, *args);
  matmul->add_option("--b-granularity", args->b.granularity, "Micro-tile of B")->type_name("RxC");
  matmul->add_option("--b-zeros", args->b.zeros, "Share of B's micro-tiles that are absent")
      ->check(CLI::Range(0.0, 1.0));
  matmul->add_option("--c-granularity", args->c.granularity, "Micro-tile of C")->type_name("RxC");
  matmul->add_option("--c-zeros", args->c.zeros, "Share of C's micro-tiles that nobody wants")
      ->check(CLI::Range(0.0, 1.0));
  matmul->add_option("--algebra", args->algebra, "sum, max-plus, min-plus, logsumexp or or-and (default: sum)")
      ->check(CLI::IsMember({"sum", "max-plus", "min-plus", "logsumexp", "or-and"}));
  matmul->add_option("--rule", args->rule, "Compute by this rule: its name, or the first word of it; \"dense\"");
  matmul->add_flag("--dynamic-b,!--static-b", args->dynamic_b,
                   "B arrives with every call (default: static, prepared once)");
  matmul->add_flag("--learn,!--no-learn", args->learn,
                   "Measured times correct the predicted ones, from call to call (default: on)");
  matmul->add_flag("--candidates", args->candidates, "Also measure every candidate");
  auto* detect = bench->add_subcommand("detect", "Finding live micro-tiles in values");
  detect->add_option("--rows", args->rows, "Extent (default: 4096)")->check(CLI::PositiveNumber);
  detect->add_option("--columns", args->columns, "Extent (default: 4096)")->check(CLI::PositiveNumber);
  add_case_options(*detect, *args);
  return {"bench", [args, matmul] {
            const bool product = matmul->parsed();
            const Json j = product ? MatmulBench(*args).run() : detect_bench(*args);
            print(args->json ? j.dump() : product ? matmul_text(j) : detect_text(j));
          }};
}

}  // namespace pit::cli
