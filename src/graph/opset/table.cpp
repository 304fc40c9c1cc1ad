// The op set: all tables of this folder in one, and how it is asked.
#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "graph/opset/half.h"
#include "pit/error.h"

namespace pit::graph {
namespace {

constexpr int kNewestOpset = 28, kOldestOpset = 6;

using Table = std::unordered_map<std::string_view, const Definition*>;

const Table& table() {
  static const Table all = [] {
    Table t;
    for (const auto& part :
         {elementwise_definitions(), reduction_definitions(), contraction_definitions(), normalization_definitions(),
          layout_definitions(), indexing_definitions(), generator_definitions(), window_definitions(),
          composite_definitions(), experts_definitions(), loss_definitions(), sampling_definitions()}) {
      for (const Definition& d : part) t.emplace(d.op, &d);
    }
    return t;
  }();
  return all;
}

std::vector<ValueId> bind(OpBuilder& b, const Definition& d) {
  std::vector<ValueId> r;
  if (auto known = evaluate_known(b)) {
    r = std::move(*known);
  } else {
    b.forget_reads();
    r = d.bind(b);
  }
  if (const int i = b.unread_input(); i >= 0)
    b.unsupported(fmt::format("operand {} is not supported in opset {}", i, b.call.opset),
                  b.call.inputs[static_cast<std::size_t>(i)]);
  return r;
}

void check_limits(const OpBuilder& b, const std::vector<ValueId>& results) {
  for (const ValueId v : results)
    if (v >= 0)
      if (const auto what = beyond_limits(b.g, b.dims(v))) b.fail("the result has " + *what, v);
}

}  // namespace

std::optional<std::string> beyond_limits(const Graph& g, const std::vector<Dim>& dims) {
  if (dims.size() > static_cast<std::size_t>(g.limits.rank))
    return fmt::format("rank {}, more than the limit 'rank' of {}", dims.size(), g.limits.rank);
  std::int64_t elements = 1;
  bool over = false;
  for (const Dim d : dims) {
    const std::int64_t e = g.dims.constant_value(d).value_or(1);
    if (e > 0) over = over || __builtin_mul_overflow(elements, e, &elements);  // also beside an extent of 0
  }
  if (!over && elements <= g.limits.elements) return std::nullopt;
  return fmt::format("{} elements, more than the limit 'elements' of {}",
                     over ? "2^63 or more" : std::to_string(elements), g.limits.elements);
}

bool has_operator(std::string_view op) { return table().count(op) != 0; }
int newest_opset() { return kNewestOpset; }

std::vector<ValueId> add_operator(Graph& g, const OpCall& call) {
  const auto it = table().find(call.op);
  const std::string who = call.name.empty() ? call.op : fmt::format("{} '{}'", call.op, call.name);
  if (it == table().end()) {
    throw UnsupportedError(
        fmt::format("{}: the operator {} is not supported; 'pit ops' lists those that are", who, call.op), who);
  }
  if (call.opset > kNewestOpset || call.opset < kOldestOpset) {
    throw UnsupportedError(
        fmt::format("{}: opset {} is not supported; {} to {} are", who, call.opset, kOldestOpset, kNewestOpset), who);
  }
  const Definition& d = *it->second;
  OpBuilder b(g, call, d.text);
  check_constraints(b);
  std::vector<ValueId> r = computes_with_halves(g, call)
                               ? add_widened(g, call, d.text, [&](OpBuilder& wide) { return bind(wide, d); })
                               : bind(b, d);
  check_limits(b, r);
  r.resize(static_cast<std::size_t>(std::max(1, b.output_count())), -1);
  for (std::size_t i = 0; i < r.size(); ++i) {
    if (b.wants(static_cast<int>(i)) && r[i] < 0)
      b.unsupported(fmt::format("output {} ('{}') is not supported", i, call.output_names[i]));
  }
  return r;
}

std::vector<OpEntry> op_entries() {
  std::vector<OpEntry> r;
  for (const auto& [op, d] : table()) {
    OpEntry e;
    e.op = std::string(op);
    e.expression = std::string(alternative(d->text, 0));
    std::tie(e.operands, e.attributes) = constraints_of(op);
    if (d->opaque != nullptr) {
      e.opaque = d->opaque;
    } else {
      const std::string text = d->example != nullptr ? std::string(d->example) : example_of(alternative(d->text, 0));
      e.example = expr::parse(text);
    }
    r.push_back(std::move(e));
  }
  std::sort(r.begin(), r.end(), [](const OpEntry& a, const OpEntry& b) { return a.op < b.op; });
  return r;
}

std::optional<DType> dtype_of_onnx(std::int64_t code) {
  switch (code) {
    case 1: return DType::f32;
    case 2: return DType::u8;
    case 3: return DType::i8;
    case 6: return DType::i32;
    case 7: return DType::i64;
    case 9: return DType::b8;
    case 10: return DType::f16;
    case 11: return DType::f64;
    case 16: return DType::f32;  // bfloat16, widened
    default: return std::nullopt;
  }
}

std::string onnx_type_name(std::int64_t code) {
  static const char* names[] = {
      "undefined", "float",      "uint8",      "int8",         "uint16",         "int16",      "int32",
      "int64",     "string",     "bool",       "float16",      "double",         "uint32",     "uint64",
      "complex64", "complex128", "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
      "uint4",     "int4",       "float4e2m1", "float8e8m0",   "uint2",          "int2"};
  if (code < 0 || code >= static_cast<std::int64_t>(std::size(names))) return fmt::format("number {}", code);
  return names[code];
}

}  // namespace pit::graph
