// The register tile. Two shapes of epilogue: a light one (bias, residual, relu) is applied to the accumulators in
// registers; a heavy one (gelu) would be unrolled rows x vectors times, so the accumulators go through C, which is in
// L1 by then, and one loop applies it: a few percent of a percent slower, a tenth of the code.
#include "lower/tile.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <memory>

#include "codegen/math.h"
#include "lower/elementwise.h"
#include "support/check.h"
#include "support/files.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Type;
using codegen::Value;

namespace {

constexpr int kHeavy = 14;  // cost of an epilogue (cost_of) from which on it is a loop
constexpr int kUnroll = 2;  // of k
constexpr Type kPtr{Scalar::ptr, 1};

/// An epilogue's program with types, ready to be evaluated at one place of the tile.
class TypedEpilogue {
 public:
  explicit TypedEpilogue(const Epilogue& e) : epilogue_(e), program_(e.program) {
    check_form();
    resolver_.operand = [this](const expr::Expr& a) { return input_[a->id]; };
    resolver_.operand_varies = [](int) { return unsigned{kRow}; };
    resolver_.axis_varies = [](expr::AxisId) { return unsigned{kRow}; };
    typed_ = std::make_unique<TypedProgram>(program_, e.absorbing, resolver_);
    for (int n = 0; n < typed_->size(); ++n) {
      if (typed_->node(n).kind == TypedNode::axis) throw Refusal{"an epilogue uses the value of an axis"};
      if (typed_->node(n).kind == TypedNode::extent) throw Refusal{"an epilogue uses an extent"};
      if (!typed_->node(n).dims.empty()) throw Refusal{"an epilogue has a lookup"};
      cost_ += cost_of(typed_->node(n));
    }
  }

  const TypedProgram& typed() const { return *typed_; }
  int cost() const { return cost_; }
  int output() const { return static_cast<int>(program_.statements.size()) - 1; }
  double param(int p) const { return epilogue_.params.at(p); }

 private:
  void check_form() {
    int inputs = 0;
    input_.assign(program_.tensors.size(), -1);
    for (std::size_t t = 0; t < program_.tensors.size(); ++t) {
      expr::TensorDecl& decl = program_.tensors[t];
      if (decl.role != expr::Role::input) continue;
      if (inputs > static_cast<int>(epilogue_.dtypes.size()) || epilogue_.dtypes.size() != epilogue_.operands.size())
        throw Refusal{"an epilogue has more inputs than operands"};
      decl.dtype = inputs == 0 ? epilogue_.types.c : epilogue_.dtypes[inputs - 1];
      input_[t] = inputs++;
    }
    if (inputs != static_cast<int>(epilogue_.operands.size()) + 1)
      throw Refusal{"an epilogue has more operands than inputs"};
    if (epilogue_.params.size() < program_.params.size()) throw Refusal{"an epilogue's parameter has no value"};
    int outputs = 0;
    for (const expr::Statement& s : program_.statements) {
      if (s.combiner != expr::Combiner::assign) throw Refusal{"an epilogue has a reduction"};
      outputs += program_.tensors[s.out].role == expr::Role::output;
    }
    if (program_.statements.empty() || outputs != 1 ||
        program_.tensors[program_.statements.back().out].role != expr::Role::output)
      throw Refusal{"an epilogue must write one output, last"};
    for (expr::TensorDecl& t : program_.tensors)
      if (t.role == expr::Role::output) t.dtype = epilogue_.result;
    if (size_of(epilogue_.result) != size_of(epilogue_.types.c))
      throw Refusal{"the result has not the size of the sum"};
    if (auto problem = expr::check(program_)) throw Refusal{*problem};
  }

  const Epilogue& epilogue_;
  expr::Program program_;
  std::vector<int> input_;  // tensor -> number of the input, acc first
  Resolver resolver_;
  std::unique_ptr<TypedProgram> typed_;
  int cost_ = 0;
};

class TileEmitter {
 public:
  explicit TileEmitter(const TileSpec& s)
      : spec_(s),
        size_(s.algebra.sizes()),
        a_type_{codegen::scalar_of(s.algebra.types.moved_a()), 1},
        lanes_(s.target.lanes(static_cast<std::size_t>(size_.accumulator))),
        vectors_(s.vectors * s.panels),
        panel_bytes_(static_cast<int>(size_.b) * s.vectors * lanes_),
        b_(name()) {
    if (!s.epilogue.program.statements.empty()) epilogue_ = std::make_unique<TypedEpilogue>(s.epilogue);
  }

  codegen::Kernel run() {
    arguments();
    full_ = b_.let("full", Builder::binary(Op::eq, columns_, Builder::i(vectors_ * lanes_)));
    for (int q = 0; q < spec_.panels; ++q)
      panel_.push_back(
          q == 0 ? b_arg_
                 : b_.let("panel", Builder::offset(b_arg_, Builder::binary(Op::mul, panel_step_, Builder::i(q)))));
    b_.loop("tile", Builder::i(0), tiles_, Builder::i(1), [&](const Value& t) { tile(t); });
    return b_.finish();
  }

 private:
  std::string name() const {
    std::string key = spec_.epilogue.program.statements.empty() ? "" : "_" + content_hash(spec_.epilogue_key);
    return fmt::format("tile_{}x{}{}_{}x{}{}{}{}{}{}{}_{}", spec_.rows, spec_.vectors,
                       spec_.panels > 1 ? fmt::format("x{}", spec_.panels) : "", spec_.algebra.types.name(), lanes_,
                       spec_.algebra.is_sum_of_products() ? "" : "_" + spec_.algebra.operation(),
                       spec_.a == TileA::rows ? "_rows" : "",
                       spec_.indexed_k        ? "_index"
                       : spec_.prefetch_bytes ? fmt::format("_ahead{}", spec_.prefetch_bytes)
                                              : "",
                       spec_.indexed_a ? "_aindex" : "", spec_.ragged ? "_ragged" : "", key, spec_.target.name);
  }

  void arguments() {
    a_ = b_.ptr_arg("a", true);
    b_arg_ = b_.ptr_arg("b", true);
    if (spec_.indexed_k) k_offset_ = b_.ptr_arg("k_offset", true);
    if (spec_.indexed_a) a_offset_ = b_.ptr_arg("a_offset", true);
    if (spec_.ragged) starts_ = b_.ptr_arg("starts", true);
    c_rows_ = b_.ptr_arg("c_rows");
    for (std::size_t i = 0; i < spec_.epilogue.operands.size(); ++i)
      operand_args_.push_back(b_.ptr_arg(fmt::format("operand{}", i)));
    k_ = b_.int_arg("k");
    columns_ = b_.int_arg("columns");
    first_ = b_.int_arg("first");
    last_ = b_.int_arg("last");
    tiles_ = b_.int_arg("tiles");
    a_step_ = b_.int_arg("a_step");
    panel_step_ = b_.int_arg("panel_step");
    c_offset_ = b_.int_arg("c_offset");
    next_rows_ = b_.int_arg("next_rows");
    next_offset_ = b_.int_arg("next_offset");
  }

  void tile(const Value& t) {
    const Value table = b_.let("table", Builder::binary(Op::mul, t, Builder::i(8 * spec_.rows)));
    tile_c_ = b_.let("tile_c", Builder::offset(c_rows_, table));
    operands_ = operand_args_;
    for (std::size_t o = 0; o < operands_.size(); ++o)
      if (per_row(o)) operands_[o] = b_.let("tile_operand", Builder::offset(operand_args_[o], table));
    find_a(t, table);
    acc_.clear();
    for (int i = 0; i < spec_.rows * vectors_; ++i)
      acc_.push_back(b_.var("acc", identity(spec_.algebra, vector_of(spec_.algebra.types.accumulator))));
    b_.branch(Builder::binary(Op::eq, first_, Builder::i(0)),
              [&] { b_.branch(full_, [&] { load_accumulators(false); }, [&] { load_accumulators(true); }); });
    prefetch_c(t);
    walk_k([&](const Value& x, const Value& y, Value& acc) { b_.assign(acc, accumulated(spec_.algebra, x, y, acc)); });
    if (spec_.algebra.combiner == expr::Combiner::logsumexp) sum_exponentials();
    bool heavy = epilogue_ && epilogue_->cost() >= kHeavy;
    b_.branch(full_, [&] { finish(false, heavy); }, [&] { finish(true, heavy); });
    if (heavy) b_.branch(Builder::binary(Op::ne, last_, Builder::i(0)), [&] { epilogue_loop(); });
  }

  Type vector_of(DType t) const { return {codegen::scalar_of(t), lanes_}; }
  /// The j-th vector of a row of C, in bytes.
  Value c_at(int j) const { return Builder::i(size_.c * j * lanes_); }
  bool per_row(std::size_t o) const { return is_per_row(spec_.epilogue.operands[o]); }

  // The tile's A and its steps of k.
  void find_a(const Value& t, const Value& table) {
    begin_ = Builder::i(0);
    end_ = k_;
    tile_a_ = a_;
    a_rows_.clear();
    if (spec_.ragged) {
      auto start = [&](int next) {
        Value at = Builder::binary(Op::mul, Builder::binary(Op::add, t, Builder::i(next)), Builder::i(4));
        return Builder::convert(Builder::load({Scalar::i32, 1}, starts_, at), Scalar::i64);
      };
      begin_ = b_.let("begin", start(0));
      end_ = b_.let("end", start(1));
    } else if (spec_.a == TileA::packed) {
      tile_a_ = b_.let("tile_a", Builder::offset(a_, Builder::binary(Op::mul, t, a_step_)));
    }
    if (spec_.a == TileA::rows)
      for (int i = 0; i < spec_.rows; ++i) {
        Value row = Builder::load(kPtr, Builder::offset(a_, table), Builder::i(8 * i));
        a_rows_.push_back(b_.let("a_row", Builder::offset(row, a_step_)));
      }
  }

  Value row_pointer(int i) {
    return b_.let("row", Builder::offset(Builder::load(kPtr, tile_c_, Builder::i(8 * i)), c_offset_));
  }

  // The next tile's C comes while this one's steps of k are walked: partial results are wanted as soon as a tile
  // begins, and a store that misses would hold up all that follow it.
  void prefetch_c(const Value& t) {
    constexpr int line = 64;
    const std::int64_t bytes = size_.c * vectors_ * lanes_;
    Value within = b_.let("within", Builder::binary(Op::lt, Builder::binary(Op::add, t, Builder::i(1)), tiles_));
    Value table = b_.let("next_c", Builder::select(within, Builder::offset(tile_c_, Builder::i(8 * spec_.rows)),
                                                   Builder::offset(c_rows_, next_rows_)));
    Value offset = b_.let("offset", Builder::select(within, c_offset_, next_offset_));
    for (int i = 0; i < spec_.rows; ++i) {
      Value row = b_.let("row", Builder::offset(Builder::load(kPtr, table, Builder::i(8 * i)), offset));
      for (std::int64_t at = 0; at < bytes; at += line) b_.prefetch(row, Builder::i(at));
      b_.prefetch(row, Builder::i(bytes - size_.c));
    }
  }

  std::vector<Value> masks(bool masked) {
    std::vector<Value> m(vectors_);
    if (masked)
      for (int j = 0; j < vectors_; ++j)
        m[j] = b_.let("mask", Builder::lane_mask(Builder::binary(Op::sub, columns_, Builder::i(j * lanes_)), lanes_));
    return m;
  }

  void load_accumulators(bool masked) {
    std::vector<Value> m = masks(masked);
    for (int i = 0; i < spec_.rows; ++i) {
      Value row = row_pointer(i);
      for (int j = 0; j < vectors_; ++j)
        b_.assign(acc_[i * vectors_ + j], Builder::load(vector_of(spec_.algebra.types.c), row, c_at(j), m[j]));
    }
  }

  // logsumexp, second walk: the accumulators hold the maximum, or 0 where that is not finite (all absent, infinite or
  // NaN).
  void sum_exponentials() {
    const Type vec = vector_of(spec_.algebra.types.accumulator);
    std::vector<Value> shift;
    for (Value& acc : acc_) {
      Value finite = Builder::binary(Op::lt, Builder::unary(Op::abs, acc),
                                     Builder::f(std::numeric_limits<double>::infinity(), vec));
      shift.push_back(b_.let("shift", Builder::select(finite, acc, Builder::f(0, vec))));
      b_.assign(acc, Builder::f(0, vec));
    }
    walk_k([&](const Value& x, const Value& y, Value& acc) {
      const Value& s = shift[static_cast<std::size_t>(&acc - acc_.data())];
      b_.assign(acc, Builder::binary(Op::add, acc,
                                     codegen::math::exp(
                                         b_, b_.let("x", Builder::binary(Op::sub, product(spec_.algebra, x, y), s)))));
    });
    for (std::size_t i = 0; i < acc_.size(); ++i)
      b_.assign(acc_[i], Builder::binary(Op::add, shift[i], codegen::math::log(b_, b_.let("sum", acc_[i]))));
  }

  Value offset_at(const Value& table, const Value& k, int u) {
    Value at = Builder::binary(Op::mul, Builder::binary(Op::add, k, Builder::i(u)), Builder::i(4));
    return Builder::convert(Builder::load({Scalar::i32, 1}, table, at), Scalar::i64);
  }

  /// `count` steps of k from position k on.
  template <class Step>
  void steps(const Value& k, int count, Step&& step) {
    const bool packed = spec_.a == TileA::packed;
    const std::int64_t a_bytes = packed ? size_.a * spec_.rows : size_.a;
    Value a = spec_.indexed_a ? nullptr : b_.let("ak", Builder::binary(Op::mul, k, Builder::i(a_bytes)));
    Value dense = spec_.indexed_k ? nullptr : b_.let("bk", Builder::binary(Op::mul, k, Builder::i(panel_bytes_)));
    if (spec_.prefetch_bytes > 0)
      for (const Value& panel : panel_)
        for (int at = 0; at < count * panel_bytes_; at += 64)
          b_.prefetch(Builder::offset(panel, dense), Builder::i(spec_.prefetch_bytes + at));
    for (int u = 0; u < count; ++u) {
      Value row = dense ? Builder::binary(Op::add, dense, Builder::i(panel_bytes_ * u))
                        : b_.let("brow", offset_at(k_offset_, k, u));
      Value at = a ? Builder::binary(Op::add, a, Builder::i(a_bytes * u)) : b_.let("arow", offset_at(a_offset_, k, u));
      auto load_a = [&](int i) {
        Value from = Builder::offset(packed ? tile_a_ : a_rows_[i], at);
        return b_.let("a", Builder::splat(Builder::load(a_type_, from, Builder::i(packed ? size_.a * i : 0)), lanes_));
      };
      auto load_b = [&](int j) {
        Value from = Builder::offset(panel_[j / spec_.vectors], row);
        return b_.let("b", Builder::load(vector_of(spec_.algebra.types.moved_b()), from,
                                         Builder::i(size_.b * (j % spec_.vectors) * lanes_)));
      };
      // The side with fewer registers is loaded first and held; the other one comes one at a time.
      if (spec_.rows < vectors_) {
        std::vector<Value> av;
        for (int i = 0; i < spec_.rows; ++i) av.push_back(load_a(i));
        for (int j = 0; j < vectors_; ++j) {
          Value y = load_b(j);
          for (int i = 0; i < spec_.rows; ++i) step(av[i], y, acc_[i * vectors_ + j]);
        }
      } else {
        std::vector<Value> bv;
        for (int j = 0; j < vectors_; ++j) bv.push_back(load_b(j));
        for (int i = 0; i < spec_.rows; ++i) {
          Value x = load_a(i);
          for (int j = 0; j < vectors_; ++j) step(x, bv[j], acc_[i * vectors_ + j]);
        }
      }
    }
  }

  // Ragged ranges of k are short and end where no branch predictor expects it: one loop, one surprise.
  template <class Step>
  void walk_k(Step&& step) {
    if (spec_.ragged) return b_.loop("k", begin_, end_, Builder::i(1), [&](const Value& k) { steps(k, 1, step); });
    Value count = Builder::binary(Op::sub, end_, begin_);
    Value unrolled =
        b_.let("unrolled", Builder::binary(Op::add, begin_, Builder::binary(Op::bit_and, count, Builder::i(-kUnroll))));
    b_.loop("k", begin_, unrolled, Builder::i(kUnroll), [&](const Value& k) { steps(k, kUnroll, step); });
    b_.loop("k", unrolled, end_, Builder::i(1), [&](const Value& k) { steps(k, 1, step); });
  }

  void finish(bool masked, bool heavy) {
    std::vector<Value> m = masks(masked);
    if (!epilogue_ || heavy) return store_accumulators(m);
    b_.branch(
        Builder::binary(Op::ne, last_, Builder::i(0)),
        [&] {
          std::vector<Value> scalars(epilogue_->typed().size());
          for (int i = 0; i < spec_.rows; ++i) {
            Value row = row_pointer(i);
            std::vector<Value> rows = operand_rows(Builder::i(i));
            for (int j = 0; j < vectors_; ++j) {
              Value v = evaluate(acc_[i * vectors_ + j], rows, Builder::i(j * lanes_), m[j], scalars);
              b_.store(row, c_at(j), v, m[j]);
            }
          }
        },
        [&] { store_accumulators(m); });
  }

  void store_accumulators(const std::vector<Value>& m) {
    for (int i = 0; i < spec_.rows; ++i) {
      Value row = row_pointer(i);
      for (int j = 0; j < vectors_; ++j) b_.store(row, c_at(j), acc_[i * vectors_ + j], m[j]);
    }
  }

  void epilogue_loop() {
    std::vector<Value> scalars(epilogue_->typed().size());
    hoist_scalars(scalars);
    b_.loop("i", Builder::i(0), Builder::i(spec_.rows), Builder::i(1), [&](const Value& i) {
      Value row = b_.let(
          "row", Builder::offset(Builder::load(kPtr, tile_c_, Builder::binary(Op::mul, i, Builder::i(8))), c_offset_));
      std::vector<Value> rows = operand_rows(i);
      auto at = [&](const Value& column, const Value& mask) {
        Value bytes = Builder::binary(Op::mul, column, Builder::i(size_.c));
        Value acc = b_.let("acc", Builder::load(vector_of(spec_.algebra.types.c), row, bytes, mask));
        b_.store(row, bytes, evaluate(acc, rows, column, mask, scalars), mask);
      };
      Value whole = b_.let("whole", Builder::binary(Op::bit_and, columns_, Builder::i(-lanes_)));
      b_.loop("j", Builder::i(0), whole, Builder::i(lanes_), [&](const Value& j) { at(j, nullptr); });
      b_.branch(Builder::binary(Op::lt, whole, columns_), [&] {
        at(whole, b_.let("mask", Builder::lane_mask(Builder::binary(Op::sub, columns_, whole), lanes_)));
      });
    });
  }

  /// Per operand the pointer that serves row i (or the operand itself where it does not vary with the row).
  std::vector<Value> operand_rows(const Value& i) {
    std::vector<Value> rows = operands_;
    for (std::size_t o = 0; o < rows.size(); ++o)
      if (per_row(o))
        rows[o] = b_.let("oprow", Builder::load(kPtr, operands_[o], Builder::binary(Op::mul, i, Builder::i(8))));
    return rows;
  }

  bool is_scalar(int id) const {
    const TypedNode& n = epilogue_->typed().node(id);
    if (n.kind == TypedNode::statement) return is_scalar(epilogue_->typed().value(n.id));
    if (n.kind == TypedNode::operand) return n.id > 0 && spec_.epilogue.operands[n.id - 1] == EpilogueAccess::scalar;
    return std::all_of(n.args.begin(), n.args.end(), [&](int a) { return is_scalar(a); });
  }

  /// Evaluates what does not vary within the tile, so that loops need not.
  void hoist_scalars(std::vector<Value>& scalars) {
    std::vector<Value> none;
    for (int n = 0; n < epilogue_->typed().size(); ++n)
      if (is_scalar(n)) node(n, nullptr, operands_, nullptr, nullptr, scalars, scalars);
  }

  Value evaluate(const Value& acc, const std::vector<Value>& rows, const Value& column, const Value& mask,
                 std::vector<Value>& scalars) {
    std::vector<Value> memo = scalars;
    Value v = node(epilogue_->typed().value(epilogue_->output()), acc, rows, column, mask, memo, scalars);
    return widen(v, lanes_);
  }

  Value node(int id, const Value& acc, const std::vector<Value>& rows, const Value& column, const Value& mask,
             std::vector<Value>& memo, std::vector<Value>& scalars) {
    if (memo[id]) return memo[id];
    const TypedNode& n = epilogue_->typed().node(id);
    Value v;
    switch (n.kind) {
      case TypedNode::constant: v = constant(n.type, n.number, n.integer); break;
      case TypedNode::param:
        v = constant(n.type, epilogue_->param(n.id), static_cast<std::int64_t>(epilogue_->param(n.id)));
        break;
      case TypedNode::statement:
        v = node(epilogue_->typed().value(n.id), acc, rows, column, mask, memo, scalars);
        break;
      case TypedNode::operand: v = n.id == 0 ? acc : operand(n, rows, column, mask); break;
      default: {
        std::vector<Value> args;
        std::vector<DType> types;
        for (int a : n.args) {
          args.push_back(node(a, acc, rows, column, mask, memo, scalars));
          types.push_back(epilogue_->typed().node(a).type);
        }
        const TypedNode* e =
            n.kind == TypedNode::call && n.fn == expr::Fn::pow ? &epilogue_->typed().node(n.args[1]) : nullptr;
        double exponent = 0;
        bool known = e && (e->kind == TypedNode::constant || e->kind == TypedNode::param);
        if (known) exponent = e->kind == TypedNode::param ? epilogue_->param(e->id) : e->number;
        v = b_.let("v", emit_call(b_, n, args, types, known ? &exponent : nullptr));
      }
    }
    memo[id] = v;
    // Scalars that happen to be evaluated inside a loop or branch must not be remembered beyond it; hoist_scalars
    // passes memo == scalars, everyone else a copy.
    return v;
  }

  Value operand(const TypedNode& n, const std::vector<Value>& rows, const Value& column, const Value& mask) {
    EpilogueAccess access = spec_.epilogue.operands[n.id - 1];
    Scalar memory = n.type == DType::b8 ? Scalar::i1 : codegen::scalar_of(n.type);
    bool vector = access == EpilogueAccess::per_n || access == EpilogueAccess::per_mn;
    Value bytes = vector ? Builder::binary(Op::mul, column, Builder::i(codegen::bytes_of(memory))) : Builder::i(0);
    Value v = Builder::load({memory, vector ? lanes_ : 1}, rows[n.id - 1], bytes, vector ? mask : nullptr);
    return b_.let("op", from_memory(b_, v, n.type));
  }

  const TileSpec& spec_;
  const ElementSizes size_;
  const Type a_type_;
  int lanes_, vectors_, panel_bytes_;
  Builder b_;
  std::unique_ptr<TypedEpilogue> epilogue_;
  Value a_, b_arg_, k_offset_, a_offset_, starts_, c_rows_, k_, columns_, first_, last_, tiles_, a_step_, panel_step_,
      c_offset_, next_rows_, next_offset_;
  Value full_, begin_, end_, tile_a_, tile_c_;  // of the tile at hand
  std::vector<Value> panel_, a_rows_, operand_args_, operands_, acc_;
};

}  // namespace

codegen::Kernel lower_tile(const TileSpec& spec) {
  PIT_CHECK(spec.rows >= 1 && spec.vectors >= 1 && spec.panels >= 1, "a tile of {} x {} x {}", spec.rows, spec.vectors,
            spec.panels);
  PIT_CHECK(!refuse_algebra(spec.algebra), "a tile over the algebra {}", spec.algebra.name());
  PIT_CHECK(spec.epilogue.program.statements.empty() || spec.epilogue.types == spec.algebra.types,
            "an epilogue of {} behind a tile over {}", spec.epilogue.types.name(), spec.algebra.name());
  try {
    return TileEmitter(spec).run();
  } catch (const Refusal& r) {
    PIT_UNREACHABLE("epilogue '{}': {}", spec.epilogue_key, r.why);
  }
}

std::optional<std::string> refuse_epilogue(const Epilogue& e) {
  if (e.program.statements.empty()) return std::nullopt;
  try {
    TypedEpilogue typed(e);
  } catch (const Refusal& r) {
    return r.why;
  }
  return std::nullopt;
}

TileShape tile_shape(const CpuTarget& target, const Algebra& algebra) {
  const int lanes = target.lanes(static_cast<std::size_t>(algebra.sizes().accumulator));
  TileShape shape = target.vector_bytes == 64 ? TileShape{8, 3, lanes} : TileShape{4, 3, lanes};
  // The second walk of logsumexp holds maxima and sums, and an exponential's temporaries.
  if (!algebra.splits_k()) shape.rows /= 2;
  return shape;
}

}  // namespace pit::lower
