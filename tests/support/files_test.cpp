#include "support/files.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "pit/error.h"

namespace pit {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pit-files-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string path(const std::string& name) const { return (dir_ / name).string(); }
  fs::path dir_;
};

TEST_F(Files, WriteThenReadAndMap) {
  std::string reason;
  const std::string contents("a\0b\n", 4);
  ASSERT_TRUE(write_file_atomically(path("x"), "old", &reason)) << reason;
  ASSERT_TRUE(write_file_atomically(path("x"), contents, &reason)) << reason;
  EXPECT_EQ(read_file(path("x")), contents);
  FileMap map(path("x"));
  EXPECT_EQ(std::string(map.data(), map.size()), contents);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 1) << "temporary file left behind";
}

TEST_F(Files, EmptyFilesAreFine) {
  ASSERT_TRUE(write_file_atomically(path("e"), "", nullptr));
  EXPECT_EQ(read_file(path("e")), "");
  EXPECT_EQ(FileMap(path("e")).size(), 0u);
}

TEST_F(Files, MissingFilesAndDirectoriesNameThePath) {
  for (const std::string& p : {path("missing"), dir_.string()}) {
    try {
      read_file(p);
      FAIL();
    } catch (const ModelError& e) {
      EXPECT_NE(std::string(e.what()).find(p), std::string::npos);
    }
    EXPECT_THROW(FileMap{p}, ModelError);
  }
}

TEST_F(Files, FailedWritesGiveAReason) {
  std::string reason;
  EXPECT_FALSE(write_file_atomically(path("no/such/dir"), "x", &reason));
  EXPECT_NE(reason, "");
}

TEST_F(Files, CacheDirectoryIsPrivate) {
  std::string reason;
  const std::string dir = path("cache/pit");
  EXPECT_EQ(usable_cache_dir(dir, &reason), dir) << reason;
  struct stat st{};
  ASSERT_EQ(::stat(dir.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  ::chmod(dir.c_str(), 0775);
  EXPECT_EQ(usable_cache_dir(dir, &reason), "");
  EXPECT_NE(reason.find("0700"), std::string::npos) << reason;
}

TEST_F(Files, CacheDirectoryMayBeReadByOthersAndBeReadOnly) {
  std::string reason;
  const std::string dir = path("cache");
  fs::create_directory(dir);
  for (const mode_t mode : {0755, 0555, 0711}) {
    ::chmod(dir.c_str(), mode);
    EXPECT_EQ(usable_cache_dir(dir, &reason), dir) << reason;
  }
  EXPECT_FALSE(is_read_only_dir(path("nothing")));
  ::chmod(dir.c_str(), 0555);
  if (::geteuid() != 0) {
    EXPECT_TRUE(is_read_only_dir(dir));
  }
  ::chmod(dir.c_str(), 0700);
}

TEST_F(Files, OnlyOurOwnFilesAreTrusted) {
  ASSERT_TRUE(write_file_atomically(path("f"), "x", nullptr));
  EXPECT_TRUE(is_trusted_file(path("f")));
  ::chmod(path("f").c_str(), 0666);
  EXPECT_FALSE(is_trusted_file(path("f")));
  EXPECT_FALSE(is_trusted_file(path("nothing")));
  EXPECT_FALSE(is_trusted_file(dir_.string()));
}

TEST_F(Files, LimitRemovesWhatWasUsedLeastRecentlyAndWhatWasLeftBehind) {
  const auto now = fs::file_time_type::clock::now();
  auto make = [&](const std::string& name, std::chrono::minutes age) {
    ASSERT_TRUE(write_file_atomically(path(name), std::string(1000, 'x'), nullptr));
    fs::last_write_time(path(name), now - age);
  };
  for (int i = 0; i < 6; ++i) make("k-" + std::to_string(i), std::chrono::minutes(10 * i));
  make("other", std::chrono::minutes(10000));
  make("k-7.123.0.tmp", std::chrono::minutes(61));
  make("k-8.124.0.tmp", std::chrono::minutes(50));
  touch_file(path("k-5"));
  limit_dir(dir_.string(), "k-", 3500, path("k-4"));
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(dir_)) left.push_back(entry.path().filename().string());
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"k-0", "k-4", "k-5", "k-8.124.0.tmp", "other"}));
  limit_dir(dir_.string(), "k-", 0, path("k-4"));
  EXPECT_TRUE(fs::exists(path("k-4")) && fs::exists(path("other")) && !fs::exists(path("k-0")));
  limit_dir(path("nothing"), "k-", 0, "");
}

TEST_F(Files, MapsKnowWhetherTheirFileChanged) {
  ASSERT_TRUE(write_file_atomically(path("f"), std::string(10000, 'x'), nullptr));
  const auto map = std::make_shared<FileMap>(path("f"), true);
  EXPECT_EQ(FileMap::of(map), map.get());
  EXPECT_EQ(FileMap::of(std::make_shared<int>(3)), nullptr);
  map->forget(map->data(), map->size());
  EXPECT_EQ(map->data()[9999], 'x');
  ASSERT_TRUE(write_file_atomically(path("f"), "another file", nullptr));
  EXPECT_FALSE(map->changed());
  const FileMap other(path("f"), true);
  fs::resize_file(path("f"), 3);
  EXPECT_TRUE(other.changed());
}

TEST_F(Files, CacheDirectoryThatIsAFile) {
  ASSERT_TRUE(write_file_atomically(path("f"), "x", nullptr));
  std::string reason;
  EXPECT_EQ(usable_cache_dir(path("f"), &reason), "");
  EXPECT_NE(reason, "");
  reason.clear();
  EXPECT_EQ(usable_cache_dir(path("f/below"), &reason), "");
  EXPECT_NE(reason, "");
}

TEST_F(Files, NoCacheIsNoProblem) {
  std::string reason;
  EXPECT_EQ(usable_cache_dir("none", &reason), "");
  EXPECT_EQ(reason, "");
}

TEST(Hash, KnownVectors) {
  EXPECT_EQ(content_hash(""), "00000000000000000000000000000000");
  EXPECT_EQ(content_hash("The quick brown fox jumps over the lazy dog"), "e34bbc7bbc071b6c7a433ca9c49a9347");
}

TEST(Hash, EveryLengthAndEveryByteCounts) {
  std::string s(100, 'x');
  for (std::size_t n = 0; n < s.size(); ++n) {
    EXPECT_NE(content_hash({s.data(), n}), content_hash({s.data(), n + 1}));
    std::string other = s;
    other[n] = 'y';
    EXPECT_NE(content_hash(s), content_hash(other));
  }
}

}  // namespace
}  // namespace pit
