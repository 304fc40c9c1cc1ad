// Each verdict is tried: a permutable axis with all permutations of its values, a refused one until some permutation
// gives a counter-example. Data are small integers, so that regrouped sums are exact.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <set>
#include <sstream>
#include <string>

#include "expr/evaluator.h"
#include "expr/scalar.h"
#include "rules/rules.h"

namespace pit::rules {
namespace {

using expr::AxisId;
using expr::Bindings;
using expr::Expr;
using expr::Program;
using expr::Role;
using expr::Storage;
using Permutation = std::vector<std::int64_t>;

// Written anew rather than shared with the inference: the dimensions in which each axis stands bare.
using Dimensions = std::set<std::pair<int, std::size_t>>;

void add_dimensions(AxisId a, int tensor, const std::vector<Expr>& indices, std::size_t rank, Dimensions* found) {
  for (std::size_t d = 0; d < rank; ++d) {
    if (expr::bare_axis(indices[d]) == a) found->insert({tensor, d});
  }
}

Dimensions dimensions_of(const Program& p, AxisId a) {
  Dimensions found;
  const auto visit = [&](const Expr& e) {
    add_dimensions(a, e->id, e->args, e->args.size() - (e->has_default ? 1 : 0), &found);
  };
  for (const expr::Statement& s : p.statements) {
    add_dimensions(a, s.out, s.out_index, s.out_index.size(), &found);
    for (const Expr& i : s.out_index) expr::for_each_access(i, visit);
    expr::for_each_access(s.value, visit);
  }
  return found;
}

// result[.., i, ..] = t[.., order[i], ..] in each of the dimensions.
Tensor permuted(const Tensor& t, const std::vector<std::size_t>& dims, const Permutation& order) {
  Tensor result(t.dtype(), t.shape());
  const std::size_t bytes = size_of(t.dtype());
  Shape at(t.shape().size(), 0);
  for (std::int64_t flat = 0; flat < t.size(); ++flat) {
    std::int64_t rest = flat, from = 0;
    for (std::size_t d = at.size(); d-- > 0; rest /= t.shape()[d]) at[d] = rest % t.shape()[d];
    for (std::size_t d = 0; d < at.size(); ++d) {
      std::int64_t i = at[d];
      if (std::count(dims.begin(), dims.end(), d) > 0) i = order[static_cast<std::size_t>(i)];
      from = from * t.shape()[d] + i;
    }
    std::copy_n(static_cast<const char*>(t.data()) + from * static_cast<std::int64_t>(bytes), bytes,
                static_cast<char*>(result.data()) + flat * static_cast<std::int64_t>(bytes));
  }
  return result;
}

bool agree(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return false;
  const Storage x{const_cast<void*>(a.data()), a.dtype(), a.shape()},
      y{const_cast<void*>(b.data()), b.dtype(), b.shape()};
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double u = expr::load_float(x, i), v = expr::load_float(y, i);
    if (u == v || (std::isnan(u) && std::isnan(v))) continue;
    if (std::isinf(u) || std::isinf(v)) return false;
    if (!(std::fabs(u - v) <= 1e-5 * std::max({1.0, std::fabs(u), std::fabs(v)}))) return false;
  }
  return true;
}

// A program with what is needed to run it. `binding` is words: A[2,3] (f32 input), ids[2]<5 (i64 below 5), M[2]?
// (bool), N[2]:i64 (integers), D[2]:f64, $p=1, |i|=2, and >Y[4] or >Y[4]:i64 for outputs whose shape or type does not
// follow.
struct Law {
  const char* name;
  const char* text;
  const char* binding;
  const char* outputs = "";
};

class Runner {
 public:
  explicit Runner(const Law& law) : p_(expr::parse(law.text, words(law.outputs))) {
    bindings_.params.resize(p_.params.size());
    bindings_.inputs.resize(static_cast<std::size_t>(
        std::count_if(p_.tensors.begin(), p_.tensors.end(), [](const auto& t) { return t.role == Role::input; })));
    for (const std::string& w : words(law.binding)) bind(w);
  }

  const Program& program() const { return p_; }

  void randomise(unsigned seed) {
    std::mt19937 random(seed);
    for (std::size_t i = 0; i < bindings_.inputs.size(); ++i) {
      Tensor t(bindings_.inputs[i].dtype(), bindings_.inputs[i].shape());
      const Storage s{t.data(), t.dtype(), t.shape()};
      for (std::int64_t k = 0; k < t.size(); ++k) {
        const std::int64_t limit = below_.count(i) ? below_[i] : 0;
        const std::int64_t v = limit > 0 ? static_cast<std::int64_t>(random() % static_cast<unsigned>(limit))
                                         : static_cast<std::int64_t>(random() % 9) - 4;
        if (expr::is_floating(t.dtype())) {
          expr::store_float(s, k, static_cast<double>(v));
        } else {
          expr::store_int(s, k, t.dtype() == DType::b8 ? (v & 1) : v);
        }
      }
      bindings_.inputs[i] = t;
    }
    expected_ = expr::interpret(p_, bindings_);
  }

  std::int64_t extent(AxisId a) const {
    std::vector<Shape> shapes(p_.tensors.size());
    std::size_t in = 0, out = 0;
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
      if (p_.tensors[t].role == Role::input) shapes[t] = bindings_.inputs[in++].shape();
      if (p_.tensors[t].role == Role::output) shapes[t] = expected_[out++].shape();
    }
    return expr::infer_extents(p_, shapes, bindings_.extents)[static_cast<std::size_t>(a)];
  }

  // The definition in rules.h, for one permutation.
  bool invariant(AxisId a, const Permutation& order) const {
    const Dimensions dims = dimensions_of(p_, a);
    Bindings b = bindings_;
    std::vector<Tensor> expected = expected_;
    std::size_t in = 0, out = 0;
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
      std::vector<std::size_t> mine;
      for (const auto& [tensor, dim] : dims) {
        if (static_cast<std::size_t>(tensor) == t) mine.push_back(dim);
      }
      const Role role = p_.tensors[t].role;
      for (const std::size_t d : mine) {
        const Shape& shape = role == Role::input    ? b.inputs[in].shape()
                             : role == Role::output ? expected[out].shape()
                                                    : Shape(d + 1, -1);
        if (shape[d] >= 0 && shape[d] != static_cast<std::int64_t>(order.size()))
          return false;  // a part of a concatenation
      }
      if (p_.tensors[t].role == Role::input) {
        b.inputs[in] = permuted(b.inputs[in], mine, order);
        ++in;
      } else if (p_.tensors[t].role == Role::output) {
        expected[out] = permuted(expected[out], mine, order);
        ++out;
      }
    }
    const std::vector<Tensor> got = expr::interpret(p_, b);
    for (std::size_t o = 0; o < got.size(); ++o) {
      if (!agree(got[o], expected[o])) return false;
    }
    return true;
  }

  // Whether the order in which the axis is visited is free.
  bool order_free(AxisId a, const Permutation& order) const {
    Bindings b = bindings_;
    b.permutation[a] = order;
    const std::vector<Tensor> got = expr::interpret(p_, b);
    for (std::size_t o = 0; o < got.size(); ++o) {
      if (!agree(got[o], expected_[o])) return false;
    }
    return true;
  }

 private:
  static std::vector<std::string> words(const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> result;
    for (std::string w; in >> w;) result.push_back(w);
    return result;
  }

  std::size_t position(const std::string& name, Role role) const {
    std::size_t n = 0;
    for (const expr::TensorDecl& t : p_.tensors) {
      if (t.role != role) continue;
      if (t.name == name) return n;
      ++n;
    }
    ADD_FAILURE() << "no tensor " << name << " in " << print(p_);
    return 0;
  }

  static DType type_named(const std::string& name) {
    return name == "i64" ? DType::i64 : name == "f64" ? DType::f64 : DType::f32;
  }

  void bind(std::string w) {
    if (w[0] == '$') {
      const auto eq = w.find('=');
      const auto at = std::find(p_.params.begin(), p_.params.end(), w.substr(1, eq - 1));
      bindings_.params.at(static_cast<std::size_t>(at - p_.params.begin())) = std::stod(w.substr(eq + 1));
      return;
    }
    if (w[0] == '|') {
      const auto end = w.find('|', 1);
      bindings_.extents[p_.axis_named(w.substr(1, end - 1))] = std::stoll(w.substr(end + 2));
      return;
    }
    const bool output = w[0] == '>';
    if (output) w = w.substr(1);
    const auto open = w.find('['), close = w.find(']');
    std::string dims = w.substr(open + 1, close - open - 1);
    std::replace(dims.begin(), dims.end(), ',', ' ');
    Shape shape;
    for (const std::string& n : words(dims)) shape.push_back(std::stoll(n));
    const std::string name = w.substr(0, open), suffix = w.substr(close + 1);
    DType dtype = DType::f32;
    if (!suffix.empty() && suffix[0] == ':') dtype = type_named(suffix.substr(1));
    if (output) {
      bindings_.output_shapes.push_back(shape);
      bindings_.output_dtypes.push_back(dtype);
      return;
    }
    const std::size_t i = position(name, Role::input);
    if (suffix == "?") dtype = DType::b8;
    if (!suffix.empty() && suffix[0] == '<') {
      dtype = DType::i64;
      below_[i] = std::stoll(suffix.substr(1));
    }
    bindings_.inputs[i] = Tensor(dtype, shape);
  }

  Program p_;
  Bindings bindings_;
  std::map<std::size_t, std::int64_t> below_;
  std::vector<Tensor> expected_;
};

std::string shown(const Permutation& order) { return fmt::format("({})", to_string(order)); }

// Tries every verdict of the program; returns axes that are refused though no counter-example turned up.
std::vector<std::string> try_law(Runner& runner, int seeds) {
  const Program& p = runner.program();
  const std::vector<AxisRule> verdicts = infer(p);
  std::vector<bool> broken(p.axes.size(), false);
  for (int seed = 0; seed < seeds; ++seed) {
    runner.randomise(static_cast<unsigned>(seed) * 7919 + 1);
    for (const AxisRule& rule : verdicts) {
      const std::string& name = p.axes[static_cast<std::size_t>(rule.axis)];
      const std::int64_t n = runner.extent(rule.axis);
      EXPECT_LE(n, 4) << name;
      Permutation order(static_cast<std::size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      do {
        if (rule.verdict == Verdict::permutable) {
          EXPECT_TRUE(runner.invariant(rule.axis, order))
              << "axis " << name << " is not permutable: " << shown(order) << ", seed " << seed << "\n"
              << print(p);
        } else {
          if (!broken[static_cast<std::size_t>(rule.axis)])
            broken[static_cast<std::size_t>(rule.axis)] = !runner.invariant(rule.axis, order);
        }
        if (rule.verdict != Verdict::refused) {
          EXPECT_TRUE(runner.order_free(rule.axis, order))
              << "axis " << name << " must be visited in order: " << shown(order) << "\n"
              << print(p);
        }
      } while (std::next_permutation(order.begin(), order.end()));
    }
  }
  std::vector<std::string> unexplained;
  for (const AxisRule& rule : verdicts) {
    const bool has_dimensions = !dimensions_of(p, rule.axis).empty();
    if (rule.verdict != Verdict::permutable && has_dimensions && !broken[static_cast<std::size_t>(rule.axis)]) {
      unexplained.push_back(p.axes[static_cast<std::size_t>(rule.axis)] + ": " + rule.reason);
    }
  }
  return unexplained;
}

constexpr Law kLaws[] = {
    {"matmul", "C[m,n] += A[m,k] * B[k,n]", "A[2,3] B[3,4]"},
    {"batched_matmul", "C[b,h,m,n] += A[b,h,m,k] * B[b,h,k,n]", "A[2,2,3,2] B[2,2,2,3]"},
    {"broadcast_matmul", "C[b,m,n] += A[b,m,k] * B[k,n]", "A[2,3,2] B[2,3]"},
    {"gemm", "t[m,n] += A[m,k] * B[n,k]; C[m,n] = t[m,n] * $alpha + D[n] * $beta",
     "A[2,3] B[4,3] D[4] $alpha=2 $beta=3"},
    {"softmax", "m[r] max= X[r,c]; e[r,c] = exp(X[r,c] - m[r]); z[r] += e[r,c]; Y[r,c] = e[r,c] / z[r]", "X[3,4]"},
    {"softmax_middle",
     "m[a,c] max= X[a,b,c]; e[a,b,c] = exp(X[a,b,c] - m[a,c]); z[a,c] += e[a,b,c]; Y[a,b,c] = e[a,b,c] / z[a,c]",
     "X[2,3,2]"},
    {"layer_norm",
     "s[r] += X[r,c]; m[r] = s[r] / cast_f32(|c|); d[r,c] = X[r,c] - m[r]; v[r] += d[r,c] * d[r,c];"
     "Y[r,c] = d[r,c] * rsqrt(v[r] / cast_f32(|c|) + 0.5) * G[c] + B[c]",
     "X[3,4] G[4] B[4]"},
    {"rms_norm", "v[r] += X[r,c] * X[r,c]; Y[r,c] = X[r,c] * rsqrt(v[r] / cast_f32(|c|) + 0.5) * G[c]", "X[3,4] G[4]"},
    {"conv2d", "O[n,f,x,y] += I[n,c,x*$s+i-$p,y*$s+j-$p | 0.0] * W[f,c,i,j]",
     "I[2,2,4,4] W[2,2,3,3] $s=1 $p=1 >O[2,2,4,4]"},
    {"conv_strided", "O[f,x] += I[c,x*2+i] * W[f,c,i]", "I[2,7] W[2,2,3] >O[2,3]"},
    {"depthwise_conv", "O[c,x] += I[c,x+i] * W[c,i]", "I[3,4] W[3,2] >O[3,3]"},
    {"embedding", "Y[b,s,h] = T[ids[b,s],h]", "T[4,3] ids[2,3]<4"},
    {"embedding_sum", "Y[s,h] = T[ids[s],h] + P[s,h] + U[kind[s],h]", "T[4,3] ids[3]<4 P[3,3] U[2,3] kind[3]<2"},
    {"tied_table", "Y[b,h] = T[ids[b],h]; Z[v,h] = T[v,h] * 2.0", "T[4,2] ids[3]<4", "Y Z"},
    {"gather_elements", "Y[i,j] = X[ids[i,j],j]", "X[4,3] ids[3,3]<4"},
    {"gather_nd", "Y[b,h] = X[ids[b,0],ids[b,1],h]", "X[3,3,2] ids[4,2]<3"},
    {"scatter_add", "Y[ids[t],h] += X[t,h]", "ids[4]<3 X[4,2] >Y[3,2]"},
    {"transpose", "Y[k,i,j] = X[i,j,k]", "X[2,3,4]"},
    {"merge", "Y[b:s,h] = X[b,s,h]", "X[2,3,2]"},
    {"split", "Y[s,h,d] = X[s,h:d]", "X[3,6] >Y[3,2,3]"},
    {"split_heads", "Y[b,h,s,d] = X[b:s,h:d]", "X[4,4] >Y[2,2,2,2]"},
    {"head_matmul", "C[b,s,h] += A[b:s,k] * B[k,h]", "A[4,3] B[3,2] >C[2,2,2]"},
    {"cumulative_sum", "Y[r,i] += select(j <= i, X[r,j], 0.0)", "X[2,4] >Y[2,4]"},
    {"max_plus", "V[t,j] max= U[t,i] + W[i,j]", "U[2,3] W[3,3]"},
    {"logsumexp", "Y[r] logsumexp= X[r,c]", "X[3,4]"},
    {"product", "Y[r] *= X[r,c]", "X[3,4]"},
    {"minimum", "Y[c] min= X[r,c]", "X[3,4]"},
    {"all_any", "a[r] and= M[r,c]; Y[r] or= M[r,c] && !a[r]", "M[3,3]?"},
    {"concat", "Y[i,c] = A[i,c]; Y[j+|i|,c] = B[j,c]", "A[2,3] B[3,3]"},
    {"stack", "Y[i,0] = A[i]; Y[i,1] = B[i]", "A[3] B[3]"},
    {"slice", "Y[i,c] = X[i*2+1,c]", "X[4,3] >Y[2,3]"},
    {"slice_from_0", "Y[i,c] = X[i+0,c]", "X[4,3] >Y[2,3]"},
    {"reverse", "Y[i] = X[|i|-1-i]", "X[4] >Y[4]"},
    {"pad", "Y[i,c] = X[i-1,c | 7.0]", "X[2,3] >Y[4,3]"},
    {"roll", "Y[i] = X[(i+1)%|i|]", "X[4] >Y[4]"},
    {"first_token", "Y[b,h] = X[b,0,h]", "X[2,3,2]"},
    {"reduce_all", "Y[] += X[i,j]", "X[3,4]"},
    {"masked_mean", "n[b] += M[b,s]; t[b,h] += X[b,s,h] * M[b,s]; Y[b,h] = t[b,h] / (n[b] + 9.0)", "M[2,3] X[2,3,2]"},
    {"masked_scores", "Y[b,q,k] = select(M[b,k], X[b,q,k], -inf)", "M[2,3]? X[2,3,3]"},
    {"attention",
     "s[q,k] += Q[q,d] * K[k,d]; m[q] max= s[q,k]; e[q,k] = exp(s[q,k] - m[q]); z[q] += e[q,k]; O[q,v] += e[q,k] * "
     "V[k,v] / z[q]",
     "Q[2,3] K[3,3] V[3,2]"},
    {"self_attention_scores", "s[q,k] += X[q,d] * X[k,d]", "X[3,3]"},
    {"causal_mask", "Y[i,j] = select(j <= i, X[i,j], -inf)", "X[3,3]"},
    {"range", "Y[i] = $start + i * $delta", "$start=3 $delta=2 >Y[4]:i64"},
    {"one_hot", "Y[b,v] = cast_f32(ids[b] == v)", "ids[3]<4 >Y[3,4]"},
    {"outer_square", "C[m,n] = X[m] * X[n]", "X[4]"},
    {"symmetric", "Y[i,j] = X[i,j] + X[j,i]", "X[3,3]"},
    {"diagonal", "Y[i] = X[i,i]", "X[4,4]"},
    {"embed_diagonal", "Y[i,i] = X[i]", "X[4]"},
    {"trace", "Y[] += X[i,i]", "X[4,4]"},
    {"difference", "Y[i] = X[i+1] - X[i+0]", "X[4] >Y[3]"},
    {"normalise_by_first", "Y[i,c] = X[i,c] - X[0,c]", "X[3,3]"},
    {"max_pool", "Y[c,x] max= X[c,x*2+i]", "X[2,6] |i|=2 >Y[2,3]"},
    {"average_pool", "Y[c,x] += X[c,x+i] / cast_f32(|i|)", "X[2,4] |i|=2 >Y[2,3]"},
    {"expand", "Y[i,j,k] = X[i,0,k]", "X[2,1,3] >Y[2,3,3]"},
    {"fill", "Y[i,j] = 1.5", ">Y[2,3]"},
    {"pixel_shuffle", "Y[c,x:i] = X[c,i,x]", "X[2,2,3]"},
    {"temporary_seen_twice", "t[i] = X[i] * 2.0; Y[i,j] = t[i] + t[j]", "X[3]"},
    {"temporary_by_another_name", "t[i] = X[i] * 2.0; Y[j] = t[j]", "X[4]"},
    {"rotary", "Y[s,h] = X[s,h] * C[s,h]; Z[s,h] = X[s,(h+|h|//2)%|h|] * C[s,h]", "X[2,4] C[2,4]", "Y Z"},
    {"segment_sum", "Y[g,h] += select(seg[t] == g, X[t,h], 0.0)", "seg[4]<3 X[4,2] >Y[3,2]"},
    {"moe_by_lookup", "Y[t,n] += X[t,k] * W[e[t],k,n]", "X[3,2] W[2,2,3] e[3]<2"},
    {"lookup_twice", "Y[i] = X[p[q[i]]]", "X[4] p[4]<4 q[3]<4"},
    {"arg_lookup_of_self", "Y[i] = X[i] + X[p[i]]", "X[4] p[4]<4"},
    {"default_that_reads", "Y[i,c] = X[i-1,c | Z[c]]", "X[2,3] Z[3] >Y[3,3]"},
};

class RuleLaws : public ::testing::TestWithParam<Law> {};

TEST_P(RuleLaws, PermutableAxesPermuteAndRefusedOnesDoNot) {
  Runner runner(GetParam());
  EXPECT_EQ(try_law(runner, 3), std::vector<std::string>{})
      << "refused without a counter-example in " << print(runner.program());
}

INSTANTIATE_TEST_SUITE_P(Programs, RuleLaws, ::testing::ValuesIn(kLaws),
                         [](const auto& i) { return std::string(i.param.name); });

// ---- Random programs: soundness
// -----------------------------------------------------------------------------------------

// All extents are 3, so that any dimension fits any axis and (e)%3 is always inside.
class RandomLaw {
 public:
  explicit RandomLaw(unsigned seed) : random_(seed) {}

  std::string text() {
    std::string program;
    const int statements = pick(1, 3);
    for (int s = 0; s < statements; ++s) {
      const std::string out(1, static_cast<char>('P' + s));
      std::vector<std::string> axes{"i", "j", "k"};
      std::shuffle(axes.begin(), axes.end(), random_);
      const std::size_t rank = static_cast<std::size_t>(pick(1, 2));
      left_.assign(axes.begin(), axes.begin() + static_cast<std::ptrdiff_t>(rank));
      std::string indices;
      for (const std::string& a : left_)
        indices += (indices.empty() ? "" : ",") + (pick(0, 9) == 0 ? "(" + a + "+1)%3" : a);
      const bool reduces = pick(0, 1) == 1;
      usable_ = reduces ? std::vector<std::string>{"i", "j", "k"} : left_;
      constexpr const char* combiners[] = {"+=", "max=", "min="};
      program += out + "[" + indices + "] " + (reduces ? combiners[pick(0, 2)] : "=") + " " + value(2) + "; ";
      readable_.push_back({out, rank});
    }
    return program;
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  const std::string& any_axis() {
    return usable_[static_cast<std::size_t>(pick(0, static_cast<int>(usable_.size()) - 1))];
  }

  std::string index() {
    switch (pick(0, 11)) {
      case 0: return std::to_string(pick(0, 2));
      case 1: return "(" + any_axis() + "+" + any_axis() + ")%3";
      case 2: return "2-" + any_axis();
      case 3: return "ids[" + any_axis() + "]";
      default: return any_axis();
    }
  }

  std::string value(int depth) {
    if (depth == 0 || pick(0, 3) == 0) {
      if (pick(0, 9) == 0) return "cast_f64(" + any_axis() + ")";
      const auto& [name, rank] = readable_[static_cast<std::size_t>(pick(0, static_cast<int>(readable_.size()) - 1))];
      std::string indices;
      for (std::size_t d = 0; d < rank; ++d) indices += (d > 0 ? "," : "") + index();
      return name + "[" + indices + "]";
    }
    constexpr const char* operators[] = {" + ", " - ", " * "};
    return "(" + value(depth - 1) + operators[pick(0, 2)] + value(depth - 1) + ")";
  }

  std::mt19937 random_;
  std::vector<std::string> left_, usable_;
  std::vector<std::pair<std::string, std::size_t>> readable_{{"A", 1}, {"B", 2}, {"C", 2}};
};

TEST(RuleLaws, RandomProgramsAreJudgedSoundly) {
  int permutable = 0, refused = 0, unexplained = 0;
  for (unsigned seed = 0; seed < 1000 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const std::string text = RandomLaw(seed).text();
    const Program p = expr::parse(text);
    std::string binding;
    for (const expr::TensorDecl& t : p.tensors) {
      if (t.role != Role::input) continue;
      binding += t.name == "ids" ? "ids[3]<3 " : t.rank == 1 ? t.name + "[3]:f64 " : t.name + "[3,3]:f64 ";
    }
    for (const std::string& a : p.axes) binding += "|" + a + "|=3 ";
    const expr::TensorDecl& out = p.tensors[static_cast<std::size_t>(p.statements.back().out)];
    binding += out.rank == 1 ? ">Y[3]:f64" : ">Y[3,3]:f64";
    Runner runner(Law{"random", text.c_str(), binding.c_str()});
    unexplained += static_cast<int>(try_law(runner, 2).size());
    for (const AxisRule& r : infer(p)) ++(r.verdict == Verdict::permutable ? permutable : refused);
  }
  // Both kinds must really occur, or the test says nothing.
  EXPECT_GT(permutable, 50);
  EXPECT_GT(refused, 50);
  // Coincidences (a result nobody uses, x - x) are refused without need; they must stay the exception.
  EXPECT_LT(unexplained, refused / 2) << "of " << refused;
  RecordProperty("permutable", permutable);
  RecordProperty("refused", refused);
  RecordProperty("refused_without_counter_example", unexplained);
}

}  // namespace
}  // namespace pit::rules
