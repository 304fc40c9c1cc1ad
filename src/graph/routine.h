// What the library routines of opaque.h share: the call, and ways to look at an operand.
#pragma once

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "support/check.h"
#include "support/threads.h"

namespace pit::graph {

struct Call {
  const Node& node;
  std::span<const Tensor> in;
  std::span<const Shape> shapes;
  std::span<const DType> dtypes;
  const ThreadPool& pool;
  std::span<const Tensor> targets = {};

  const std::vector<std::int64_t>& ints(const char* name) const {
    const auto it = node.opaque_ints.find(name);
    PIT_CHECK(it != node.opaque_ints.end(), "routine '{}' needs '{}'", node.opaque, name);
    return it->second;
  }
  std::int64_t number(const char* name) const { return ints(name).at(0); }
  [[noreturn]] void fail(const std::string& message) const {
    const std::string who = node.name.empty() ? node.op : fmt::format("{} '{}'", node.op, node.name);
    throw InputError(fmt::format("{}: {}", who, message), who);
  }
  /// Uninitialised, of the result's dtype: in the caller's memory where the caller gave some for this shape.
  Tensor result(std::size_t i, const Shape& shape) const {
    if (i < targets.size() && targets[i].defined() && targets[i].shape() == shape) return targets[i];
    return Tensor(dtypes[i], shape);
  }
};

inline std::int64_t product(const Shape& s, std::size_t first, std::size_t last) {
  return std::accumulate(s.begin() + static_cast<std::ptrdiff_t>(first), s.begin() + static_cast<std::ptrdiff_t>(last),
                         std::int64_t{1}, std::multiplies<>());
}

/// The operand as [outer][size][inner] around an axis.
struct Around {
  std::int64_t outer, size, inner;
  Around(const Shape& s, std::int64_t axis)
      : outer(product(s, 0, static_cast<std::size_t>(axis))),
        size(s[static_cast<std::size_t>(axis)]),
        inner(product(s, static_cast<std::size_t>(axis) + 1, s.size())) {}
};

inline void copy(Tensor& to, std::int64_t at, const Tensor& from, std::int64_t begin, std::int64_t count) {
  if (count <= 0) return;
  const std::size_t e = size_of(to.dtype());
  std::memcpy(to.as<char>() + static_cast<std::size_t>(at) * e, from.as<char>() + static_cast<std::size_t>(begin) * e,
              static_cast<std::size_t>(count) * e);
}

inline std::vector<std::int64_t> row_major(const Shape& s) {
  std::vector<std::int64_t> r(s.size(), 1);
  for (std::size_t i = s.size(); i-- > 1;) r[i - 1] = r[i] * s[i];
  return r;
}

/// body(begin, end, worker) for pieces of 0..count of at least `least` each, on all threads.
template <class Body>
void in_pieces(const ThreadPool& pool, std::int64_t count, std::int64_t least, Body&& body) {
  if (count <= 0) return;
  const std::int64_t pieces = std::clamp<std::int64_t>(count / std::max<std::int64_t>(least, 1), 1, 8L * pool.size());
  pool.parallel_for(pieces, [&](std::int64_t p, int worker) {
    body(count / pieces * p + std::min(p, count % pieces), count / pieces * (p + 1) + std::min(p + 1, count % pieces),
         worker);
  });
}

std::vector<Tensor> scatter_nd(const Call& c);
std::vector<Tensor> scatter_elements(const Call& c);
std::vector<Tensor> gather_elements(const Call& c);
std::vector<Tensor> top_k(const Call& c);
std::vector<Tensor> non_zero(const Call& c);

}  // namespace pit::graph
