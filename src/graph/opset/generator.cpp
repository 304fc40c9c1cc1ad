// Operators that make values from attributes and shapes: constants, Shape, Range, ConstantOfShape, EyeLike.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/numeric.h"
#include "graph/opaque.h"
#include "graph/opset/builder.h"

namespace pit::graph {
namespace {

std::vector<ValueId> constant(OpBuilder& b) {
  if (b.call.attributes.size() != 1) b.fail("there must be one attribute, the value");
  for (const auto& [name, a] : b.call.attributes) {
    if (name == "value") {
      const auto* t = std::get_if<Tensor>(&a);
      return {b.add_tensor(*t, 0)};
    } else if (name == "value_float" || name == "value_int") {
      const bool f = name == "value_float";
      Tensor t(f ? DType::f32 : DType::i64, {});
      write_double(t, 0, b.float_attr(name.c_str(), 0));
      if (!f) write_int(t, 0, b.int_attr(name.c_str(), 0));
      return {b.add_tensor(std::move(t), 0)};
    } else if (name == "value_ints") {
      const std::vector<std::int64_t> v = b.ints_attr("value_ints");
      Tensor t(DType::i64, {static_cast<std::int64_t>(v.size())});
      std::copy(v.begin(), v.end(), t.as<std::int64_t>());
      return {b.add_tensor(std::move(t), 0)};
    } else if (name == "value_floats") {
      const auto* v = std::get_if<std::vector<double>>(&a);
      Tensor t(DType::f32, {static_cast<std::int64_t>(v->size())});
      for (std::size_t i = 0; i < v->size(); ++i) write_double(t, static_cast<std::int64_t>(i), (*v)[i]);
      return {b.add_tensor(std::move(t), 0)};
    }
  }
  b.unsupported("strings and sparse tensors are not supported as constants");
}

std::vector<ValueId> shape(OpBuilder& b) {
  const std::vector<Dim>& d = b.dims(b.in(0));
  const auto rank = static_cast<std::int64_t>(d.size());
  const auto clamp = [&](std::int64_t v) { return std::min(std::max(v < 0 ? v + rank : v, std::int64_t{0}), rank); };
  const std::int64_t start = clamp(b.int_attr("start", 0)), end = std::max(start, clamp(b.int_attr("end", rank)));
  return {b.add_known({{end - start}, {d.begin() + start, d.begin() + end}}, DType::i64, 0)};
}

std::vector<ValueId> size(OpBuilder& b) { return {b.add_known({{}, {b.product(b.dims(b.in(0)))}}, DType::i64, 0)}; }

// Parameters of an expression are doubles: beyond 2^53 a constant is left to the routine, which counts in integers.
bool exact(const OpBuilder& b, const Known& k) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 53;
  return std::all_of(k.e.begin(), k.e.end(), [&](Dim d) {
    const std::int64_t v = b.table().constant_value(d).value_or(0);
    return -kLimit <= v && v <= kLimit;
  });
}

// How many numbers a Range of constants has.
std::int64_t constant_range(OpBuilder& b, DType t) {
  Node n;
  n.op = b.call.op;
  n.name = b.call.name;
  std::vector<Tensor> bounds;
  for (int i = 0; i < 3; ++i) bounds.push_back(b.value(b.in(i)).constant);
  try {
    return range_count(n, bounds, t);
  } catch (const InputError& e) {
    b.fail(e.what());
  }
}

std::vector<ValueId> range(OpBuilder& b) {
  const ValueId start = b.in(0), limit = b.in(1), delta = b.in(2);
  const DType t = b.dtype(start);
  const auto s = b.known(start), l = b.known(limit), d = b.known(delta);
  if (s && l && d && exact(b, *s) && exact(b, *l) && exact(b, *d) && s->e.size() == 1 && l->e.size() == 1 &&
      d->e.size() == 1) {
    DimTable& table = b.table();
    if (table.is_constant(d->e[0], 0)) b.fail("the step is 0", delta);
    const Dim count = table.max(table.ceildiv(table.sub(l->e[0], s->e[0]), d->e[0]), b.dim(0));
    std::string value = "i";
    if (!table.is_constant(d->e[0], 1)) value += "*$step";
    if (!table.is_constant(s->e[0], 0)) value += "+$start";
    if (t != DType::i64) value = fmt::format("cast_{}({})", name_of(t), value);
    Instance n(b, "Y[i] = " + value);
    return n.param("start", s->e[0]).param("step", d->e[0]).output("Y", t, {count}).build();
  }
  const std::vector<ValueId> in{start, limit, delta};
  if (std::all_of(in.begin(), in.end(), [&](ValueId v) { return b.value(v).is_constant(); }))
    return b.opaque("range", in, {{t, {b.dim(constant_range(b, t))}}});
  return b.opaque("range", in, {{t, {b.table().fresh(b.output_name(0) + ".count")}}});
}

std::vector<ValueId> constant_of_shape(OpBuilder& b) {
  Tensor value(DType::f32, {});
  write_double(value, 0, 0);
  if (const auto it = b.call.attributes.find("value"); it != b.call.attributes.end()) {
    const auto* t = std::get_if<Tensor>(&it->second);
    if (t == nullptr || t->size() != 1) b.fail("attribute 'value' must be a tensor of one element");
    value = Tensor(t->dtype(), {});  // a scalar, whatever dimensions the attribute has
    std::memcpy(value.as<char>(), t->as<char>(), size_of(t->dtype()));
  }
  const auto k = b.known(b.in(0));
  const ValueId v = b.g.add_constant(b.fresh_name("value"), value);
  if (!k) return b.opaque("expand", {v, b.in(0)}, {{value.dtype(), unknown_dims(b, b.in(0))}});
  for (const Dim d : k->e) {
    if (const auto c = b.table().constant_value(d); c && *c < 0)
      b.fail(fmt::format("the shape has the extent {}", *c), b.in(0));
  }
  Instance n(b, b.text);
  n.pack("i", axis_list("i", static_cast<int>(k->e.size()))).operand("V", v);
  return n.output("Y", value.dtype(), k->e).build();
}

std::vector<ValueId> eye_like(OpBuilder& b) {
  const ValueId x = b.in(0);
  DType t = b.dtype(x);
  if (b.has_attr("dtype")) {
    const auto named = dtype_of_onnx(b.int_attr("dtype", 1));
    if (!named) b.unsupported(fmt::format("element type {} is not supported", onnx_type_name(b.int_attr("dtype", 1))));
    t = *named;
  }
  Instance n(b, fmt::format("Y[i,j] = cast_{}(j - i == $k)", name_of(t)));
  return n.param("k", b.dim(b.int_attr("k", 0))).output("Y", t, b.dims(x)).build();
}

constexpr Definition kTable[] = {
    {"Constant", "", constant, "Y[i0] = V[]", nullptr},
    {"Shape", "", shape, "Y[i] = $s", nullptr},
    {"Size", "", size, "Y[] = $n", nullptr},
    {"Range", "Y[i] = i*$step + $start", range},
    {"ConstantOfShape", "Y[i...] = V[]", constant_of_shape, "Y[i0,i1] = 0.0"},
    {"EyeLike", "Y[i,j] = cast_f32(j - i == $k)", eye_like},
};

}  // namespace

std::span<const Definition> generator_definitions() { return kTable; }

}  // namespace pit::graph
