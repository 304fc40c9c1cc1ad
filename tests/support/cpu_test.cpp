#include "support/cpu.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <sched.h>
#include <string>

#include "pit/error.h"

namespace pit {
namespace {

// PIT_CPU set for the time of a test.
class CpuVariable {
 public:
  explicit CpuVariable(const char* value) {
    const char* old = std::getenv("PIT_CPU");
    if (old != nullptr) saved_ = old;
    had_ = old != nullptr;
    if (value != nullptr) {
      ::setenv("PIT_CPU", value, 1);
    } else {
      ::unsetenv("PIT_CPU");
    }
  }
  ~CpuVariable() { had_ ? ::setenv("PIT_CPU", saved_.c_str(), 1) : ::unsetenv("PIT_CPU"); }

 private:
  std::string saved_;
  bool had_;
};

TEST(CpuTarget, HostIsAnArchitectureLevel) {
  CpuVariable none(nullptr);
  const CpuTarget t = cpu_target();
  EXPECT_TRUE((t.name == "x86-64-v3" && t.vector_bytes == 32) || (t.name == "x86-64-v4" && t.vector_bytes == 64));
  EXPECT_EQ(t, cpu_target("native"));
  EXPECT_EQ(t.lanes(4), t.vector_bytes / 4);
}

TEST(CpuTarget, HaswellHasNarrowVectors) {
  CpuVariable none(nullptr);
  EXPECT_EQ(cpu_target("haswell"), (CpuTarget{"haswell", "", 32}));
}

TEST(CpuTarget, EnvironmentIsSecondToTheArgument) {
  CpuVariable v("haswell");
  EXPECT_EQ(cpu_target().name, "haswell");
  EXPECT_EQ(cpu_target("x86-64-v3").name, "x86-64-v3");
}

TEST(CpuTarget, UnknownNamesAreTheUsersMistake) {
  try {
    cpu_target("pentium-mmx");
    FAIL() << "accepted";
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("pentium-mmx"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("haswell"), std::string::npos) << "should list what is known";
  }
}

TEST(Machine, CacheSizesAreSane) {
  const CacheSizes c = cache_sizes();
  EXPECT_GE(c.l1d, 8u << 10);
  EXPECT_LE(c.l1d, 1u << 20);
  EXPECT_GT(c.l2, c.l1d);
}

TEST(Machine, DefaultThreadsFollowAffinity) {
  const int before = default_threads();
  EXPECT_GE(before, 1);
  cpu_set_t old, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof old, &old), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &old)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(default_threads(), 1);
  sched_setaffinity(0, sizeof old, &old);
  EXPECT_EQ(default_threads(), before);
}

}  // namespace
}  // namespace pit
