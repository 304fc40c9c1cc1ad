// Packing: the SRead of contractions. What a tile reads is consecutive; where it comes from is the caller's business.
#include <algorithm>
#include <bit>
#include <fmt/format.h>

#include "lower/tile.h"
#include "support/check.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Type;
using codegen::Value;

namespace {

constexpr Type kPtr{Scalar::ptr, 1};

Value mul(const Value& a, std::int64_t x) { return Builder::binary(Op::mul, a, Builder::i(x)); }
Value add(const Value& a, const Value& b) { return Builder::binary(Op::add, a, b); }
Value index_at(const Value& index, const Value& k) {
  return Builder::convert(Builder::load({Scalar::i32, 1}, index, mul(k, 4)), Scalar::i64);
}

/// Vectors of the transposes are of 32 bytes on every target: see transpose(). Shuffles within 16 bytes are cheap.
constexpr int kVectorBytes = 32, kGroupBytes = 16;

/// Of the elements that are packed.
struct Element {
  Scalar scalar;
  int size;  ///< bytes
  int lanes() const { return kVectorBytes / size; }
  int group() const { return kGroupBytes / size; }
  explicit Element(DType t) : scalar(codegen::scalar_of(t)), size(codegen::bytes_of(scalar)) {}
};

Value zero(codegen::Type t) { return codegen::is_float(t.scalar) ? Builder::f(0, t) : Builder::i(0, t); }

/// What the type adds to a kernel's name.
std::string suffix(DType t) { return t == DType::f32 ? "" : fmt::format("_{}", name_of(t)); }

/// 1, 2, 4 .. lanes rows of as many consecutive k as there are lanes -> the same elements k-major: k0 of all rows, k1
/// of all rows, ... Square transposes within 128-bit groups, then the groups. Vectors of 8 floats also where there are
/// 16: the shuffles that stay within groups run twice as fast on half the width, and crossing permutes of 16 (measured:
/// half the speed) are no way round.
class Transposer {
 public:
  Transposer(Builder& b, Element e) : b_(b), lanes_(e.lanes()), group_(e.group()) {}

  std::vector<Value> operator()(const std::vector<Value>& rows) {
    const int count = static_cast<int>(rows.size());
    if (count == 1) return rows;
    if (count < group_) {  // two rows of four a group
      auto [x, y] = zip(rows[0], rows[1], 1);
      return {halves(x, y, 0), halves(x, y, 1)};
    }
    std::vector<std::vector<Value>> squares;  // k_j: rows r..r+group at k=j and at k=j+group
    for (int r = 0; r < count; r += group_) squares.push_back(square({rows.begin() + r, rows.begin() + r + group_}));
    const bool two = squares.size() == 2;
    std::vector<Value> out;
    for (int half = 0; half < 2; ++half)
      for (int j = 0; j < group_; j += two ? 1 : 2)
        out.push_back(halves(squares[0][j], two ? squares[1][j] : squares[0][j + 1], half));
    return out;
  }

 private:
  /// Interleaves units of 1 or 2 elements of x and y within each 128-bit group, which is one instruction.
  std::pair<Value, Value> zip(const Value& x, const Value& y, int unit) {
    std::vector<int> low, high;
    for (int g = 0; g < lanes_; g += group_)
      for (int i = 0; i < group_; i += 2 * unit)
        for (int side = 0; side < 2; ++side)
          for (int u = 0; u < unit; ++u) {
            low.push_back(lanes_ * side + g + i / 2 + u);
            high.push_back(lanes_ * side + g + group_ / 2 + i / 2 + u);
          }
    return {b_.let("z", Builder::shuffle(x, y, low)), b_.let("z", Builder::shuffle(x, y, high))};
  }

  /// The lower (0) or upper halves of x and of y.
  Value halves(const Value& x, const Value& y, int half) {
    std::vector<int> map;
    for (int side = 0; side < 2; ++side)
      for (int i = 0; i < lanes_ / 2; ++i) map.push_back(lanes_ * side + half * lanes_ / 2 + i);
    return b_.let("t", Builder::shuffle(x, y, map));
  }

  /// As many rows as a group has elements.
  std::vector<Value> square(const std::vector<Value>& rows) {
    auto [a, c] = zip(rows[0], rows[1], 1);
    if (group_ == 2) return {a, c};
    auto [d, e] = zip(rows[2], rows[3], 1);
    auto [k0, k1] = zip(a, d, 2);
    auto [k2, k3] = zip(c, e, 2);
    return {k0, k1, k2, k3};
  }

  Builder& b_;
  int lanes_, group_;
};

/// Rows of the packed panel that are transposed together; `padded` to a power of two with zeros.
struct Block {
  Value first;
  int rows, padded;
};

class TransposePacker {
 public:
  TransposePacker(int width, bool indexed, const CpuTarget& target, DType type)
      : width_(width),
        indexed_(indexed),
        element_(type),
        lanes_(element_.lanes()),
        size_(element_.size),
        b_(fmt::format("pack_transpose_{}{}{}_{}", width, indexed ? "_index" : "", suffix(type), target.name)) {}

  codegen::Kernel run() {
    dst_ = b_.ptr_arg("dst", true);
    rows_ = b_.ptr_arg("rows");
    if (indexed_) index_ = b_.ptr_arg("k_index");
    k_ = b_.int_arg("k");
    live_ = b_.int_arg("rows_live");
    for (bool partial : {false, true}) {
      partial_ = partial;
      Value all_live = Builder::binary(Op::ge, live_, Builder::i(width_));
      Value applies = partial ? Builder::binary(Op::bit_xor, all_live, Builder::i(1, {Scalar::i1, 1})) : all_live;
      b_.branch(applies, [&] { indexed_ ? by_index() : consecutive(); });
    }
    return b_.finish();
  }

 private:
  /// body(block) for the rows of the panel: blocks of as many as there are lanes in a loop, then what is left.
  template <class F>
  void over_blocks(F&& body) {
    if (width_ < lanes_ && (width_ & (width_ - 1)) != 0)
      return body(Block{Builder::i(0), width_, static_cast<int>(std::bit_ceil(static_cast<unsigned>(width_)))});
    int whole = width_ / lanes_;
    if (whole == 1) body(Block{Builder::i(0), lanes_, lanes_});
    else
      b_.loop("block", Builder::i(0), Builder::i(whole * lanes_), Builder::i(lanes_),
              [&](const Value& i) { body(Block{i, lanes_, lanes_}); });
    for (int at = whole * lanes_, rows = lanes_ / 2; at < width_; rows /= 2) {
      if (rows > width_ - at) continue;
      body(Block{Builder::i(at), rows, rows});
      at += rows;
    }
  }

  void consecutive() {
    Value twice = b_.let("twice", Builder::binary(Op::bit_and, k_, Builder::i(-2 * lanes_)));
    auto pairs = [&](const Block& block) {
      return [this, &block](const Value& k) {
        for (int u = 0; u < 2; ++u) move(block, b_.let("k", add(k, Builder::i(u * lanes_))), nullptr);
      };
    };
    auto rest = [&](const Block& block) {
      return [this, &block](const Value& k) { move(block, k, b_.let("left", Builder::binary(Op::sub, k_, k))); };
    };
    if (width_ <= lanes_) {  // one block: its pointers stay in registers
      over_blocks([&](const Block& block) {
        load_pointers(block);
        b_.loop("k", Builder::i(0), twice, Builder::i(2 * lanes_), pairs(block));
        b_.loop("k", twice, k_, Builder::i(lanes_), rest(block));
      });
      return;
    }
    // k outside, so that whole cache lines of the panel are written while they are near.
    auto with_pointers = [&](auto make, const Value& k) {
      over_blocks([&](const Block& block) {
        load_pointers(block);
        make(block)(k);
      });
    };
    b_.loop("k", Builder::i(0), twice, Builder::i(2 * lanes_), [&](const Value& k) { with_pointers(pairs, k); });
    b_.loop("k", twice, k_, Builder::i(lanes_), [&](const Value& k) { with_pointers(rest, k); });
  }

  void load_pointers(const Block& block) {
    pointers_.clear();
    live_row_.clear();
    Value table = b_.let("table", Builder::offset(rows_, mul(block.first, 8)));
    for (int i = 0; i < block.rows; ++i) {
      pointers_.push_back(b_.let("p", Builder::load(kPtr, table, Builder::i(8 * i))));
      live_row_.push_back(partial_ ? b_.let("live", Builder::binary(Op::gt, live_, add(block.first, Builder::i(i))))
                                   : nullptr);
    }
  }

  /// `left`: how many k are left, where that may be fewer than a vector has (then exactly these are stored).
  void move(const Block& block, const Value& k, const Value& left) {
    Value at = b_.let("at", mul(k, size_));
    Value mask = left ? b_.let("mask", Builder::lane_mask(left, lanes_)) : nullptr;
    std::vector<Value> rows;
    for (int i = 0; i < block.rows; ++i) {
      Value m = mask;
      if (partial_) {
        Value live = Builder::splat(live_row_[i], lanes_);
        m = mask ? Builder::binary(Op::bit_and, mask, live) : live;
      }
      rows.push_back(b_.let("r", Builder::load({element_.scalar, lanes_}, pointers_[i], at, m)));
    }
    while (static_cast<int>(rows.size()) < block.padded) rows.push_back(zero({element_.scalar, lanes_}));
    std::vector<Value> out = Transposer(b_, element_)(rows);
    Value to = b_.let("to", Builder::offset(dst_, add(mul(k, size_ * width_), mul(block.first, size_))));
    if (!left && block.padded == width_ && width_ <= lanes_) {
      for (std::size_t v = 0; v < out.size(); ++v)
        b_.store(to, Builder::i(static_cast<std::int64_t>(v) * size_ * lanes_), out[v]);
      return;
    }
    for (int j = 0; j < lanes_; ++j) {
      // Padding is overwritten by the next k; behind the last one it is slack.
      if (!left) store_k(to, out, j, block.padded, block.padded);
      else
        b_.branch(Builder::binary(Op::gt, left, Builder::i(j)), [&] { store_k(to, out, j, block.padded, block.rows); });
    }
  }

  /// The first `rows` elements at k = j, in pieces of powers of two.
  void store_k(const Value& to, const std::vector<Value>& out, int j, int padded, int rows) {
    for (int done = 0; done < rows;) {
      int lanes = lanes_;
      while (lanes > rows - done) lanes /= 2;
      const Value& v = out[(j * padded + done) / lanes_];
      int first = (j * padded + done) % lanes_;
      std::vector<int> map;
      for (int i = 0; i < lanes; ++i) map.push_back(first + i);
      Value piece = lanes == lanes_ ? v : lanes == 1 ? Builder::extract(v, first) : Builder::shuffle(v, v, map);
      b_.store(to, Builder::i(size_ * (width_ * j + done)), piece);
      done += lanes;
    }
  }

  void by_index() {
    over_blocks([&](const Block& block) {
      load_pointers(block);
      Value column = b_.let("column", Builder::offset(dst_, mul(block.first, size_)));
      if (partial_) return partial_by_index(block, column);
      b_.loop("k", Builder::i(0), k_, Builder::i(1), [&](const Value& k) {
        Value from = b_.let("from", mul(index_at(index_, k), size_)),
              to = b_.let("to", Builder::offset(column, mul(k, size_ * width_)));
        for (int done = 0; done < block.rows;) {
          int lanes = lanes_;
          while (lanes > block.rows - done) lanes /= 2;
          b_.store(to, Builder::i(size_ * done), collect(done, lanes, from));
          done += lanes;
        }
      });
    });
  }

  /// One element of each of `lanes` rows, put together in registers: a store of each would be the bottleneck.
  Value collect(int first, int lanes, const Value& from) {
    if (lanes == 1) return Builder::load({element_.scalar, 1}, pointers_[first], from);
    std::vector<int> map;
    for (int i = 0; i < lanes; ++i) map.push_back(i);
    return Builder::shuffle(collect(first, lanes / 2, from), collect(first + lanes / 2, lanes / 2, from), map);
  }

  void partial_by_index(const Block& block, const Value& column) {
    auto over_k = [&](auto body) { b_.loop("k", Builder::i(0), k_, Builder::i(1), body); };
    for (int i = 0; i < block.rows; ++i) {
      Value to = b_.let("to", Builder::offset(column, Builder::i(size_ * i)));
      b_.branch(
          live_row_[i],
          [&] {
            over_k([&](const Value& k) {
              b_.store(to, mul(k, size_ * width_),
                       Builder::load({element_.scalar, 1}, pointers_[i], mul(index_at(index_, k), size_)));
            });
          },
          [&] { over_k([&](const Value& k) { b_.store(to, mul(k, size_ * width_), zero({element_.scalar, 1})); }); });
    }
  }

  int width_;
  bool indexed_, partial_ = false;
  Element element_;
  int lanes_, size_;
  Builder b_;
  Value dst_, rows_, index_, k_, live_;
  std::vector<Value> pointers_, live_row_;
};

}  // namespace

codegen::Kernel lower_pack_transpose(int width, bool indexed_k, const CpuTarget& target, DType type) {
  PIT_CHECK(width >= 1, "a panel {} wide", width);
  return TransposePacker(width, indexed_k, target, type).run();
}

codegen::Kernel lower_pack_copy(int width, bool indexed_k, const CpuTarget& target, DType type) {
  PIT_CHECK(width >= 1, "a panel {} wide", width);
  Builder b(fmt::format("pack_copy_{}{}{}_{}", width, indexed_k ? "_index" : "", suffix(type), target.name));
  const Element element(type);
  Value dst = b.ptr_arg("dst", true), src = b.ptr_arg("src");
  Value index = indexed_k ? b.ptr_arg("k_index") : nullptr;
  Value k = b.int_arg("k"), columns = b.int_arg("columns"), stride = b.int_arg("k_stride");
  std::vector<std::pair<int, int>> pieces;  // first column, lanes
  for (int at = 0; at < width;) {
    int lanes = target.lanes(static_cast<std::size_t>(element.size));
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
      Value from =
          b.let("from", Builder::offset(src, Builder::binary(Op::mul, indexed_k ? index_at(index, kk) : kk, stride)));
      Value to = b.let("to", Builder::offset(dst, mul(kk, element.size * width)));
      for (std::size_t p = 0; p < pieces.size(); ++p) {
        auto [at, lanes] = pieces[p];
        const Value place = Builder::i(element.size * at);
        b.store(to, place, Builder::load({element.scalar, lanes}, from, place, masks[p]));
      }
    });
  };
  b.branch(Builder::binary(Op::ge, columns, Builder::i(width)), [&] { body(false); }, [&] { body(true); });
  return b.finish();
}

codegen::Kernel lower_pack_gather(int width, bool indexed_k, const CpuTarget& target, DType type) {
  PIT_CHECK(width >= 1, "a panel {} wide", width);
  Builder b(fmt::format("pack_gather_{}{}{}_{}", width, indexed_k ? "_index" : "", suffix(type), target.name));
  const Element element(type);
  const Type one{element.scalar, 1};
  Value dst = b.ptr_arg("dst", true), rows = b.ptr_arg("rows");
  Value index = indexed_k ? b.ptr_arg("k_index") : nullptr;
  Value k = b.int_arg("k"), live = b.int_arg("rows_live"), stride = b.int_arg("k_stride");
  auto from = [&](const Value& kk) { return Builder::binary(Op::mul, indexed_k ? index_at(index, kk) : kk, stride); };
  // Four rows at a time while all of them are live: the index and the address are shared; then row by row.
  Value whole = b.let("whole", Builder::select(Builder::binary(Op::ge, live, Builder::i(width)),
                                               Builder::i(width / 4 * 4), Builder::i(0)));
  b.loop("i", Builder::i(0), whole, Builder::i(4), [&](const Value& i) {
    std::vector<Value> p;
    for (int u = 0; u < 4; ++u) p.push_back(b.let("p", Builder::load(kPtr, rows, mul(add(i, Builder::i(u)), 8))));
    Value column = b.let("column", Builder::offset(dst, mul(i, element.size)));
    b.loop("k", Builder::i(0), k, Builder::i(1), [&](const Value& kk) {
      Value at = b.let("at", from(kk)), to = b.let("to", Builder::offset(column, mul(kk, element.size * width)));
      for (int u = 0; u < 4; ++u) b.store(to, Builder::i(element.size * u), Builder::load(one, p[u], at));
    });
  });
  b.loop("i", whole, Builder::i(width), Builder::i(1), [&](const Value& i) {
    Value column = b.let("column", Builder::offset(dst, mul(i, element.size)));
    b.branch(
        Builder::binary(Op::lt, i, live),
        [&] {
          Value p = b.let("p", Builder::load(kPtr, rows, mul(i, 8)));
          b.loop("k", Builder::i(0), k, Builder::i(1), [&](const Value& kk) {
            b.store(column, mul(kk, element.size * width), Builder::load(one, p, from(kk)));
          });
        },
        [&] {
          b.loop("k", Builder::i(0), k, Builder::i(1),
                 [&](const Value& kk) { b.store(column, mul(kk, element.size * width), zero(one)); });
        });
  });
  return b.finish();
}

}  // namespace pit::lower
