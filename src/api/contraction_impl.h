// Inside of a Contraction, a PreparedOperand and a LiveSet.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "contract/canonical.h"
#include "contract/engine.h"
#include "contract/learned.h"
#include "expr/expr.h"
#include "pit/contraction.h"
#include "rules/contraction.h"
#include "support/cpu.h"
#include "support/fork.h"
#include "support/threads.h"

namespace pit {

struct LiveSet::Impl {
  explicit Impl(detect::LiveMap m) : map(std::move(m)) {}
  detect::LiveMap map;
  /// Rows and columns exchanged: made when a contraction whose operands are exchanged first asks for it.
  std::shared_ptr<const detect::LiveMap> transposed(const ThreadPool& pool) const;

 private:
  mutable Mutex mutex_;
  mutable std::shared_ptr<const detect::LiveMap> transposed_;
};

struct Contraction::Impl {
  std::string expression;  ///< canonical text; also what errors name as the operator
  expr::Program program;
  rules::Contraction found;
  contract::Form form;
  lower::Algebra algebra;
  DType dtype = DType::f32;  ///< of operands and result
  /// What tiles compute on: booleans are numbers to them.
  DType element() const { return algebra.types.c; }
  CpuTarget target;
  std::string cache_dir;  ///< usable, or empty
  std::shared_ptr<const contract::Engine> engine;
  std::shared_ptr<ThreadPool> pool;
  Poison poison = Poison::none;
  std::unique_ptr<contract::LearnedPrices> prices;  ///< null: calls teach nothing

  /// The same on operands of this type: itself, or one made when first asked for. Itself, too, for what no tile computes
  /// on: it says what it wants instead.
  const Impl& on(DType operand) const;

  /// Memory of live maps that earlier calls found: fresh pages cost as much as the scan itself.
  detect::LiveMap take_map() const;
  void give_map(detect::LiveMap map) const;

  /// Axes by dimension of the caller's operands, which the form may have exchanged.
  const std::vector<int>& dims_of_a() const { return found.swapped ? form.b : form.a; }
  const std::vector<int>& dims_of_b() const { return found.swapped ? form.a : form.b; }

 private:
  mutable Mutex mutex_;
  mutable std::vector<detect::LiveMap> maps_;
  mutable std::map<DType, std::shared_ptr<const Impl>> others_;
};

/// For tests.
struct Contraction::Access {
  static const Impl& impl(const Contraction& c) { return *c.impl_; }
};

/// The caller's second operand. Its matrices are the engine's B, in panels; or, where the operands are exchanged, the
/// engine's A, which is packed as it is multiplied: then a contiguous copy is held.
struct PreparedOperand::Impl {
  std::string expression;  ///< of the contraction that prepared it
  CpuTarget target;
  DType dtype = DType::f32;
  Shape shape;
  contract::Matrices matrices;                  ///< not exchanged: geometry without data
  std::shared_ptr<contract::PackedB> packed;    ///< null where exchanged
  std::shared_ptr<const detect::LiveMap> live;  ///< as the engine sees it; null: everything
};

namespace api {

/// A statement `C[..] combine= product(A[..], B[..])` from an einsum or a tensor expression. Throws InputError naming
/// the text.
expr::Program contraction_program(const std::string& text);

std::string explain_contraction(const Contraction::Impl& c, bool json);

/// The live set as a map of `batch` matrices of rows x columns (the caller's), exchanged if `transpose`. A batch of
/// matrices below each other is one tall matrix where no micro-tile crosses their borders, and the other way round.
/// Throws InputError naming the tensor.
std::shared_ptr<const detect::LiveMap> fit_live_set(const std::shared_ptr<const LiveSet>& live, std::int64_t batch,
                                                    std::int64_t rows, std::int64_t columns, bool transpose,
                                                    const ThreadPool& pool, const std::string& op,
                                                    const std::string& tensor);

/// Throws InputError unless both extents are positive; then shortened to the matrix, which means the same.
Granularity checked(Granularity g, std::int64_t rows, std::int64_t columns, const std::string& op,
                    const std::string& tensor);

}  // namespace api
}  // namespace pit
