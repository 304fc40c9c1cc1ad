#include "graph/graph.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unordered_set>

#include "support/check.h"

namespace pit::graph {

bool Graph::may_fold(std::int64_t elements) {
  if (elements > limits.folding - folded) return false;
  folded += elements;
  return true;
}

ValueId Graph::add_value(Value v) {
  const auto id = static_cast<ValueId>(values.size());
  values.push_back(std::move(v));
  return id;
}

ValueId Graph::add_constant(std::string value_name, Tensor t) {
  Value v;
  v.name = std::move(value_name);
  v.dtype = t.dtype();
  for (const std::int64_t d : t.shape()) v.dims.push_back(dims.constant(d));
  v.constant = std::move(t);
  return add_value(std::move(v));
}

NodeId Graph::add_node(Node n) {
  const auto id = static_cast<NodeId>(nodes.size());
  for (const ValueId o : n.outputs) values[static_cast<std::size_t>(o)].producer = id;
  nodes.push_back(std::move(n));
  return id;
}

ValueId Graph::find(std::string_view value_name) const {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].name == value_name) return static_cast<ValueId>(i);
  }
  return -1;
}

std::vector<std::vector<std::pair<NodeId, int>>> Graph::users() const {
  std::vector<std::vector<std::pair<NodeId, int>>> r(values.size());
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    if (nodes[n].removed) continue;
    for (std::size_t i = 0; i < nodes[n].inputs.size(); ++i) {
      r[static_cast<std::size_t>(nodes[n].inputs[i])].emplace_back(static_cast<NodeId>(n), static_cast<int>(i));
    }
  }
  return r;
}

std::string Graph::describe(NodeId id) const {
  const Node& n = nodes.at(static_cast<std::size_t>(id));
  if (!n.name.empty()) return fmt::format("{} '{}'", n.op, n.name);
  return n.outputs.empty() ? n.op
                           : fmt::format("{} of '{}'", n.op, values[static_cast<std::size_t>(n.outputs[0])].name);
}

namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& g) : g_(g) {}

  std::optional<std::string> run() {
    std::unordered_set<std::string_view> names;
    ready_.assign(g_.values.size(), false);
    for (std::size_t i = 0; i < g_.values.size(); ++i) {
      const Value& v = g_.values[i];
      if (auto e = value(v)) return e;
      if (!names.insert(v.name).second) return fmt::format("two values are called '{}'", v.name);
      ready_[i] = v.is_constant() || v.has_elements || v.input >= 0;
    }
    for (std::size_t i = 0; i < g_.inputs.size(); ++i) {
      const ValueId v = g_.inputs[i];
      if (!is_value(v) || g_.values[static_cast<std::size_t>(v)].input != static_cast<int>(i))
        return fmt::format("input {} is not marked as such", i);
    }
    if (g_.inputs.size() != g_.input_names.size() || g_.outputs.size() != g_.output_names.size())
      return "inputs or outputs without name";
    for (std::size_t n = 0; n < g_.nodes.size(); ++n) {
      if (g_.nodes[n].removed) continue;
      if (auto e = node(static_cast<NodeId>(n))) return fmt::format("{}: {}", g_.describe(static_cast<NodeId>(n)), *e);
    }
    for (const ValueId o : g_.outputs) {
      if (!is_value(o) || !ready_[static_cast<std::size_t>(o)]) return "an output is not computed";
    }
    return std::nullopt;
  }

 private:
  bool is_value(ValueId v) const { return v >= 0 && v < static_cast<ValueId>(g_.values.size()); }

  std::optional<std::string> value(const Value& v) const {
    for (const Dim d : v.dims) {
      if (d.id < 0) return fmt::format("'{}' has a dimension without extent", v.name);
    }
    if (v.is_constant()) {
      if (v.constant.dtype() != v.dtype || v.constant.shape().size() != v.dims.size())
        return fmt::format("constant '{}' does not have its value's type", v.name);
      for (std::size_t i = 0; i < v.dims.size(); ++i) {
        if (!g_.dims.is_constant(v.dims[i], v.constant.shape()[i]))
          return fmt::format("constant '{}' does not have its value's shape", v.name);
      }
    }
    if (v.has_elements) {
      std::int64_t count = 1;
      for (const Dim d : v.dims) count *= g_.dims.constant_value(d).value_or(-1);
      if (count != static_cast<std::int64_t>(v.elements.size()))
        return fmt::format("'{}' has {} known elements, not {}", v.name, v.elements.size(), count);
    }
    if ((v.producer >= 0) + (v.input >= 0) + v.is_constant() + v.has_elements > 1)
      return fmt::format("'{}' has two producers", v.name);
    return std::nullopt;
  }

  std::optional<std::string> node(NodeId id) {
    const Node& n = g_.nodes[static_cast<std::size_t>(id)];
    for (const ValueId v : n.inputs) {
      if (!is_value(v)) return "an operand does not exist";
      if (!ready_[static_cast<std::size_t>(v)])
        return fmt::format("operand '{}' is not computed before it is used",
                           g_.values[static_cast<std::size_t>(v)].name);
    }
    if (n.opaque.empty()) {
      if (auto e = program(n)) return e;
    }
    for (const ValueId v : n.outputs) {
      if (!is_value(v)) return "a result does not exist";
      if (g_.values[static_cast<std::size_t>(v)].producer != id)
        return fmt::format("'{}' does not name it as producer", g_.values[static_cast<std::size_t>(v)].name);
      if (ready_[static_cast<std::size_t>(v)])
        return fmt::format("'{}' is computed twice", g_.values[static_cast<std::size_t>(v)].name);
      ready_[static_cast<std::size_t>(v)] = true;
    }
    return std::nullopt;
  }

  std::optional<std::string> program(const Node& n) const {
    const expr::Program& p = n.program;
    if (auto e = expr::verify(p)) return e;
    std::vector<ValueId> of(p.tensors.size(), -1);
    std::size_t in = 0, out = 0;
    for (std::size_t t = 0; t < p.tensors.size(); ++t) {
      if (p.tensors[t].role == expr::Role::temp) continue;
      const bool input = p.tensors[t].role == expr::Role::input;
      const std::vector<ValueId>& list = input ? n.inputs : n.outputs;
      std::size_t& next = input ? in : out;
      if (next >= list.size()) return "more tensors in the program than operands";
      of[t] = list[next++];
      if (static_cast<int>(g_.values[static_cast<std::size_t>(of[t])].dims.size()) != p.tensors[t].rank) {
        return fmt::format("tensor '{}' has rank {}, but '{}' has {}", p.tensors[t].name, p.tensors[t].rank,
                           g_.values[static_cast<std::size_t>(of[t])].name,
                           g_.values[static_cast<std::size_t>(of[t])].dims.size());
      }
    }
    if (in != n.inputs.size() || out != n.outputs.size()) return "fewer tensors in the program than operands";
    if (n.extents.size() != p.axes.size()) return "an axis has no extent";
    if (n.params.size() != p.params.size()) return "a parameter has no value";
    for (const auto& [input, dim] : n.maybe_broadcast) {
      if (input < 0 || input >= static_cast<int>(n.inputs.size()) || dim < 0 ||
          dim >= static_cast<int>(
                     g_.values[static_cast<std::size_t>(n.inputs[static_cast<std::size_t>(input)])].dims.size())) {
        return "maybe_broadcast names a dimension that does not exist";
      }
    }
    return extents_agree(n, of);
  }

  std::optional<std::string> extents_agree(const Node& n, const std::vector<ValueId>& of) const {
    const expr::Program& p = n.program;
    std::optional<std::string> error;
    const auto check = [&](int tensor, const std::vector<expr::Expr>& index) {
      const ValueId v = of[static_cast<std::size_t>(tensor)];
      if (v < 0) return;
      const Value& x = g_.values[static_cast<std::size_t>(v)];
      for (std::size_t i = 0; i < x.dims.size(); ++i) {
        const auto a = expr::bare_axis(index[i]);
        if (!a) continue;
        const auto have = g_.dims.constant_value(x.dims[i]),
                   want = g_.dims.constant_value(n.extents[static_cast<std::size_t>(*a)]);
        if (have && want && *have != *want)
          error = fmt::format("axis '{}' has the extent {}, but '{}' has {}", p.axes[static_cast<std::size_t>(*a)],
                              *want, x.name, *have);
      }
    };
    for (const expr::Statement& s : p.statements) {
      check(s.out, s.out_index);
      expr::for_each_access(s.value, [&](const expr::Expr& e) { check(e->id, e->args); });
    }
    return error;
  }

  const Graph& g_;
  std::vector<bool> ready_;
};

}  // namespace

std::vector<ValueId> tensor_values(const Node& n) {
  std::vector<ValueId> values;
  std::size_t in = 0, out = 0;
  for (const expr::TensorDecl& t : n.program.tensors) {
    if (t.role == expr::Role::input) values.push_back(n.inputs[in++]);
    else values.push_back(t.role == expr::Role::output ? n.outputs[out++] : -1);
  }
  return values;
}

std::optional<std::string> verify(const Graph& g) { return Verifier(g).run(); }

std::string print_type(const Graph& g, const Value& v) {
  std::vector<std::string> d;
  for (const Dim e : v.dims) d.push_back(g.dims.print(e));
  std::string s = fmt::format("{}[{}]", name_of(v.dtype), fmt::join(d, ", "));
  if (v.has_elements) {
    std::vector<std::string> e;
    for (const Dim x : v.elements) e.push_back(g.dims.print(x));
    s += fmt::format(" = {{{}}}", fmt::join(e, ", "));
  }
  return s;
}

namespace {

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ';' || text.back() == ' ')) text.pop_back();
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) text.replace(at, 1, "; ");
  return text;
}

}  // namespace

std::string print(const Graph& g) {
  std::string s;
  for (const ValueId v : g.inputs) {
    const Value& x = g.values[static_cast<std::size_t>(v)];
    s += fmt::format("input {}: {}\n", x.name, print_type(g, x));
  }
  for (const Value& x : g.values)
    if (x.is_constant()) s += fmt::format("constant {}: {}\n", x.name, print_type(g, x));
  for (const Node& n : g.nodes) {
    if (n.removed) continue;
    std::vector<std::string> out, in;
    for (const ValueId v : n.outputs)
      out.push_back(fmt::format("{}: {}", g.values[static_cast<std::size_t>(v)].name,
                                print_type(g, g.values[static_cast<std::size_t>(v)])));
    for (const ValueId v : n.inputs) {
      const Value& x = g.values[static_cast<std::size_t>(v)];
      in.push_back(x.has_elements ? fmt::format("{}: {}", x.name, print_type(g, x)) : x.name);
    }
    s += fmt::format("{} = {}({})", fmt::join(out, ", "), n.op, fmt::join(in, ", "));
    s += n.opaque.empty() ? fmt::format("  | {}", one_line(expr::print(n.program)))
                          : fmt::format("  | opaque {}", n.opaque);
    std::vector<std::string> where;
    for (std::size_t i = 0; i < n.params.size(); ++i) {
      const Dim* d = std::get_if<Dim>(&n.params[i]);
      where.push_back(fmt::format("${} = {}", n.program.params[i],
                                  d != nullptr ? g.dims.print(*d) : fmt::format("{}", std::get<double>(n.params[i]))));
    }
    for (const auto& [input, dim] : n.maybe_broadcast)
      where.push_back(fmt::format("maybe stretched: {}.{}", input, dim));
    if (!where.empty()) s += fmt::format("  where {}", fmt::join(where, ", "));
    s += '\n';
  }
  for (std::size_t i = 0; i < g.outputs.size(); ++i) {
    const Value& x = g.values[static_cast<std::size_t>(g.outputs[i])];
    s += fmt::format("output {} = {}: {}\n", g.output_names[i], x.name, print_type(g, x));
  }
  for (const Check& c : g.checks)
    s += fmt::format("check {} == {}  | {}\n", g.dims.print(c.a), g.dims.print(c.b), c.who);
  return s;
}

}  // namespace pit::graph
