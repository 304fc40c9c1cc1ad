// Arrays at the door between Python and PIT: views of what comes in, arrays around what goes out. Nothing is copied
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

/// Named inputs of one call, with the Python objects that own their memory. Create and destroy with the GIL held.
class Arguments {
 public:
  /// Views every value of `inputs`. Throws InputError naming the tensor for anything that is not a CPU array of a known
  /// type.
  explicit Arguments(const nanobind::dict& inputs);

  const std::map<std::string, TensorView>& views() const { return views_; }

 private:
  std::map<std::string, TensorView> views_;
  std::vector<nanobind::ndarray<nanobind::ro>> owners_;
};

/// A NumPy array that shares the tensor's storage and keeps it alive.
nanobind::object to_numpy(const Tensor& tensor);

}  // namespace pit::python
