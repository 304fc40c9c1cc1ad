// pit bench, pit tune, pit limits.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace pit::cli {

/// What to do when the command was given.
struct Command {
  std::string name;
  std::function<void()> run;
};

Command add_bench(CLI::App& app);
Command add_tune(CLI::App& app);
Command add_limits(CLI::App& app);

/// To standard output, with a newline at the end.
void print(const std::string& text);

}  // namespace pit::cli
