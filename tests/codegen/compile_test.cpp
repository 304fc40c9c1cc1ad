// compile(): the disk cache in all states it can be in, errors, lifetime, threads.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "kernels.h"

#include "codegen/cache.h"
#include "codegen/codegen.h"
#include "pit/error.h"
#include "pit/log.h"
#include "support/files.h"

namespace pit::codegen {
namespace {

namespace fs = std::filesystem;

/// out[0] = value
Kernel constant_kernel(const std::string& name, std::int64_t value) {
  Builder b(name);
  b.store(b.ptr_arg("out"), Builder::i(0), Builder::i(value));
  return b.finish();
}

std::int64_t call(const Code& code, const std::string& name) {
  std::int64_t out = 0;
  void* ptrs[] = {&out};
  code.function(name)(ptrs, nullptr);
  return out;
}

class CompileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pit-codegen-test-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    options_.target = cpu_target("haswell");
    options_.cache_dir = dir_;
    before_ = set_log_hook([this](LogLevel level, std::string_view message) {
      const std::lock_guard lock(mutex_);
      if (level == LogLevel::warning) warnings_.emplace_back(message);
    });
  }
  void TearDown() override {
    set_log_hook(before_);
    fs::permissions(dir_, fs::perms::owner_all);
    fs::remove_all(dir_);
  }

  std::string only_entry() const {
    std::vector<std::string> found;
    for (const auto& e : fs::directory_iterator(dir_)) found.push_back(e.path());
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? "" : found[0];
  }

  void overwrite(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

  std::string dir_;
  Options options_;
  std::vector<std::string> warnings_;
  std::mutex mutex_;
  LogHook before_;
};

TEST_F(CompileTest, SecondCompilationComesFromTheCache) {
  const std::vector<Kernel> kernels{constant_kernel("five", 5), constant_kernel("six", 6)};
  const auto cold = compile(kernels, options_);
  EXPECT_FALSE(cold->from_cache);
  EXPECT_GT(cold->seconds, 0);
  const auto warm = compile({kernels[1], kernels[0], kernels[1]}, options_);  // order and repetition do not matter
  EXPECT_TRUE(warm->from_cache);
  EXPECT_EQ(call(*cold, "five"), 5);
  EXPECT_EQ(call(*warm, "five"), 5);
  EXPECT_EQ(call(*warm, "six"), 6);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(CompileTest, TheKeyHoldsKernelsAndTarget) {
  compile({constant_kernel("k", 1)}, options_);
  EXPECT_FALSE(compile({constant_kernel("k", 2)}, options_)->from_cache);
  Options other = options_;
  other.target = cpu_target("x86-64-v3");
  EXPECT_FALSE(compile({constant_kernel("k", 1)}, other)->from_cache);
  EXPECT_TRUE(compile({constant_kernel("k", 1)}, options_)->from_cache);
}

TEST_F(CompileTest, DamagedEntriesAreReplaced) {
  const Kernel k = constant_kernel("k", 7);
  compile({k}, options_);
  const std::string path = only_entry(), good = read_file(path);
  std::vector<std::string> bad{
      "", "x", good.substr(0, 40), good.substr(0, good.size() - 1), good + "x", "PITOBJ0" + good.substr(7)};
  for (std::size_t at : {std::size_t{10}, std::size_t{50}, std::size_t{95}, good.size() / 2, good.size() - 1}) {
    bad.push_back(good);
    bad.back()[at] ^= 1;
  }
  for (std::size_t i = 0; i < bad.size(); ++i) {
    overwrite(path, bad[i]);
    warnings_.clear();
    const auto code = compile({k}, options_);
    EXPECT_FALSE(code->from_cache) << i;
    EXPECT_EQ(call(*code, "k"), 7);
    ASSERT_EQ(warnings_.size(), 1u) << i;
    EXPECT_NE(warnings_[0].find(path), std::string::npos) << warnings_[0];
    EXPECT_EQ(read_file(path), good) << i;  // written again, and code generation is deterministic
  }
}

TEST_F(CompileTest, EntriesOfAnotherKeyAreRefused) {
  compile({constant_kernel("k", 7)}, options_);
  const std::string seven = only_entry(), bytes = read_file(seven);
  fs::remove(seven);
  compile({constant_kernel("k", 8)}, options_);
  overwrite(only_entry(), bytes);  // a renamed entry
  const auto code = compile({constant_kernel("k", 8)}, options_);
  EXPECT_FALSE(code->from_cache);
  EXPECT_EQ(call(*code, "k"), 8);
  EXPECT_EQ(warnings_.size(), 1u);
}

TEST_F(CompileTest, AnEntryThatDoesNotLinkIsAWarning) {
  const Kernel k = constant_kernel("k", 7);
  compile({k}, options_);
  const std::string path = only_entry();
  const std::string key = fs::path(path).stem().string().substr(8);
  ASSERT_EQ(cache_path(dir_, key), path);
  // a right hash of the wrong thing
  for (const std::string& payload : {std::string("no object file"), std::string()}) {
    cache_store(dir_, key, payload);
    warnings_.clear();
    const auto code = compile({k}, options_);
    EXPECT_FALSE(code->from_cache);
    EXPECT_EQ(call(*code, "k"), 7);
    EXPECT_EQ(warnings_.size(), 1u);
  }
}

TEST_F(CompileTest, AMissingDirectoryIsAWarningAndAReadOnlyOneIsNot) {
  Options gone = options_;
  gone.cache_dir = dir_ + "/nowhere";
  EXPECT_EQ(call(*compile({constant_kernel("k", 3)}, gone), "k"), 3);
  EXPECT_EQ(warnings_.size(), 1u);
  warnings_.clear();
  fs::permissions(dir_, fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_EQ(call(*compile({constant_kernel("k", 3)}, options_), "k"), 3);
  EXPECT_EQ(warnings_.size(), 0u);
}

TEST_F(CompileTest, AnEntryThatCannotBeReadOrWrittenIsAWarning) {
  compile({constant_kernel("k", 3)}, options_);
  const std::string path = only_entry();
  fs::remove(path);
  fs::create_directories(path + "/full");
  const auto code = compile({constant_kernel("k", 3)}, options_);
  EXPECT_FALSE(code->from_cache);
  EXPECT_EQ(call(*code, "k"), 3);
  EXPECT_EQ(warnings_.size(), 2u);
}

TEST_F(CompileTest, WithoutADirectoryNothingIsWritten) {
  options_.cache_dir.clear();
  EXPECT_EQ(call(*compile({constant_kernel("k", 3)}, options_), "k"), 3);
  EXPECT_TRUE(fs::is_empty(dir_));
}

TEST_F(CompileTest, Errors) {
  options_.cache_dir.clear();
  options_.target.name = "no-such-cpu";
  try {
    compile({constant_kernel("k", 3)}, options_);
    FAIL();
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("no-such-cpu"), std::string::npos);
  }
  options_.target = cpu_target("haswell");
  EXPECT_THROW(compile({constant_kernel("k", 3), constant_kernel("k", 4)}, options_), InternalError);
  Kernel broken = constant_kernel("k", 3);
  broken.body[0].value = nullptr;
  EXPECT_THROW(compile({broken}, options_), InternalError);
  EXPECT_THROW(compile({constant_kernel("k", 3)}, options_)->function("other"), InternalError);
}

TEST_F(CompileTest, AnEmptySetCompiles) {
  EXPECT_FALSE(compile({}, options_)->from_cache);
  EXPECT_TRUE(compile({}, options_)->from_cache);
}

TEST_F(CompileTest, AssemblyIsReadable) {
  options_.dump_assembly = true;
  const auto code = compile({testing::matmul_tile(4, 2, 8, false)}, options_);
  EXPECT_NE(code->assembly.find("vfmadd231ps"), std::string::npos);
  EXPECT_NE(code->assembly.find("tile_4x2x8"), std::string::npos);
  EXPECT_EQ(code->assembly, assembly({testing::matmul_tile(4, 2, 8, false)}, options_.target));
}

TEST_F(CompileTest, SumsOfProductsOfBytesDoNotSaturate) {
  Builder b("dots");
  Value p = b.ptr_arg("p");
  const Type vector{Scalar::i32, 8};
  b.store(p, Builder::i(64),
          Builder::dot(Builder::load(vector, p, Builder::i(0)), Builder::load(vector, p, Builder::i(32)),
                       Builder::i(0, vector)));
  const Kernel k = b.finish();
  const std::string old = assembly({k}, cpu_target("haswell"));
  EXPECT_NE(old.find("vpmaddwd"), std::string::npos) << old;
  EXPECT_EQ(old.find("vpmaddubsw"), std::string::npos) << old;
  EXPECT_NE(assembly({k}, {.name = "znver5", .features = "", .vector_bytes = 64}).find("vpdpbusd"), std::string::npos);
  EXPECT_NE(assembly({k}, {.name = "alderlake", .features = "", .vector_bytes = 32}).find("vpdpbusd"),
            std::string::npos);
}

TEST_F(CompileTest, ManyCodesLiveAndDieInAnyOrder) {
  options_.cache_dir.clear();
  std::vector<std::shared_ptr<const Code>> codes;
  for (int i = 0; i < 20; ++i) codes.push_back(compile({constant_kernel("k", i)}, options_));
  for (int i = 0; i < 20; i += 2) codes[static_cast<std::size_t>(i)].reset();
  for (int i = 1; i < 20; i += 2) EXPECT_EQ(call(*codes[static_cast<std::size_t>(i)], "k"), i);
}

TEST_F(CompileTest, ManyThreadsCompileAtOnce) {
  std::vector<std::thread> threads;
  std::vector<std::int64_t> results(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i)
        results[static_cast<std::size_t>(t)] += call(*compile({constant_kernel("k", i)}, options_), "k");
    });
  }
  for (auto& t : threads) t.join();
  for (std::int64_t r : results) EXPECT_EQ(r, 10);
  EXPECT_TRUE(warnings_.empty());
}

}  // namespace
}  // namespace pit::codegen
