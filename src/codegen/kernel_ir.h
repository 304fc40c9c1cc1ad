// Kernel IR: what a generated kernel does, in a form that is small, typed and target-neutral.
//
// A kernel is a leaf function without callbacks, exceptions, globals or recursion:
//
//     void kernel(void* const* ptrs, const int64_t* ints)
//
// All of its arguments arrive in two arrays, so every kernel has one C type, can be called by the same driver and
// interpreted by the same interpreter. Its body is structured: variables, loops, conditionals, stores.
//
// ---------------------------------------------------------------------------------------------------------------------
// SPECIFICATION
//   * Types: a scalar kind and a number of lanes (1 = scalar). `i1` values with lanes are lane masks; in memory a
//     boolean
//     is one byte, 0 or 1 (a load gives byte != 0). f16 exists in memory only: load it as f16 and convert from or to
//     f32
//     (Builder::convert goes through f32 by itself). Pointers are scalar; they may be loaded from memory. u8 and i1 are
//     unsigned, the other integers signed.
//   * Values are trees; nodes shared within one statement are evaluated once, in the statement that holds them; a
//     value used
//     in two statements is evaluated in both, unless a `let` binds it (a var in it is read when the statement runs).
//     Names
//     bind values: `let` once, `var` mutable (the accumulators). Both are scoped to the block that declares them; their
//     texts need not be unique. Each name is declared.
//   * A constant holds a value of its type: integers in range, f32 and f16 as numbers that f32 has, and one NaN. What an
//     operation or a statement does not use is empty, so that the printed form says all of a kernel.
//   * Addresses are a pointer plus a byte offset (i64). Nothing is assumed about alignment beyond the element's own.
//     Pointer arguments marked `noalias` do not overlap any other argument's accesses.
//   * Integer arithmetic wraps; division truncates; division by zero gives 0, and so does its remainder; `rem` is for
//     integers
//     only (math::fmod for floats); shift counts are in range (ashr copies the top bit, of u8 too).
//   * Floats follow IEEE 754, round to nearest, no reassociation, no contraction: a fused multiply-add happens where
//     `fma`
//     stands and nowhere else. min/max of floats propagate NaN; of equal operands (+0, -0) they give the second. Which
//     NaN
//     (sign, payload) an operation gives is not specified. Comparisons are ordered (false with NaN) except `ne`.
//   * dot(a, b, c) of i32 lanes: c + a0*b0 + a1*b1 + a2*b2 + a3*b3, where a0..a3 are the bytes of a, unsigned, and b0..b3
//     those of b, signed. Exact modulo 2^32, so no order of additions is specified; nothing saturates.
//   * Float to integer conversion truncates and saturates, NaN gives 0; anything non-zero (NaN too) converts to i1 as
//     true.
//   * Loops: `for v in begin..end step s` with s > 0, bounds evaluated once. **An indexed loop is an ordinary loop
//     whose
//     body starts with `let r = load i32 index[p]`**: SRead and SWrite are the address arithmetic on `r`.
//   * A masked load gives 0 in inactive lanes and touches no memory there; a masked store likewise touches none.
//   * reduce(op, v): the lanes of v folded in a fixed tree (halves: lane i with lane i+lanes/2), so it is
//     deterministic.
//   * Vectors of any power-of-two width are legal; the lowering picks widths that the target likes.
// ---------------------------------------------------------------------------------------------------------------------
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pit/tensor.h"

namespace pit::codegen {

enum class Scalar : std::uint8_t { f32, f64, f16, i64, i32, i8, u8, i1, ptr };

struct Type {
  Scalar scalar = Scalar::f32;
  int lanes = 1;
  bool operator==(const Type&) const = default;
};
int bytes_of(Scalar s);  ///< in memory; i1 is 1
bool is_float(Scalar s);
/// The kernel scalar of a tensor element (b8 is i8 in memory).
Scalar scalar_of(DType t);
std::string to_string(Type t);  ///< "f32", "f32x16"

enum class Op : std::uint8_t {
  // leaves
  ptr_arg,
  int_arg,   // index
  constant,  // number / integer, splat over the type's lanes
  name,      // a let or var
  iota,      // 0,1,2,... over lanes (integers)
  // element-wise
  add,
  sub,
  mul,
  div,
  rem,
  min,
  max,
  neg,
  abs,
  sqrt,
  floor,
  ceil,
  round_even,
  fma,
  dot,  // (a, b, c), i32: c and the four products of a's bytes (unsigned) and b's (signed)
  bit_and,
  bit_or,
  bit_xor,
  shl,
  lshr,
  ashr,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,       // give i1 with the operands' lanes
  select,   // (mask, a, b); mask may be scalar
  convert,  // numeric conversion to `type`
  bitcast,  // same size
  // lanes
  splat,
  extract,  // extract: lane in `integer`
  shuffle,  // (a, b) with `lanes_map`
  reduce_add,
  reduce_mul,
  reduce_min,
  reduce_max,
  reduce_and,
  reduce_or,
  lane_mask,  // (count): i1 mask, lane i active iff i < count
  // memory
  offset,  // (ptr, bytes) -> ptr
  load,    // (ptr, bytes[, mask]) -> type
  gather,  // (ptr, vector of i64 or i32 byte offsets[, mask]) -> type
};

struct ValueNode;
using Value = std::shared_ptr<const ValueNode>;

struct ValueNode {
  Op op = Op::constant;
  Type type;
  double number = 0;           // constant of float type
  std::int64_t integer = 0;    // constant of integer type; index of arg/extract/name
  std::vector<int> lanes_map;  // shuffle
  std::vector<Value> args;
};

enum class StmtKind : std::uint8_t { let, var, assign, store, scatter, loop, branch, prefetch };

struct Stmt {
  StmtKind kind = StmtKind::let;
  int name = -1;               // let/var/assign: the name; loop: the loop variable (i64)
  Value value;                 // let/var/assign/store/scatter: the value; branch: the condition (scalar i1)
  Value pointer, bytes, mask;  // store: address (+ optional mask); scatter: bytes is a vector; prefetch: address
  Value begin, end, step;      // loop
  std::vector<Stmt> body, otherwise;
};

struct ArgInfo {
  std::string name;
  bool noalias = false;  // pointers only
};

/// A kernel. Its name spells its whole key (what decides its code), so equal names mean equal code.
struct Kernel {
  std::string name;
  std::vector<ArgInfo> ptrs, ints;
  std::vector<std::pair<std::string, Type>> names;  // lets, vars, loop variables
  std::vector<Stmt> body;
};

using KernelFn = void (*)(void* const* ptrs, const std::int64_t* ints);

/// Readable text, which `parse` (parse.h) reads; equal kernels print equally. What verifies prints completely.
std::string print(const Kernel& k);
/// First violation of the specification in words, or nothing.
std::optional<std::string> verify(const Kernel& k);
/// Runs the kernel literally: the reference that every backend is compared with.
void interpret(const Kernel& k, void* const* ptrs, const std::int64_t* ints);

/// Builds kernels. Element-wise operators accept a scalar beside a vector and splat it; arithmetic on i64 scalar
/// constants is folded. A misuse (types that do not fit, an open block) is an InternalError at the call.
class Builder {
 public:
  explicit Builder(std::string name);

  Value ptr_arg(std::string name, bool noalias = false);
  Value int_arg(std::string name);

  static Value f(double v, Type t = {Scalar::f32, 1});        ///< rounded to the type
  static Value i(std::int64_t v, Type t = {Scalar::i64, 1});  ///< wrapped to it
  static Value iota(Type t);
  static Value unary(Op op, Value a);
  static Value binary(Op op, Value a, Value b);
  static Value fma(Value a, Value b, Value c);  ///< a*b+c
  static Value dot(Value a, Value b, Value c);  ///< bytes of a times bytes of b, four a lane, +c
  static Value select(Value mask, Value a, Value b);
  static Value convert(Value v, Scalar to);
  static Value bitcast(Value v, Type to);
  static Value splat(Value v, int lanes);
  static Value extract(Value v, int lane);
  static Value shuffle(Value a, Value b, std::vector<int> map);
  static Value reduce(Op op, Value v);
  static Value lane_mask(Value count, int lanes);
  static Value offset(Value ptr, Value bytes);
  static Value load(Type t, Value ptr, Value bytes, Value mask = nullptr);
  static Value gather(Type t, Value ptr, Value byte_offsets, Value mask = nullptr);

  Value let(std::string name, Value v);     ///< evaluates once; returns the name
  Value var(std::string name, Value init);  ///< mutable
  void assign(const Value& var, Value v);
  void store(Value ptr, Value bytes, Value v, Value mask = nullptr);
  void scatter(Value ptr, Value byte_offsets, Value v, Value mask = nullptr);
  void prefetch(Value ptr, Value bytes);
  /// for (v = begin; v < end; v += step) body(v)
  template <class F>
  void loop(std::string name, Value begin, Value end, Value step, F&& body) {
    Value v = open_loop(std::move(name), std::move(begin), std::move(end), std::move(step));
    body(v);
    close();
  }
  template <class F>
  void branch(Value condition, F&& then) {
    open_branch(std::move(condition));
    then();
    close();
  }
  template <class F, class G>
  void branch(Value condition, F&& then, G&& otherwise) {
    open_branch(std::move(condition));
    then();
    open_otherwise();
    otherwise();
    close();
  }

  /// The finished kernel; verified (InternalError if it does not hold).
  Kernel finish();

 private:
  Value open_loop(std::string name, Value begin, Value end, Value step);
  void open_branch(Value condition);
  void open_otherwise();
  void close();
  Value declare(std::string name, Type t);
  void append(Stmt s);

  Kernel kernel_;
  std::vector<std::vector<Stmt>*> open_;        // the innermost open block last; empty: the kernel's body
  std::vector<std::unique_ptr<Stmt>> pending_;  // the loops and branches of the open blocks
};

}  // namespace pit::codegen
