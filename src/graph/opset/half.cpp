#include "graph/opset/half.h"

#include <algorithm>
#include <array>

#include "graph/numeric.h"

namespace pit::graph {
namespace {

template <std::size_t n>
bool among(const std::array<std::string_view, n>& list, std::string_view op) {
  return std::find(list.begin(), list.end(), op) != list.end();
}

// They tell types apart, or ask for nothing but the shape.
constexpr std::array<std::string_view, 7> kAsTheyAre = {"Cast",  "CastLike", "Identity", "Dropout",
                                                        "Shape", "Size",     "EyeLike"};
// One element is picked for each of the result: a table need not be widened for that.
constexpr std::array<std::string_view, 3> kPick = {"Gather", "GatherND", "GatherElements"};
constexpr std::array<std::string_view, 16> kMove = {
    "Transpose", "Reshape", "Flatten",      "Squeeze",      "Unsqueeze", "Expand",   "Concat",          "Slice",
    "Split",     "Tile",    "DepthToSpace", "SpaceToDepth", "Trilu",     "Compress", "ReverseSequence", "Pad"};

const Value& at(const Graph& g, ValueId v) { return g.values[static_cast<std::size_t>(v)]; }

// The floating-point type of the results: the first such operand's, as the standard's signatures have it.
DType result_type(const Graph& g, const OpCall& call) {
  // OneHot's type is that of its values; its indices may be floats, too.
  const auto from =
      call.inputs.begin() + (call.op == "OneHot" ? std::min<std::ptrdiff_t>(2, std::ssize(call.inputs)) : 0);
  const auto first =
      std::find_if(from, call.inputs.end(), [&](ValueId v) { return v >= 0 && is_float(at(g, v).dtype); });
  return first != call.inputs.end() ? at(g, *first).dtype : DType::f32;
}

std::int64_t onnx_code(DType t) { return t == DType::f16 ? 10 : 1; }

// Mean and deviation of a LayerNormalization have the type in which it computes (stash_type).
bool is_stashed(const OpCall& call, std::size_t output) { return call.op == "LayerNormalization" && output > 0; }

ValueId cast(OpBuilder& b, ValueId v, DType to) {
  OpCall c;
  c.op = "Cast";
  c.name = b.call.name;
  c.opset = b.call.opset;
  c.inputs = {v};
  c.output_names = {b.fresh_name(fmt::format("{}:{}", b.value(v).name, name_of(to)))};
  c.attributes["to"] = onnx_code(to);
  return add_operator(b.g, c)[0];
}

// The model's name stays with the f32 value.
ValueId rounded(OpBuilder& b, ValueId wide, DType to) {
  const ValueId narrow = cast(b, wide, to);
  b.g.wide[narrow] = {wide, true};
  return narrow;
}

}  // namespace

bool computes_with_halves(const Graph& g, const OpCall& call) {
  if (among(kAsTheyAre, call.op)) return false;
  bool any = false, computed = false, constant = true;
  for (const ValueId v : call.inputs) {
    if (v < 0 || !is_half(at(g, v).dtype)) continue;
    any = true;
    const auto known = g.wide.find(v);
    computed = computed || (known != g.wide.end() && known->second.computed);
    constant = constant && at(g, v).is_constant();
  }
  if (!any || computed) return any;
  if (among(kPick, call.op)) return false;
  return constant || !among(kMove, call.op);
}

std::vector<ValueId> add_widened(Graph& g, const OpCall& call, std::string_view text,
                                 const std::function<std::vector<ValueId>(OpBuilder&)>& bind) {
  OpCall wide = call;
  OpBuilder outer(g, call, text);
  std::vector<std::pair<ValueId, ValueId>> halves;  // f32 version, operand
  for (ValueId& v : wide.inputs) {
    if (v < 0 || !is_half(at(g, v).dtype)) continue;
    const ValueId narrow = v;
    v = cast(outer, narrow, DType::f32);
    halves.emplace_back(v, narrow);
  }
  const DType type = result_type(g, call);
  OpBuilder b(g, wide, text);
  b.halves = halves;
  std::vector<ValueId> r = bind(b);
  for (std::size_t i = 0; i < r.size(); ++i) {
    if (r[i] < 0 || at(g, r[i]).dtype != DType::f32 || !is_half(type) || is_stashed(call, i)) continue;
    const auto operand = std::find_if(halves.begin(), halves.end(), [&](const auto& h) { return h.first == r[i]; });
    r[i] = operand != halves.end() ? operand->second : rounded(outer, r[i], type);
  }
  return r;
}

ValueId known_wide(const Graph& g, ValueId v) {
  const auto it = g.wide.find(v);
  return it == g.wide.end() ? -1 : it->second.value;
}

Tensor widened(const Tensor& t) {
  std::vector<float> of(1 << 16);  // of each pattern of bits: weights have millions of elements
  for (std::size_t bits = 0; bits < of.size(); ++bits) of[bits] = half_to_float(static_cast<std::uint16_t>(bits));
  Tensor r(DType::f32, t.shape());
  const auto* from = t.as<std::uint16_t>();
  std::transform(from, from + t.size(), r.as<float>(), [&](std::uint16_t bits) { return of[bits]; });
  return r;
}

}  // namespace pit::graph
