#include "contract/packed.h"

#include <algorithm>
#include <cstring>

#include "support/memory.h"

namespace pit::contract {

std::int64_t PackedB::bytes() const {
  const std::lock_guard lock(mutex_);
  std::int64_t total = static_cast<std::int64_t>(data.size()) * (panels.elements(k) + narrow_elements()) * element;
  for (const auto& r : rows_) total += r ? k * n * element : 0;
  for (const auto& [shape, set] : strips_) total += set->bytes;
  return total;
}

std::int64_t PackedB::narrow_elements() const {
  const std::int64_t last = panels.count() - 1;
  const int vectors = last > 0 ? panels.tight().vectors_of(last) : panels.vectors;
  return keeps_narrow_last && vectors < panels.vectors_of(last) ? vectors * panels.lanes * k : 0;
}

const char* PackedB::rows(std::int64_t number) {
  const std::lock_guard lock(mutex_);
  rows_.resize(data.size());
  std::shared_ptr<char>& made = rows_[static_cast<std::size_t>(number)];
  if (made) return made.get();
  made = std::static_pointer_cast<char>(long_lived_memory(static_cast<std::size_t>(k * n * element)));
  for (std::int64_t p = 0; p < panels.count(); ++p) {
    const std::int64_t width = panels.vectors_of(p) * panels.lanes, columns = panels.columns_of(p);
    const char* from = panel(number, p);
    for (std::int64_t i = 0; i < k; ++i)
      std::memcpy(made.get() + (i * n + p * panels.width()) * element, from + i * width * element,
                  static_cast<std::size_t>(columns * element));
  }
  return made.get();
}

void PackedB::make_live_k(const detect::LiveMap& map) {
  const detect::LiveMap columns = detect::transposed(map);  // a row of it: the steps of k of one column of micro-tiles
  const std::int64_t words = (k + 63) / 64, numbers = static_cast<std::int64_t>(data.size());
  live_k_.assign(static_cast<std::size_t>(numbers * panels.count() * words), 0);
  std::vector<std::uint64_t> any(static_cast<std::size_t>(columns.words()));
  for (std::int64_t i = 0; i < numbers; ++i)
    for (std::int64_t p = 0; p < panels.count(); ++p) {
      const std::int64_t first = p * panels.width() / map.g_columns,
                         last = (std::min((p + 1) * panels.width(), n) - 1) / map.g_columns;
      std::fill(any.begin(), any.end(), 0);
      for (std::int64_t c = first; c <= last; ++c) {
        const std::uint64_t* bits = columns.row(i * columns.row_groups() + c);
        for (std::size_t w = 0; w < any.size(); ++w) any[w] |= bits[w];
      }
      std::uint64_t* out = live_k_.data() + (i * panels.count() + p) * words;
      if (map.g_rows == 1) {
        std::copy(any.begin(), any.end(), out);
        continue;
      }
      for (std::int64_t t = 0; t < k; ++t) {
        const std::int64_t g = t / map.g_rows;
        out[t / 64] |= (any[static_cast<std::size_t>(g / 64)] >> (g % 64) & 1) << (t % 64);
      }
    }
}

const std::uint64_t* PackedB::live_k(const detect::LiveMap& map, std::int64_t number, std::int64_t panel) {
  live_k_once_.call([&] { make_live_k(map); });
  return live_k_.data() + (number * panels.count() + panel) * ((k + 63) / 64);
}

std::shared_ptr<const PackedB::StripSet> PackedB::make_strips(const detect::LiveMap& map, const StripShape& shape,
                                                              const ThreadPool& pool) const {
  auto set = std::make_shared<StripSet>();
  StripReader reader(map, shape, element, pool);
  for (std::int64_t i = 0; i < std::ssize(data); ++i) {
    const std::int64_t bytes = reader.bytes(i);
    set->bytes += bytes;
    set->memory.push_back(long_lived_memory(static_cast<std::size_t>(bytes)));
    set->matrices.push_back(
        reader.read(i, static_cast<char*>(set->memory.back().get()), [&](std::int64_t column) -> StripSource {
          const std::int64_t p = column / panels.width(), width = panels.vectors_of(p) * panels.lanes;
          return {panel(i, p) + column % panels.width() * element, width * element, element};
        }));
  }
  return set;
}

const std::vector<Strips>& PackedB::strips(const detect::LiveMap& map, const StripShape& shape,
                                           const ThreadPool& pool) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = strips_.find(shape); known != strips_.end()) return known->second->matrices;
  }
  std::shared_ptr<const StripSet> made = make_strips(map, shape, pool);
  const std::lock_guard lock(mutex_);
  return strips_.try_emplace(shape, std::move(made)).first->second->matrices;  // another thread's may have come first
}

std::int64_t bytes_of(const PackedB& b) { return b.bytes(); }
const detect::LiveMap* live_of(const PackedB& b) { return b.live.get(); }

}  // namespace pit::contract
