#include "fuse/frame.h"

#include <algorithm>

namespace pit::fuse {

using sparsity::MaskId;

Frame::Frame(graph::Graph& g, sparsity::MaskProgram masks, const Group& group)
    : g_(g), masks_(std::move(masks)), group_(group) {
  node_.program = group.program;
  node_.extents = group.extents;
  node_.params = group.params;
}

sparsity::IndexMap Frame::map_of(ValueId v) const {
  const auto written = std::find(group_.tensor_value.begin(), group_.tensor_value.end(), v);
  const auto tensor = static_cast<expr::TensorId>(written - group_.tensor_value.begin());
  return sparsity::index_map({&g_, &node_, group_.tensor_value, nullptr}, tensor, group_.index_of.at(v), false,
                             g_.values[v].dims);
}

MaskId Frame::of_value(MaskId m, ValueId v) const { return sparsity::read_through(masks_, map_of(v), m, true); }

MaskId Frame::to_value(MaskId m, ValueId v) const { return sparsity::write_through(masks_, map_of(v), m, true); }

MaskId Frame::of_node(MaskId m, NodeId n) const {
  const std::vector<int>& axes = group_.axis_of.at(n);
  std::vector<int> order(group_.extents.size(), -1), gone;
  for (std::size_t a = 0; a < axes.size(); ++a) {
    if (axes[a] >= 0) order[axes[a]] = static_cast<int>(a);
    else gone.push_back(static_cast<int>(a));
  }
  return masks_.permute(masks_.any(m, gone), order, group_.extents);
}

MaskId Frame::to_node(MaskId m, NodeId n) const {
  const std::vector<int>& axes = group_.axis_of.at(n);
  std::vector<int> order, gone;
  for (int a : axes) order.push_back(std::max(a, -1));
  for (int a = 0; a < static_cast<int>(group_.extents.size()); ++a)
    if (std::find(axes.begin(), axes.end(), a) == axes.end()) gone.push_back(a);
  return masks_.permute(masks_.any(m, gone), order, g_.nodes[n].extents);
}

MaskId Frame::any(MaskId m, std::vector<int> axes) const {
  std::erase_if(axes, [](int a) { return a < 0; });
  return masks_.any(m, axes);
}

}  // namespace pit::fuse
