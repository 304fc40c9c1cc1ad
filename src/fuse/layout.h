// Symbolic storage of values: which are views of which, and in what order materialised values lie in memory.
#pragma once

#include <set>

#include "fuse/fuse.h"

namespace pit::fuse {

/// Row-major strides for `dims` in the storage order `order` (a permutation of the dimensions, outermost first).
std::vector<Dim> strides_in_order(graph::DimTable& t, const std::vector<Dim>& dims, const std::vector<int>& order);

/// The stride of every axis of a program, and the base, for an access with these indices of a value with this layout.
/// Lookups contribute nothing (they are added in the kernel). Nothing if an index is neither affine nor a lookup.
struct AccessStrides {
  Dim base;
  std::vector<Dim> strides;
};
std::optional<AccessStrides> access_strides(graph::DimTable& t, const std::vector<expr::Expr>& index,
                                            const Layout& layout, const std::vector<Dim>& extents,
                                            const std::vector<std::variant<Dim, double>>& params);

/// If the node is a pure movement whose output can be a view of its input's storage: that view.
std::optional<Layout> view_of(graph::Graph& g, const graph::Node& n, const Layout& input);

/// Layouts of all values: inputs, constants, views, and storage orders for what is materialised.
/// `materialised`: values that must have contiguous storage of their own though they could be views.
std::vector<Layout> assign_layouts(graph::Graph& g, const std::set<ValueId>& materialised,
                                   std::vector<char>* is_view_node);

/// Whether a layout is that of a contiguous row-major tensor at offset 0 of its root.
bool is_contiguous(graph::DimTable& t, const Layout& l, const std::vector<Dim>& dims);

}  // namespace pit::fuse
