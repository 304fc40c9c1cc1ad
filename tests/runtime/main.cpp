// Compiled code is kept in a directory of this run: models are compiled many times with the same kernels.
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  std::string path = (std::filesystem::temp_directory_path() / "pit-test-XXXXXX").string();
  if (!mkdtemp(path.data())) return 1;
  setenv("PIT_CACHE_DIR", path.c_str(), 1);
  const int result = RUN_ALL_TESTS();
  std::filesystem::remove_all(path);
  return result;
}
