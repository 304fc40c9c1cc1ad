#include "api/text.h"

#include <algorithm>
#include <fmt/format.h>

namespace pit::api {
namespace {

bool starts_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::string shorten(std::string_view text, std::size_t columns) {
  if (width_of(text) <= columns) return std::string(text);
  if (columns <= 3) return std::string(columns, '.');
  std::size_t at = 0, seen = 0;
  for (; at < text.size(); ++at)
    if (starts_code_point(text[at]) && seen++ == columns - 3) break;
  return std::string(text.substr(0, at)) + "...";
}

std::string wrap(std::string_view text, std::size_t column, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t at = column;
  bool fresh = true;  // nothing on this line yet
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (word.empty()) continue;
    if (!fresh && at + 1 + width_of(word) > width) {
      out += '\n' + std::string(indent, ' ');
      at = indent;
      fresh = true;
    }
    if (!fresh) out += ' ', ++at;
    out += word;
    at += width_of(word);
    fresh = false;
  }
  return out;
}

std::string seconds_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

std::string bytes_text(double bytes) {
  if (bytes < 1e3) return fmt::format("{:.0f} bytes", bytes);
  if (bytes < 1e6) return fmt::format("{:.1f} kB", bytes / 1e3);
  return fmt::format("{:.1f} MB", bytes / 1e6);
}

std::string Table::print() const {
  std::vector<std::size_t> widths(right_.size(), 0);
  for (const auto& row : rows_)
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], width_of(row[c]));
      if (limits_[c] > 0) widths[c] = std::min(widths[c], limits_[c]);
    }
  std::size_t total = 0;
  for (std::size_t w : widths) total += w + 2;
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string cell = limits_[c] > 0 ? shorten(row[c], limits_[c]) : row[c];
      const std::string gap(widths[c] - std::min(widths[c], width_of(cell)), ' ');
      if (c > 0) line += "  ";
      line += right_[c] ? gap + cell : cell + gap;
    }
    if (row.empty()) line.assign(total - 2, '-');
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

}  // namespace pit::api
