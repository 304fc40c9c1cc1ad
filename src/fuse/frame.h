// Masks over the axes of a group, of one of its nodes, and over the dimensions of a value: carried from one to the
// other.
#pragma once

#include "fuse/fuse.h"
#include "sparsity/analysis.h"
#include "sparsity/index_map.h"

namespace pit::fuse {

class Frame {
 public:
  Frame(graph::Graph& g, sparsity::MaskProgram masks, const Group& group);

  /// A mask over the dimensions of a value that the group writes, over the group's axes.
  sparsity::MaskId of_value(sparsity::MaskId m, ValueId v) const;
  /// The inverse, "or" over axes that the value does not have.
  sparsity::MaskId to_value(sparsity::MaskId m, ValueId v) const;
  /// A mask over the axes of a node, over the group's.
  sparsity::MaskId of_node(sparsity::MaskId m, NodeId n) const;
  /// A mask over the group's axes, over those of one of its nodes: "or" over axes that the node does not have.
  sparsity::MaskId to_node(sparsity::MaskId m, NodeId n) const;
  /// "Or" over the axes (those that are < 0 do not exist).
  sparsity::MaskId any(sparsity::MaskId m, std::vector<int> axes) const;

 private:
  sparsity::IndexMap map_of(ValueId v) const;

  graph::Graph& g_;
  mutable sparsity::MaskProgram masks_;
  const Group& group_;
  graph::Node node_;  ///< the group as one node, for the index maps
};

}  // namespace pit::fuse
