#include "expr/evaluator.h"

#include <cmath>
#include <fmt/format.h>
#include <string>
#include <utility>

#include "expr/scalar.h"
#include "pit/error.h"
#include "support/check.h"

namespace pit::expr {
namespace {

// A program that uses numbers where it adapts: the other side's type, else the default of its literals.
DType operand_type(const Program& p, const Expr& a, const Expr& b) {
  if (const auto t = type_of(p, a)) return *t;
  if (const auto t = type_of(p, b)) return *t;
  return DType::f64;  // literals and parameters only
}

}  // namespace

double load_float(const Storage& s, std::int64_t offset) {
  switch (s.dtype) {
    case DType::f32: return static_cast<const float*>(s.data)[offset];
    case DType::f64: return static_cast<const double*>(s.data)[offset];
    case DType::f16: return from_half(static_cast<const std::uint16_t*>(s.data)[offset]);
    default: return static_cast<double>(load_int(s, offset));
  }
}

std::int64_t load_int(const Storage& s, std::int64_t offset) {
  switch (s.dtype) {
    case DType::i64: return static_cast<const std::int64_t*>(s.data)[offset];
    case DType::i32: return static_cast<const std::int32_t*>(s.data)[offset];
    case DType::i8: return static_cast<const std::int8_t*>(s.data)[offset];
    case DType::u8: return static_cast<const std::uint8_t*>(s.data)[offset];
    case DType::b8: return static_cast<const std::uint8_t*>(s.data)[offset] != 0;
    default: PIT_UNREACHABLE("{} read as an integer", name_of(s.dtype));
  }
}

void store_float(const Storage& s, std::int64_t offset, double v) {
  switch (s.dtype) {
    case DType::f32: static_cast<float*>(s.data)[offset] = static_cast<float>(v); return;
    case DType::f64: static_cast<double*>(s.data)[offset] = v; return;
    case DType::f16: static_cast<std::uint16_t*>(s.data)[offset] = to_half(v); return;
    default: PIT_UNREACHABLE("a floating-point value stored as {}", name_of(s.dtype));
  }
}

void store_int(const Storage& s, std::int64_t offset, std::int64_t v) {
  switch (s.dtype) {
    case DType::i64: static_cast<std::int64_t*>(s.data)[offset] = v; return;
    case DType::i32: static_cast<std::int32_t*>(s.data)[offset] = static_cast<std::int32_t>(v); return;
    case DType::i8: static_cast<std::int8_t*>(s.data)[offset] = static_cast<std::int8_t>(v); return;
    case DType::u8: static_cast<std::uint8_t*>(s.data)[offset] = static_cast<std::uint8_t>(v); return;
    case DType::b8: static_cast<std::uint8_t*>(s.data)[offset] = v != 0; return;
    default: PIT_UNREACHABLE("an integer stored as {}", name_of(s.dtype));
  }
}

// ---- Indices
// -----------------------------------------------------------------------------------------------------------

IntFn Compiler::index(const Expr& e) const {
  switch (e->kind) {
    case Kind::literal: return [v = static_cast<std::int64_t>(e->number)](Point) { return v; };
    case Kind::axis: return [a = e->id](Point at) { return at[a]; };
    case Kind::extent: return [n = extents_[static_cast<std::size_t>(e->id)]](Point) { return n; };
    case Kind::param: return integer_literal_or_param(params_[static_cast<std::size_t>(e->id)], DType::i64);
    case Kind::access: return access(e).i;
    case Kind::merge: {
      IntFn merged = index(e->args[0]);
      for (std::size_t k = 1; k < e->args.size(); ++k) {
        const std::int64_t n = extents_[static_cast<std::size_t>(e->args[k]->id)];
        merged = [high = std::move(merged), n, low = e->args[k]->id](Point at) { return high(at) * n + at[low]; };
      }
      return merged;
    }
    case Kind::call: {
      const Fn f = e->fn;
      IntFn a = index(e->args[0]);
      if (e->args.size() == 1) return [f, a](Point at) { return int_function(f, a(at), 0); };
      IntFn b = index(e->args[1]);
      return [f, a, b](Point at) { return int_function(f, a(at), b(at)); };
    }
  }
  PIT_UNREACHABLE("index kind {}", static_cast<int>(e->kind));
}

OffsetFn Compiler::offset(TensorId t, const std::vector<Expr>& indices, std::size_t rank, bool refuse_outside) const {
  struct Linear {
    AxisId axis;
    std::int64_t stride;
  };
  struct Checked {
    IntFn index;
    std::int64_t extent, stride;
    bool from_end;
    std::size_t dim;
  };
  const Storage& s = tensors_[static_cast<std::size_t>(t)];
  std::vector<Linear> linear;
  std::vector<Checked> checked;
  std::int64_t stride = 1;
  for (std::size_t d = rank; d-- > 0; stride *= s.shape[d]) {
    const auto a = bare_axis(indices[d]);
    if (a && extents_[static_cast<std::size_t>(*a)] <= s.shape[d]) {
      linear.push_back({*a, stride});  // always inside
    } else {
      checked.push_back({index(indices[d]), s.shape[d], stride, indices[d]->kind == Kind::access, d});
    }
  }
  auto base = [linear](Point at) {
    std::int64_t offset = 0;
    for (const Linear& l : linear) offset += at[l.axis] * l.stride;
    return offset;
  };
  if (checked.empty()) return base;
  return [base, checked, refuse_outside, t, this](Point at) {
    std::int64_t offset = base(at);
    for (const Checked& c : checked) {
      std::int64_t i = c.index(at);
      if (i < 0 && c.from_end) i += c.extent;
      if (i >= 0 && i < c.extent) {
        offset += i * c.stride;
      } else if (refuse_outside) {
        const std::string& name = p_.tensors[static_cast<std::size_t>(t)].name;
        throw InputError(fmt::format("index {} is outside dimension {} of {}, whose extent is {}, in `{}`", i, c.dim,
                                     name, c.extent, print(p_)),
                         {}, name);
      } else {
        return std::int64_t{-1};
      }
    }
    return offset;
  };
}

// ---- Values
// ------------------------------------------------------------------------------------------------------------

IntFn Compiler::integer_literal_or_param(double v, DType type) const {
  if (type != DType::b8 && v != std::trunc(v)) {
    throw InputError(fmt::format("{} stands where `{}` needs an integer", v, print(p_)));
  }
  return [i = type == DType::b8 ? static_cast<std::int64_t>(v != 0) : wrap(type, float_to_int(DType::i64, v))](Point) {
    return i;
  };
}

Evaluator Compiler::value(const Expr& e, DType type) const {
  switch (e->kind) {
    case Kind::literal:
    case Kind::param: {
      const double v = e->kind == Kind::literal ? e->number : params_[static_cast<std::size_t>(e->id)];
      if (e->is_bool) type = DType::b8;
      if (is_floating(type)) return {type, [r = round_to(type, v)](Point) { return r; }, {}};
      return {type, {}, integer_literal_or_param(v, type)};
    }
    case Kind::axis:
    case Kind::extent: return {DType::i64, {}, index(e)};
    case Kind::access: return access(e);
    case Kind::call: return call(e, type);
    case Kind::merge: break;
  }
  PIT_UNREACHABLE("a merged index as a value");
}

Evaluator Compiler::access(const Expr& e) const {
  const Storage& s = tensors_[static_cast<std::size_t>(e->id)];
  const std::size_t rank = s.shape.size();
  const OffsetFn offset_of = offset(e->id, e->args, rank, !e->has_default);
  PIT_CHECK(s.data != nullptr || element_count(s.shape) == 0, "{} has no data",
            p_.tensors[static_cast<std::size_t>(e->id)].name);
  if (!e->has_default) {
    if (s.dtype == DType::f32) {  // the common case, without a switch
      return {s.dtype,
              [data = static_cast<const float*>(s.data), offset_of](Point at) -> double { return data[offset_of(at)]; },
              {}};
    }
    if (is_floating(s.dtype)) return {s.dtype, [s, offset_of](Point at) { return load_float(s, offset_of(at)); }, {}};
    return {s.dtype, {}, [s, offset_of](Point at) { return load_int(s, offset_of(at)); }};
  }
  const Evaluator outside = value(e->args.back(), s.dtype);
  if (is_floating(s.dtype)) {
    return {s.dtype,
            [s, offset_of, other = outside.f](Point at) {
              const std::int64_t o = offset_of(at);
              return o < 0 ? other(at) : load_float(s, o);
            },
            {}};
  }
  return {s.dtype, {}, [s, offset_of, other = outside.i](Point at) {
            const std::int64_t o = offset_of(at);
            return o < 0 ? other(at) : load_int(s, o);
          }};
}

Evaluator Compiler::cast(const Expr& e) const {
  const DType to = e->to;
  const Evaluator x = value(e->args[0], type_of(p_, e->args[0]).value_or(is_floating(to) ? to : DType::f64));
  if (is_floating(x.dtype)) {
    if (to == DType::f16) return {to, [f = x.f](Point at) { return from_half(to_half(f(at))); }, {}};
    if (is_floating(to)) return {to, [to, f = x.f](Point at) { return round_to(to, f(at)); }, {}};
    if (to == DType::b8) return {to, {}, [f = x.f](Point at) -> std::int64_t { return f(at) != 0; }};
    return {to, {}, [to, f = x.f](Point at) { return float_to_int(to, f(at)); }};
  }
  if (to == DType::f16) return {to, [i = x.i](Point at) { return from_half(to_half(static_cast<double>(i(at)))); }, {}};
  // Straight from i64 to float: by way of double it would be rounded twice.
  if (to == DType::f32) return {to, [i = x.i](Point at) -> double { return static_cast<float>(i(at)); }, {}};
  if (to == DType::f64) return {to, [i = x.i](Point at) { return static_cast<double>(i(at)); }, {}};
  return {to, {}, [to, i = x.i](Point at) { return wrap(to, i(at)); }};
}

// Functions whose result is a bool.
IntFn Compiler::predicate(const Expr& e) const {
  const Fn f = e->fn;
  if (f == Fn::logical_not)
    return [a = value(e->args[0], DType::b8).i](Point at) -> std::int64_t { return a(at) == 0; };
  if (f == Fn::isnan || f == Fn::isinf) {
    const FloatFn a = value(e->args[0], type_of(p_, e->args[0]).value_or(DType::f64)).f;
    if (f == Fn::isnan) return [a](Point at) -> std::int64_t { return std::isnan(a(at)); };
    return [a](Point at) -> std::int64_t { return std::isinf(a(at)); };
  }
  if (f == Fn::logical_and || f == Fn::logical_or || f == Fn::logical_xor) {
    const IntFn a = value(e->args[0], DType::b8).i, b = value(e->args[1], DType::b8).i;
    if (f == Fn::logical_and) return [a, b](Point at) -> std::int64_t { return a(at) != 0 && b(at) != 0; };
    if (f == Fn::logical_or) return [a, b](Point at) -> std::int64_t { return a(at) != 0 || b(at) != 0; };
    return [a, b](Point at) -> std::int64_t { return (a(at) != 0) != (b(at) != 0); };
  }
  const DType t = operand_type(p_, e->args[0], e->args[1]);
  const Evaluator a = value(e->args[0], t), b = value(e->args[1], t);
  if (is_floating(t))
    return [f, x = a.f, y = b.f](Point at) -> std::int64_t { return float_comparison(f, x(at), y(at)); };
  return [f, x = a.i, y = b.i](Point at) -> std::int64_t { return int_comparison(f, x(at), y(at)); };
}

Evaluator Compiler::call(const Expr& e, DType type) const {
  const Fn f = e->fn;
  if (f == Fn::cast) return cast(e);
  const std::optional<DType> own = type_of(p_, e);
  if (own == DType::b8 && f != Fn::select) return {DType::b8, {}, predicate(e)};
  const DType t = own.value_or(type);
  if (f == Fn::select) {
    const IntFn c = value(e->args[0], DType::b8).i;
    const Evaluator a = value(e->args[1], t), b = value(e->args[2], t);
    if (is_floating(t)) return {t, [c, x = a.f, y = b.f](Point at) { return c(at) != 0 ? x(at) : y(at); }, {}};
    return {t, {}, [c, x = a.i, y = b.i](Point at) { return c(at) != 0 ? x(at) : y(at); }};
  }
  const Evaluator a = value(e->args[0], t);
  const Evaluator b = e->args.size() > 1 ? value(e->args[1], t) : Evaluator{};
  if (!is_floating(t)) {
    if (e->args.size() == 1) return {t, {}, [t, f, x = a.i](Point at) { return wrap(t, int_function(f, x(at), 0)); }};
    return {t, {}, [t, f, x = a.i, y = b.i](Point at) { return wrap(t, int_function(f, x(at), y(at))); }};
  }
  if (e->args.size() == 1)
    return {t, [t, f, x = a.f](Point at) { return round_to(t, float_function(f, x(at), 0)); }, {}};
  if (f == Fn::mul && t == DType::f32) {  // the common cases, without a switch
    return {t, [x = a.f, y = b.f](Point at) -> double { return static_cast<float>(x(at) * y(at)); }, {}};
  }
  if (f == Fn::add && t == DType::f32) {
    return {t, [x = a.f, y = b.f](Point at) -> double { return static_cast<float>(x(at) + y(at)); }, {}};
  }
  return {t, [t, f, x = a.f, y = b.f](Point at) { return round_to(t, float_function(f, x(at), y(at))); }, {}};
}

}  // namespace pit::expr
