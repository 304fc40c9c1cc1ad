// Losses over classes, composed of other operators: what is picked, weighed and summed up.
#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

constexpr int kOpset = 18;  // of the operators used in here

ValueId op(OpBuilder& b, const char* name, std::vector<ValueId> in, Attributes a = {}) {
  return b.sub(name, std::move(in), std::move(a), kOpset);
}

// -weight[t] * X[n,t,...] for the class t of each place; 0 where it is the one that is left out, which need not exist.
ValueId likelihood_loss(OpBuilder& b, ValueId x) {
  const DType t = b.dtype(x);
  const ValueId weight = b.optional_in(2), zero = b.float_constant(0, t);
  if (b.rank(b.in(1)) != b.rank(x) - 1)
    b.fail(fmt::format("classes of rank {} for scores of rank {}", b.rank(b.in(1)), b.rank(x)), b.in(1));
  ValueId target = op(b, "Cast", {b.in(1)}, {{"to", std::int64_t{7}}}), ignored = -1;
  if (b.has_attr("ignore_index")) {
    ignored = op(b, "Equal", {target, b.int_constant({b.int_attr("ignore_index", 0)}, true)});
    target = op(b, "Where", {ignored, b.int_constant({0}, true), target});
  }
  const auto counted = [&](ValueId v) { return ignored < 0 ? v : op(b, "Where", {ignored, zero, v}); };
  const ValueId one = b.int_constant({1});
  const ValueId picked =
      op(b, "Squeeze",
         {op(b, "GatherElements", {x, op(b, "Unsqueeze", {target, one})}, {{"axis", std::int64_t{1}}}), one});
  ValueId w = -1;
  if (weight >= 0) w = counted(op(b, "Gather", {weight, target}));
  ValueId loss = op(b, "Neg", {picked});
  if (w >= 0) loss = op(b, "Mul", {loss, w});
  loss = counted(loss);
  const std::string reduction = b.string_attr("reduction", "mean");
  if (reduction == "none") return loss;
  const Attributes all{{"keepdims", std::int64_t{0}}};
  const ValueId sum = op(b, "ReduceSum", {loss}, all);
  if (reduction == "sum") return sum;
  if (w < 0) w = counted(op(b, "Expand", {b.float_constant(1, t), op(b, "Shape", {target})}));
  return op(b, "Div", {sum, op(b, "ReduceSum", {w}, all)});
}

std::vector<ValueId> negative_log_likelihood(OpBuilder& b) { return {likelihood_loss(b, b.in(0))}; }

std::vector<ValueId> cross_entropy(OpBuilder& b) {
  const ValueId log = op(b, "LogSoftmax", {b.in(0)}, {{"axis", std::int64_t{1}}});
  std::vector<ValueId> r{likelihood_loss(b, log), log};
  r.resize(static_cast<std::size_t>(std::max(1, b.output_count())));
  return r;
}

constexpr Definition kTable[] = {
    {"NegativeLogLikelihoodLoss", "Y[n,p...] = -X[n,T[n,p...],p...] * W[T[n,p...]]", negative_log_likelihood,
     "Y[n] = -X[n,T[n]] * W[T[n]]"},
    {"SoftmaxCrossEntropyLoss", "Z[n,p...] logsumexp= X[n,c,p...]; Y[n,p...] = Z[n,p...] - X[n,T[n,p...],p...]",
     cross_entropy, "Z[n] logsumexp= X[n,c]; Y[n] = Z[n] - X[n,T[n]]"},
};

}  // namespace

std::span<const Definition> loss_definitions() { return kTable; }

}  // namespace pit::graph
