// Internal: operations on concrete masks, the run-time half of a mask program. All are exact; all accept axes that are
// stored with extent 1 because the mask happens to be uniform there.
#pragma once

#include <vector>

#include "sparsity/mask_impl.h"

namespace pit::sparsity {

MaskView constant_view(bool value, std::vector<std::int64_t> extents);
MaskView combine_views(bool conjunction, const std::vector<const MaskView*>& operands);
MaskView negate_view(const MaskView& v);
/// any over `axes` of the "and" of the operands.
MaskView any_view(const std::vector<const MaskView*>& operands, const std::vector<int>& axes);
MaskView permute_view(const MaskView& v, const std::vector<int>& order, std::vector<std::int64_t> extents);
MaskView merge_view(const MaskView& v, int count, std::vector<std::int64_t> extents);
MaskView split_view(const MaskView& v, int count, std::vector<std::int64_t> extents);
MaskView window_view(const MaskView& v, std::int64_t start, std::int64_t step, std::vector<std::int64_t> extents);
MaskView place_view(const MaskView& v, std::int64_t start, std::int64_t step, std::vector<std::int64_t> extents);
MaskView segments_view(const std::vector<const MaskView*>& parts, int axis, std::vector<std::int64_t> boundaries,
                       std::vector<std::int64_t> extents);
MaskView take_view(const MaskView& v, const Lookup& lookup, const Tensor& index, std::vector<std::int64_t> extents);
MaskView put_view(const MaskView& v, const Lookup& lookup, const Tensor& index, const std::vector<int>& reduced,
                  std::vector<std::int64_t> extents);

/// The view as an array of its own.
MaskArray materialize(const MaskView& v);
std::uint64_t hash_bytes(const void* data, std::size_t size, std::uint64_t seed);

}  // namespace pit::sparsity
