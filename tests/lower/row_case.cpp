#include "lower/row_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <numeric>

#include "codegen/codegen.h"
#include "codegen/round_trip.h"
#include "lower/guarded.h"
#include "support/check.h"

namespace pit::lower::test {

namespace {

using expr::Expr;
using expr::Kind;

constexpr unsigned char kPoison = 0xA5;

/// A tensor in storage of its own order and pitch. Strides are in elements.
struct Stored {
  Guarded bytes;
  Shape shape;
  std::vector<std::int64_t> strides;
  DType dtype = DType::f32;

  unsigned char* at(std::int64_t element) {
    return bytes.data() + 64 + element * static_cast<std::int64_t>(size_of(dtype));
  }
};

Stored store(const Shape& shape, DType dtype, std::mt19937& random, bool scattered) {
  Stored s;
  s.shape = shape;
  s.dtype = dtype;
  std::vector<int> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  if (scattered && random() % 2) std::shuffle(order.begin(), order.end(), random);
  s.strides.assign(shape.size(), 1);
  std::int64_t pitch = scattered && random() % 4 == 0 ? 2 : 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    s.strides[order[i]] = pitch;
    pitch *= std::max<std::int64_t>(shape[order[i]], 1);
    if (scattered && random() % 4 == 0) pitch += 3;
  }
  s.bytes = Guarded(static_cast<std::size_t>(pitch) * size_of(dtype) + 64);
  std::fill(s.bytes.begin(), s.bytes.end(), kPoison);
  return s;
}

template <class F>
void for_each_point(const Shape& shape, F&& f) {
  for (std::int64_t e : shape)
    if (e == 0) return;
  std::vector<std::int64_t> at(shape.size(), 0);
  for (;;) {
    f(at);
    std::size_t d = shape.size();
    while (d > 0 && ++at[d - 1] == shape[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

std::int64_t offset_of(const std::vector<std::int64_t>& at, const std::vector<std::int64_t>& strides) {
  std::int64_t o = 0;
  for (std::size_t d = 0; d < at.size(); ++d) o += at[d] * strides[d];
  return o;
}

class Runner {
 public:
  Runner(const RowCase& c, const CpuTarget& target) : case_(c), random_(c.seed), target_(target) { prepare(); }

  const RowSpec& spec() const { return spec_; }

  void run() {
    std::vector<Tensor> expected = expr::interpret(spec_.program, bindings_);
    if (auto why = refuse_rows(spec_)) {
      ADD_FAILURE() << "refused: " << *why << "\n" << case_.text;
      return;
    }
    RowKernel kernel = lower_rows(spec_);
    codegen::testing::expect_round_trip(kernel.kernel);
    codegen::Options options;
    options.target = target_;
    auto code = codegen::compile({kernel.kernel}, options);
    codegen::KernelFn compiled = code->function(kernel.kernel.name);
    std::vector<std::int64_t> rows = choose_rows();
    std::vector<std::vector<unsigned char>> by_interpreter;
    for (bool llvm : {false, true}) {
      poison_outputs();
      execute(kernel, rows, [&](void* const* p, const std::int64_t* i) {
        if (llvm) compiled(p, i);
        else codegen::interpret(kernel.kernel, p, i);
      });
      compare(expected, rows, llvm ? "LLVM " + target_.name : "kernel interpreter " + target_.name);
      if (::testing::Test::HasFailure()) return;
      if (!llvm)
        for (const Stored& s : stored_) by_interpreter.emplace_back(s.bytes.data(), s.bytes.data() + s.bytes.size());
    }
    expect_same_bits(by_interpreter);
  }

 private:
  /// Both backends follow one specification: equal bits, but for NaNs.
  void expect_same_bits(const std::vector<std::vector<unsigned char>>& by_interpreter) {
    for (std::size_t t = 0; t < stored_.size(); ++t) {
      const Stored& s = stored_[t];
      std::size_t size = size_of(s.dtype);
      for (std::size_t i = 64; i + size <= s.bytes.size(); i += size) {
        const void *a = by_interpreter[t].data() + i, *b = s.bytes.data() + i;
        if (std::memcmp(a, b, size) == 0) continue;
        bool both_nan = (s.dtype == DType::f32 && std::isnan(read<float>(a)) && std::isnan(read<float>(b))) ||
                        (s.dtype == DType::f64 && std::isnan(read<double>(a)) && std::isnan(read<double>(b))) ||
                        (s.dtype == DType::f16 && std::isnan(half(a)) && std::isnan(half(b)));
        if (!both_nan) {
          ADD_FAILURE() << "the kernel interpreter and LLVM differ at byte " << i << ", "
                        << describe(static_cast<int>(t));
          return;
        }
      }
    }
  }

  void prepare() {
    spec_.program = expr::parse(case_.text, case_.outputs);
    spec_.name = "test";
    spec_.target = target_;
    expr::Program& p = spec_.program;
    for (expr::TensorDecl& t : p.tensors) {
      auto it = case_.dtypes.find(t.name);
      if (it != case_.dtypes.end()) t.dtype = it->second;
      else if (t.role != expr::Role::temp) t.dtype = DType::f32;
    }
    if (auto problem = expr::check(p)) PIT_UNREACHABLE("{}: {}", case_.text, *problem);
    std::vector<Shape> shapes(p.tensors.size());
    stored_.resize(p.tensors.size());
    for (std::size_t t = 0; t < p.tensors.size(); ++t)
      if (p.tensors[t].role == expr::Role::input) shapes[t] = prepare_input(static_cast<int>(t));
    std::map<expr::AxisId, std::int64_t> given;
    for (auto& [name, e] : case_.extents)
      if (p.axis_named(name) >= 0) given[p.axis_named(name)] = e;
    bindings_.extents = given;
    extents_ = expr::infer_extents(p, shapes, given);
    for (const std::string& name : p.params) bindings_.params.push_back(case_.params.at(name));
    prepare_outputs();
    prepare_roles();
  }

  Shape prepare_input(int t) {
    const expr::TensorDecl& decl = spec_.program.tensors[t];
    Tensor value;
    if (auto it = case_.data.find(decl.name); it != case_.data.end()) value = it->second;
    else value = random_tensor(*decl.dtype, case_.shapes.at(decl.name), random_, case_.low, case_.high);
    bindings_.inputs.push_back(value);
    if (auto it = case_.undefined.find(decl.name); it != case_.undefined.end()) value = it->second;
    stored_[t] = store(value.shape(), value.dtype(), random_, case_.scattered_storage);
    std::int64_t i = 0;
    std::size_t size = size_of(value.dtype());
    for_each_point(value.shape(), [&](const std::vector<std::int64_t>& at) {
      std::memcpy(stored_[t].at(offset_of(at, stored_[t].strides)), static_cast<const char*>(value.data()) + size * i++,
                  size);
    });
    return value.shape();
  }

  void prepare_outputs() {
    const expr::Program& p = spec_.program;
    for (std::size_t t = 0; t < p.tensors.size(); ++t) {
      if (p.tensors[t].role != expr::Role::output) continue;
      Shape shape(p.tensors[t].rank, 0);
      if (auto it = case_.output_shapes.find(p.tensors[t].name); it != case_.output_shapes.end()) shape = it->second;
      else
        for (const expr::Statement& s : p.statements)
          if (s.out == static_cast<int>(t))
            for (std::size_t d = 0; d < shape.size(); ++d) shape[d] = extents_[expr::bare_axis(s.out_index[d]).value()];
      bindings_.output_shapes.push_back(shape);
      bindings_.output_dtypes.push_back(*p.tensors[t].dtype);
      stored_[t] = store(shape, *p.tensors[t].dtype, random_, case_.scattered_storage);
    }
  }

  void prepare_roles() {
    const expr::Program& p = spec_.program;
    for (std::size_t a = 0; a < p.axes.size(); ++a) {
      AxisRole role = p.axes[a] == case_.inner ? AxisRole::inner
                      : p.axes[a] == case_.mid ? AxisRole::mid
                                               : AxisRole::outer;
      spec_.roles.push_back(role);
      if (role == AxisRole::outer) outer_.push_back(static_cast<int>(a));
      if (role == AxisRole::inner) inner_ = static_cast<int>(a);
      if (role == AxisRole::mid) mid_ = static_cast<int>(a);
    }
    spec_.operands = collect_operands(p);
    for (Operand& o : spec_.operands) {
      std::int64_t stride = inner_ < 0 ? 0 : stride_of(o, inner_);
      o.inner = stride == 0 ? InnerAccess::broadcast : stride == 1 ? InnerAccess::unit : InnerAccess::strided;
      if (o.inner == InnerAccess::broadcast && o.written && inner_ >= 0) {
        for (const Expr& i : o.index)
          for (int a : expr::axes_of(i))
            if (a == inner_) o.inner = InnerAccess::unit;
      }
    }
    spec_.absorbing.assign(p.statements.size(), -1);
    for (auto& [s, name] : case_.absorbing) spec_.absorbing[s] = p.tensor(name);
  }

  std::int64_t index_value(const Expr& e, const std::vector<std::int64_t>& at) const {
    switch (e->kind) {
      case Kind::literal: return static_cast<std::int64_t>(e->number);
      case Kind::axis: return at[e->id];
      case Kind::extent: return extents_[e->id];
      case Kind::param: return static_cast<std::int64_t>(bindings_.params[e->id]);
      case Kind::merge: {
        std::int64_t v = 0;
        for (const Expr& a : e->args) v = v * extents_[a->id] + at[a->id];
        return v;
      }
      case Kind::access: return 0;
      case Kind::call: break;
    }
    std::int64_t a = index_value(e->args[0], at), b = e->args.size() > 1 ? index_value(e->args[1], at) : 0;
    switch (e->fn) {
      case expr::Fn::add: return a + b;
      case expr::Fn::sub: return a - b;
      case expr::Fn::mul: return a * b;
      case expr::Fn::neg: return -a;
      default: PIT_UNREACHABLE("index function");
    }
  }

  /// Element offset of an access, lookups counting nothing.
  std::int64_t place(const Operand& o, const std::vector<std::int64_t>& at) const {
    std::int64_t sum = 0;
    for (std::size_t d = 0; d < o.index.size(); ++d) {
      bool lookup = false;
      expr::for_each_access(o.index[d], [&](const Expr&) { lookup = true; });
      if (!lookup) sum += index_value(o.index[d], at) * stored_[o.tensor].strides[d];
    }
    return sum;
  }
  std::int64_t stride_of(const Operand& o, int axis) const {
    std::vector<std::int64_t> at(extents_.size(), 0);
    std::int64_t base = place(o, at);
    at[axis] = 1;
    return place(o, at) - base;
  }

  std::vector<std::int64_t> choose_rows() {
    std::vector<std::int64_t> rows;
    std::int64_t count = outer_.empty() ? 1 : extents_[outer_.back()];
    std::bernoulli_distribution live(case_.live);
    for (std::int64_t r = 0; r < count; ++r)
      if (outer_.empty() || live(random_)) rows.push_back(r);
    return rows;
  }

  void poison_outputs() {
    for (std::size_t t = 0; t < stored_.size(); ++t)
      if (spec_.program.tensors[t].role == expr::Role::output)
        std::fill(stored_[t].bytes.begin(), stored_[t].bytes.end(), kPoison);
  }

  /// body(coordinates of the outer axes but the last) for each combination.
  template <class F>
  void over_outer(F&& body) {
    Shape shape;
    for (std::size_t i = 0; i + 1 < outer_.size(); ++i) shape.push_back(extents_[outer_[i]]);
    for_each_point(shape, [&](const std::vector<std::int64_t>& at) {
      std::vector<std::int64_t> full(extents_.size(), 0);
      for (std::size_t i = 0; i < at.size(); ++i) full[outer_[i]] = at[i];
      body(full);
    });
  }

  std::int64_t slot_value(const Slot& s, const std::vector<std::int64_t>& at, std::int64_t row_count) const {
    auto bytes = [&](std::int64_t elements) {
      return elements * static_cast<std::int64_t>(size_of(spec_.operands[s.a].dtype));
    };
    switch (s.kind) {
      case Slot::row_count: return row_count;
      case Slot::inner_extent: return extents_[inner_];
      case Slot::mid_count: return extents_[mid_];
      case Slot::row_stride: return bytes(stride_of(spec_.operands[s.a], outer_.back()));
      case Slot::mid_stride: return bytes(stride_of(spec_.operands[s.a], mid_));
      case Slot::inner_stride: return bytes(stride_of(spec_.operands[s.a], inner_));
      case Slot::lookup_extent: return stored_[spec_.operands[s.a].tensor].shape[s.b];
      case Slot::lookup_stride: return bytes(stored_[spec_.operands[s.a].tensor].strides[s.b]);
      case Slot::param: {
        double v = bindings_.params[s.a];
        std::int64_t bits = static_cast<std::int64_t>(v);
        if (s.as_double) std::memcpy(&bits, &v, sizeof bits);
        return bits;
      }
      case Slot::extent: return extents_[s.a];
      case Slot::coordinate_base: return at[s.a];
      case Slot::coordinate_step: return s.a == outer_.back();
    }
    PIT_UNREACHABLE("slot");
  }

  template <class F>
  void execute(const RowKernel& k, const std::vector<std::int64_t>& rows, F&& call) {
    std::vector<std::int32_t> row_index(rows.begin(), rows.end()), mid_index;
    if (mid_ >= 0)
      for (std::int64_t m = 0; m < extents_[mid_]; ++m) mid_index.push_back(static_cast<std::int32_t>(m));
    std::int64_t inner = inner_ < 0 ? 0 : (extents_[inner_] + 63) / 64 * 64;
    Guarded scratch(static_cast<std::size_t>(k.scratch_rows * inner * 8));
    std::fill(scratch.begin(), scratch.end(), 0xFF);
    over_outer([&](const std::vector<std::int64_t>& at) {
      std::vector<void*> ptrs{row_index.data()};
      if (k.has_mid) ptrs.push_back(mid_index.data());
      for (const Operand& o : spec_.operands) ptrs.push_back(stored_[o.tensor].at(place(o, at)));
      if (k.scratch_rows > 0) ptrs.push_back(scratch.data());
      std::vector<std::int64_t> ints;
      for (const Slot& s : k.ints) ints.push_back(slot_value(s, at, static_cast<std::int64_t>(rows.size())));
      call(ptrs.data(), ints.data());
    });
  }

  void compare(const std::vector<Tensor>& expected, const std::vector<std::int64_t>& rows, const std::string& backend) {
    std::size_t number = 0;
    for (std::size_t t = 0; t < stored_.size(); ++t) {
      if (spec_.program.tensors[t].role != expr::Role::output) continue;
      compare_output(static_cast<int>(t), expected[number++], rows, backend);
      if (::testing::Test::HasFailure()) return;
    }
  }

  void compare_output(int t, const Tensor& expected, const std::vector<std::int64_t>& rows,
                      const std::string& backend) {
    Stored& got = stored_[t];
    std::vector<unsigned char> untouched(got.bytes.size(), 1);
    std::vector<std::int64_t> dense(expected.shape().size(), 1);
    for (std::size_t d = dense.size(); d-- > 1;) dense[d - 1] = dense[d] * expected.shape()[d];
    std::size_t size = size_of(got.dtype);
    for (const expr::Statement& s : spec_.program.statements) {
      if (s.out != t) continue;
      std::vector<int> free = expr::free_axes(s);
      bool along_inner = std::find(free.begin(), free.end(), inner_) != free.end();
      over_outer([&](std::vector<std::int64_t> at) {
        for (std::int64_t r : rows)
          for (std::int64_t c = 0; c < (along_inner ? extents_[inner_] : 1); ++c) {
            if (!outer_.empty()) at[outer_.back()] = r;
            if (along_inner) at[inner_] = c;
            std::vector<std::int64_t> index;
            for (const Expr& i : s.out_index) index.push_back(index_value(i, at));
            std::int64_t element = offset_of(index, got.strides), reference = offset_of(index, dense);
            std::fill_n(untouched.begin() + (got.at(element) - got.bytes.data()), size, 0);
            if (::testing::Test::HasFailure()) return;
            const auto* want =
                static_cast<const unsigned char*>(expected.data()) + reference * static_cast<std::int64_t>(size);
            compare_element(got.dtype, got.at(element), want,
                            fmt::format("{} at row {}, inner {}, {}", backend, r, c, describe(t)));
          }
      });
    }
    for (std::size_t i = 0; i < untouched.size(); ++i)
      if (untouched[i] && got.bytes[i] != kPoison) {
        ADD_FAILURE() << backend << " wrote outside its rows at byte " << i << ", " << describe(t);
        return;
      }
  }

  std::string describe(int t) const {
    std::string shapes;
    for (std::size_t a = 0; a < extents_.size(); ++a)
      shapes += fmt::format(" |{}|={}", spec_.program.axes[a], extents_[a]);
    return fmt::format("tensor {} of `{}`,{}, seed {}", spec_.program.tensors[t].name, expr::print(spec_.program),
                       shapes, case_.seed);
  }

  template <class T>
  static double read(const void* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return static_cast<double>(v);
  }
  void compare_element(DType dtype, const void* got, const void* want, const std::string& where) const {
    double g = 0, w = 0, relative = case_.relative, absolute = case_.absolute;
    switch (dtype) {
      case DType::f32: g = read<float>(got), w = read<float>(want); break;
      case DType::f64: g = read<double>(got), w = read<double>(want); break;
      case DType::f16: g = half(got), w = half(want), relative = std::max(relative, 1e-3); break;
      default: EXPECT_EQ(0, std::memcmp(got, want, size_of(dtype))) << where; return;
    }
    if (std::isnan(w) || std::isinf(w))
      EXPECT_TRUE((std::isnan(g) && std::isnan(w)) || g == w) << "got " << g << ", expected " << w << ", " << where;
    else
      EXPECT_LE(std::fabs(g - w), absolute + relative * std::fabs(w))
          << "got " << g << ", expected " << w << ", " << where;
  }
  static double half(const void* p) {
    std::uint16_t h;
    std::memcpy(&h, p, 2);
    int e = (h >> 10) & 31, m = h & 1023;
    double v = e == 31 ? (m ? std::nan("") : INFINITY) : e == 0 ? std::ldexp(m, -24) : std::ldexp(1024 + m, e - 25);
    return h & 0x8000 ? -v : v;
  }

  const RowCase& case_;
  std::mt19937 random_;
  CpuTarget target_;
  RowSpec spec_;
  expr::Bindings bindings_;
  std::vector<Stored> stored_;
  std::vector<std::int64_t> extents_;
  std::vector<int> outer_;
  int inner_ = -1, mid_ = -1;
};

template <class T>
void fill(Tensor& t, std::mt19937& random, double low, double high) {
  std::uniform_real_distribution<double> u(low, high);
  for (std::int64_t i = 0; i < t.size(); ++i) t.as<T>()[i] = static_cast<T>(u(random));
}

}  // namespace

std::vector<CpuTarget> targets() {
  std::vector<CpuTarget> all{cpu_target("haswell")};
  CpuTarget host = cpu_target();
  if (host.vector_bytes == 64) all.push_back(host);
  return all;
}

Tensor random_tensor(DType t, const Shape& shape, std::mt19937& random, double low, double high) {
  Tensor v(t, shape);
  switch (t) {
    case DType::f32: fill<float>(v, random, low, high); break;
    case DType::f64: fill<double>(v, random, low, high); break;
    case DType::i64: fill<std::int64_t>(v, random, low * 5, high * 5); break;
    case DType::i32: fill<std::int32_t>(v, random, low * 5, high * 5); break;
    case DType::i8: fill<std::int8_t>(v, random, low * 5, high * 5); break;
    case DType::u8: fill<std::uint8_t>(v, random, 0, high * 5); break;
    case DType::b8:
      for (std::int64_t i = 0; i < v.size(); ++i) v.as<std::uint8_t>()[i] = random() % 2;
      break;
    case DType::f16:
      for (std::int64_t i = 0; i < v.size(); ++i)
        v.as<std::uint16_t>()[i] =
            static_cast<std::uint16_t>((random() % 2) << 15 | (10 + random() % 8) << 10 | random() % 1024);
      break;
  }
  return v;
}

void check(const RowCase& c) {
  for (const CpuTarget& target : targets()) {
    SCOPED_TRACE(fmt::format("seed {} target {} `{}`", c.seed, target.name, c.text));
    Runner(c, target).run();
    if (::testing::Test::HasFailure()) return;
  }
}

RowSpec spec_of(const RowCase& c, const CpuTarget& target) { return Runner(c, target).spec(); }

}  // namespace pit::lower::test
