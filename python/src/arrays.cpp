#include "arrays.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "errors.h"

namespace nb = nanobind;

namespace pit::python {
namespace {

constexpr auto kFloat = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float);
constexpr auto kInt = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int);
constexpr auto kUInt = static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt);
constexpr auto kBool = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bool);

constexpr std::pair<DType, nb::dlpack::dtype> kTypes[] = {
    {DType::f32, {kFloat, 32, 1}}, {DType::f64, {kFloat, 64, 1}}, {DType::f16, {kFloat, 16, 1}},
    {DType::i64, {kInt, 64, 1}},   {DType::i32, {kInt, 32, 1}},   {DType::i8, {kInt, 8, 1}},
    {DType::u8, {kUInt, 8, 1}},    {DType::b8, {kBool, 8, 1}},
};

std::optional<DType> dtype_from(nb::dlpack::dtype type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  return std::nullopt;
}

nb::dlpack::dtype dtype_to(DType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == type) return theirs;
  }
  throw InternalError(std::string("no DLPack type for ") + name_of(type));
}

std::string type_of(nb::handle value) { return nb::type_name(value.type()).c_str(); }

/// "a value of type ndarray of uint16": what a message says about a value that we cannot take.
std::string describe(nb::handle value) {
  std::string text = "a value of type " + type_of(value);
  nb::object dtype = nb::getattr(value, "dtype", nb::none());
  if (!dtype.is_none()) text += std::string(" of ") + nb::str(dtype).c_str();
  return text;
}

[[noreturn]] void refuse(const std::string& name, const std::string& what) {
  throw InputError("'" + name + "': " + what, {}, name);
}

bool aligned(const nb::ndarray<nb::ro>& array) {
  const std::size_t size = std::max<std::size_t>(1, array.itemsize());
  return reinterpret_cast<std::uintptr_t>(array.data()) % size == 0;
}

bool is_numpy(nb::handle value) {
  // NumPy is imported by the package, so this is a look-up, not an import.
  return nb::isinstance(value, nb::module_::import_("numpy").attr("ndarray"));
}

/// What an object says of itself by DLPack, which nanobind would ask without telling why it failed; anything else is
/// the value itself.
nb::object exported(const std::string& name, nb::handle value) {
  if (is_numpy(value) || !nb::hasattr(value, "__dlpack__")) return nb::borrow(value);
  try {
    return value.attr("__dlpack__")();
  } catch (nb::python_error& e) {
    raise_input_error(e, "'" + name + "': " + describe(value) + " cannot be read: its __dlpack__ failed", name);
  }
}

nb::ndarray<nb::ro> import_array(const std::string& name, nb::handle value) {
  nb::ndarray<nb::ro> array;
  const nb::object given = exported(name, value);
  const bool imported = nb::try_cast(given, array, false);
  if (imported && aligned(array)) return array;
  if (is_numpy(value)) {
    // Views into structured or byte-swapped buffers: NumPy can say the same in memory that we can read.
    nb::object copy = value.attr("astype")(value.attr("dtype").attr("newbyteorder")("="), nb::arg("order") = "C",
                                           nb::arg("copy") = true);
    if (nb::try_cast(copy, array, false) && aligned(array)) return array;
  } else if (imported) {
    refuse(name, "its memory is not aligned to its element size; pass a copy");
  }
  refuse(name, describe(value) +
                   " cannot be read; pass a NumPy array, or an object with __dlpack__ in CPU memory, of type float32, "
                   "float64, float16, int64, int32, int8, uint8 or bool");
}

TensorView view_of(const std::string& name, nb::handle value, const nb::ndarray<nb::ro>& array) {
  if (array.device_type() != nb::device::cpu::value) refuse(name, "it is not in CPU memory; move it there first");
  const std::optional<DType> dtype = dtype_from(array.dtype());
  if (!dtype) {
    refuse(name, describe(value) +
                     " is none that PIT knows; it reads float32, float64, float16, int64, int32, int8, uint8 and bool");
  }
  TensorView view;
  view.data = const_cast<void*>(array.data());
  view.dtype = *dtype;
  std::int64_t contiguous = 1;
  bool dense = true;
  view.shape.resize(array.ndim());
  std::vector<std::int64_t> strides(array.ndim());
  for (std::size_t axis = array.ndim(); axis-- > 0;) {
    view.shape[axis] = static_cast<std::int64_t>(array.shape(axis));
    strides[axis] = array.stride(axis);
    // The stride of an axis of one element is arbitrary, and NumPy makes use of that.
    if (view.shape[axis] > 1 && strides[axis] != contiguous) dense = false;
    contiguous *= view.shape[axis];
  }
  if (!dense && contiguous != 0) view.strides = std::move(strides);
  return view;
}

}  // namespace

Array::Array(const std::string& name, nb::handle value) : owner_(import_array(name, value)) {
  view_ = view_of(name, value, owner_);
}

Array Array::writable(const std::string& name, nb::handle value) {
  nb::ndarray<> array;
  if (!nb::try_cast(value, array, false)) {
    refuse(name, describe(value) +
                     " cannot be written to; pass a writable NumPy array, or an object with __dlpack__ in CPU memory");
  }
  Array out;
  out.owner_ = nb::ndarray<nb::ro>(array);
  if (!aligned(out.owner_)) refuse(name, "its memory is not aligned to its element size");
  out.view_ = view_of(name, value, out.owner_);
  return out;
}

namespace {

/// A key of `inputs` or `out`. Strings that are no text (lone surrogates) name nothing.
std::string name_of_key(const nb::handle& key, const char* what) {
  if (!nb::isinstance<nb::str>(key))
    throw InputError(std::string("names of ") + what + " are strings, not " + type_of(key));
  std::string name;
  if (!nb::try_cast(key, name))
    throw InputError(std::string("there is no such name among the ") + what + ": " +
                     nb::cast<std::string>(nb::repr(key)));
  return name;
}

}  // namespace

Arguments::Arguments(const nb::dict& inputs) {
  owners_.reserve(inputs.size());
  for (const auto& [key, value] : inputs) {
    std::string name = name_of_key(key, "inputs");
    owners_.emplace_back(name, value);
    views_.emplace(std::move(name), owners_.back().view());
  }
}

Targets::Targets(const nb::dict& out) {
  owners_.reserve(out.size());
  for (const auto& [key, value] : out) {
    std::string name = name_of_key(key, "outputs");
    owners_.push_back(Array::writable(name, value));
    views_.emplace(std::move(name), owners_.back().view());
  }
}

nb::object to_numpy(const std::string& name, const Tensor& tensor) {
  // nanobind would end the process, or give an array of no dimensions.
  static const std::size_t most =
      nb::cast<int>(nb::module_::import_("numpy")
                        .attr("lib")
                        .attr("NumpyVersion")(nb::module_::import_("numpy").attr("__version__"))
                        .attr("major")) >= 2
          ? 64
          : 32;
  if (tensor.shape().size() > most)
    throw UnsupportedError("output '" + name + "' has " + std::to_string(tensor.shape().size()) +
                               " dimensions; NumPy arrays have at most " + std::to_string(most),
                           {}, name);
  auto* keeper = new Tensor(tensor);
  nb::capsule owner(keeper, [](void* p) noexcept { delete static_cast<Tensor*>(p); });
  std::vector<std::size_t> shape(tensor.shape().begin(), tensor.shape().end());
  const nb::ndarray<nb::numpy> array(keeper->data(), shape.size(), shape.data(), owner, nullptr,
                                     dtype_to(tensor.dtype()));
  try {
    return nb::cast(array, nb::rv_policy::reference);  // any other policy copies a temporary
  } catch (nb::python_error& e) {
    raise_input_error(e, "output '" + name + "' of shape " + to_string(tensor.shape()) + " cannot become a NumPy array",
                      name);
  }
}

}  // namespace pit::python
