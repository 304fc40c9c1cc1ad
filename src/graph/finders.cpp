#include "graph/finders.h"

#include <algorithm>
#include <map>

namespace pit::graph {
namespace {

// Visits all Dims without which nobody can tell what the node computes.
template <class F>
void for_each_dim(const Graph& g, const Node& n, F&& visit) {
  const auto all = [&](const std::vector<Dim>& dims) {
    for (const Dim d : dims) visit(d);
  };
  const auto value = [&](ValueId v) {
    all(g.values[static_cast<std::size_t>(v)].dims);
    all(g.values[static_cast<std::size_t>(v)].elements);
  };
  for (const ValueId v : n.inputs) value(v);
  for (const ValueId v : n.outputs) value(v);
  all(n.extents);
  for (const auto& p : n.params)
    if (const Dim* d = std::get_if<Dim>(&p)) visit(*d);
}

}  // namespace

std::vector<Finder> finders(const Graph& g) {
  std::vector<char> given(static_cast<std::size_t>(g.dims.symbol_count()), 0);
  for (const ValueId v : g.inputs)
    for (const Dim d : g.values[static_cast<std::size_t>(v)].dims)
      if (const int s = g.dims.symbol_index(d); s >= 0) given[static_cast<std::size_t>(s)] = 1;
  std::vector<Finder> all;
  for (std::size_t n = 0; n < g.nodes.size(); ++n) {
    const Node& node = g.nodes[n];
    if (node.removed) continue;
    for (std::size_t o = 0; o < node.outputs.size(); ++o) {
      const std::vector<Dim>& dims = g.values[static_cast<std::size_t>(node.outputs[o])].dims;
      for (std::size_t d = 0; d < dims.size(); ++d) {
        const int s = g.dims.symbol_index(dims[d]);
        if (s < 0 || given[static_cast<std::size_t>(s)]) continue;
        given[static_cast<std::size_t>(s)] = 1;
        all.push_back({static_cast<NodeId>(n), static_cast<int>(o), static_cast<int>(d), s});
      }
    }
  }
  return all;
}

std::vector<std::vector<ValueId>> extent_inputs(const Graph& g) {
  std::vector<std::vector<ValueId>> inputs(g.nodes.size());
  std::vector<const Finder*> finder_of(static_cast<std::size_t>(g.dims.symbol_count()), nullptr);
  const std::vector<Finder> all = finders(g);
  if (all.empty()) return inputs;
  for (const Finder& f : all) finder_of[static_cast<std::size_t>(f.symbol)] = &f;
  std::map<int, std::vector<int>> symbols;  // of a Dim
  for (std::size_t n = 0; n < g.nodes.size(); ++n) {
    if (g.nodes[n].removed) continue;
    for_each_dim(g, g.nodes[n], [&](Dim d) {
      const auto [it, fresh] = symbols.try_emplace(d.id);
      if (fresh) it->second = g.dims.symbols_of(d);
      for (const int s : it->second) {
        const Finder* f = finder_of[static_cast<std::size_t>(s)];
        if (f == nullptr || f->node == static_cast<NodeId>(n)) continue;
        const ValueId v = g.nodes[static_cast<std::size_t>(f->node)].outputs[static_cast<std::size_t>(f->output)];
        if (std::find(inputs[n].begin(), inputs[n].end(), v) == inputs[n].end()) inputs[n].push_back(v);
      }
    });
  }
  return inputs;
}

}  // namespace pit::graph
