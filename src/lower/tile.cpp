// The register tile. Two shapes of epilogue: a light one (bias, residual, relu) is applied to the accumulators in registers; a
// heavy one (gelu) would be unrolled rows x vectors times, so the accumulators go through C, which is in L1 by then, and
// one loop applies it: a few percent of a percent slower, a tenth of the code.
#include "lower/tile.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

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

constexpr int kHeavy = 14;     // cost of an epilogue (cost_of) from which on it is a loop
constexpr int kUnroll = 2;     // of k
constexpr Type kF32{Scalar::f32, 1};
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
      decl.dtype = inputs == 0 ? DType::f32 : epilogue_.dtypes[inputs - 1];
      input_[t] = inputs++;
    }
    if (inputs != static_cast<int>(epilogue_.operands.size()) + 1) throw Refusal{"an epilogue has more operands than inputs"};
    if (epilogue_.params.size() < program_.params.size()) throw Refusal{"an epilogue's parameter has no value"};
    int outputs = 0;
    for (const expr::Statement& s : program_.statements) {
      if (s.combiner != expr::Combiner::assign) throw Refusal{"an epilogue has a reduction"};
      outputs += program_.tensors[s.out].role == expr::Role::output;
    }
    if (program_.statements.empty() || outputs != 1 || program_.tensors[program_.statements.back().out].role != expr::Role::output)
      throw Refusal{"an epilogue must write one output, last"};
    for (expr::TensorDecl& t : program_.tensors)
      if (t.role == expr::Role::output) t.dtype = DType::f32;
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
      : spec_(s), lanes_(s.target.lanes(4)), width_(s.vectors * lanes_), b_(name()) {
    if (!s.epilogue.program.statements.empty()) epilogue_ = std::make_unique<TypedEpilogue>(s.epilogue);
  }

  codegen::Kernel run() {
    arguments();
    declare_accumulators();
    Value full = b_.let("full", Builder::binary(Op::eq, columns_, Builder::i(width_)));
    b_.branch(Builder::binary(Op::eq, first_, Builder::i(0)), [&] {
      b_.branch(full, [&] { load_accumulators(false); }, [&] { load_accumulators(true); });
    });
    walk_k();
    bool heavy = epilogue_ && epilogue_->cost() >= kHeavy;
    b_.branch(full, [&] { finish(false, heavy); }, [&] { finish(true, heavy); });
    if (heavy)
      b_.branch(Builder::binary(Op::ne, last_, Builder::i(0)), [&] { epilogue_loop(); });
    return b_.finish();
  }

 private:
  std::string name() const {
    std::string key = spec_.epilogue.program.statements.empty() ? "" : "_" + content_hash(spec_.epilogue_key);
    return fmt::format("tile_{}x{}_f32x{}{}{}_{}", spec_.rows, spec_.vectors, lanes_, spec_.indexed_k ? "_index" : "", key,
                       spec_.target.name);
  }

  void arguments() {
    a_ = b_.ptr_arg("a", true);
    panel_ = b_.ptr_arg("b", true);
    if (spec_.indexed_k) k_offset_ = b_.ptr_arg("k_offset", true);
    c_rows_ = b_.ptr_arg("c_rows");
    for (std::size_t i = 0; i < spec_.epilogue.operands.size(); ++i) operands_.push_back(b_.ptr_arg(fmt::format("operand{}", i)));
    k_ = b_.int_arg("k");
    columns_ = b_.int_arg("columns");
    first_ = b_.int_arg("first");
    last_ = b_.int_arg("last");
  }

  void declare_accumulators() {
    for (int i = 0; i < spec_.rows; ++i)
      for (int j = 0; j < spec_.vectors; ++j)
        acc_.push_back(b_.var(fmt::format("acc{}_{}", i, j), Builder::f(0, {Scalar::f32, lanes_})));
  }

  Value row_pointer(const Value& rows, int i) { return b_.let("row", Builder::load(kPtr, rows, Builder::i(8 * i))); }
  std::vector<Value> masks(bool masked) {
    std::vector<Value> m(spec_.vectors);
    if (masked)
      for (int j = 0; j < spec_.vectors; ++j)
        m[j] = b_.let("mask", Builder::lane_mask(Builder::binary(Op::sub, columns_, Builder::i(j * lanes_)), lanes_));
    return m;
  }

  void load_accumulators(bool masked) {
    std::vector<Value> m = masks(masked);
    for (int i = 0; i < spec_.rows; ++i) {
      Value row = row_pointer(c_rows_, i);
      for (int j = 0; j < spec_.vectors; ++j)
        b_.assign(acc_[i * spec_.vectors + j], Builder::load({Scalar::f32, lanes_}, row, Builder::i(4 * j * lanes_), m[j]));
    }
  }

  /// One k: a rank-1 update of the accumulators.
  void step(const Value& a, const Value& row_of_b, int a_bytes) {
    std::vector<Value> bv;
    for (int j = 0; j < spec_.vectors; ++j)
      bv.push_back(b_.let("b", Builder::load({Scalar::f32, lanes_}, row_of_b, Builder::i(4 * j * lanes_))));
    for (int i = 0; i < spec_.rows; ++i) {
      Value x = b_.let("a", Builder::splat(Builder::load(kF32, a, Builder::i(a_bytes + 4 * i)), lanes_));
      for (int j = 0; j < spec_.vectors; ++j) {
        Value& acc = acc_[i * spec_.vectors + j];
        b_.assign(acc, Builder::fma(x, bv[j], acc));
      }
    }
  }

  void steps(const Value& k, int count) {
    Value a = b_.let("ak", Builder::offset(a_, Builder::binary(Op::mul, k, Builder::i(4 * spec_.rows))));
    Value dense = spec_.indexed_k ? nullptr : b_.let("bk", Builder::offset(panel_, Builder::binary(Op::mul, k, Builder::i(4 * width_))));
    for (int u = 0; u < count; ++u) {
      Value row = dense ? Builder::offset(dense, Builder::i(4 * width_ * u)) : indexed_row(k, u);
      step(a, b_.let("brow", row), 4 * spec_.rows * u);
    }
  }

  Value indexed_row(const Value& k, int u) {
    Value index = Builder::load({Scalar::i32, 1}, k_offset_, Builder::binary(Op::mul, Builder::binary(Op::add, k, Builder::i(u)), Builder::i(4)));
    return Builder::offset(panel_, Builder::convert(index, Scalar::i64));
  }

  void walk_k() {
    Value unrolled = b_.let("unrolled", Builder::binary(Op::bit_and, k_, Builder::i(-kUnroll)));
    b_.loop("k", Builder::i(0), unrolled, Builder::i(kUnroll), [&](const Value& k) { steps(k, kUnroll); });
    b_.loop("k", unrolled, k_, Builder::i(1), [&](const Value& k) { steps(k, 1); });
  }

  void finish(bool masked, bool heavy) {
    std::vector<Value> m = masks(masked);
    if (!epilogue_ || heavy) return store_accumulators(m);
    b_.branch(
        Builder::binary(Op::ne, last_, Builder::i(0)),
        [&] {
          std::vector<Value> scalars(epilogue_->typed().size());
          for (int i = 0; i < spec_.rows; ++i) {
            Value row = row_pointer(c_rows_, i);
            std::vector<Value> rows = operand_rows(Builder::i(i));
            for (int j = 0; j < spec_.vectors; ++j) {
              Value v = evaluate(acc_[i * spec_.vectors + j], rows, Builder::i(j * lanes_), m[j], scalars);
              b_.store(row, Builder::i(4 * j * lanes_), v, m[j]);
            }
          }
        },
        [&] { store_accumulators(m); });
  }

  void store_accumulators(const std::vector<Value>& m) {
    for (int i = 0; i < spec_.rows; ++i) {
      Value row = row_pointer(c_rows_, i);
      for (int j = 0; j < spec_.vectors; ++j) b_.store(row, Builder::i(4 * j * lanes_), acc_[i * spec_.vectors + j], m[j]);
    }
  }

  void epilogue_loop() {
    std::vector<Value> scalars(epilogue_->typed().size());
    hoist_scalars(scalars);
    b_.loop("i", Builder::i(0), Builder::i(spec_.rows), Builder::i(1), [&](const Value& i) {
      Value row = b_.let("row", Builder::load(kPtr, c_rows_, Builder::binary(Op::mul, i, Builder::i(8))));
      std::vector<Value> rows = operand_rows(i);
      auto at = [&](const Value& column, const Value& mask) {
        Value bytes = Builder::binary(Op::mul, column, Builder::i(4));
        Value acc = b_.let("acc", Builder::load({Scalar::f32, lanes_}, row, bytes, mask));
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
      if (spec_.epilogue.operands[o] == EpilogueAccess::per_m || spec_.epilogue.operands[o] == EpilogueAccess::per_mn)
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

  Value evaluate(const Value& acc, const std::vector<Value>& rows, const Value& column, const Value& mask, std::vector<Value>& scalars) {
    std::vector<Value> memo = scalars;
    Value v = node(epilogue_->typed().value(epilogue_->output()), acc, rows, column, mask, memo, scalars);
    return widen(v, lanes_);
  }

  Value node(int id, const Value& acc, const std::vector<Value>& rows, const Value& column, const Value& mask, std::vector<Value>& memo,
             std::vector<Value>& scalars) {
    if (memo[id]) return memo[id];
    const TypedNode& n = epilogue_->typed().node(id);
    Value v;
    switch (n.kind) {
      case TypedNode::constant: v = constant(n.type, n.number, n.integer); break;
      case TypedNode::param: v = constant(n.type, epilogue_->param(n.id), static_cast<std::int64_t>(epilogue_->param(n.id))); break;
      case TypedNode::statement: v = node(epilogue_->typed().value(n.id), acc, rows, column, mask, memo, scalars); break;
      case TypedNode::operand: v = n.id == 0 ? acc : operand(n, rows, column, mask); break;
      default: {
        std::vector<Value> args;
        std::vector<DType> types;
        for (int a : n.args) {
          args.push_back(node(a, acc, rows, column, mask, memo, scalars));
          types.push_back(epilogue_->typed().node(a).type);
        }
        const TypedNode* e = n.kind == TypedNode::call && n.fn == expr::Fn::pow ? &epilogue_->typed().node(n.args[1]) : nullptr;
        double exponent = 0;
        bool known = e && (e->kind == TypedNode::constant || e->kind == TypedNode::param);
        if (known) exponent = e->kind == TypedNode::param ? epilogue_->param(e->id) : e->number;
        v = b_.let("v", emit_call(b_, n, args, types, known ? &exponent : nullptr));
      }
    }
    memo[id] = v;
    // Scalars that happen to be evaluated inside a loop or branch must not be remembered beyond it; hoist_scalars passes
    // memo == scalars, everyone else a copy.
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
  int lanes_, width_;
  Builder b_;
  std::unique_ptr<TypedEpilogue> epilogue_;
  Value a_, panel_, k_offset_, c_rows_, k_, columns_, first_, last_;
  std::vector<Value> operands_, acc_;
};

}  // namespace

codegen::Kernel lower_tile(const TileSpec& spec) {
  PIT_CHECK(spec.rows >= 1 && spec.vectors >= 1, "a tile of {} x {}", spec.rows, spec.vectors);
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

TileShape tile_shape(const CpuTarget& target) {
  if (target.vector_bytes == 64) return {8, 3, 16};
  return {6, 2, 8};
}

}  // namespace pit::lower
