// What every operator asks of its attributes and operands: the op set's constraints as data, checked in one place
// before any code of the operator runs, and printed by `pit ops`. A binder relies on them and checks only what depends
// on values or on two things at once.
//
// Attributes, separated by spaces. One that is not listed is refused, never ignored: a mode that nobody looks at would
// be a wrong answer.
//
//     name:kind      must be of this kind, see below
//     name!:kind     must be given, too
//     name<n:kind    in opsets before n only; a later item of the same name says what holds from there on
//     name=a,b       PIT supports these values only: they change nothing then (training, float8, precisions that all
//     are at least met)
//     name=*         nobody looks at it (training)
//
//     i  an integer      lo..hi  within; N is 2^31 - 1, beyond which no position or extent is    a|b|c  one of these
//     odd  positive and odd
//     f  a number        s  a string       t  a tensor       fs  a list of numbers     [kind]  a list of integers, each
//     of this kind
//     axis  of operand 0, counted from either end;   cut  a place between axes, up to the rank;   new  an axis of a
//     result of one rank more
//
// Operands, in order: `name:types` or `name:types:rank`; `name?` may be left out, `name*` stands for any number of
// them, of one type.
//
//     types   .  any      f  floating point      i  integers      n  i32, i64      l  i64      q  i8, u8      b  bool;
//     =name  that operand's type
//     rank    2      1..      0..1      =name  that operand's rank      one  one element, of rank 0 or 1
#include <algorithm>
#include <charconv>
#include <limits>
#include <unordered_map>

#include "graph/numeric.h"
#include "graph/opset/builder.h"
#include "support/check.h"

namespace pit::graph {
namespace {

using std::string_view;

constexpr string_view kReduce = "axes:[axis] keepdims:0|1 noop_with_empty_axes:0|1";
constexpr string_view kBinary = "broadcast<7:0|1 axis<7:i";  // before both operands could be stretched
#define PIT_WINDOW "auto_pad:NOTSET|SAME_UPPER|SAME_LOWER|VALID dilations:[1..N] pads:[0..N] strides:[1..N]"

struct Entry {
  string_view op, attributes, operands;
};

constexpr Entry kEntries[] = {
    // elementwise.cpp
    {"Atan", "", "X:f"},
    {"Asin", "", "X:f"},
    {"Acos", "", "X:f"},
    {"Acosh", "", "X:f"},
    {"Asinh", "", "X:f"},
    {"Atanh", "", "X:f"},
    {"Ceil", "", "X:f"},
    {"Cos", "", "X:f"},
    {"Cosh", "", "X:f"},
    {"Exp", "", "X:f"},
    {"Floor", "", "X:f"},
    {"HardSwish", "", "X:f"},
    {"IsNaN", "", "X:f"},
    {"Log", "", "X:f"},
    {"Mish", "", "X:f"},
    {"Reciprocal", "", "X:f"},
    {"Round", "", "X:f"},
    {"Sigmoid", "", "X:f"},
    {"Sin", "", "X:f"},
    {"Sinh", "", "X:f"},
    {"Softplus", "", "X:f"},
    {"Softsign", "", "X:f"},
    {"Sqrt", "", "X:f"},
    {"Tan", "", "X:f"},
    {"Tanh", "", "X:f"},
    {"Abs", "", "X:fi"},
    {"Erf", "", "X:fi"},
    {"Neg", "", "X:fi"},
    {"Relu", "", "X:fi"},
    {"Sign", "", "X:fi"},
    {"Identity", "", "X:."},
    {"Not", "", "X:b"},
    {"Add", kBinary, "A:fi B:=A"},
    {"Sub", kBinary, "A:fi B:=A"},
    {"Mul", kBinary, "A:fi B:=A"},
    {"Div", kBinary, "A:fi B:=A"},
    {"Less", kBinary, "A:fi B:=A"},
    {"LessOrEqual", "", "A:fi B:=A"},
    {"Greater", kBinary, "A:fi B:=A"},
    {"GreaterOrEqual", "", "A:fi B:=A"},
    {"And", kBinary, "A:b B:b"},
    {"Or", kBinary, "A:b B:b"},
    {"Xor", kBinary, "A:b B:b"},
    {"Equal", kBinary, "A:. B:=A"},
    {"Pow", kBinary, "X:fi Y:fi"},
    {"PRelu", "", "X:fi slope:=X"},
    {"Where", "", "condition:b X:. Y:=X"},
    {"Max", "", "X*:fi"},
    {"Min", "", "X*:fi"},
    {"Mean", "", "X*:f"},
    {"Sum", "", "X*:f"},
    {"Cast", "to!:i saturate=0,1 round_mode=up,down,nearest", "X:."},
    {"CastLike", "saturate=0,1 round_mode=up,down,nearest", "X:. target:."},
    {"Celu", "alpha:f", "X:f"},
    {"Clip", "min<11:f max<11:f", "X:fi min?:=X:one max?:=X:one"},
    {"Dropout", "ratio=* seed=* is_test=1", "X:f ratio?:f:one training?:b:one"},
    {"Elu", "alpha:f", "X:f"},
    {"Gelu", "approximate:none|tanh", "X:f"},
    {"HardSigmoid", "alpha:f beta:f", "X:f"},
    {"IsInf", "detect_negative:0|1 detect_positive:0|1", "X:f"},
    {"LeakyRelu", "alpha:f", "X:f"},
    {"Mod", "fmod:0|1", "A:fi B:=A"},
    {"Selu", "alpha:f gamma:f", "X:f"},
    {"Shrink", "lambd:f bias:f", "X:fi"},
    {"Swish", "alpha:f", "X:f"},
    {"ThresholdedRelu", "alpha:f", "X:f"},
    // loss.cpp
    {"NegativeLogLikelihoodLoss", "ignore_index:i reduction:none|sum|mean", "X:f:2.. target:n:1.. weight?:=X:1"},
    {"SoftmaxCrossEntropyLoss", "ignore_index:i reduction:none|sum|mean", "X:f:2.. target:n:1.. weight?:=X:1"},
    // reduction.cpp
    {"ReduceL1", kReduce, "X:fi axes?:l:0..1"},
    {"ReduceL2", kReduce, "X:fi axes?:l:0..1"},
    {"ReduceLogSum", kReduce, "X:fi axes?:l:0..1"},
    {"ReduceLogSumExp", kReduce, "X:fi axes?:l:0..1"},
    {"ReduceMax", kReduce, "X:fib axes?:l:0..1"},
    {"ReduceMean", kReduce, "X:fi axes?:l:0..1"},
    {"ReduceMin", kReduce, "X:fib axes?:l:0..1"},
    {"ReduceProd", kReduce, "X:fi axes?:l:0..1"},
    {"ReduceSum", kReduce, "X:fi axes?:l:0..1"},
    {"ReduceSumSquare", kReduce, "X:fi axes?:l:0..1"},
    // contraction.cpp
    {"Einsum", "equation!:s", "X*:fi"},
    {"Gemm", "alpha:f beta:f broadcast<7:0|1 transA:0|1 transB:0|1", "A:fi:2 B:=A:2 C?:=A:0..2"},
    {"MatMul", "", "A:fi:1.. B:=A:1.."},
    // normalization.cpp
    {"BatchNormalization", "epsilon:f training_mode:0|1 momentum=* spatial=1 is_test=1",
     "X:f:2.. scale:f:1 bias:f:1 mean:f:1 variance:f:1"},
    {"GroupNormalization", "epsilon:f num_groups!:1..N stash_type=1", "X:f:2.. scale:f:1 bias:f:1"},
    {"InstanceNormalization", "epsilon:f", "X:f:2.. scale:f:1 bias:f:1"},
    {"LayerNormalization", "axis:axis epsilon:f stash_type=1", "X:f:1.. scale:f bias?:f"},
    {"LogSoftmax", "axis<13:cut axis:axis", "X:f:1.."},
    {"LpNormalization", "axis:axis p:1|2", "X:f:1.."},
    {"MeanVarianceNormalization", "axes:[axis]", "X:f"},
    {"RMSNormalization", "axis:axis epsilon:f stash_type=1", "X:f:1.. scale:f"},
    {"Softmax", "axis<13:cut axis:axis", "X:f:1.."},
    // layout.cpp, reshape.cpp
    {"Concat", "axis!:axis", "X*:."},
    {"DepthToSpace", "blocksize!:1..N mode:DCR|CRD", "X:.:4"},
    {"Expand", "", "X:. shape:l:1"},
    {"Flatten", "axis:cut", "X:."},
    {"Pad", "mode:constant|reflect|edge|wrap pads<11:[i] value<11:f", "X:. pads?:l:1 value?:=X:one axes?:n:1"},
    {"Reshape", "allowzero:0|1", "X:. shape:l:1"},
    {"Slice", "axes<10:[axis] ends<10:[i] starts<10:[i]", "X:. starts?:n:1 ends?:n:1 axes?:n:1 steps?:n:1"},
    {"SpaceToDepth", "blocksize!:1..N mode:DCR|CRD", "X:.:4"},
    {"Split", "axis:axis num_outputs:1..N split:[0..N]", "X:.:1.. split?:l:1"},
    {"Squeeze", "axes:[axis]", "X:. axes?:l:0..1"},
    {"Tile", "", "X:. repeats:l:1"},
    {"Transpose", "perm:[axis]", "X:."},
    {"Trilu", "upper:0|1", "X:.:2.. k?:l:one"},
    {"Unsqueeze", "axes:[i]", "X:. axes?:l:0..1"},
    // indexing.cpp
    {"ArgMax", "axis:axis keepdims:0|1 select_last_index:0|1", "X:fi:1.."},
    {"ArgMin", "axis:axis keepdims:0|1 select_last_index:0|1", "X:fi:1.."},
    {"Compress", "axis:axis", "X:. condition:b:1"},
    {"CumProd", "exclusive:0|1 reverse:0|1", "X:fi:1.. axis:n:one"},
    {"CumSum", "exclusive:0|1 reverse:0|1", "X:fi:1.. axis:n:one"},
    {"Gather", "axis:axis", "X:.:1.. indices:n"},
    {"GatherElements", "axis:axis", "X:.:1.. indices:n:=X"},
    {"GatherND", "batch_dims:0..N", "X:.:1.. indices:n:1.."},
    {"Hardmax", "axis<13:cut axis:axis", "X:f:1.."},
    {"NonZero", "", "X:."},
    {"OneHot", "axis:new", "indices:fi depth:fi:one values:.:1"},
    {"ReverseSequence", "batch_axis:axis time_axis:axis", "X:.:2.. lengths:l:1"},
    {"Scatter", "axis:axis", "X:.:1.. indices:n:=X updates:=X:=X"},
    {"ScatterElements", "axis:axis reduction:none|add|mul|max|min", "X:.:1.. indices:n:=X updates:=X:=X"},
    {"ScatterND", "reduction:none|add|mul|max|min", "X:.:1.. indices:n:1.. updates:=X"},
    {"TopK", "axis:axis largest:0|1 sorted=0,1", "X:fi:1.. k:l:one"},
    // generator.cpp
    {"Constant", "value:t value_float:f value_floats:fs value_int:i value_ints:[i]", ""},
    {"ConstantOfShape", "value:t", "shape:l:1"},
    {"EyeLike", "dtype:i k:i", "X:.:2"},
    {"Range", "stash_type=1", "start:fi:one limit:=start:one delta:=start:one"},
    {"Shape", "end:i start:i", "X:."},
    {"Size", "", "X:."},
    // window.cpp
    {"AveragePool", PIT_WINDOW " ceil_mode:0|1 kernel_shape!:[1..N] count_include_pad:0|1", "X:f:3.."},
    {"Conv", PIT_WINDOW " group:1..N kernel_shape:[0..N]", "X:f:3.. W:=X:=X bias?:=X:1"},
    {"ConvTranspose", PIT_WINDOW " group:1..N kernel_shape:[0..N] output_padding:[0..N] output_shape:[0..N]",
     "X:f:3.. W:=X:=X bias?:=X:1"},
    {"GlobalAveragePool", "", "X:f:3.."},
    {"GlobalLpPool", "p:1..N", "X:f:3.."},
    {"GlobalMaxPool", "", "X:f:3.."},
    {"LRN", "alpha:f beta:f bias:f size!:odd", "X:f:2.."},
    {"LpPool", PIT_WINDOW " ceil_mode:0|1 kernel_shape!:[1..N] p:1..N", "X:f:3.."},
    {"MaxPool", PIT_WINDOW " ceil_mode:0|1 kernel_shape!:[1..N] storage_order=0,1", "X:fq:3.."},
    // sampling.cpp
    {"AffineGrid", "align_corners:0|1", "theta:f:3 size:l:1"},
    {"CenterCropPad", "axes:[axis]", "X:. shape:n:1"},
    {"Col2Im", "dilations:[1..N] pads:[0..N] strides:[1..N]", "X:fi:3 image:l:1 block:l:1"},
    {"GridSample", "align_corners:0|1 mode:linear|bilinear|nearest|cubic|bicubic padding_mode:zeros|border|reflection",
     "X:f:4..5 grid:f:4..5"},
    {"Resize",
     "antialias:0|1 axes:[axis] coordinate_transformation_mode:half_pixel|half_pixel_symmetric|pytorch_half_pixel|"
     "align_corners|asymmetric|tf_crop_and_resize cubic_coeff_a:f exclude_outside:0|1 extrapolation_value:f "
     "keep_aspect_ratio_policy:stretch|not_larger|not_smaller mode:nearest|linear|cubic "
     "nearest_mode:round_prefer_floor|round_prefer_ceil|floor|ceil",
     "X:. roi_or_scales?:f:1 scales?:f:1 sizes?:l:1"},
    {"Upsample", "mode:nearest|linear|bilinear scales<9:fs", "X:. scales?:f:1"},
    // composite.cpp
    {"Attention",
     "is_causal:0|1 kv_num_heads:0..N left_window_size:-1..N q_num_heads:0..N qk_matmul_output_mode:0|1|2|3 "
     "right_window_size:-1..N scale:f softcap:f softmax_precision=1,10,16",
     "Q:f:3..4 K:f:=Q V:f:=Q mask?:fib:1..4 past_key?:f:4 past_value?:f:4 lengths?:l:1"},
    {"DequantizeLinear", "axis:i block_size:0..N output_dtype:i", "X:i scale:f zero?:=X"},
    {"DynamicQuantizeLinear", "", "X:f"},
    {"MatMulInteger", "", "A:q:1.. B:q:1.. a_zero?:=A b_zero?:=B"},
    {"QuantizeLinear", "axis:i block_size:0..N output_dtype:i precision=0,1 saturate=0,1", "X:fn scale:fn zero?:i"},
    {"RotaryEmbedding", "interleaved:0|1 num_heads:0..N rotary_embedding_dim:0..N",
     "X:f:3..4 cosines:f:2..3 sines:f:=cosines positions?:l:2"},
    {"SwiGLU", "alpha:f", "A:f B:=A:=A"},
    // experts.cpp
    {"com.microsoft.MoE",
     "activation_alpha:f activation_beta:f activation_type:relu|gelu|silu|swiglu|identity k:1..N "
     "normalize_routing_weights:0|1 swiglu_fusion:0|1|2 swiglu_limit:f use_sparse_mixer=0",
     "X:f:2..3 router:=X:2 W1:=X:3 B1?:=X:2 W2:=X:3 B2?:=X:2 W3?:=X:3 B3?:=X:2"},
};

#undef PIT_WINDOW

// -- the same, taken apart

struct AttributeRule {
  string_view name, kind;  ///< kind: after ':', empty for `values`
  string_view values;      ///< after '='
  bool required = false;
  int before = std::numeric_limits<int>::max();  ///< opset
};

struct OperandRule {
  string_view name, types, rank;
  bool optional = false, many = false;
};

struct Rules {
  string_view attribute_text, operand_text;
  std::vector<AttributeRule> attributes;
  std::vector<OperandRule> operands;
};

// Cuts off what stands in front of `separator` (all of it if there is none).
string_view cut(string_view* text, char separator) {
  const std::size_t end = std::min(text->find(separator), text->size());
  const string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return part;
}

std::int64_t number(string_view text) {
  if (text == "N") return std::numeric_limits<std::int32_t>::max();
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  PIT_CHECK(error == std::errc() && end == text.data() + text.size(), "'{}' is no number", text);
  return n;
}

AttributeRule attribute_rule(string_view item) {
  AttributeRule r;
  const std::size_t end = std::min(item.find_first_of("!<:="), item.size());
  r.name = item.substr(0, end);
  item.remove_prefix(end);
  if (item.starts_with('!')) r.required = true, item.remove_prefix(1);
  if (item.starts_with('<')) {
    item.remove_prefix(1);
    const std::size_t colon = item.find(':');
    r.before = static_cast<int>(number(item.substr(0, colon)));
    item.remove_prefix(colon);
  }
  PIT_CHECK(item.size() > 1, "'{}' has no kind", r.name);
  (item[0] == ':' ? r.kind : r.values) = item.substr(1);
  return r;
}

OperandRule operand_rule(string_view item) {
  OperandRule r;
  r.name = cut(&item, ':');
  r.types = cut(&item, ':');
  r.rank = item;
  r.optional = r.name.ends_with('?');
  r.many = r.name.ends_with('*');
  if (r.optional || r.many) r.name.remove_suffix(1);
  return r;
}

const Rules& rules_of(string_view op) {
  static const std::unordered_map<string_view, Rules> all = [] {
    std::unordered_map<string_view, Rules> r;
    for (const Entry& e : kEntries) {
      Rules rules{e.attributes, e.operands, {}, {}};
      for (string_view rest = e.attributes; !rest.empty();) rules.attributes.push_back(attribute_rule(cut(&rest, ' ')));
      for (string_view rest = e.operands; !rest.empty();) rules.operands.push_back(operand_rule(cut(&rest, ' ')));
      r.emplace(e.op, std::move(rules));
    }
    return r;
  }();
  const auto it = all.find(op);
  PIT_CHECK(it != all.end(), "{} has no line in constraints.cpp", op);
  return it->second;
}

// -- attributes

bool one_of(string_view list, char separator, string_view value) {
  while (!list.empty())
    if (cut(&list, separator) == value) return true;
  return false;
}

std::string value_text(const Attribute& a) {
  if (const auto* i = std::get_if<std::int64_t>(&a)) return std::to_string(*i);
  if (const auto* s = std::get_if<std::string>(&a))
    return s->size() > 100 ? fmt::format("a string of {} characters", s->size()) : fmt::format("'{}'", *s);
  return "of another type";
}

void check_integer(const OpBuilder& b, string_view name, string_view kind, std::int64_t v) {
  if (kind == "i") return;
  if (kind == "axis" || kind == "cut" || kind == "new") {
    const int rank = b.rank(b.in(0));
    const std::int64_t beyond = kind == "axis" ? 0 : 1, below = kind == "new" ? 1 : 0;
    if (v < -rank - below || v >= rank + beyond)
      b.fail(fmt::format("{} {} is out of range for rank {}", name, v, rank + below));
    return;
  }
  if (kind == "odd") {
    if (v < 1 || v % 2 == 0) b.fail(fmt::format("attribute '{}' is {}, not positive and odd", name, v));
    return;
  }
  if (const std::size_t dots = kind.find(".."); dots != string_view::npos) {
    const std::int64_t lo = number(kind.substr(0, dots)), hi = number(kind.substr(dots + 2));
    if (v < lo || v > hi) b.fail(fmt::format("attribute '{}' is {}, not within {} to {}", name, v, lo, hi));
    return;
  }
  if (!one_of(kind, '|', std::to_string(v))) b.fail(fmt::format("attribute '{}' is {}, not one of {}", name, v, kind));
}

bool is_number(string_view kind) { return kind[0] == '-' || (kind[0] >= '0' && kind[0] <= '9'); }
bool is_integer(string_view kind) {
  return kind == "i" || kind == "axis" || kind == "cut" || kind == "new" || kind == "odd" || is_number(kind);
}

void check_kind(const OpBuilder& b, const AttributeRule& rule, const Attribute& a) {
  const auto wrong_type = [&](string_view what) { b.fail(fmt::format("attribute '{}' must be {}", rule.name, what)); };
  const string_view kind = rule.kind;
  if (kind == "f") {
    if (!std::holds_alternative<double>(a) && !std::holds_alternative<std::int64_t>(a)) wrong_type("a number");
  } else if (kind == "fs") {
    if (!std::holds_alternative<std::vector<double>>(a)) wrong_type("a list of numbers");
  } else if (kind == "t") {
    if (!std::holds_alternative<Tensor>(a)) wrong_type("a tensor");
  } else if (kind[0] == '[') {
    const auto* list = std::get_if<std::vector<std::int64_t>>(&a);
    const auto* empty = std::get_if<std::vector<double>>(&a);  // an empty list has no type of its own in some files
    if (list == nullptr && (empty == nullptr || !empty->empty())) wrong_type("a list of integers");
    if (list != nullptr)
      for (const std::int64_t v : *list) check_integer(b, rule.name, kind.substr(1, kind.size() - 2), v);
  } else if (is_integer(kind)) {
    const auto* v = std::get_if<std::int64_t>(&a);
    if (v == nullptr) wrong_type("an integer");
    check_integer(b, rule.name, kind, *v);
  } else {
    const auto* v = std::get_if<std::string>(&a);
    if (v == nullptr) wrong_type("a string");
    if (kind != "s" && !one_of(kind, '|', *v))
      b.fail(fmt::format("attribute '{}' is {}, not one of {}", rule.name, value_text(a), kind));
  }
}

const AttributeRule* rule_for(const Rules& rules, string_view name, int opset) {
  for (const AttributeRule& r : rules.attributes)
    if (r.name == name && opset < r.before) return &r;
  return nullptr;
}

void check_attributes(const OpBuilder& b, const Rules& rules) {
  for (const auto& [name, value] : b.call.attributes) {
    const AttributeRule* rule = rule_for(rules, name, b.call.opset);
    if (rule == nullptr) b.unsupported(fmt::format("attribute '{}' is not supported in opset {}", name, b.call.opset));
    if (!rule->kind.empty()) {
      check_kind(b, *rule, value);
    } else if (rule->values != "*") {
      const auto* i = std::get_if<std::int64_t>(&value);
      const auto* s = std::get_if<std::string>(&value);
      if (!(i != nullptr && one_of(rule->values, ',', std::to_string(*i))) &&
          !(s != nullptr && one_of(rule->values, ',', *s)))
        b.unsupported(
            fmt::format("attribute '{}' is {}, but only {} is supported", name, value_text(value), rule->values));
    }
  }
  for (const AttributeRule& r : rules.attributes)
    if (r.required && !b.has_attr(std::string(r.name).c_str()))
      b.fail(fmt::format("attribute '{}' is missing", r.name));
}

// -- operands

bool has_type(string_view types, DType t) {
  return std::any_of(types.begin(), types.end(), [t](char c) {
    switch (c) {
      case '.': return true;
      case 'f': return is_float(t);
      case 'i': return !is_float(t) && t != DType::b8;
      case 'n': return t == DType::i32 || t == DType::i64;
      case 'l': return t == DType::i64;
      case 'q': return t == DType::i8 || t == DType::u8;
      case 'b': return t == DType::b8;
      default: PIT_UNREACHABLE("'{}' is no type", c);
    }
  });
}

std::string type_text(string_view types) {
  std::string text;
  for (const char c : types) {
    const char* word = c == 'f'   ? "floating point"
                       : c == 'i' ? "integers"
                       : c == 'n' ? "i32 or i64"
                       : c == 'l' ? "i64"
                       : c == 'q' ? "i8 or u8"
                                  : "bool";
    text += (text.empty() ? "" : " or ") + std::string(word);
  }
  return text;
}

void check_rank(const OpBuilder& b, const OperandRule& rule, ValueId v, int like) {
  const int rank = b.rank(v);
  const auto wrong = [&](const std::string& right) {
    b.fail(fmt::format("{} has rank {}, not {}", rule.name, rank, right), v);
  };
  if (rule.rank == "one") {
    if (rank > 1) wrong("0 or 1");
    if (rank == 1) b.require_equal(b.dims(v)[0], b.dim(1), v);
  } else if (rule.rank.starts_with('=')) {
    if (rank != like) wrong(fmt::format("{}, as {} has", like, rule.rank.substr(1)));
  } else if (const std::size_t dots = rule.rank.find(".."); dots != string_view::npos) {
    const string_view most = rule.rank.substr(dots + 2);
    const std::int64_t lo = number(rule.rank.substr(0, dots)), hi = most.empty() ? rank : number(most);
    if (rank < lo || rank > hi) wrong(most.empty() ? fmt::format("{} or more", lo) : fmt::format("{} to {}", lo, hi));
  } else if (rank != number(rule.rank)) {
    wrong(std::string(rule.rank));
  }
}

void check_operands(const OpBuilder& b, const Rules& rules) {
  const auto named = [&](string_view name) {
    const auto it = std::find_if(rules.operands.begin(), rules.operands.end(),
                                 [&](const OperandRule& r) { return r.name == name; });
    return b.in(static_cast<int>(it - rules.operands.begin()));
  };
  for (int i = 0; i < std::max(b.input_count(), static_cast<int>(rules.operands.size())); ++i) {
    if (rules.operands.empty()) return;
    const OperandRule& rule = rules.operands[std::min(static_cast<std::size_t>(i), rules.operands.size() - 1)];
    // unknown ones are refused when nobody has read them
    if (static_cast<std::size_t>(i) >= rules.operands.size() && !rule.many) return;
    if (!b.has(i) && rule.optional) continue;
    const ValueId v = b.in(i);
    const DType t = b.declared_type(v);
    const bool same = rule.types.starts_with('=') || (rule.many && i > 0);
    if (same) {
      const ValueId other = rule.many ? b.in(0) : named(rule.types.substr(1));
      if (t != b.declared_type(other))
        b.fail(fmt::format("{} has the type {}, but {} has {}", rule.name, name_of(t),
                           rule.many ? "the first" : rule.types.substr(1), name_of(b.declared_type(other))),
               v);
    } else if (!has_type(rule.types, t)) {
      b.fail(fmt::format("{} has the type {}, not {}", rule.name, name_of(t), type_text(rule.types)), v);
    }
    if (!rule.rank.empty()) check_rank(b, rule, v, rule.rank.starts_with('=') ? b.rank(named(rule.rank.substr(1))) : 0);
  }
}

}  // namespace

void check_constraints(OpBuilder& b) {
  const Rules& rules = rules_of(b.call.op);
  check_operands(b, rules);
  check_attributes(b, rules);
  b.forget_reads();
}

std::pair<std::string, std::string> constraints_of(std::string_view op) {
  const Rules& r = rules_of(op);
  return {std::string(r.operand_text), std::string(r.attribute_text)};
}

}  // namespace pit::graph
