// Contractions. The contraction statement is pure, T += A * B, in a node of its own; scale and bias follow as an
// element-wise node, so that fusion sees one form of epilogue whatever operator it came from.
#include <cctype>

#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

constexpr int kInner = 1000;  // position of an output that only this operator sees

std::vector<ValueId> matmul(OpBuilder& b) {
  const ValueId x = b.in(0), y = b.in(1);
  const std::vector<Dim>&dx = b.dims(x), &dy = b.dims(y);
  const bool has_m = dx.size() > 1, has_n = dy.size() > 1;
  const std::vector<Dim> bx(dx.begin(), dx.end() - (has_m ? 2 : 1)), by(dy.begin(), dy.end() - (has_n ? 2 : 1));
  const std::vector<Dim> batch = b.broadcast({bx, by});
  std::vector<Dim> out = batch;
  if (has_m) out.push_back(dx[dx.size() - 2]);
  if (has_n) out.push_back(dy.back());
  // The packs of batch axes are given per operand: their ranks differ from the operands' own.
  std::vector<int> maybe_x, maybe_y;
  Instance n(b, b.text);
  n.pack("o", axis_list("b", static_cast<int>(batch.size())));
  n.pack("A.o", stretched(b, bx, batch, "b", &maybe_x)).pack("B.o", stretched(b, by, batch, "b", &maybe_y));
  n.pack("m", has_m ? "m" : "").pack("n", has_n ? "n" : "");
  n.input("A", x).input("B", y).output("Y", b.dtype(x), out);
  for (const int d : maybe_x) n.maybe("A", d);
  for (const int d : maybe_y) n.maybe("B", d);
  return n.build();
}

std::vector<ValueId> gemm(OpBuilder& b) {
  const ValueId x = b.in(0), y = b.in(1), c = b.optional_in(2);
  const bool ta = b.int_attr("transA", 0) != 0, tb = b.int_attr("transB", 0) != 0;
  const double alpha = b.float_attr("alpha", 1), beta = b.float_attr("beta", 1);
  const std::vector<Dim> out{b.dims(x)[ta ? 1 : 0], b.dims(y)[tb ? 0 : 1]};
  const DType t = b.dtype(x);
  const bool scaled = alpha != 1, biased = c >= 0 && beta != 0;
  Instance n(b, alternative(b.text, 0));
  n.pack("a", ta ? "k,m" : "m,k").pack("b", tb ? "n,k" : "k,n");
  n.input("A", x).input("B", y).output("T", t, out, scaled || biased ? kInner : 0);
  const ValueId product = n.build_one();
  if (!scaled && !biased) return {product};

  std::string text = "Y[i...] = T[i...]";
  if (scaled) text += " * P[]";
  if (biased) text += beta != 1 ? " + C[i...] * Q[]" : " + C[i...]";
  Instance e(b, text);
  e.pack("i", "m,n").input("T", product).output("Y", t, out, 0);
  if (scaled) e.operand("P", b.float_constant(alpha, t));
  if (biased) {
    b.broadcast({out, b.dims(c)});
    e.stretched_operand("C", c, out, "i", "m");
    if (beta != 1) e.operand("Q", b.float_constant(beta, t));
  }
  return e.rename({{"m0", "m"}, {"m1", "n"}}).build();
}

// One equation, letter by letter; '.' stands for the ellipsis. Axes of the ellipsis are e0, e1, ..., aligned right.
class Einsum {
 public:
  explicit Einsum(OpBuilder& b) : b_(b), equation_(b.string_attr("equation", "")) {}

  std::vector<ValueId> build() {
    const std::size_t arrow = equation_.find("->");
    terms_ = split(equation_.substr(0, arrow));
    if (static_cast<int>(terms_.size()) != b_.input_count()) fail("does not have one term per operand");
    for (std::size_t t = 0; t < terms_.size(); ++t) bind(t);
    batch_ = b_.broadcast(ellipses_);
    if (arrow != std::string::npos) {
      result_ = split(equation_.substr(arrow + 2))[0];
    } else {  // letters that occur once, in alphabetical order
      result_ = ".";
      for (const auto& [c, n] : count_) {
        if (n == 1) result_ += c;
      }
    }
    return instantiate();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { b_.fail(fmt::format("equation '{}' {}", equation_, what)); }

  static std::string axis_name(char c) {
    return std::isupper(static_cast<unsigned char>(c)) != 0 ? fmt::format("U{}", c) : std::string(1, c);
  }

  std::vector<std::string> split(const std::string& side) const {
    std::vector<std::string> terms(1);
    for (std::size_t i = 0; i < side.size(); ++i) {
      const char c = side[i];
      if (c == ',') {
        terms.emplace_back();
      } else if (side.compare(i, 3, "...") == 0) {
        terms.back() += '.';
        i += 2;
      } else if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
        terms.back() += c;
      } else if (c != ' ') {
        fail(fmt::format("has an unexpected '{}'", c));
      }
    }
    return terms;
  }

  // Extents of the letters of operand t, and what its ellipsis covers.
  void bind(std::size_t t) {
    const ValueId v = b_.in(static_cast<int>(t));
    const std::vector<Dim> d = b_.dims(v);
    const std::string& letters = terms_[t];
    const bool dots = letters.find('.') != std::string::npos;
    if (d.size() + (dots ? 1 : 0) < letters.size() || (!dots && d.size() != letters.size())) {
      b_.fail(fmt::format("term '{}' does not fit rank {}", letters, d.size()), v);
    }
    const std::size_t hidden = d.size() + (dots ? 1 : 0) - letters.size();
    std::size_t at = 0;
    ellipses_.emplace_back();
    for (const char c : letters) {
      if (c == '.') {
        ellipses_.back().assign(d.begin() + static_cast<std::ptrdiff_t>(at),
                                d.begin() + static_cast<std::ptrdiff_t>(at + hidden));
        at += hidden;
        continue;
      }
      ++count_[c];
      const auto [it, added] = extent_.emplace(c, d[at]);
      if (!added) it->second = b_.broadcast({{it->second}, {d[at]}})[0];
      ++at;
    }
  }

  std::string operand_indices(Instance* n, std::size_t t) const {
    const std::string name = fmt::format("A{}", t);
    const std::vector<Dim> d = b_.dims(b_.in(static_cast<int>(t)));
    std::string list;
    std::size_t at = 0;
    for (const char c : terms_[t]) {
      std::string piece;
      if (c == '.') {
        std::vector<int> maybe;
        piece = stretched(b_, ellipses_[t], batch_, "e", &maybe);
        for (const int m : maybe) n->maybe(name, static_cast<int>(at) + m);
        at += ellipses_[t].size();
      } else {
        const Dim have = d[at], want = extent_.at(c);
        piece = have != want && b_.table().is_constant(have, 1) ? "0" : axis_name(c);
        if (piece != "0" && b_.table().may_stretch(have, want)) n->maybe(name, static_cast<int>(at));
        ++at;
      }
      if (!list.empty() && !piece.empty()) list += ',';
      list += piece;
    }
    return list;
  }

  std::vector<ValueId> instantiate() {
    Instance n(b_, "");
    std::string product, y;
    std::vector<Dim> out;
    for (const char c : result_) {
      if (!y.empty() && !(c == '.' && batch_.empty())) y += ',';
      if (c == '.') {
        y += axis_list("e", static_cast<int>(batch_.size()));
        out.insert(out.end(), batch_.begin(), batch_.end());
        continue;
      }
      if (extent_.count(c) == 0) fail(fmt::format("has an output '{}' that no operand has", c));
      y += axis_name(c);
      out.push_back(extent_.at(c));
    }
    bool reduces = result_.find('.') == std::string::npos && !batch_.empty();
    for (const auto& [c, k] : count_) reduces = reduces || result_.find(c) == std::string::npos;
    for (std::size_t t = 0; t < terms_.size(); ++t) {
      const std::string name = fmt::format("A{}", t);
      n.pack(name + ".x", operand_indices(&n, t)).input(name, b_.in(static_cast<int>(t)));
      product += fmt::format("{}{}[x...]", t == 0 ? "" : " * ", name);
    }
    n.pack("y", y).output("Y", b_.dtype(b_.in(0)), out);
    n.set_text(fmt::format("Y[y...] {} {}", reduces ? "+=" : "=", product));
    return n.build();
  }

  OpBuilder& b_;
  std::string equation_;
  std::vector<std::string> terms_;
  std::map<char, Dim> extent_;
  std::map<char, int> count_;
  std::vector<std::vector<Dim>> ellipses_;
  std::vector<Dim> batch_;
  std::string result_;
};

std::vector<ValueId> einsum(OpBuilder& b) { return Einsum(b).build(); }

constexpr Definition kTable[] = {
    {"MatMul", "Y[o...,m...,n...] += A[o...,m...,k] * B[o...,k,n...]", matmul, "Y[b0,m,n] += A[b0,m,k] * B[b0,k,n]"},
    {"Gemm", "T[m,n] += A[a...] * B[b...]\n---\nY[m,n] = T[m,n] * P[] + C[n] * Q[]", gemm,
     "T[m,n] += A[m,k] * B[k,n]; Y[m,n] = T[m,n] * 0.5 + C[n] * 2.0"},
    {"Einsum", "Y[y...] += A0[x...] * A1[x...]", einsum, "Y[b,i,j] += A0[b,i,k] * A1[b,j,k]"},
};

}  // namespace

std::span<const Definition> contraction_definitions() { return kTable; }

}  // namespace pit::graph
