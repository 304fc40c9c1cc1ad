// What the fuzz targets share.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pit/error.h"

namespace pit::fuzz {

/// Calls `f`. An error of the user's is an answer like any other; InternalError and whatever is not ours go through,
/// and end the process. Whether `f` came to its end.
template <class F>
bool answers(F&& f) {
  try {
    f();
    return true;
  } catch (const InternalError&) {
    throw;
  } catch (const Error&) {
    return false;
  }
}

/// What must hold; otherwise the process ends, and the fuzzer keeps the input.
inline void require(bool holds, const std::string& message) {
  if (holds) return;
  std::fprintf(stderr, "finding: %s\n", message.c_str());
  std::abort();
}

/// The fuzzer's input as a source of decisions. Behind its end all of them are 0, so whoever draws comes to an end
/// where 0 leads to one.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}

  bool empty() const { return at_ == end_; }
  std::uint8_t byte() { return empty() ? 0 : *at_++; }
  /// 0 .. n-1
  int pick(int n) { return byte() % n; }
  bool one_in(int n) { return pick(n) == n - 1; }
  std::uint64_t word() {
    std::uint64_t w = 0;
    for (int i = 0; i < 8; ++i) w = w << 8 | byte();
    return w;
  }
  template <class List>
  const auto& of(const List& list) {
    return list[static_cast<std::size_t>(word16()) % std::size(list)];
  }

 private:
  unsigned word16() {
    const unsigned high = byte();
    return high << 8 | byte();
  }
  const std::uint8_t *at_, *end_;
};

}  // namespace pit::fuzz
