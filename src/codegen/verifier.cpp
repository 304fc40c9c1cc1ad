// The specification of kernel_ir.h as a check: types, scopes, shapes of nodes. Every pass that builds or changes a
// kernel ends here, so that backends may assume what the specification says.
#include "codegen/verifier.h"

#include <bit>
#include <cctype>
#include <set>
#include <stdexcept>
#include <unordered_set>

#include "codegen/ops.h"
#include "support/check.h"

namespace pit::codegen {
namespace {

constexpr int kMaxLanes = 1024;
constexpr Type kI64{Scalar::i64, 1};
constexpr Type kPtr{Scalar::ptr, 1};

bool is_identifier(const std::string& s) {
  if (s.empty() || std::isdigit(static_cast<unsigned char>(s[0]))) return false;
  for (unsigned char c : s) {
    if (!std::isalnum(c) && c != '_') return false;
  }
  return true;
}

/// Words that stand where an operand may begin or end.
bool is_reserved(const std::string& word) {
  return op_named(word) || type_named(word) || word == "if" || word == "step";
}

/// The first violation, in words; find_violation() catches it.
struct Refusal final : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... A>
void require(bool ok, fmt::format_string<A...> f, A&&... args) {
  if (!ok) throw Refusal(fmt::format(f, std::forward<A>(args)...));
}

class Verifier {
 public:
  explicit Verifier(const Kernel& k) : k_(k), state_(k.names.size(), State::undeclared) {}

  void run() {
    require(!k_.name.empty(), "the kernel has no name");
    for (unsigned char c : k_.name) require(c > ' ' && c < 127, "kernel name '{}' has unprintable characters", k_.name);
    std::set<std::string> seen;
    for (const auto* list : {&k_.ptrs, &k_.ints}) {
      for (const ArgInfo& a : *list) {
        require(is_identifier(a.name), "argument name '{}' is no identifier", a.name);
        require(!is_reserved(a.name), "argument name '{}' is a word of the printed form", a.name);
        require(seen.insert(a.name).second, "two arguments are named '{}'", a.name);
      }
    }
    for (const ArgInfo& a : k_.ints) require(!a.noalias, "integer argument '{}' is noalias", a.name);
    for (const auto& [name, type] : k_.names) {
      require(is_identifier(name), "name '{}' is no identifier", name);
      check_type(type);
    }
    block(k_.body);
    at_.reset();
    for (std::size_t i = 0; i < state_.size(); ++i) {
      require(state_[i] != State::undeclared, "'{}' is declared nowhere", name(static_cast<std::int64_t>(i)));
    }
  }

  /// The statement that is looked at.
  std::optional<std::size_t> at() const { return at_; }

 private:
  enum class State : std::uint8_t { undeclared, let, var, closed };

  void check_type(Type t) {
    require(t.lanes >= 1 && t.lanes <= kMaxLanes && (t.lanes & (t.lanes - 1)) == 0,
            "type {}: lanes must be a power of two", to_string(t));
    require(t.scalar != Scalar::ptr || t.lanes == 1, "a vector of pointers");
  }

  // --- statements ---

  void declare(const Stmt& s, State as) {
    require(s.name >= 0 && s.name < static_cast<int>(state_.size()), "declaration of an unknown name {}", s.name);
    require(state_[s.name] == State::undeclared, "'{}' is declared twice", name(s.name));
    state_[s.name] = as;
    scope_.push_back(s.name);
  }

  std::string name(std::int64_t i) const { return fmt::format("{}.{}", k_.names[i].first, i); }

  void block(const std::vector<Stmt>& body) {
    const std::size_t outer = scope_.size();
    for (const Stmt& s : body) statement(s);
    for (; scope_.size() > outer; scope_.pop_back()) state_[scope_.back()] = State::closed;
  }

  void address(const Stmt& s) {
    require(value(s.pointer) == kPtr, "the address of a store or prefetch is no pointer");
    require(value(s.bytes) == kI64, "the offset of a store or prefetch is {}, not i64", to_string(s.bytes->type));
  }

  void check_mask(const Value& mask, int lanes) {
    if (!mask) return;
    require(value(mask) == Type{Scalar::i1, lanes}, "mask of type {} for {} lanes", to_string(mask->type), lanes);
  }

  void check_offsets(Type offsets, int lanes) {
    require((offsets.scalar == Scalar::i64 || offsets.scalar == Scalar::i32) && offsets.lanes == lanes,
            "offsets of type {} for {} lanes", to_string(offsets), lanes);
  }

  static void check_unused(const Stmt& s) {
    const bool loop = s.kind == StmtKind::loop, branch = s.kind == StmtKind::branch;
    const bool stores = s.kind == StmtKind::store || s.kind == StmtKind::scatter;
    const bool address = stores || s.kind == StmtKind::prefetch;
    const bool empty = (!(address || branch) || s.name == -1) &&
                       (!(loop || s.kind == StmtKind::prefetch) || !s.value) && (address || (!s.pointer && !s.bytes)) &&
                       (stores || !s.mask) && (loop || (!s.begin && !s.end && !s.step)) &&
                       (loop || branch || s.body.empty()) && (branch || s.otherwise.empty());
    require(empty, "a statement holds what its kind does not use");
  }

  void begin_statement(const Stmt& s) {
    at_ = count_++;
    // Clearing costs as much as there are buckets, and one large statement may come before very many small ones.
    if (checked_.bucket_count() > 4096) checked_ = {};
    checked_.clear();
    require(s.kind <= StmtKind::prefetch, "unknown statement kind {}", static_cast<int>(s.kind));
    check_unused(s);
  }

  void statement(const Stmt& s) {
    begin_statement(s);
    switch (s.kind) {
      case StmtKind::let:
      case StmtKind::var: {
        const Type t = value(s.value);
        declare(s, s.kind == StmtKind::let ? State::let : State::var);
        require(k_.names[s.name].second == t, "'{}' is {}, its value {}", name(s.name),
                to_string(k_.names[s.name].second), to_string(t));
        return;
      }
      case StmtKind::assign: {
        const Type t = value(s.value);
        require(s.name >= 0 && s.name < static_cast<int>(state_.size()), "assignment to an unknown name {}", s.name);
        require(state_[s.name] == State::var, "assignment to '{}', which is no var in scope", name(s.name));
        require(k_.names[s.name].second == t, "assignment of {} to '{}', which is {}", to_string(t), name(s.name),
                to_string(k_.names[s.name].second));
        return;
      }
      case StmtKind::store:
        address(s);
        check_mask(s.mask, value(s.value).lanes);
        return;
      case StmtKind::scatter:
        require(value(s.pointer) == kPtr, "the address of a scatter is no pointer");
        require(value(s.value) != kPtr, "scatter of pointers");
        check_offsets(value(s.bytes), s.value->type.lanes);
        check_mask(s.mask, s.value->type.lanes);
        return;
      case StmtKind::prefetch: address(s); return;
      case StmtKind::loop: loop(s); return;
      case StmtKind::branch:
        require(value(s.value) == Type{Scalar::i1, 1}, "a branch on {}", to_string(s.value->type));
        block(s.body);
        block(s.otherwise);
        return;
    }
  }

  void loop(const Stmt& s) {
    for (const Value* v : {&s.begin, &s.end, &s.step}) {
      require(value(*v) == kI64, "a loop bound or step of type {}", to_string((*v)->type));
    }
    require(s.step->op != Op::constant || s.step->integer > 0, "a loop step of {}", s.step->integer);
    const std::size_t outer = scope_.size();
    declare(s, State::let);
    require(k_.names[s.name].second == kI64, "loop variable '{}' is not i64", name(s.name));
    block(s.body);
    state_[s.name] = State::closed;
    scope_.resize(outer);
  }

  // --- values ---

  Type value(const Value& v) {
    require(v != nullptr, "a statement or operation lacks an operand");
    if (!checked_.insert(v.get()).second) return v->type;
    check_type(v->type);
    for (const Value& a : v->args) value(a);
    node(*v);
    return v->type;
  }

  void arity(const ValueNode& v, std::size_t least, std::size_t most) {
    require(v.args.size() >= least && v.args.size() <= most, "{} with {} operands", name_of(v.op), v.args.size());
  }

  static void constant(const ValueNode& v) {
    const Scalar s = v.type.scalar;
    require(s != Scalar::ptr, "a pointer constant");
    if (is_float(s)) {
      require(same_bits(v.number, rounded(s, v.number)), "{} is no constant of type {}", v.number, to_string(v.type));
    } else {
      require(static_cast<std::int64_t>(wrap(s, static_cast<std::uint64_t>(v.integer))) == v.integer,
              "{} is no constant of type {}", v.integer, to_string(v.type));
    }
  }

  void leaf(const ValueNode& v) {
    arity(v, 0, 0);
    const std::int64_t i = v.integer;
    switch (v.op) {
      case Op::ptr_arg:
        require(v.type == kPtr && i >= 0 && i < static_cast<std::int64_t>(k_.ptrs.size()), "pointer argument {}", i);
        return;
      case Op::int_arg:
        require(v.type == kI64 && i >= 0 && i < static_cast<std::int64_t>(k_.ints.size()), "integer argument {}", i);
        return;
      case Op::constant: constant(v); return;
      case Op::iota: require(is_integer(v.type.scalar), "iota of {}", to_string(v.type)); return;
      default: break;
    }
    require(i >= 0 && i < static_cast<std::int64_t>(state_.size()), "unknown name {}", i);
    require(state_[i] == State::let || state_[i] == State::var, "'{}' is not in scope", name(i));
    require(k_.names[i].second == v.type, "'{}' is {}, used as {}", name(i), to_string(k_.names[i].second),
            to_string(v.type));
  }

  void elementwise(const ValueNode& v, std::size_t operands) {
    arity(v, operands, operands);
    const Type t = v.args[0]->type;
    for (const Value& a : v.args) {
      require(a->type == t, "{} of {} and {}", name_of(v.op), to_string(t), to_string(a->type));
    }
    require(exists_for(v.op, t.scalar), "{} does not exist for {}", name_of(v.op), to_string(t));
    const Type gives = is_compare(v.op) ? Type{Scalar::i1, t.lanes} : t;
    require(v.type == gives, "{} gives {}, not {}", name_of(v.op), to_string(gives), to_string(v.type));
  }

  void memory(const ValueNode& v) {
    arity(v, 2, 3);
    require(v.args[0]->type == kPtr, "{} from {}", name_of(v.op), to_string(v.args[0]->type));
    if (v.op == Op::load) {
      require(v.args[1]->type == kI64, "load at an offset of type {}", to_string(v.args[1]->type));
    } else {
      require(v.type.scalar != Scalar::ptr, "gather of pointers");
      check_offsets(v.args[1]->type, v.type.lanes);
    }
    if (v.args.size() > 2) {
      require(v.args[2]->type == Type{Scalar::i1, v.type.lanes}, "mask of type {} for {} lanes",
              to_string(v.args[2]->type), v.type.lanes);
      require(v.type.scalar != Scalar::ptr, "masked load of a pointer");
    }
  }

  void conversion(const ValueNode& v) {
    arity(v, 1, 1);
    const Type from = v.args[0]->type, to = v.type;
    require(from.scalar != Scalar::ptr && to.scalar != Scalar::ptr, "{} of a pointer", name_of(v.op));
    if (v.op == Op::bitcast) {
      require(from.scalar != Scalar::i1 && to.scalar != Scalar::i1, "bitcast of i1");
      require(bytes_of(from.scalar) * from.lanes == bytes_of(to.scalar) * to.lanes, "bitcast of {} to {}",
              to_string(from), to_string(to));
      return;
    }
    require(from.lanes == to.lanes && from.scalar != to.scalar, "convert of {} to {}", to_string(from), to_string(to));
    const bool half = from.scalar == Scalar::f16 || to.scalar == Scalar::f16;
    require(!half || from.scalar == Scalar::f32 || to.scalar == Scalar::f32, "f16 converts from and to f32, not {}",
            to_string(from.scalar == Scalar::f16 ? to : from));
  }

  void lanes(const ValueNode& v) {
    arity(v, v.op == Op::shuffle ? 2 : 1, v.op == Op::shuffle ? 2 : 1);
    const Type from = v.args[0]->type;
    require(from.scalar != Scalar::ptr, "{} of a pointer", name_of(v.op));
    switch (v.op) {
      case Op::splat:
        require(from == Type{v.type.scalar, 1}, "splat of {} to {}", to_string(from), to_string(v.type));
        return;
      case Op::extract:
        require(v.type == Type{from.scalar, 1} && v.integer >= 0 && v.integer < from.lanes,
                "extract of lane {} from {}", v.integer, to_string(from));
        return;
      case Op::lane_mask:
        require(from == kI64 && v.type.scalar == Scalar::i1, "lane_mask of {}, not of i64", to_string(from));
        return;
      case Op::shuffle: {
        require(v.args[1]->type == from && v.type.scalar == from.scalar, "shuffle of different types");
        require(static_cast<int>(v.lanes_map.size()) == v.type.lanes, "shuffle to {} with {} lanes in its map",
                to_string(v.type), v.lanes_map.size());
        for (int l : v.lanes_map)
          require(l >= 0 && l < 2 * from.lanes, "shuffle takes lane {} of {}", l, 2 * from.lanes);
        return;
      }
      default: break;
    }
    const Op fold = fold_of(v.op);
    require(exists_for(fold, from.scalar), "{} does not exist for {}", name_of(v.op), to_string(from));
    require(v.type == Type{from.scalar, 1}, "{} gives {}", name_of(v.op), to_string(v.type));
  }

  static bool same_bits(double a, double b) {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
  }

  static void check_unused(const ValueNode& v) {
    const bool constant = v.op == Op::constant, number = constant && is_float(v.type.scalar);
    const bool indexed = v.op == Op::ptr_arg || v.op == Op::int_arg || v.op == Op::name || v.op == Op::extract;
    const bool empty = (number || same_bits(v.number, 0)) && (indexed || (constant && !number) || v.integer == 0) &&
                       (v.op == Op::shuffle || v.lanes_map.empty());
    require(empty, "{} holds what it does not use", name_of(v.op));
  }

  void node(const ValueNode& v) {
    require(v.op <= Op::gather, "unknown operation {}", static_cast<int>(v.op));
    check_unused(v);
    if (v.op <= Op::iota) return leaf(v);
    if (is_unary(v.op)) return elementwise(v, 1);
    if (is_binary(v.op) || is_compare(v.op)) return elementwise(v, 2);
    if (v.op == Op::fma || v.op == Op::dot) return elementwise(v, 3);
    if (v.op == Op::convert || v.op == Op::bitcast) return conversion(v);
    if (v.op == Op::load || v.op == Op::gather) return memory(v);
    if (v.op == Op::offset) {
      arity(v, 2, 2);
      require(v.type == kPtr && v.args[0]->type == kPtr && v.args[1]->type == kI64,
              "offset takes a pointer and i64 bytes");
      return;
    }
    if (v.op == Op::select) {
      arity(v, 3, 3);
      const Type mask = v.args[0]->type;
      require(mask.scalar == Scalar::i1 && (mask.lanes == 1 || mask.lanes == v.type.lanes), "select by {} among {}",
              to_string(mask), to_string(v.type));
      require(v.args[1]->type == v.type && v.args[2]->type == v.type, "select among {} and {}",
              to_string(v.args[1]->type), to_string(v.args[2]->type));
      return;
    }
    lanes(v);
  }

  const Kernel& k_;
  std::vector<State> state_;
  std::optional<std::size_t> at_;
  std::size_t count_ = 0;
  std::vector<int> scope_;
  std::unordered_set<const ValueNode*> checked_;
};

}  // namespace

std::optional<Violation> find_violation(const Kernel& k) {
  Verifier verifier(k);
  try {
    verifier.run();
  } catch (const Refusal& refusal) {
    return Violation{refusal.what(), verifier.at()};
  }
  return std::nullopt;
}

std::optional<std::string> verify(const Kernel& k) {
  auto violation = find_violation(k);
  if (!violation) return std::nullopt;
  return std::move(violation->what);
}

}  // namespace pit::codegen
