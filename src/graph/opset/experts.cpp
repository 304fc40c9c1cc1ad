// Mixtures of experts. Each expert gets the rows that the router sends to it, and no other: the loop over experts that
// exporters write, so that whatever form a model has, it runs the same way.
#include "graph/numeric.h"
#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

constexpr int kOpset = 18;  // of the operators used in here

ValueId op(OpBuilder& b, const char* name, std::vector<ValueId> in, Attributes a = {}) {
  return b.sub(name, std::move(in), std::move(a), kOpset);
}

std::int64_t constant_extent(OpBuilder& b, ValueId v, int axis) {
  const auto e = b.table().constant_value(b.dims(v)[static_cast<std::size_t>(axis)]);
  if (!e) b.unsupported("the shapes of the experts' weights must be constant", v);
  return *e;
}

// One expert's slice of stacked weights or biases, whose first axis counts experts.
ValueId slice_of(OpBuilder& b, ValueId stack, std::int64_t expert) {
  return op(b, "Gather", {stack, b.int_constant({expert}, true)}, {{"axis", std::int64_t{0}}});
}

// x W^T + bias, as fully connected layers store W.
ValueId connected(OpBuilder& b, ValueId x, ValueId weights, ValueId bias, std::int64_t expert) {
  const ValueId w = op(b, "Transpose", {slice_of(b, weights, expert)}, {{"perm", std::vector<std::int64_t>{1, 0}}});
  const ValueId y = op(b, "MatMul", {x, w});
  return bias < 0 ? y : op(b, "Add", {y, slice_of(b, bias, expert)});
}

ValueId silu(OpBuilder& b, ValueId x, double alpha) {
  const ValueId scaled = alpha == 1 ? x : op(b, "Mul", {x, b.float_constant(alpha, b.dtype(x))});
  return op(b, "Mul", {x, op(b, "Sigmoid", {scaled})});
}

// Columns first, first + step, ... of x.
ValueId columns(OpBuilder& b, ValueId x, std::int64_t first, std::int64_t end, std::int64_t step) {
  return op(b, "Slice",
            {x, b.int_constant({first}), b.int_constant({end}), b.int_constant({1}), b.int_constant({step})});
}

/// The attributes and operands of one node, for all experts.
class Mixture {
 public:
  explicit Mixture(OpBuilder& b)
      : b_(b),
        x_(b.in(0)),
        router_(b.in(1)),
        w1_(b.in(2)),
        b1_(b.optional_in(3)),
        w2_(b.in(4)),
        b2_(b.optional_in(5)),
        w3_(b.optional_in(6)),
        b3_(b.optional_in(7)),
        activation_(b.string_attr("activation_type", "relu")),
        experts_(constant_extent(b, w1_, 0)),
        inner_(constant_extent(b, w2_, 2)) {
    fused_ = activation_ == "swiglu" && w3_ < 0;
    if (fused_ && b.int_attr("swiglu_fusion", 0) == 0)
      b.fail("SwiGLU needs the gate's weights: as operand 6, or fused with the first (attribute swiglu_fusion)");
    const std::int64_t rows = fused_ ? 2 * inner_ : inner_, width = constant_extent(b, w1_, 2);
    expect(w1_, {experts_, rows, width});
    expect(w2_, {experts_, width, inner_});
    expect(w3_, {experts_, inner_, width});
    expect(b1_, {experts_, rows});
    expect(b2_, {experts_, width});
    expect(b3_, {experts_, inner_});
    const std::vector<Dim> x = b.dims(x_);
    b.require_equal(x.back(), b.dim(width), x_);
    b.require_equal(b.dims(router_)[0], b.product(std::span(x).first(x.size() - 1)), router_);
    if (const auto scored = b.table().constant_value(b.dims(router_).back()); scored && *scored != experts_)
      b.fail(fmt::format("the router scores {} experts, but there are weights of {}", *scored, experts_), router_);
    b.require_equal(b.dims(router_).back(), b.dim(experts_), router_);
    if (b.int_attr("k", 1) > experts_)
      b.fail(fmt::format("each token goes to {} experts, but there are {}", b.int_attr("k", 1), experts_), w1_);
    if (w3_ >= 0 && b.int_attr("swiglu_fusion", 0) != 0) b.fail("operand 6 is not used where weights are fused", w3_);
  }

  ValueId operator()() {
    const std::vector<Dim> shape = b_.dims(x_);
    const ValueId tokens = shape.size() == 2 ? x_ : flat(x_);
    const ValueId scores = op(b_, "Softmax", {flat(router_)}, {{"axis", std::int64_t{-1}}});
    const std::vector<ValueId> best =
        b_.sub_n("TopK", {scores, b_.int_constant({b_.int_attr("k", 1)})}, 2, {{"axis", std::int64_t{-1}}}, kOpset);
    ValueId gates = best[0];
    if (b_.int_attr("normalize_routing_weights", 0) != 0)
      gates = op(b_, "Div", {gates, op(b_, "ReduceSum", {gates, b_.int_constant({-1})})});
    Tensor zero(b_.dtype(x_), {1});
    write_double(zero, 0, 0);
    ValueId sum = op(b_, "ConstantOfShape", {op(b_, "Shape", {tokens})}, {{"value", zero}});
    for (std::int64_t e = 0; e < experts_; ++e) sum = add_expert(sum, tokens, gates, best[1], e);
    return shape.size() == 2 ? sum : op(b_, "Reshape", {sum, op(b_, "Shape", {x_})});
  }

 private:
  void expect(ValueId v, const std::vector<std::int64_t>& extents) {
    if (v < 0) return;
    for (std::size_t a = 0; a < extents.size(); ++a)
      if (const std::int64_t have = constant_extent(b_, v, static_cast<int>(a)); have != extents[a])
        b_.fail(fmt::format("dimension {} must be {}, but is {}", a, extents[a], have), v);
  }

  ValueId flat(ValueId v) {
    if (b_.rank(v) == 2) return v;
    return reshaped(b_, v, {b_.table().mul(b_.dims(v)[0], b_.dims(v)[1]), b_.dims(v)[2]});
  }

  ValueId add_expert(ValueId sum, ValueId tokens, ValueId gates, ValueId chosen, std::int64_t e) {
    const ValueId where = op(b_, "NonZero", {op(b_, "Equal", {chosen, b_.int_constant({e}, true)})});
    const ValueId at = op(b_, "Transpose", {where}, {{"perm", std::vector<std::int64_t>{1, 0}}});
    const ValueId row = op(b_, "Gather", {where, b_.int_constant({0}, true)}, {{"axis", std::int64_t{0}}});
    const ValueId gate = op(b_, "Unsqueeze", {op(b_, "GatherND", {gates, at}), b_.int_constant({1})});
    const ValueId y = expert(op(b_, "Gather", {tokens, row}, {{"axis", std::int64_t{0}}}), e);
    return op(b_, "ScatterND", {sum, op(b_, "Unsqueeze", {row, b_.int_constant({1})}), op(b_, "Mul", {y, gate})},
              {{"reduction", std::string("add")}});
  }

  ValueId expert(ValueId x, std::int64_t e) {
    const ValueId h = connected(b_, x, w1_, b1_, e);
    ValueId a = h;
    if (activation_ == "relu") a = op(b_, "Relu", {h});
    if (activation_ == "gelu") a = op(b_, "Gelu", {h}, {{"approximate", std::string("tanh")}});
    if (activation_ == "silu") a = silu(b_, h, 1);
    if (activation_ == "swiglu") return connected(b_, gated(x, h, e), w2_, b2_, e);
    if (w3_ >= 0) a = op(b_, "Mul", {a, connected(b_, x, w3_, b3_, e)});
    return connected(b_, a, w2_, b2_, e);
  }

  // Gate and linear part of SwiGLU: side by side, every other column, or by weights of their own.
  ValueId gated(ValueId x, ValueId h, std::int64_t e) {
    const bool interleaved = b_.int_attr("swiglu_fusion", 0) == 1;
    ValueId gate = h, linear = -1;
    if (fused_ && interleaved) {
      gate = columns(b_, h, 0, 2 * inner_, 2), linear = columns(b_, h, 1, 2 * inner_, 2);
    } else if (fused_) {
      gate = columns(b_, h, 0, inner_, 1), linear = columns(b_, h, inner_, 2 * inner_, 1);
    } else {
      linear = connected(b_, x, w3_, b3_, e);
    }
    const DType t = b_.dtype(x);
    if (b_.has_attr("swiglu_limit")) {
      const double limit = b_.float_attr("swiglu_limit", 0);
      gate = op(b_, "Min", {gate, b_.float_constant(limit, t)});
      linear = op(b_, "Clip", {linear, b_.float_constant(-limit, t), b_.float_constant(limit, t)});
    }
    if (const double beta = b_.float_attr("activation_beta", 0); beta != 0)
      linear = op(b_, "Add", {linear, b_.float_constant(beta, t)});
    return op(b_, "Mul", {silu(b_, gate, b_.float_attr("activation_alpha", 1)), linear});
  }

  OpBuilder& b_;
  ValueId x_, router_, w1_, b1_, w2_, b2_, w3_, b3_;
  std::string activation_;
  std::int64_t experts_, inner_;
  bool fused_ = false;  ///< the gate's weights lie in w1
};

std::vector<ValueId> mixture(OpBuilder& b) { return {Mixture(b)()}; }

// The example shows one expert; the library composes the operator from others.
constexpr Definition kTable[] = {
    {"com.microsoft.MoE",
     "sum over the k best experts e of softmax(R)[e] * (act(X . W1[e]^T + B1[e]) . W2[e]^T + B2[e])", mixture,
     "H[t,f] += X[t,d] * A[f,d]; G[t,f] = max(H[t,f] + B[f], 0.0); Y[t,d] += G[t,f] * C[d,f]; Z[t,d] = Y[t,d] * P[t]"},
};

}  // namespace

std::span<const Definition> experts_definitions() { return kTable; }

}  // namespace pit::graph
