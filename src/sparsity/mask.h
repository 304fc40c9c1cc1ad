// Masks: boolean arrays over the axes of a value or an iteration space, and the programs that compute them at run time.
//
// A mask has one *form* per axis: `uniform` (the same along the axis; stored with extent 1), `full` (one byte per
// position) or `pieces` (constant on static pieces of the axis, cut at Dims; stored with one byte per piece: fused QKV needs
// other rows for the columns of Q than for K and V). Forms are static, extents symbolic; so a MaskProgram is built once
// at compile time and evaluated per run on the concrete values of the control subgraph, in microseconds.
//
// A MaskProgram is a list of interned nodes (equal formulas have equal ids); its results are interned again *by value*
// when evaluated, so operators with the same live set share one array and, after it, one index.
// A formula that gets too complicated or too large widens to `everything` (true): always safe for both analyses.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace pit::sparsity {

using graph::Dim;
using graph::ValueId;

struct MaskId {
  std::int32_t id = -1;
  bool operator==(const MaskId&) const = default;
};

enum class Form : std::uint8_t { uniform, full, pieces };

struct AxisForm {
  Form form = Form::uniform;
  Dim extent;               ///< of the axis itself, whatever the form
  std::vector<Dim> cuts;    ///< pieces: inner boundaries, ascending; piece i is [cuts[i-1], cuts[i])
  bool operator==(const AxisForm&) const = default;
};

/// Predicates on the elements of a known (control) value; the leaves of mask programs.
enum class Predicate : std::uint8_t {
  nonzero,      ///< x != 0 (NaN is non-zero)
  not_masked,   ///< x > -1e4: surely a bias that leaves the score alive
  absorbing,    ///< x <= -1e30: absorbs whatever moderate value is added
  absorbing_subtrahend,  ///< x >= 1e30
  minus_infinity,
  nan
};

enum class MaskOp : std::uint8_t {
  constant,     ///< all true / all false
  leaf,         ///< predicate over a control value
  logical_and, logical_or, logical_not,  ///< broadcasting over uniform axes
  any,          ///< over listed axes, which become uniform
  permute,      ///< axes reordered / dropped (uniform ones) / inserted (uniform)
  reshape,      ///< merge / split of axes in row-major order
  window,       ///< axis: positions start, start+step, ... (count of them): slicing
  place,        ///< inverse of window: true only inside, taken from the argument; elsewhere false
  take,         ///< by a known integer value: result[..., i..., ...] = arg[..., index[i...], ...]
  put,          ///< inverse of take: "or" of all positions that take from it
  contract      ///< any over k of a[.., m, k] and b[.., k, n] without the 4-D intermediate
};

/// A concrete mask: one byte (0/1) per stored position, row-major over `shape` (1 for uniform axes, the number of pieces, or the extent).
struct MaskArray {
  std::vector<std::int64_t> shape;    ///< stored extents
  std::vector<std::int64_t> extents;  ///< real extents
  std::vector<std::vector<std::int64_t>> cuts;  ///< per axis, concrete, empty unless pieces
  std::vector<std::uint8_t> bits;
  bool all = false, none = false;     ///< every (no) element true; an empty mask is both
  std::uint64_t hash = 0;

  bool at(const std::int64_t* index) const;  ///< real coordinates
  double fraction() const;                   ///< live elements / all elements (1 if there are none)
};
using MaskPtr = std::shared_ptr<const MaskArray>;

class MaskProgram {
 public:
  explicit MaskProgram(const graph::Graph* g);
  ~MaskProgram();
  MaskProgram(MaskProgram&&) noexcept;

  // Constructors simplify (identities, absorption, double any) and intern. Ranks must agree; uniform axes broadcast.
  MaskId everything(std::vector<Dim> extents);
  MaskId nothing(std::vector<Dim> extents);
  MaskId leaf(ValueId v, Predicate p);
  MaskId and_(MaskId a, MaskId b);
  MaskId or_(MaskId a, MaskId b);
  MaskId not_(MaskId a);
  MaskId any(MaskId a, const std::vector<int>& axes);
  /// result axis i is a's axis order[i], or a new uniform axis of extent extents[i] where order[i] is -1. Axes of `a` that are not named must be uniform.
  MaskId permute(MaskId a, const std::vector<int>& order, std::vector<Dim> extents);
  /// groups[i] = (axes of a, extents of the result) in row-major correspondence.
  MaskId reshape(MaskId a, std::vector<Dim> extents);
  MaskId window(MaskId a, int axis, Dim start, Dim step, Dim count);
  MaskId place(MaskId a, int axis, Dim start, Dim step, Dim extent);
  MaskId take(MaskId a, int axis, ValueId index, const std::vector<int>& index_axes, std::vector<Dim> extents);
  MaskId put(MaskId a, int axis, ValueId index, const std::vector<int>& index_axes, std::vector<Dim> extents);
  MaskId contract(MaskId a, MaskId b, const std::vector<int>& reduced);  ///< a, b over the same axes; any over `reduced` of a and b

  bool is_everything(MaskId m) const;
  bool is_nothing(MaskId m) const;
  const std::vector<AxisForm>& forms(MaskId m) const;
  /// Control values that the masks reachable from `roots` read.
  std::vector<ValueId> leaves(const std::vector<MaskId>& roots) const;
  /// "attention_mask[b,s] != 0", "any[q](...)": for explain.
  std::string print(MaskId m) const;
  int size() const;

  /// Marks a mask as wanted; `evaluate` computes only those (and what they need).
  void want(MaskId m);

  /// Concrete masks (index: MaskId::id; null where not wanted). `dims`: DimTable::evaluate's result; `control(v)`: the dense, contiguous
  /// tensor of a leaf. Equal arrays are one object. Allocation: reuses `previous` where given.
  std::vector<MaskPtr> evaluate(const std::vector<std::int64_t>& dims,
                                const std::function<const Tensor&(ValueId)>& control) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pit::sparsity
