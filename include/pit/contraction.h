// Sparse contractions without a model: matrix products, and their kin over other algebras, that compute only what is
// live.
//
//     pit::Contraction c = pit::Contraction::compile("mk,kn->mn");
//     pit::Tensor y = c.run(a, b, {.a = pit::Zeros::detect({32, 1})});
//
// An expression is an einsum of two operands ("bmk,bkn->bmn") or a tensor expression ("C[m,n] max= A[m,k] + B[k,n]").
// Its axes are classified: *batch* (both operands and the result), *m* (the first operand and the result), *n* (the
// second and the result), *k* (both operands, reduced). Several axes of one class act as one, in the order in which the
// result (k: the first operand) has them; the operands' own order is free, so any of them may be transposed. Where the
// result's last axis is the first operand's ("mk,kn->nm"), the operands are exchanged inside, and the names of rules
// are those of the exchanged product. Axes of the second operand (of the first, if exchanged) that are not next to the
// result's last one choose matrices, as batch axes do.
//
// The "matrix" of an operand, of which live sets and granularities speak, is: rows m, columns k for the first operand;
// rows k, columns n for the second; rows m, columns n for the result; one such matrix per position of the batch axes.
//
// A micro-tile is `rows x columns` elements of a matrix that are absent or live as a whole. What "absent" means follows
// from the algebra: the annihilator of the product, so 0 for sums of products, -inf for max-plus and logsumexp, +inf
// for min-plus, false for or-and. Live elements obey IEEE 754, so NaN and infinity among
// them propagate. An absent element contributes nothing to a finite partner; an infinite or NaN one it annihilates where
// the rule that runs leaves out its micro-tile, and where the rule covers more (dense, unions of rows) 0 * inf is NaN:
// name a rule where that matters. A micro-tile found by detection is live if any of its elements is not absent (NaN is
// live).
//
// Exactness: each element of a sum of products is one chain of fused multiply-adds in ascending k from +0, so the
// result is the same bit for bit (+0 and -0 alike) for every rule, tile, number of threads and live set that covers the
// non-zeros.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pit/cancel.h"
#include "pit/error.h"
#include "pit/export.h"
#include "pit/poison.h"
#include "pit/tensor.h"

namespace pit {

/// Extents of a micro-tile in elements, both at least 1. Larger ones than the matrix mean the matrix.
struct Granularity {
  std::int64_t rows = 1, columns = 1;
  bool operator==(const Granularity&) const = default;
};

/// Which micro-tiles of a batch of matrices are live. Immutable; copies share everything; may be used by any number of
/// contractions at once. Matrices below each other are one tall matrix, where no micro-tile crosses a border: a set of
/// `batch` matrices fits an operand of one matrix with `batch * rows` rows, and the other way round.
class PIT_API LiveSet {
 public:
  /// One pass over `values` (f32 or f64, [batch..., rows, columns], any strides): a micro-tile is live if any element differs
  /// from `absent`. `threads`: 0 as everywhere.
  static LiveSet detect(const TensorView& values, Granularity granularity, double absent = 0.0, int threads = 0);
  /// `mask` ([batch..., rows of micro-tiles, columns of micro-tiles], bool or u8; non-zero is live) of matrices of
  /// `rows x columns` elements; its last extents are ceil(rows / granularity.rows) and ceil(columns /
  /// granularity.columns).
  static LiveSet from_mask(const TensorView& mask, std::int64_t rows, std::int64_t columns, Granularity granularity);
  /// Padded sequences: in batch position b the first lengths[b] of `rows` rows are live. `lengths`: i64 or i32,
  /// [batch].
  static LiveSet from_lengths(const TensorView& lengths, std::int64_t rows, std::int64_t columns);
  /// `indices` (i64 or i32, [count], any order, duplicates allowed): the live rows of one matrix.
  static LiveSet from_rows(const TensorView& indices, std::int64_t rows, std::int64_t columns);
  /// Routing: `experts` (i64 or i32, [rows] or [rows, top_k]) gives per row the experts that it goes to (negative: to
  /// none); batch position e of the result has the rows of expert e.
  static LiveSet from_experts(const TensorView& experts, std::int64_t expert_count, std::int64_t columns);
  /// Each throws InputError (wrong type or extents, an index out of range), naming the tensor.

  std::int64_t batch() const;  ///< number of matrices
  std::int64_t rows() const;   ///< of a matrix, in elements
  std::int64_t columns() const;
  Granularity granularity() const;
  std::int64_t count() const;  ///< live micro-tiles
  std::int64_t total() const;  ///< all micro-tiles
  double fraction() const;     ///< count / total; 1 where there are none
  /// The index set: per batch position and row of micro-tiles the live columns of micro-tiles, ascending. i64
  /// offsets [batch * rows_of_micro_tiles + 1] and i32 indices [count].
  std::pair<Tensor, Tensor> index() const;
  /// As bool, [batch, rows of micro-tiles, columns of micro-tiles].
  Tensor mask() const;

  struct Impl;
  explicit LiveSet(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

/// What a call knows of the zeros of one matrix.
struct PIT_API Zeros {
  enum Kind { none, detected, known } kind = none;
  Granularity granularity;              ///< detected
  std::shared_ptr<const LiveSet> live;  ///< known
  /// Everything is live.
  static Zeros dense() { return {}; }
  /// Finds the live micro-tiles in the values, at this granularity, each call.
  static Zeros detect(Granularity g) { return {detected, g, nullptr}; }
  /// Not looked for: elements outside of the set are not read.
  static Zeros in(LiveSet live) { return {known, {}, std::make_shared<const LiveSet>(std::move(live))}; }
};

struct ContractionOptions {
  int threads = 0;               ///< 0: from the process's affinity and cgroup quota
  std::string cpu;               ///< target CPU (also PIT_CPU); empty: this machine
  std::string cache_dir;         ///< compiled code and the tile database, as in CompileOptions
  Poison poison = Poison::none;  ///< debug: fill the result and scratch before use (also PIT_POISON=nan or large)
  /// Measured times of its calls correct the times that choices are made by (off also by PIT_LEARN=0). Results do not
  /// change. A call that names its rule neither learns nor is corrected.
  bool learn = true;
};

/// One way to compute a call, with the time that the cost model expects of it.
struct Candidate {
  std::string rule;       ///< see CallReport::rule
  double seconds = 0;     ///< expected, detection not included: predicted, times `correction`
  double correction = 1;  ///< what measured times of earlier calls have taught
};

/// What a call did.
struct CallReport {
  /// "dense @ 4x24"; "k 32x1 @ 4x24": the axis of the first (k, m) or second (B.k, Bt.k, both) operand or the result (C.m,
  /// C.n) along which micro-tiles of that shape were gathered, and the dense tile (rows x columns) into which; of Bt.k, which
  /// exchanges the operands, its rows are columns of the second one.
  std::string rule;
  /// All that were costed, cheapest first; but the one that ran to learn its price, if it did, comes before them.
  std::vector<Candidate> candidates;
  /// Share of all multiply-adds in live micro-tiles of the operands and the result. Exact, but where all three are
  /// sparse: then the result's share is taken as independent of the operands'.
  double live_fraction = 1;
  double detect_seconds = 0;   ///< finding live micro-tiles (on the calling thread's clock)
  double choose_seconds = 0;   ///< costing the candidates
  double compute_seconds = 0;  ///< packing (SRead), tiles, stores (SWrite)
  /// of the call, but for what this report itself costs (counting live multiply-adds)
  double total_seconds = 0;
};

/// What one call wants beyond its operands.
struct CallOptions {
  Zeros a, b;  ///< absent parts of the operands
  /// known: only these micro-tiles of the result are wanted, the others come back as the combiner's identity
  Zeros c;
  /// Empty: the cheapest; else a rule of `candidates`, or its first word for the cheapest rule of that kind, for
  /// measuring. InputError if it does not apply. By "dense" no zeros are looked for.
  std::string rule;
  CallReport* report = nullptr;
  std::optional<CancelToken> cancel{};  ///< ends the call with a CancelledError; what it was to write is undefined then
};

/// A second operand (weights) that was packed, and whose live set was found, once. Immutable; copies share everything.
class PIT_API PreparedOperand {
 public:
  const Shape& shape() const;
  /// Memory held: panels, and the row-contiguous layout if some call has asked for it (products of a few rows do).
  std::size_t bytes() const;
  double live_fraction() const;

  struct Impl;
  explicit PreparedOperand(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

/// A compiled contraction: kernels for any shape. Copies share everything; may be called from many threads at once.
class PIT_API Contraction {
 public:
  /// Throws InputError (the text is no contraction of two operands, with the reason), UnsupportedError (its algebra).
  static Contraction compile(const std::string& expression, const ContractionOptions& options = {});

  /// The tensor expression, in canonical form: "C[m,n] += A[m,k] * B[k,n]".
  const std::string& expression() const;
  /// Rules found for it: per axis permutable or why not, and the operand that may be sparse along it. A table or JSON.
  std::string explain(bool json = false) const;

  /// Packs the second operand. `zeros`: none or detect. Views are read during the call only. Where the operands are
  /// exchanged (see above) a contiguous copy and the live set are held, and packing is part of each call.
  PreparedOperand prepare(const TensorView& b, const Zeros& zeros = {}) const;

  /// The result, row-major, of the operands' type: both f32, both f64 or both i32 (sums of products,
  /// modulo 2^32, where no zeros are to be detected), or b8 (or-and). Any strides. Throws InputError
  /// when types or shapes do not fit. Kernels for f64 and i32 are made when first asked for.
  Tensor run(const TensorView& a, const TensorView& b, const CallOptions& options = {}) const;
  Tensor run(const TensorView& a, const PreparedOperand& b, const CallOptions& options = {}) const;
  /// The same into `c` (contiguous along its last axis; must not overlap the operands).
  void run_into(const TensorView& c, const TensorView& a, const TensorView& b, const CallOptions& options = {}) const;
  void run_into(const TensorView& c, const TensorView& a, const PreparedOperand& b,
                const CallOptions& options = {}) const;

  struct Impl;
  struct Access;

 private:
  friend struct Access;
  explicit Contraction(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace pit
