#include "lower/stream.h"

#include <fmt/format.h>

#include "support/check.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Type;
using codegen::Value;

namespace {

class StreamEmitter {
 public:
  explicit StreamEmitter(const StreamSpec& s)
      : spec_(s),
        size_(s.algebra.sizes()),
        lanes_(s.target.lanes(static_cast<std::size_t>(size_.accumulator))),
        b_(fmt::format("stream_{}{}_{}x{}_{}", s.rows,
                       s.algebra.is_sum_of_products() ? "" : "_" + s.algebra.operation(), s.algebra.types.name(),
                       lanes_, s.target.name)) {}

  codegen::Kernel run() {
    a_ = b_.ptr_arg("a", true);
    panel_ = b_.ptr_arg("b", true);
    b_row_ = b_.ptr_arg("b_row", true);
    c_rows_ = b_.ptr_arg("c_rows");
    k_ = b_.int_arg("k");
    columns_ = b_.int_arg("columns");
    b_step_ = b_.int_arg("b_step");
    Value first = b_.int_arg("first");
    Value c_offset = b_.int_arg("c_offset");
    for (int i = 0; i < spec_.rows; ++i) {
      Value row = Builder::load({Scalar::ptr, 1}, c_rows_, Builder::i(8 * i));
      c_.push_back(b_.let("c", Builder::offset(row, c_offset)));
    }
    whole_ = b_.let("whole", Builder::binary(Op::bit_and, columns_, Builder::i(-lanes_)));
    b_.branch(Builder::binary(Op::ne, first, Builder::i(0)), [&] { clear(); });
    last_ = b_.let("last", Builder::binary(Op::sub, k_, Builder::i(1)));
    Value unrolled = b_.let("unrolled", Builder::binary(Op::bit_and, k_, Builder::i(-kStreamK)));
    b_.loop("t", Builder::i(0), unrolled, Builder::i(kStreamK), [&](const Value& t) { add_k(t, kStreamK); });
    b_.loop("t", unrolled, k_, Builder::i(1), [&](const Value& t) { add_k(t, 1); });
    return b_.finish();
  }

 private:
  Type vector_of(DType t) const { return {codegen::scalar_of(t), lanes_}; }

  /// body(byte offset, mask or null) for vectors along the columns: the same in B and C.
  template <class F>
  void over_columns(F&& body) {
    b_.loop("j", Builder::i(0), whole_, Builder::i(lanes_),
            [&](const Value& j) { body(b_.let("at", Builder::binary(Op::mul, j, Builder::i(size_.c))), nullptr); });
    b_.branch(Builder::binary(Op::lt, whole_, columns_), [&] {
      Value mask = b_.let("mask", Builder::lane_mask(Builder::binary(Op::sub, columns_, whole_), lanes_));
      body(b_.let("at", Builder::binary(Op::mul, whole_, Builder::i(size_.c))), mask);
    });
  }

  void clear() {
    over_columns([&](const Value& at, const Value& mask) {
      for (const Value& c : c_)
        b_.store(c, at, identity(spec_.algebra, vector_of(spec_.algebra.types.accumulator)), mask);
    });
  }

  Value row_of(const Value& step) {
    Value row = Builder::convert(Builder::load({Scalar::i32, 1}, b_row_, Builder::binary(Op::mul, step, Builder::i(4))),
                                 Scalar::i64);
    return b_.let("row", Builder::offset(panel_, Builder::binary(Op::mul, row, b_step_)));
  }

  void add_k(const Value& t, int count) {
    std::vector<Value> rows, next, factors;
    for (int u = 0; u < count; ++u) {
      Value step = Builder::binary(Op::add, t, Builder::i(u));
      rows.push_back(row_of(step));
      // Hardware does not know which rows come next, so each piece of a row asks for those. One row of A leaves so
      // little to do that memory is asked often enough without.
      if (count > 1 && spec_.rows > 1)
        next.push_back(row_of(Builder::binary(Op::min, Builder::binary(Op::add, step, Builder::i(count)), last_)));
      for (int i = 0; i < spec_.rows; ++i) {
        Value at = Builder::binary(Op::add, Builder::binary(Op::mul, step, Builder::i(size_.a * spec_.rows)),
                                   Builder::i(size_.a * i));
        const Type one{codegen::scalar_of(spec_.algebra.types.moved_a()), 1};
        factors.push_back(b_.let("x", Builder::splat(Builder::load(one, a_, at), lanes_)));
      }
    }
    over_columns([&](const Value& at, const Value& mask) {
      std::vector<Value> y;
      for (const Value& row : rows)
        y.push_back(b_.let("y", Builder::load(vector_of(spec_.algebra.types.moved_b()), row, at, mask)));
      for (const Value& row : next) b_.prefetch(row, at);
      for (int i = 0; i < spec_.rows; ++i) {
        Value acc = Builder::load(vector_of(spec_.algebra.types.c), c_[i], at, mask);
        for (int u = 0; u < count; ++u)
          acc = b_.let("acc", accumulated(spec_.algebra, factors[u * spec_.rows + i], y[u], acc));
        b_.store(c_[i], at, acc, mask);
      }
    });
  }

  const StreamSpec& spec_;
  const ElementSizes size_;
  int lanes_;
  Builder b_;
  Value a_, panel_, b_row_, c_rows_, k_, columns_, b_step_, whole_, last_;
  std::vector<Value> c_;
};

}  // namespace

codegen::Kernel lower_stream(const StreamSpec& spec) {
  PIT_CHECK(spec.rows >= 1 && spec.rows <= kMaxStreamRows, "a streaming product of {} rows", spec.rows);
  PIT_CHECK(spec.algebra.sizes().b == spec.algebra.sizes().c, "a streaming product of unlike types");
  PIT_CHECK(spec.algebra.splits_k(), "a streaming product over the algebra {}", spec.algebra.name());
  return StreamEmitter(spec).run();
}

}  // namespace pit::lower
