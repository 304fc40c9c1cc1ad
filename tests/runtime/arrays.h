// Inputs, results and their comparison by bits.
#pragma once

#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "pit/model.h"

namespace pit::test {

using Floats = std::vector<float>;
using Ints = std::vector<std::int64_t>;

inline Floats random_floats(std::mt19937& r, std::int64_t count, float scale = 1) {
  std::normal_distribution<float> d(0, scale);
  Floats v(static_cast<std::size_t>(count));
  for (float& x : v) x = d(r);
  return v;
}

/// 0 or 1 each, 1 with this probability.
inline Ints random_mask(std::mt19937& r, std::int64_t count, double live) {
  std::bernoulli_distribution d(live);
  Ints v(static_cast<std::size_t>(count));
  for (auto& x : v) x = d(r);
  return v;
}

inline TensorView view(const Floats& v, Shape shape) {
  return {const_cast<float*>(v.data()), DType::f32, std::move(shape), {}};
}
inline TensorView view(const Ints& v, Shape shape) {
  return {const_cast<std::int64_t*>(v.data()), DType::i64, std::move(shape), {}};
}

inline Floats floats_of(const Tensor& t) { return {t.as<float>(), t.as<float>() + t.size()}; }

/// The same number: equal bits, or both zero, or both NaN.
inline bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (a == 0 && b == 0) ||
         (std::isnan(a) && std::isnan(b));
}

inline ::testing::AssertionResult same_bits(const Floats& got, const Floats& want, const std::string& what = {}) {
  if (got.size() != want.size())
    return ::testing::AssertionFailure() << what << ": " << got.size() << " elements instead of " << want.size();
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!same(got[i], want[i]))
      return ::testing::AssertionFailure() << what << ": element " << i << " of " << got.size() << " is "
                                           << std::hexfloat << got[i] << ", not " << want[i];
  return ::testing::AssertionSuccess();
}

inline Model compile(const std::string& bytes, CompileOptions o = {}) {
  if (o.threads == 0) o.threads = 2;
  return Model::from_bytes(bytes.data(), bytes.size(), o);
}

/// Every way to run a model that must not change a bit: what is skipped, threads, poisoned buffers.
inline std::vector<std::pair<std::string, CompileOptions>> all_ways(const std::string& cpu,
                                                                    const std::vector<OutputSpec>& outputs = {}) {
  std::vector<std::pair<std::string, CompileOptions>> ways;
  for (const bool sparse : {true, false})
    for (const int threads : {1, 2})
      for (const Poison poison : {Poison::none, Poison::nan, Poison::large}) {
        if (poison != Poison::none && threads == 2) continue;
        CompileOptions o;
        o.sparsity = sparse ? Sparsity::automatic : Sparsity::off;
        o.threads = threads;
        o.poison = poison;
        o.cpu = cpu;
        o.outputs = outputs;
        ways.emplace_back((sparse ? "sparse, " : "dense, ") + std::to_string(threads) + " threads" +
                              (poison == Poison::none  ? ""
                               : poison == Poison::nan ? ", NaN before"
                                                       : ", large numbers before") +
                              (cpu.empty() ? "" : ", " + cpu),
                          o);
      }
  return ways;
}

}  // namespace pit::test
