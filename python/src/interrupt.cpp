#include "interrupt.h"

#include <string>
#include <unistd.h>

namespace nb = nanobind;

namespace pit::python {

// Python runs signal handlers in its main thread only, which is the process's first.
Interruptible::Interruptible(nb::handle token) : gets_signals_(gettid() == getpid()), token_([this] { return ask(); }) {
  if (token.is_none()) return;
  if (!nb::isinstance<CancelToken>(token))
    throw InputError("cancel is a pit.CancelToken or None, not " + std::string(nb::type_name(token.type()).c_str()));
  given_ = nb::cast<CancelToken>(token);
  if (given_->cancelled()) token_.cancel();
}

bool Interruptible::ask() {
  if (given_ && given_->cancelled()) return true;
  if (!gets_signals_) return false;
  const WithGil gil;
  if (PyErr_CheckSignals() == 0) return false;
  try {
    throw nb::python_error();
  } catch (...) {
    raised_ = std::current_exception();
  }
  return true;
}

void bind_cancel(nb::module_& m) {
  nb::class_<CancelToken>(m, "CancelToken",
                          "Ends computations: give it to calls as `cancel`, and call cancel() from another thread.")
      .def(nb::init<>())
      .def("cancel", &CancelToken::cancel,
           "The calls that it was given to end soon, with a CancelledError; so do later ones.")
      .def("cancelled", &CancelToken::cancelled, "Whether cancel() was called.");
}

}  // namespace pit::python
