// What compiling is at: a line of the log per stage, the caller's progress, and a place to be cancelled. A scope holds
// for its thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace pit {

class Stages {
 public:
  using Progress = std::function<void(std::string_view stage, double share)>;
  /// `what`: of the log lines, e.g. "compile 'bert.onnx'". `progress` may be empty.
  Stages(std::string what, Progress progress);
  ~Stages();
  Stages(const Stages&) = delete;
  Stages& operator=(const Stages&) = delete;

  /// Ends the stage before. `share`: of all the time, as a rule, that lies behind.
  static void begin(std::string_view stage, double share);
  /// Within a stage that ends at `end`: `done` of it.
  static void advance(double done, double end);
  /// To be appended to the log line of this stage.
  static void note(std::string text);
  /// All is done.
  static void end();

 private:
  using Clock = std::chrono::steady_clock;
  void finish_stage();

  std::string what_, stage_, note_;
  Progress progress_;
  double share_ = 0, shown_ = 0;
  Clock::time_point start_, stage_start_;
  Stages* outer_;
};

}  // namespace pit
