// Live maps against brute force: every shape, stride, granularity and density, in both back ends of inner loops.
#include "detect/live_map.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <limits>
#include <random>

#include "pit/error.h"

namespace pit::detect {
namespace {

using Random = std::mt19937;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::int64_t below(Random& random, std::int64_t n) {
  return static_cast<std::int64_t>(random() % static_cast<unsigned>(n));
}

template <class T>
T one_of(Random& random, std::initializer_list<T> choices) {
  return choices.begin()[random() % choices.size()];
}

std::vector<ScanIsa> isas() {
  __builtin_cpu_init();
  std::vector<ScanIsa> r{ScanIsa::native, ScanIsa::avx2};
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq")) {
    r.push_back(ScanIsa::avx512);
    if (__builtin_cpu_supports("avx512vbmi2")) r.push_back(ScanIsa::avx512_vbmi2);
  }
  return r;
}

const ThreadPool& pool(int threads) {
  static const ThreadPool one(1), two(2), three(3);
  return threads == 1 ? one : threads == 2 ? two : three;
}

/// The reference: one bool per micro-tile.
struct Tiles {
  std::int64_t batch, rows, columns;  // of micro-tiles
  std::vector<char> live;
  Tiles(std::int64_t b, std::int64_t r, std::int64_t c)
      : batch(b), rows(r), columns(c), live(static_cast<std::size_t>(b * r * c), 0) {}
  char& at(std::int64_t b, std::int64_t r, std::int64_t c) {
    return live[static_cast<std::size_t>((b * rows + r) * columns + c)];
  }
};

std::int64_t groups(std::int64_t n, std::int64_t g) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; i += std::min(g, n)) ++count;
  return count;
}

/// The map says what the reference says, and its redundant parts (counts, sums, unused bits) agree with its bits.
void expect_equal(const LiveMap& m, Tiles& t) {
  ASSERT_EQ(m.batch, t.batch);
  ASSERT_EQ(m.row_groups(), t.rows);
  ASSERT_EQ(m.column_groups(), t.columns);
  ASSERT_EQ(static_cast<std::int64_t>(m.bits.size()), t.batch * t.rows * m.words());
  ASSERT_EQ(static_cast<std::int64_t>(m.counts.size()), t.batch * t.rows);
  std::int64_t live = 0;
  for (std::int64_t r = 0; r < t.batch * t.rows; ++r) {
    std::int32_t expected = 0, bits = 0;
    for (std::int64_t c = 0; c < t.columns; ++c) {
      const bool is_live = t.at(r / t.rows, r % t.rows, c) != 0;
      ASSERT_EQ(m.test(r, c), is_live) << "row of micro-tiles " << r << ", column " << c;
      expected += is_live;
    }
    for (std::int64_t w = 0; w < m.words(); ++w) bits += std::popcount(m.row(r)[w]);
    ASSERT_EQ(bits, expected) << "bits behind the last column, row " << r;
    ASSERT_EQ(m.counts[static_cast<std::size_t>(r)], expected) << "row " << r;
    live += expected;
  }
  ASSERT_EQ(m.live, live);
  EXPECT_EQ(m.total(), t.batch * t.rows * t.columns);
}

void expect_lists(const LiveMap& m, const IndexSet& s) {
  const std::int64_t rows = m.batch * m.row_groups();
  ASSERT_EQ(s.outer, rows);
  ASSERT_EQ(s.extent, m.column_groups());
  ASSERT_EQ(static_cast<std::int64_t>(s.offset.size()), rows + 1);
  ASSERT_EQ(s.count(), m.live);
  ASSERT_GE(static_cast<std::int64_t>(s.index.size()), m.live + 16);
  EXPECT_EQ(s.all, m.live == m.total());
  std::int64_t at = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    ASSERT_EQ(s.offset[static_cast<std::size_t>(r)], at);
    for (std::int64_t c = 0; c < m.column_groups(); ++c) {
      if (!m.test(r, c)) continue;
      ASSERT_EQ(s.index[static_cast<std::size_t>(at++)], c) << "row " << r;
    }
  }
  for (std::int64_t i = 0; i < 16; ++i) ASSERT_EQ(s.index[static_cast<std::size_t>(at + i)], 0);
}

/// Matrices in memory, in the middle of an allocation of exactly what they span.
struct Case {
  std::vector<char> memory;
  Values values;
  float absent = 0;
  float f32(std::int64_t at) const { return static_cast<const float*>(values.data)[at]; }
  double f64(std::int64_t at) const { return static_cast<const double*>(values.data)[at]; }
  bool live(std::int64_t at) const {
    if (values.dtype == DType::b8) return (static_cast<const std::uint8_t*>(values.data)[at] != 0) != (absent != 0);
    return values.dtype == DType::f64 ? !(f64(at) == absent) : !(f32(at) == absent);
  }
};

void set_strides(Random& random, Values& v) {
  const std::int64_t pad = one_of<std::int64_t>(random, {0, 0, 1, 7});
  switch (random() % 8) {
    case 0:
    case 1:
    case 2: v.row_stride = v.columns + pad, v.column_stride = 1; break;
    case 3:
    case 4: v.row_stride = 1, v.column_stride = v.rows + pad; break;
    case 5: v.column_stride = 2 + below(random, 3), v.row_stride = v.columns * v.column_stride + pad; break;
    case 6: v.row_stride = -(v.columns + pad), v.column_stride = 1; break;
    default:
      v.row_stride = one_of<std::int64_t>(random, {0, 1, 3}),
      v.column_stride = one_of<std::int64_t>(random, {0, -1, 1});
      break;
  }
}

std::int64_t extent(Random& random) {
  return random() % 3 == 0 ? one_of<std::int64_t>(random, {0, 1, 2, 63, 64, 65, 128})
                           : below(random, random() % 4 == 0 ? 700 : 90);
}

Case random_case(Random& random, std::int64_t rows, std::int64_t columns) {
  Case c;
  Values& v = c.values;
  v.dtype = one_of(random, {DType::f32, DType::f32, DType::f64, DType::b8});
  v.rows = rows, v.columns = columns;
  set_strides(random, v);
  c.absent = v.dtype == DType::b8 ? one_of(random, {0.0f, 0.0f, 1.0f})
                                  : one_of(random, {0.0f, 0.0f, -0.0f, -kInfinity, kInfinity, 3.0f, std::nanf("")});
  // The matrices' first and last elements relative to their offsets, then offsets so that all lie within.
  std::int64_t low = 0, high = 0;
  if (v.rows * v.columns > 0) {
    for (std::int64_t step : {(v.rows - 1) * v.row_stride, (v.columns - 1) * v.column_stride})
      (step < 0 ? low : high) += step;
  }
  v.batch_offsets.clear();
  const std::int64_t batch = below(random, 4);
  std::int64_t end = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    v.batch_offsets.push_back(end - low + below(random, 5));
    end = random() % 4 == 0 ? end : v.batch_offsets.back() + high + 1;  // some overlap
  }
  std::shuffle(v.batch_offsets.begin(), v.batch_offsets.end(), random);
  std::int64_t size = 0;
  for (std::int64_t o : v.batch_offsets) size = std::max(size, o + high + 1);
  c.memory.resize(static_cast<std::size_t>(size) * size_of(v.dtype));
  const int share = one_of(random, {0, 1, 1, 10, 50, 90, 100});  // of live elements, in percent
  for (std::int64_t i = 0; i < size; ++i) {
    const bool live = static_cast<int>(random() % 100) < share;
    if (v.dtype == DType::b8) {
      c.memory[static_cast<std::size_t>(i)] = static_cast<char>(live == (c.absent == 0) ? 1 + random() % 255 : 0);
    } else {
      float x = live ? one_of(random, {1.0f, -1e-45f, std::nanf(""), kInfinity, -kInfinity, 2.5f}) : c.absent;
      if (!live && c.absent == 0 && random() % 2) x = -c.absent;
      const double wide = live && x == -1e-45f ? -5e-324 : x;
      if (v.dtype == DType::f64) std::memcpy(&c.memory[static_cast<std::size_t>(8 * i)], &wide, 8);
      else std::memcpy(&c.memory[static_cast<std::size_t>(4 * i)], &x, 4);
    }
  }
  v.data = c.memory.data();
  return c;
}

Case random_case(Random& random) {
  const std::int64_t rows = extent(random);
  return random_case(random, rows, extent(random));
}

Tiles brute_force(const Case& c, std::int64_t g_rows, std::int64_t g_columns) {
  const Values& v = c.values;
  Tiles t(static_cast<std::int64_t>(v.batch_offsets.size()), groups(v.rows, g_rows), groups(v.columns, g_columns));
  for (std::int64_t b = 0; b < t.batch; ++b)
    for (std::int64_t i = 0; i < v.rows; ++i)
      for (std::int64_t j = 0; j < v.columns; ++j) {
        if (c.live(v.batch_offsets[static_cast<std::size_t>(b)] + i * v.row_stride + j * v.column_stride))
          t.at(b, i / g_rows, j / g_columns) = 1;
      }
  return t;
}

std::int64_t granularity(Random& random) {
  if (random() % 20 == 0) return one_of<std::int64_t>(random, {1000, 1 << 30, INT64_MAX});
  return one_of<std::int64_t>(
      random, {1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 31, 32, 48, 63, 64, 65, 96, 100, 128, 130, 192, 300});
}

LiveMap random_map(Random& random, std::int64_t batch, std::int64_t rows, std::int64_t columns) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(batch * rows * columns));
  const unsigned share = random() % 5;
  for (auto& x : bytes) x = random() % 4 < share;
  std::vector<std::int64_t> offsets;
  for (std::int64_t b = 0; b < batch; ++b) offsets.push_back(b * rows * columns);
  return from_bytes(bytes.data(), offsets, columns, 1, rows, columns, 1, 1, pool(1));
}

void expect_scan(const Case& c, std::int64_t g_rows, std::int64_t g_columns, LiveMap& reused) {
  const Values& v = c.values;
  SCOPED_TRACE(fmt::format("{} matrices of {} x {} {}, strides {} and {}, micro-tiles {} x {}, absent {}",
                           v.batch_offsets.size(), v.rows, v.columns, name_of(v.dtype), v.row_stride, v.column_stride,
                           g_rows, g_columns, c.absent));
  Tiles expected = brute_force(c, g_rows, g_columns);
  for (ScanIsa isa : isas()) {
    for (int threads : {1, 2}) {
      reused = scan(v, g_rows, g_columns, c.absent, pool(threads), std::move(reused), isa);
      expect_equal(reused, expected);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  expect_lists(reused, lists(reused, pool(1)));
}

TEST(Scan, EqualsBruteForce) {
  LiveMap reused;
  for (unsigned seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const Case c = random_case(random);
    const std::int64_t g_rows = granularity(random), g_columns = granularity(random);
    expect_scan(c, g_rows, g_columns, reused);
    if (HasFatalFailure()) return;
  }
}

// Rows about as long as what is fetched ahead of a scan, in f32 and in bytes, are scanned in two pieces.
TEST(Scan, LongRows) {
  LiveMap reused;
  for (unsigned seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const std::int64_t columns = one_of<std::int64_t>(random, {2048, 4096, 8192}) + below(random, 131) - 65;
    const Case c = random_case(random, 1 + below(random, 9), columns);
    const std::int64_t g_rows = granularity(random), g_columns = granularity(random);
    expect_scan(c, g_rows, g_columns, reused);
    if (HasFatalFailure()) return;
  }
}

// Large enough for several tasks per thread, and for high micro-tiles to be cut into parts.
TEST(Scan, ManyTasks) {
  const std::int64_t rows = 1030, columns = 1100;
  for (std::int64_t g_rows : {1, 32, 515, 1030, 5000}) {
    for (std::int64_t g_columns : {1, 64, 10}) {
      for (bool transpose : {false, true}) {
        Random random(7);
        Case c;
        c.values.rows = rows, c.values.columns = columns;
        c.values.row_stride = transpose ? 1 : columns, c.values.column_stride = transpose ? rows : 1;
        c.values.batch_offsets = {rows * columns, 0};
        c.memory.resize(static_cast<std::size_t>(2 * rows * columns) * 4);
        for (int i = 0; i < 2000; ++i) {
          const float x = 1;
          std::memcpy(&c.memory[4 * static_cast<std::size_t>(below(random, 2 * rows * columns))], &x, 4);
        }
        c.values.data = c.memory.data();
        SCOPED_TRACE(fmt::format("{} x {}, transposed {}", g_rows, g_columns, transpose));
        Tiles expected = brute_force(c, g_rows, g_columns);
        for (ScanIsa isa : isas()) {
          for (int threads : {1, 2, 3}) {
            const LiveMap m = scan(c.values, g_rows, g_columns, 0, pool(threads), {}, isa);
            expect_equal(m, expected);
            expect_lists(m, lists(m, pool(threads), {}, isa));
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(Scan, SaysWhatItCannot) {
  const float x = 0;
  EXPECT_THROW(scan({&x, DType::i64, {0}, 1, 1, 1, 1}, 1, 1, 0, pool(1)), InternalError);
  EXPECT_THROW(scan({&x, DType::f32, {0}, 1, 1, 1, 1}, 0, 1, 0, pool(1)), InternalError);
  EXPECT_THROW(scan({&x, DType::f32, {0}, 1, 1, 1, 1}, 1, -1, 0, pool(1)), InternalError);
}

TEST(SampleFraction, IsExactWithEnoughSamplesAndCloseWithFewer) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const Case c = random_case(random);
    const std::int64_t g_rows = granularity(random), g_columns = granularity(random);
    const LiveMap m = scan(c.values, g_rows, g_columns, c.absent, pool(1));
    for (ScanIsa isa : isas()) {
      EXPECT_EQ(sample_fraction(c.values, g_rows, g_columns, c.absent, 1 << 20, isa), m.fraction());
      const double few = sample_fraction(c.values, g_rows, g_columns, c.absent, 3, isa);
      EXPECT_GE(few, 0);
      EXPECT_LE(few, 1);
      EXPECT_EQ(few, sample_fraction(c.values, g_rows, g_columns, c.absent, 3, ScanIsa::avx2));
    }
  }
  // Every second row is live: a fixed stride between samples would see all or nothing.
  std::vector<float> x(64 * 1024, 0);
  for (std::size_t i = 0; i < x.size(); i += 128) std::fill_n(&x[i], 64, 1.0f);
  const Values v{x.data(), DType::f32, {0}, 1024, 64, 64, 1};
  EXPECT_NEAR(sample_fraction(v, 1, 1, 0, 64), 0.5, 0.25);
}

TEST(FromBytes, EqualsBruteForce) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const std::int64_t rows = extent(random), columns = extent(random), g_rows = granularity(random),
                       g_columns = granularity(random);
    Tiles expected(1 + below(random, 3), groups(rows, g_rows), groups(columns, g_columns));
    const bool transpose = random() % 2;
    std::vector<std::uint8_t> bytes(expected.live.size());
    std::vector<std::int64_t> offsets;
    for (std::int64_t b = 0; b < expected.batch; ++b) {
      offsets.push_back(b * expected.rows * expected.columns);
      for (std::int64_t r = 0; r < expected.rows; ++r)
        for (std::int64_t c = 0; c < expected.columns; ++c) {
          const std::int64_t at = offsets.back() + (transpose ? c * expected.rows + r : r * expected.columns + c);
          bytes[static_cast<std::size_t>(at)] = random() % 3 ? 0 : static_cast<std::uint8_t>(1 + random() % 255);
          expected.at(b, r, c) = bytes[static_cast<std::size_t>(at)] != 0;
        }
    }
    const LiveMap m = from_bytes(bytes.data(), offsets, transpose ? 1 : expected.columns, transpose ? expected.rows : 1,
                                 rows, columns, g_rows, g_columns, pool(1 + static_cast<int>(random() % 2)));
    EXPECT_EQ(m.rows, rows);
    EXPECT_EQ(m.g_columns, g_columns);
    expect_equal(m, expected);
    if (HasFatalFailure()) return;
  }
}

TEST(FromLengths, RowsUpToEachLength) {
  const LiveMap m = from_lengths({0, 3, 5, 9, -2}, 5, 7);
  Tiles expected(5, 5, 1);
  for (std::int64_t r = 0; r < 3; ++r) expected.at(1, r, 0) = 1;
  for (std::int64_t r = 0; r < 5; ++r) expected.at(2, r, 0) = expected.at(3, r, 0) = 1;
  expect_equal(m, expected);
  EXPECT_EQ(m.live, 13);
  EXPECT_EQ(from_lengths({2}, 5, 0).total(), 0);
  EXPECT_EQ(from_lengths({}, 5, 4).total(), 0);
  EXPECT_EQ(from_lengths({}, 5, 4).fraction(), 1.0);
}

TEST(FromRows, AnyOrderWithDuplicates) {
  Tiles expected(1, 6, 1);
  for (std::int64_t r : {1, 4, 5}) expected.at(0, r, 0) = 1;
  expect_equal(from_rows({5, 1, 4, 1, 5}, 6, 3), expected);
  Tiles none(1, 6, 1);
  expect_equal(from_rows({}, 6, 3), none);
  EXPECT_THROW(from_rows({6}, 6, 3), InternalError);
  EXPECT_THROW(from_rows({-1}, 6, 3), InternalError);
}

TEST(FromExperts, RowsOfEachExpert) {
  Tiles expected(3, 4, 1);
  expected.at(0, 0, 0) = expected.at(2, 0, 0) = expected.at(1, 1, 0) = expected.at(2, 3, 0) = 1;
  expect_equal(from_experts({0, 2, 1, 1, -1, -1, -1, 2}, 2, 3, 8), expected);
  EXPECT_EQ(from_experts({}, 2, 3, 8).total(), 0);
  EXPECT_THROW(from_experts({3}, 1, 3, 8), InternalError);
  EXPECT_THROW(from_experts({0, 1, 2}, 2, 3, 8), InternalError);
}

TEST(Full, EverythingIsLive) {
  for (std::int64_t columns : {0, 1, 63, 64, 65, 200}) {
    for (std::int64_t g : {1, 3, 64}) {
      const LiveMap m = full(2, 5, columns, 2, g);
      Tiles expected(2, 3, groups(columns, g));
      std::fill(expected.live.begin(), expected.live.end(), 1);
      expect_equal(m, expected);
      EXPECT_EQ(m.fraction(), 1.0);
      expect_lists(m, lists(m, pool(1)));
    }
  }
}

TEST(Coarsen, EqualsAScanAtTheCoarserGranularity) {
  for (unsigned seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const LiveMap m = random_map(random, below(random, 3), extent(random), extent(random));
    const std::int64_t rows = granularity(random), columns = granularity(random);
    SCOPED_TRACE(fmt::format("{} x {} by {} x {}", m.rows, m.columns, rows, columns));
    const LiveMap c = coarsen(m, rows, columns);
    EXPECT_EQ(c.g_rows, rows);
    EXPECT_EQ(c.g_columns, columns);
    Tiles expected(m.batch, groups(m.rows, rows), groups(m.columns, columns));
    for (std::int64_t b = 0; b < m.batch; ++b)
      for (std::int64_t r = 0; r < m.rows; ++r)
        for (std::int64_t k = 0; k < m.columns; ++k) {
          if (m.test(b * m.rows + r, k)) expected.at(b, r / rows, k / columns) = 1;
        }
    expect_equal(c, expected);
    if (HasFatalFailure()) return;
  }
}

TEST(Transposed, ExchangesRowsAndColumns) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const LiveMap m = random_map(random, below(random, 3), extent(random), extent(random));
    Tiles expected(m.batch, m.columns, m.rows);
    for (std::int64_t b = 0; b < m.batch; ++b)
      for (std::int64_t r = 0; r < m.rows; ++r)
        for (std::int64_t c = 0; c < m.columns; ++c) expected.at(b, c, r) = m.test(b * m.rows + r, c);
    for (ScanIsa isa : isas()) {
      const LiveMap t = transposed(m, pool(2), {}, isa);
      expect_equal(t, expected);
      if (HasFatalFailure()) return;
      EXPECT_EQ(transposed(t).bits, m.bits);
    }
  }
}

TEST(Lists, EqualBruteForce) {
  IndexSet reused;
  for (unsigned seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const LiveMap m = random_map(random, below(random, 3), extent(random), extent(random));
    for (ScanIsa isa : isas()) {
      for (int threads : {1, 2}) {
        reused = lists(m, pool(threads), std::move(reused), isa);
        expect_lists(m, reused);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Expand, BaseAndScale) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const LiveMap m = random_map(random, 1, 1, 1 + extent(random));
    const std::int32_t base = static_cast<std::int32_t>(below(random, 1000)) - 500,
                       scale = one_of(random, {1, 2, 4, 96, -3, 0});
    for (ScanIsa isa : isas()) {
      std::vector<std::int32_t> out(static_cast<std::size_t>(m.live) + 16 + 1, 12345);
      ASSERT_EQ(expand(m.row(0), m.words(), base, scale, out.data(), isa), m.live);
      EXPECT_EQ(out.back(), 12345);
      std::size_t at = 0;
      for (std::int64_t c = 0; c < m.columns; ++c) {
        if (!m.test(0, c)) continue;
        ASSERT_EQ(out[at++], base + static_cast<std::int32_t>(c) * scale);
      }
    }
  }
}

}  // namespace
}  // namespace pit::detect
