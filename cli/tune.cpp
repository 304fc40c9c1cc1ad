#include "pit/tune.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "bench.h"

namespace pit::cli {
namespace {

/// One line that is written over, for people only.
void draw_progress(double share, void*) {
  constexpr int width = 40;
  const double done = std::clamp(share, 0.0, 1.0);
  const int full = static_cast<int>(done * width);
  fmt::print(stderr, "\r[{:<{}}] {:3.0f} %", std::string(static_cast<std::size_t>(full), '='), width, done * 100);
  if (done >= 1) fmt::print(stderr, "\n");
  std::fflush(stderr);
}

struct Arguments {
  std::string cache_dir;
  int threads = 1;
  bool json = false;
};

}  // namespace

Command add_tune(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "tune", "Measure this machine's dense tiles, for the choice of rules by later calls (under 30 s)");
  command->add_option("--cache-dir", arguments->cache_dir, "Where to keep them (default: where compiled code is kept)")
      ->type_name("DIR");
  command->footer("Example:\n  pit tune\n  PIT_CPU=haswell pit tune        for another instruction set");
  return {"tune", [arguments] {
            TuneOptions options;
            options.cache_dir = arguments->cache_dir;
            if (isatty(STDERR_FILENO) != 0) options.progress = &draw_progress;
            print(tune(options));
          }};
}

Command add_limits(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("limits", "Measure this machine's peak and bandwidths (about a second)");
  command->add_option("--threads", arguments->threads, "Threads (default: 1; 0: what this process may use)")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--json", arguments->json, "JSON instead of a table");
  command->footer("Example:\n  pit limits --threads 2 --json");
  return {"limits", [arguments] {
            const MachineLimits l = measure_limits(arguments->threads);
            if (arguments->json) {
              const nlohmann::ordered_json j = {{"cpu", l.cpu},
                                                {"target", l.target},
                                                {"threads", l.threads},
                                                {"fma_gflops", l.fma_gflops},
                                                {"read_gbytes", l.read_gbytes},
                                                {"write_gbytes", l.write_gbytes},
                                                {"copy_gbytes", l.copy_gbytes},
                                                {"l2_read_gbytes", l.l2_read_gbytes},
                                                {"l3_read_gbytes", l.l3_read_gbytes}};
              print(j.dump(2));
              return;
            }
            print(
                fmt::format("{}, {}, {} thread{}\n  multiply-adds   {:8.1f} GFLOP/s\n  memory, read    {:8.1f} GB/s\n  "
                            "memory, write   {:8.1f} GB/s\n"
                            "  memory, copy    {:8.1f} GB/s read and written\n  L2, read        {:8.1f} GB/s\n  L3, "
                            "read        {:8.1f} GB/s",
                            l.cpu, l.target, l.threads, l.threads == 1 ? "" : "s", l.fma_gflops, l.read_gbytes,
                            l.write_gbytes, l.copy_gbytes, l.l2_read_gbytes, l.l3_read_gbytes));
          }};
}

}  // namespace pit::cli
