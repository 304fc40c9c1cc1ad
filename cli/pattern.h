// Random patterns of live micro-tiles, and matrices that have them: what `pit bench` feeds to its contestants.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "pit/contraction.h"

namespace pit::cli {

using Random = std::mt19937_64;

/// "32x1". Throws UsageError naming the option.
Granularity parse_granularity(const std::string& text, const std::string& option);

/// A matrix of rows x columns elements, of whose micro-tiles a share is absent.
struct Pattern {
  std::int64_t rows = 0, columns = 0;
  Granularity granularity;
  std::vector<std::uint8_t> live;  ///< per micro-tile, row-major
  std::int64_t row_groups() const { return (rows + granularity.rows - 1) / granularity.rows; }
  std::int64_t column_groups() const { return (columns + granularity.columns - 1) / granularity.columns; }
  bool at(std::int64_t row, std::int64_t column) const {
    return live[static_cast<std::size_t>(row / granularity.rows * column_groups() + column / granularity.columns)] != 0;
  }
  /// Elements in live micro-tiles, as a share of all.
  double share() const;
  std::int64_t live_rows() const;  ///< with any live micro-tile, in elements
  std::int64_t live_columns() const;
};

/// Exactly round(zeros * micro-tiles) are absent; every choice of them is as likely.
Pattern random_pattern(std::int64_t rows, std::int64_t columns, Granularity g, double zeros, Random& random);

/// f32 in [-1, 1), or booleans.
Tensor random_tensor(DType dtype, const Shape& shape, Random& random);

/// `values` where live, `absent` elsewhere.
void write_pattern(const Pattern& pattern, const Tensor& values, double absent, Tensor& to);

double median_of(std::vector<double> values);

}  // namespace pit::cli
