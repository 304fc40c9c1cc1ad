// The GIL, by threads that may outlive the interpreter. Once Python ends, a thread that asks for the GIL is ended in
// the middle of its C++ frames, which ends the process; a thread of ours stops there instead, and is gone when the
// process is.
#pragma once

#include <cxxabi.h>
#include <nanobind/nanobind.h>
#include <unistd.h>

namespace pit::python {

[[noreturn]] inline void stop_here() {
  for (;;) pause();
}

/// Gives the GIL away for its lifetime.
class WithoutGil {
 public:
  WithoutGil() noexcept : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
      stop_here();
    }
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

/// Takes the GIL for its lifetime, from any thread.
class WithGil {
 public:
  WithGil() noexcept {
    try {
      state_ = PyGILState_Ensure();
    } catch (abi::__forced_unwind&) {
      stop_here();
    }
  }
  ~WithGil() { PyGILState_Release(state_); }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_{};
};

}  // namespace pit::python
