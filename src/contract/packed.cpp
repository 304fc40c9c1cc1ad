#include "contract/packed.h"

#include <cstring>

#include "support/memory.h"

namespace pit::contract {

std::int64_t PackedB::bytes() const {
  const std::lock_guard lock(mutex_);
  std::int64_t total = static_cast<std::int64_t>(data.size()) * panels.floats(k) * 4;
  for (const auto& r : rows_) total += r ? k * n * 4 : 0;
  return total;
}

const float* PackedB::rows(std::int64_t number) {
  const std::lock_guard lock(mutex_);
  rows_.resize(data.size());
  std::shared_ptr<float>& made = rows_[static_cast<std::size_t>(number)];
  if (made) return made.get();
  made = aligned_floats(k * n);
  advise_huge_pages(made.get(), static_cast<std::size_t>(k * n) * sizeof(float));
  for (std::int64_t p = 0; p < panels.count(); ++p) {
    const std::int64_t width = panels.vectors_of(p) * panels.lanes, columns = panels.columns_of(p);
    const float* from = data[static_cast<std::size_t>(number)].get() + panels.offset(p, k);
    for (std::int64_t i = 0; i < k; ++i)
      std::memcpy(made.get() + i * n + p * panels.width(), from + i * width, static_cast<std::size_t>(columns) * sizeof(float));
  }
  return made.get();
}

std::int64_t bytes_of(const PackedB& b) { return b.bytes(); }
const detect::LiveMap* live_of(const PackedB& b) { return b.live.get(); }

}  // namespace pit::contract
