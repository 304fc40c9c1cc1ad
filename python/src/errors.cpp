#include "errors.h"

#include <exception>

namespace nb = nanobind;

namespace pit::python {
namespace {

/// The class of that name.
nb::object make(const char* type, std::string_view message, std::string_view op, std::string_view tensor) {
  return nb::module_::import_("pit.errors").attr(type)(text(message), text(op), text(tensor));
}

void raise(const char* type, const Error& error) {
  const nb::object value = make(type, error.what(), error.op(), error.tensor());
  PyErr_SetObject(value.type().ptr(), value.ptr());
}

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const ModelError& e) {
    raise("ModelError", e);
  } catch (const UnsupportedError& e) {
    raise("UnsupportedError", e);
  } catch (const InputError& e) {
    raise("InputError", e);
  } catch (const CancelledError& e) {
    raise("CancelledError", e);
  } catch (const InternalError& e) {
    raise("InternalError", e);
  } catch (const Error& e) {
    raise("PitError", e);
  }
}

}  // namespace

nb::object text(std::string_view bytes) {
  return nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "backslashreplace"));
}

void raise_input_error(nb::python_error& cause, const std::string& message, const std::string& tensor) {
  if (!cause.matches(PyExc_Exception)) throw;
  const std::string words = nb::str(cause.value()).c_str();
  const nb::object value =
      make("InputError",
           message + ": " + std::string(nb::type_name(cause.type()).c_str()) + (words.empty() ? "" : ": " + words), "",
           tensor);
  PyException_SetCause(value.ptr(), cause.value().inc_ref().ptr());
  PyErr_SetObject(value.type().ptr(), value.ptr());
  throw nb::python_error();
}

void bind_errors(nb::module_&) { nb::register_exception_translator(translate); }

}  // namespace pit::python
