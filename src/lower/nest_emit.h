// Emission of nests: the plan, and state shared by the parts of the emitter (loops in nest.cpp, values and addresses in
// nest_access.cpp).
#pragma once

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "codegen/kernel_ir.h"
#include "lower/elementwise.h"
#include "lower/nest.h"
#include "lower/typed.h"

namespace pit::lower {

/// Its own resolver, so it must not be moved.
struct NestPlan {
  expr::Program program;
  Resolver resolver;
  std::unique_ptr<TypedProgram> typed;  ///< `varies` of a node: one bit per axis
  std::vector<int> out_index;           ///< nodes, per dimension
  std::vector<expr::AxisId> reduced;    ///< loops, outermost first; without the vectors'
  bool vector_reduced = false;
  std::optional<Scan> scan;
  /// Accesses whose default makes the term the combiner's identity: guards leave the term out.
  std::vector<int> skipping;
};
/// Throws Refusal.
std::unique_ptr<NestPlan> plan_nest(const NestSpec& spec);

class NestEmitter {
 public:
  NestEmitter(const NestSpec& spec, const NestPlan& plan);
  NestKernel run();

 private:
  using Value = codegen::Value;
  static constexpr int kCopies = 4;  ///< chains side by side, so that the latency of one is hidden
  static constexpr int kBlock = 16;  ///< steps of each before they are folded

  /// Values are known in the block of code in which they were made. One vector of several (`of_copy`) is no block: what
  /// does not move with the vectors is known behind it, too.
  struct Values {
    bool of_copy = false;
    std::unordered_map<int, Value> values;
  };
  class Scope {
   public:
    explicit Scope(NestEmitter& e) : e_(e) { e_.scopes_.push_back({}); }
    ~Scope() { e_.scopes_.pop_back(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    NestEmitter& e_;
  };

  // -- loops (nest.cpp)
  void enter_row(const Value& p, const Value& before);
  void move_on(std::size_t i);
  int unroll() const;
  template <class F>
  void vectors(const Value& end, const Value& begin, int unroll, F&& body);
  void block(int copies);
  void reduce_row();
  void scan_row();
  void scan(int copies);
  std::vector<Value> accumulators(int copies, int lanes);
  void accumulate(const Value& acc);
  template <class F>
  void loops(std::size_t depth, F&& body);
  template <class F>
  void guarded(std::size_t depth, F&& body);
  Value guard(std::size_t depth);
  template <class F>
  void at_copy(int copy, F&& body);

  // -- values and addresses (nest_access.cpp)
  void arguments();
  Value slot(Slot::Kind kind, int a = 0, int b = 0, bool as_double = false);
  Value extent_of(expr::AxisId a) { return slot(Slot::extent, a); }
  bool moves(int node) const;
  /// The value of a node in all lanes, or (lanes false, or it does not move with the vectors) in the first one alone.
  Value eval(int node, bool lanes);
  Value compute(const TypedNode& n, bool lanes);
  Value param(const TypedNode& n);
  Value* find(int key);
  bool looks_up(const TypedNode& n, std::size_t i) const;  ///< or computes otherwise than linearly
  std::optional<std::int64_t> step_of(const expr::Expr& e, expr::AxisId axis) const;
  bool checked(const TypedNode& n, std::size_t i) const;
  Value in_range(const TypedNode& n, std::size_t i, const Value& index);
  Value lanes_in_range(const TypedNode& n, std::size_t i);
  void report(const TypedNode& n, const Value& bad, const Value& index);
  Value load(int node, bool lanes);
  bool is_even(const TypedNode& n) const;
  Value load_even(const TypedNode& n, const Value& at);
  Value load_lanes(int node, const Value& at, const Value& offsets, const Value& mask);
  void store(const Value& v);

  const NestSpec& spec_;
  const NestPlan& plan_;
  const TypedProgram& typed_;
  const expr::Statement& statement_;
  DType type_;
  codegen::Builder b_;
  NestKernel out_;
  int lanes_;

  std::map<std::vector<int>, Value> slots_;
  Value rows_, status_;
  std::vector<Value> operands_;  ///< pointers

  std::vector<Value> at_;  ///< variables: coordinates of the outer axes

  // Where the emitter stands.
  std::map<expr::AxisId, Value> coordinate_;
  Value block_, first_, mask_;  ///< first_: coordinate of the vector's first lane; mask_: its lanes, null for all
  std::vector<Values> scopes_;
};

}  // namespace pit::lower
