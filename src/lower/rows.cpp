#include "lower/rows.h"

#include <algorithm>

#include "lower/rows_emit.h"
#include "support/check.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Value;

namespace {

constexpr int kCopies = 4;       // of a loop's body, and accumulators of an inner reduction
constexpr int kBlock = 16;       // terms that an accumulator takes before it is added to the reduction's total
constexpr int kUnrollBelow = 8;  // loops without reductions: bodies cheaper than this are unrolled

Value add(const Value& a, const Value& b) { return Builder::binary(Op::add, a, b); }

}  // namespace

RowEmitter::RowEmitter(const RowSpec& spec, const RowPlan& plan)
    : spec_(spec), plan_(plan), typed_(*plan.typed), b_(kernel_name(spec)), lanes_(spec.target.lanes(4)) {}

RowKernel RowEmitter::run() {
  arguments();
  kernel_values();
  b_.loop("p", Builder::i(0), slot(Slot::row_count), Builder::i(1), [&](const Value& p) {
    Value index = Builder::load({Scalar::i32, 1}, row_index_, Builder::binary(Op::mul, p, Builder::i(4)));
    row_ = b_.let("r", Builder::convert(index, Scalar::i64));
    row();
  });
  out_.kernel = b_.finish();
  return std::move(out_);
}

void RowEmitter::row() {
  scopes_.assign(1, {});
  row_base_.clear();
  scalar_.assign(plan_.statements.size(), nullptr);
  if (out_.lists_of_rows) {
    const Value at = Builder::offset(mid_offset_, Builder::binary(Op::mul, row_, Builder::i(8)));
    const Value begin = b_.let("begin", Builder::load({Scalar::i64, 1}, at, Builder::i(0)));
    row_count_ = b_.let("count", Builder::binary(Op::sub, Builder::load({Scalar::i64, 1}, at, Builder::i(8)), begin));
    row_list_ = b_.let("list", Builder::offset(mid_index_, Builder::binary(Op::mul, begin, Builder::i(4))));
  }
  for (stage_ = 0; stage_ < plan_.stages; ++stage_) {
    scalars(stage_);
    inner_stage(stage_);
    in_mid_ = true;
    mid_stage(stage_);
    in_mid_ = false;
  }
}

std::vector<int> RowEmitter::of_stage(int stage, std::initializer_list<RowStatement::Kind> kinds) const {
  std::vector<int> found;
  for (int s = 0; s < static_cast<int>(plan_.statements.size()); ++s)
    if (plan_.statements[s].stage == stage &&
        std::find(kinds.begin(), kinds.end(), plan_.statements[s].kind) != kinds.end())
      found.push_back(s);
  return found;
}

void RowEmitter::finish_scalar(int statement, const Value& v) {
  const RowStatement& s = plan_.statements[statement];
  Value stored = to_memory(v, s.type);
  if (s.operand >= 0) b_.store(row_base(s.operand), Builder::i(0), stored);
  scalar_[statement] = s.type == DType::f16 ? b_.let("half", from_memory(b_, stored, s.type)) : b_.let("s", v);
}

void RowEmitter::scalars(int stage) {
  for (int s : of_stage(stage, {RowStatement::scalar})) finish_scalar(s, eval(typed_.value(s)));
}

/// body(copy) for a vector of the inner axis.
template <class F>
void RowEmitter::at_vector(const Value& first, int copy, F&& body) {
  scopes_.emplace_back();
  inner_ = first;
  body(copy);
  scopes_.pop_back();
}

/// body(copy) over [from, to) of the inner axis in vectors, `unroll` at a time.
template <class F>
void RowEmitter::over_vectors(const Value& from, const Value& to, int unroll, F&& body) {
  b_.loop("c", from, to, Builder::i(unroll * lanes_), [&](const Value& c) {
    for (int u = 0; u < unroll; ++u) at_vector(add(c, Builder::i(u * lanes_)), u, body);
  });
}

/// The vectors of the inner axis from `done` on one by one, then a masked one.
template <class F>
void RowEmitter::rest_of_inner(const Value& done, F&& body) {
  over_vectors(done, whole_, 1, body);
  b_.branch(Builder::binary(Op::lt, whole_, extent_), [&] {
    mask_ = b_.let("mask", Builder::lane_mask(Builder::binary(Op::sub, extent_, whole_), lanes_));
    at_vector(whole_, 0, body);
    mask_ = nullptr;
  });
}

/// body(copy) over the inner axis: `unroll` copies at a time, then one, then a masked one.
template <class F>
void RowEmitter::over_inner(int unroll, F&& body) {
  if (unroll > 1) over_vectors(Builder::i(0), unrolled_, unroll, body);
  rest_of_inner(unroll > 1 ? unrolled_ : Builder::i(0), body);
}

/// Rough cost per vector of what a loop of the current stage evaluates; counted up to `most` (statements share
/// operands, so that a walk of all of them has no end).
int RowEmitter::loop_cost(int node, int most) const {
  const TypedNode& n = typed_.node(node);
  if (!(n.varies & kInner)) return 0;
  if (n.kind == TypedNode::statement)
    return plan_.evaluated_in(n.id, stage_, in_mid_) ? loop_cost(typed_.value(n.id), most) : 1;
  int sum = cost_of(n);
  for (int a : n.args)
    if (sum < most) sum += loop_cost(a, most - sum);
  return sum;
}

void RowEmitter::inner_stage(int stage) {
  std::vector<int> statements = of_stage(stage, {RowStatement::vector, RowStatement::reduce}), reductions;
  bool any = false;
  int cost = 0;
  for (int s : statements) {
    const RowStatement& st = plan_.statements[s];
    if (st.kind == RowStatement::vector && st.operand < 0 && st.scratch < 0) continue;  // evaluated where it is read
    any = true;
    cost += loop_cost(typed_.value(s), kUnrollBelow);
    if (st.kind == RowStatement::reduce) reductions.push_back(s);
    hoist_statement(s, kRow);
  }
  if (!any) return;
  std::vector<Accumulators> acc(plan_.statements.size());
  const auto body = [&](int copy) {
    for (int s : statements) {
      const RowStatement& st = plan_.statements[s];
      if (st.kind == RowStatement::reduce) accumulate(st, acc[s][copy], eval(typed_.value(s)));
      else if (st.operand >= 0 || st.scratch >= 0) store_place(s, rounded(s));
    }
  };
  if (reductions.empty()) return over_inner(cost < kUnrollBelow ? kCopies : 1, body);
  reduce_inner(reductions, acc, body);
  for (int s : reductions) finish_scalar(s, folded(plan_.statements[s], acc[s]));
}

/// In blocks, whose sums are summed up: chains stay short however long the row is, for a chain loses digits with its
/// length. `acc` is left with the totals.
template <class F>
void RowEmitter::reduce_inner(const std::vector<int>& reductions, std::vector<Accumulators>& acc, F&& body) {
  std::vector<Accumulators> totals(acc.size());
  for (int s : reductions) totals[s] = declare_accumulators(plan_.statements[s], 1, lanes_);
  for (int s : reductions) acc[s] = declare_accumulators(plan_.statements[s], kCopies, lanes_);
  const Value block = Builder::i(kBlock * kCopies * lanes_);
  b_.loop("block", Builder::i(0), unrolled_, block, [&](const Value& first) {
    for (int s : reductions)
      for (const Value& a : acc[s])
        b_.assign(a, widen(identity_of(plan_.statements[s].combiner, plan_.statements[s].type), lanes_));
    over_vectors(first, b_.let("end", Builder::binary(Op::min, add(first, block), unrolled_)), kCopies, body);
    for (int s : reductions)
      b_.assign(totals[s][0], combine(plan_.statements[s].combiner, totals[s][0], joined(plan_.statements[s], acc[s])));
  });
  acc = std::move(totals);
  rest_of_inner(unrolled_, body);
}

// -- Reductions
// ----------------------------------------------------------------------------------------------------------

RowEmitter::Accumulators RowEmitter::declare_accumulators(const RowStatement& s, int copies, int lanes) {
  Accumulators acc;
  for (int u = 0; u < copies; ++u) acc.push_back(b_.var("acc", widen(identity_of(s.combiner, s.type), lanes)));
  return acc;
}

void RowEmitter::accumulate(const RowStatement& s, const Value& acc, const Value& v) {
  Value next = combine(s.combiner, acc, widen(v, acc->type.lanes));
  b_.assign(acc, mask_ && acc->type.lanes > 1 ? Builder::select(mask_, next, acc) : next);
}

/// (a0+a1)+(a2+a3)
Value RowEmitter::joined(const RowStatement& s, Accumulators acc) {
  for (std::size_t n = acc.size(); n > 1; n /= 2)
    for (std::size_t i = 0; i < n / 2; ++i) acc[i] = b_.let("fold", combine(s.combiner, acc[2 * i], acc[2 * i + 1]));
  return acc[0];
}

/// Accumulators, then lanes.
Value RowEmitter::folded(const RowStatement& s, Accumulators acc) {
  return fold(s.combiner, joined(s, std::move(acc)));
}

// -- The mid axis
// --------------------------------------------------------------------------------------------------------

template <class F>
void RowEmitter::over_mid(F&& body) {
  const Value count = out_.lists_of_rows ? row_count_ : slot(Slot::mid_count),
              list = out_.lists_of_rows ? row_list_ : mid_index_;
  b_.loop("q", Builder::i(0), count, Builder::i(1), [&](const Value& q) {
    Value index = Builder::load({Scalar::i32, 1}, list, Builder::binary(Op::mul, q, Builder::i(4)));
    mid_ = b_.let("m", Builder::convert(index, Scalar::i64));
    scopes_.emplace_back();
    body();
    scopes_.pop_back();
    mid_ = nullptr;
  });
}

void RowEmitter::mid_stage(int stage) {
  std::vector<int> rows = of_stage(stage, {RowStatement::mid_scalar, RowStatement::mid_reduce});
  std::vector<int> vectors = of_stage(stage, {RowStatement::mid_vector});
  for (int s : rows) hoist_statement(s, kRow);
  for (int s : vectors) hoist_statement(s, kRow);
  if (!rows.empty()) mid_rows(rows);
  if (!vectors.empty()) mid_vectors(vectors);
}

void RowEmitter::mid_rows(const std::vector<int>& statements) {
  std::vector<Accumulators> acc(plan_.statements.size());
  bool inner = false;
  for (int s : statements) {
    bool scalar = plan_.statements[s].kind == RowStatement::mid_scalar;
    inner |= !scalar;
    acc[s] = declare_accumulators(plan_.statements[s], scalar ? 1 : kCopies, scalar ? 1 : lanes_);
  }
  over_mid([&] {
    for (int s : statements) {
      hoist(typed_.value(s), kMid);
      if (plan_.statements[s].kind == RowStatement::mid_scalar)
        accumulate(plan_.statements[s], acc[s][0], eval(typed_.value(s)));
    }
    if (!inner) return;
    over_inner(kCopies, [&](int copy) {
      for (int s : statements)
        if (plan_.statements[s].kind == RowStatement::mid_reduce)
          accumulate(plan_.statements[s], acc[s][copy], eval(typed_.value(s)));
    });
  });
  for (int s : statements) finish_scalar(s, folded(plan_.statements[s], acc[s]));
}

/// Blocks of the inner axis outside, so that the accumulators stay in registers for the whole of the mid axis.
void RowEmitter::mid_vectors(const std::vector<int>& statements) {
  b_.loop("c", Builder::i(0), unrolled_, Builder::i(kCopies * lanes_),
          [&](const Value& c) { mid_block(statements, kCopies, c, nullptr); });
  b_.loop("c", unrolled_, whole_, Builder::i(lanes_), [&](const Value& c) { mid_block(statements, 1, c, nullptr); });
  b_.branch(Builder::binary(Op::lt, whole_, extent_), [&] {
    mid_block(statements, 1, whole_,
              b_.let("mask", Builder::lane_mask(Builder::binary(Op::sub, extent_, whole_), lanes_)));
  });
}

void RowEmitter::mid_block(const std::vector<int>& statements, int copies, const Value& c, const Value& mask) {
  std::vector<Accumulators> acc(plan_.statements.size());
  for (int s : statements) acc[s] = declare_accumulators(plan_.statements[s], copies, lanes_);
  mask_ = mask;
  scopes_.emplace_back();
  over_mid([&] {
    for (int s : statements) hoist(typed_.value(s), kMid);
    for (int u = 0; u < copies; ++u) {
      scopes_.emplace_back();
      inner_ = add(c, Builder::i(u * lanes_));
      for (int s : statements) accumulate(plan_.statements[s], acc[s][u], eval(typed_.value(s)));
      scopes_.pop_back();
    }
  });
  for (int s : statements)
    for (int u = 0; u < copies; ++u) {
      inner_ = add(c, Builder::i(u * lanes_));
      if (plan_.statements[s].operand >= 0 || plan_.statements[s].scratch >= 0) store_place(s, acc[s][u]);
    }
  scopes_.pop_back();
  mask_ = nullptr;
}

std::optional<std::string> refuse_rows(const RowSpec& spec) {
  try {
    plan_rows(spec);
  } catch (const Refusal& r) {
    return r.why;
  }
  return std::nullopt;
}

RowKernel lower_rows(const RowSpec& spec) {
  try {
    std::unique_ptr<RowPlan> plan = plan_rows(spec);
    return RowEmitter(spec, *plan).run();
  } catch (const Refusal& r) {
    PIT_UNREACHABLE("row kernel {}: {}", spec.name, r.why);
  }
}

}  // namespace pit::lower
