// Text tests: .pit files of programs with what is expected of them, re-blessed with PIT_BLESS=1.
//
//     # a comment
//     == name -> outputs          ('-> ...' only where the outputs are not the last statement's)
//     C[m,n] += A[m,k] * B[k,n]   (the program)
//     -- section                  (what is checked: its lines are computed anew and compared)
//     expected lines
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace pit::testing {

struct Section {
  std::string kind;
  std::vector<std::string> lines;
};

struct Case {
  std::vector<std::string> comments;
  std::string header, name, program;
  std::vector<std::string> outputs;
  std::vector<Section> sections;
};

inline std::vector<Case> read_pit_file(const std::string& path) {
  std::vector<Case> cases;
  std::vector<std::string> comments;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && line.back() == ' ') line.pop_back();
    if (line.starts_with("== ")) {
      Case c;
      c.comments = std::move(comments);
      comments.clear();
      c.header = line;
      const std::size_t arrow = line.find(" -> ");
      c.name = line.substr(3, arrow == std::string::npos ? arrow : arrow - 3);
      if (arrow != std::string::npos) {
        std::istringstream names(line.substr(arrow + 4));
        for (std::string n; names >> n;) c.outputs.push_back(n);
      }
      cases.push_back(std::move(c));
    } else if (cases.empty() || (line.empty() || (line[0] == '#' && !cases.back().sections.empty()))) {
      if (!line.empty()) comments.push_back(line);
    } else if (line.starts_with("-- ")) {
      cases.back().sections.push_back({line.substr(3), {}});
    } else if (cases.back().sections.empty()) {
      cases.back().program += line + "\n";
    } else {
      cases.back().sections.back().lines.push_back(line);
    }
  }
  return cases;
}

/// For sections of a kind that a test does not know.
[[noreturn]] inline void unknown_section(const Section& s) {
  throw std::invalid_argument("no such section: " + s.kind);
}

/// Lines of the section as they are now; gets the lines that stand there (for inputs of a run). What it throws is a
/// failure, and the lines stay.
using Compute = std::function<std::vector<std::string>(const Case&, const Section&)>;

inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& l : lines) text += l + "\n";
  return text;
}

inline std::vector<std::string> computed(const Compute& compute, const Case& c, const Section& s) {
  try {
    return compute(c, s);
  } catch (const std::exception& e) {
    ADD_FAILURE() << "section " << s.kind << ": " << e.what();
    return s.lines;
  }
}

inline void run_pit_file(const std::string& path, const Compute& compute) {
  const char* env = std::getenv("PIT_BLESS");
  const bool bless = env != nullptr && std::string(env) == "1";
  const std::vector<Case> cases = read_pit_file(path);
  ASSERT_FALSE(cases.empty()) << path << " has no cases";
  std::string text;
  for (const Case& c : cases) {
    SCOPED_TRACE(path + ": " + c.name);
    text += (text.empty() ? "" : "\n") + joined(c.comments) + c.header + "\n" + c.program;
    EXPECT_FALSE(c.sections.empty()) << "nothing is checked";
    for (const Section& s : c.sections) {
      const std::vector<std::string> now = computed(compute, c, s);
      if (!bless) {
        EXPECT_EQ(joined(s.lines), joined(now)) << "section " << s.kind << " (PIT_BLESS=1 accepts the new text)";
      }
      text += "-- " + s.kind + "\n" + joined(now);
    }
  }
  if (bless) std::ofstream(path) << text;
}

inline std::vector<std::string> pit_files(const std::string& dir) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().extension() == ".pit") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

inline std::string file_test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = std::filesystem::path(info.param).stem().string();
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string l; std::getline(in, l);) lines.push_back(l);
  return lines;
}

}  // namespace pit::testing
