// The attributes that each operator's binder reads. One that is not listed is refused, never ignored: a mode that nobody looks at would
// be a wrong answer. `name<n` is read in opsets before n. `name=a,b` may be given with these values only: it changes nothing then
// (training, float8, precisions that all are at least met).
#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

using std::string_view;

constexpr string_view kReduce = "axes keepdims noop_with_empty_axes";
constexpr string_view kPool = "auto_pad ceil_mode dilations kernel_shape pads strides";

struct Entry {
  string_view op, attributes;
};

// Operators that are not here have none.
constexpr Entry kEntries[] = {
    // elementwise.cpp
    {"Cast", "to saturate=0,1 round_mode=up,down,nearest"},  // saturate, round_mode: of float8
    {"CastLike", "saturate=0,1 round_mode=up,down,nearest"},
    {"Celu", "alpha"},
    {"Clip", "min<11 max<11"},
    {"Dropout", "ratio=* seed=*"},  // of training
    {"Elu", "alpha"},
    {"Gelu", "approximate"},
    {"HardSigmoid", "alpha beta"},
    {"IsInf", "detect_negative detect_positive"},
    {"LeakyRelu", "alpha"},
    {"Mod", "fmod"},
    {"Selu", "alpha gamma"},
    {"Shrink", "lambd bias"},
    {"Swish", "alpha"},
    {"ThresholdedRelu", "alpha"},
    // reduction.cpp
    {"ReduceL1", kReduce},
    {"ReduceL2", kReduce},
    {"ReduceLogSum", kReduce},
    {"ReduceLogSumExp", kReduce},
    {"ReduceMax", kReduce},
    {"ReduceMean", kReduce},
    {"ReduceMin", kReduce},
    {"ReduceProd", kReduce},
    {"ReduceSum", kReduce},
    {"ReduceSumSquare", kReduce},
    // contraction.cpp
    {"Einsum", "equation"},
    {"Gemm", "alpha beta transA transB"},
    // normalization.cpp
    {"BatchNormalization", "epsilon training_mode momentum=* spatial=1"},
    {"GroupNormalization", "epsilon num_groups stash_type=1"},
    {"InstanceNormalization", "epsilon"},
    {"LayerNormalization", "axis epsilon stash_type=1"},
    {"LogSoftmax", "axis"},
    {"LpNormalization", "axis p"},
    {"MeanVarianceNormalization", "axes"},
    {"RMSNormalization", "axis epsilon stash_type=1"},
    {"Softmax", "axis"},
    // layout.cpp, reshape.cpp
    {"Concat", "axis"},
    {"DepthToSpace", "blocksize mode"},
    {"Flatten", "axis"},
    {"Pad", "mode pads<11 value<11"},
    {"Reshape", "allowzero"},
    {"Slice", "axes<10 ends<10 starts<10"},
    {"SpaceToDepth", "blocksize mode"},
    {"Split", "axis num_outputs split"},
    {"Squeeze", "axes"},
    {"Transpose", "perm"},
    {"Trilu", "upper"},
    {"Unsqueeze", "axes"},
    // indexing.cpp
    {"ArgMax", "axis keepdims select_last_index"},
    {"ArgMin", "axis keepdims select_last_index"},
    {"Compress", "axis"},
    {"CumProd", "exclusive reverse"},
    {"CumSum", "exclusive reverse"},
    {"Gather", "axis"},
    {"GatherElements", "axis"},
    {"GatherND", "batch_dims"},
    {"Hardmax", "axis"},
    {"OneHot", "axis"},
    {"ReverseSequence", "batch_axis time_axis"},
    {"Scatter", "axis"},
    {"ScatterElements", "axis reduction"},
    {"ScatterND", "reduction"},
    {"TopK", "axis largest sorted=0,1"},  // unsorted is any order
    // generator.cpp
    {"Constant", "value value_float value_floats value_int value_ints"},
    {"ConstantOfShape", "value"},
    {"EyeLike", "dtype k"},
    {"Range", "stash_type=1"},
    {"Shape", "end start"},
    // window.cpp
    {"AveragePool", "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides"},
    {"Conv", "auto_pad dilations group kernel_shape pads strides"},
    {"ConvTranspose", "auto_pad dilations group kernel_shape output_padding output_shape pads strides"},
    {"GlobalLpPool", "p"},
    {"LRN", "alpha beta bias size"},
    {"LpPool", "auto_pad ceil_mode dilations kernel_shape p pads strides"},
    {"MaxPool", "auto_pad ceil_mode dilations kernel_shape pads strides storage_order=0,1"},  // order: of the indices
    // composite.cpp
    {"Attention",
     "is_causal kv_num_heads left_window_size q_num_heads qk_matmul_output_mode right_window_size scale softcap "
     "softmax_precision=1,10,16"},
    {"DequantizeLinear", "axis block_size output_dtype"},
    {"QuantizeLinear", "axis block_size output_dtype precision=0,1 saturate=0,1"},
    {"RotaryEmbedding", "interleaved num_heads rotary_embedding_dim"},
    {"SwiGLU", "alpha"},
};

// Calls f with every part of `text` between separators until it says true; whether it did.
template <class F> bool any_part(string_view text, char separator, F&& f) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (f(text.substr(0, end))) return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

string_view attributes_of(string_view op) {
  static const std::unordered_map<string_view, string_view> all = [] {
    std::unordered_map<string_view, string_view> r;
    for (const Entry& e : kEntries) r.emplace(e.op, e.attributes);
    return r;
  }();
  const auto it = all.find(op);
  return it == all.end() ? string_view() : it->second;
}

bool before(int opset, string_view limit) {
  int n = 0;
  std::from_chars(limit.data(), limit.data() + limit.size(), n);
  return opset < n;
}

std::string value_text(const Attribute& a) {
  if (const auto* i = std::get_if<std::int64_t>(&a)) return std::to_string(*i);
  if (const auto* s = std::get_if<std::string>(&a)) return *s;
  return "of another type";
}

}  // namespace

void refuse_unknown_attributes(const OpBuilder& b) {
  for (const auto& [name, value] : b.call.attributes) {
    bool here = false;
    any_part(attributes_of(b.call.op), ' ', [&](string_view known) {
      const std::size_t end = std::min(known.find_first_of("<="), known.size());
      if (known.substr(0, end) != name) return false;
      const string_view rest = known.substr(std::min(end + 1, known.size()));
      const bool limited = end < known.size() && known[end] == '<', fixed = end < known.size() && known[end] == '=';
      if (fixed && rest != "*" && !any_part(rest, ',', [&](string_view v) { return v == value_text(value); }))
        b.unsupported(fmt::format("attribute '{}' is {}, but only {} is supported", name, value_text(value), rest));
      here = !limited || before(b.call.opset, rest);
      return true;
    });
    if (!here) b.unsupported(fmt::format("attribute '{}' is not supported in opset {}", name, b.call.opset));
  }
}

}  // namespace pit::graph
