#include "graph/opset/builder.h"

#include <algorithm>
#include <cmath>

#include "graph/numeric.h"
#include "support/check.h"

namespace pit::graph {

std::string OpBuilder::who() const { return call.name.empty() ? call.op : fmt::format("{} '{}'", call.op, call.name); }

ValueId OpBuilder::declared(ValueId v) const {
  for (const auto& [wide, narrow] : halves) {
    if (wide == v) return narrow;
  }
  return v;
}

void OpBuilder::fail(const std::string& message, ValueId about) const {
  const std::string tensor = about >= 0 ? name_of(about) : std::string();
  throw ModelError(fmt::format("{}: {}", who(), message), who(), tensor);
}

void OpBuilder::unsupported(const std::string& message, ValueId about) const {
  const std::string tensor = about >= 0 ? name_of(about) : std::string();
  throw UnsupportedError(fmt::format("{}: {}", who(), message), who(), tensor);
}

ValueId OpBuilder::in(int i) const {
  if (!has(i)) fail(fmt::format("operand {} is missing", i));
  read_.resize(call.inputs.size());
  read_[static_cast<std::size_t>(i)] = true;
  return call.inputs[static_cast<std::size_t>(i)];
}

int OpBuilder::unread_input() const {
  for (int i = 0; i < input_count(); ++i) {
    const auto u = static_cast<std::size_t>(i);
    if (has(i) && (u >= read_.size() || !read_[u])) return i;
  }
  return -1;
}

// -- attributes
// -----------------------------------------------------------------------------------------------------------

std::int64_t OpBuilder::int_attr(const char* name, std::int64_t otherwise) const {
  const auto it = call.attributes.find(name);
  if (it == call.attributes.end()) return otherwise;
  if (const auto* v = std::get_if<std::int64_t>(&it->second)) return *v;
  fail(fmt::format("attribute '{}' must be an integer", name));
}

double OpBuilder::float_attr(const char* name, double otherwise) const {
  const auto it = call.attributes.find(name);
  if (it == call.attributes.end()) return otherwise;
  if (const auto* v = std::get_if<double>(&it->second)) return *v;
  if (const auto* v = std::get_if<std::int64_t>(&it->second)) return static_cast<double>(*v);
  fail(fmt::format("attribute '{}' must be a number", name));
}

std::string OpBuilder::string_attr(const char* name, const std::string& otherwise) const {
  const auto it = call.attributes.find(name);
  if (it == call.attributes.end()) return otherwise;
  if (const auto* v = std::get_if<std::string>(&it->second)) return *v;
  fail(fmt::format("attribute '{}' must be a string", name));
}

std::vector<std::int64_t> OpBuilder::ints_attr(const char* name, const std::vector<std::int64_t>& otherwise) const {
  const auto it = call.attributes.find(name);
  if (it == call.attributes.end()) return otherwise;
  if (const auto* v = std::get_if<std::vector<std::int64_t>>(&it->second)) return *v;
  if (const auto* v = std::get_if<std::vector<double>>(&it->second); v && v->empty()) return {};
  fail(fmt::format("attribute '{}' must be a list of integers", name));
}

int OpBuilder::normal_axis(std::int64_t axis, int rank, const char* what) const {
  if (axis < -rank || axis >= rank) fail(fmt::format("{} {} is out of range for rank {}", what, axis, rank));
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::vector<int> OpBuilder::axes(const char* name, int input, int rank) const {
  std::vector<std::int64_t> list;
  if (has_attr(name)) {
    list = ints_attr(name);
  } else if (has(input)) {
    list = need_constants(input, name);
  }
  std::vector<int> r;
  for (const std::int64_t a : list) r.push_back(normal_axis(a, rank));
  std::sort(r.begin(), r.end());
  if (std::adjacent_find(r.begin(), r.end()) != r.end()) fail(fmt::format("'{}' names an axis twice", name));
  return r;
}

// -- what is known
// ----------------------------------------------------------------------------------------------------------

std::optional<Known> OpBuilder::known(ValueId v) const {
  constexpr std::int64_t limit = 4096;
  const Value& x = value(v);
  if (x.has_elements) {
    Known k;
    for (const Dim d : x.dims) k.shape.push_back(*g.dims.constant_value(d));
    k.e = x.elements;
    return k;
  }
  if (!x.is_constant() || is_float(x.dtype) || x.constant.size() > limit) return std::nullopt;
  Known k{x.constant.shape(), {}};
  for (std::int64_t i = 0; i < x.constant.size(); ++i) k.e.push_back(dim(read_int(x.constant, i)));
  return k;
}

std::optional<std::vector<std::int64_t>> OpBuilder::constants(ValueId v) const {
  const std::optional<Known> k = known(v);
  if (!k) return std::nullopt;
  std::vector<std::int64_t> r;
  for (const Dim d : k->e) {
    const auto c = g.dims.constant_value(d);
    if (!c) return std::nullopt;
    r.push_back(*c);
  }
  return r;
}

std::vector<std::int64_t> OpBuilder::need_constants(int input, const char* what) const {
  const ValueId v = in(input);
  auto r = constants(v);
  if (!r) unsupported(fmt::format("operand '{}' ({}) must be known when the model is compiled", name_of(v), what), v);
  return *r;
}

std::optional<expr::Expr> OpBuilder::literal(ValueId v) const {
  const Value& x = value(v);
  if (!x.is_constant() || x.constant.size() != 1) return std::nullopt;
  if (x.dtype == DType::b8) return expr::bool_literal(read_int(x.constant, 0) != 0);
  if (is_float(x.dtype)) return expr::literal(read_double(x.constant, 0));
  const std::int64_t i = read_int(x.constant, 0);
  constexpr std::int64_t most = std::int64_t{1} << 53;
  if (i > most || i < -most) return std::nullopt;  // not exact as a literal
  return expr::int_literal(i);
}

std::optional<double> OpBuilder::scalar(ValueId v) const {
  const Value& x = value(v);
  if (!x.is_constant() || x.constant.size() != 1) return std::nullopt;
  return read_double(x.constant, 0);
}

// -- dims
// -------------------------------------------------------------------------------------------------------------------

std::vector<Dim> OpBuilder::broadcast(const std::vector<std::vector<Dim>>& shapes) const {
  std::size_t rank = 0;
  for (const auto& s : shapes) rank = std::max(rank, s.size());
  std::vector<Dim> out(rank, dim(1));
  for (const auto& s : shapes) {
    for (std::size_t i = 0; i < s.size(); ++i) {
      Dim& d = out[rank - s.size() + i];
      const auto a = g.dims.constant_value(d), b = g.dims.constant_value(s[i]);
      if (a && b && *a != *b && *a != 1 && *b != 1) {
        fail(fmt::format("operands do not broadcast: extents {} and {} in the same place", *a, *b));
      }
      d = g.dims.broadcast(d, s[i]);
    }
  }
  return out;
}

Dim OpBuilder::product(std::span<const Dim> ds) const {
  Dim p = dim(1);
  for (const Dim d : ds) p = g.dims.mul(p, d);
  if (g.dims.at_least(p, std::int64_t{1} << 62))
    fail(fmt::format("{} elements are more than any machine can hold", g.dims.print(p)));
  return p;
}

void OpBuilder::require_equal(Dim a, Dim b, ValueId about) const {
  if (a == b) return;
  const auto va = g.dims.constant_value(a), vb = g.dims.constant_value(b);
  if (va && vb) fail(fmt::format("extents do not fit: {} and {}", *va, *vb), about);
  for (const Check& c : g.checks) {
    if ((c.a == a && c.b == b) || (c.a == b && c.b == a)) return;
  }
  g.checks.push_back({a, b, who()});
}

void OpBuilder::require_below(Dim position, Dim extent, ValueId about) const {
  DimTable& t = g.dims;
  if (!t.at_least(position, 0)) require_equal(t.max(position, dim(0)), position, about);
  const Dim end = t.add(position, dim(1));
  require_equal(t.min(end, extent), end, about);
}

// -- results
// ------------------------------------------------------------------------------------------------------------------

std::string OpBuilder::fresh_name(const std::string& hint) const { return fmt::format("{}:{}", hint, g.values.size()); }

std::string OpBuilder::output_name(int position) const {
  if (wants(position)) return call.output_names[static_cast<std::size_t>(position)];
  for (const std::string& n : call.output_names) {
    if (!n.empty()) return fresh_name(n);
  }
  return fresh_name(call.op);
}

ValueId OpBuilder::add_known(Known k, DType dtype, int position) {
  const bool constant =
      std::all_of(k.e.begin(), k.e.end(), [&](Dim d) { return g.dims.constant_value(d).has_value(); });
  if (constant) {
    Tensor t(dtype, k.shape);
    for (std::size_t i = 0; i < k.e.size(); ++i) {
      write_int(t, static_cast<std::int64_t>(i), *g.dims.constant_value(k.e[i]));
    }
    return add_tensor(std::move(t), position);
  }
  Value v;
  v.name = output_name(position);
  v.dtype = dtype;
  for (const std::int64_t d : k.shape) v.dims.push_back(dim(d));
  v.elements = std::move(k.e);
  v.has_elements = true;
  return g.add_value(std::move(v));
}

ValueId OpBuilder::add_tensor(Tensor t, int position) { return g.add_constant(output_name(position), std::move(t)); }

std::vector<ValueId> OpBuilder::sub_n(const std::string& op, std::vector<ValueId> inputs, int outputs,
                                      Attributes attributes, int opset) {
  OpCall c;
  c.op = op;
  c.name = call.name;
  c.opset = opset < 0 ? call.opset : opset;
  c.inputs = std::move(inputs);
  for (int i = 0; i < outputs; ++i) c.output_names.push_back(fresh_name(output_name(0)) + fmt::format(".{}", i));
  c.attributes = std::move(attributes);
  return add_operator(g, c);
}

ValueId OpBuilder::sub(const std::string& op, std::vector<ValueId> inputs, Attributes attributes, int opset) {
  return sub_n(op, std::move(inputs), 1, std::move(attributes), opset).at(0);
}

ValueId OpBuilder::float_constant(double v, DType dtype) {
  Tensor t(dtype, {});
  write_double(t, 0, v);
  return g.add_constant(fresh_name("constant"), std::move(t));
}

ValueId OpBuilder::int_constant(std::vector<std::int64_t> v, bool is_scalar) {
  Tensor t(DType::i64, is_scalar ? Shape{} : Shape{static_cast<std::int64_t>(v.size())});
  std::copy(v.begin(), v.end(), t.as<std::int64_t>());
  return g.add_constant(fresh_name("constant"), std::move(t));
}

std::vector<ValueId> OpBuilder::opaque(const std::string& routine, std::vector<ValueId> inputs,
                                       std::vector<std::pair<DType, std::vector<Dim>>> outputs,
                                       std::map<std::string, std::vector<std::int64_t>> ints,
                                       std::map<std::string, std::vector<double>> floats) {
  Node n;
  n.op = call.op;
  n.name = call.name;
  n.inputs = std::move(inputs);
  n.opaque = routine;
  n.opaque_ints = std::move(ints);
  n.opaque_floats = std::move(floats);
  std::vector<DType> dtypes;
  std::vector<std::vector<Dim>> shapes;
  for (auto& [dtype, shape] : outputs) {
    dtypes.push_back(dtype);
    shapes.push_back(shape);
  }
  std::vector<ValueId> r;
  if (auto tensors = try_fold(n, dtypes, shapes)) {
    for (std::size_t i = 0; i < tensors->size(); ++i) r.push_back(add_tensor((*tensors)[i], static_cast<int>(i)));
    return r;
  }
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    Value v;
    v.name = output_name(static_cast<int>(i));
    v.dtype = dtypes[i];
    v.dims = shapes[i];
    r.push_back(g.add_value(std::move(v)));
  }
  n.outputs = r;
  g.add_node(std::move(n));
  return r;
}

std::optional<std::vector<Tensor>> OpBuilder::try_fold(const Node& n, std::span<const DType> dtypes,
                                                       std::span<const std::vector<Dim>> shapes) const {
  try {
    return fold(g, n, dtypes, shapes);
  } catch (const InputError& e) {
    fail(e.what());
  }
}

std::string axis_list(const std::string& prefix, int count, int first) {
  std::string s;
  for (int i = 0; i < count; ++i) s += fmt::format("{}{}{}", i == 0 ? "" : ",", prefix, first + i);
  return s;
}

std::string stretched(const OpBuilder& b, const std::vector<Dim>& operand, const std::vector<Dim>& out,
                      const std::string& prefix, std::vector<int>* maybe) {
  std::string s;
  if (operand.size() > out.size())
    b.fail(fmt::format("an operand of rank {} does not broadcast to rank {}", operand.size(), out.size()));
  const std::size_t offset = out.size() - operand.size();
  for (std::size_t i = 0; i < operand.size(); ++i) {
    const Dim d = operand[i], e = out[offset + i];
    if (i > 0) s += ',';
    if (d != e && b.table().is_constant(d, 1)) {
      s += '0';
      continue;
    }
    s += fmt::format("{}{}", prefix, offset + i);
    if (!b.table().may_stretch(d, e)) continue;
    if (maybe != nullptr) maybe->push_back(static_cast<int>(i));
    b.require_equal(b.table().select_eq(d, b.dim(1), e, d), e);  // it is 1, or it fits
  }
  return s;
}

std::string_view alternative(std::string_view text, int n) {
  constexpr std::string_view separator = "\n---\n";
  for (; n > 0; --n) {
    const std::size_t at = text.find(separator);
    PIT_CHECK(at != std::string_view::npos, "template has no alternative {}: {}", n, text);
    text.remove_prefix(at + separator.size());
  }
  return text.substr(0, text.find(separator));
}

std::vector<Dim> unknown_dims(const OpBuilder& b, ValueId shape) {
  const auto rank = b.rank(shape) == 1 ? b.table().constant_value(b.dims(shape)[0]) : std::nullopt;
  if (!rank) b.unsupported(fmt::format("the rank of the result depends on the data of '{}'", b.name_of(shape)), shape);
  if (*rank > b.g.limits.rank)  // before there are so many dims
    b.fail(fmt::format("the result has rank {}, more than the limit 'rank' of {}", *rank, b.g.limits.rank), shape);
  std::vector<Dim> out;
  for (std::int64_t i = 0; i < *rank; ++i) out.push_back(b.table().fresh(fmt::format("{}.{}", b.output_name(0), i)));
  return out;
}

}  // namespace pit::graph
