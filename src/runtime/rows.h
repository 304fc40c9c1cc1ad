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
  void check_lookups(const LiveList& rows) const;
  void list_readers();
  void clear_zero_rows() const;
  void make_tasks(const LiveList& rows, std::vector<Task>& tasks) const;
  void run_task(const Task& t, const LiveList& rows, const LiveList& mid, int worker) const;

  Run& run_;
  const Step& step_;
  const RowPlan& plan_;
  const fuse::Group& group_;
  detect::IndexSet readers_;  ///< of the rows, where the group has readers
};

}  // namespace pit::runtime
