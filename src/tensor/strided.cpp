#include "tensor/strided.h"

#include <cstring>
#include <type_traits>
#include <vector>

namespace pit {
namespace {

std::vector<std::int64_t> row_major(std::span<const std::int64_t> shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

/// `n` elements of `size` bytes each; steps in elements. The sizes of numbers are known to the compiler.
void copy_elements(std::int64_t n, std::int64_t size, const char* x, std::int64_t step, char* y,
                   std::int64_t out_step) {
  const auto copy = [&](auto bytes) {
    const auto width = static_cast<std::int64_t>(bytes);
    for (std::int64_t i = 0; i < n; ++i)
      std::memcpy(y + i * out_step * width, x + i * step * width, static_cast<std::size_t>(bytes));
  };
  if (step == 1 && out_step == 1) std::memcpy(y, x, static_cast<std::size_t>(n * size));
  else if (size == 1 && step == 0 && out_step == 1) std::memset(y, *x, static_cast<std::size_t>(n));
  else if (size == 1) copy(std::integral_constant<int, 1>());
  else if (size == 2) copy(std::integral_constant<int, 2>());
  else if (size == 4) copy(std::integral_constant<int, 4>());
  else if (size == 8) copy(std::integral_constant<int, 8>());
  else copy(size);
}

}  // namespace

void copy_strided(std::span<const std::int64_t> shape, std::size_t bytes, const void* from,
                  std::span<const std::int64_t> from_strides, void* to, std::span<const std::int64_t> to_strides) {
  for (const std::int64_t extent : shape)
    if (extent == 0) return;
  std::vector<std::int64_t> a(from_strides.begin(), from_strides.end()), b(to_strides.begin(), to_strides.end());
  if (a.empty()) a = row_major(shape);
  if (b.empty()) b = row_major(shape);
  const auto size = static_cast<std::int64_t>(bytes);
  const auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  // The last axis is a loop of its own: one copy where both sides are consecutive.
  const std::size_t outer = shape.empty() ? 0 : shape.size() - 1;
  const std::int64_t n = shape.empty() ? 1 : shape[outer], step = shape.empty() ? 1 : a[outer],
                     out_step = shape.empty() ? 1 : b[outer];
  std::vector<std::int64_t> at(outer, 0);
  std::int64_t offset = 0;
  do {
    std::int64_t out = 0;
    for (std::size_t d = 0; d < outer; ++d) out += at[d] * b[d];
    const char* x = source + offset * size;
    char* y = target + out * size;
    copy_elements(n, size, x, step, y, out_step);
  } while (next_position(at, shape.first(outer), std::span<const std::int64_t>(a).first(outer), &offset));
}

}  // namespace pit
