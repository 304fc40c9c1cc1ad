#include "pit/tensor.h"

#include <cstdlib>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <new>

#include "pit/error.h"
#include "support/check.h"

namespace pit {
namespace {

constexpr std::size_t kAlignment = 64;

std::int64_t checked_count(DType dtype, const Shape& shape) {
  const std::int64_t count = element_count(shape);
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(count, static_cast<std::int64_t>(size_of(dtype)), &bytes) ||
      bytes > INT64_MAX - static_cast<std::int64_t>(kAlignment)) {
    throw InputError(fmt::format("a tensor of shape {} has more bytes than can be addressed", to_string(shape)));
  }
  return count;
}

}  // namespace

std::size_t size_of(DType t) noexcept {
  switch (t) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::f16: return 2;
    case DType::i8:
    case DType::u8:
    case DType::b8: return 1;
  }
  return 1;
}

const char* name_of(DType t) noexcept {
  switch (t) {
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::f16: return "f16";
    case DType::i64: return "i64";
    case DType::i32: return "i32";
    case DType::i8: return "i8";
    case DType::u8: return "u8";
    case DType::b8: return "bool";
  }
  return "?";
}

std::int64_t element_count(const Shape& shape) {
  bool empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) throw InputError(fmt::format("shape {} has a negative extent", to_string(shape)));
    empty = empty || extent == 0;
  }
  if (empty) return 0;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (__builtin_mul_overflow(count, extent, &count)) {
      throw InputError(fmt::format("shape {} has more than 2^63-1 elements", to_string(shape)));
    }
  }
  return count;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), size_(checked_count(dtype, shape_)) {
  // Whole cache lines: vector code may then load and store whole registers at the end.
  const std::size_t rounded = (bytes() / kAlignment + 1) * kAlignment;
  data_ = std::aligned_alloc(kAlignment, rounded);
  if (data_ == nullptr) throw std::bad_alloc();
  owner_ = std::shared_ptr<void>(data_, std::free);
}

Tensor::Tensor(DType dtype, Shape shape, void* data, std::shared_ptr<void> owner)
    : dtype_(dtype),
      shape_(std::move(shape)),
      size_(checked_count(dtype, shape_)),
      data_(data),
      owner_(std::move(owner)) {}

}  // namespace pit
