#include "support/cpu.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <string>

#include "pit/error.h"

namespace pit {
namespace {

// What a named CPU needs beyond the level before it. LLVM may use any feature of the CPU it is told to generate for,
// so a name is accepted only when this machine has all of them.
enum class Level { v3, zen, v4, icelake, znver4, znver5, sapphirerapids };

struct KnownCpu {
  const char* name;
  Level level;
};

constexpr KnownCpu kKnown[] = {
    {"x86-64-v3", Level::v3},
    {"haswell", Level::v3},
    {"broadwell", Level::v3},
    {"skylake", Level::v3},
    {"znver1", Level::zen},
    {"znver2", Level::zen},
    {"znver3", Level::zen},
    {"x86-64-v4", Level::v4},
    {"skylake-avx512", Level::v4},
    {"cascadelake", Level::v4},
    {"icelake-server", Level::icelake},
    {"icelake-client", Level::icelake},
    {"sapphirerapids", Level::sapphirerapids},
    {"znver4", Level::znver4},
    {"znver5", Level::znver5},
};

bool has_v3() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt") &&
         __builtin_cpu_supports("movbe");
}

bool has_v4() {
  return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
}

bool has_icelake() {
  return has_v4() && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512ifma") &&
         __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vpopcntdq") &&
         __builtin_cpu_supports("gfni") && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("vaes");
}

bool machine_has(Level level) {
  switch (level) {
    case Level::v3: return has_v3();
    case Level::zen: return has_v3() && __builtin_cpu_supports("sse4a");  // LLVM lowers shuffles to extrq/insertq
    case Level::v4: return has_v4();
    case Level::icelake: return has_icelake();
    case Level::znver4: return has_icelake() && __builtin_cpu_supports("sse4a") && __builtin_cpu_supports("avx512bf16");
    case Level::znver5:
      return has_icelake() && __builtin_cpu_supports("sse4a") && __builtin_cpu_supports("avx512bf16") &&
             __builtin_cpu_supports("avxvnni") && __builtin_cpu_supports("avx512vp2intersect");
    case Level::sapphirerapids:
      return has_icelake() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512fp16") &&
             __builtin_cpu_supports("avxvnni");
  }
  return false;
}

int vector_bytes_of(Level level) { return level == Level::v3 || level == Level::zen ? 32 : 64; }

// The architecture level rather than LLVM's guess of the model: two machines of one level then share cached code, and
// virtual machines that hide features are described as they are. Beyond the level, what makes a difference: sums of
// products of bytes.
CpuTarget host_target() {
  if (has_v4()) return {"x86-64-v4", __builtin_cpu_supports("avx512vnni") ? "+avx512vnni" : "", 64};
  if (has_v3()) return {"x86-64-v3", __builtin_cpu_supports("avxvnni") ? "+avxvnni" : "", 32};
  throw InputError("this machine lacks AVX2 and FMA (x86-64-v3), which PIT needs");
}

std::size_t parse_cache_size(const std::string& text) {
  std::size_t value = 0;
  char unit = 0;
  std::istringstream in(text);
  if (!(in >> value)) return 0;
  in >> unit;
  if (unit == 'K') return value << 10;
  if (unit == 'M') return value << 20;
  return value;
}

bool read_word(const std::string& path, std::string* word) {
  std::ifstream in(path);
  return static_cast<bool>(in >> *word);
}

// CPUs of the cgroup's quota in one directory, or infinity.
double quota_v2(const std::string& dir) {
  std::ifstream in(dir + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return HUGE_VAL;
  const double value = std::atof(quota.c_str());
  return value > 0 ? value / period : HUGE_VAL;
}

double quota_v1(const std::string& dir) {
  std::string quota, period;
  if (!read_word(dir + "/cpu.cfs_quota_us", &quota) || !read_word(dir + "/cpu.cfs_period_us", &period)) return HUGE_VAL;
  const double q = std::atof(quota.c_str()), p = std::atof(period.c_str());
  return q > 0 && p > 0 ? q / p : HUGE_VAL;
}

// The quota of a group limits all groups below it: the smallest one on the way up to the mount point holds. Inside a
// container /proc/self/cgroup may show a path of the host, which is then not there: the mount point itself is asked
// too.
template <class Quota>
double smallest_quota(const std::string& mount, std::string path, Quota quota) {
  double least = quota(mount);
  while (path.size() > 1) {
    least = std::min(least, quota(mount + path));
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  return least;
}

double cgroup_cpus() {
  double least = HUGE_VAL;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      least = std::min(least, smallest_quota("/sys/fs/cgroup", path, quota_v2));
      least = std::min(least, smallest_quota("/sys/fs/cgroup/unified", path, quota_v2));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      least = std::min(least, smallest_quota("/sys/fs/cgroup/cpu", path, quota_v1));
      least = std::min(least, smallest_quota("/sys/fs/cgroup/cpu,cpuacct", path, quota_v1));
    }
  }
  return least;
}

int affinity_cpus() {
  // The mask may be larger than cpu_set_t on big machines: grow until the kernel is content.
  for (int cpus = 1024; cpus <= (1 << 20); cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) return 1;
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    const int count = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok) return std::max(count, 1);
  }
  return 1;
}

}  // namespace

CpuTarget cpu_target(const std::string& override_name) {
  std::string name = override_name;
  if (name.empty()) {
    const char* env = std::getenv("PIT_CPU");
    if (env != nullptr) name = env;
  }
  if (name.empty() || name == "native") return host_target();
  for (const KnownCpu& known : kKnown) {
    if (name != known.name) continue;
    if (!machine_has(known.level)) {
      throw InputError(
          fmt::format("CPU '{}' has instructions that this machine cannot execute; leave the CPU "
                      "(PIT_CPU) empty for this machine's own ({})",
                      name, host_target().name));
    }
    return {name, "", vector_bytes_of(known.level)};
  }
  std::string names;
  for (const KnownCpu& known : kKnown) names += std::string(names.empty() ? "" : ", ") + known.name;
  throw InputError(fmt::format("unknown CPU '{}'; known are: native, {}", name, names));
}

namespace {

CacheSizes read_cache_sizes() {
  CacheSizes sizes;
  const std::string base = "/sys/devices/system/cpu/cpu0/cache/index";
  for (int i = 0; i < 8; ++i) {
    const std::string dir = base + std::to_string(i);
    std::string level, type, size;
    if (!read_word(dir + "/level", &level) || !read_word(dir + "/type", &type) || !read_word(dir + "/size", &size))
      break;
    const std::size_t bytes = parse_cache_size(size);
    if (bytes == 0 || type == "Instruction") continue;
    if (level == "1") sizes.l1d = bytes;
    if (level == "2") sizes.l2 = bytes;
    if (level == "3") sizes.l3 = bytes;
  }
  return sizes;
}

}  // namespace

const CacheSizes& cache_sizes() {
  static const CacheSizes sizes = read_cache_sizes();  // a dozen files: plans ask, too
  return sizes;
}

int default_threads() {
  const int cpus = affinity_cpus();
  const double quota = cgroup_cpus();
  if (quota >= cpus) return cpus;
  return std::max(1, static_cast<int>(std::ceil(quota - 1e-6)));
}

}  // namespace pit
