// Comparison of tensors relative to the largest expected value.
#pragma once

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <string>

#include "graph/numeric.h"

namespace pit::testing {

inline void expect_close(const Tensor& have, const Tensor& want, double relative, const std::string& what) {
  ASSERT_EQ(to_string(have.shape()), to_string(want.shape())) << what;
  ASSERT_STREQ(name_of(have.dtype()), name_of(want.dtype())) << what;
  double scale = 0, worst = 0;
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double w = graph::read_double(want, i);
    if (std::isfinite(w)) scale = std::max(scale, std::fabs(w));
  }
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double h = graph::read_double(have, i), w = graph::read_double(want, i);
    if ((std::isnan(h) && std::isnan(w)) || h == w) continue;
    const double d = std::isfinite(h) && std::isfinite(w) ? std::fabs(h - w) : INFINITY;
    if (d > worst) worst = d, at = i;
  }
  if (worst > relative * std::max(scale, 1e-6)) {
    ADD_FAILURE() << what << ": element " << at << " of " << to_string(want.shape()) << " is "
                  << graph::read_double(have, at) << ", should be " << graph::read_double(want, at);
  }
}

}  // namespace pit::testing
