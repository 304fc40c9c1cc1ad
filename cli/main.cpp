// The command line: pit explain | run | profile | ops | bench | tune | limits.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "bench.h"
#include "inputs.h"
#include "npy.h"

#include "pit/pit.h"

namespace pit::cli {
namespace {

/// What scripts can rely on; 0 is success.
enum ExitCode { kOk = 0, kUsage = 2, kModel = 3, kUnsupported = 4, kInput = 5, kInternal = 70 };

constexpr const char* kFooter = R"(Examples:
  pit explain minilm.onnx                          what PIT found, operator by operator
  pit explain minilm.onnx --lengths 64,50,33,7     with the live share for such a batch
  pit explain minilm.onnx --dump groups            what one stage of the compiler has made of it
  pit explain minilm.onnx --dump graph,kernels     (graph, masks, groups, schedules, kernels, asm)
  pit run minilm.onnx --input input_ids=ids.npy --input attention_mask=mask.npy \
      --input token_type_ids=types.npy --output-dir out
  pit profile minilm.onnx --lengths 128,90,17 --trace trace.json
  pit explain tokens.onnx --output last_hidden_state=attention_mask
  pit explain big.onnx --limit operators=100000    where functions and branches add many operators
  pit ops --json
  pit bench matmul --m 4096 --n 4096 --k 4096 --granularity 32x1 --zeros 0.9 --json
  pit tune                                         measure this machine once, for better choices

Exit codes: 0 done; 2 wrong usage; 3 the model file is broken; 4 the model uses something PIT does not support;
5 an input or option does not fit the model; 70 a bug in PIT.)";

struct Arguments {
  std::string model;
  std::vector<std::string> files, outputs, limits, dumps;
  std::vector<std::int64_t> lengths;
  std::string output_dir, trace;
  std::string sparsity = "auto";
  int threads = 0, repeat = 5;
  bool json = false;
};

CompileOptions options_of(const Arguments& arguments) {
  CompileOptions options;
  options.threads = arguments.threads;
  options.sparsity = arguments.sparsity == "off" ? Sparsity::off : Sparsity::automatic;
  for (const std::string& limit : arguments.limits) {
    const auto [name, value] = split_assignment(limit, "--limit");
    set_limit(options.limits, name, whole_number(value, "--limit"));
  }
  for (const std::string& output : arguments.outputs) {
    if (output.find('=') == std::string::npos) {
      options.outputs.push_back({output, {}});
    } else {
      auto [name, mask] = split_assignment(output, "--output");
      options.outputs.push_back({std::move(name), std::move(mask)});
    }
  }
  return options;
}

void explain(const Arguments& arguments) {
  const Model model = Model::load(arguments.model, options_of(arguments));
  const bool given = !arguments.files.empty() || !arguments.lengths.empty();
  TensorMap inputs;
  if (given) inputs = gather_inputs(model.inputs(), arguments.files, arguments.lengths);
  const auto views = views_of(inputs);
  if (arguments.dumps.empty()) print(model.explain(given ? &views : nullptr, arguments.json));
  std::string text;  // a wrong name prints nothing
  for (const std::string& stage : arguments.dumps) text += model.dump(stage, given ? &views : nullptr);
  if (!text.empty()) print(text);
}

/// A file name for an output: names in ONNX may hold slashes, and two of them may differ only there.
std::string file_name(const std::string& output, std::set<std::string>& taken) {
  std::string stem = output;
  for (char& c : stem) {
    if (c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 32) c = '_';
  }
  if (stem.empty() || stem.front() == '.') stem.insert(0, "_");
  std::string name = stem;
  for (int i = 1; !taken.insert(name).second; ++i) name = fmt::format("{}.{}", stem, i);
  return name + ".npy";
}

void run(const Arguments& arguments) {
  const Model model = Model::load(arguments.model, options_of(arguments));
  const TensorMap inputs = gather_inputs(model.inputs(), arguments.files, arguments.lengths);
  const TensorMap results = model.run(views_of(inputs));
  std::error_code error;
  std::filesystem::create_directories(arguments.output_dir, error);
  if (error)
    throw InputError(fmt::format("--output-dir '{}' cannot be made: {}", arguments.output_dir, error.message()));
  std::set<std::string> taken;
  for (const TensorInfo& info : model.outputs()) {
    const auto found = results.find(info.name);
    if (found == results.end()) continue;
    const std::string path = (std::filesystem::path(arguments.output_dir) / file_name(info.name, taken)).string();
    write_npy(path, found->second);
    print(fmt::format("{}  {} {}  {}", info.name, name_of(found->second.dtype()), to_string(found->second.shape()),
                      path));
  }
}

void profile(const Arguments& arguments) {
  const Model model = Model::load(arguments.model, options_of(arguments));
  const TensorMap inputs = gather_inputs(model.inputs(), arguments.files, arguments.lengths);
  const auto views = views_of(inputs);
  if (!arguments.trace.empty()) {
    // The whole report: viewers read its "traceEvents" and leave the rest alone.
    std::ofstream file(arguments.trace, std::ios::binary);
    file << model.profile(views, arguments.repeat, true) << '\n';
    file.close();
    if (!file) throw InputError(fmt::format("--trace '{}' cannot be written", arguments.trace));
  }
  print(model.profile(views, arguments.repeat, arguments.json));
}

void add_model_options(CLI::App& command, Arguments& arguments) {
  command.add_option("model", arguments.model, "The ONNX file")->required()->type_name("MODEL");
  command.add_option("--input", arguments.files, "An input of the model, NAME=FILE.npy; once per input")
      ->type_name("NAME=FILE");
  command
      .add_option("--lengths", arguments.lengths,
                  "Make token ids and masks for a batch of sequences of these lengths, padded to the longest, for "
                  "every input that "
                  "--input does not name")
      ->delimiter(',')
      ->type_name("N,N,...");
  command
      .add_option("--output", arguments.outputs,
                  "An output to compute (default: all); NAME=MASK needs it only where the input MASK is not zero")
      ->type_name("NAME[=MASK]");
  command.add_option("--threads", arguments.threads, "Threads (default, and 0: what this process may use)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--sparsity", arguments.sparsity, "auto, or off: compute everything")
      ->check(CLI::IsMember({"auto", "off"}));
  command
      .add_option(
          "--limit", arguments.limits,
          "Let a model ask for more, or less, while it is compiled: rank (64 dimensions), elements (2^44 of a tensor), "
          "operators (20000 that functions and branches add), nesting (64 of these), folding (2^23 elements that are "
          "computed now)")
      ->type_name("NAME=N");
  // One value each time: otherwise a model named after an option would be swallowed by it.
  for (const char* name : {"--input", "--output", "--lengths", "--limit"}) {
    command.get_option(name)->expected(1)->allow_extra_args(false)->take_all();
  }
}

int fail(ExitCode code, const char* kind, const Error& error) {
  std::string text = fmt::format("pit: {}: {}", kind, error.what());
  for (const auto& [label, name] : {std::pair{"operator", error.op()}, std::pair{"tensor", error.tensor()}}) {
    if (!name.empty() && text.find(name) == std::string::npos) text += fmt::format(" ({}: {})", label, name);
  }
  fmt::print(stderr, "{}\n", text);
  return code;
}

int dispatch(CLI::App& app, const Arguments& arguments, const std::vector<Command>& commands) {
  if (app.got_subcommand("explain")) explain(arguments);
  if (app.got_subcommand("run")) run(arguments);
  if (app.got_subcommand("profile")) profile(arguments);
  if (app.got_subcommand("ops")) print(op_table(arguments.json));
  for (const Command& command : commands)
    if (app.got_subcommand(command.name)) command.run();
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
    fmt::print(stderr, "pit: the output could not be written\n");
    return kInternal;
  }
  return kOk;
}

void add_commands(CLI::App& app, Arguments& arguments) {
  app.require_subcommand(1);
  app.set_version_flag("--version", fmt::format("pit {}", version()));
  app.footer(kFooter);
  auto* explain =
      app.add_subcommand("explain", "Say what PIT found: expressions, permutable axes, sources of sparsity, demand");
  auto* run = app.add_subcommand("run", "Run a model on .npy files and write its outputs as .npy files");
  auto* profile = app.add_subcommand("profile", "Run a model with a clock per operator: time, live fraction, rule");
  auto* ops = app.add_subcommand("ops", "List the supported operators with their expressions and permutable axes");
  for (CLI::App* command : {explain, run, profile}) {
    add_model_options(*command, arguments);
    command->footer(kFooter);
  }
  for (CLI::App* command : {explain, profile, ops})
    command->add_flag("--json", arguments.json, "JSON instead of a table");
  explain
      ->add_option("--dump", arguments.dumps,
                   "Instead, what stages of the compiler have made of the model, as text: graph, masks, groups, "
                   "schedules (for the inputs, if there are any), kernels, asm")
      ->delimiter(',')
      ->type_name("STAGE,...")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all()
      ->excludes("--json");
  run->add_option("--output-dir", arguments.output_dir, "Where to write NAME.npy per output")
      ->required()
      ->type_name("DIR");
  profile->add_option("--repeat", arguments.repeat, "Runs to take the median of (default: 5)")
      ->check(CLI::PositiveNumber);
  profile->add_option("--trace", arguments.trace, "Also write the report for Perfetto or chrome://tracing")
      ->type_name("FILE");
}

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("PIT compiles an ordinary ONNX model and computes only what padding and masks leave to compute.", "pit");
  add_commands(app, arguments);
  const std::vector<Command> commands = {add_bench(app), add_tune(app), add_limits(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kOk : kUsage;
  }
  set_log_hook([](LogLevel level, std::string_view message) {
    if (level == LogLevel::warning) fmt::print(stderr, "pit: warning: {}\n", message);
  });
  try {
    return dispatch(app, arguments, commands);
  } catch (const UsageError& e) {
    fmt::print(stderr, "pit: {}\n", e.what());
    return kUsage;
  } catch (const ModelError& e) {
    return fail(kModel, "model error", e);
  } catch (const UnsupportedError& e) {
    return fail(kUnsupported, "not supported", e);
  } catch (const InputError& e) {
    return fail(kInput, "input error", e);
  } catch (const Error& e) {
    return fail(kInternal, "please report this", e);
  } catch (const std::exception& e) {
    return fail(kInternal, "please report this", InternalError(e.what()));
  }
}

}  // namespace

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (text.empty() || text.back() != '\n') std::fputc('\n', stdout);
}

}  // namespace pit::cli

// What escapes is a mistake in the declarations of the options, before anything was asked for.
int main(int argc, char** argv) { return pit::cli::main(argc, argv); }  // NOLINT(bugprone-exception-escape)
