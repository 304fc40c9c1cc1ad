// The text form of a kernel. It says all of a verified kernel but which equal values are one node (share.h), so that
// `parse` gives the kernel back.
//
//     kernel axpy(y: ptr noalias, x: ptr, n: i64)
//       let a.0: f32 = load f32 [x + 0]
//       for i.1 = 0 .. n step 16
//         store [y + (i.1 * 4)] = fma(splat x16(a.0), load f32x16 [x + (i.1 * 4)], f32x16(1)) if lane_mask x16((n - i.1))
//
// Bare integers are i64. A large value that occurs again within its statement is printed once, as `@1=...`, then as
// `@1`: otherwise a value with sharing could be exponentially long.
#include <unordered_map>

#include "codegen/ops.h"
#include "codegen/share.h"
#include "support/check.h"

namespace pit::codegen {
namespace {

using fmt::format_to;

class Printer {
 public:
  explicit Printer(const Kernel& k) : k_(k) {}

  std::string run() {
    out_ = "kernel " + k_.name + "(";
    const char* comma = "";
    for (const ArgInfo& a : k_.ptrs) {
      format_to(sink(), "{}{}: ptr{}", comma, a.name, a.noalias ? " noalias" : "");
      comma = ", ";
    }
    for (const ArgInfo& a : k_.ints) {
      format_to(sink(), "{}{}: i64", comma, a.name);
      comma = ", ";
    }
    out_ += ")\n";
    block(k_.body, 1);
    return std::move(out_);
  }

 private:
  // Nodes smaller than this are repeated: shared offsets read better written out.
  static constexpr int kShareFrom = 12;
  struct Use {
    int count = 0, size = 0, mark = 0;
  };

  std::back_insert_iterator<std::string> sink() { return std::back_inserter(out_); }

  /// Counts the occurrences of every node of a statement and the size of its tree (saturating).
  int count(const Value& v) {
    if (!v) return 0;
    Use& use = uses_[v.get()];
    if (use.count++ > 0) return use.size;
    int size = 1;
    for (const Value& a : v->args) size = std::min(size + count(a), 1 << 20);
    return uses_[v.get()].size = size;
  }

  void begin_statement(const Stmt& s) {
    uses_.clear();
    marks_ = 0;
    for (const Value* v : {&s.pointer, &s.bytes, &s.value, &s.mask, &s.begin, &s.end, &s.step}) count(*v);
  }

  std::string name(std::int64_t index) const {
    if (index < 0 || index >= static_cast<std::int64_t>(k_.names.size())) return fmt::format("?.{}", index);
    return fmt::format("{}.{}", k_.names[index].first, index);
  }

  void constant(const ValueNode& v) {
    const Type t = v.type;
    if (t == Type{Scalar::i64, 1}) {
      format_to(sink(), "{}", v.integer);
    } else if (!is_float(t.scalar)) {
      format_to(sink(), "{}({})", to_string(t), v.integer);
    } else if (t.scalar == Scalar::f64) {
      format_to(sink(), "{}({})", to_string(t), v.number);
    } else {
      format_to(sink(), "{}({})", to_string(t), static_cast<float>(v.number));
    }
  }

  void args(const ValueNode& v) {
    out_ += '(';
    for (std::size_t i = 0; i < v.args.size(); ++i) {
      if (i > 0) out_ += ", ";
      value(v.args[i]);
    }
    out_ += ')';
  }

  void address(const ValueNode& v) {
    format_to(sink(), "{} {} [", name_of(v.op), to_string(v.type));
    value(v.args.at(0));
    out_ += " + ";
    value(v.args.at(1));
    if (v.args.size() > 2) {
      out_ += " if ";
      value(v.args[2]);
    }
    out_ += ']';
  }

  void value(const Value& v) {
    if (!v) {
      out_ += "null";
      return;
    }
    Use& use = uses_[v.get()];
    if (use.mark > 0) {
      format_to(sink(), "@{}", use.mark);
      return;
    }
    if (use.count > 1 && use.size >= kShareFrom) {
      use.mark = ++marks_;
      format_to(sink(), "@{}=", use.mark);
    }
    node(*v);
  }

  void node(const ValueNode& v) {
    const std::int64_t i = v.integer;
    const auto known = [i](const std::vector<ArgInfo>& list) {
      return i >= 0 && i < static_cast<std::int64_t>(list.size());
    };
    switch (v.op) {
      case Op::ptr_arg: out_ += known(k_.ptrs) ? k_.ptrs[i].name : "?"; return;
      case Op::int_arg: out_ += known(k_.ints) ? k_.ints[i].name : "?"; return;
      case Op::constant: constant(v); return;
      case Op::name: out_ += name(i); return;
      case Op::iota: format_to(sink(), "iota {}", to_string(v.type)); return;
      case Op::load:
      case Op::gather: address(v); return;
      case Op::convert:
      case Op::bitcast: format_to(sink(), "{} {}", name_of(v.op), to_string(v.type)); break;
      case Op::splat:
      case Op::lane_mask: format_to(sink(), "{} x{}", name_of(v.op), v.type.lanes); break;
      case Op::extract: format_to(sink(), "extract {}", i); break;
      case Op::shuffle: format_to(sink(), "shuffle [{}]", fmt::join(v.lanes_map, " ")); break;
      default:
        if (const char* infix = infix_of(v.op); infix != nullptr && v.args.size() == 2) {
          out_ += '(';
          value(v.args[0]);
          format_to(sink(), " {} ", infix);
          value(v.args[1]);
          out_ += ')';
          return;
        }
        out_ += name_of(v.op);
    }
    args(v);
  }

  void target(const Stmt& s) {
    out_ += " [";
    value(s.pointer);
    out_ += " + ";
    value(s.bytes);
    out_ += ']';
  }

  void block(const std::vector<Stmt>& body, int depth) {
    for (const Stmt& s : body) statement(s, depth);
  }

  void statement(const Stmt& s, int depth) {
    begin_statement(s);
    out_.append(2 * depth, ' ');
    switch (s.kind) {
      case StmtKind::let:
      case StmtKind::var: {
        const bool known = s.name >= 0 && s.name < static_cast<int>(k_.names.size());
        format_to(sink(), "{} {}: {} = ", s.kind == StmtKind::let ? "let" : "var", name(s.name),
                  known ? to_string(k_.names[s.name].second) : "?");
        value(s.value);
        break;
      }
      case StmtKind::assign:
        format_to(sink(), "{} := ", name(s.name));
        value(s.value);
        break;
      case StmtKind::store:
      case StmtKind::scatter:
        out_ += s.kind == StmtKind::store ? "store" : "scatter";
        target(s);
        out_ += " = ";
        value(s.value);
        if (s.mask) {
          out_ += " if ";
          value(s.mask);
        }
        break;
      case StmtKind::prefetch:
        out_ += "prefetch";
        target(s);
        break;
      case StmtKind::loop:
        format_to(sink(), "for {} = ", name(s.name));
        value(s.begin);
        out_ += " .. ";
        value(s.end);
        out_ += " step ";
        value(s.step);
        out_ += '\n';
        block(s.body, depth + 1);
        return;
      case StmtKind::branch:
        out_ += "if ";
        value(s.value);
        out_ += '\n';
        block(s.body, depth + 1);
        if (!s.otherwise.empty()) {
          out_.append(2 * depth, ' ');
          out_ += "else\n";
          block(s.otherwise, depth + 1);
        }
        return;
    }
    out_ += '\n';
  }

  const Kernel& k_;
  std::string out_;
  std::unordered_map<const ValueNode*, Use> uses_;
  int marks_ = 0;
};

}  // namespace

std::string print(const Kernel& k) { return Printer(shared(k)).run(); }

}  // namespace pit::codegen
