// How fast values become live maps and lists. Prints GB/s (bytes read + bytes written, / time) of scan, and of scan +
// lists, and what share that is of the bandwidth at which the same threads merely read the same memory; memcpy (read +
// written) beside it. The last column is the share of what reading and writing that much takes, writing at the speed
// that memcpy has beyond its reads.
//
//     detect_bench [only=32x1] [rounds=15] [rows=4096] [columns=4096] [threads=2] [pages=small] [clock=wall]
//
// Contestants take turns within each round, each on another matrix than the one before, so that data come from memory
// and a busy neighbour disturbs all of them. Speeds are medians over rounds, shares medians of the rounds' own ratios.
// Time is CPU time, divided by the number of threads: the machine may be shared (on an idle one clock=wall says the
// same).
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fmt/format.h>
#include <immintrin.h>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <sys/mman.h>

#include "detect/live_map.h"

using namespace pit;
using namespace pit::detect;

namespace {

double now(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

/// Matrices that lie in memory: more bytes together than any cache has.
struct Region {
  float* data = nullptr;
  std::size_t bytes = 0;
  Region(std::size_t n, bool huge) : bytes(n) {
    data = static_cast<float*>(std::aligned_alloc(2 << 20, (n + (2 << 20) - 1) >> 21 << 21));
    madvise(data, n, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    std::memset(data, 0, n);
  }
  Region(const Region&) = delete;
  ~Region() { std::free(data); }
};

constexpr std::size_t kBlock = 256 << 10;

/// One stream, fetched ahead: on Zen 5 that is what reads fastest.
__attribute__((target("avx2"))) void read_block(const char* at, std::size_t n) {
  constexpr std::size_t ahead = 8192;
  __m256i all = _mm256_setzero_si256();
  for (std::size_t i = 0; i + 64 <= n; i += 64) {
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(at) + i + ahead));
    const auto* line = reinterpret_cast<const __m256i*>(at + i);
    all = _mm256_or_si256(all, _mm256_or_si256(_mm256_load_si256(line), _mm256_load_si256(line + 1)));
  }
  asm volatile("" : : "x"(all));
}

void read(const Region& r, const ThreadPool& pool) {
  pool.parallel_for(static_cast<std::int64_t>((r.bytes + kBlock - 1) / kBlock), [&](std::int64_t task, int) {
    const std::size_t at = static_cast<std::size_t>(task) * kBlock;
    read_block(reinterpret_cast<const char*>(r.data) + at, std::min(kBlock, r.bytes - at));
  });
}

void copy(const Region& from, const Region& to, const ThreadPool& pool) {
  pool.parallel_for(static_cast<std::int64_t>((from.bytes + kBlock - 1) / kBlock), [&](std::int64_t task, int) {
    const std::size_t at = static_cast<std::size_t>(task) * kBlock;
    std::memcpy(reinterpret_cast<char*>(to.data) + at, reinterpret_cast<char*>(from.data) + at,
                std::min(kBlock, from.bytes - at));
  });
}

void fill(Region& r, std::int64_t rows, std::int64_t columns, std::int64_t g_rows, std::int64_t g_columns, double zeros,
          std::mt19937_64& random) {
  const std::int64_t width = (columns + g_columns - 1) / g_columns;
  const auto threshold = static_cast<std::uint32_t>(zeros * 4294967295.0);
  std::vector<char> live(static_cast<std::size_t>(width));
  for (std::int64_t i = 0; i < rows; ++i) {
    if (i % g_rows == 0)
      for (auto& l : live) l = static_cast<std::uint32_t>(random()) >= threshold;
    float* row = r.data + i * columns;
    for (std::int64_t j = 0; j < columns; ++j) row[j] = live[static_cast<std::size_t>(j / g_columns)] ? 1.5f : 0.0f;
  }
}

template <class T>
double bytes_of(const T& v) {
  return static_cast<double>(v.size() * sizeof(v[0]));
}

class Bench {
 public:
  Bench(std::int64_t rows, std::int64_t columns, int rounds, bool huge, bool wall)
      : rows_(rows), columns_(columns), rounds_(rounds), wall_(wall) {
    for (int i = 0; i < 7; ++i)
      regions_.push_back(std::make_unique<Region>(static_cast<std::size_t>(rows * columns) * 4, huge));
  }

  void run(std::int64_t g_rows, std::int64_t g_columns, double zeros, bool transposed,
           const std::vector<std::unique_ptr<ThreadPool>>& pools) {
    std::mt19937_64 random(1);
    for (auto& r : regions_) {
      if (transposed) fill(*r, columns_, rows_, g_columns, g_rows, zeros, random);
      else fill(*r, rows_, columns_, g_rows, g_columns, zeros, random);
    }
    for (const auto& pool : pools) measure(g_rows, g_columns, zeros, transposed, *pool);
  }

 private:
  enum { reading, copying, scanning, rescanning, listing, relisting, contestants };

  const Region& next() { return *regions_[turn_++ % regions_.size()]; }

  void measure(std::int64_t g_rows, std::int64_t g_columns, double zeros, bool transposed, const ThreadPool& pool) {
    std::vector<double> seconds[contestants];
    LiveMap map, kept_map;
    IndexSet set, kept_set;
    const auto scan_next = [&](LiveMap reuse) {
      const Values v{next().data, DType::f32, {0}, rows_, columns_, transposed ? 1 : columns_, transposed ? rows_ : 1};
      return scan(v, g_rows, g_columns, 0.0f, pool, std::move(reuse));
    };
    const auto time = [&](int what, auto&& f) {
      const clockid_t clock = wall_ ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
      const double t = now(clock);
      f();
      seconds[what].push_back((now(clock) - t) / (wall_ ? 1 : pool.size()));
    };
    for (int round = 0; round < rounds_; ++round) {
      time(reading, [&] { read(next(), pool); });
      time(scanning, [&] { map = scan_next({}); });
      time(listing, [&] {
        map = scan_next({});
        set = lists(map, pool);
      });
      time(rescanning, [&] { kept_map = scan_next(std::move(kept_map)); });
      time(relisting, [&] {
        kept_map = scan_next(std::move(kept_map));
        kept_set = lists(kept_map, pool, std::move(kept_set));
      });
      const Region& from = next();
      time(copying, [&] { copy(from, next(), pool); });
    }
    const double in = static_cast<double>(rows_ * columns_) * 4, bits = bytes_of(map.bits) + bytes_of(map.counts);
    const double index = static_cast<double>(set.count()) * 4 + bytes_of(set.offset);
    const auto speed = [&](int what, double bytes) { return bytes / median(seconds[what]) / 1e9; };
    const auto share = [&](int what, double bytes) {
      std::vector<double> shares;
      for (std::size_t i = 0; i < seconds[what].size(); ++i)
        shares.push_back(bytes / seconds[what][i] * seconds[reading][i] / in);
      return fmt::format("{:6.1f} {:4.2f}", speed(what, bytes), median(shares));
    };
    // What is written costs what it adds to a copy beyond the read.
    const auto mixed = [&](int what, double written) {
      std::vector<double> shares;
      for (std::size_t i = 0; i < seconds[what].size(); ++i) {
        const double limit = seconds[reading][i] + written / in * (seconds[copying][i] - seconds[reading][i]);
        shares.push_back(limit / seconds[what][i]);
      }
      return fmt::format("{:4.2f}", median(shares));
    };
    fmt::print("{:>9} {:>3.0f} %  {:>2} | {:6.1f} {:6.1f} | {} {} | {} {} {}\n",
               fmt::format("{}x{}{}", g_rows, g_columns, transposed ? "T" : ""), 100 * zeros, pool.size(),
               speed(reading, in), speed(copying, 2 * in), share(scanning, in + bits), share(rescanning, in + bits),
               share(listing, in + bits + index), share(relisting, in + bits + index), mixed(relisting, bits + index));
    std::fflush(stdout);
  }

  std::int64_t rows_, columns_;
  int rounds_;
  bool wall_;
  std::size_t turn_ = 0;
  std::vector<std::unique_ptr<Region>> regions_;
};

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options{{"only", ""},     {"rounds", "15"},  {"rows", "4096"}, {"columns", "4096"},
                                             {"threads", "2"}, {"pages", "huge"}, {"clock", "cpu"}};
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const auto at = options.find(text.substr(0, text.find('=')));
    if (at == options.end() || text.find('=') == std::string::npos)
      return fmt::print(stderr, "what is '{}'?\n", text), 2;
    at->second = text.substr(text.find('=') + 1);
  }
  const std::int64_t rows = std::stoll(options["rows"]), columns = std::stoll(options["columns"]);
  Bench bench(rows, columns, std::stoi(options["rounds"]), options["pages"] != "small", options["clock"] == "wall");
  std::vector<std::unique_ptr<ThreadPool>> pools;
  for (int threads = 1; threads <= std::stoi(options["threads"]); threads *= 2)
    pools.push_back(std::make_unique<ThreadPool>(threads));
  fmt::print(
      "{} x {} f32, {} pages, GB/s and share of the read bandwidth; \"kept\": into the memory of an earlier map and "
      "list\n",
      rows, columns, options["pages"]);
  fmt::print("{:>9} {:>5}  {:>2} | {:>6} {:>6} | {:>11} {:>11} | {:>11} {:>11} {:>4}\n", "", "zeros", "t", "read",
             "memcpy", "scan", "kept", "scan+lists", "kept", "mix");
  struct {
    std::int64_t rows, columns;
    bool transposed;
  } cases[] = {{1, 1, false}, {2, 1, false}, {8, 1, false}, {32, 1, false}, {1, 64, false}, {32, 64, false},
               {1, 8, false}, {1, 3, false}, {1, 1, true},  {32, 1, true},  {1, 64, true}};
  for (const auto& c : cases) {
    const std::string name = fmt::format("{}x{}{}", c.rows, c.columns, c.transposed ? "T" : "");
    if (!options["only"].empty() && options["only"] != name) continue;
    for (double zeros : {0.5, 0.9, 0.99}) bench.run(c.rows, c.columns, zeros, c.transposed, pools);
  }
}
