// PIT's errors in Python: classes of pit.errors, which take (message, op, tensor).
#pragma once

#include <nanobind/nanobind.h>
#include <string>
#include <string_view>

#include "pit/error.h"

namespace pit::python {

/// Names come out of the model's file, which may hold any bytes; a message about them must not fail because of them.
nanobind::object text(std::string_view bytes);

/// An InputError about the tensor, raised from the exception that Python code has thrown just now, with its words at
/// the end. What is no Exception (KeyboardInterrupt) stays itself. Called where `cause` is caught.
[[noreturn]] void raise_input_error(nanobind::python_error& cause, const std::string& message,
                                    const std::string& tensor);

void bind_errors(nanobind::module_& m);

}  // namespace pit::python
