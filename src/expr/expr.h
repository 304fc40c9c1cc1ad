// Tensor expressions: what an operator means, as data.
//
// A Program is a list of statements over named axes. Every stage after the front end works from it: rule inference, the
// interpreter (the oracle), sparsity analysis, fusion and lowering. Nothing later looks at an operator's name.
//
// ---------------------------------------------------------------------------------------------------------------------
// TEXT FORM
//
//     C[m,n] += A[m,k] * B[k,n]
//     m[r] max= X[r,c];  e[r,c] = exp(X[r,c] - m[r]);  z[r] += e[r,c];  Y[r,c] = e[r,c] / z[r]
//     O[n,f,x,y] += I[n,c,x*$sx+i-$px, y*$sy+j-$py | 0] * W[f,c,i,j]
//     Y[b,s,h] = T[ids[b,s],h]
//     Y[b:s,h] = X[b,s,h]                                  (merge of two axes; the inverse is a split)
//
//   program   := statement (';' | newline) statement ...
//   statement := tensor '[' index,* ']' combiner expression
//   combiner  := '='  '+='  '*='  'max='  'min='  'and='  'or='  'logsumexp='  'last='
//   index     := expression over axes, integers, $params, |axis| (the extent), + - * // % min max, or a lookup T[...],
//                or a:b:c
//   access    := tensor '[' index,* [ '|' expression ] ']'    ('| e': the value of a read outside the tensor)
//
//   Precedence, tightest first: unary - !, then * / // %, then + -, then == != < <= > >= (which do not chain), &&, ^^,
//   ||. Literals: 3 (integer), 0.5, 1e-5, inf, nan (floating point; a minus directly before a number belongs to it),
//   true, false. A scalar tensor is written `T[]`. Comments run from '#' to the end of the line. Identifiers directly
//   followed by '[' are tensors, by '(' functions, after '$' parameters; all others are axes.
//
// MEANING
//   * Iteration space. A statement ranges over all axes that occur in it, each over 0 <= axis < |axis|. The axes on the
//     left are free; axes only on the right are reduced. An axis has one extent in the whole program: that of every
//     dimension in which it stands as a bare index. (An axis that never stands bare gets its extent from `extents`. A
//     bare index on the left of a tensor that several statements write covers a part of it and does not count:
//     concatenation. `i+0` is not bare: a slice from 0 is `Y[i] = X[i+0]`.) |axis| alone is no occurrence of the axis.
//   * Statements run one after the other; a statement sees the complete results of those before it. Inputs are never
//     written, and no statement reads the tensor that it writes. A tensor may be written by several statements, if they
//     write disjoint elements (concatenation). Elements that no statement writes are undefined.
//   * `=` assigns, each element at most once; it must have no reduced axis. Any other combiner first sets every element
//     it covers to its identity, then folds in the terms. The empty reduction is the identity: 0 for +=, 1 for *=, -inf
//     (the lowest integer) for max=, +inf for min=, true for and=, false for or=, -inf for logsumexp=, 0 (false) for
//     last=, which keeps the last term.
//   * Writes through lookups. A combiner (not `=`) with a lookup on the left covers the *whole* tensor: elements that no
//     term reaches hold the identity, and no other statement writes the tensor. Terms of one element are folded in
//     ascending order of the axes, as they are numbered. `L[I[k]] max= k` is the last k whose I[k] is t, or the lowest
//     integer. (The extent of such a dimension of a temporary is that of the axis by which it is read.)
//   * Order of reduction: the *value* of a program is defined up to reassociation of its combiners; where the combiner
//     does not commute (last=), the terms stay in ascending order. Lowering fixes the
//     order: contractions form one chain of fused multiply-adds in ascending k from +0 (promise 1 of the design); other
//     reductions may be regrouped, within a stated bound.
//   * Reads outside a tensor are errors unless the access has a '| default'. Left indices must be in range.
//   * `a:b:c` is the row-major index (a*|b|+b)*|c|+c.
//   * A lookup (tensor access in an index) takes an integer tensor; where it is the whole index, negative values count
//     from the end, as in ONNX. Index arithmetic is in i64.
//   * NaN: max= and min= propagate NaN, as ONNX does. Comparisons with NaN are false (`!=`, the negation of ==, is
//     true). -0 and +0 are equal.
//   * Integers wrap around in two's complement; division truncates towards zero, // and % floor. Division of an integer
//     by zero gives 0 (never a trap). Shifts do not exist.
//   * Types: both sides of an arithmetic operator have one type, and a value has the type of the tensor it is assigned
//     to; literals and parameters adapt (a fraction not to an integer; where nothing gives the type, a cast must); axes
//     and extents are i64. f16 is for storage: its values are computed, and accumulated, in f32 and rounded when they
//     are stored or cast. Comparisons and logical operators give bool; `select(c,a,b)` takes a bool. `cast_f32(x)` etc.
//     convert; float to integer truncates, saturates and maps NaN to 0; anything non-zero (NaN too) is true.
//   * "Absent": for a combiner and a factor, the annihilator of the product (0 for +=/*, false for or=/and, -inf for
//     max=/+) stands for "nothing here"; an absent element annihilates even an infinite or NaN partner. Live elements
//     obey IEEE 754.
//
// FUNCTIONS (element-wise, by name): neg abs sqrt rsqrt exp log erf tanh sigmoid sin cos floor ceil round (half to
// even)
//   sign recip not isnan isinf, pow(a,b) mod(a,b) fmod(a,b) min(a,b) max(a,b), select(c,a,b), cast_<dtype>(x), and
//   infix
//   + - * / // %  == != < <= > >=  && || ^^ (exclusive or), unary - and !.
// ---------------------------------------------------------------------------------------------------------------------
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pit/tensor.h"

namespace pit::expr {

using AxisId = int;    ///< position in Program::axes
using TensorId = int;  ///< position in Program::tensors
using ParamId = int;   ///< position in Program::params

enum class Kind : std::uint8_t {
  literal,  ///< number (double; integers exactly up to 2^53), or true/false
  axis,     ///< the iteration value of an axis
  extent,   ///< |axis|
  param,    ///< $name: an integer or float known when a plan is made
  access,   ///< tensor element; args are the indices, the default (if any) is last
  call,     ///< fn over args
  merge,    ///< a:b:c over index expressions that are bare axes
};

/// Element-wise functions; the infix operators are functions too.
enum class Fn : std::uint8_t {
  add,
  sub,
  mul,
  div,
  floordiv,
  mod,
  fmod,
  pow,
  min,
  max,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  logical_and,
  logical_or,
  logical_xor,
  logical_not,
  neg,
  abs,
  sqrt,
  rsqrt,
  exp,
  log,
  erf,
  tanh,
  sigmoid,
  sin,
  cos,
  floor,
  ceil,
  round,
  sign,
  recip,
  isnan,
  isinf,
  select,
  cast,
};

/// What is true of a function, for analyses (rules, sparsity) and tests of laws.
struct FnInfo {
  const char* name;  ///< as in the text form
  int arity;
  bool zero_preserving;  ///< f(0)=0 (unary), or f(0,0)=0
  bool annihilating;     ///< f(0,x)=f(x,0)=0
  bool infix;
};
const FnInfo& info(Fn f);

struct Node;
using Expr = std::shared_ptr<const Node>;  ///< immutable, shareable

struct Node {
  Kind kind = Kind::literal;
  double number = 0;         ///< literal
  bool is_bool = false;      ///< literal true/false
  bool is_int = false;       ///< literal written without point or exponent
  int id = -1;               ///< axis/extent: AxisId; param: ParamId; access: TensorId
  Fn fn = Fn::add;           ///< call
  DType to = DType::f32;     ///< call of cast
  bool has_default = false;  ///< access: the last of args is the value of a read outside
  std::vector<Expr> args;    ///< access: indices (+ default); call: operands; merge: axes
};

// Constructors (they simplify nothing).
Expr literal(double v);
Expr int_literal(std::int64_t v);
Expr bool_literal(bool v);
Expr axis(AxisId a);
Expr extent(AxisId a);
Expr param(ParamId p);
Expr access(TensorId t, std::vector<Expr> indices, Expr outside = nullptr);
Expr call(Fn f, std::vector<Expr> args);
Expr cast(DType to, Expr x);
Expr merge(std::vector<Expr> axes);

bool equal(const Expr& a, const Expr& b);

enum class Combiner : std::uint8_t { assign, sum, product, max, min, logical_and, logical_or, logsumexp, last };

/// The algebra of a combiner, and of the product it distributes over ("absent" in the header's essay).
struct CombinerInfo {
  const char* text;  ///< "+=", ...
  bool commutative, associative;
  double identity;
};
const CombinerInfo& info(Combiner c);

struct Statement {
  TensorId out = -1;
  std::vector<Expr> out_index;
  Combiner combiner = Combiner::assign;
  Expr value;
};

enum class Role : std::uint8_t { input, output, temp };

struct TensorDecl {
  std::string name;
  Role role = Role::input;
  int rank = 0;
  std::optional<DType> dtype;  ///< filled by `check` where it follows from the others
};

struct Program {
  std::vector<TensorDecl> tensors;
  std::vector<std::string> axes;
  std::vector<std::string> params;
  std::vector<Statement> statements;

  TensorId tensor(std::string_view name) const;  ///< -1 if absent
  AxisId axis_named(std::string_view name) const;
};

/// Parses the text form. Tensors, axes and parameters are numbered in the order in which they first appear. Tensors
/// only read are inputs; tensors named in `outputs` (default: written by the last statement) are outputs, others
/// written are temporaries. Throws InputError with line and column and what was expected. The result has passed
/// `verify`.
Program parse(std::string_view text, const std::vector<std::string>& outputs = {});
/// Canonical text, on one line; parse(print(p)) is p, up to numbering and the choice of outputs.
std::string print(const Program& p);
std::string print(const Program& p, const Expr& e);
std::string print(const Program& p, const Statement& s);
std::string print_index(const Program& p, const Expr& e);  ///< as inside the brackets: "x*$sx+i"

/// Verifier: ids in range, ranks consistent, inputs never written, no use before definition, `=` without reduced axes,
/// lookups integer, types where known. Returns the first violation in words, or nothing.
std::optional<std::string> verify(const Program& p);

/// Types: fills the dtypes of temporaries and outputs that follow from those already there (all inputs' are needed).
/// Returns the first violation in words, or nothing.
std::optional<std::string> check(Program& p);
/// The type of `e`; nothing where it adapts (literals, parameters and what is computed from them alone) or where a
/// tensor's type is not known.
std::optional<DType> type_of(const Program& p, const Expr& e);

// -- Structure queries used by every analysis
// ---------------------------------------------------------------------------

/// The axis if `e` is a bare axis.
std::optional<AxisId> bare_axis(const Expr& e);
/// Axes that occur anywhere in `e`, lookups included, extents not (ascending, unique).
std::vector<AxisId> axes_of(const Expr& e);
std::vector<AxisId> free_axes(const Statement& s);     ///< axes on the left
std::vector<AxisId> reduced_axes(const Statement& s);  ///< axes only on the right
/// Whether the statement folds its terms into elements that a lookup tells, and so covers the whole tensor.
bool scatters(const Statement& s);
bool scatters(const Program& p);  ///< whether any of its statements does
/// Visits every access in `e`, lookups inside indices included (outer access first).
template <class F>
void for_each_access(const Expr& e, F&& f) {
  if (!e) return;
  if (e->kind == Kind::access) f(e);
  for (const Expr& a : e->args) for_each_access(a, f);
}
/// e with every node mapped bottom-up through `f` (return the node itself to keep it).
Expr transform(const Expr& e, const std::function<Expr(const Expr&)>& f);

// -- Interpreter: the oracle
// ---------------------------------------------------------------------------------------------

/// Axis extents from tensor shapes (by TensorId; empty where not known, as for temporaries); `extents` gives those of
/// axes that never stand bare. Throws InputError when two bare uses disagree or an extent does not follow.
std::vector<std::int64_t> infer_extents(const Program& p, const std::vector<Shape>& tensor_shapes,
                                        const std::map<AxisId, std::int64_t>& extents = {});

struct Bindings {
  std::vector<Tensor> inputs;        ///< in the order of the program's input tensors
  std::vector<Shape> output_shapes;  ///< in the order of the program's output tensors; empty: as for temporaries
  std::vector<DType> output_dtypes;  ///< likewise
  std::vector<double> params;        ///< in the order of Program::params
  std::map<AxisId, std::int64_t> extents;
  /// For tests of laws: visit axis `a` in the order permutation[a] (empty: ascending).
  std::map<AxisId, std::vector<std::int64_t>> permutation;
};

/// Runs the program literally, one element at a time, accumulating in the tensor's own type (f32 sums in f32).
/// Temporaries have the type and shape that follow from their statements. Undefined elements are NaN, or the lowest
/// integer. Throws InputError for types or shapes that do not fit, reads outside, and elements written twice.
std::vector<Tensor> interpret(const Program& p, const Bindings& b);

}  // namespace pit::expr
