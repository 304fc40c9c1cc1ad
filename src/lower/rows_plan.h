// What a row kernel does, decided before any code is made: the kind of each statement, the loop it runs in, and where
// its values live between loops.
//
// A row is a sequence of stages. Stage i evaluates its scalars, then runs one loop over the inner axis for all of its
// vector statements and inner reductions, then its reductions over the mid axis. A statement stands in the first stage
// in which everything it reads is finished; so statements move up across others, which is safe as each element is
// written once.
#pragma once

#include <memory>
#include <vector>

#include "lower/rows.h"
#include "lower/typed.h"

namespace pit::lower {

struct RowStatement {
  enum Kind : std::uint8_t {
    scalar,      ///< one value per row
    vector,      ///< one value per inner element
    reduce,      ///< over inner
    mid_scalar,  ///< over mid, one value per row
    mid_reduce,  ///< over mid and inner
    mid_vector,  ///< over mid, one value per inner element
  } kind = scalar;
  /// Where other loops find the value of a vector statement.
  enum Home : std::uint8_t { registers, memory, inlined } home = registers;
  int stage = 0;
  int operand = -1;  ///< the output it writes
  int scratch = -1;  ///< row of the scratch memory, for temporaries with home == memory
  DType type = DType::f32;
  expr::Combiner combiner = expr::Combiner::assign;
  bool is_vector() const { return kind == vector || kind == mid_vector; }
  bool is_mid() const { return kind >= mid_scalar; }
};

struct RowPlan {
  expr::Program program;  ///< as given, logsumexp written out
  std::vector<RowStatement> statements;
  std::unique_ptr<TypedProgram> typed;
  Resolver resolver;
  int stages = 0, scratch_rows = 0;
  expr::AxisId inner = -1, mid = -1;
  std::vector<AxisRole> roles;
  std::vector<Operand> operands;

  /// Varies of an operand's address without its lookups; whether it moves with the row.
  unsigned operand_varies(int operand) const;
  bool moves_with_row(int operand) const;
  /// Whether the value of statement s is evaluated in (rather than loaded by) a loop of stage `stage`.
  bool evaluated_in(int s, int stage, bool mid) const;
};

/// Throws Refusal. The plan must not be moved afterwards (it is its own resolver), hence the pointer.
std::unique_ptr<RowPlan> plan_rows(const RowSpec& spec);

}  // namespace pit::lower
