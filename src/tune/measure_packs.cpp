#include <algorithm>
#include <cstdint>

#include "support/check.h"
#include "tune/measure.h"

namespace pit::tuning {

namespace {

constexpr std::int64_t kCallK = 256;  // of a call
constexpr std::int64_t kGap = 4;      // with an index: one k of so many
constexpr std::size_t kDstBytes = 1 << 20;

}  // namespace

/// The source is a row-major matrix; each call packs the next piece of it. Along a row for transposes (steps of k are
/// neighbours), down the columns for copies and gathers (steps of k are rows).
struct PackTimes::Data {
  PackKey key;
  codegen::KernelFn function;
  std::size_t memory_bytes;
  float *source, *dst;
  std::vector<std::int32_t> index;
  std::vector<float*> rows;
  Least none, near, far;

  std::int64_t span() const { return key.indexed_k ? kGap * kCallK : kCallK; }
  void call(std::size_t bytes, std::int64_t number, std::int64_t k_count);
};

std::size_t PackTimes::scratch_bytes() { return kDstBytes + beyond_caches(); }

PackTimes::PackTimes(const PackKey& key, const CpuTarget&, codegen::KernelFn function, const Pages& scratch)
    : data_(std::make_unique<Data>()) {
  Data& d = *data_;
  d.key = key;
  d.function = function;
  d.memory_bytes = scratch.size() - kDstBytes;
  d.dst = scratch.floats();
  d.source = scratch.floats(kDstBytes);
  for (std::int64_t i = 0; i < kCallK; ++i) d.index.push_back(static_cast<std::int32_t>(kGap * i + i * 5 % kGap));
  d.rows.resize(static_cast<std::size_t>(key.width));
}

PackTimes::PackTimes(PackTimes&&) noexcept = default;
PackTimes::~PackTimes() = default;

codegen::Kernel PackTimes::kernel(const PackKey& key, const CpuTarget& target) {
  switch (key.kind) {
    case PackKind::transpose: return lower::lower_pack_transpose(key.width, key.indexed_k, target);
    case PackKind::copy: return lower::lower_pack_copy(key.width, key.indexed_k, target);
    case PackKind::gather: return lower::lower_pack_gather(key.width, key.indexed_k, target);
  }
  PIT_UNREACHABLE("a kind of pack");
}

void PackTimes::Data::call(std::size_t bytes, std::int64_t number, std::int64_t k_count) {
  const std::int64_t floats = static_cast<std::int64_t>(bytes / 4), width = key.width;
  void* ptrs[3] = {dst, rows.data(), index.data()};
  if (key.kind == PackKind::transpose) {
    // Blocks of `width` rows x span: along the rows first, as k-blocks follow each other.
    const std::int64_t columns = std::min<std::int64_t>(floats / width / span() * span(), 16 * span());
    const std::int64_t across = columns / span(), down = floats / (columns * width);
    float* block = source + number / across % down * columns * width + number % across * span();
    for (std::int64_t i = 0; i < width; ++i) rows[static_cast<std::size_t>(i)] = block + i * columns;
    const std::int64_t ints[] = {k_count, width};
    return function(ptrs, ints);
  }
  // Blocks of span rows x `width`: panel after panel.
  const std::int64_t columns = std::min<std::int64_t>(floats / span(), 4096), across = columns / width;
  PIT_CHECK(across > 0, "a pack {} wide in {} bytes", width, bytes);
  const std::int64_t down = floats / columns / span();
  float* block = source + number / across % down * columns * span() + number % across * width;
  if (key.kind == PackKind::copy) {
    ptrs[1] = block;
    const std::int64_t ints[] = {k_count, width, 4 * columns};
    return function(ptrs, ints);
  }
  for (std::int64_t i = 0; i < width; ++i) rows[static_cast<std::size_t>(i)] = block + i;
  const std::int64_t ints[] = {k_count, width, 4 * columns};
  function(ptrs, ints);
}

void PackTimes::round(const Effort& effort) {
  Data& d = *data_;
  const auto l2 = std::max<std::size_t>(cache_sizes().l2 / 2, static_cast<std::size_t>(4 * d.span() * d.key.width));
  d.none.measure(effort, [&](std::int64_t) { d.call(l2, 0, 0); });
  d.near.measure(effort, [&](std::int64_t number) { d.call(l2, number, kCallK); });
  std::int64_t next = 0;  // never again what was read a moment ago
  Effort longer = effort;
  longer.seconds *= 4;
  d.far.measure(longer, [&](std::int64_t) { d.call(d.memory_bytes, next++, kCallK); });
}

PackCost PackTimes::cost() const {
  const Data& d = *data_;
  const double elements = static_cast<double>(kCallK * d.key.width);
  PackCost cost;
  cost.measured = true;
  cost.call = std::max(d.none.ns(), 0.05);
  cost.element = std::max((d.near.ns() - cost.call) / elements, 0.001);
  cost.element_memory = std::max((d.far.ns() - cost.call) / elements, cost.element);
  return cost;
}

}  // namespace pit::tuning
