// Plain text for people: shortening, wrapping, aligned columns. Widths count code points.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pit::api {

/// Width of everything that is printed for people.
inline constexpr std::size_t kPageWidth = 120;

std::size_t width_of(std::string_view text);
/// At most `columns` wide, with an ellipsis where something was left out.
std::string shorten(std::string_view text, std::size_t columns);
/// Broken at spaces, no line wider than `width` where a space allows it; lines after the first start with `indent`
/// spaces, and the first is taken to start at `column`.
std::string wrap(std::string_view text, std::size_t column, std::size_t indent, std::size_t width = kPageWidth);
/// "1.2 ms", "38 us"
std::string seconds_text(double seconds);
/// "85.2 MB"
std::string bytes_text(double bytes);

/// Aligned columns; the first row is the heading.
class Table {
 public:
  /// `right`: per column, whether it is aligned right. `limits`: per column, its greatest width (0: none).
  Table(std::vector<bool> right, std::vector<std::size_t> limits)
      : right_(std::move(right)), limits_(std::move(limits)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// A line across.
  void rule() { rows_.emplace_back(); }
  std::string print() const;

 private:
  std::vector<bool> right_;
  std::vector<std::size_t> limits_;
  std::vector<std::vector<std::string>> rows_;  ///< an empty row is a line across
};

}  // namespace pit::api
