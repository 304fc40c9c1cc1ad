// Element types, shapes and tensors at the public API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pit/export.h"

namespace pit {

/// Element types. `b8` is a boolean in one byte, 0 or 1.
enum class DType : std::uint8_t { f32, f64, f16, i64, i32, i8, u8, b8 };

/// Bytes per element.
PIT_API std::size_t size_of(DType t) noexcept;
/// "f32", "i64", "bool", ...
PIT_API const char* name_of(DType t) noexcept;

/// Extents, outermost first. A scalar has no extents.
using Shape = std::vector<std::int64_t>;

/// Number of elements (1 for a scalar). Throws InputError if an extent is negative or the product overflows 63 bits.
PIT_API std::int64_t element_count(const Shape& shape);
/// "[2, 17, 384]"
PIT_API std::string to_string(const Shape& shape);

/// A non-owning view of a strided tensor; strides are in elements and may be zero or negative.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::int64_t> strides;  // empty means contiguous, row-major
};

/// An owning, contiguous, row-major tensor; copies share the storage (64-byte aligned).
class PIT_API Tensor {
 public:
  Tensor() = default;
  /// Uninitialised storage. Throws InputError for an absurd shape, std::bad_alloc when memory runs out.
  Tensor(DType dtype, Shape shape);
  /// Adopts `data`, kept alive by `owner`.
  Tensor(DType dtype, Shape shape, void* data, std::shared_ptr<void> owner);

  DType dtype() const noexcept { return dtype_; }
  const Shape& shape() const noexcept { return shape_; }
  std::int64_t size() const noexcept { return size_; }
  std::size_t bytes() const noexcept { return static_cast<std::size_t>(size_) * size_of(dtype_); }
  void* data() noexcept { return data_; }
  const void* data() const noexcept { return data_; }
  template <class T>
  T* as() noexcept {
    return static_cast<T*>(data_);
  }
  template <class T>
  const T* as() const noexcept {
    return static_cast<const T*>(data_);
  }
  bool defined() const noexcept { return static_cast<bool>(owner_); }
  const std::shared_ptr<void>& owner() const noexcept { return owner_; }

  TensorView view() const { return {data_, dtype_, shape_, {}}; }

 private:
  DType dtype_ = DType::f32;
  Shape shape_;
  std::int64_t size_ = 0;
  void* data_ = nullptr;
  std::shared_ptr<void> owner_;
};

}  // namespace pit
