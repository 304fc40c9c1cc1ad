#include "contract/kernels.h"

#include <algorithm>
#include <iterator>

#include "support/check.h"

namespace pit::contract {

using codegen::Kernel;
using codegen::KernelFn;

int TileTable::height(int rows) const {
  for (int h = rows; h <= kMaxTileRows; ++h)
    for (int v = 1; v <= kMaxTileVectors; ++v)
      if (function[h][v][0] != nullptr) return h;
  PIT_UNREACHABLE("a tile of {} rows was asked for", rows);
}

bool TileTable::has(int vectors) const {
  return std::any_of(std::begin(function), std::end(function),
                     [&](const auto& of_rows) { return of_rows[vectors][0] != nullptr; });
}

Kernels::Kernels(const lower::Algebra& algebra, const CpuTarget& target, std::string cache_dir, int threads,
                 std::vector<Kernel>* list)
    : algebra_(algebra),
      sizes_(algebra.sizes()),
      target_(target),
      cache_dir_(std::move(cache_dir)),
      threads_(threads),
      list_(list),
      shape_(lower::tile_shape(target, algebra)) {}

Panels Kernels::panels(std::int64_t n) const {
  const int vectors = static_cast<int>(std::clamp<std::int64_t>((n + lanes() - 1) / lanes(), 1, this->vectors()));
  return {n, lanes(), vectors, true};
}

int Kernels::max_panels(int tile_rows, int vectors) const {
  if (vectors < shape_.vectors) return 1;
  int panels = 1;
  while (2 * panels <= std::min(kMaxPanels, shape_.rows / tile_rows)) panels *= 2;
  return panels;
}

std::shared_ptr<const codegen::Code> Kernels::compile(const std::vector<Kernel>& kernels) const {
  codegen::Options options;
  options.target = target_;
  options.cache_dir = cache_dir_;
  options.threads = threads_;
  options.list = list_;
  return codegen::compile(kernels, options);
}

void Kernels::make_tiles(Family family, Tiles& tiles) const {
  std::vector<Kernel> kernels;
  std::map<std::array<int, 3>, std::string> names;
  auto add = [&](int rows, int vectors, int panels) {
    lower::TileSpec spec;
    spec.rows = rows, spec.vectors = vectors, spec.panels = panels, spec.algebra = algebra_, spec.target = target_;
    spec.indexed_k = family == Family::indexed || family == Family::both || family == Family::ragged;
    spec.indexed_a = family == Family::both;
    spec.ragged = family == Family::ragged;
    spec.prefetch_bytes = family == Family::prefetching ? kPrefetchBytes : 0;
    spec.a = family == Family::in_place ? lower::TileA::rows : lower::TileA::packed;
    kernels.push_back(lower::lower_tile(spec));
    names[{rows, vectors, panels}] = kernels.back().name;
  };
  for (int rows = 1; rows <= shape_.rows; ++rows) {
    for (int vectors = 1; vectors <= shape_.vectors; ++vectors) add(rows, vectors, 1);
    for (int panels = 2; panels <= max_panels(rows); panels *= 2) add(rows, shape_.vectors, panels);
  }
  tiles.code = compile(kernels);
  for (const auto& [key, name] : names) tiles.table.function[key[0]][key[1]][key[2] >> 1] = tiles.code->function(name);
}

const TileTable& Kernels::tiles(Family family) const {
  Tiles& tiles = tiles_[static_cast<std::size_t>(family)];
  tiles.once.call([&] { make_tiles(family, tiles); });
  return tiles.table;
}

// A and B are packed by the same kernels.
void Kernels::make_packs() const {
  const DType type = algebra_.types.moved_b();
  PIT_CHECK(algebra_.types.moved_a() == type, "A and B of unlike types are packed");
  packs_.element = sizes_.b;
  std::vector<Kernel> kernels;
  std::vector<std::pair<std::string, KernelFn*>> wanted;
  auto add = [&](Kernel k, KernelFn* where) {
    wanted.emplace_back(k.name, where);
    kernels.push_back(std::move(k));
  };
  auto add_width = [&](int width, bool copy) {
    if (packs_.transpose.contains(width)) copy = copy && !packs_.copy.contains(width);
    for (int indexed = 0; indexed < 2; ++indexed) {
      if (!packs_.transpose[width][indexed])
        add(lower::lower_pack_transpose(width, indexed, target_, type), &packs_.transpose[width][indexed]);
      if (!packs_.gather[width][indexed])
        add(lower::lower_pack_gather(width, indexed, target_, type), &packs_.gather[width][indexed]);
      if (copy) add(lower::lower_pack_copy(width, indexed, target_, type), &packs_.copy[width][indexed]);
    }
  };
  for (int rows = 1; rows <= std::max(shape_.rows, lower::kMaxStreamRows); ++rows) add_width(rows, false);
  for (int vectors = 1; vectors <= shape_.vectors; ++vectors) add_width(vectors * shape_.lanes, true);
  std::map<std::string, bool> seen;
  std::erase_if(kernels, [&](const Kernel& k) { return !seen.emplace(k.name, true).second; });
  pack_code_ = compile(kernels);
  for (const auto& [name, where] : wanted) *where = pack_code_->function(name);
}

const PackSet& Kernels::packs() const {
  packs_once_.call([&] { make_packs(); });
  return packs_;
}

void Kernels::make_streams() const {
  std::vector<Kernel> kernels;
  for (int rows = 1; rows <= lower::kMaxStreamRows; ++rows)
    kernels.push_back(lower::lower_stream({rows, algebra_, target_}));
  stream_code_ = compile(kernels);
  for (int rows = 1; rows <= lower::kMaxStreamRows; ++rows)
    stream_[rows] = stream_code_->function(kernels[rows - 1].name);
}

KernelFn Kernels::stream(int rows) const {
  stream_once_.call([&] { make_streams(); });
  return stream_.at(rows);
}

}  // namespace pit::contract
