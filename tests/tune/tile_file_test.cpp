// The file: a round trip, and every way in which it can be wrong.
#include <atomic>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <unistd.h>

#include "pit/log.h"
#include "support/files.h"
#include "tune/defaults.h"
#include "tune/tile_costs.h"

namespace pit::tuning {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class TileFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pit-tune-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    previous_ = set_log_hook([this](LogLevel, std::string_view message) {
      std::lock_guard lock(mutex_);
      warnings_.emplace_back(message);
    });
  }
  void TearDown() override {
    set_log_hook(previous_);
    fs::remove_all(dir_);
  }

  /// A database as after a measurement; figures depend on `factor`.
  TileCosts costs(double factor) const {
    TileCosts c = TileCosts::defaults(target_);
    for (const TileKey& key : tiles_to_measure(target_)) {
      TileCost cost = default_tile(key, target_);
      for (double& k_step : cost.k_step) k_step *= factor / 3;
      cost.measured = true;
      c.set(key, cost);
    }
    for (const PackKey& key : packs_to_measure(target_)) {
      PackCost cost = default_pack(key, target_);
      cost.element *= factor / 7;
      cost.measured = true;
      c.set(key, cost);
    }
    MachineLimits limits = c.limits(1);
    limits.read_gbytes *= factor / 9;
    c.set(limits);
    return c;
  }

  std::string file() const { return TileCosts::path(dir_, target_); }

  /// Loads a file of these contents: the defaults come back, one warning has `reason` in it, the file is untouched.
  void expect_ignored(const std::string& contents, const std::string& reason) {
    ASSERT_TRUE(write_file_atomically(file(), contents, nullptr));
    warnings_.clear();
    const TileCosts loaded = TileCosts::load(dir_, target_);
    EXPECT_FALSE(loaded.measured()) << reason;
    EXPECT_EQ(loaded.to_json(), TileCosts::defaults(target_).to_json());
    ASSERT_EQ(warnings_.size(), 1u) << reason;
    EXPECT_NE(warnings_[0].find(reason), std::string::npos) << warnings_[0];
    EXPECT_NE(warnings_[0].find(file()), std::string::npos) << warnings_[0];
    EXPECT_EQ(read_file(file()), contents);
  }

  /// The same with a change to a good file's body, and a hash that fits.
  void expect_body_ignored(const std::function<void(Json&)>& change, const std::string& reason) {
    Json json = Json::parse(costs(1).to_json());
    change(json["body"]);
    json["hash"] = content_hash(json["body"].dump());
    expect_ignored(json.dump(), reason);
  }

  CpuTarget target_{"x86-64-v3", "", 32};
  std::string dir_;
  LogHook previous_;
  std::mutex mutex_;
  std::vector<std::string> warnings_;
};

TEST_F(TileFile, ComesBackAsItWasStored) {
  EXPECT_FALSE(TileCosts::load(dir_, target_).measured());
  EXPECT_FALSE(TileCosts::load("", target_).measured());
  const TileCosts stored = costs(1);
  std::string reason;
  ASSERT_TRUE(stored.store(dir_, &reason)) << reason;
  const TileCosts loaded = TileCosts::load(dir_, target_);
  EXPECT_TRUE(loaded.measured());
  EXPECT_EQ(loaded.to_json(), stored.to_json());
  for (const TileKey& key : tiles_to_measure(target_)) {
    EXPECT_TRUE(loaded.tile(key).measured) << key.name();
    EXPECT_EQ(loaded.tile(key).k_step, stored.tile(key).k_step) << key.name();
  }
  EXPECT_EQ(loaded.limits().read_gbytes, stored.limits().read_gbytes);
  EXPECT_EQ(loaded.limits().cpu, cpu_model());
  EXPECT_TRUE(warnings_.empty());
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 1);
}

TEST_F(TileFile, TargetsHaveFilesOfTheirOwn) {
  EXPECT_NE(TileCosts::path(dir_, target_), TileCosts::path(dir_, {"x86-64-v4", "", 64}));
  EXPECT_NE(TileCosts::path(dir_, target_), TileCosts::path(dir_, {"x86-64-v3", "+x", 32}));
  ASSERT_TRUE(costs(1).store(dir_, nullptr));
  EXPECT_FALSE(TileCosts::load(dir_, {"haswell", "", 32}).measured());
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(TileFile, ATruncatedOrDamagedFileIsIgnored) {
  const std::string good = costs(1).to_json();
  expect_ignored("", "truncated or damaged");
  expect_ignored("[]", "truncated or damaged");
  expect_ignored(std::string(1000, '\xff'), "truncated or damaged");
  expect_ignored(std::string(100000, '['), "truncated or damaged");
  for (std::size_t size : {std::size_t{1}, good.size() / 3, good.size() / 2, good.size() - 3})
    expect_ignored(good.substr(0, size), "truncated or damaged");
  std::string changed = good;
  const std::size_t digit = changed.find("\"tile\":") + 9;
  changed[digit] = changed[digit] == '1' ? '2' : '1';
  expect_ignored(changed, "damaged");
  expect_ignored(Json{{"format", "pit-tile-costs 2"}}.dump(), "damaged");
  expect_ignored(Json{{"format", 1}}.dump(), "damaged");
}

TEST_F(TileFile, AForeignFileIsIgnored) {
  expect_body_ignored([](Json& body) { body["cpu"] = "Another CPU"; }, "another CPU (Another CPU)");
  expect_body_ignored([](Json& body) { body["target"] = "x86-64-v4"; }, "another target");
  expect_body_ignored([](Json& body) { body["version"] = "99.0.0"; }, "PIT 99.0.0");
  Json json = Json::parse(costs(1).to_json());
  json["format"] = "pit-tile-costs 999";
  expect_ignored(json.dump(), "another format");
}

TEST_F(TileFile, FiguresThatCannotBeAreIgnored) {
  const std::string tile = tiles_to_measure(target_).front().name(), pack = packs_to_measure(target_).front().name();
  expect_body_ignored([&](Json& b) { b["tiles"][tile]["tile"] = 0; }, "'tile'");
  expect_body_ignored([&](Json& b) { b["tiles"][tile]["tile"] = "1"; }, "'tile'");
  expect_body_ignored([&](Json& b) { b["tiles"][tile]["k_step"][1] = -1; }, "'k_step'");
  expect_body_ignored([&](Json& b) { b["tiles"][tile]["k_step"] = {1, 2}; }, "a k_step per level");
  expect_body_ignored([&](Json& b) { b["tiles"][tile].erase("call"); }, "damaged");
  expect_body_ignored([&](Json& b) { b["packs"][pack]["element"] = 1e300; }, "'element'");
  expect_body_ignored([&](Json& b) { b["packs"][pack] = nullptr; }, "damaged");
  expect_body_ignored([&](Json& b) { b["limits"] = Json::array(); }, "no limits");
  expect_body_ignored([&](Json& b) { b["limits"][0]["threads"] = 0; }, "no thread");
  expect_body_ignored([&](Json& b) { b["limits"][0]["read_gbytes"] = -3; }, "'read_gbytes'");
  expect_body_ignored([&](Json& b) { b["tiles"] = Json::object(); }, "none of the tiles");
  expect_body_ignored([&](Json& b) { b["tiles"] = 3; }, "none of the tiles");
  expect_body_ignored([&](Json& b) { b = "body"; }, "damaged");
}

TEST_F(TileFile, KeysOfOtherVersionsAreSkipped) {
  Json json = Json::parse(costs(1).to_json());
  const std::string first = tiles_to_measure(target_).front().name();
  json["body"]["tiles"]["9x9x9 of the future"] = {{"speed", "high"}};
  json["body"]["tiles"].erase(first);
  json["hash"] = content_hash(json["body"].dump());
  ASSERT_TRUE(write_file_atomically(file(), json.dump(), nullptr));
  const TileCosts loaded = TileCosts::load(dir_, target_);
  EXPECT_TRUE(loaded.measured());
  EXPECT_FALSE(loaded.tile(tiles_to_measure(target_).front()).measured);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(TileFile, SomethingElseInItsPlaceIsIgnored) {
  fs::create_directory(file());
  EXPECT_FALSE(TileCosts::load(dir_, target_).measured());
  EXPECT_EQ(warnings_.size(), 1u);
  std::string reason;
  EXPECT_FALSE(costs(1).store(dir_, &reason));
  EXPECT_NE(reason, "");
  EXPECT_TRUE(fs::is_directory(file()));
  EXPECT_FALSE(costs(1).store(dir_ + "/missing", &reason));
}

TEST_F(TileFile, ConcurrentWritersLeaveAWholeFile) {
  constexpr int kWriters = 4, times = 20;
  std::vector<std::string> texts;
  for (int w = 0; w < kWriters; ++w) texts.push_back(costs(1 + w).to_json());
  auto is_one_of_them = [&](const std::string& text) {
    return std::find(texts.begin(), texts.end(), text) != texts.end();
  };
  ASSERT_TRUE(costs(1).store(dir_, nullptr));
  std::atomic<int> writing{kWriters}, failed{0};
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w)
    writers.emplace_back([&, w] {
      const TileCosts mine = costs(1 + w);
      for (int i = 0; i < times; ++i) failed += !mine.store(dir_, nullptr);
      --writing;
    });
  while (writing > 0) {
    const TileCosts loaded = TileCosts::load(dir_, target_);
    EXPECT_TRUE(loaded.measured() && is_one_of_them(loaded.to_json()));
  }
  for (std::thread& t : writers) t.join();
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(is_one_of_them(read_file(file())));
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 1) << "temporary files left behind";
  EXPECT_TRUE(warnings_.empty());
}

}  // namespace
}  // namespace pit::tuning
