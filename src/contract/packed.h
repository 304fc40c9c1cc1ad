// B in panels, for each of its matrices.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "contract/engine.h"
#include "contract/kernels.h"
#include "contract/strips.h"
#include "support/fork.h"

namespace pit::contract {

class PackedB {
 public:
  std::int64_t k = 0, n = 0;
  Panels panels;
  std::int64_t element = 0;  ///< bytes
  bool keeps_narrow_last = false;
  std::vector<std::shared_ptr<char>> data;      ///< per matrix: panels.elements(k) elements, and a narrow last panel
  std::shared_ptr<const detect::LiveMap> live;  ///< null: all

  std::int64_t bytes() const;
  /// Panel p of a matrix.
  char* panel(std::int64_t number, std::int64_t p) const {
    return data[static_cast<std::size_t>(number)].get() + panels.offset(p, k) * element;
  }
  /// The last panel once more, as narrow as its columns allow: the dense rule multiplies no columns that are not there.
  /// Null where the panel itself is as narrow, or is the only one.
  char* narrow_last(std::int64_t number) const {
    return narrow_elements() == 0 ? nullptr
                                  : data[static_cast<std::size_t>(number)].get() + panels.elements(k) * element;
  }
  std::int64_t narrow_elements() const;
  /// The same elements as rows of n: made when first asked for, by products of a few rows.
  const char* rows(std::int64_t number);
  /// The steps of k that a panel has: a bit per k, set where any of the panel's columns is live in `map` (B's, of all
  /// matrices). Made when first asked for; `map` must be the same for the life of this object.
  const std::uint64_t* live_k(const detect::LiveMap& map, std::int64_t number, std::int64_t panel);
  /// Each matrix's strips (contract/strips.h) of this shape. Made when first asked for; `map` as above.
  const std::vector<Strips>& strips(const detect::LiveMap& map, const StripShape& shape, const ThreadPool& pool);

 private:
  /// Strips and their memory.
  struct StripSet {
    std::vector<Strips> matrices;
    std::vector<std::shared_ptr<void>> memory;
    std::int64_t bytes = 0;
  };

  void make_live_k(const detect::LiveMap& map);
  std::shared_ptr<const StripSet> make_strips(const detect::LiveMap& map, const StripShape& shape,
                                              const ThreadPool& pool) const;

  mutable Mutex mutex_;
  std::vector<std::shared_ptr<char>> rows_;
  Once live_k_once_;
  std::vector<std::uint64_t> live_k_;  ///< [number][panel][words of k]
  std::map<StripShape, std::shared_ptr<const StripSet>> strips_;
};

}  // namespace pit::contract
