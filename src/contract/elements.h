// Elements that loops move, or write, one by one: by their size, whatever they mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <type_traits>

#include "pit/tensor.h"
#include "support/check.h"

namespace pit::contract {

/// body(std::integral_constant) of the size, for loops that are compiled for each. (Loops that have many elements to move
/// are functions of their own, not inlined: beside those of other sizes they would lack registers.)
template <class Body>
decltype(auto) with_size(std::int64_t bytes, Body&& body) {
  switch (bytes) {
    case 4: return body(std::integral_constant<std::int64_t, 4>());
    case 8: return body(std::integral_constant<std::int64_t, 8>());
    default: PIT_UNREACHABLE("elements of {} bytes", bytes);
  }
}

/// One element: a load and a store.
template <std::int64_t size>
void move_element(char* to, const char* from) {
  std::memcpy(to, from, size);
}

/// A number as an element.
struct ElementBits {
  char bytes[8] = {};
  std::int64_t size = 0;
  ElementBits(DType type, double value);
  /// All bits are.
  bool is_zero() const {
    return std::all_of(std::begin(bytes), std::end(bytes), [](char c) { return c == 0; });
  }
};

/// Fills `count` elements, past the caches where `streaming`.
void fill(char* p, std::int64_t count, const ElementBits& value, bool streaming = false);
/// Copies `bytes`, past the caches where `streaming`.
void copy_row(char* to, const char* from, std::int64_t bytes, bool streaming);

}  // namespace pit::contract
