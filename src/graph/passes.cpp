// The passes that every graph goes through; README.md has the list with its reasons.
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "graph/finders.h"
#include "graph/graph.h"
#include "graph/opset/builder.h"
#include "support/cancel.h"
#include "support/check.h"

namespace pit::graph {
namespace {

Value& at(Graph& g, ValueId v) { return g.values[static_cast<std::size_t>(v)]; }

// -- value numbering: keys are byte strings that spell out everything a node computes
// ---------------------------------------

template <class T>
void put(std::string* key, const T& v) {
  key->append(reinterpret_cast<const char*>(&v), sizeof v);
}

void put_expr(std::string* key, const expr::Expr& e) {
  key->push_back(static_cast<char>(e->kind));
  switch (e->kind) {
    case expr::Kind::literal:
      put(key, e->number);
      key->push_back(static_cast<char>(e->is_bool * 2 + e->is_int));
      break;
    case expr::Kind::call:
      key->push_back(static_cast<char>(e->fn));
      key->push_back(static_cast<char>(e->to));
      break;
    default: put(key, e->id);
  }
  key->push_back(static_cast<char>(e->args.size() * 2 + e->has_default));
  for (const expr::Expr& a : e->args) put_expr(key, a);
}

std::string key_of(const Graph& g, const Node& n) {
  std::string key;
  key.reserve(256);
  for (const ValueId v : n.inputs) put(&key, v);
  key.push_back('|');
  for (const ValueId v : n.outputs) key.push_back(static_cast<char>(g.values[static_cast<std::size_t>(v)].dtype));
  if (!n.opaque.empty()) {
    key += n.opaque;
    for (const auto& [name, list] : n.opaque_ints) {
      key += name;
      put(&key, list.size());
      for (const std::int64_t i : list) put(&key, i);
    }
    for (const auto& [name, list] : n.opaque_floats) {
      key += name;
      put(&key, list.size());
      for (const double d : list) put(&key, d);
    }
    return key;
  }
  for (const Dim d : n.extents) put(&key, d.id);
  for (const auto& p : n.params) {
    if (const Dim* d = std::get_if<Dim>(&p)) put(&key, d->id);
    else put(&key, std::get<double>(p));
  }
  for (const auto& m : n.maybe_broadcast) put(&key, m);
  for (const expr::TensorDecl& t : n.program.tensors) key.push_back(static_cast<char>(t.role));
  for (const expr::Statement& s : n.program.statements) {
    put(&key, s.out);
    key.push_back(static_cast<char>(s.combiner));
    for (const expr::Expr& e : s.out_index) put_expr(&key, e);
    put_expr(&key, s.value);
  }
  return key;
}

// Small constants by content, shape computations by their formulas.
std::string key_of(const Value& v) {
  std::string key;
  key.push_back(static_cast<char>(v.dtype));
  for (const Dim d : v.dims) put(&key, d.id);
  // Numbers of Dims and bytes of a constant may look alike.
  key.push_back(v.has_elements ? 'D' : '|');
  if (v.has_elements) {
    for (const Dim d : v.elements) put(&key, d.id);
  } else {
    key.append(v.constant.as<char>(), v.constant.bytes());
  }
  return key;
}

// What reaches an output, by values or by extents: who finds a count (NonZero) is wanted where only the count is.
class Wanted {
 public:
  explicit Wanted(const Graph& g)
      : g_(g),
        values_(g.values.size(), false),
        nodes_(g.nodes.size(), false),
        found_by_(static_cast<std::size_t>(g.dims.symbol_count()), -1) {
    for (const Finder& f : finders(g)) found_by_[static_cast<std::size_t>(f.symbol)] = f.node;
  }

  std::vector<bool> nodes() {
    for (const ValueId v : g_.outputs) value(v);
    for (const Check& c : g_.checks) dims({c.a, c.b});
    while (!open_.empty()) {
      const Node& n = g_.nodes[static_cast<std::size_t>(open_.back())];
      open_.pop_back();
      for (const ValueId v : n.inputs) value(v);
      for (const ValueId v : n.outputs) dims(g_.values[static_cast<std::size_t>(v)].dims);
      dims(n.extents);
      for (const auto& p : n.params) {
        if (const Dim* d = std::get_if<Dim>(&p)) dims({*d});
      }
    }
    return nodes_;
  }

 private:
  void node(NodeId n) {
    if (n < 0 || nodes_[static_cast<std::size_t>(n)]) return;
    nodes_[static_cast<std::size_t>(n)] = true;
    open_.push_back(n);
  }
  void value(ValueId v) {
    if (values_[static_cast<std::size_t>(v)]) return;
    values_[static_cast<std::size_t>(v)] = true;
    const Value& x = g_.values[static_cast<std::size_t>(v)];
    node(x.producer);
    dims(x.dims);
    dims(x.elements);
  }
  void dims(const std::vector<Dim>& list) {
    for (const Dim d : list) {
      if (g_.dims.constant_value(d)) continue;
      for (const int s : g_.dims.symbols_of(d)) node(found_by_[static_cast<std::size_t>(s)]);
    }
  }

  const Graph& g_;
  std::vector<bool> values_, nodes_;
  std::vector<NodeId> found_by_;  // symbols that no input gives
  std::vector<NodeId> open_;
};

}  // namespace

void fold_constants(Graph& g) {
  for (Node& n : g.nodes) {
    if (n.removed) continue;
    poll_cancel();
    std::vector<DType> dtypes;
    std::vector<std::vector<Dim>> dims;
    for (const ValueId o : n.outputs) {
      dtypes.push_back(at(g, o).dtype);
      dims.push_back(at(g, o).dims);
    }
    auto tensors = fold(g, n, dtypes, dims);
    if (!tensors) continue;
    for (std::size_t i = 0; i < n.outputs.size(); ++i) {
      Value& v = at(g, n.outputs[i]);
      v.producer = -1;
      v.dims.clear();
      for (const std::int64_t d : (*tensors)[i].shape()) v.dims.push_back(g.dims.constant(d));
      v.constant = std::move((*tensors)[i]);
    }
    n.removed = true;
  }
}

void value_number(Graph& g) {
  constexpr std::size_t small = 4096;  // bytes of a constant that is compared by content
  std::vector<ValueId> representative(g.values.size());
  std::unordered_map<std::string, ValueId> known_values;
  for (std::size_t i = 0; i < g.values.size(); ++i) {
    representative[i] = static_cast<ValueId>(i);
    const Value& v = g.values[i];
    if (!v.has_elements && !(v.is_constant() && v.constant.bytes() <= small)) continue;
    representative[i] = known_values.emplace(key_of(v), static_cast<ValueId>(i)).first->second;
  }
  std::unordered_map<std::string, NodeId> known_nodes;
  for (std::size_t i = 0; i < g.nodes.size(); ++i) {
    Node& n = g.nodes[i];
    if (n.removed) continue;
    for (ValueId& v : n.inputs) v = representative[static_cast<std::size_t>(v)];
    const auto [it, added] = known_nodes.emplace(key_of(g, n), static_cast<NodeId>(i));
    if (added) continue;
    const Node& first = g.nodes[static_cast<std::size_t>(it->second)];
    // Two that find the same count each define the symbol of theirs, which others may name.
    const auto same_dims = [&](ValueId a, ValueId b) { return at(g, a).dims == at(g, b).dims; };
    if (!std::equal(n.outputs.begin(), n.outputs.end(), first.outputs.begin(), first.outputs.end(), same_dims))
      continue;
    for (std::size_t o = 0; o < n.outputs.size(); ++o)
      representative[static_cast<std::size_t>(n.outputs[o])] = first.outputs[o];
    n.removed = true;
  }
  for (ValueId& v : g.outputs) v = representative[static_cast<std::size_t>(v)];
}

void remove_dead(Graph& g) {
  const std::vector<bool> wanted = Wanted(g).nodes();
  for (std::size_t i = 0; i < g.nodes.size(); ++i) g.nodes[i].removed = g.nodes[i].removed || !wanted[i];
}

void compact(Graph& g) {
  std::vector<bool> used(g.values.size(), false);
  for (const ValueId v : g.inputs) used[static_cast<std::size_t>(v)] = true;
  for (const ValueId v : g.outputs) used[static_cast<std::size_t>(v)] = true;
  std::vector<Node> nodes;
  nodes.reserve(g.nodes.size());
  for (Node& n : g.nodes) {
    if (n.removed) continue;
    for (const ValueId v : n.inputs) used[static_cast<std::size_t>(v)] = true;
    for (const ValueId v : n.outputs) used[static_cast<std::size_t>(v)] = true;
    nodes.push_back(std::move(n));
  }
  std::vector<ValueId> renamed(g.values.size(), -1);
  std::vector<Value> values;
  values.reserve(g.values.size());
  for (std::size_t i = 0; i < g.values.size(); ++i) {
    if (!used[i]) continue;
    renamed[i] = static_cast<ValueId>(values.size());
    values.push_back(std::move(g.values[i]));
    values.back().producer = -1;
  }
  const auto rename = [&](std::vector<ValueId>& list) {
    for (ValueId& v : list) v = renamed[static_cast<std::size_t>(v)];
  };
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    rename(nodes[i].inputs);
    rename(nodes[i].outputs);
    for (const ValueId v : nodes[i].outputs) values[static_cast<std::size_t>(v)].producer = static_cast<NodeId>(i);
  }
  rename(g.inputs);
  rename(g.outputs);
  g.wide.clear();
  g.nodes = std::move(nodes);
  g.values = std::move(values);
}

void run_passes(Graph& g) {
  const auto run = [&](const char* pass, void (*f)(Graph&)) {
    f(g);
    const auto e = verify(g);
    PIT_CHECK(!e, "after pass {}: {}", pass, *e);
  };
  run("fold_constants", fold_constants);
  run("value_number", value_number);
  run("remove_dead", remove_dead);
  run("compact", compact);
}

}  // namespace pit::graph
