// The tile database: what this machine's tiles, packs and memory cost, one thread, nothing else running.
//
// A cost is time on the clock of one core, in nanoseconds, of the plain kernel (no epilogue). A *step of k* is one
// position of the reduction of a tile: all of its `rows x vectors x panels` multiply-adds. A macro-tile of `tiles`
// tiles with k steps each takes
//
//     call + tiles * (tile + (first ? 0 : reload)) + (k steps, each at the price of the level that B's row comes from)
//
// A row of B comes from farther away than L1 only for the first tile of a macro-tile that reads it, provided that the
// macro-tile's rows of B fit L1: with k steps shared by all tiles, B's panel in L2 before the call,
//
//     k * (k_step[l2] + (tiles - 1) * k_step[l1])
//
// A is meant to be where the packing leaves it (packed: L2; rows: in place, L2), and C in L1 or L2: traffic with L3 and
// memory beyond that is the model's to add, from `limits`. Costs do not depend on the number of threads; bandwidths of
// L3 and memory do.
//
// f32 is measured. Tiles of other types cost what one of as many vectors costs, packs by the bytes that they move.
//
// Where nothing was measured, the same questions are answered from vector width, register counts and a clock of 3 GHz
// (`defaults`). Keys that were not measured are answered from the defaults, scaled by what was measured of the most
// similar key: any tile that lower_tile accepts has a cost, positive and finite.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lower/tile.h"
#include "pit/tune.h"
#include "support/cpu.h"

// Not pit::tune, which is the public function.
namespace pit::tuning {

/// Algebras that cost a tile the same.
enum class Arithmetic : std::uint8_t {
  sum_of_products,  ///< one fused multiply-add
  tropical,         ///< a cheap product and a minimum or maximum: max-plus, min-plus, min-max, or-and
  logsumexp         ///< two walks over k, the second one with an exponential
};
Arithmetic arithmetic_of(const lower::Algebra& algebra);

/// What decides a tile's cost.
struct TileKey {
  int rows = 1, vectors = 1, panels = 1;
  bool indexed_k = false, indexed_a = false, ragged = false;
  lower::TileA a = lower::TileA::packed;
  Arithmetic arithmetic = Arithmetic::sum_of_products;
  DType element = DType::f32;  ///< of the accumulators
  auto operator<=>(const TileKey&) const = default;
  /// "4x3x1 k-index ragged sum", "4x3x1 sum f64": stable, the key in the file.
  std::string name() const;
};
TileKey key_of(const lower::TileSpec& spec);

/// Where the row of B that a step of k reads lies.
enum class Level : std::uint8_t { l1, l2, l3 };

struct TileCost {
  /// ns per step of k, by Level. Without an index B is walked row after row; with one, ascending rows, one of four on
  /// average.
  std::array<double, 3> k_step{};
  /// ns per tile: loop over the macro-tile, identity into registers, pointers and stores of all of C's columns
  double tile = 0;
  double reload = 0;  ///< ns per tile in addition where first == 0 (accumulators loaded from C)
  double call = 0;    ///< ns per call of a macro-tile: call, arguments, the first misses of branches
  bool measured = false;
  double at(Level level) const { return k_step[static_cast<std::size_t>(level)]; }
};

/// The packing kernels of lower/tile.h.
enum class PackKind : std::uint8_t { transpose, copy, gather };

struct PackKey {
  PackKind kind = PackKind::transpose;
  int width = 1;  ///< rows of an A tile; columns of a panel of B
  bool indexed_k = false;
  DType element = DType::f32;
  auto operator<=>(const PackKey&) const = default;
  std::string name() const;  ///< "transpose 4 k-index"
};

/// Per element stored (k * width of a call). With an index one k of four is live, ascending.
struct PackCost {
  double element = 0;         ///< ns, the source in L2, the destination in L1 or L2
  double element_memory = 0;  ///< ns, the source in memory: a matrix of 4096 columns or more, packed block after block
  double call = 0;            ///< ns per call
  bool measured = false;
};

/// For whom a database holds. Equal exactly where figures may be taken over.
struct Identity {
  std::string cpu;      ///< model name of this machine's CPU
  std::string target;   ///< instruction set that kernels are generated for
  std::string version;  ///< PIT's
  bool operator==(const Identity&) const = default;
};
Identity identity_of(const CpuTarget& target);
/// This machine's CPU: "AMD EPYC 7763 64-Core Processor"; "unknown" where the system does not say.
std::string cpu_model();

/// A value: copy it where it is needed. Look-ups of what was measured take tens of nanoseconds, others some hundreds.
class TileCosts {
 public:
  /// From widths and counts alone; nothing is measured.
  static TileCosts defaults(const CpuTarget& target);
  /// The file of this target in `cache_dir` (a usable directory, or empty) if there is a good one, else `defaults`. A
  /// file that is truncated, damaged, of another format, CPU or version is left alone and reported through the log
  /// hook. Throws nothing but std::bad_alloc.
  static TileCosts load(const std::string& cache_dir, const CpuTarget& target);
  static std::string path(const std::string& cache_dir, const CpuTarget& target);
  /// Writes the file whole or not at all; false with `reason` set when it cannot.
  bool store(const std::string& cache_dir, std::string* reason) const;

  TileCost tile(const TileKey& key) const;
  PackCost pack(const PackKey& key) const;
  /// Of `threads` threads together. Measured for one thread and for all that PIT uses by default; in between it grows
  /// in proportion until the figure for all is reached (bandwidth) or in proportion throughout (arithmetic, L2).
  MachineLimits limits(int threads = 1) const;
  /// Of one thread, on elements of this type.
  double fma_gflops(DType element) const;
  /// Whether these are figures of this machine rather than defaults.
  bool measured() const { return !tiles_.empty(); }
  const CpuTarget& target() const { return target_; }

  // For the measurement and its tests.
  void set(const TileKey& key, const TileCost& cost) { tiles_[key] = cost; }
  void set(const PackKey& key, const PackCost& cost) { packs_[key] = cost; }
  void set(const MachineLimits& limits) { limits_[limits.threads] = limits; }
  const std::map<TileKey, TileCost>& tiles() const { return tiles_; }
  const std::map<PackKey, PackCost>& packs() const { return packs_; }
  std::string to_json() const;

 private:
  explicit TileCosts(CpuTarget target) : target_(std::move(target)) {}
  bool read_json(const std::string& text, std::string* reason);

  CpuTarget target_;
  std::map<TileKey, TileCost> tiles_;    // measured
  std::map<PackKey, PackCost> packs_;    // measured
  std::map<int, MachineLimits> limits_;  // by number of threads; never empty
};

/// The tiles and packs that are measured: register tiles of 1..MR rows, wide tiles of few rows, in each way that a rule
/// drives them.
std::vector<TileKey> tiles_to_measure(const CpuTarget& target);
std::vector<PackKey> packs_to_measure(const CpuTarget& target);

/// A tile to measure, as the generator wants it.
lower::TileSpec spec_of(const TileKey& key, const CpuTarget& target);

}  // namespace pit::tuning
