// Packing: the SRead of contractions. What a tile reads is consecutive; where it comes from is the caller's business.
#include <fmt/format.h>

#include <algorithm>

#include "lower/tile.h"
#include "support/check.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Type;
using codegen::Value;

namespace {

constexpr Type kF32{Scalar::f32, 1};
constexpr Type kPtr{Scalar::ptr, 1};

Value mul(const Value& a, std::int64_t x) { return Builder::binary(Op::mul, a, Builder::i(x)); }
Value add(const Value& a, const Value& b) { return Builder::binary(Op::add, a, b); }
Value index_at(const Value& index, const Value& k) {
  return Builder::convert(Builder::load({Scalar::i32, 1}, index, mul(k, 4)), Scalar::i64);
}

/// Interleaves a and b: a0 b0 a1 b1 ... (two vectors).
std::pair<Value, Value> zip(Builder& b, const Value& x, const Value& y) {
  int n = x->type.lanes;
  std::vector<int> low, high;
  for (int i = 0; i < n / 2; ++i) {
    low.insert(low.end(), {i, n + i});
    high.insert(high.end(), {n / 2 + i, n + n / 2 + i});
  }
  return {b.let("z", Builder::shuffle(x, y, low)), b.let("z", Builder::shuffle(x, y, high))};
}

/// The same within each 128-bit group of 8 lanes, which AVX2 does in one instruction.
std::pair<Value, Value> zip_in_groups(Builder& b, const Value& x, const Value& y, int unit) {
  std::vector<int> low, high;
  for (int g = 0; g < 8; g += 4)
    for (int i = 0; i < 4; i += 2 * unit)
      for (int side = 0; side < 2; ++side)
        for (int u = 0; u < unit; ++u) {
          low.push_back(8 * side + g + i / 2 + u);
          high.push_back(8 * side + g + 2 + i / 2 + u);
        }
  return {b.let("z", Builder::shuffle(x, y, low)), b.let("z", Builder::shuffle(x, y, high))};
}

/// rows.size() (a power of two) vectors of consecutive k -> the same elements k-major: k0 of all rows, k1 of all rows, ...
/// General: log2(rows) rounds of whole-vector interleaving (one two-source permute each with AVX-512).
std::vector<Value> transpose_by_zips(Builder& b, std::vector<Value> rows) {
  std::size_t n = rows.size();
  // Invariant: rows is a list of groups of `run` consecutive vectors, each the interleaving of some rows.
  for (std::size_t run = 1; run < n; run *= 2) {
    std::size_t groups = n / run;
    std::vector<Value> next;
    for (std::size_t g = 0; g < groups / 2; ++g)
      for (std::size_t v = 0; v < run; ++v) {
        auto [low, high] = zip(b, rows[g * run + v], rows[(g + groups / 2) * run + v]);
        next.insert(next.end(), {low, high});
      }
    rows = std::move(next);
  }
  return rows;
}

/// 4 or 8 rows of 8 lanes: 4x4 transposes within 128-bit groups, then the groups.
std::vector<Value> transpose_8_lanes(Builder& b, const std::vector<Value>& rows) {
  std::vector<std::vector<Value>> quads;
  for (std::size_t r = 0; r < rows.size(); r += 4) {
    auto [a, c] = zip_in_groups(b, rows[r], rows[r + 1], 1);
    auto [d, e] = zip_in_groups(b, rows[r + 2], rows[r + 3], 1);
    auto [k0, k1] = zip_in_groups(b, a, d, 2);
    auto [k2, k3] = zip_in_groups(b, c, e, 2);
    quads.push_back({k0, k1, k2, k3});  // k_j: rows r..r+3 at k=j and at k=j+4
  }
  const std::vector<int> low{0, 1, 2, 3, 8, 9, 10, 11}, high{4, 5, 6, 7, 12, 13, 14, 15};
  std::vector<Value> out;
  for (const std::vector<int>& half : {low, high})
    for (int j = 0; j < 4; j += quads.size() == 2 ? 1 : 2) {
      Value x = quads[0][j], y = quads.size() == 2 ? quads[1][j] : quads[0][j + 1];
      out.push_back(b.let("t", Builder::shuffle(x, y, half)));
    }
  return out;
}

/// A block of rows of the packed panel that is transposed together.
struct Block {
  int first, rows, padded;
};

std::vector<Block> blocks_of(int width, int lanes) {
  if (width < 8 && (width & (width - 1)) != 0) {  // few rows: pad, and let stores overlap
    int padded = width < 4 ? 4 : 8;
    return {{0, width, padded}};
  }
  std::vector<Block> blocks;
  for (int at = 0; at < width;) {
    int rows = std::min(lanes, 16);
    while (rows > width - at) rows /= 2;
    blocks.push_back({at, rows, rows});
    at += rows;
  }
  return blocks;
}

class TransposePacker {
 public:
  TransposePacker(int width, bool indexed, const CpuTarget& target)
      : width_(width), lanes_(target.lanes(4)), indexed_(indexed),
        b_(fmt::format("pack_transpose_{}{}_{}", width, indexed ? "_index" : "", target.name)) {}

  codegen::Kernel run() {
    dst_ = b_.ptr_arg("dst", true);
    rows_ = b_.ptr_arg("rows");
    if (indexed_) index_ = b_.ptr_arg("k_index");
    k_ = b_.int_arg("k");
    live_ = b_.int_arg("rows_live");
    b_.branch(Builder::binary(Op::ge, live_, Builder::i(width_)), [&] { all_blocks(false); }, [&] { all_blocks(true); });
    return b_.finish();
  }

 private:
  void all_blocks(bool partial) {
    for (const Block& block : blocks_of(width_, lanes_)) {
      load_pointers(block, partial);
      if (indexed_) {
        gather(block, partial);
      } else {
        Value whole = b_.let("whole", Builder::binary(Op::bit_and, k_, Builder::i(-lanes_)));
        b_.loop("k", Builder::i(0), whole, Builder::i(lanes_), [&](const Value& k) { transpose(block, k, lanes_, nullptr, partial); });
        b_.loop("k", whole, k_, Builder::i(8), [&](const Value& k) {
          transpose(block, k, 8, b_.let("left", Builder::binary(Op::sub, k_, k)), partial);
        });
      }
    }
  }

  void load_pointers(const Block& block, bool partial) {
    pointers_.clear();
    live_row_.clear();
    for (int i = 0; i < block.rows; ++i) {
      pointers_.push_back(b_.let("p", Builder::load(kPtr, rows_, Builder::i(8 * (block.first + i)))));
      live_row_.push_back(partial ? b_.let("live", Builder::binary(Op::gt, live_, Builder::i(block.first + i))) : nullptr);
    }
  }

  /// `left`: how many k are left, where that may be fewer than `count` (then exactly these are stored).
  void transpose(const Block& block, const Value& k, int count, const Value& left, bool partial) {
    Value at = b_.let("at", mul(k, 4));
    Value mask = left ? b_.let("mask", Builder::lane_mask(left, count)) : nullptr;
    std::vector<Value> rows;
    for (int i = 0; i < block.rows; ++i) {
      Value m = mask;
      if (partial) {
        Value live = Builder::splat(live_row_[i], count);
        m = mask ? Builder::binary(Op::bit_and, mask, live) : live;
      }
      rows.push_back(b_.let("r", Builder::load({Scalar::f32, count}, pointers_[i], at, m)));
    }
    while (static_cast<int>(rows.size()) < block.padded) rows.push_back(Builder::f(0, {Scalar::f32, count}));
    bool small_groups = count == 8 && (block.padded == 4 || block.padded == 8);
    std::vector<Value> out = small_groups ? transpose_8_lanes(b_, rows) : transpose_by_zips(b_, rows);
    Value to = b_.let("to", Builder::offset(dst_, mul(k, 4 * width_)));
    if (left) {
      for (int j = 0; j < count; ++j)
        b_.branch(Builder::binary(Op::gt, left, Builder::i(j)), [&] { store_k(block, to, out, j); });
    } else if (block.rows == width_) {  // padding is overwritten by the next k, behind the last one it is slack
      if (block.padded == width_)
        for (std::size_t v = 0; v < out.size(); ++v) b_.store(to, Builder::i(static_cast<std::int64_t>(4 * v) * count), out[v]);
      else
        for (int j = 0; j < count; ++j) b_.store(to, Builder::i(4 * width_ * j), part(out, block.padded, j, block.padded));
    } else {
      for (int j = 0; j < count; ++j) store_k(block, to, out, j);
    }
  }

  /// `lanes` elements of k = j in transposed vectors of `padded` elements per k.
  static Value part(const std::vector<Value>& out, int padded, int j, int lanes) {
    int count = out[0]->type.lanes;
    int vector = j * padded / count, first = j * padded % count;
    if (lanes == count) return out[vector];
    std::vector<int> map;
    for (int i = 0; i < lanes; ++i) map.push_back(first + i);
    return lanes == 1 ? Builder::extract(out[vector], first) : Builder::shuffle(out[vector], out[vector], map);
  }

  /// Exactly the rows of the block at k = j.
  void store_k(const Block& block, const Value& to, const std::vector<Value>& out, int j) {
    int count = out[0]->type.lanes;
    if (block.padded > count) {  // 16 rows in vectors of 8
      for (int v = 0; v < block.padded / count; ++v)
        b_.store(to, Builder::i(4 * (width_ * j + block.first + v * count)), out[j * block.padded / count + v]);
      return;
    }
    for (int done = 0; done < block.rows;) {
      int lanes = 1;
      while (2 * lanes <= block.rows - done) lanes *= 2;
      int slot = (j * block.padded + done) % count;
      std::vector<int> map;
      for (int i = 0; i < lanes; ++i) map.push_back(slot + i);
      const Value& v = out[(j * block.padded + done) / count];
      Value piece = lanes == count ? v : lanes == 1 ? Builder::extract(v, slot) : Builder::shuffle(v, v, map);
      b_.store(to, Builder::i(4 * (width_ * j + block.first + done)), piece);
      done += lanes;
    }
  }

  void gather(const Block& block, bool partial) {
    if (!partial) {
      b_.loop("k", Builder::i(0), k_, Builder::i(1), [&](const Value& k) {
        Value from = b_.let("from", mul(index_at(index_, k), 4)), to = b_.let("to", Builder::offset(dst_, mul(k, 4 * width_)));
        for (int i = 0; i < block.rows; ++i)
          b_.store(to, Builder::i(4 * (block.first + i)), Builder::load(kF32, pointers_[i], from));
      });
      return;
    }
    for (int i = 0; i < block.rows; ++i) {
      Value to = b_.let("to", Builder::offset(dst_, Builder::i(4 * (block.first + i))));
      b_.branch(
          live_row_[i],
          [&] {
            b_.loop("k", Builder::i(0), k_, Builder::i(1), [&](const Value& k) {
              b_.store(to, mul(k, 4 * width_), Builder::load(kF32, pointers_[i], mul(index_at(index_, k), 4)));
            });
          },
          [&] {
            b_.loop("k", Builder::i(0), k_, Builder::i(1), [&](const Value& k) { b_.store(to, mul(k, 4 * width_), Builder::f(0)); });
          });
    }
  }

  int width_, lanes_;
  bool indexed_;
  Builder b_;
  Value dst_, rows_, index_, k_, live_;
  std::vector<Value> pointers_, live_row_;
};

}  // namespace

codegen::Kernel lower_pack_transpose(int width, bool indexed_k, const CpuTarget& target) {
  PIT_CHECK(width >= 1, "a panel {} wide", width);
  return TransposePacker(width, indexed_k, target).run();
}

codegen::Kernel lower_pack_copy(int width, bool indexed_k, const CpuTarget& target) {
  PIT_CHECK(width >= 1, "a panel {} wide", width);
  Builder b(fmt::format("pack_copy_{}{}_{}", width, indexed_k ? "_index" : "", target.name));
  Value dst = b.ptr_arg("dst", true), src = b.ptr_arg("src");
  Value index = indexed_k ? b.ptr_arg("k_index") : nullptr;
  Value k = b.int_arg("k"), columns = b.int_arg("columns"), stride = b.int_arg("k_stride");
  std::vector<std::pair<int, int>> pieces;  // first column, lanes
  for (int at = 0; at < width;) {
    int lanes = target.lanes(4);
    while (lanes > width - at) lanes /= 2;
    pieces.emplace_back(at, lanes);
    at += lanes;
  }
  auto body = [&](bool partial) {
    std::vector<Value> masks;
    for (auto [at, lanes] : pieces) {
      Value left = Builder::binary(Op::sub, columns, Builder::i(at));
      masks.push_back(!partial ? nullptr : b.let("mask", Builder::lane_mask(left, lanes)));
    }
    b.loop("k", Builder::i(0), k, Builder::i(1), [&](const Value& kk) {
      Value from = b.let("from", Builder::offset(src, Builder::binary(Op::mul, indexed_k ? index_at(index, kk) : kk, stride)));
      Value to = b.let("to", Builder::offset(dst, mul(kk, 4 * width)));
      for (std::size_t p = 0; p < pieces.size(); ++p) {
        auto [at, lanes] = pieces[p];
        b.store(to, Builder::i(4 * at), Builder::load({Scalar::f32, lanes}, from, Builder::i(4 * at), masks[p]));
      }
    });
  };
  b.branch(Builder::binary(Op::ge, columns, Builder::i(width)), [&] { body(false); }, [&] { body(true); });
  return b.finish();
}

codegen::Kernel lower_pack_gather(int width, bool indexed_k, const CpuTarget& target) {
  PIT_CHECK(width >= 1, "a panel {} wide", width);
  Builder b(fmt::format("pack_gather_{}{}_{}", width, indexed_k ? "_index" : "", target.name));
  Value dst = b.ptr_arg("dst", true), rows = b.ptr_arg("rows");
  Value index = indexed_k ? b.ptr_arg("k_index") : nullptr;
  Value k = b.int_arg("k"), live = b.int_arg("rows_live"), stride = b.int_arg("k_stride");
  auto from = [&](const Value& kk) { return Builder::binary(Op::mul, indexed_k ? index_at(index, kk) : kk, stride); };
  // Four rows at a time while all of them are live: the index and the address are shared; then row by row.
  Value whole = b.let("whole", Builder::select(Builder::binary(Op::ge, live, Builder::i(width)), Builder::i(width / 4 * 4), Builder::i(0)));
  b.loop("i", Builder::i(0), whole, Builder::i(4), [&](const Value& i) {
    std::vector<Value> p;
    for (int u = 0; u < 4; ++u) p.push_back(b.let("p", Builder::load(kPtr, rows, mul(add(i, Builder::i(u)), 8))));
    Value column = b.let("column", Builder::offset(dst, mul(i, 4)));
    b.loop("k", Builder::i(0), k, Builder::i(1), [&](const Value& kk) {
      Value at = b.let("at", from(kk)), to = b.let("to", Builder::offset(column, mul(kk, 4 * width)));
      for (int u = 0; u < 4; ++u) b.store(to, Builder::i(4 * u), Builder::load(kF32, p[u], at));
    });
  });
  b.loop("i", whole, Builder::i(width), Builder::i(1), [&](const Value& i) {
    Value column = b.let("column", Builder::offset(dst, mul(i, 4)));
    b.branch(
        Builder::binary(Op::lt, i, live),
        [&] {
          Value p = b.let("p", Builder::load(kPtr, rows, mul(i, 8)));
          b.loop("k", Builder::i(0), k, Builder::i(1), [&](const Value& kk) {
            b.store(column, mul(kk, 4 * width), Builder::load(kF32, p, from(kk)));
          });
        },
        [&] { b.loop("k", Builder::i(0), k, Builder::i(1), [&](const Value& kk) { b.store(column, mul(kk, 4 * width), Builder::f(0)); }); });
  });
  return b.finish();
}

}  // namespace pit::lower
