// Runs a kernel literally: the reference that every backend is compared with. Clarity before speed.
//
// A value is its lanes' bits, each in 64: floats as their own bits, signed integers sign-extended, u8 and i1
// zero-extended.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "codegen/ops.h"
#include "support/check.h"

namespace pit::codegen {
namespace {

using Bits = std::uint64_t;
using Lanes = std::vector<Bits>;

float f32_of(Bits b) { return std::bit_cast<float>(static_cast<std::uint32_t>(b)); }
double f64_of(Bits b) { return std::bit_cast<double>(b); }
Bits bits_of(float v) { return std::bit_cast<std::uint32_t>(v); }
Bits bits_of(double v) { return std::bit_cast<std::uint64_t>(v); }
std::int64_t signed_of(Bits b) { return static_cast<std::int64_t>(b); }

float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000) << 16;
  const int exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (static_cast<std::uint32_t>(mantissa) << 13));
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                        : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  return sign != 0 ? -magnitude : magnitude;
}

std::uint16_t float_to_half(float v) {
  const auto sign = static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(v) >> 16) & 0x8000);
  if (std::isnan(v)) return sign | 0x7e00;
  const float magnitude = std::fabs(v);
  if (magnitude >= 65520.0f) return sign | 0x7c00;  // halfway beyond the largest rounds to infinity
  if (magnitude < 0x1p-14f) return sign | static_cast<std::uint16_t>(std::nearbyint(std::ldexp(magnitude, 24)));
  int exponent = 0;
  const float fraction = std::frexp(magnitude, &exponent);  // in [0.5, 1)
  // 1024..2048; 2048 carries by itself
  const auto mantissa = static_cast<int>(std::nearbyint(std::ldexp(fraction, 11)));
  return sign | static_cast<std::uint16_t>(((exponent + 13) << 10) + mantissa);
}

Bits load_lane(Scalar s, const char* p) {
  const auto get = [p]<class T>(T) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
  };
  switch (s) {
    case Scalar::f64:
    case Scalar::i64:
    case Scalar::ptr: return get(Bits{});
    case Scalar::f32: return get(std::uint32_t{});
    case Scalar::i32: return static_cast<Bits>(static_cast<std::int64_t>(get(std::int32_t{})));
    case Scalar::f16: return get(std::uint16_t{});
    case Scalar::i8: return static_cast<Bits>(static_cast<std::int64_t>(get(std::int8_t{})));
    case Scalar::u8: return get(std::uint8_t{});
    case Scalar::i1: return get(std::uint8_t{}) != 0;
  }
  PIT_UNREACHABLE("load_lane");
}

template <class T>
T float_min_max(Op op, T a, T b) {
  if (std::isnan(a)) return a;
  if (std::isnan(b)) return b;
  return (op == Op::max ? a > b : a < b) ? a : b;
}

template <class T>
Bits float_op(Op op, const T* x) {
  switch (op) {
    case Op::add: return bits_of(static_cast<T>(x[0] + x[1]));
    case Op::sub: return bits_of(static_cast<T>(x[0] - x[1]));
    case Op::mul: return bits_of(static_cast<T>(x[0] * x[1]));
    case Op::div: return bits_of(static_cast<T>(x[0] / x[1]));
    case Op::min:
    case Op::max: return bits_of(float_min_max(op, x[0], x[1]));
    case Op::neg: return bits_of(-x[0]);
    case Op::abs: return bits_of(std::fabs(x[0]));
    case Op::sqrt: return bits_of(std::sqrt(x[0]));
    case Op::floor: return bits_of(std::floor(x[0]));
    case Op::ceil: return bits_of(std::ceil(x[0]));
    case Op::round_even: return bits_of(std::nearbyint(x[0]));
    case Op::fma: return bits_of(std::fma(x[0], x[1], x[2]));
    case Op::eq: return x[0] == x[1];
    case Op::ne: return x[0] != x[1];
    case Op::lt: return x[0] < x[1];
    case Op::le: return x[0] <= x[1];
    case Op::gt: return x[0] > x[1];
    case Op::ge: return x[0] >= x[1];
    default: PIT_UNREACHABLE("{} of floats", name_of(op));
  }
}

Bits integer_divide(Op op, Scalar s, Bits a, Bits b) {
  if (b == 0) return 0;
  if (is_unsigned(s)) return op == Op::div ? a / b : a % b;
  if (signed_of(b) == -1) return op == Op::div ? wrap(s, 0 - a) : 0;  // the lowest integer by -1 wraps to itself
  return wrap(s, static_cast<Bits>(op == Op::div ? signed_of(a) / signed_of(b) : signed_of(a) % signed_of(b)));
}

Bits integer_shift(Op op, Scalar s, Bits a, Bits b) {
  const int width = 8 * bytes_of(s);
  PIT_CHECK(b < static_cast<Bits>(width), "shift of {} by {}", to_string({s, 1}), signed_of(b));
  if (op == Op::shl) return wrap(s, a << b);
  if (op == Op::ashr && !is_unsigned(s)) return wrap(s, static_cast<Bits>(signed_of(a) >> b));
  const Bits mask = width == 64 ? ~Bits{0} : (Bits{1} << width) - 1;
  if (op == Op::ashr) return wrap(s, static_cast<Bits>(static_cast<std::int8_t>(a) >> b));  // u8: its top bit is copied
  return wrap(s, (a & mask) >> b);
}

Bits dot(Bits a, Bits b, Bits c) {
  for (int i = 0; i < 4; ++i) {
    const auto x = static_cast<std::uint8_t>(a >> (8 * i));
    const auto y = static_cast<std::int8_t>(b >> (8 * i));
    c += static_cast<Bits>(std::int64_t{x} * y);
  }
  return wrap(Scalar::i32, c);
}

Bits integer_op(Op op, Scalar s, Bits a, Bits b) {
  // Extended to 64 bits, a comparison of u8 and of signed integers is a signed comparison.
  const std::int64_t x = signed_of(a), y = signed_of(b);
  switch (op) {
    case Op::add: return wrap(s, a + b);
    case Op::sub: return wrap(s, a - b);
    case Op::mul: return wrap(s, a * b);
    case Op::div:
    case Op::rem: return integer_divide(op, s, a, b);
    case Op::min: return x < y ? a : b;
    case Op::max: return x > y ? a : b;
    case Op::neg: return wrap(s, 0 - a);
    case Op::abs: return x < 0 ? wrap(s, 0 - a) : a;
    case Op::bit_and: return a & b;
    case Op::bit_or: return a | b;
    case Op::bit_xor: return a ^ b;
    case Op::shl:
    case Op::lshr:
    case Op::ashr: return integer_shift(op, s, a, b);
    case Op::eq: return x == y;
    case Op::ne: return x != y;
    case Op::lt: return x < y;
    case Op::le: return x <= y;
    case Op::gt: return x > y;
    case Op::ge: return x >= y;
    default: PIT_UNREACHABLE("{} of integers", name_of(op));
  }
}

/// One lane of an element-wise operation on operands of kind `s`.
Bits apply(Op op, Scalar s, Bits a, Bits b = 0, Bits c = 0) {
  if (s == Scalar::f32) {
    const float x[] = {f32_of(a), f32_of(b), f32_of(c)};
    return float_op(op, x);
  }
  if (s == Scalar::f64) {
    const double x[] = {f64_of(a), f64_of(b), f64_of(c)};
    return float_op(op, x);
  }
  if (op == Op::dot) return dot(a, b, c);
  return integer_op(op, s, a, b);
}

Bits saturate(double v, Scalar to) {
  if (std::isnan(v)) return 0;
  v = std::trunc(v);
  if (to == Scalar::i64) {
    if (v >= 0x1p63) return static_cast<Bits>(std::numeric_limits<std::int64_t>::max());
    return v < -0x1p63 ? Bits{1} << 63 : static_cast<Bits>(static_cast<std::int64_t>(v));
  }
  const double lowest = to == Scalar::i32 ? -0x1p31 : to == Scalar::i8 ? -128 : 0;
  const double highest = to == Scalar::i32 ? 0x1p31 - 1 : to == Scalar::i8 ? 127 : 255;
  return static_cast<Bits>(static_cast<std::int64_t>(std::min(std::max(v, lowest), highest)));
}

Bits convert_lane(Scalar from, Scalar to, Bits b) {
  if (from == Scalar::f16) b = bits_of(half_to_float(static_cast<std::uint16_t>(b)));
  if (from == Scalar::f16 || from == Scalar::f32 || from == Scalar::f64) {
    const double v = from == Scalar::f64 ? f64_of(b) : static_cast<double>(f32_of(b));
    switch (to) {
      case Scalar::f64: return bits_of(v);
      case Scalar::f32: return bits_of(static_cast<float>(v));
      case Scalar::f16: return float_to_half(static_cast<float>(v));
      case Scalar::i1: return v != 0;
      default: return saturate(v, to);
    }
  }
  const std::int64_t v = signed_of(b);
  switch (to) {
    case Scalar::f64: return bits_of(static_cast<double>(v));
    case Scalar::f32: return bits_of(static_cast<float>(v));
    case Scalar::i1: return v != 0;
    default: return wrap(to, b);
  }
}

Bits constant_bits(const ValueNode& v) {
  switch (v.type.scalar) {
    case Scalar::f32: return bits_of(static_cast<float>(v.number));
    case Scalar::f64: return bits_of(v.number);
    case Scalar::f16: return float_to_half(static_cast<float>(v.number));
    default: return wrap(v.type.scalar, static_cast<Bits>(v.integer));
  }
}

class Interpreter {
 public:
  Interpreter(const Kernel& k, void* const* ptrs, const std::int64_t* ints)
      : ptrs_(ptrs), ints_(ints), names_(k.names.size()) {
    block(k.body);
  }

 private:
  // --- values ---

  const Lanes& value(const Value& v) {
    if (v->op == Op::name) return names_[static_cast<std::size_t>(v->integer)];
    auto found = done_.find(v.get());
    if (found != done_.end()) return found->second;
    Lanes lanes = evaluate(*v);
    return done_.emplace(v.get(), std::move(lanes)).first->second;  // references into an unordered_map stay valid
  }

  std::int64_t integer(const Value& v) { return signed_of(value(v)[0]); }
  char* pointer(const Value& v) { return reinterpret_cast<char*>(value(v)[0]); }

  Lanes evaluate(const ValueNode& v) {
    const auto lanes = static_cast<std::size_t>(v.type.lanes);
    switch (v.op) {
      case Op::ptr_arg: return {reinterpret_cast<Bits>(ptrs_[v.integer])};
      case Op::int_arg: return {static_cast<Bits>(ints_[v.integer])};
      case Op::constant: return Lanes(lanes, constant_bits(v));
      case Op::splat: return Lanes(lanes, value(v.args[0])[0]);
      case Op::extract: return {value(v.args[0])[static_cast<std::size_t>(v.integer)]};
      case Op::offset: return {static_cast<Bits>(value(v.args[0])[0] + value(v.args[1])[0])};
      case Op::bitcast: return bitcast(v);
      case Op::load:
      case Op::gather: return read(v);
      default: break;
    }
    if (is_reduce(v.op)) return reduce(v);
    Lanes out(lanes);
    for (std::size_t l = 0; l < lanes; ++l) out[l] = lane(v, l);
    return out;
  }

  Bits lane(const ValueNode& v, std::size_t l) {
    const auto arg = [&](int i) { return value(v.args[static_cast<std::size_t>(i)])[l]; };
    switch (v.op) {
      case Op::iota: return wrap(v.type.scalar, l);
      case Op::lane_mask: return static_cast<std::int64_t>(l) < integer(v.args[0]);
      case Op::select: {
        const Lanes& mask = value(v.args[0]);
        return mask[mask.size() == 1 ? 0 : l] != 0 ? arg(1) : arg(2);
      }
      case Op::convert: return convert_lane(v.args[0]->type.scalar, v.type.scalar, arg(0));
      case Op::shuffle: {
        const auto from = static_cast<std::size_t>(v.lanes_map[l]);
        const Lanes& a = value(v.args[0]);
        return from < a.size() ? a[from] : value(v.args[1])[from - a.size()];
      }
      default: break;
    }
    const Scalar s = v.args[0]->type.scalar;
    switch (v.args.size()) {
      case 1: return apply(v.op, s, arg(0));
      case 2: return apply(v.op, s, arg(0), arg(1));
      default: return apply(v.op, s, arg(0), arg(1), arg(2));
    }
  }

  Lanes reduce(const ValueNode& v) {
    Lanes lanes = value(v.args[0]);
    const Op fold = fold_of(v.op);
    while (lanes.size() > 1) {
      const std::size_t half = lanes.size() / 2;
      for (std::size_t l = 0; l < half; ++l) lanes[l] = apply(fold, v.type.scalar, lanes[l], lanes[l + half]);
      lanes.resize(half);
    }
    return lanes;
  }

  Lanes bitcast(const ValueNode& v) {
    const Lanes& from = value(v.args[0]);
    const auto in = static_cast<std::size_t>(bytes_of(v.args[0]->type.scalar));
    const auto out = static_cast<std::size_t>(bytes_of(v.type.scalar));
    std::vector<char> memory(from.size() * in);
    for (std::size_t l = 0; l < from.size(); ++l) std::memcpy(&memory[l * in], &from[l], in);  // little-endian
    Lanes lanes(static_cast<std::size_t>(v.type.lanes));
    for (std::size_t l = 0; l < lanes.size(); ++l) lanes[l] = load_lane(v.type.scalar, &memory[l * out]);
    return lanes;
  }

  Lanes read(const ValueNode& v) {
    const char* base = pointer(v.args[0]);
    const Lanes& bytes = value(v.args[1]);
    Lanes lanes(static_cast<std::size_t>(v.type.lanes));
    for (std::size_t l = 0; l < lanes.size(); ++l) {
      if (v.args.size() > 2 && value(v.args[2])[l] == 0) continue;
      const std::int64_t at = v.op == Op::load
                                  ? signed_of(bytes[0]) + static_cast<std::int64_t>(l) * bytes_of(v.type.scalar)
                                  : signed_of(bytes[l]);
      lanes[l] = load_lane(v.type.scalar, base + at);
    }
    return lanes;
  }

  // --- statements ---

  void write(const Stmt& s) {
    char* base = pointer(s.pointer);
    const Lanes& bytes = value(s.bytes);
    const Lanes& lanes = value(s.value);
    const auto size = static_cast<std::size_t>(bytes_of(s.value->type.scalar));
    for (std::size_t l = 0; l < lanes.size(); ++l) {
      if (s.mask && value(s.mask)[l] == 0) continue;
      const std::int64_t at =
          s.kind == StmtKind::store ? signed_of(bytes[0]) + static_cast<std::int64_t>(l * size) : signed_of(bytes[l]);
      std::memcpy(base + at, &lanes[l], size);  // little-endian: the low bytes
    }
  }

  void loop(const Stmt& s) {
    const std::int64_t begin = integer(s.begin), end = integer(s.end), step = integer(s.step);
    PIT_CHECK(step > 0, "loop step {}", step);
    for (std::int64_t i = begin; i < end; i += step) {
      names_[static_cast<std::size_t>(s.name)] = {static_cast<Bits>(i)};
      block(s.body);
    }
  }

  void block(const std::vector<Stmt>& body) {
    for (const Stmt& s : body) {
      done_.clear();
      switch (s.kind) {
        case StmtKind::let:
        case StmtKind::var:
        case StmtKind::assign: {
          Lanes lanes = value(s.value);
          names_[static_cast<std::size_t>(s.name)] = std::move(lanes);
          break;
        }
        case StmtKind::store:
        case StmtKind::scatter: write(s); break;
        case StmtKind::prefetch: break;
        case StmtKind::loop: loop(s); break;
        case StmtKind::branch: block(integer(s.value) != 0 ? s.body : s.otherwise); break;
      }
    }
  }

  void* const* ptrs_;
  const std::int64_t* ints_;
  std::vector<Lanes> names_;
  std::unordered_map<const ValueNode*, Lanes> done_;  // of the running statement
};

}  // namespace

void interpret(const Kernel& k, void* const* ptrs, const std::int64_t* ints) { Interpreter run(k, ptrs, ints); }

}  // namespace pit::codegen
