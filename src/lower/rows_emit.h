// Emission of row kernels: state shared by the parts of the emitter (arguments and addresses, values, loops).
#pragma once

#include <map>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "codegen/kernel_ir.h"
#include "lower/elementwise.h"
#include "lower/rows_plan.h"

namespace pit::lower {

class RowEmitter {
 public:
  RowEmitter(const RowSpec& spec, const RowPlan& plan);
  RowKernel run();

 private:
  using Value = codegen::Value;
  /// The accumulators of one reduction: several, so that the latency of one is hidden.
  using Accumulators = std::vector<Value>;

  // -- arguments and addresses (rows_address.cpp)
  void arguments();
  void find_used();
  Value slot(Slot::Kind kind, int a = 0, int b = 0, bool as_double = false);
  void declare_slots();
  void kernel_values();
  Value row_base(int operand);
  Value pointer(int node);  ///< of an operand node, without what varies with inner
  unsigned pointer_varies(const TypedNode& n) const;
  Value lookup_offset(const TypedNode& n, std::size_t i);
  Value inner_offsets(int operand, const Value& pointer_to, bool& contiguous, Value& at);
  Value load_operand(int node);
  Value load_place(int statement);  ///< a vector statement's value from where it lives
  void store_place(int statement, const Value& v);
  Value scratch_row(int statement);

  // -- values (rows_value.cpp)
  Value eval(int node);
  Value compute(const TypedNode& n);
  Value statement_value(int statement);
  Value rounded(int statement);  ///< the value of a statement's right-hand side, as its type holds it
  void hoist(int node, unsigned allowed);
  void hoist_statement(int statement, unsigned allowed);
  // Without what `seen` has: statements share operands, so that walks of them all may be as many as 2^statements.
  void hoist(int node, unsigned allowed, std::unordered_set<int>& seen);
  void hoist_statement(int statement, unsigned allowed, std::unordered_set<int>& seen);
  Value* find(int key);
  void remember(int key, Value v) { scopes_.back()[key] = std::move(v); }

  // -- loops (rows.cpp)
  void row();
  void scalars(int stage);
  void inner_stage(int stage);
  void mid_stage(int stage);
  void mid_rows(const std::vector<int>& statements);
  void mid_vectors(const std::vector<int>& statements);
  void mid_block(const std::vector<int>& statements, int copies, const Value& c, const Value& mask);
  template <class F>
  void at_vector(const Value& first, int copy, F&& body);
  template <class F>
  void over_vectors(const Value& from, const Value& to, int unroll, F&& body);
  template <class F>
  void rest_of_inner(const Value& done, F&& body);
  template <class F>
  void over_inner(int unroll, F&& body);
  template <class F>
  void reduce_inner(const std::vector<int>& reductions, std::vector<Accumulators>& acc, F&& body);
  template <class F>
  void over_mid(F&& body);
  int loop_cost(int node, int most) const;
  Accumulators declare_accumulators(const RowStatement& s, int copies, int lanes);
  void accumulate(const RowStatement& s, const Value& acc, const Value& v);
  Value joined(const RowStatement& s, Accumulators acc);
  Value folded(const RowStatement& s, Accumulators acc);
  void finish_scalar(int statement, const Value& v);
  std::vector<int> of_stage(int stage, std::initializer_list<RowStatement::Kind> kinds) const;

  const RowSpec& spec_;
  const RowPlan& plan_;
  const TypedProgram& typed_;
  codegen::Builder b_;
  RowKernel out_;
  int lanes_;

  std::vector<char> used_operand_, used_node_;
  std::map<std::vector<int>, Value> slots_;
  std::vector<Value> operands_;  // pointers
  Value row_index_, mid_index_, mid_offset_, scratch_;
  // of the inner axis: n, n rounded down to a vector, to a block of 4
  Value extent_, whole_, unrolled_, scratch_pitch_;
  std::map<int, Value> kernel_values_;  // node -> value: parameters, extents

  // Where the emitter stands.
  int stage_ = 0;
  bool in_mid_ = false;
  Value row_list_, row_count_;      // lists_of_rows: where the row's list begins, and how long it is
  Value row_, mid_, inner_, mask_;  // inner_: first element of the vector; mask_: its live lanes, null for all
  std::map<int, Value> row_base_;
  std::vector<Value> scalar_;  // per statement, once known
  std::vector<std::unordered_map<int, Value>> scopes_;
};

}  // namespace pit::lower
