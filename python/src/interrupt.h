// What may take long runs without the GIL, and ends at Ctrl-C or by the caller's token.
#pragma once

#include <exception>
#include <nanobind/nanobind.h>
#include <optional>

#include "gil.h"

#include "pit/pit.h"

namespace pit::python {

/// One call. Create and destroy with the GIL held.
class Interruptible {
 public:
  /// `token`: a CancelToken or None.
  explicit Interruptible(nanobind::handle token);
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  /// For the options of the call.
  const CancelToken& token() const { return token_; }

  /// f() without the GIL. What a signal handler or a progress raised comes out of it.
  template <class F>
  auto run(F&& f) {
    try {
      const WithoutGil released;
      return f();
    } catch (const CancelledError&) {
      if (raised_) std::rethrow_exception(raised_);
      throw;
    }
  }

  /// callback(arguments...) with the GIL, from within `run`. An Exception of it is reported as those of destructors
  /// are, for a progress that fails must not end the work; what is none (KeyboardInterrupt, SystemExit) ends it and
  /// comes out of `run`.
  template <class... Arguments>
  void call(nanobind::handle callback, const Arguments&... arguments) {
    const WithGil gil;
    try {
      callback(nanobind::cast(arguments)...);
    } catch (nanobind::python_error& e) {
      if (e.matches(PyExc_Exception)) return e.discard_as_unraisable(callback);
      raised_ = std::current_exception();
      throw CancelledError("cancelled");
    }
  }

 private:
  bool ask();

  std::optional<CancelToken> given_;
  bool gets_signals_;
  std::exception_ptr raised_;
  CancelToken token_;
};

void bind_cancel(nanobind::module_& m);

}  // namespace pit::python
