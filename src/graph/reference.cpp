#include "graph/reference.h"

#include <algorithm>
#include <fmt/format.h>

#include "graph/numeric.h"
#include "graph/opaque.h"
#include "graph/opset/builder.h"
#include "support/check.h"

namespace pit::graph {
namespace {

Shape shape_of(const std::vector<Dim>& dims, const std::vector<std::int64_t>& v) {
  Shape s;
  for (const Dim d : dims)
    s.push_back(v[static_cast<std::size_t>(d.id)] == DimTable::kUnknown ? -1 : v[static_cast<std::size_t>(d.id)]);
  return s;
}

// Operands that turn out to be stretched are read at 0: their indices in the program become literals.
expr::Program settle_broadcasts(const Node& n, std::span<const Tensor> inputs, const std::vector<std::int64_t>& dims) {
  expr::Program p = n.program;
  std::vector<int> position(p.tensors.size(), -1);
  int next = 0;
  for (std::size_t t = 0; t < p.tensors.size(); ++t) {
    if (p.tensors[t].role == expr::Role::input) position[t] = next++;
  }
  const auto fix = [&](const expr::Expr& e) -> expr::Expr {
    if (e->kind != expr::Kind::access) return e;
    std::shared_ptr<expr::Node> copy;
    for (const auto& [input, dim] : n.maybe_broadcast) {
      if (position[static_cast<std::size_t>(e->id)] != input) continue;
      const auto d = static_cast<std::size_t>(dim);
      const auto axis = expr::bare_axis(e->args[d]);
      if (inputs[static_cast<std::size_t>(input)].shape()[d] != 1 || !axis) continue;
      if (dims[static_cast<std::size_t>(n.extents[static_cast<std::size_t>(*axis)].id)] == 1) continue;
      if (!copy) copy = std::make_shared<expr::Node>(*e);
      copy->args[d] = expr::int_literal(0);
    }
    return copy ? copy : e;
  };
  for (expr::Statement& s : p.statements) s.value = expr::transform(s.value, fix);
  return p;
}

std::string who(const Node& n) { return n.name.empty() ? n.op : fmt::format("{} '{}'", n.op, n.name); }

}  // namespace

Tensor materialise(const Graph& g, const Value& v, const std::vector<std::int64_t>& dims) {
  Tensor t(v.dtype, shape_of(v.dims, dims));
  for (std::size_t i = 0; i < v.elements.size(); ++i) {
    const std::int64_t e = dims[static_cast<std::size_t>(v.elements[i].id)];
    if (e == DimTable::kUnknown)
      throw InputError(
          fmt::format("element {} of '{}' ({}) cannot be computed for inputs of these shapes: it does not fit 64 bits, "
                      "or something is divided by 0",
                      i, v.name, g.dims.print(v.elements[i])),
          {}, v.name);
    write_int(t, static_cast<std::int64_t>(i), e);
  }
  return t;
}

std::vector<Tensor> run_node(const Graph& g, const Node& n, std::span<const Tensor> inputs,
                             const std::vector<std::int64_t>& dims, const ThreadPool& pool,
                             std::span<const Tensor> targets) {
  std::vector<Shape> shapes;
  std::vector<DType> dtypes;
  for (const ValueId o : n.outputs) {
    const Value& v = g.values[static_cast<std::size_t>(o)];
    shapes.push_back(shape_of(v.dims, dims));
    dtypes.push_back(v.dtype);
  }
  if (!n.opaque.empty()) return run_opaque(n, inputs, shapes, dtypes, pool, targets);
  expr::Bindings b;
  b.inputs.assign(inputs.begin(), inputs.end());
  b.output_shapes = shapes;
  b.output_dtypes = dtypes;
  for (const auto& p : n.params) {
    const Dim* d = std::get_if<Dim>(&p);
    b.params.push_back(d == nullptr ? std::get<double>(p) : static_cast<double>(dims[static_cast<std::size_t>(d->id)]));
  }
  for (std::size_t a = 0; a < n.extents.size(); ++a) {
    const std::int64_t e = dims[static_cast<std::size_t>(n.extents[a].id)];
    if (e == DimTable::kUnknown)
      throw InputError(fmt::format("{}: extents do not fit together ({})", who(n), g.dims.print(n.extents[a])), who(n));
    b.extents[static_cast<expr::AxisId>(a)] = e;
  }
  if (n.maybe_broadcast.empty()) return expr::interpret(n.program, b);
  return expr::interpret(settle_broadcasts(n, inputs, dims), b);
}

std::vector<std::int64_t> bind_symbols(const Graph& g, std::span<const Tensor> inputs) {
  std::vector<std::int64_t> symbols(static_cast<std::size_t>(g.dims.symbol_count()), -1);
  if (inputs.size() != g.inputs.size())
    throw InputError(fmt::format("{} inputs, but the model has {}", inputs.size(), g.inputs.size()));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = g.values[static_cast<std::size_t>(g.inputs[i])];
    const Tensor& t = inputs[i];
    if (t.dtype() != v.dtype || t.shape().size() != v.dims.size()) {
      throw InputError(fmt::format("input '{}' must be {} of rank {}, but is {} of rank {}", v.name, name_of(v.dtype),
                                   v.dims.size(), name_of(t.dtype()), t.shape().size()),
                       {}, v.name);
    }
    for (std::size_t d = 0; d < v.dims.size(); ++d) {
      const int s = g.dims.symbol_index(v.dims[d]);
      std::int64_t want = s >= 0 ? symbols[static_cast<std::size_t>(s)] : g.dims.constant_value(v.dims[d]).value_or(-1);
      if (want < 0 && s >= 0) want = symbols[static_cast<std::size_t>(s)] = t.shape()[d];
      if (want != t.shape()[d]) {
        throw InputError(fmt::format("dimension {} of input '{}' is {}, but '{}' must be {}", d, v.name, t.shape()[d],
                                     g.dims.print(v.dims[d]), want),
                         {}, v.name);
      }
    }
  }
  return symbols;
}

void check_extents(const Graph& g, const std::vector<std::int64_t>& dims) {
  for (const Check& c : g.checks) {
    const std::int64_t a = dims[static_cast<std::size_t>(c.a.id)], b = dims[static_cast<std::size_t>(c.b.id)];
    if (a != b && a != DimTable::kUnknown && b != DimTable::kUnknown) {
      throw InputError(fmt::format("{}: {} is {}, but must equal {}, which is {}", c.who, g.dims.print(c.a), a,
                                   g.dims.print(c.b), b),
                       c.who);
    }
  }
}

namespace {

// Nodes run one after the other; extents that depend on the data become known on the way.
class ReferenceRun {
 public:
  ReferenceRun(const Graph& g, std::span<const Tensor> inputs)
      : symbols(bind_symbols(g, inputs)), values(g.values.size()), g_(g), dims_(g.dims.evaluate(symbols)) {
    for (std::size_t i = 0; i < g.inputs.size(); ++i) values[static_cast<std::size_t>(g.inputs[i])] = inputs[i];
    check_extents(g, dims_);
  }

  Tensor& get(ValueId id) {
    const Value& v = g_.values[static_cast<std::size_t>(id)];
    Tensor& t = values[static_cast<std::size_t>(id)];
    if (!t.defined() && v.is_constant()) t = v.constant;
    if (!t.defined() && v.has_elements) t = materialise(g_, v, dims_);
    PIT_CHECK(t.defined(), "value '{}' is not computed", v.name);
    return t;
  }

  void run(const Node& n) {
    std::vector<Tensor> in;
    for (const ValueId v : n.inputs) in.push_back(get(v));
    std::vector<Tensor> out = run_node(g_, n, in, dims_);
    bool found = false;
    for (std::size_t o = 0; o < out.size(); ++o) {
      const Value& v = g_.values[static_cast<std::size_t>(n.outputs[o])];
      for (std::size_t d = 0; d < v.dims.size(); ++d) {
        const int s = g_.dims.symbol_index(v.dims[d]);
        if (s < 0 || symbols[static_cast<std::size_t>(s)] >= 0) continue;
        symbols[static_cast<std::size_t>(s)] = out[o].shape()[d];
        found = true;
      }
      values[static_cast<std::size_t>(n.outputs[o])] = out[o];
    }
    if (found) dims_ = g_.dims.evaluate(symbols);
  }

  std::vector<std::int64_t> symbols;
  std::vector<Tensor> values;

 private:
  const Graph& g_;
  std::vector<std::int64_t> dims_;
};

}  // namespace

std::vector<Tensor> run_reference_values(const Graph& g, std::span<const Tensor> inputs) {
  ReferenceRun r(g, inputs);
  for (const Node& n : g.nodes) {
    if (!n.removed) r.run(n);
  }
  for (const ValueId o : g.outputs) r.get(o);
  return std::move(r.values);
}

std::vector<Tensor> run_reference(const Graph& g, std::span<const Tensor> inputs) {
  const std::vector<Tensor> values = run_reference_values(g, inputs);
  std::vector<Tensor> r;
  for (const ValueId o : g.outputs) r.push_back(values[static_cast<std::size_t>(o)]);
  return r;
}

// -- constant folding
// --------------------------------------------------------------------------------------------------------

std::optional<std::vector<Tensor>> fold(Graph& g, const Node& n, std::span<const DType> dtypes,
                                        std::span<const std::vector<Dim>> dims) {
  constexpr std::int64_t kElements = 64 << 10, kSteps = 1 << 21;
  std::vector<Tensor> in;
  std::int64_t touched = 1;
  for (const ValueId id : n.inputs) {
    const Value& v = g.values[static_cast<std::size_t>(id)];
    if (!v.is_constant() || v.constant.size() > kElements) return std::nullopt;
    in.push_back(v.constant);
    touched += v.constant.size();
  }
  expr::Bindings b;
  for (const std::vector<Dim>& list : dims) {
    Shape s;
    for (const Dim d : list) {
      const auto c = g.dims.constant_value(d);
      if (!c && n.opaque.empty()) return std::nullopt;
      s.push_back(c.value_or(-1));
    }
    const bool known = std::find(s.begin(), s.end(), -1) == s.end();
    if (known && element_count(s) > kElements) return std::nullopt;
    if (known) touched += element_count(s);
    b.output_shapes.push_back(std::move(s));
  }
  b.output_dtypes.assign(dtypes.begin(), dtypes.end());
  if (!n.opaque.empty()) {
    if (!g.may_fold(touched)) return std::nullopt;
    return run_opaque(n, in, b.output_shapes, dtypes);
  }
  std::int64_t steps = 1;
  for (std::size_t a = 0; a < n.extents.size(); ++a) {
    const auto c = g.dims.constant_value(n.extents[a]);
    if (!c || (*c > 0 && __builtin_mul_overflow(steps, *c, &steps)) || steps > kSteps) return std::nullopt;
    b.extents[static_cast<expr::AxisId>(a)] = *c;
  }
  for (const auto& p : n.params) {
    const Dim* d = std::get_if<Dim>(&p);
    const auto c = d == nullptr ? std::nullopt : g.dims.constant_value(*d);
    if (d != nullptr && !c) return std::nullopt;
    b.params.push_back(d == nullptr ? std::get<double>(p) : static_cast<double>(*c));
  }
  if (!g.may_fold(std::max(touched, steps * static_cast<std::int64_t>(n.program.statements.size()))))
    return std::nullopt;
  b.inputs = std::move(in);
  return expr::interpret(n.program, b);
}

}  // namespace pit::graph
