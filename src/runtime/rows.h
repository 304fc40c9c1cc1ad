// Running row steps: live rows, outer loops, tasks.
#pragma once

#include "detect/inverse.h"
#include "runtime/run.h"

namespace pit::runtime {

class RowRunner {
 public:
  RowRunner(Run& run, const Step& step, const RowPlan& plan);
  void operator()();

 private:
  struct Task {
    std::int64_t outer, begin, end;
  };
  /// What a kernel is called with; its memory serves one call after the other.
  struct Call {
    std::vector<void*> ptrs;
    std::vector<std::int64_t> ints, at;
  };
  void check_lookups(const LiveList& rows) const;
  void list_readers();
  void note_kept_rows();
  std::int64_t row_stride(int operand) const;
  void clear_zero_rows() const;
  void make_tasks(const LiveList& rows, std::vector<Task>& tasks) const;
  void run_task(const Task& t, const LiveList& rows, const LiveList& mid, int worker, Call& call) const;

  Run& run_;
  const Step& step_;
  const RowPlan& plan_;
  const fuse::Group& group_;
  detect::IndexSet readers_;  ///< of the rows, where the group has readers
  /// Rows that no k writes are copied from one operand to the other; -1: the kernel visits them, too.
  int kept_ = -1, written_ = -1;
};

}  // namespace pit::runtime
