// Masks: boolean arrays over the axes of a value or an iteration space, and the programs that compute them at run time.
//
// A mask has one *form* per axis: `uniform` (the same along the axis; stored with extent 1), `full` (one byte per
// position) or `segments` (constant on static segments of the axis; stored with one byte per segment: fused QKV needs
// other rows for the columns of Q than for K and V). Forms are static, extents symbolic; so a MaskProgram is built once
// at compile time and evaluated per run on the concrete values of the control subgraph, in microseconds. Concrete
// arrays may be *smaller* than their form says (an axis along which a run's mask happens to be uniform is stored with
// extent 1).
//
// A MaskProgram is a list of interned nodes (equal formulas have equal ids). To make equal formulas *look* equal
// whatever program's axes they were derived over, they are kept in one normal form:
//   * and/or are flat sets, with absorption (x or (x and y) = x), so the demand of a stack of layers reaches a
//     fixpoint;
//   * index maps (permutation, slices, merges, splits) are pushed down to the atoms, where inverse pairs cancel;
//   * `any` distributes over "or", pulls out what does not depend on the reduced axes, and splits into independent
//     parts;
//   * an atom lives in its own minimal space (the axes it depends on); an outer permutation says where those are;
//   * what grows beyond a few dozen literals becomes an atom (`hold`), so that every operation costs the same however
//     deep a
//     stack of layers is, and a stack costs as much as its layers.
// Results are interned again *by value* when evaluated, so operators with the same live set share one array and, after
// it, one index. (The analysis widens what would get too large to "everything"; a mask program itself is exact.)
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace pit::sparsity {

using graph::Dim;
using graph::ValueId;

struct MaskId {
  std::int32_t id = -1;
  bool operator==(const MaskId&) const = default;
};

/// A place on an axis, known when a plan is made: scale * dim + offset. (Masks are built on a const graph, whose
/// DimTable cannot make new formulas.)
struct Position {
  Dim dim;
  std::int64_t scale = 0, offset = 0;
  static Position at(std::int64_t v) { return {{}, 0, v}; }
  static Position of(Dim d) { return {d, 1, 0}; }
  bool is_constant() const { return scale == 0; }
  bool operator==(const Position&) const = default;
};

enum class Form : std::uint8_t { uniform, full, segments };

/// In all of this folder, Dim{} (id -1) is the extent 1.
struct AxisForm {
  Form form = Form::uniform;
  Dim extent;  ///< of the axis itself, whatever the form
  /// segments: inner boundaries, ascending; segment i is [boundaries[i-1], boundaries[i]), clipped to the axis
  std::vector<Position> boundaries;
  bool operator==(const AxisForm&) const = default;
};

/// Predicates on the elements of a known (control) value; the leaves of mask programs. Between what is masked and what
/// is moderate lies room for the score that a mask is added to (see README.md).
enum class Predicate : std::uint8_t {
  nonzero,           ///< x != 0 (NaN is non-zero)
  not_masked,        ///< not x <= -9900: a bias that may leave the score alive (NaN does)
  moderate,          ///< |x| <= 1000: a bias that surely does
  absorbing,         ///< x <= -1e30: absorbs whatever moderate value is added
  small_subtrahend,  ///< not x >= 9900
  minus_infinity,
  positive,  ///< x > 0
  nan
};

enum class MaskOp : std::uint8_t {
  constant,  ///< all true / all false
  leaf,      ///< predicate over a control value
  logical_and,
  logical_or,
  logical_not,  ///< broadcasting over uniform axes
  any,          ///< any over listed axes of the "and" of the arguments (one argument: plain any; more: a contraction)
  permute,      ///< axes reordered / dropped (uniform ones) / inserted (uniform)
  merge,        ///< the last axes of the argument become one, row-major
  split,        ///< the last axis becomes several
  window,       ///< last axis: positions start, start+step, ...: slicing
  place,        ///< inverse of window: true only inside, taken from the argument; elsewhere false
  segments,     ///< constant segments of an axis: one argument per segment, each uniform along it
  take,         ///< by a known integer value: result[..., i...] = arg[..., index[i...]]
  put,          ///< inverse of take: "or" of all positions that take from it
  fit,          ///< last axis: to an extent that may turn out to be 1: then any, else unchanged
  hold          ///< the argument itself, as an atom: formulas do not look into it
};

/// A lookup in a known integer value: element value[p(axes[0]), p(axes[1]), ...] where p(a) is the position on axis a
/// of the mask's space, or `at[d]` where axes[d] is -1. Negative elements count from the end.
struct Lookup {
  ValueId value = -1;
  std::vector<int> axes;
  std::vector<std::int64_t> at;
  bool operator==(const Lookup&) const = default;
};

/// A concrete mask: one byte (0/1) per stored position, row-major over `shape` (1 for uniform axes, the number of
/// segments, or the extent).
struct MaskArray {
  std::vector<std::int64_t> shape;    ///< stored extents
  std::vector<std::int64_t> extents;  ///< real extents
  /// per axis, concrete, empty unless segments; shape[axis] == boundaries[axis].size() + 1
  std::vector<std::vector<std::int64_t>> boundaries;
  std::vector<std::uint8_t> bits;
  bool all = false, none = false;  ///< every (no) element true; an empty mask is both
  std::uint64_t hash = 0;

  bool at(const std::int64_t* index) const;  ///< real coordinates
  double fraction() const;                   ///< live elements / all elements (1 if there are none)
};
using MaskPtr = std::shared_ptr<const MaskArray>;

/// For MaskProgram::widened: by mask, and whether a larger or a smaller one was asked for.
using WideMasks = std::map<std::pair<std::int32_t, bool>, std::int32_t>;

/// A handle: copies share the formulas.
class MaskProgram {
 public:
  explicit MaskProgram(const graph::Graph* g);

  // Constructors simplify and intern. Ranks must agree; uniform axes broadcast.
  MaskId everything(std::vector<Dim> extents);
  MaskId nothing(std::vector<Dim> extents);
  MaskId leaf(ValueId v, Predicate p);  ///< over the value's dims; of a constant: evaluated here and now
  MaskId and_(MaskId a, MaskId b);
  MaskId or_(MaskId a, MaskId b);
  MaskId not_(MaskId a);
  /// Exact where no reduced axis is empty. Over an empty axis along which `a` is uniform it is `a` (and not nothing),
  /// as if there were one position; `all` likewise. So `any` is never too small, `all` never too large: of a "surely"
  /// by `any`, and of a "may be" by `all`, whoever asks must know that there are positions, or that nothing follows
  /// where there are none.
  MaskId any(MaskId a, const std::vector<int>& axes);
  MaskId all(MaskId a, const std::vector<int>& axes);  ///< not any not
  /// result axis i is a's axis order[i], or a new uniform axis of extent extents[i] where order[i] is -1. Axes of `a`
  /// that are not named must be uniform.
  MaskId permute(MaskId a, const std::vector<int>& order, std::vector<Dim> extents);
  /// Axes first .. first+count become one of the given extent, row-major.
  MaskId merge(MaskId a, int first, int count, Dim extent);
  /// The axis becomes extents.size() axes, row-major.
  MaskId split(MaskId a, int axis, std::vector<Dim> extents);
  /// Positions start + i*step (step may be negative) for i in 0..count, all of them on the axis.
  MaskId window(MaskId a, int axis, Position start, std::int64_t step, Dim count);
  /// Inverse of window: position start + i*step takes element i, all others are false. `upper`: where that would need
  /// one byte per position only because of a step, true everywhere is good enough (false: false everywhere is).
  MaskId place(MaskId a, int axis, Position start, std::int64_t step, Dim extent, bool upper = true);
  /// `a` is over the result's axes and, last, the table's axis.
  MaskId take(MaskId a, const Lookup& index, std::vector<Dim> extents);
  /// "or" over the axes `reduced` (which become uniform); the table's axis is appended.
  MaskId put(MaskId a, const Lookup& index, const std::vector<int>& reduced, Dim table_extent);
  /// The axis gets the extent `extent`, which is the old one or 1: then any over it.
  MaskId fit(MaskId a, int axis, Dim extent);

  /// A mask at least as large as `m` without the factors of a conjunction that depend on axis `a` alone or on `b`
  /// alone: what is left couples the two (a causal mask does, padding of rows and of columns does not). For deciding
  /// which columns each row needs, once rows and columns have lists of their own.
  MaskId coupling(MaskId m, int a, int b);

  bool is_everything(MaskId m) const;
  bool is_nothing(MaskId m) const;
  /// Whether it can be proved that `conclusion` holds wherever `premise` does, whatever the inputs (mask_prove.cpp), in
  /// at most so many steps. More than a look: for verifiers.
  bool follows(MaskId premise, MaskId conclusion, int steps = 100);
  bool is_uniform(MaskId m, int axis) const;
  const std::vector<AxisForm>& forms(MaskId m) const;
  std::vector<Dim> extents(MaskId m) const;
  /// A mask at least as large as `m` that does not read the values marked in `unknown` (per ValueId). `memo`: of earlier
  /// calls with the same `unknown`.
  MaskId widened(MaskId m, const std::vector<char>& unknown, WideMasks& memo);
  /// Control values and late leaves that the masks reachable from `roots` read (constants are not among them).
  std::vector<ValueId> leaves(const std::vector<MaskId>& roots) const;
  /// "attention_mask[b,s] != 0", "any[q](...)": for explain.
  std::string print(MaskId m) const;
  int size() const;

  /// Extends `phases` (index: MaskId::id) to all masks that there are: the last phase of what evaluating them needs:
  /// extents, positions, known elements (`of_dim`), and the elements of leaves (`of_leaf`).
  void phases(const std::function<int(Dim)>& of_dim, const std::function<int(ValueId)>& of_leaf,
              std::vector<int>& phases) const;

  /// The concrete masks of `roots` (index: MaskId::id; null elsewhere). `dims`: DimTable::evaluate's result;
  /// `control(v)`: the dense, contiguous tensor of a leaf. Equal arrays are one object. Thread-safe.
  std::vector<MaskPtr> evaluate(const std::vector<MaskId>& roots, const std::vector<std::int64_t>& dims,
                                const std::function<const Tensor&(ValueId)>& control) const;

  struct Impl;

 private:
  friend class MaskEvaluation;
  std::shared_ptr<Impl> impl_;
};

/// The evaluation of a program in a run, bit by bit as extents become known. What has been evaluated stays, and equal
/// arrays are one object whenever they were.
class MaskEvaluation {
 public:
  /// As for MaskProgram::evaluate. The program must outlive this.
  MaskEvaluation(const MaskProgram& program, std::function<const Tensor&(ValueId)> control);
  ~MaskEvaluation();
  MaskEvaluation(const MaskEvaluation&) = delete;
  MaskEvaluation& operator=(const MaskEvaluation&) = delete;

  /// Evaluates `roots` and what they need. `dims`: as known by now; what was known stays.
  void advance(const std::vector<MaskId>& roots, const std::vector<std::int64_t>& dims);
  /// Index: MaskId::id; null: no root so far.
  const std::vector<MaskPtr>& results() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pit::sparsity
