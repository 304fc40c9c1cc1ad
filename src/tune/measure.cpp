#include "tune/measure.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

namespace pit::tuning {

namespace {

constexpr std::int64_t kTiles = 32;  // of a macro-tile with B in L1
constexpr std::int64_t kFarK = 256;
constexpr int kLists = 4;  // of ascending rows with gaps: one would be learnt by the caches
constexpr std::size_t kL3Bytes = 16 << 20, kABytes = 2 << 20, kCBytes = 4 << 20;

/// `count` of `from` positions, ascending, evenly likely; as byte offsets.
std::vector<std::int32_t> ascending(std::int64_t count, std::int64_t from, std::int64_t bytes, std::mt19937& random) {
  std::vector<std::int32_t> chosen;
  for (std::int64_t i = 0, left = count; i < from && left > 0; ++i)
    if (static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(from - i)) < left) {
      chosen.push_back(static_cast<std::int32_t>(i * bytes));
      --left;
    }
  return chosen;
}

}  // namespace

void Least::measure(const Effort& effort, const std::function<void(std::int64_t)>& body,
                    const std::function<void()>& before) {
  std::int64_t number = 0;
  auto repeat = [&](std::int64_t calls) {
    if (before) before();
    const double start = thread_seconds();
    for (std::int64_t i = 0; i < calls; ++i) body(number++);
    return thread_seconds() - start;
  };
  if (calls_ == 0) {
    body(number++);
    for (calls_ = 1; calls_ < (1 << 24); calls_ *= 2)
      if (const double t = repeat(calls_); t >= effort.seconds / 2) break;
  } else {
    repeat(std::max<std::int64_t>(1, calls_ / 4));  // the caches' state before the clock counts
  }
  for (int r = 0; r < effort.repetitions; ++r) best_ = std::min(best_, repeat(calls_) / static_cast<double>(calls_));
}

/// The operands of one tile kernel: A packed or rows in place at the beginning of the scratch, C and B behind it.
struct TileTimes::Data {
  TileKey key;
  codegen::KernelFn function;
  std::int64_t width;          // columns of a panel
  std::int64_t near_k, few_k;  // of k with B in L1
  float *a, *c, *b;
  std::vector<float*> a_rows, c_rows;
  std::vector<std::int32_t> near_offsets, a_offsets, starts;
  std::vector<std::vector<std::int32_t>> far_offsets[2];
  Least none, few, many, again, far[2];

  std::int64_t row_bytes() const { return 4 * width; }
  std::int64_t far_rows[2], far_k[2];  // L2, L3: rows of B per panel in the region; steps of k of a call
  void call(std::int64_t tiles, std::int64_t k_count, bool first, const std::int32_t* offsets, float* from,
            std::int64_t panel_step);
  void call_far(int level, std::int64_t number);
  void touch(int level) const;
};

std::size_t TileTimes::scratch_bytes() { return kABytes + kCBytes + kL3Bytes; }

TileTimes::TileTimes(const TileKey& key, const CpuTarget& target, codegen::KernelFn function, const Pages& scratch)
    : data_(std::make_unique<Data>()) {
  Data& d = *data_;
  std::mt19937 random(3);
  d.key = key;
  d.function = function;
  d.width = key.vectors * target.lanes(4);
  // Half of L1 for B: A and C pass through the rest.
  d.near_k = static_cast<std::int64_t>(cache_sizes().l1d) / 2 / (d.row_bytes() * key.panels) / 4 * 4;
  d.near_k = std::clamp<std::int64_t>(d.near_k, 8, kFarK);
  // So few that most of a tile's time is not its steps of k.
  d.few_k = std::max<std::int64_t>(d.near_k / 8, 4);
  d.a = scratch.floats();
  d.c = scratch.floats(kABytes);
  d.b = scratch.floats(kABytes + kCBytes);
  // An odd number of lines from row to row, so that rows do not compete for one set of the caches.
  constexpr std::int64_t a_stride = kFarK + 16, c_stride = 1024 + 16;
  for (std::int64_t i = 0; i < kTiles * key.rows; ++i) {
    d.a_rows.push_back(d.a + i * a_stride);
    d.c_rows.push_back(d.c + i * c_stride);
  }
  for (std::int64_t i = 0; i < std::max(kTiles * d.near_k, kFarK); ++i)
    d.near_offsets.push_back(static_cast<std::int32_t>(i % d.near_k * d.row_bytes()));
  const std::int64_t a_bytes = key.a == lower::TileA::packed ? 4 * key.rows : 4;
  for (std::int64_t i = 0; i < kFarK; ++i) d.a_offsets.push_back(static_cast<std::int32_t>(i * a_bytes));
  d.starts.resize(kTiles + 1);
  for (int level = 0; level < 2; ++level) {
    const CacheSizes caches = cache_sizes();
    const std::size_t bytes = level == 0 ? caches.l2 / 2 : std::min({kL3Bytes, caches.l3 / 2, 8 * caches.l2});
    d.far_rows[level] = std::max<std::int64_t>(static_cast<std::int64_t>(bytes) / (d.row_bytes() * key.panels), 16);
    d.far_k[level] = std::min(kFarK, d.far_rows[level] / 4);
    for (int list = 0; list < kLists; ++list)
      d.far_offsets[level].push_back(ascending(d.far_k[level], 4 * d.far_k[level], d.row_bytes(), random));
  }
}

TileTimes::TileTimes(TileTimes&&) noexcept = default;
TileTimes::~TileTimes() = default;

void TileTimes::Data::call(std::int64_t tiles, std::int64_t k_count, bool first, const std::int32_t* offsets,
                           float* from, std::int64_t panel_step) {
  const bool packed = key.a == lower::TileA::packed;
  void* ptrs[6];
  int n = 0;
  ptrs[n++] = packed ? static_cast<void*>(a) : a_rows.data();
  ptrs[n++] = from;
  if (key.indexed_k) ptrs[n++] = const_cast<std::int32_t*>(offsets);
  if (key.indexed_a) ptrs[n++] = a_offsets.data();
  if (key.ragged) ptrs[n++] = starts.data();
  ptrs[n++] = c_rows.data();
  const std::int64_t columns = width * key.panels, a_step = packed ? k_count * 4 * key.rows : 0;
  const lower::TileInts ints{
      .k = k_count, .columns = columns, .first = first, .tiles = tiles, .a_step = a_step, .panel_step = panel_step};
  function(ptrs, &ints.k);
}

/// One tile on the next rows of the region.
void TileTimes::Data::call_far(int level, std::int64_t number) {
  const std::int64_t k_count = far_k[level], rows = far_rows[level], span = key.indexed_k ? 4 * k_count : k_count;
  const std::int64_t places = rows / span, place = number % places;
  const std::int32_t* offsets = far_offsets[level][static_cast<std::size_t>(number / places) % kLists].data();
  call(1, k_count, true, offsets, b + place * span * width, rows * row_bytes());
}

/// Brings the region into the caches: others may have driven it out since the last repetition.
void TileTimes::Data::touch(int level) const {
  const std::int64_t floats = far_rows[level] * width * key.panels;
  for (std::int64_t i = 0; i < floats; i += 16) static_cast<void>(*static_cast<const volatile float*>(b + i));
}

void TileTimes::round(const Effort& effort) {
  Data& d = *data_;
  auto steps = [&](std::int64_t k) {
    for (std::size_t t = 0; t < d.starts.size(); ++t)
      d.starts[t] = static_cast<std::int32_t>(static_cast<std::int64_t>(t) * k);
  };
  const std::int64_t panel_step = d.near_k * d.row_bytes();
  auto near = [&](Least& least, std::int64_t tiles, std::int64_t k, bool first) {
    steps(k);
    least.measure(effort, [&](std::int64_t) { d.call(tiles, k, first, d.near_offsets.data(), d.b, panel_step); });
  };
  near(d.none, 0, d.near_k, true);
  near(d.few, kTiles, d.few_k, true);
  near(d.many, kTiles, d.near_k, true);
  // C grows by the same numbers each time: far from overflowing within the time that is measured.
  near(d.again, kTiles, d.few_k, false);
  for (int level = 0; level < 2; ++level) {
    steps(d.far_k[level]);
    d.far[level].measure(effort, [&](std::int64_t number) { d.call_far(level, number); }, [&] { d.touch(level); });
  }
}

TileCost TileTimes::cost() const {
  const Data& d = *data_;
  // What is left of a difference of two measured times when noise has eaten it.
  constexpr double least = 0.05;
  const double tiles = kTiles, more = static_cast<double>(d.near_k - d.few_k);
  TileCost cost;
  cost.measured = true;
  cost.call = std::max(d.none.ns(), least);
  cost.k_step[0] = std::max((d.many.ns() - d.few.ns()) / (tiles * more), least / 10);
  cost.tile = std::max((d.many.ns() - cost.call) / tiles - static_cast<double>(d.near_k) * cost.k_step[0], least);
  cost.reload = std::max((d.again.ns() - d.few.ns()) / tiles, least);
  for (int level = 0; level < 2; ++level) {
    const double k_step = (d.far[level].ns() - cost.call - cost.tile) / static_cast<double>(d.far_k[level]);
    cost.k_step[static_cast<std::size_t>(level) + 1] = std::max(k_step, cost.k_step[static_cast<std::size_t>(level)]);
  }
  return cost;
}

void repair(std::vector<std::pair<TileKey, TileCost>>& tiles) {
  auto does_all_of = [](const TileKey& more, const TileKey& less) {
    return more.rows >= less.rows && more.vectors >= less.vectors && more.panels >= less.panels && more.a == less.a &&
           more.arithmetic == less.arithmetic && more.indexed_k >= less.indexed_k && more.indexed_a >= less.indexed_a &&
           more.ragged >= less.ragged;
  };
  for (auto& [less, cost] : tiles)
    for (const auto& [more, other] : tiles)
      if (does_all_of(more, less))
        for (std::size_t level = 0; level < cost.k_step.size(); ++level)
          cost.k_step[level] = std::min(cost.k_step[level], other.k_step[level]);
}

}  // namespace pit::tuning
