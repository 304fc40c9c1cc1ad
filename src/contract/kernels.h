// The generated kernels of one algebra on one target, made family by family when first asked for.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>

#include "codegen/codegen.h"
#include "contract/pack.h"
#include "lower/stream.h"
#include "lower/tile.h"
#include "support/fork.h"

namespace pit::contract {

/// How a tile finds its steps of k (and A): one family of kernels each.
enum class Family : std::uint8_t {
  plain,        ///< 0..k, A packed
  prefetching,  ///< the same, and B is fetched ahead: where few tiles share what comes from memory
  indexed,      ///< through an index on B, A packed in its order
  both,         ///< through an index on B and one on packed A
  ragged,       ///< every tile its own range of the index on B and of packed A
  in_place,     ///< 0..k, A by row pointers
};
inline constexpr int kFamilyCount = 6;
/// Panels side by side that a tile covers at most; TileTable has powers of two.
inline constexpr int kMaxPanels = 4;
/// Bytes that Family::prefetching fetches ahead.
inline constexpr int kPrefetchBytes = 8192;

/// No tile has more rows or more vectors. Tables of row pointers have so many entries more than rows: tiles look ahead.
inline constexpr int kMaxTileRows = 16, kMaxTileVectors = 4;

/// The tiles of a family, or of an epilogue (which need not have every height): function[rows][vectors][log2 of
/// panels].
struct TileTable {
  codegen::KernelFn function[kMaxTileRows + 1][kMaxTileVectors + 1][3] = {};
  codegen::KernelFn of(int rows, int vectors, int panels) const { return function[rows][vectors][panels >> 1]; }
  /// Of the lowest tiles with at least `rows` rows; there are such for every width or for none.
  int height(int rows) const;
  /// Whether there are tiles of this width, for one panel.
  bool has(int vectors) const;
};

class Kernels {
 public:
  /// `list`: for reading: what is asked for is appended there, and not compiled.
  Kernels(const lower::Algebra& algebra, const CpuTarget& target, std::string cache_dir, int threads,
          std::vector<codegen::Kernel>* list = nullptr);

  const lower::Algebra& algebra() const { return algebra_; }
  /// Bytes of elements: all that loops around the kernels know of types.
  const lower::ElementSizes& sizes() const { return sizes_; }
  const CpuTarget& target() const { return target_; }
  int threads() const { return threads_; }        ///< that generate
  int rows() const { return shape_.rows; }        ///< of the largest tile
  int vectors() const { return shape_.vectors; }  ///< of a whole panel
  int lanes() const { return shape_.lanes; }
  int width() const { return shape_.vectors * shape_.lanes; }
  /// Of a B of n columns: uniform ones, which every rule can use.
  Panels panels(std::int64_t n) const;
  /// Panels that a tile of so few rows covers at once where it can: enough accumulators to hide the latency of their
  /// chains.
  int max_panels(int tile_rows) const { return max_panels(tile_rows, vectors()); }
  /// Narrow panels are visited one by one.
  int max_panels(int tile_rows, int vectors) const;

  /// The tiles of up to rows() rows and vectors() vectors, compiled on first use; several panels only with whole ones,
  /// as `max_panels` says.
  const TileTable& tiles(Family family) const;
  /// Packing kernels for widths 1..rows() and for panels of every number of vectors.
  const PackSet& packs() const;
  /// The streaming product of `rows` <= kMaxStreamRows rows (lower/stream.h).
  codegen::KernelFn stream(int rows) const;

 private:
  struct Tiles {
    Once once;
    std::shared_ptr<const codegen::Code> code;
    TileTable table;
  };
  void make_tiles(Family family, Tiles& tiles) const;
  void make_packs() const;
  void make_streams() const;
  std::shared_ptr<const codegen::Code> compile(const std::vector<codegen::Kernel>& kernels) const;

  lower::Algebra algebra_;
  lower::ElementSizes sizes_;
  CpuTarget target_;
  std::string cache_dir_;
  int threads_;
  std::vector<codegen::Kernel>* list_;
  lower::TileShape shape_;
  mutable std::array<Tiles, kFamilyCount> tiles_;
  mutable Once packs_once_, stream_once_;
  mutable PackSet packs_;
  mutable std::array<codegen::KernelFn, lower::kMaxStreamRows + 1> stream_{};
  mutable std::shared_ptr<const codegen::Code> pack_code_, stream_code_;
};

}  // namespace pit::contract
