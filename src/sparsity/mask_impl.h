// Internal: the nodes of a mask program. Included by the mask_*.cpp files only.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "sparsity/mask.h"
#include "support/buffer.h"

namespace pit::sparsity {

/// Not set to zero before they are written.
using Bytes = Buffer<std::uint8_t>;

/// A mask while programs are built and evaluated: a strided view of shared bytes.
struct MaskView {
  std::shared_ptr<const Bytes> data;
  std::vector<std::int64_t> shape, strides;  ///< stored extents (1 where uniform) and strides (0 there)
  std::vector<std::int64_t> extents;
  std::vector<std::vector<std::int64_t>> boundaries;  ///< as in MaskArray
  bool constant = false, value = false;               ///< all elements are `value`; then every shape is 1
  std::uint64_t hash = 0;                             ///< of the stored bytes; 0: unknown
};

struct MaskNode {
  MaskOp op = MaskOp::constant;
  std::vector<AxisForm> forms;
  std::vector<int> args;
  bool value = false;               ///< constant
  std::vector<int> axes;            ///< permute: order; any: the reduced axes, ascending; put: likewise
  int count = 0;                    ///< merge: how many of the last axes; split: into how many
  int axis = -1;                    ///< segments: which
  std::vector<Position> positions;  ///< window, place: the start; segments: the boundaries
  std::int64_t step = 1;            ///< window, place
  ValueId source = -1;              ///< leaf
  Predicate predicate = Predicate::nonzero;
  Lookup lookup;                          ///< take, put
  std::shared_ptr<const MaskView> known;  ///< leaf of a constant
  std::uint64_t shape_key = 0;            ///< the same for formulas that differ by a permutation of axes only
  int weight = 0;                         ///< literals that a rewriting has to visit
  int reads = 0;                          ///< the values that evaluation reads, by number of the set (0: none)
};

/// What a rewriting was asked for: the operation, its mask, its numbers.
struct Rewriting {
  MaskOp op;
  int mask;
  std::vector<int> numbers;
  bool operator==(const Rewriting&) const = default;
  struct Hash {
    std::size_t operator()(const Rewriting& r) const;
  };
};

struct MaskProgram::Impl {
  const graph::Graph* graph = nullptr;
  std::deque<MaskNode> nodes;  ///< which stay where they are when others come

  const MaskNode& node(int m) const { return nodes[static_cast<std::size_t>(m)]; }
  int rank(int m) const { return static_cast<int>(node(m).forms.size()); }
  bool uniform(int m, int axis) const { return node(m).forms[static_cast<std::size_t>(axis)].form == Form::uniform; }
  bool is_constant(int m, bool v) const { return node(m).op == MaskOp::constant && node(m).value == v; }
  std::vector<Dim> extents(int m) const;

  int intern(MaskNode n);
  /// Takes back what was made since there were so many nodes.
  void forget_from(std::size_t count);
  int constant(bool value, const std::vector<Dim>& extents);
  int leaf(ValueId v, Predicate p);
  int combine(bool conjunction, std::vector<int> operands);
  int negate(int m);
  int any(int m, std::vector<int> axes);
  int permute(int m, const std::vector<int>& order, const std::vector<Dim>& extents);
  int merge(int m, int first, int count, Dim extent);
  int split(int m, int axis, const std::vector<Dim>& extents);
  int window(int m, int axis, Position start, std::int64_t step, Dim count);
  int place(int m, int axis, Position start, std::int64_t step, Dim extent, bool upper);
  int segments(int axis, std::vector<Position> boundaries, std::vector<int> parts);
  int take(int m, const Lookup& index, const std::vector<Dim>& extents);
  int put(int m, const Lookup& index, const std::vector<int>& reduced, Dim table_extent);
  int fit(int m, int axis, Dim extent);
  int hold(int m);

  const std::vector<ValueId>& read_set(int number) const { return *read_sets_[static_cast<std::size_t>(number)]; }
  std::optional<std::int64_t> constant_extent(Dim d) const;
  /// start + length == extent, proved.
  bool ends_at(Position start, Dim length, Dim extent) const;

 private:
  friend class MaskProgram;
  std::unordered_multimap<std::uint64_t, int> interned_;           ///< by what makes a node what it is
  std::unordered_map<Rewriting, int, Rewriting::Hash> rewritten_;  ///< results of quantifiers and permutations
  mutable std::vector<std::vector<std::int64_t>> samples_;         ///< values of all Dims at a few random points

  /// Most nodes read what another one reads: sets of values are interned, too.
  std::map<std::vector<ValueId>, int> read_set_numbers_{{{}, 0}};
  std::vector<const std::vector<ValueId>*> read_sets_{&read_set_numbers_.begin()->first};

  std::uint64_t shape_key(const MaskNode& n) const;
  int reads(const MaskNode& n);
  std::vector<AxisForm> joined_forms(const std::vector<int>& operands) const;
  int weight(const MaskNode& n) const;
  std::optional<int> lightened(bool conjunction, std::vector<int> operands);
  std::optional<int> distribute_over_segments(bool conjunction, const std::vector<int>& operands);
  std::optional<int> resolve(bool conjunction, const std::vector<int>& set);
  bool absorbed(bool conjunction, int x, const std::vector<int>& set) const;
  void axis_order(int m, std::vector<int>& order) const;
  /// The axes on which any of `ms` depends, in an order that does not depend on their numbering, then `last`.
  std::vector<int> compact_order(const std::vector<int>& ms, const std::vector<int>& last) const;
  int compact(int m, const std::vector<int>& kept);
  /// `m`, over the axes `kept` (or fewer) of a space, back in that space.
  int expand(int m, const std::vector<int>& kept, const std::vector<Dim>& extents);
  /// `mask` with the axis replaced by the `count` axes it was merged from: what is uniform along some of them stays so.
  struct Unmerged {
    int mask, axis, count;
  };
  std::optional<Unmerged> unmerge(int m, const std::vector<int>& except);
  std::pair<int, int> merged_axis(int m, const std::vector<int>& except) const;
  bool splits_cleanly(int m, int axis, const std::vector<Dim>& e) const;
  int quantified(int m, const std::vector<int>& axes);
  int permuted(int m, const std::vector<int>& order, const std::vector<Dim>& extents);
  /// The axes on which `m` depends.
  std::vector<int> axes_of(int m) const;
  /// The operands of a set, those over the same axes together, each group as one formula.
  std::vector<int> by_axes(int m);
  bool is_wide(int m) const;
  std::optional<int> distributed(const std::vector<int>& members, const std::vector<int>& axes);
  int any_of_all(const std::vector<int>& operands, std::vector<int> axes);
  int any_atom(const std::vector<int>& operands, const std::vector<int>& axes);
  bool segments_not_empty(int m) const;
  std::optional<int> merge_segments(int m, int first, int count, Dim extent);
  std::optional<int> split_segments(int m, int axis, const std::vector<Dim>& extents);
  /// Maps `f` over the operands of an and/or/not (index maps commute with them).
  template <class F>
  int map_logical(int m, F&& f);
  /// The segment of `m`'s forms at `axis` replaced by `with`.
  std::vector<Dim> replaced_extents(int m, int axis, int count, const std::vector<Dim>& with) const;
};

/// Evaluates a predicate over a tensor; uniform axes are found and dropped.
MaskView predicate_view(const Tensor& t, Predicate p);

}  // namespace pit::sparsity
