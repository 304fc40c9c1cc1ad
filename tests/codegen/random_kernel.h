// Random kernels for differential tests: every operation, all types, masks, gathers, loops, branches. Never undefined:
// shift counts and addresses are in range, and no float's bits are read as an integer (which NaN an operation gives is
// open).
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "codegen/kernel_ir.h"
#include "codegen/math.h"

namespace pit::codegen::testing {

/// A kernel with ptrs: in (kInputBytes), out (kOutputBytes); ints: n (0..7), m (any), and what its output bytes mean.
struct RandomKernel {
  static constexpr int kInputBytes = 4096, kOutputBytes = 1 << 14;
  Kernel kernel;
  std::vector<std::pair<int, Type>> outputs;  // offset, type
};

class RandomKernelMaker {
 public:
  using Draw = std::function<std::uint64_t()>;  // a random number; 0 leads to the end of a value

  explicit RandomKernelMaker(std::uint64_t seed)
      : RandomKernelMaker("random_" + std::to_string(seed), std::mt19937_64(seed)) {}
  RandomKernelMaker(std::string name, Draw draw) : draw_(std::move(draw)), b_(std::move(name)) {}

  RandomKernel make() {
    in_ = b_.ptr_arg("in", pick(2) == 0);
    out_ = b_.ptr_arg("out", pick(2) == 0);
    n_ = b_.int_arg("n");
    m_ = b_.int_arg("m");
    lanes_ = 1 << pick(6);
    block(6, 2);
    for (const Value& v : std::vector<Value>(names_)) store(v);
    RandomKernel result{b_.finish(), outputs_};
    return result;
  }

 private:
  using B = Builder;
  int pick(int n) { return static_cast<int>(draw_() % static_cast<std::uint64_t>(n)); }
  Scalar pick_scalar() {
    static constexpr Scalar all[] = {Scalar::f32, Scalar::f32, Scalar::f32, Scalar::f64, Scalar::i64,
                                     Scalar::i32, Scalar::i8,  Scalar::u8,  Scalar::i1};
    return all[pick(9)];
  }
  Type pick_type() { return {pick_scalar(), pick(4) == 0 ? 1 : lanes_}; }

  // --- values ---

  static bool is_int(Scalar s) { return s == Scalar::i64 || s == Scalar::i32 || s == Scalar::i8 || s == Scalar::u8; }

  Value constant(Type t) {
    static constexpr double floats[] = {0.0,    -0.0,  1.0,  -1.5,         0.1,  3e38,
                                        -1e-40, 65504, 1e10, 2147483648.0, -129, 255.5};
    static constexpr std::int64_t ints[] = {0, 1, -1, 2, 7, 127, -128, 255, INT32_MIN, INT64_MAX, INT64_MIN, 1000003};
    if (is_float(t.scalar)) return B::f(floats[pick(12)], t);
    std::int64_t v = ints[pick(12)];
    if (t.scalar == Scalar::i1) v &= 1;
    if (t.scalar == Scalar::i8) v = static_cast<std::int8_t>(v);
    if (t.scalar == Scalar::u8) v = static_cast<std::uint8_t>(v);
    if (t.scalar == Scalar::i32) v = static_cast<std::int32_t>(v);
    return B::i(v, t);
  }

  Value load(Type t, int depth) {
    const int size = bytes_of(t.scalar), span = size * t.lanes;
    Value mask = pick(3) == 0 ? value({Scalar::i1, t.lanes}, depth - 1) : nullptr;
    if (pick(4) == 0) {  // gather; masked offsets stay in range
      const Scalar s = pick(2) == 0 ? Scalar::i64 : Scalar::i32;
      Value at = B::binary(Op::bit_and, value({s, t.lanes}, depth - 1), B::i(255, {s, 1}));
      return B::gather(t, in_, B::binary(Op::mul, at, B::i(size, {s, 1})), mask);
    }
    Value at = B::i(size * pick((RandomKernel::kInputBytes - span - 64) / size));
    if (pick(2) == 0) at = B::binary(Op::add, at, B::binary(Op::mul, n_, B::i(size)));
    Value base = pick(4) == 0 ? B::offset(in_, B::i(0)) : in_;
    return B::load(t, base, at, mask);
  }

  Value leaf(Type t, int depth) {
    std::vector<Value> fitting;
    for (const Value& v : names_) {
      if (v->type == t) fitting.push_back(v);
    }
    if (!fitting.empty() && pick(2) == 0)
      return fitting[static_cast<std::size_t>(pick(static_cast<int>(fitting.size())))];
    if (t == Type{Scalar::i64, 1} && pick(3) == 0) return pick(2) == 0 ? n_ : m_;
    if (pick(4) == 0) return constant(t);
    if (is_int(t.scalar) && pick(6) == 0) return B::iota(t);
    return load(t, depth);
  }

  Value value(Type t, int depth) {
    if (depth <= 0 || pick(6) == 0) return leaf(t, depth);
    if (pick(5) == 0) return structural(t, depth);
    if (t.scalar == Scalar::i1) return mask(t, depth);
    return is_float(t.scalar) ? floating(t, depth) : integral(t, depth);
  }

  Value structural(Type t, int depth) {
    const int d = depth - 1;
    switch (pick(5)) {
      case 0: return B::select(value({Scalar::i1, pick(3) == 0 ? 1 : t.lanes}, d), value(t, d), value(t, d));
      case 1: return B::splat(value({t.scalar, 1}, d), t.lanes);
      case 2: return B::splat(B::extract(value({t.scalar, lanes_}, d), pick(lanes_)), t.lanes);
      case 3: {
        std::vector<int> map;
        const Type from{t.scalar, lanes_};
        for (int l = 0; l < t.lanes; ++l) map.push_back(pick(2 * lanes_));
        return B::shuffle(value(from, d), value(from, d), map);
      }
      default: return convert(t, d);
    }
  }

  Value convert(Type t, int d) {
    if (t.scalar == Scalar::f32 && pick(3) == 0) return B::convert(load({Scalar::f16, t.lanes}, d), Scalar::f32);
    const Scalar from = pick_scalar();
    if (from == t.scalar && is_float(from)) {  // through half and back
      return B::convert(B::convert(value(t, d), Scalar::f16), t.scalar);
    }
    if (is_float(t.scalar) && is_int(from) && bytes_of(from) == bytes_of(t.scalar) && pick(2) == 0) {
      return B::bitcast(value({from, t.lanes}, d), t);
    }
    return B::convert(value({from, t.lanes}, d), t.scalar);
  }

  Value reduction(Type t, int d, std::initializer_list<Op> ops) {
    const Op op = *(ops.begin() + pick(static_cast<int>(ops.size())));
    return B::splat(B::reduce(op, value({t.scalar, lanes_}, d)), t.lanes);
  }

  Value mask(Type t, int depth) {
    const int d = depth - 1;
    static constexpr Op compare[] = {Op::eq, Op::ne, Op::lt, Op::le, Op::gt, Op::ge};
    static constexpr Op logic[] = {Op::bit_and, Op::bit_or, Op::bit_xor, Op::eq, Op::ne};
    switch (pick(5)) {
      case 0: return B::lane_mask(value({Scalar::i64, 1}, d), t.lanes);
      case 1: return B::binary(logic[pick(5)], value(t, d), value(t, d));
      case 2: return reduction(t, d, {Op::reduce_and, Op::reduce_or});
      default: {
        Scalar s = pick_scalar();
        if (s == Scalar::i1) s = Scalar::i32;
        return B::binary(compare[pick(6)], value({s, t.lanes}, d), value({s, t.lanes}, d));
      }
    }
  }

  Value floating(Type t, int depth) {
    const int d = depth - 1;
    static constexpr Op kUnary[] = {Op::neg, Op::abs, Op::sqrt, Op::floor, Op::ceil, Op::round_even};
    static constexpr Op kBinary[] = {Op::add, Op::sub, Op::mul, Op::div, Op::min, Op::max};
    switch (pick(7)) {
      case 0: return B::unary(kUnary[pick(6)], value(t, d));
      case 1: return B::fma(value(t, d), value(t, d), value(t, d));
      case 2: return reduction(t, d, {Op::reduce_add, Op::reduce_mul, Op::reduce_min, Op::reduce_max});
      case 3: return depth > 1 ? transcendental(value(t, d), d) : value(t, d);
      default: return B::binary(kBinary[pick(6)], value(t, d), value(t, d));
    }
  }

  Value transcendental(const Value& x, int d) {
    switch (pick(9)) {
      case 0: return math::exp(b_, x);
      case 1: return math::log(b_, x);
      case 2: return math::erf(b_, x);
      case 3: return math::tanh(b_, x);
      case 4: return math::sigmoid(b_, x);
      case 5: return math::sin(b_, x);
      case 6: return math::cos(b_, x);
      case 7: return math::pow(b_, x, value(x->type, d));
      default: return math::fmod(b_, x, value(x->type, d));
    }
  }

  Value integral(Type t, int depth) {
    const int d = depth - 1;
    static constexpr Op kBinary[] = {Op::add, Op::sub, Op::mul,     Op::div,    Op::rem,
                                     Op::min, Op::max, Op::bit_and, Op::bit_or, Op::bit_xor};
    static constexpr Op shift[] = {Op::shl, Op::lshr, Op::ashr};
    if (t.scalar == Scalar::i32 && pick(5) == 0) return B::dot(value(t, d), value(t, d), value(t, d));
    switch (pick(7)) {
      case 0: return B::unary(pick(2) == 0 ? Op::neg : Op::abs, value(t, d));
      case 1: return B::binary(shift[pick(3)], value(t, d), B::i(pick(8 * bytes_of(t.scalar)), {t.scalar, 1}));
      case 2:
        return reduction(
            t, d, {Op::reduce_add, Op::reduce_mul, Op::reduce_min, Op::reduce_max, Op::reduce_and, Op::reduce_or});
      default: return B::binary(kBinary[pick(10)], value(t, d), value(t, d));
    }
  }

  // --- statements ---

  void store(const Value& v) {
    const int span = bytes_of(v->type.scalar) * v->type.lanes;
    if (used_ + 2 * span > RandomKernel::kOutputBytes) return;
    used_ = (used_ + 63) / 64 * 64;
    if (used_ + span > RandomKernel::kOutputBytes) return;
    Value mask = pick(3) == 0 ? value({Scalar::i1, v->type.lanes}, 2) : nullptr;
    if (pick(4) == 0) {  // scatter, reversed
      const Type offsets{Scalar::i64, v->type.lanes};
      Value lane = B::binary(Op::sub, B::i(v->type.lanes - 1), B::iota(offsets));
      Value at = B::binary(Op::add, B::i(used_), B::binary(Op::mul, lane, B::i(bytes_of(v->type.scalar))));
      b_.scatter(out_, at, v, mask);
    } else {
      b_.store(out_, B::i(used_), v, mask);
    }
    outputs_.emplace_back(used_, v->type);
    used_ += span;
  }

  void statement(int depth) {
    switch (pick(depth > 0 ? 8 : 5)) {
      case 0:
      case 1: names_.push_back(b_.let("v", value(pick_type(), 4))); break;
      case 2: {
        Value init = value(pick_type(), 3);
        names_.push_back(b_.var("a", init));
        vars_.push_back(names_.back());
        break;
      }
      case 3:
        if (!vars_.empty()) {
          const Value v = vars_[static_cast<std::size_t>(pick(static_cast<int>(vars_.size())))];
          b_.assign(v, value(v->type, 3));
        }
        break;
      case 4: store(value(pick_type(), 3)); break;
      case 5:
      case 6: {
        Value end = pick(3) == 0 ? B::i(pick(4)) : n_;
        b_.loop("i", B::i(pick(2)), end, B::i(1 + pick(2)), [&](const Value& i) {
          const auto kept = std::make_pair(names_.size(), vars_.size());
          names_.push_back(i);
          block(3, depth - 1);
          names_.resize(kept.first);
          vars_.resize(kept.second);
        });
        break;
      }
      default: {
        const auto kept = std::make_pair(names_.size(), vars_.size());
        const auto inside = [&] {
          block(2, depth - 1);
          names_.resize(kept.first);
          vars_.resize(kept.second);
        };
        Value condition = value({Scalar::i1, 1}, 2);
        if (pick(2) == 0) {
          b_.branch(condition, inside);
        } else {
          b_.branch(condition, inside, inside);
        }
      }
    }
  }

  void block(int statements, int depth) {
    for (int s = 0; s < statements; ++s) statement(depth);
  }

  Draw draw_;
  Builder b_;
  Value in_, out_, n_, m_;
  int lanes_ = 1, used_ = 0;
  std::vector<Value> names_, vars_;
  std::vector<std::pair<int, Type>> outputs_;
};

}  // namespace pit::codegen::testing
