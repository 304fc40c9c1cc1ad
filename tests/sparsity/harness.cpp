#include "harness.h"

#include <algorithm>

#include "graph/reference.h"
#include "sparsity/control.h"

namespace pit::sparsity::test {

Evaluated evaluate(const graph::Graph& g, const Analysis& a, const std::vector<MaskId>& roots,
                   const std::vector<Tensor>& inputs) {
  Evaluated e;
  e.dims = g.dims.evaluate(graph::bind_symbols(g, inputs));
  e.control.resize(g.values.size());
  std::vector<char> needed(g.values.size(), 0);
  for (ValueId v : a.masks.leaves(roots)) mark_ancestors(g, graph::extent_inputs(g), v, needed);
  for (std::size_t v = 0; v < g.values.size(); ++v) {
    const graph::Value& value = g.values[v];
    if (value.is_constant()) e.control[v] = value.constant;
    else if (value.input >= 0) e.control[v] = inputs[static_cast<std::size_t>(value.input)];
    else if (value.has_elements) e.control[v] = graph::materialise(g, value, e.dims);
  }
  for (const graph::Node& n : g.nodes) {
    const bool wanted =
        std::any_of(n.outputs.begin(), n.outputs.end(), [&](ValueId v) { return needed[static_cast<std::size_t>(v)]; });
    if (n.removed || !wanted) continue;
    std::vector<Tensor> in;
    for (ValueId v : n.inputs) in.push_back(e.control[static_cast<std::size_t>(v)]);
    auto out = graph::run_node(g, n, in, e.dims);
    for (std::size_t i = 0; i < out.size(); ++i) e.control[static_cast<std::size_t>(n.outputs[i])] = out[i];
  }
  e.masks = a.masks.evaluate(roots, e.dims,
                             [&](ValueId v) -> const Tensor& { return e.control[static_cast<std::size_t>(v)]; });
  return e;
}

graph::ValueId mask_input(const graph::Graph& g) {
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    if (g.input_names[i].find("mask") != std::string::npos) return g.inputs[i];
  }
  return -1;
}

std::vector<Tensor> text_inputs(const graph::Graph& g, const std::vector<std::int64_t>& lengths, std::int64_t sequence,
                                bool left) {
  std::vector<Tensor> inputs;
  const auto batch = static_cast<std::int64_t>(lengths.size());
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    const graph::Value& v = g.values[static_cast<std::size_t>(g.inputs[i])];
    const std::string& name = g.input_names[i];
    Tensor t(v.dtype, {batch, sequence});
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t s = 0; s < sequence; ++s) {
        const bool real =
            left ? s >= sequence - lengths[static_cast<std::size_t>(b)] : s < lengths[static_cast<std::size_t>(b)];
        std::int64_t x = 0;
        if (name.find("mask") != std::string::npos) x = real;
        else if (name.find("type") == std::string::npos) x = real ? 5 + (b * 7 + s * 13) % 50 : 1;
        const auto at = b * sequence + s;
        if (v.dtype == DType::i64) t.as<std::int64_t>()[at] = x;
        else if (v.dtype == DType::i32) t.as<std::int32_t>()[at] = static_cast<std::int32_t>(x);
        else if (v.dtype == DType::f32) t.as<float>()[at] = static_cast<float>(x);
        else t.as<std::uint8_t>()[at] = static_cast<std::uint8_t>(x);
      }
    }
    inputs.push_back(std::move(t));
  }
  return inputs;
}

}  // namespace pit::sparsity::test
