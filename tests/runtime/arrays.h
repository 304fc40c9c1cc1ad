// Inputs, results and their comparison by bits.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
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

template <class T>
std::vector<T> random_numbers(std::mt19937& r, std::int64_t count, T scale = 1) {
  std::normal_distribution<T> d(0, scale);
  std::vector<T> v(static_cast<std::size_t>(count));
  for (T& x : v) x = d(r);
  return v;
}
inline Floats random_floats(std::mt19937& r, std::int64_t count, float scale = 1) {
  return random_numbers<float>(r, count, scale);
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
inline TensorView view(const std::vector<double>& v, Shape shape) {
  return {const_cast<double*>(v.data()), DType::f64, std::move(shape), {}};
}
inline TensorView view(const Ints& v, Shape shape) {
  return {const_cast<std::int64_t*>(v.data()), DType::i64, std::move(shape), {}};
}

template <class T>
std::vector<T> numbers_of(const Tensor& t) {
  return {t.as<T>(), t.as<T>() + t.size()};
}
inline Floats floats_of(const Tensor& t) { return numbers_of<float>(t); }

/// The same number: equal bits, or both zero, or both NaN.
template <class T>
bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (a == 0 && b == 0) || (std::isnan(a) && std::isnan(b));
}

template <class T>
::testing::AssertionResult same_bits(const std::vector<T>& got, const std::vector<T>& want,
                                     const std::string& what = {}) {
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
