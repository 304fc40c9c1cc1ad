// Shape computations: operators whose operands are small integer (or bool) tensors with elements known as Dims. Their
// results are Dims too, so no node is made; reshapes, slices and ranges downstream see formulas over the input extents.
// Bools are 0 and 1.
#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "graph/numeric.h"
#include "graph/opset/builder.h"
#include "tensor/strided.h"

namespace pit::graph {
namespace {

constexpr std::int64_t kLimit = 4096;  // elements

using Strides = std::vector<std::int64_t>;

// More than kLimit is as good as any other number that is too many; extents that a broken model makes up must not
// overflow.
std::int64_t count(const Shape& s) {
  if (std::find(s.begin(), s.end(), 0) != s.end()) return 0;
  std::int64_t n = 1;
  for (const std::int64_t d : s) n = d < 0 || n > kLimit || d > kLimit ? kLimit + 1 : n * d;
  return n;
}

Strides strides_of(const Shape& s) {
  Strides r(s.size(), 1);
  for (std::size_t i = s.size(); i-- > 1;) r[i - 1] = r[i] * s[i];
  return r;
}

// Elements of `k` at base + sum(position * stride) over `shape`.
Known take(const Known& k, const Shape& shape, const Strides& stride, std::int64_t base) {
  Known r{shape, {}};
  std::vector<std::int64_t> at(shape.size(), 0);
  for (std::int64_t n = count(shape); n > 0; --n) {
    r.e.push_back(k.e[static_cast<std::size_t>(base)]);
    next_position(at, shape, stride, &base);
  }
  return r;
}

std::optional<Known> broadcast_to(const Known& k, const Shape& shape) {
  if (k.shape.size() > shape.size()) return std::nullopt;
  Strides own = strides_of(k.shape), s(shape.size(), 0);
  const std::size_t offset = shape.size() - k.shape.size();
  for (std::size_t i = 0; i < k.shape.size(); ++i) {
    if (k.shape[i] == shape[offset + i]) s[offset + i] = own[i];
    else if (k.shape[i] != 1) return std::nullopt;
  }
  return take(k, shape, s, 0);
}

std::optional<Shape> common_shape(const std::vector<Known>& ks) {
  Shape r;
  for (const Known& k : ks) {
    if (k.shape.size() > r.size()) r.insert(r.begin(), k.shape.size() - r.size(), 1);
  }
  for (const Known& k : ks) {
    for (std::size_t i = 0; i < k.shape.size(); ++i) {
      std::int64_t& d = r[r.size() - k.shape.size() + i];
      if (d != k.shape[i] && d != 1 && k.shape[i] != 1) return std::nullopt;
      if (d == 1) d = k.shape[i];
    }
  }
  return r;
}

using Function = Dim (*)(DimTable&, const std::vector<Dim>&);

struct Elementwise {
  int arity;  // -1: any number, folded from the left
  bool to_bool;
  Function f;
};

Dim truth(DimTable& t, bool v) { return t.constant(v ? 1 : 0); }

const std::unordered_map<std::string_view, Elementwise>& elementwise() {
  using T = DimTable;
  using A = std::vector<Dim>;
  static const std::unordered_map<std::string_view, Elementwise> table = {
      {"Add", {2, false, [](T& t, const A& a) { return t.add(a[0], a[1]); }}},
      {"Sub", {2, false, [](T& t, const A& a) { return t.sub(a[0], a[1]); }}},
      {"Mul", {2, false, [](T& t, const A& a) { return t.mul(a[0], a[1]); }}},
      {"Div", {2, false, [](T& t, const A& a) { return t.div(a[0], a[1]); }}},
      {"Max", {-1, false, [](T& t, const A& a) { return t.max(a[0], a[1]); }}},
      {"Min", {-1, false, [](T& t, const A& a) { return t.min(a[0], a[1]); }}},
      {"Sum", {-1, false, [](T& t, const A& a) { return t.add(a[0], a[1]); }}},
      {"Equal", {2, true, [](T& t, const A& a) { return t.select_eq(a[0], a[1], truth(t, true), truth(t, false)); }}},
      {"Less", {2, true, [](T& t, const A& a) { return t.select_lt(a[0], a[1], truth(t, true), truth(t, false)); }}},
      {"Greater", {2, true, [](T& t, const A& a) { return t.select_lt(a[1], a[0], truth(t, true), truth(t, false)); }}},
      {"LessOrEqual",
       {2, true, [](T& t, const A& a) { return t.select_lt(a[1], a[0], truth(t, false), truth(t, true)); }}},
      {"GreaterOrEqual",
       {2, true, [](T& t, const A& a) { return t.select_lt(a[0], a[1], truth(t, false), truth(t, true)); }}},
      {"And", {2, true, [](T& t, const A& a) { return t.min(a[0], a[1]); }}},
      {"Or", {2, true, [](T& t, const A& a) { return t.max(a[0], a[1]); }}},
      {"Xor", {2, true, [](T& t, const A& a) { return t.select_eq(a[0], a[1], truth(t, false), truth(t, true)); }}},
      {"Not", {1, true, [](T& t, const A& a) { return t.sub(t.constant(1), a[0]); }}},
      {"Neg", {1, false, [](T& t, const A& a) { return t.sub(t.constant(0), a[0]); }}},
      {"Abs", {1, false, [](T& t, const A& a) { return t.max(a[0], t.sub(t.constant(0), a[0])); }}},
      {"Relu", {1, false, [](T& t, const A& a) { return t.max(a[0], t.constant(0)); }}},
      {"Where", {3, false, [](T& t, const A& a) { return t.select_eq(a[0], t.constant(0), a[2], a[1]); }}},
  };
  return table;
}

class Evaluator {
 public:
  Evaluator(OpBuilder& b, std::vector<Known> in) : b_(b), t_(b.table()), in_(std::move(in)) {}

  std::optional<std::vector<ValueId>> run();

 private:
  std::optional<std::vector<ValueId>> one(std::optional<Known> k, DType dtype) {
    if (!k || count(k->shape) > kLimit || !b_.g.may_fold(count(k->shape))) return std::nullopt;
    // Numbers that do not fit an i64 wrap around, which the interpreter knows how to do.
    const auto constant = [&](Dim d) { return t_.constant_value(d).has_value(); };
    const bool from_constants = std::all_of(
        in_.begin(), in_.end(), [&](const Known& i) { return std::all_of(i.e.begin(), i.e.end(), constant); });
    if (from_constants && !std::all_of(k->e.begin(), k->e.end(), constant)) return std::nullopt;
    return std::vector<ValueId>{b_.add_known(std::move(*k), dtype, 0)};
  }
  DType type0() const { return b_.dtype(b_.in(0)); }
  int rank0() const { return static_cast<int>(in_[0].shape.size()); }
  std::optional<std::vector<std::int64_t>> numbers(std::size_t i) const {
    std::vector<std::int64_t> r;
    if (i >= in_.size()) return std::nullopt;  // an operand that the operator cannot do without: the op set says so
    for (const Dim d : in_[i].e) {
      const auto v = t_.constant_value(d);
      if (!v) return std::nullopt;
      r.push_back(*v);
    }
    return r;
  }

  std::optional<Known> map(const Elementwise& op);
  std::optional<Known> modulo();
  std::optional<Known> concat();
  std::optional<Known> gather();
  std::optional<Known> slice();
  std::optional<Known> reduce();
  std::optional<Known> cum_sum();
  std::optional<Known> reshape();
  std::optional<Known> transpose();
  std::optional<std::vector<ValueId>> split();

  OpBuilder& b_;
  DimTable& t_;
  std::vector<Known> in_;
};

std::optional<Known> Evaluator::map(const Elementwise& op) {
  if (op.arity >= 0 && static_cast<int>(in_.size()) != op.arity) return std::nullopt;
  const auto shape = common_shape(in_);
  if (!shape || count(*shape) > kLimit) return std::nullopt;
  std::vector<Known> full;
  for (const Known& k : in_) full.push_back(*broadcast_to(k, *shape));
  Known r{*shape, {}};
  for (std::size_t i = 0; i < full[0].e.size(); ++i) {
    if (op.arity >= 0) {
      std::vector<Dim> a;
      for (const Known& k : full) a.push_back(k.e[i]);
      r.e.push_back(op.f(t_, a));
    } else {
      Dim d = full[0].e[i];
      for (std::size_t j = 1; j < full.size(); ++j) d = op.f(t_, {d, full[j].e[i]});
      r.e.push_back(d);
    }
  }
  return r;
}

std::optional<Known> Evaluator::modulo() {
  // fmod = 1 truncates; on non-negative operands both agree.
  if (b_.int_attr("fmod", 0) != 0) {
    return map(
        {2, false, [](DimTable& t, const std::vector<Dim>& a) { return t.sub(a[0], t.mul(t.div(a[0], a[1]), a[1])); }});
  }
  return map({2, false, [](DimTable& t, const std::vector<Dim>& a) { return t.mod(a[0], a[1]); }});
}

std::optional<Known> Evaluator::concat() {
  const auto a = static_cast<std::size_t>(b_.normal_axis(b_.int_attr("axis", 0), rank0()));
  Known r{in_[0].shape, {}};
  r.shape[a] = 0;
  for (const Known& k : in_) {
    if (k.shape.size() != r.shape.size()) return std::nullopt;
    for (std::size_t i = 0; i < k.shape.size(); ++i)
      if (i != a && k.shape[i] != r.shape[i]) return std::nullopt;
    r.shape[a] += k.shape[a];
  }
  const std::int64_t outer = count(Shape(r.shape.begin(), r.shape.begin() + static_cast<std::ptrdiff_t>(a)));
  for (std::int64_t o = 0; o < outer; ++o) {
    for (const Known& k : in_) {
      const auto block = static_cast<std::ptrdiff_t>(k.e.size()) / std::max<std::ptrdiff_t>(outer, 1);
      r.e.insert(r.e.end(), k.e.begin() + o * block, k.e.begin() + (o + 1) * block);
    }
  }
  return r;
}

std::optional<Known> Evaluator::gather() {
  const auto index = numbers(1);
  if (!index) return std::nullopt;
  const auto a = static_cast<std::size_t>(b_.normal_axis(b_.int_attr("axis", 0), rank0()));
  const Shape& s = in_[0].shape;
  const auto cut = static_cast<std::ptrdiff_t>(a);
  Known r{{s.begin(), s.begin() + cut}, {}};
  r.shape.insert(r.shape.end(), in_[1].shape.begin(), in_[1].shape.end());
  r.shape.insert(r.shape.end(), s.begin() + cut + 1, s.end());
  const std::int64_t inner = strides_of(s)[a], outer = count(Shape(s.begin(), s.begin() + cut));
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t i : *index) {
      if (i < -s[a] || i >= s[a]) b_.fail(fmt::format("index {} is out of range for extent {}", i, s[a]), b_.in(1));
      if (i < 0) i += s[a];
      const auto at = in_[0].e.begin() + (o * s[a] + i) * inner;
      r.e.insert(r.e.end(), at, at + inner);
    }
  }
  return r;
}

std::optional<Known> Evaluator::slice() {
  std::vector<std::int64_t> starts, ends, axes, steps;
  if (b_.call.opset < 10) {
    starts = b_.ints_attr("starts");
    ends = b_.ints_attr("ends");
    axes = b_.ints_attr("axes");
  } else {
    if (in_.size() < 3) return std::nullopt;
    const auto s = numbers(1), e = numbers(2);
    if (!s || !e) return std::nullopt;
    starts = *s;
    ends = *e;
    const auto a = b_.has(3) ? numbers(3) : axes, t = b_.has(4) ? numbers(in_.size() - 1) : steps;
    if (!a || !t) return std::nullopt;
    axes = *a;
    steps = *t;
  }
  const auto fits = [&](const std::vector<std::int64_t>& list) { return list.empty() || list.size() == starts.size(); };
  if (ends.size() != starts.size() || !fits(axes) || !fits(steps)) return std::nullopt;
  Shape shape = in_[0].shape;
  Strides stride = strides_of(shape);
  std::int64_t base = 0;
  std::vector<bool> cut(shape.size(), false);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const auto a =
        static_cast<std::size_t>(b_.normal_axis(axes.empty() ? static_cast<std::int64_t>(i) : axes[i], rank0()));
    if (cut[a]) return std::nullopt;
    cut[a] = true;
    const std::int64_t n = in_[0].shape[a], step = steps.empty() ? 1 : std::clamp(steps[i], -n - 1, n + 1);
    if (step == 0) return std::nullopt;
    const auto clamp = [&](std::int64_t v, std::int64_t lo, std::int64_t hi) {
      return std::clamp(v < 0 ? (v < -n ? -1 - n : v) + n : v, lo, hi);
    };
    const std::int64_t s =
        step > 0 ? clamp(starts[i], 0, n) : clamp(starts[i], std::min<std::int64_t>(0, n - 1), n - 1);
    const std::int64_t e = step > 0 ? clamp(ends[i], 0, n) : clamp(ends[i], -1, n - 1);
    shape[a] = std::max<std::int64_t>(0, step > 0 ? (e - s + step - 1) / step : (s - e - step - 1) / -step);
    base += s * stride[a];
    stride[a] *= step;
  }
  return take(in_[0], shape, stride, count(shape) == 0 ? 0 : base);
}

std::optional<Known> Evaluator::reduce() {
  const std::string& op = b_.call.op;
  const std::vector<int> axes = b_.axes("axes", 1, rank0());
  const bool all = axes.empty(), keep = b_.int_attr("keepdims", 1) != 0;
  if (all && b_.int_attr("noop_with_empty_axes", 0) != 0) return in_[0];
  const auto over = [&](int a) { return all || std::find(axes.begin(), axes.end(), a) != axes.end(); };
  Known r;
  std::int64_t cells = 1;
  Strides to(in_[0].shape.size(), 0);
  for (int a = rank0(); a-- > 0;) {
    const std::int64_t n = in_[0].shape[static_cast<std::size_t>(a)];
    if (!over(a)) {
      to[static_cast<std::size_t>(a)] = cells;
      cells *= n;
    }
    if (!over(a) || keep) r.shape.insert(r.shape.begin(), over(a) ? 1 : n);
  }
  r.e.assign(static_cast<std::size_t>(cells), Dim{});
  const Strides from = strides_of(in_[0].shape);
  for (std::size_t i = 0; i < in_[0].e.size(); ++i) {
    std::int64_t cell = 0;
    for (std::size_t a = 0; a < from.size(); ++a)
      cell += static_cast<std::int64_t>(i) / from[a] % in_[0].shape[a] * to[a];
    Dim& d = r.e[static_cast<std::size_t>(cell)];
    const Dim x = in_[0].e[i];
    if (d.id < 0) d = x;
    else
      d = op == "ReduceProd"  ? t_.mul(d, x)
          : op == "ReduceMax" ? t_.max(d, x)
          : op == "ReduceMin" ? t_.min(d, x)
                              : t_.add(d, x);
  }
  for (Dim& d : r.e) {
    if (d.id >= 0) continue;
    if (op == "ReduceMax" || op == "ReduceMin") return std::nullopt;
    d = t_.constant(op == "ReduceProd" ? 1 : 0);
  }
  return r;
}

std::optional<Known> Evaluator::cum_sum() {
  const auto axis = numbers(1);
  if (rank0() != 1 || !axis || axis->size() != 1 || ((*axis)[0] != 0 && (*axis)[0] != -1) ||
      b_.int_attr("exclusive", 0) != 0 || b_.int_attr("reverse", 0) != 0)
    return std::nullopt;
  Known r = in_[0];
  for (std::size_t i = 1; i < r.e.size(); ++i) r.e[i] = t_.add(r.e[i - 1], r.e[i]);
  return r;
}

// Reshape, Squeeze, Unsqueeze, Flatten, Expand keep or repeat the elements.
std::optional<Known> Evaluator::reshape() {
  const std::string& op = b_.call.op;
  const Shape& s = in_[0].shape;
  Shape out;
  if (op == "Reshape" || op == "Expand") {
    const auto target = numbers(1);
    if (!target) return std::nullopt;
    if (op == "Expand") {
      const auto shape = common_shape({in_[0], Known{*target, {}}});
      if (!shape || count(*shape) > kLimit) return std::nullopt;
      return broadcast_to(in_[0], *shape);
    }
    for (const std::int64_t d : *target)
      if (d < -1) return std::nullopt;
    const bool allow_zero = b_.int_attr("allowzero", 0) != 0;
    for (std::size_t i = 0; i < target->size(); ++i)
      out.push_back((*target)[i] == 0 && !allow_zero && i < s.size() ? s[i] : (*target)[i]);
    if (const auto it = std::find(out.begin(), out.end(), -1); it != out.end()) {
      *it = 1;
      const std::int64_t rest = count(out);
      *it = rest == 0 ? 0 : count(s) / rest;
    }
    if (std::find(out.begin(), out.end(), -1) != out.end()) return std::nullopt;
  } else if (op == "Flatten") {
    const std::int64_t axis = b_.int_attr("axis", 1);
    const auto cut = static_cast<std::ptrdiff_t>(axis < 0 ? axis + rank0() : axis);
    if (cut < 0 || cut > rank0()) return std::nullopt;
    out = {count(Shape(s.begin(), s.begin() + cut)), count(Shape(s.begin() + cut, s.end()))};
  } else if (op == "Squeeze") {
    const std::vector<int> axes = b_.axes("axes", 1, rank0());
    const bool all = axes.empty();
    for (int i = 0; i < rank0(); ++i) {
      const std::int64_t d = s[static_cast<std::size_t>(i)];
      const bool named = std::find(axes.begin(), axes.end(), i) != axes.end();
      if (named && d != 1) return std::nullopt;  // the op set says what is wrong
      if (!named && !(all && d == 1)) out.push_back(d);
    }
  } else {
    const auto list = b_.has_attr("axes") ? std::optional(b_.ints_attr("axes")) : numbers(1);
    if (!list) return std::nullopt;
    const int rank = rank0() + static_cast<int>(list->size());
    out.assign(static_cast<std::size_t>(rank), -1);
    for (const std::int64_t a : *list) {
      std::int64_t& d = out[static_cast<std::size_t>(b_.normal_axis(a, rank))];
      if (d == 1) return std::nullopt;  // named twice
      d = 1;
    }
    std::size_t next = 0;
    for (std::int64_t& d : out) {
      if (d < 0) d = next < s.size() ? s[next++] : 1;
    }
  }
  if (count(out) != count(s))
    b_.fail(fmt::format("{} elements cannot be reshaped to {}", count(s), to_string(out)), b_.in(0));
  return Known{out, in_[0].e};
}

std::optional<Known> Evaluator::transpose() {
  std::vector<std::int64_t> perm = b_.ints_attr("perm");
  if (perm.empty()) {
    for (int i = rank0(); i-- > 0;) perm.push_back(i);
  }
  const Strides own = strides_of(in_[0].shape);
  Shape shape;
  Strides stride;
  std::vector<std::int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i)
    if (sorted.size() != in_[0].shape.size() || sorted[i] != static_cast<std::int64_t>(i)) return std::nullopt;
  for (const std::int64_t p : perm) {
    const auto a = static_cast<std::size_t>(b_.normal_axis(p, rank0()));
    shape.push_back(in_[0].shape[a]);
    stride.push_back(own[a]);
  }
  return take(in_[0], shape, stride, 0);
}

std::optional<std::vector<ValueId>> Evaluator::split() {
  const std::int64_t axis = b_.int_attr("axis", 0);
  const auto n = static_cast<std::int64_t>(b_.output_count());
  if (rank0() != 1 || (axis != 0 && axis != -1) || b_.int_attr("num_outputs", n) != n) return std::nullopt;
  const std::int64_t size = in_[0].shape[0];
  const bool even = b_.has(1) || b_.has_attr("split") || b_.call.opset >= 18;
  if (n == 0 || (!even && size % n != 0)) return std::nullopt;
  std::vector<std::int64_t> parts;
  if (b_.has(1)) parts = numbers(1).value_or(std::vector<std::int64_t>{});
  else if (b_.has_attr("split")) parts = b_.ints_attr("split");
  else
    for (std::int64_t i = 0, chunk = (size + n - 1) / n; i < n; ++i) parts.push_back(std::min(chunk, size - i * chunk));
  if (static_cast<std::int64_t>(parts.size()) != n ||
      std::any_of(parts.begin(), parts.end(), [&](auto p) { return p < 0 || p > size; }) ||
      std::accumulate(parts.begin(), parts.end(), std::int64_t{0}) != size)
    return std::nullopt;
  std::vector<ValueId> r;
  auto at = in_[0].e.begin();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t p = parts[static_cast<std::size_t>(i)];
    r.push_back(b_.wants(static_cast<int>(i)) ? b_.add_known({{p}, {at, at + p}}, type0(), static_cast<int>(i)) : -1);
    at += p;
  }
  return r;
}

std::optional<std::vector<ValueId>> Evaluator::run() {
  const std::string& op = b_.call.op;
  if (const auto it = elementwise().find(op); it != elementwise().end()) {
    const DType t = op == "Where" ? b_.dtype(b_.in(1)) : it->second.to_bool ? DType::b8 : type0();
    return one(map(it->second), t);
  }
  if (op == "Mod") return one(modulo(), type0());
  if (op == "Cast" || op == "CastLike") {
    const auto to = op == "Cast" ? dtype_of_onnx(b_.int_attr("to", 0)) : std::optional(b_.dtype(b_.in(1)));
    if (!to || is_float(*to)) return std::nullopt;
    Known k = in_[0];
    if (*to == DType::b8 && type0() != DType::b8) {
      for (Dim& d : k.e) d = t_.select_eq(d, t_.constant(0), t_.constant(0), t_.constant(1));
    } else if (*to == DType::i8 || *to == DType::u8) {
      return std::nullopt;  // may wrap around
    }
    return one(std::move(k), *to);
  }
  if (op == "Concat") return one(concat(), type0());
  if (op == "Gather") return one(gather(), type0());
  if (op == "Slice") return one(slice(), type0());
  if (op == "Transpose") return one(transpose(), type0());
  if (op == "CumSum") return one(cum_sum(), type0());
  if (op == "Split") return split();
  if (op == "Reshape" || op == "Squeeze" || op == "Unsqueeze" || op == "Flatten" || op == "Expand")
    return one(reshape(), type0());
  if (op == "ReduceSum" || op == "ReduceProd" || op == "ReduceMax" || op == "ReduceMin") {
    if (type0() == DType::b8) return std::nullopt;
    return one(reduce(), type0());
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::vector<ValueId>> evaluate_known(OpBuilder& b) {
  std::vector<Known> in;
  bool symbolic = false, large = false;
  for (int i = 0; i < b.input_count(); ++i) {
    symbolic = symbolic || (b.has(i) && b.value(b.in(i)).has_elements);
    large = large || (b.has(i) && b.value(b.in(i)).is_constant() && b.value(b.in(i)).constant.size() > 64);
  }
  if (large && !symbolic) return std::nullopt;  // data, for the interpreter to fold
  for (int i = 0; i < b.input_count(); ++i) {
    if (!b.has(i)) {
      if (b.call.op == "Slice" && i == 3) continue;  // axes left out, steps given
      return std::nullopt;
    }
    std::optional<Known> k = b.known(b.in(i));
    if (!k) return std::nullopt;
    in.push_back(std::move(*k));
  }
  if (in.empty()) return std::nullopt;
  return Evaluator(b, std::move(in)).run();
}

}  // namespace pit::graph
