// Arrays between Python and PIT: views of what comes in, arrays around what goes out. Nothing is copied
// unless an input's memory cannot be described by a TensorView (unaligned NumPy arrays, strides that are no multiple of
// an element).
#pragma once

#include <map>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <string>
#include <vector>

#include "pit/pit.h"

namespace pit::python {

/// One array of a call, with the Python object that owns its memory. Create and destroy with the GIL held.
class Array {
 public:
  /// Throws InputError naming the tensor for anything that is not a CPU array of a known type.
  Array(const std::string& name, nanobind::handle value);
  /// To be written to in place: also throws where it is read-only or cannot be described by a TensorView.
  static Array writable(const std::string& name, nanobind::handle value);

  const TensorView& view() const { return view_; }

 private:
  Array() = default;
  TensorView view_;
  nanobind::ndarray<nanobind::ro> owner_;
};

/// Named inputs of one call. Create and destroy with the GIL held.
class Arguments {
 public:
  /// Views every value of `inputs`, as Array does.
  explicit Arguments(const nanobind::dict& inputs);

  const std::map<std::string, TensorView>& views() const { return views_; }

 private:
  std::map<std::string, TensorView> views_;
  std::vector<Array> owners_;
};

/// Named arrays that a call's outputs are written to. Create and destroy with the GIL held.
class Targets {
 public:
  explicit Targets(const nanobind::dict& out);

  const std::map<std::string, TensorView>& views() const { return views_; }

 private:
  std::map<std::string, TensorView> views_;
  std::vector<Array> owners_;
};

/// A NumPy array that shares the tensor's storage and keeps it alive. UnsupportedError naming the tensor where NumPy
/// has no such array.
nanobind::object to_numpy(const std::string& name, const Tensor& tensor);

}  // namespace pit::python
