// A plan: what a program becomes for one set of input shapes. Made in well under a millisecond, generates no code,
// cached.
//
// All Dims are evaluated once; storage is laid out in one arena by liveness; row steps learn how their axes merge. What
// waits for extents that a run finds in its data is planned then: `extend_plan`.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compile/program.h"

namespace pit::runtime {

using compile::ContractionStep;
using compile::panel_widths;
using compile::Program;
using compile::RowStep;
using compile::Step;
using contract::kPackSlack;
using contract::MatrixB;
using contract::PackSet;
using contract::Panels;
using graph::Dim;
using graph::ValueId;

/// Where a root value lives during a run.
struct Storage {
  /// late: memory of its own, once its size is known
  enum Where : std::uint8_t { none, arena, constant, input, output, late } where = none;
  std::int64_t offset = 0;  ///< bytes into the arena; index of the input / output
  std::int64_t bytes = 0;
};

/// A row step's loops for concrete extents and strides (bytes).
struct RowPlan {
  std::int64_t inner = 1, mid = 1, rows = 1;
  std::vector<int> row_axes, driver_axes;  ///< group axes, outermost first
  std::vector<std::int64_t> driver_extents;
  std::vector<std::vector<std::int64_t>> driver_strides;  ///< [driver axis][operand]
  std::vector<std::int64_t> base;                         ///< per operand
  std::vector<std::int64_t> ints;                         ///< the kernel's integers; row_count, bases filled per call
  std::int64_t driver_count = 1;
  std::int64_t scratch_bytes = 0;
  std::int64_t task_rows = 1;  ///< rows per task, for balance
};

struct ContractionPlan {
  std::int64_t batch = 1, m = 1, n = 1, k = 1;
  std::vector<std::int64_t> batch_extents, m_extents;
  struct Strides {
    std::int64_t base, n, k;
    std::vector<std::int64_t> batch, m;
  };
  std::vector<Strides> operands;  ///< A, B, C, epilogue operands; bytes
};

struct NestPlan {
  struct Part {
    std::int64_t rows = 1;
    std::vector<std::int64_t> ints;  ///< the kernel's integers; row_count filled per call
    std::int64_t task_rows = 1;      ///< rows per task, for balance
  };
  struct Temporary {
    expr::TensorId tensor;
    DType type;
    std::int64_t elements;
  };
  std::vector<Part> parts;  ///< per statement
  std::vector<Temporary> temporaries;
};

struct Plan {
  std::vector<std::int64_t> symbols;          ///< those of the inputs are the key; -1: not known yet
  std::vector<std::int64_t> dims;             ///< value of every Dim; DimTable::kUnknown: not known yet
  std::vector<Storage> storage;               ///< per value (roots)
  std::vector<RowPlan> rows;                  ///< per step (empty for others)
  std::vector<NestPlan> nests;                ///< per step
  std::vector<ContractionPlan> contractions;  ///< per step
  /// Per step, where a run finds extents: late values that it writes first, and those that nobody reads after it.
  std::vector<std::vector<ValueId>> born, dead;
  std::int64_t arena_bytes = 0;
  std::int64_t scratch_bytes = 0;  ///< per worker
  std::int64_t iota = 0;           ///< longest row list

  std::int64_t operator[](Dim d) const { return dims[d.id]; }
  Shape shape_of(const graph::Value& v) const;
  /// Whether all extents are known by now.
  bool has_shape(const graph::Value& v) const;
};

/// InputError if a step of the phase would reach beyond the storage of a value.
void check_bounds(const Program& p, const Plan& plan, const compile::Phase& phase);

/// Binds the symbols that inputs tell and lays everything out. Throws InputError when extents do not fit each other.
std::shared_ptr<const Plan> make_plan(const Program& p, std::vector<std::int64_t> symbols);
/// Plans what waited for this phase; `plan.symbols` has its extents. Throws as make_plan does.
void extend_plan(const Program& p, Plan& plan, const compile::Phase& phase);

}  // namespace pit::runtime
