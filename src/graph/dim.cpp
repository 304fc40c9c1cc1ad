// Dims are interned polynomials with integer coefficients over *atoms*: symbols, and opaque terms (floor division, min,
// ...) whose arguments are Dims again. Every operation simplifies before it interns, so equal handles are the proof of
// equality that reshapes, broadcasts and slices are built on. Bounds (lo, hi) are kept per Dim by interval arithmetic;
// they decide min, max and comparisons.
#include "graph/dim.h"

#include <algorithm>
#include <fmt/format.h>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "support/check.h"

namespace pit::graph {
namespace {

using Monomial = std::vector<std::int32_t>;  // atom ids, ascending, repeated for powers
struct Term {
  Monomial atoms;
  std::int64_t coefficient = 0;
  bool operator==(const Term&) const = default;
};
using Poly = std::vector<Term>;  // descending in `before`, no zero coefficients

constexpr std::int64_t kMinusInf = INT64_MIN, kInf = INT64_MAX;
constexpr std::int64_t kHuge = std::int64_t{1} << 62;  // ONNX writes "to the end" as a number near 2^63

// A monomial order (graded lexicographic): compatible with multiplication, which exact division needs.
bool before(const Monomial& a, const Monomial& b) {
  if (a.size() != b.size()) return a.size() > b.size();
  return a < b;
}

// A formula has so many terms, of so many factors each, and a table so many numbers in all its formulas: what real
// models need, many times over. Beyond that, and where a coefficient does not fit an i64, a sum or product is an opaque
// atom: still right when it is evaluated (or `unknown`, if its own value does not fit), but nothing is proven about it.
// Otherwise a few squared sums would be formulas of billions of terms.
constexpr std::size_t kTerms = 64, kDegree = 16, kWords = std::size_t{1} << 22;

// a + factor * b; nothing if that is too large.
std::optional<Poly> poly_add(const Poly& a, const Poly& b, std::int64_t factor) {
  Poly r;
  r.reserve(a.size() + b.size());
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (j == b.size() || (i < a.size() && before(a[i].atoms, b[j].atoms))) {
      r.push_back(a[i++]);
      continue;
    }
    std::int64_t c;
    if (__builtin_mul_overflow(factor, b[j].coefficient, &c)) return std::nullopt;
    if (i == a.size() || before(b[j].atoms, a[i].atoms)) {
      r.push_back({b[j].atoms, c});
    } else {
      if (__builtin_add_overflow(a[i].coefficient, c, &c)) return std::nullopt;
      if (c != 0) r.push_back({a[i].atoms, c});
      ++i;
    }
    ++j;
  }
  if (r.size() > kTerms) return std::nullopt;
  return r;
}

Monomial monomial_mul(const Monomial& a, const Monomial& b) {
  Monomial r(a.size() + b.size());
  std::merge(a.begin(), a.end(), b.begin(), b.end(), r.begin());
  return r;
}

// Nothing if that is too large.
std::optional<Poly> poly_mul(const Poly& a, const Poly& b) {
  std::optional<Poly> r = Poly{};
  for (const Term& t : b) {
    Poly row;
    for (const Term& u : a) {
      std::int64_t c;
      if (u.atoms.size() + t.atoms.size() > kDegree || __builtin_mul_overflow(u.coefficient, t.coefficient, &c))
        return std::nullopt;
      row.push_back({monomial_mul(u.atoms, t.atoms), c});
    }
    std::sort(row.begin(), row.end(), [](const Term& x, const Term& y) { return before(x.atoms, y.atoms); });
    r = poly_add(*r, row, 1);
    if (!r) return r;
  }
  return r;
}

// a / b if b divides a.
std::optional<Monomial> monomial_div(const Monomial& a, const Monomial& b) {
  if (!std::includes(a.begin(), a.end(), b.begin(), b.end())) return std::nullopt;
  Monomial r;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(r));
  return r;
}

// a / b if the division is exact (and short enough to be worth it).
std::optional<Poly> poly_div(Poly a, const Poly& b) {
  if (b.empty()) return std::nullopt;
  Poly q;
  while (!a.empty()) {
    const std::optional<Monomial> m = monomial_div(a[0].atoms, b[0].atoms);
    const bool unit = b[0].coefficient == -1;  // INT64_MIN / -1 would trap
    if (!m || (!unit && a[0].coefficient % b[0].coefficient != 0)) return std::nullopt;
    if (unit && a[0].coefficient == INT64_MIN) return std::nullopt;
    const Poly t = {{*m, a[0].coefficient / b[0].coefficient}};
    const auto whole = poly_add(q, t, 1), taken = poly_mul(t, b), rest = taken ? poly_add(a, *taken, -1) : std::nullopt;
    if (!whole || !rest || whole->size() > 32) return std::nullopt;
    q = *whole;
    a = *rest;
  }
  return q;
}

enum class Op : std::uint8_t {
  constant,
  symbol,
  poly,
  sum,
  difference,
  product,
  div,
  floordiv,
  mod,
  max,
  min,
  broadcast,
  select_eq,
  select_lt
};

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0); }

std::int64_t floor_mod(std::int64_t a, std::int64_t b) {  // b is neither 0 nor -1
  const std::int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// Saturating interval arithmetic; the infinities absorb.
std::int64_t sat_add(std::int64_t a, std::int64_t b) {
  if (a == kMinusInf || b == kMinusInf) return kMinusInf;
  if (a == kInf || b == kInf) return kInf;
  std::int64_t r;
  if (__builtin_add_overflow(a, b, &r)) return a < 0 ? kMinusInf : kInf;
  return r;
}
std::int64_t sat_mul(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return 0;
  const bool negative = (a < 0) != (b < 0);
  std::int64_t r;
  if (a == kInf || b == kInf || a == kMinusInf || b == kMinusInf || __builtin_mul_overflow(a, b, &r)) {
    return negative ? kMinusInf : kInf;
  }
  return r;
}

struct Interval {
  std::int64_t lo = kMinusInf, hi = kInf;
};
Interval minus(Interval a) {
  const auto negated = [](std::int64_t v) { return v == kMinusInf ? kInf : v == kInf ? kMinusInf : -v; };
  return {negated(a.hi), negated(a.lo)};
}
Interval plus(Interval a, Interval b) { return {sat_add(a.lo, b.lo), sat_add(a.hi, b.hi)}; }
Interval times(Interval a, Interval b) {
  const std::int64_t p[] = {sat_mul(a.lo, b.lo), sat_mul(a.lo, b.hi), sat_mul(a.hi, b.lo), sat_mul(a.hi, b.hi)};
  return {*std::min_element(p, p + 4), *std::max_element(p, p + 4)};
}

struct Entry {
  Op op = Op::constant;
  std::int32_t args[4] = {-1, -1, -1, -1};  // Dim ids; symbol: args[0] is the symbol's index
  std::int64_t value = 0;                   // constant
  std::int32_t code = 0, terms = 0;         // poly: where its terms stand in Impl::code, and how many
  Interval range;
  Poly poly;
};

struct KeyHash {
  std::size_t operator()(const std::vector<std::int64_t>& k) const {
    std::size_t h = k.size();
    for (const std::int64_t v : k) h = (h ^ static_cast<std::size_t>(v)) * 0x9E3779B97F4A7C15ull + (h >> 29);
    return h;
  }
};

}  // namespace

struct DimTable::Impl {
  std::vector<Entry> entries;
  std::vector<std::int64_t> code;  // per term of a poly: coefficient, number of atoms, atoms
  std::unordered_map<std::vector<std::int64_t>, std::int32_t, KeyHash> ids;
  std::unordered_map<std::string, std::int32_t> by_name;
  std::vector<std::string> symbols;

  const Entry& at(Dim d) const {
    PIT_CHECK(d.id >= 0 && d.id < static_cast<std::int32_t>(entries.size()), "Dim {} is not of this table", d.id);
    return entries[static_cast<std::size_t>(d.id)];
  }
  const Poly& poly(Dim d) const { return at(d).poly; }
  /// Of one entry; `v`: of those before.
  std::int64_t evaluate(std::size_t i, const std::vector<std::int64_t>& given,
                        const std::vector<std::int64_t>& v) const;
  std::optional<std::int64_t> value(Dim d) const {
    const Entry& e = at(d);
    if (e.op != Op::constant) return std::nullopt;
    return e.value;
  }

  Dim push(std::vector<std::int64_t> key, Entry e) {
    const auto id = static_cast<std::int32_t>(entries.size());
    ids.emplace(std::move(key), id);
    entries.push_back(std::move(e));
    return {id};
  }

  Dim from_poly(Poly p) {
    if (p.size() == 1 && p[0].coefficient == 1 && p[0].atoms.size() == 1) return {p[0].atoms[0]};
    std::vector<std::int64_t> key{static_cast<std::int64_t>(Op::poly)};
    for (const Term& t : p) {
      key.push_back(t.coefficient);
      key.push_back(static_cast<std::int64_t>(t.atoms.size()));
      key.insert(key.end(), t.atoms.begin(), t.atoms.end());
    }
    if (const auto it = ids.find(key); it != ids.end()) return {it->second};
    Entry e;
    if (p.empty() || (p.size() == 1 && p[0].atoms.empty())) {
      e.op = Op::constant;
      e.value = p.empty() ? 0 : p[0].coefficient;
      e.range = {e.value, e.value};
    } else {
      e.op = Op::poly;
      e.code = static_cast<std::int32_t>(code.size());
      e.terms = static_cast<std::int32_t>(p.size());
      code.insert(code.end(), key.begin() + 1, key.end());
      e.range = {0, 0};
      for (const Term& t : p) {
        Interval r{t.coefficient, t.coefficient};
        for (const std::int32_t a : t.atoms) r = times(r, entries[static_cast<std::size_t>(a)].range);
        e.range = plus(e.range, r);
      }
    }
    e.poly = std::move(p);
    return push(std::move(key), std::move(e));
  }

  Dim atom(Op op, Dim a, Dim b, Interval range, Dim c = {}, Dim d = {}) {
    std::vector<std::int64_t> key{static_cast<std::int64_t>(op), a.id, b.id, c.id, d.id};
    if (const auto it = ids.find(key); it != ids.end()) return {it->second};
    Entry e;
    e.op = op;
    const Dim args[] = {a, b, c, d};
    for (int i = 0; i < 4; ++i) e.args[i] = args[i].id;
    e.range = range;
    e.poly = {{{static_cast<std::int32_t>(entries.size())}, 1}};
    return push(std::move(key), std::move(e));
  }

  Interval range(Dim d) const { return at(d).range; }
  // The formula, or an opaque atom where it is too large.
  Dim formula(std::optional<Poly> p, Op op, Dim a, Dim b, Interval r) {
    if (p && (code.size() < kWords || p->size() <= 1)) return from_poly(std::move(*p));
    if (op != Op::difference && b.id < a.id) std::swap(a, b);
    return atom(op, a, b, r);
  }
  Dim add(Dim a, Dim b) { return formula(poly_add(poly(a), poly(b), 1), Op::sum, a, b, plus(range(a), range(b))); }
  Dim sub(Dim a, Dim b) {
    return formula(poly_add(poly(a), poly(b), -1), Op::difference, a, b, plus(range(a), minus(range(b))));
  }
  Dim mul(Dim a, Dim b) { return formula(poly_mul(poly(a), poly(b)), Op::product, a, b, times(range(a), range(b))); }
  Interval difference(Dim a, Dim b) { return range(sub(a, b)); }
  bool is_arg(Dim d, Op op, Dim of) const {
    const Entry& e = at(of);
    return e.op == op && (e.args[0] == d.id || e.args[1] == d.id);
  }

  // m = min(whole, c) with c >= 2 is 1 only where `whole` is, so where the two fit together, they are equal. (Exporters
  // slice position tables so.)
  bool is_cut(Dim m, Dim whole) const {
    const Entry& e = at(m);
    if (e.op != Op::min || (e.args[0] != whole.id && e.args[1] != whole.id)) return false;
    return range({e.args[0] == whole.id ? e.args[1] : e.args[0]}).lo >= 2;
  }

  // Cancels what all terms of `a` and the single term of `b` have in common (the divisor is then not zero).
  void cancel(Poly* a, Poly* b) const {
    if (b->size() != 1 || a->empty()) return;
    for (const Poly* p : {a, b})
      if (std::any_of(p->begin(), p->end(), [](const Term& t) { return t.coefficient == INT64_MIN; })) return;
    Monomial common = (*b)[0].atoms;
    std::int64_t gcd = std::abs((*b)[0].coefficient);
    for (const Term& t : *a) {
      Monomial both;
      std::set_intersection(common.begin(), common.end(), t.atoms.begin(), t.atoms.end(), std::back_inserter(both));
      common = std::move(both);
      for (std::int64_t x = std::abs(t.coefficient); x != 0;) std::tie(gcd, x) = std::pair(x, gcd % x);
    }
    for (Poly* p : {a, b}) {
      for (Term& t : *p) {
        t.atoms = *monomial_div(t.atoms, common);
        t.coefficient /= gcd;
      }
    }
  }

  std::string print(Dim d, int* budget) const;
};

DimTable::DimTable() : impl_(new Impl) {}
DimTable::~DimTable() { delete impl_; }
DimTable::DimTable(DimTable&& o) noexcept : impl_(std::exchange(o.impl_, nullptr)) {}
DimTable& DimTable::operator=(DimTable&& o) noexcept {
  std::swap(impl_, o.impl_);
  return *this;
}

Dim DimTable::constant(std::int64_t v) { return impl_->from_poly(v == 0 ? Poly{} : Poly{{{}, v}}); }

Dim DimTable::symbol(const std::string& name) {
  if (const auto it = impl_->by_name.find(name); it != impl_->by_name.end()) return {it->second};
  const auto index = static_cast<std::int32_t>(impl_->symbols.size());
  const Dim d = impl_->atom(Op::symbol, {index}, {}, {0, kInf});
  impl_->symbols.push_back(name);
  impl_->by_name.emplace(name, d.id);
  return d;
}

Dim DimTable::fresh(const std::string& hint) {
  std::string name = hint;
  for (int i = 1; impl_->by_name.count(name) != 0; ++i) name = fmt::format("{}_{}", hint, i);
  return symbol(name);
}

Dim DimTable::add(Dim a, Dim b) { return impl_->add(a, b); }
Dim DimTable::sub(Dim a, Dim b) { return impl_->sub(a, b); }
Dim DimTable::mul(Dim a, Dim b) { return impl_->mul(a, b); }

Dim DimTable::div(Dim a, Dim b) {
  const auto va = impl_->value(a), vb = impl_->value(b);
  if (va && vb && *vb != 0 && !(*va == INT64_MIN && *vb == -1)) return constant(*va / *vb);
  if (auto q = poly_div(impl_->poly(a), impl_->poly(b))) return impl_->from_poly(std::move(*q));
  // On non-negative operands, truncation is floor; one form for both.
  if (impl_->range(a).lo >= 0 && impl_->range(b).lo >= 0) return floordiv(a, b);
  return impl_->atom(Op::div, a, b, {});
}

Dim DimTable::floordiv(Dim a, Dim b) {
  const auto va = impl_->value(a), vb = impl_->value(b);
  if (va && vb && *vb != 0 && !(*va == INT64_MIN && *vb == -1)) return constant(floor_div(*va, *vb));
  if (auto q = poly_div(impl_->poly(a), impl_->poly(b))) return impl_->from_poly(std::move(*q));
  if (vb && *vb > 1) {  // floor((q*b + r) / b) = q + floor(r / b)
    Poly whole, rest;
    for (const Term& t : impl_->poly(a)) {
      const std::int64_t q = floor_div(t.coefficient, *vb), r = floor_mod(t.coefficient, *vb);
      if (q != 0) whole.push_back({t.atoms, q});
      if (r != 0) rest.push_back({t.atoms, r});
    }
    if (!whole.empty()) {
      return add(impl_->from_poly(std::move(whole)), floordiv(impl_->from_poly(std::move(rest)), b));
    }
  }
  if (vb &&
      *vb > 1) {  // floor((floor(x / c) + k) / b) = floor((x + k*c) / (c*b)): the shapes of stacked strided windows
    const Poly& p = impl_->poly(a);
    const bool shifted = p.size() == 2 && p[1].atoms.empty();
    if ((p.size() == 1 || shifted) && p[0].coefficient == 1 && p[0].atoms.size() == 1) {
      const Entry& inner = impl_->at({p[0].atoms[0]});
      const std::int64_t k = shifted ? p[1].coefficient : 0;
      if (const auto c = inner.op == Op::floordiv ? impl_->value({inner.args[1]}) : std::nullopt;
          c && *c > 0 && *c < kHuge / *vb) {
        const Dim x{inner.args[0]};
        return floordiv(add(x, constant(k * *c)), constant(*c * *vb));
      }
    }
  }
  Poly pa = impl_->poly(a), pb = impl_->poly(b);
  impl_->cancel(&pa, &pb);
  a = impl_->from_poly(std::move(pa));
  b = impl_->from_poly(std::move(pb));
  if (is_constant(b, 1)) return a;
  const Interval ra = impl_->range(a), rb = impl_->range(b);
  Interval r;
  if (ra.lo >= 0 && rb.lo >= 0) {
    r.lo = rb.hi == kInf || rb.hi == 0 ? 0 : ra.lo / rb.hi;
    r.hi = ra.hi == kInf || rb.lo == 0 ? ra.hi : ra.hi / rb.lo;
  }
  return impl_->atom(Op::floordiv, a, b, r);
}

Dim DimTable::ceildiv(Dim a, Dim b) {
  if (impl_->range(b).lo >= 1) return floordiv(sub(add(a, b), constant(1)), b);
  return sub(constant(0), floordiv(sub(constant(0), a), b));
}

Dim DimTable::mod(Dim a, Dim b) {
  const auto va = impl_->value(a), vb = impl_->value(b);
  if (va && vb && *vb != 0) return constant(*vb == -1 ? 0 : floor_mod(*va, *vb));
  if (poly_div(impl_->poly(a), impl_->poly(b))) return constant(0);
  if (vb && *vb > 1) {
    Poly rest;
    for (const Term& t : impl_->poly(a)) {
      const std::int64_t r = floor_mod(t.coefficient, *vb);
      if (r != 0) rest.push_back({t.atoms, r});
    }
    a = impl_->from_poly(std::move(rest));
    if (const auto v = impl_->value(a)) return constant(floor_mod(*v, *vb));
  }
  const Interval rb = impl_->range(b);
  Interval r;
  if (rb.lo >= 1) r = {0, rb.hi == kInf ? kInf : rb.hi - 1};
  if (rb.lo >= 1 && impl_->range(a).lo >= 0 && impl_->range(a).hi < rb.lo) return a;
  return impl_->atom(Op::mod, a, b, r);
}

// Constants are compared as they are: their difference may be more than an i64 holds, and a number near 2^63 is only
// that beside an extent.
Dim DimTable::max(Dim a, Dim b) {
  if (const auto va = impl_->value(a), vb = impl_->value(b); va && vb) return *va >= *vb ? a : b;
  const Interval d = impl_->difference(a, b);
  if (d.lo >= 0 || impl_->range(b).hi <= -kHuge) return a;
  if (d.hi <= 0 || impl_->range(a).hi <= -kHuge) return b;
  if (impl_->is_arg(a, Op::max, b) || impl_->is_arg(b, Op::min, a)) return b;
  if (impl_->is_arg(b, Op::max, a) || impl_->is_arg(a, Op::min, b)) return a;
  if (b.id < a.id) std::swap(a, b);
  const Interval ra = impl_->range(a), rb = impl_->range(b);
  return impl_->atom(Op::max, a, b, {std::max(ra.lo, rb.lo), std::max(ra.hi, rb.hi)});
}

Dim DimTable::min(Dim a, Dim b) {
  if (const auto va = impl_->value(a), vb = impl_->value(b); va && vb) return *va <= *vb ? a : b;
  const Interval d = impl_->difference(a, b);
  if (d.hi <= 0 || impl_->range(b).lo >= kHuge) return a;
  if (d.lo >= 0 || impl_->range(a).lo >= kHuge) return b;
  if (impl_->is_arg(a, Op::min, b) || impl_->is_arg(b, Op::max, a)) return b;
  if (impl_->is_arg(b, Op::min, a) || impl_->is_arg(a, Op::max, b)) return a;
  if (b.id < a.id) std::swap(a, b);
  const Interval ra = impl_->range(a), rb = impl_->range(b);
  return impl_->atom(Op::min, a, b, {std::min(ra.lo, rb.lo), std::min(ra.hi, rb.hi)});
}

Dim DimTable::broadcast(Dim a, Dim b) {
  if (a == b || is_constant(b, 1)) return a;
  if (is_constant(a, 1)) return b;
  // An extent that cannot be 1 must be that of the other operand, or the other one is 1. A constant 0 stays.
  const auto va = impl_->value(a), vb = impl_->value(b);
  if (va && vb)
    return impl_->atom(Op::broadcast, std::min(a, b, [](Dim x, Dim y) { return x.id < y.id; }),
                       std::max(a, b, [](Dim x, Dim y) { return x.id < y.id; }), {});
  if (va || at_least(a, 2)) return a;
  if (vb || at_least(b, 2)) return b;
  if (impl_->is_arg(a, Op::broadcast, b)) return b;
  if (impl_->is_arg(b, Op::broadcast, a)) return a;
  if (impl_->is_cut(b, a)) return a;
  if (impl_->is_cut(a, b)) return b;
  if (b.id < a.id) std::swap(a, b);
  const Interval ra = impl_->range(a), rb = impl_->range(b);
  return impl_->atom(Op::broadcast, a, b, {std::min(ra.lo, rb.lo), std::max(ra.hi, rb.hi)});
}

Dim DimTable::select_eq(Dim a, Dim b, Dim then, Dim otherwise) {
  if (then == otherwise || a == b) return then;
  if (impl_->value(a) && impl_->value(b)) return otherwise;
  const Interval d = impl_->difference(a, b);
  if (d.lo > 0 || d.hi < 0) return otherwise;
  // A test of a test with constant results, as Where(Equal(...)) gives it, is the inner test.
  const Entry& e = impl_->at(a);
  const auto k = impl_->value(b);
  if (k && (e.op == Op::select_eq || e.op == Op::select_lt)) {
    const auto c1 = impl_->value({e.args[2]}), c2 = impl_->value({e.args[3]});
    const Dim x{e.args[0]}, y{e.args[1]};
    const bool equal = e.op == Op::select_eq;
    if (c1 && c2 && (*c1 == *k) != (*c2 == *k)) {
      const Dim yes = *c1 == *k ? then : otherwise, no = *c1 == *k ? otherwise : then;
      return equal ? select_eq(x, y, yes, no) : select_lt(x, y, yes, no);
    }
  }
  const Interval rt = impl_->range(then), ro = impl_->range(otherwise);
  return impl_->atom(Op::select_eq, a, b, {std::min(rt.lo, ro.lo), std::max(rt.hi, ro.hi)}, then, otherwise);
}

Dim DimTable::select_lt(Dim a, Dim b, Dim then, Dim otherwise) {
  if (const auto va = impl_->value(a), vb = impl_->value(b); va && vb) return *va < *vb ? then : otherwise;
  const Interval d = impl_->difference(a, b);
  if (then == otherwise || d.hi < 0) return then;
  if (d.lo >= 0) return otherwise;
  const Interval rt = impl_->range(then), ro = impl_->range(otherwise);
  return impl_->atom(Op::select_lt, a, b, {std::min(rt.lo, ro.lo), std::max(rt.hi, ro.hi)}, then, otherwise);
}

std::optional<std::int64_t> DimTable::constant_value(Dim d) const { return impl_->value(d); }
bool DimTable::is_constant(Dim d, std::int64_t v) const { return impl_->value(d) == v; }
bool DimTable::at_least(Dim d, std::int64_t v) const { return impl_->range(d).lo >= v; }

bool DimTable::may_stretch(Dim d, Dim to) const {
  if (d == to || impl_->is_cut(d, to)) return false;
  const Interval r = impl_->range(d);
  return r.lo <= 1 && r.hi >= 1;
}

// `budget`: how many more parts are spelt out; formulas share parts, so that a short one may have a text without end.
std::string DimTable::Impl::print(Dim d, int* budget) const {
  if (--*budget < 0) return "...";
  const Entry& e = at(d);
  std::string args[4];  // from left to right: the budget is shared
  for (int i = 0; i < 4 && e.op != Op::symbol; ++i)
    if (e.args[i] >= 0) args[i] = print({e.args[i]}, budget);
  const auto arg = [&](int i) { return args[i]; };
  switch (e.op) {
    case Op::constant: return std::to_string(e.value);
    case Op::symbol: return symbols[static_cast<std::size_t>(e.args[0])];
    case Op::sum: return fmt::format("({} + {})", arg(0), arg(1));
    case Op::difference: return fmt::format("({} - {})", arg(0), arg(1));
    case Op::product: return fmt::format("({})*({})", arg(0), arg(1));
    case Op::div: return fmt::format("div({}, {})", arg(0), arg(1));
    case Op::floordiv: return fmt::format("floordiv({}, {})", arg(0), arg(1));
    case Op::mod: return fmt::format("mod({}, {})", arg(0), arg(1));
    case Op::max: return fmt::format("max({}, {})", arg(0), arg(1));
    case Op::min: return fmt::format("min({}, {})", arg(0), arg(1));
    case Op::broadcast: return fmt::format("broadcast({}, {})", arg(0), arg(1));
    case Op::select_eq: return fmt::format("select({} == {}, {}, {})", arg(0), arg(1), arg(2), arg(3));
    case Op::select_lt: return fmt::format("select({} < {}, {}, {})", arg(0), arg(1), arg(2), arg(3));
    case Op::poly: break;
  }
  std::string s;
  for (const Term& t : e.poly) {
    const bool negative = t.coefficient < 0;
    s += s.empty() ? (negative ? "-" : "") : (negative ? " - " : " + ");
    std::string product;
    for (const std::int32_t a : t.atoms) product += (product.empty() ? "" : "*") + print({a}, budget);
    const std::uint64_t c =
        negative ? 0 - static_cast<std::uint64_t>(t.coefficient) : static_cast<std::uint64_t>(t.coefficient);
    if (c != 1 || product.empty()) product = std::to_string(c) + (product.empty() ? "" : "*") + product;
    s += product;
  }
  return s;
}

std::string DimTable::print(Dim d) const {
  int budget = 256;
  return impl_->print(d, &budget);
}
int DimTable::count() const { return static_cast<int>(impl_->entries.size()); }
int DimTable::symbol_count() const { return static_cast<int>(impl_->symbols.size()); }
int DimTable::symbol_index(Dim d) const {
  const Entry& e = impl_->at(d);
  return e.op == Op::symbol ? e.args[0] : -1;
}
const std::string& DimTable::symbol_name(int index) const { return impl_->symbols.at(static_cast<std::size_t>(index)); }

std::vector<int> DimTable::symbols_of(Dim d) const {
  std::vector<int> found;
  std::vector<std::int32_t> open{d.id};
  std::unordered_set<std::int32_t> seen;
  while (!open.empty()) {
    const std::int32_t at = open.back();
    open.pop_back();
    if (!seen.insert(at).second) continue;
    const Entry& e = impl_->at({at});
    if (e.op == Op::symbol) {
      found.push_back(e.args[0]);
    } else if (e.op == Op::poly) {
      for (const Term& t : e.poly) open.insert(open.end(), t.atoms.begin(), t.atoms.end());
    } else if (e.op != Op::constant) {
      std::copy_if(std::begin(e.args), std::end(e.args), std::back_inserter(open),
                   [](std::int32_t a) { return a >= 0; });
    }
  }
  return found;
}

namespace {

std::int64_t evaluate_poly(const std::int64_t* code, std::int32_t terms, const std::vector<std::int64_t>& v) {
  std::int64_t sum = 0;
  for (std::int32_t t = 0; t < terms; ++t) {
    std::int64_t product = *code++;
    for (std::int64_t n = *code++; n > 0; --n) {
      const std::int64_t x = v[static_cast<std::size_t>(*code++)];
      if (x == DimTable::kUnknown || __builtin_mul_overflow(product, x, &product)) return DimTable::kUnknown;
    }
    if (__builtin_add_overflow(sum, product, &sum)) return DimTable::kUnknown;
  }
  return sum;
}

std::int64_t evaluate_op(Op op, const std::int64_t* a) {
  if (a[0] == DimTable::kUnknown || a[1] == DimTable::kUnknown) return DimTable::kUnknown;
  const bool divides = a[1] != 0 && a[1] != -1;
  std::int64_t r;
  switch (op) {
    case Op::sum: return __builtin_add_overflow(a[0], a[1], &r) ? DimTable::kUnknown : r;
    case Op::difference: return __builtin_sub_overflow(a[0], a[1], &r) ? DimTable::kUnknown : r;
    case Op::product: return __builtin_mul_overflow(a[0], a[1], &r) ? DimTable::kUnknown : r;
    case Op::div: return divides ? a[0] / a[1] : (a[1] == 0 ? DimTable::kUnknown : -a[0]);
    case Op::floordiv: return divides ? floor_div(a[0], a[1]) : (a[1] == 0 ? DimTable::kUnknown : -a[0]);
    case Op::mod: return divides ? floor_mod(a[0], a[1]) : (a[1] == 0 ? DimTable::kUnknown : 0);
    case Op::max: return std::max(a[0], a[1]);
    case Op::min: return std::min(a[0], a[1]);
    case Op::broadcast: return a[0] == a[1] || a[1] == 1 ? a[0] : a[0] == 1 ? a[1] : DimTable::kUnknown;
    case Op::select_eq: return a[0] == a[1] ? a[2] : a[3];
    case Op::select_lt: return a[0] < a[1] ? a[2] : a[3];
    default: return DimTable::kUnknown;
  }
}

}  // namespace

std::int64_t DimTable::Impl::evaluate(std::size_t i, const std::vector<std::int64_t>& given,
                                      const std::vector<std::int64_t>& v) const {
  const Entry& e = entries[i];
  if (e.op == Op::constant) return e.value;
  if (e.op == Op::symbol) {
    const auto s = static_cast<std::size_t>(e.args[0]);
    return s < given.size() && given[s] >= 0 ? given[s] : kUnknown;
  }
  if (e.op == Op::poly) return evaluate_poly(code.data() + e.code, e.terms, v);
  std::int64_t a[4] = {};
  for (int k = 0; k < 4; ++k) a[k] = e.args[k] < 0 ? 0 : v[static_cast<std::size_t>(e.args[k])];
  return evaluate_op(e.op, a);
}

std::vector<std::int64_t> DimTable::evaluate(const std::vector<std::int64_t>& symbols) const {
  std::vector<std::int64_t> v(impl_->entries.size());
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = impl_->evaluate(i, symbols, v);
  return v;
}

void DimTable::evaluate(const std::vector<Dim>& some, const std::vector<std::int64_t>& symbols,
                        std::vector<std::int64_t>& values) const {
  for (const Dim d : some)
    values[static_cast<std::size_t>(d.id)] = impl_->evaluate(static_cast<std::size_t>(d.id), symbols, values);
}

}  // namespace pit::graph
