#include "lower/rows_emit.h"
#include "support/check.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Value;

Value* RowEmitter::find(int key) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
    if (auto it = scope->find(key); it != scope->end()) return &it->second;
  return nullptr;
}

Value RowEmitter::eval(int node) {
  if (Value* known = find(node)) return *known;
  if (auto it = kernel_values_.find(node); it != kernel_values_.end()) return it->second;
  const TypedNode& n = typed_.node(node);
  Value v = n.kind == TypedNode::operand ? load_operand(node) : compute(n);
  v = b_.let("v", v);
  remember(node, v);
  return v;
}

Value RowEmitter::compute(const TypedNode& n) {
  switch (n.kind) {
    case TypedNode::constant: return constant(n.type, n.number, n.integer);
    case TypedNode::statement: return statement_value(n.id);
    case TypedNode::axis: {
      if (n.varies & kInner) return Builder::binary(Op::add, Builder::iota({Scalar::i64, lanes_}), inner_);
      if (n.varies & kMid) return mid_;
      Value step = slot(Slot::coordinate_step, n.id);
      return Builder::binary(Op::add, slot(Slot::coordinate_base, n.id), Builder::binary(Op::mul, row_, step));
    }
    case TypedNode::call:
    case TypedNode::absorbing_add: break;
    default: PIT_UNREACHABLE("a node of kind {} in a row kernel", static_cast<int>(n.kind));
  }
  std::vector<Value> args;
  std::vector<DType> types;
  for (int a : n.args) {
    args.push_back(eval(a));
    types.push_back(typed_.node(a).type);
  }
  bool known = n.kind == TypedNode::call && n.fn == expr::Fn::pow && typed_.node(n.args[1]).kind == TypedNode::constant;
  return emit_call(b_, n, args, types, known ? &typed_.node(n.args[1]).number : nullptr);
}

Value RowEmitter::rounded(int statement) {
  Value v = eval(typed_.value(statement));
  if (plan_.statements[statement].type != DType::f16) return v;
  return b_.let("half", Builder::convert(Builder::convert(v, Scalar::f16), Scalar::f32));
}

Value RowEmitter::statement_value(int statement) {
  const RowStatement& s = plan_.statements[statement];
  if (!s.is_vector()) {
    PIT_CHECK(scalar_[statement] != nullptr, "statement {} is read before its stage", statement);
    return scalar_[statement];
  }
  return plan_.evaluated_in(statement, stage_, in_mid_) ? rounded(statement) : load_place(statement);
}

/// Evaluates in the current scope whatever below `node` varies with nothing beyond `allowed`, and the addresses of the
/// rest: so that nothing is computed in a loop that could stand before it.
void RowEmitter::hoist(int node, unsigned allowed) {
  std::unordered_set<int> seen;
  hoist(node, allowed, seen);
}

void RowEmitter::hoist_statement(int statement, unsigned allowed) {
  std::unordered_set<int> seen;
  hoist_statement(statement, allowed, seen);
}

void RowEmitter::hoist(int node, unsigned allowed, std::unordered_set<int>& seen) {
  if (!seen.insert(node).second) return;
  const TypedNode& n = typed_.node(node);
  if (n.kind == TypedNode::constant || n.kind == TypedNode::param || n.kind == TypedNode::extent) return;
  if ((n.varies & ~allowed) == 0) {
    eval(node);
    return;
  }
  if (n.kind == TypedNode::statement) {
    if (plan_.evaluated_in(n.id, stage_, in_mid_)) hoist_statement(n.id, allowed, seen);
    return;
  }
  for (int a : n.args) hoist(a, allowed, seen);
  if (n.kind != TypedNode::operand) return;
  if (scopes_.size() == 1) row_base(n.id);
  if ((pointer_varies(n) & ~allowed) == 0) pointer(node);
}

void RowEmitter::hoist_statement(int statement, unsigned allowed, std::unordered_set<int>& seen) {
  hoist(typed_.value(statement), allowed, seen);
  const RowStatement& s = plan_.statements[statement];
  if (scopes_.size() > 1) return;
  if (s.operand >= 0) row_base(s.operand);
  if (s.scratch >= 0) scratch_row(statement);
}

}  // namespace pit::lower
