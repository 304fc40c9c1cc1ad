#include <cctype>
#include <fmt/format.h>

#include "lower/rows_emit.h"
#include "support/check.h"
#include "support/files.h"

namespace pit::lower {

using codegen::Builder;
using codegen::Op;
using codegen::Scalar;
using codegen::Type;
using codegen::Value;

namespace {

constexpr Type kI64{Scalar::i64, 1};

Scalar memory_scalar(DType t) { return t == DType::b8 ? Scalar::i1 : codegen::scalar_of(t); }
Value add(const Value& a, const Value& b) { return Builder::binary(Op::add, a, b); }
Value mul(const Value& a, const Value& b) { return Builder::binary(Op::mul, a, b); }

}  // namespace

std::string kernel_name(const RowSpec& spec) {
  std::string key = expr::print(spec.program);
  for (const expr::TensorDecl& t : spec.program.tensors)
    key += fmt::format(";{}:{}:{}", t.name, static_cast<int>(t.role), t.dtype ? name_of(*t.dtype) : "?");
  for (AxisRole r : spec.roles) key += fmt::format(",{}", static_cast<int>(r));
  for (const Operand& o : spec.operands) key += fmt::format(",{}", static_cast<int>(o.inner));
  for (int a : spec.absorbing) key += fmt::format(",a{}", a);
  if (spec.lists_of_rows) key += ",lists";
  std::string prefix;
  for (unsigned char c : spec.name) prefix += std::isalnum(c) || c == '_' || c == '.' ? static_cast<char>(c) : '_';
  return fmt::format("rows_{}_{}_{}", prefix, content_hash(key), spec.target.name);
}

void RowEmitter::find_used() {
  used_operand_.assign(spec_.operands.size(), 0);
  used_node_.assign(typed_.size(), 0);
  std::vector<int> todo;
  for (std::size_t s = 0; s < plan_.statements.size(); ++s) {
    if (plan_.statements[s].operand >= 0) used_operand_[plan_.statements[s].operand] = 1;
    todo.push_back(typed_.value(static_cast<int>(s)));
  }
  while (!todo.empty()) {
    int n = todo.back();
    todo.pop_back();
    if (used_node_[n]) continue;
    used_node_[n] = 1;
    if (typed_.node(n).kind == TypedNode::operand) used_operand_[typed_.node(n).id] = 1;
    todo.insert(todo.end(), typed_.node(n).args.begin(), typed_.node(n).args.end());
  }
}

void RowEmitter::arguments() {
  find_used();
  row_index_ = b_.ptr_arg("row_index");
  out_.has_mid = plan_.mid >= 0;
  if (out_.has_mid) mid_index_ = b_.ptr_arg("mid_index");
  out_.lists_of_rows = out_.has_mid && spec_.lists_of_rows;
  if (out_.lists_of_rows) mid_offset_ = b_.ptr_arg("mid_offset");
  for (std::size_t o = 0; o < spec_.operands.size(); ++o) operands_.push_back(b_.ptr_arg(fmt::format("operand{}", o)));
  out_.scratch_rows = plan_.scratch_rows;
  if (out_.scratch_rows > 0) scratch_ = b_.ptr_arg("scratch");
  declare_slots();
}

Value RowEmitter::slot(Slot::Kind kind, int a, int b, bool as_double) {
  static constexpr const char* names[] = {"row_count",  "inner_extent", "mid_count",       "row_stride",
                                          "mid_stride", "inner_stride", "lookup_extent",   "lookup_stride",
                                          "param",      "extent",       "coordinate_base", "coordinate_step"};
  auto [it, fresh] = slots_.emplace(std::vector<int>{kind, a, b, as_double}, nullptr);
  if (fresh) {
    it->second = b_.int_arg(fmt::format("{}_{}_{}{}", names[kind], a, b, as_double ? "f" : ""));
    out_.ints.push_back({kind, a, b, as_double});
  }
  return it->second;
}

void RowEmitter::declare_slots() {
  slot(Slot::row_count);
  if (plan_.inner >= 0) slot(Slot::inner_extent);
  if (plan_.mid >= 0 && !out_.lists_of_rows) slot(Slot::mid_count);
  for (int o = 0; o < static_cast<int>(spec_.operands.size()); ++o) {
    if (!used_operand_[o]) continue;
    if (plan_.moves_with_row(o)) slot(Slot::row_stride, o);
    if (plan_.operand_varies(o) & kMid) slot(Slot::mid_stride, o);
    if (spec_.operands[o].inner == InnerAccess::strided) slot(Slot::inner_stride, o);
  }
  for (int id = 0; id < typed_.size(); ++id) {
    if (!used_node_[id]) continue;
    const TypedNode& n = typed_.node(id);
    for (int d : n.dims) slot(Slot::lookup_extent, n.id, d), slot(Slot::lookup_stride, n.id, d);
    if (n.kind == TypedNode::param) slot(Slot::param, n.id, 0, n.type != DType::i64);
    if (n.kind == TypedNode::extent) slot(Slot::extent, n.id);
    if (n.kind == TypedNode::axis && n.varies == kRow)
      slot(Slot::coordinate_base, n.id), slot(Slot::coordinate_step, n.id);
  }
}

void RowEmitter::kernel_values() {
  for (int id = 0; id < typed_.size(); ++id) {
    if (!used_node_[id]) continue;
    const TypedNode& n = typed_.node(id);
    if (n.kind == TypedNode::extent) kernel_values_[id] = slot(Slot::extent, n.id);
    if (n.kind != TypedNode::param) continue;
    Value v = slot(Slot::param, n.id, 0, n.type != DType::i64);
    if (n.type != DType::i64)
      v = b_.let("param", Builder::convert(Builder::bitcast(v, {Scalar::f64, 1}), register_scalar(n.type)));
    kernel_values_[id] = v;
  }
  if (plan_.inner < 0) return;
  extent_ = slot(Slot::inner_extent);
  whole_ = b_.let("whole", Builder::binary(Op::bit_and, extent_, Builder::i(-lanes_)));
  unrolled_ = b_.let("unrolled", Builder::binary(Op::bit_and, extent_, Builder::i(-4 * lanes_)));
  if (out_.scratch_rows > 0)
    scratch_pitch_ = b_.let(
        "pitch", mul(Builder::binary(Op::bit_and, add(extent_, Builder::i(63)), Builder::i(-64)), Builder::i(8)));
}

Value RowEmitter::row_base(int operand) {
  Value& base = row_base_[operand];
  if (!base) {
    PIT_CHECK(scopes_.size() == 1, "the address of operand {} was not hoisted out of its loop", operand);
    base = operands_[operand];
    if (plan_.moves_with_row(operand))
      base = b_.let("base", Builder::offset(base, mul(row_, slot(Slot::row_stride, operand))));
  }
  return base;
}

unsigned RowEmitter::pointer_varies(const TypedNode& n) const {
  unsigned v = plan_.operand_varies(n.id) & kMid;
  for (int a : n.args)
    if (!(typed_.node(a).varies & kInner)) v |= typed_.node(a).varies;
  return v;
}

Value RowEmitter::pointer(int node) {
  if (Value* known = find(~node)) return *known;
  const TypedNode& n = typed_.node(node);
  Value p = row_base(n.id);
  if (plan_.operand_varies(n.id) & kMid) p = Builder::offset(p, mul(mid_, slot(Slot::mid_stride, n.id)));
  for (std::size_t i = 0; i < n.args.size(); ++i)
    if (!(typed_.node(n.args[i]).varies & kInner)) p = Builder::offset(p, lookup_offset(n, i));
  p = b_.let("p", p);
  remember(~node, p);
  return p;
}

Value RowEmitter::lookup_offset(const TypedNode& n, std::size_t i) {
  // The index is clamped: a wrong id is the caller's mistake, which the driver reports; it must not read outside.
  Value extent = slot(Slot::lookup_extent, n.id, n.dims[i]);
  Value v = eval(n.args[i]), zero = Builder::i(0);
  if (n.from_end[i]) v = b_.let("index", Builder::select(Builder::binary(Op::lt, v, zero), add(v, extent), v));
  v = Builder::binary(Op::max, Builder::binary(Op::min, v, Builder::binary(Op::sub, extent, Builder::i(1))), zero);
  return mul(v, slot(Slot::lookup_stride, n.id, n.dims[i]));
}

/// Byte offsets of a vector of an operand along inner: `contiguous` with a scalar offset `at`, or else a vector of
/// offsets (null: the same element for all lanes) beside `at`.
Value RowEmitter::inner_offsets(int operand, const Value&, bool& contiguous, Value& at) {
  const Operand& o = spec_.operands[operand];
  int size = codegen::bytes_of(memory_scalar(o.dtype));
  contiguous = o.inner == InnerAccess::unit;
  at = Builder::i(0);
  if (o.inner == InnerAccess::broadcast) return nullptr;
  Value stride = contiguous ? Builder::i(size) : slot(Slot::inner_stride, operand);
  at = mul(inner_, stride);
  return mul(Builder::iota({Scalar::i64, lanes_}), stride);
}

Value RowEmitter::load_operand(int node) {
  const TypedNode& n = typed_.node(node);
  Scalar memory = memory_scalar(n.type);
  Value p = pointer(node);
  if (!(n.varies & kInner)) return from_memory(b_, Builder::load({memory, 1}, p, Builder::i(0)), n.type);
  bool contiguous;
  Value at, offsets = inner_offsets(n.id, p, contiguous, at);
  bool looked_up = false;
  for (std::size_t i = 0; i < n.args.size(); ++i) {
    if (!(typed_.node(n.args[i]).varies & kInner)) continue;
    Value o = lookup_offset(n, i);
    offsets = offsets ? add(offsets, o) : o;
    looked_up = true;
  }
  Value v = contiguous && !looked_up ? Builder::load({memory, lanes_}, p, at, mask_)
                                     : Builder::gather({memory, lanes_}, Builder::offset(p, at), offsets, mask_);
  return from_memory(b_, v, n.type);
}

Value RowEmitter::scratch_row(int statement) {
  Value& base = row_base_[~statement];
  if (!base) {
    PIT_CHECK(scopes_.size() == 1, "the address of a scratch row was not hoisted out of its loop");
    base = b_.let("scratch",
                  Builder::offset(scratch_, mul(scratch_pitch_, Builder::i(plan_.statements[statement].scratch))));
  }
  return base;
}

Value RowEmitter::load_place(int statement) {
  const RowStatement& s = plan_.statements[statement];
  Type t{memory_scalar(s.type), lanes_};
  if (s.scratch >= 0)
    return from_memory(
        b_, Builder::load(t, scratch_row(statement), mul(inner_, Builder::i(codegen::bytes_of(t.scalar))), mask_),
        s.type);
  bool contiguous;
  Value p = row_base(s.operand), at, offsets = inner_offsets(s.operand, p, contiguous, at);
  Value v = contiguous ? Builder::load(t, p, at, mask_) : Builder::gather(t, Builder::offset(p, at), offsets, mask_);
  return from_memory(b_, v, s.type);
}

void RowEmitter::store_place(int statement, const Value& v) {
  const RowStatement& s = plan_.statements[statement];
  Value stored = to_memory(widen(v, lanes_), s.type);
  if (s.scratch >= 0) {
    int size = codegen::bytes_of(memory_scalar(s.type));
    return b_.store(scratch_row(statement), mul(inner_, Builder::i(size)), stored, mask_);
  }
  bool contiguous;
  Value p = row_base(s.operand), at, offsets = inner_offsets(s.operand, p, contiguous, at);
  if (contiguous) b_.store(p, at, stored, mask_);
  else b_.scatter(Builder::offset(p, at), offsets, stored, mask_);
}

}  // namespace pit::lower
