#include "pattern.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "inputs.h"

namespace pit::cli {

Granularity parse_granularity(const std::string& text, const std::string& option) {
  Granularity g;
  const char* const end = text.data() + text.size();
  const auto [x, error] = std::from_chars(text.data(), end, g.rows);
  bool good = error == std::errc() && x != end && *x == 'x' && g.rows >= 1;
  if (good) {
    const auto [last, second] = std::from_chars(x + 1, end, g.columns);
    good = second == std::errc() && last == end && g.columns >= 1;
  }
  if (!good) throw UsageError(fmt::format("{} is rows x columns of a micro-tile, as 32x1, not '{}'", option, text));
  return g;
}

double Pattern::share() const {
  std::int64_t elements = 0;
  for (std::int64_t r = 0; r < row_groups(); ++r)
    for (std::int64_t c = 0; c < column_groups(); ++c)
      if (live[static_cast<std::size_t>(r * column_groups() + c)] != 0)
        elements += std::min(granularity.rows, rows - r * granularity.rows) *
                    std::min(granularity.columns, columns - c * granularity.columns);
  return rows * columns == 0 ? 1 : static_cast<double>(elements) / static_cast<double>(rows * columns);
}

std::int64_t Pattern::live_rows() const {
  std::int64_t n = 0;
  for (std::int64_t r = 0; r < row_groups(); ++r) {
    const auto begin = live.begin() + r * column_groups();
    if (std::any_of(begin, begin + column_groups(), [](std::uint8_t x) { return x != 0; }))
      n += std::min(granularity.rows, rows - r * granularity.rows);
  }
  return n;
}

std::int64_t Pattern::live_columns() const {
  std::int64_t n = 0;
  for (std::int64_t c = 0; c < column_groups(); ++c) {
    bool any = false;
    for (std::int64_t r = 0; r < row_groups() && !any; ++r)
      any = live[static_cast<std::size_t>(r * column_groups() + c)] != 0;
    if (any) n += std::min(granularity.columns, columns - c * granularity.columns);
  }
  return n;
}

Pattern random_pattern(std::int64_t rows, std::int64_t columns, Granularity g, double zeros, Random& random) {
  Pattern p{rows, columns, g, {}};
  const std::int64_t total = p.row_groups() * p.column_groups();
  p.live.assign(static_cast<std::size_t>(total), 1);
  // Selection sampling: each micro-tile is absent with the share of those still to be chosen among those left.
  std::int64_t absent = std::llround(zeros * static_cast<double>(total));
  for (std::int64_t i = 0; i < total && absent > 0; ++i) {
    if (std::uniform_int_distribution<std::int64_t>(0, total - i - 1)(random) >= absent) continue;
    p.live[static_cast<std::size_t>(i)] = 0;
    --absent;
  }
  return p;
}

Tensor random_tensor(DType dtype, const Shape& shape, Random& random) {
  Tensor t(dtype, shape);
  if (dtype == DType::b8) {
    for (std::int64_t i = 0; i < t.size(); ++i) t.as<std::uint8_t>()[i] = random() >> 63;
  } else {
    for (std::int64_t i = 0; i < t.size(); ++i)
      t.as<float>()[i] = static_cast<float>(static_cast<std::int64_t>(random() >> 39)) / 16777216.0F - 1.0F;
  }
  return t;
}

void write_pattern(const Pattern& pattern, const Tensor& values, double absent, Tensor& to) {
  auto fill = [&](auto* out, const auto* in) {
    using T = std::remove_reference_t<decltype(*out)>;
    const std::int64_t width = pattern.granularity.columns;
    for (std::int64_t r = 0; r < pattern.rows; ++r) {
      const std::uint8_t* live = pattern.live.data() + r / pattern.granularity.rows * pattern.column_groups();
      for (std::int64_t c = 0; c < pattern.columns; c += width, ++live) {
        const std::int64_t at = r * pattern.columns + c, count = std::min(width, pattern.columns - c);
        if (*live != 0) std::copy_n(in + at, count, out + at);
        else std::fill_n(out + at, count, static_cast<T>(absent));
      }
    }
  };
  if (values.dtype() == DType::b8) fill(to.as<std::uint8_t>(), values.as<std::uint8_t>());
  else fill(to.as<float>(), values.as<float>());
}

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  const std::size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle), values.end());
  const double high = values[middle];
  if (values.size() % 2 == 1) return high;
  return (high + *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle))) / 2;
}

}  // namespace pit::cli
