// Loop nests against the expression interpreter: every statement of a corpus, with vectors along every axis that allows
// it, over extents that hit every part of the vector loop, through the kernel interpreter and LLVM for each target.
#include "lower/nest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "codegen/codegen.h"
#include "codegen/round_trip.h"
#include "lower/guarded.h"
#include "lower/row_case.h"

namespace pit::lower::test {
namespace {

using expr::Expr;

constexpr unsigned char kPoison = 0xA5;
constexpr double kInf = std::numeric_limits<double>::infinity();

codegen::Options options_for(const CpuTarget& target) {
  codegen::Options options;
  options.target = target;
  return options;
}

struct Case {
  std::string text;
  std::map<std::string, Shape> shapes;
  std::map<std::string, DType> dtypes = {};
  std::map<std::string, std::int64_t> extents = {};  ///< of axes that never stand bare in an input
  std::map<std::string, double> params = {};
  double low = -3, high = 3;
  double relative = 1e-5;
};

/// The index as an integer at a point, and whether it says so without looking anything up.
struct Point {
  const std::vector<std::int64_t>&at, &extents;
  const std::vector<double>& params;
  bool looks_up = false, affine = true;

  std::int64_t operator()(const Expr& e) {
    switch (e->kind) {
      case expr::Kind::literal: return static_cast<std::int64_t>(e->number);
      case expr::Kind::axis: return at[e->id];
      case expr::Kind::extent: return extents[e->id];
      case expr::Kind::param: return static_cast<std::int64_t>(params[e->id]);
      case expr::Kind::merge: {
        std::int64_t v = 0;
        for (const Expr& a : e->args) v = v * extents[a->id] + at[a->id];
        return v;
      }
      case expr::Kind::access: looks_up = true; return 0;
      case expr::Kind::call: break;
    }
    std::vector<std::int64_t> x;
    for (const Expr& a : e->args) x.push_back((*this)(a));
    switch (e->fn) {
      case expr::Fn::add: return x[0] + x[1];
      case expr::Fn::sub: return x[0] - x[1];
      case expr::Fn::mul: return x[0] * x[1];
      default: affine = false; return 0;
    }
  }
};

class Runner {
 public:
  Runner(const Case& c, const CpuTarget& target, unsigned seed) : case_(c), random_(seed) {
    spec_.program = expr::parse(c.text);
    spec_.target = target;
    expr::Program& p = spec_.program;
    for (expr::TensorDecl& t : p.tensors) {
      const auto it = c.dtypes.find(t.name);
      t.dtype = it != c.dtypes.end() ? it->second : DType::f32;
    }
    std::vector<Shape> shapes(p.tensors.size());
    std::map<expr::AxisId, std::int64_t> given;
    for (const auto& [name, e] : c.extents) given[p.axis_named(name)] = e;
    for (std::size_t t = 0; t < p.tensors.size(); ++t) {
      if (p.tensors[t].role != expr::Role::input) continue;
      shapes[t] = c.shapes.at(p.tensors[t].name);
      Tensor x = random_tensor(*p.tensors[t].dtype, shapes[t], random_, c.low, c.high);
      for (std::int64_t i = 0; p.tensors[t].name == "I" && i < x.size(); ++i) {  // from either end of an extent of 4
        const auto index = static_cast<std::int64_t>(random_() % 8) - 4;
        if (x.dtype() == DType::i64) x.as<std::int64_t>()[i] = index;
        else x.as<std::int32_t>()[i] = static_cast<std::int32_t>(index);
      }
      bindings_.inputs.push_back(std::move(x));
    }
    for (const std::string& name : p.params) bindings_.params.push_back(c.params.at(name));
    bindings_.extents = given;
    extents_ = expr::infer_extents(p, shapes, given);
    bindings_.output_dtypes = {*p.tensors[p.statements[0].out].dtype};
    Shape out;
    for (const Expr& i : p.statements[0].out_index) {
      std::vector<std::int64_t> last(extents_);
      for (std::int64_t& e : last) --e;
      out.push_back(Point{last, extents_, bindings_.params}(i) + 1);
    }
    if (std::find(extents_.begin(), extents_.end(), 0) != extents_.end())
      for (std::size_t d = 0; d < out.size(); ++d)
        if (const auto a = expr::bare_axis(p.statements[0].out_index[d])) out[d] = extents_[*a];
    bindings_.output_shapes = {out};
    shapes[p.statements[0].out] = out;
    for (const Shape& s : shapes) shapes_.push_back(s);
  }

  /// Vectors along each axis in turn; -1: along none.
  void run() {
    expected_ = expr::interpret(spec_.program, bindings_)[0];
    const expr::Statement& s = spec_.program.statements[0];
    const auto scan = scan_of(s);
    for (int v = -1; v < 2 * static_cast<int>(spec_.program.axes.size()); ++v) {
      spec_.scans = v >= static_cast<int>(spec_.program.axes.size());
      const int axis = spec_.scans ? v - static_cast<int>(spec_.program.axes.size()) : v;
      if (spec_.scans && (!scan || axis == scan->place)) continue;
      spec_.vector = spec_.scans && axis == scan->term ? -1 : axis;
      spec_.outer.clear();
      for (const int a : expr::free_axes(s))
        if (a != spec_.vector && !(spec_.scans && a == scan->place)) spec_.outer.push_back(a);
      spec_.operands = nest_operands(spec_.program);
      strides_.clear();
      for (Operand& o : spec_.operands) {
        o.inner = along(o, spec_.vector);
        if (o.inner == InnerAccess::strided) o.step = strides_.back();
      }
      spec_.extents.assign(extents_.size(), 0);
      for (const int a : expr::reduced_axes(s))
        if (extents_[a] < 5) spec_.extents[a] = extents_[a];
      if (const auto why = refuse_nest(spec_)) {
        EXPECT_NE(why->find("in order"), std::string::npos) << *why << " " << case_.text;
        continue;
      }
      ++tried_;
      run_once();
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_GT(tried_, 0) << case_.text;
  }

  /// What the kernel says of an index that is out of range: 1 + the operand, and the index.
  std::array<std::int64_t, 2> status{};

 private:
  std::vector<std::int64_t> pitches(const Shape& shape) const {
    std::vector<std::int64_t> s(shape.size());
    std::int64_t step = 1;
    for (std::size_t d = shape.size(); d-- > 0; step *= shape[d]) s[d] = step;
    return s;
  }

  InnerAccess along(const Operand& o, int axis) {
    std::int64_t stride = 0;
    bool moves = false, affine = true;
    const auto pitch = pitches(shapes_[o.tensor]);
    for (std::size_t d = 0; d < o.index.size(); ++d) {
      const auto axes = expr::axes_of(o.index[d]);
      if (axis < 0 || std::find(axes.begin(), axes.end(), axis) == axes.end()) continue;
      moves = true;
      std::vector<std::int64_t> at(extents_.size(), 0);
      Point point{at, extents_, bindings_.params};
      const std::int64_t here = point(o.index[d]);
      at[axis] = 1;
      stride += (point(o.index[d]) - here) * pitch[d];
      affine = affine && point.affine && !point.looks_up;
    }
    strides_.push_back(stride);
    if (!moves) return InnerAccess::broadcast;
    return !affine ? InnerAccess::computed : stride == 1 ? InnerAccess::unit : InnerAccess::strided;
  }

  std::int64_t slot(const Slot& s, std::int64_t rows) const {
    const auto bytes = [&](std::int64_t n) {
      return n * static_cast<std::int64_t>(size_of(spec_.operands[s.a].dtype));
    };
    switch (s.kind) {
      case Slot::row_count: return rows;
      case Slot::extent: return extents_[s.a];
      case Slot::inner_stride: return bytes(strides_[s.a]);
      case Slot::lookup_extent: return shapes_[spec_.operands[s.a].tensor][s.b];
      case Slot::lookup_stride: return bytes(pitches(shapes_[spec_.operands[s.a].tensor])[s.b]);
      case Slot::param: {
        const double v = bindings_.params[s.a];
        std::int64_t bits = static_cast<std::int64_t>(v);
        if (s.as_double) std::memcpy(&bits, &v, sizeof bits);
        return bits;
      }
      default: ADD_FAILURE() << "slot"; return 0;
    }
  }

  // Every third row is left out, and must keep what it held.
  void run_once() {
    NestKernel kernel = lower_nest(spec_);
    codegen::testing::expect_round_trip(kernel.kernel);
    const auto code = codegen::compile({kernel.kernel}, options_for(spec_.target));
    std::int64_t count = 1;
    for (const int a : spec_.outer) count *= extents_[a];
    std::vector<std::int32_t> rows;
    for (std::int64_t r = 0; r < count; ++r)
      if (r % 3 != 2) rows.push_back(static_cast<std::int32_t>(r));
    std::vector<std::int64_t> ints;
    for (const Slot& s : kernel.ints) ints.push_back(slot(s, static_cast<std::int64_t>(rows.size())));
    std::vector<unsigned char> first;
    for (const bool llvm : {false, true}) {
      std::vector<Guarded> memory;
      std::size_t input = 0;
      for (std::size_t t = 0; t < shapes_.size(); ++t) {
        const bool in = spec_.program.tensors[t].role == expr::Role::input;
        const std::size_t bytes =
            static_cast<std::size_t>(element_count(shapes_[t])) * size_of(*spec_.program.tensors[t].dtype);
        memory.emplace_back(bytes);
        if (in) std::memcpy(memory.back().data(), bindings_.inputs[input++].data(), bytes);
        else std::fill(memory.back().begin(), memory.back().end(), kPoison);
      }
      status = {};
      std::vector<void*> ptrs{rows.data()};
      if (kernel.has_status) ptrs.push_back(status.data());
      for (const Operand& o : spec_.operands) ptrs.push_back(memory[o.tensor].data());
      if (llvm) code->function(kernel.kernel.name)(ptrs.data(), ints.data());
      else codegen::interpret(kernel.kernel, ptrs.data(), ints.data());
      EXPECT_EQ(status[0], 0) << case_.text;
      const Guarded& out = memory[spec_.program.statements[0].out];
      compare(out, rows, llvm ? "LLVM" : "the kernel interpreter");
      if (::testing::Test::HasFailure()) return;
      std::vector<unsigned char> bits(out.data(), out.data() + out.size());
      if (llvm) {
        EXPECT_TRUE(bits == first || has_nan()) << "backends differ: " << where();
      }
      first = std::move(bits);
    }
  }

  bool has_nan() const {
    for (std::int64_t i = 0; i < expected_.size(); ++i)
      if (std::isnan(value(expected_.data(), expected_.dtype(), i))) return true;
    return false;
  }

  static double value(const void* data, DType t, std::int64_t i) {
    switch (t) {
      case DType::f32: return static_cast<const float*>(data)[i];
      case DType::f64: return static_cast<const double*>(data)[i];
      case DType::f16: return static_cast<double>(static_cast<const _Float16*>(data)[i]);
      case DType::i64: return static_cast<double>(static_cast<const std::int64_t*>(data)[i]);
      case DType::i32: return static_cast<const std::int32_t*>(data)[i];
      case DType::i8: return static_cast<const std::int8_t*>(data)[i];
      default: return static_cast<const std::uint8_t*>(data)[i];
    }
  }

  std::string where() const {
    return fmt::format("{} on {}, vectors along {}{}", case_.text, spec_.target.name,
                       spec_.vector < 0 ? "nothing" : spec_.program.axes[spec_.vector], spec_.scans ? ", scanned" : "");
  }

  std::int64_t offset_of(const expr::Statement& s, const std::vector<std::int64_t>& at) const {
    std::int64_t offset = 0;
    const auto pitch = pitches(expected_.shape());
    Point point{at, extents_, bindings_.params};
    for (std::size_t d = 0; d < s.out_index.size(); ++d) offset += point(s.out_index[d]) * pitch[d];
    return offset;
  }

  // Visited rows hold what is expected, others what they held.
  void compare(const Guarded& out, const std::vector<std::int32_t>& rows, const char* backend) const {
    const expr::Statement& s = spec_.program.statements[0];
    const DType t = expected_.dtype();
    std::vector<char> written(static_cast<std::size_t>(expected_.size()), 0);
    std::vector<int> inside;
    for (const int a : expr::free_axes(s))
      if (std::find(spec_.outer.begin(), spec_.outer.end(), a) == spec_.outer.end()) inside.push_back(a);
    std::int64_t points = 1;
    for (const int a : inside) points *= extents_[a];
    std::vector<std::int64_t> at(extents_.size(), 0);
    const auto spread = [&](const std::vector<int>& axes, std::int64_t rest) {
      for (std::size_t i = axes.size(); i-- > 0; rest /= extents_[axes[i]]) at[axes[i]] = rest % extents_[axes[i]];
    };
    for (const std::int32_t r : rows) {
      spread(spec_.outer, r);
      for (std::int64_t v = 0; v < points; ++v) {
        spread(inside, v);
        const std::int64_t offset = offset_of(s, at);
        written[static_cast<std::size_t>(offset)] = 1;
        const double got = value(out.data(), t, offset), want = value(expected_.data(), t, offset);
        const bool equal = got == want || (std::isnan(got) && std::isnan(want)) ||
                           std::abs(got - want) <= case_.relative * (1 + std::abs(want));
        ASSERT_TRUE(equal) << backend << " gives " << got << ", not " << want << " at " << offset << ": " << where();
      }
    }
    for (std::size_t i = 0; i < written.size(); ++i)
      for (std::size_t byte = 0; !written[i] && byte < size_of(t); ++byte)
        ASSERT_EQ(out[i * size_of(t) + byte], kPoison) << backend << " writes element " << i << ": " << where();
  }

  const Case& case_;
  std::mt19937 random_;
  NestSpec spec_;
  expr::Bindings bindings_;
  std::vector<std::int64_t> extents_, strides_;
  std::vector<Shape> shapes_;
  Tensor expected_;
  int tried_ = 0;
};

void check(const Case& c) {
  unsigned seed = 1;
  for (const CpuTarget& target : targets()) Runner(c, target, seed++).run();
}

TEST(Nest, Windows) {
  for (const std::int64_t w : {1, 16, 37}) {
    const std::string same = "Y[n,f,x,y] += I0[n,c,x+i-1,y+j-1 | 0] * W[f,c,i,j]";
    check({same, {{"I0", {2, 3, 5, w}}, {"W", {2, 3, 3, 3}}}, {}, {{"x", 5}, {"y", w}}});
    check({"Y[n,c,x,y] += I0[n,c,x*2+i*3-2,y*2+j-1 | 0] * W[c,i,j]",
           {{"I0", {1, 2, 9, 2 * w}}, {"W", {2, 2, 3}}},
           {},
           {{"x", 4}, {"y", w}}});
    check({"Y[n,x,y] max= X[n,x*$s+i-$p,y+j-1 | -inf]",
           {{"X", {2, 8, w}}},
           {},
           {{"x", 4}, {"y", w}, {"i", 3}, {"j", 3}},
           {{"s", 2}, {"p", 1}}});
    check({"Y[n,x,y] min= X[n,x+i-1,y+j-1 | inf]", {{"X", {2, 4, w}}}, {}, {{"x", 4}, {"y", w}, {"i", 3}, {"j", 2}}});
    check({"Y[n,x] += X[n,x+i-2 | 0]", {{"X", {2, w}}}, {}, {{"x", w}, {"i", 4}}});
    check({"Y[n,x] max= X[n,x:k,0]", {{"X", {3, 2 * w, 1}}}, {}, {{"x", w}, {"k", 2}}});
    // a default that does change the term
    check({"Y[n,x] += X[n,x+i-2 | 1.5] * W[i]", {{"X", {2, w}}, {"W", {4}}}, {}, {{"x", w}}});
    check({"Y[n,x] max= X[n,x+i-2 | 0]", {{"X", {2, w}}}, {}, {{"x", w}, {"i", 4}}});
  }
}

TEST(Nest, Padding) {
  for (const std::int64_t w : {0, 1, 15, 33}) {
    check({"Y[a,b,c] = X[a-1,b+1,c-3 | $v]", {{"X", {3, 4, w}}}, {}, {{"a", 5}, {"b", 3}, {"c", w + 5}}, {{"v", 2.5}}});
    check({"Y[a,c] = X[a,min(max(c-3,0),8)]", {{"X", {3, 9}}}, {}, {{"c", 14}}});
  }
  check({"Y[a,c] = X[a,(c+7)%9 | 0]", {{"X", {3, 9}}}, {}, {{"c", 25}}});
  check({"Y[a,c] = X[a,c//3] + Z[c%3]", {{"X", {3, 9}}, {"Z", {3}}}, {}, {{"c", 25}}});
}

TEST(Nest, ReductionsOverManyAxes) {
  for (const std::int64_t w : {0, 9, 64, 300}) {
    for (const char* combiner : {"+=", "max=", "min=", "*="})
      check({fmt::format("Y[b] {} X[a,b,c,d]", combiner), {{"X", {2, 3, 4, w}}}, {}, {}, {}, 0.9, 1.1});
    check({"Y[] += X[a,b,c] * X[a,b,c]", {{"X", {3, 2, w}}}});
    check({"Y[c] += X[a,b,c] * Z[b,a]", {{"X", {3, 2, w}}, {"Z", {2, 3}}}});
  }
}

TEST(Nest, Lookups) {
  for (const std::int64_t w : {1, 6, 40}) {
    const std::map<std::string, DType> types{{"I", DType::i64}};
    check({"Y[a,c] = X[I[a,0],I[a,1],c]", {{"X", {4, 4, w}}, {"I", {5, 2}}}, types});
    check({"Y[a,c] = X[I[a,c],c]", {{"X", {4, w}}, {"I", {5, w}}}, types});
    check({"Y[a,c] = X[I[c],a]", {{"X", {4, 5}}, {"I", {w}}}, {{"I", DType::i32}}});
    check({"Y[a,c] += X[I[a,k]+4,k | 0]*Z[c]", {{"X", {6, 3}}, {"I", {5, 3}}, {"Z", {w}}}, types});
  }
}

TEST(Nest, Types) {
  for (const DType t : {DType::f64, DType::f16, DType::i64, DType::i32, DType::i8, DType::u8}) {
    for (const std::int64_t w : {1, 20, 67}) {
      const bool is_unsigned = t == DType::u8;
      Case c{
          "Y[a,x] += X[a,x+i-1 | 0] * W[i]", {{"X", {3, w}}, {"W", {3}}}, {{"X", t}, {"W", t}, {"Y", t}}, {{"x", w}}};
      if (is_unsigned) c.low = 0;
      if (t == DType::f16) c.relative = 2e-3;
      check(c);
      c.text = "Y[a,x] max= X[a,x*1+i-1 | 0] * W[i]";
      check(c);
      c.text = "Y[a] += X[a,x] * W[i]";
      c.extents.clear();
      c.shapes = {{"X", {3, w}}, {"W", {3}}};
      check(c);
    }
  }
  check({"Y[a] or= X[a,x,y]", {{"X", {3, 4, 35}}}, {{"X", DType::b8}, {"Y", DType::b8}}});
  check({"Y[a] and= X[x,a,y] || Z[a]",
         {{"X", {3, 4, 35}}, {"Z", {4}}},
         {{"X", DType::b8}, {"Y", DType::b8}, {"Z", DType::b8}}});
  check({"Y[a,c] = cast_f32(X[c,a]) + cast_f32(c)", {{"X", {30, 4}}}, {{"X", DType::i8}}});
  check({"Y[a,c] last= select(X[a,k,c] > 0, cast_f32(k), -1)", {{"X", {3, 4, 21}}}});
}

TEST(Nest, Scans) {
  for (const char* order : {"j <= i", "j < i", "j >= i", "j > i", "i >= j", "i > j", "i <= j", "i < j"})
    for (const std::int64_t w : {0, 5, 40}) {
      const std::string text = fmt::format("Y[a,i,b] += select({}, X[a,j,b] * W[b], 0)", order);
      check({text, {{"X", {3, 6, w}}, {"W", {w}}}, {}, {{"i", 6}}});
      check({fmt::format("Y[a,i] += select({}, X[a,j], 0)", order),
             {{"X", {2, w}}},
             {{"X", DType::i64}, {"Y", DType::i64}},
             {{"i", w}}});
      check({fmt::format("Y[i,a] *= select({}, X[j,a], 1)", order), {{"X", {w, 3}}}, {}, {{"i", w}}, {}, 0.5, 1.5});
    }
  EXPECT_FALSE(scan_of(expr::parse("Y[i] += select(j <= i, X[j] * Z[i], 0)").statements[0]));
  EXPECT_FALSE(scan_of(expr::parse("Y[i] += select(j <= i, X[j], 1)").statements[0]));
  EXPECT_FALSE(scan_of(expr::parse("Y[i] *= select(j <= i, X[j], 0)").statements[0]));
  EXPECT_FALSE(scan_of(expr::parse("Y[i] += select(j <= i+1, X[j], 0)").statements[0]));
}

TEST(Nest, StoresAnywhere) {
  check({"Y[c,a] = X[a,c]", {{"X", {5, 33}}}});
  check({"Y[a:c] = X[a,c]", {{"X", {5, 33}}}});
  check({"Y[c*2+1,a] = X[a,c]", {{"X", {5, 33}}}});
}

}  // namespace

// What no instruction does is refused, and left to the interpreter.
TEST(Nest, ArithmeticOnTruthsIsRefused) {
  expr::Program p = expr::parse("Y[a] += X[a,b]");
  for (expr::TensorDecl& t : p.tensors) t.dtype = DType::b8;
  const NestSpec spec{p, {p.axis_named("a")}, p.axis_named("b"), false, nest_operands(p), {}, cpu_target("haswell")};
  ASSERT_TRUE(refuse_nest(spec));
  EXPECT_NE(refuse_nest(spec)->find("truths"), std::string::npos);
}

// An index that leads nowhere is not read with, and told.
TEST(Nest, IndexOutOfRange) {
  expr::Program p = expr::parse("Y[a,c] = X[I[c],a]");
  for (expr::TensorDecl& t : p.tensors) t.dtype = t.name == "I" ? DType::i64 : DType::f32;
  for (const CpuTarget& target : targets()) {
    for (const int vector : {p.axis_named("a"), p.axis_named("c")}) {
      NestSpec spec{p,
                    {vector == p.axis_named("a") ? p.axis_named("c") : p.axis_named("a")},
                    vector,
                    false,
                    nest_operands(p),
                    {},
                    target};
      const bool by_c = vector == p.axis_named("c");
      for (Operand& o : spec.operands) {
        const std::string& name = p.tensors[o.tensor].name;
        if (name == "I") o.inner = by_c ? InnerAccess::unit : InnerAccess::broadcast;
        if (name == "X") o.inner = by_c ? InnerAccess::computed : InnerAccess::unit;
        if (name == "Y") o.inner = by_c ? InnerAccess::unit : InnerAccess::strided;
      }
      NestKernel kernel = lower_nest(spec);
      ASSERT_TRUE(kernel.has_status);
      const auto code = codegen::compile({kernel.kernel}, options_for(target));
      std::vector<float> x(4 * 3, 1), y(3 * 20);
      std::vector<std::int64_t> index(20, 1);
      index[17] = 1'000'000'000'000;
      std::vector<std::int32_t> rows(20);
      for (int r = 0; r < 20; ++r) rows[static_cast<std::size_t>(r)] = r;
      for (const bool llvm : {false, true}) {
        std::array<std::int64_t, 2> status{};
        std::vector<void*> ptrs{rows.data(), status.data()};
        std::vector<std::int64_t> ints;
        for (const Operand& o : spec.operands)
          ptrs.push_back(p.tensors[o.tensor].name == "I"   ? static_cast<void*>(index.data())
                         : p.tensors[o.tensor].name == "X" ? static_cast<void*>(x.data())
                                                           : static_cast<void*>(y.data()));
        for (const Slot& s : kernel.ints) {
          const std::string name =
              s.kind == Slot::row_count || s.kind == Slot::extent ? "" : p.tensors[spec.operands[s.a].tensor].name;
          const std::int64_t extents[] = {3, 20};
          if (s.kind == Slot::row_count) ints.push_back(by_c ? 3 : 20);
          else if (s.kind == Slot::extent) ints.push_back(extents[s.a == p.axis_named("c")]);
          else if (s.kind == Slot::inner_stride) ints.push_back(20 * 4);
          else if (s.kind == Slot::lookup_extent)
            ints.push_back(name == "I" ? 20 : name == "X" ? (s.b ? 3 : 4) : (s.b ? 20 : 3));
          else ints.push_back(name == "I" ? 8 : name == "X" ? (s.b ? 4 : 12) : (s.b ? 4 : 80));
        }
        if (llvm) code->function(kernel.kernel.name)(ptrs.data(), ints.data());
        else codegen::interpret(kernel.kernel, ptrs.data(), ints.data());
        EXPECT_GT(status[0], 0);
        EXPECT_EQ(status[1], 1'000'000'000'000);
      }
    }
  }
}

}  // namespace pit::lower::test
