#include <algorithm>

#include "lower/rows.h"
#include "support/check.h"

namespace pit::lower {

using expr::Expr;

namespace {

bool same(const Operand& o, expr::TensorId t, const std::vector<Expr>& index, bool written) {
  return o.tensor == t && o.written == written && o.index.size() == index.size() &&
         std::equal(index.begin(), index.end(), o.index.begin(),
                    [](const Expr& a, const Expr& b) { return expr::equal(a, b); });
}

class Collector {
 public:
  explicit Collector(const expr::Program& p) : program_(p) {}

  std::vector<Operand> run() {
    for (const expr::Statement& s : program_.statements) {
      for (const Expr& i : s.out_index) reads(i);
      reads(s.value);
    }
    for (const expr::Statement& s : program_.statements)
      if (program_.tensors[s.out].role == expr::Role::output) add(s.out, s.out_index, true);
    return std::move(operands_);
  }

 private:
  void reads(const Expr& e) {
    if (!e) return;
    for (const Expr& a : e->args) reads(a);  // lookups before what they look up in
    if (e->kind != expr::Kind::access || program_.tensors[e->id].role == expr::Role::temp) return;
    std::vector<Expr> index(e->args.begin(), e->args.end() - (e->has_default ? 1 : 0));
    add(e->id, index, false);
  }

  void add(expr::TensorId t, const std::vector<Expr>& index, bool written) {
    for (const Operand& o : operands_)
      if (same(o, t, index, written)) return;
    Operand o;
    o.tensor = t;
    o.index = index;
    o.written = written;
    o.dtype = program_.tensors[t].dtype.value_or(DType::f32);
    operands_.push_back(std::move(o));
  }

  const expr::Program& program_;
  std::vector<Operand> operands_;
};

}  // namespace

std::vector<Operand> collect_operands(const expr::Program& p) { return Collector(p).run(); }

}  // namespace pit::lower
