// Runs the loop nests of a step: statement after statement, the rows of each shared out between the workers.
#pragma once

#include "contract/buffers.h"
#include "runtime/run.h"

namespace pit::runtime {

class NestRunner {
 public:
  NestRunner(Run& run, const Step& step, const NestPlan& plan);
  /// Throws InputError for an index that is looked up out of range, in what was visited of the first statement that has one.
  void operator()();

 private:
  /// What a worker's kernels have found wrong: 1 + the nest's operand, and the index.
  struct alignas(64) Status {
    std::int64_t operand = 0, index = 0;
  };
  void clear_zero_rows() const;
  void run_nest(std::size_t n, const LiveList& rows);
  void check(std::size_t n, const std::vector<Status>& found) const;
  char* address(const fuse::Operand& o) const;

  Run& run_;
  const Step& step_;
  const NestPlan& plan_;
  const fuse::Group& group_;
  std::map<expr::TensorId, contract::Buffer> temporaries_;
};

}  // namespace pit::runtime
