// The interpreter against LLVM, for both instruction sets: bit for bit, NaNs of any kind being equal.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>

#include "kernels.h"
#include "random_kernel.h"

#include "codegen/codegen.h"
#include "pit/error.h"

namespace pit::codegen {
namespace {

using testing::RandomKernel;

std::vector<CpuTarget> targets() {
  std::vector<CpuTarget> out{cpu_target("native"), cpu_target("haswell")};
  return out;
}

Options options_for(const CpuTarget& target) {
  Options o;
  o.target = target;
  return o;
}

/// Bytes of every kind: ordinary floats, specials, small and large integers.
std::vector<char> input_bytes(std::uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<char> bytes(RandomKernel::kInputBytes);
  static constexpr std::uint32_t specials[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7fffffff, 0x80000000, 0x00000001,
                                               0x7f7fffff, 0xffffffff, 0x4f000000, 0xcf000000, 0x3f800000};
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    std::uint32_t word = static_cast<std::uint32_t>(rng());
    const int kind = static_cast<int>(rng() % 8);
    if (kind == 0) word = specials[rng() % 11];
    if (kind >= 3) {
      const float f = static_cast<float>(static_cast<std::int64_t>(rng() % 4001) - 2000) / 64.0f;
      std::memcpy(&word, &f, 4);
    }
    std::memcpy(&bytes[i], &word, 4);
  }
  return bytes;
}

bool equal_lane(Scalar s, const char* a, const char* b) {
  const auto both_nan = [&]<class T>(T x, T y) {
    std::memcpy(&x, a, sizeof x);
    std::memcpy(&y, b, sizeof y);
    return std::isnan(x) && std::isnan(y);
  };
  if (s == Scalar::f32 && both_nan(0.0f, 0.0f)) return true;
  if (s == Scalar::f64 && both_nan(0.0, 0.0)) return true;
  if (s == Scalar::f16) {
    std::uint16_t x, y;
    std::memcpy(&x, a, 2);
    std::memcpy(&y, b, 2);
    if ((x & 0x7fff) > 0x7c00 && (y & 0x7fff) > 0x7c00) return true;
  }
  return std::memcmp(a, b, static_cast<std::size_t>(bytes_of(s))) == 0;
}

/// Every lane of every output, then all bytes between them.
std::string first_difference(const RandomKernel& k, const std::vector<char>& want, const std::vector<char>& got) {
  std::vector<char> covered(want.size(), 0);
  for (const auto& [offset, type] : k.outputs) {
    const int size = bytes_of(type.scalar);
    for (int l = 0; l < type.lanes; ++l) {
      const std::size_t at = static_cast<std::size_t>(offset + l * size);
      std::memset(&covered[at], 1, static_cast<std::size_t>(size));
      if (!equal_lane(type.scalar, &want[at], &got[at])) {
        std::uint64_t w = 0, g = 0;
        std::memcpy(&w, &want[at], static_cast<std::size_t>(size));
        std::memcpy(&g, &got[at], static_cast<std::size_t>(size));
        char text[160];
        std::snprintf(text, sizeof text, "store at %d (%s), lane %d: interpreter %#llx, LLVM %#llx", offset,
                      to_string(type).c_str(), l, static_cast<unsigned long long>(w),
                      static_cast<unsigned long long>(g));
        return text;
      }
    }
  }
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (covered[i] == 0 && want[i] != got[i]) return "byte " + std::to_string(i) + " outside all stores";
  }
  return {};
}

TEST(Differential, RandomKernels) {
  const char* count = std::getenv("PIT_TEST_KERNELS");
  const char* first = std::getenv("PIT_TEST_SEED");
  const std::uint64_t kernels = count != nullptr ? std::strtoull(count, nullptr, 10) : 150;
  const std::uint64_t from = first != nullptr ? std::strtoull(first, nullptr, 10) : 1;
  for (std::uint64_t seed = from; seed < from + kernels; ++seed) {
    RandomKernel k = testing::RandomKernelMaker(seed).make();
    const std::vector<char> input = input_bytes(seed);
    for (const CpuTarget& target : targets()) {
      const auto code = compile({k.kernel}, options_for(target));
      const KernelFn f = code->function(k.kernel.name);
      for (std::int64_t n : {0, 1, 5}) {
        std::vector<char> in = input, want(RandomKernel::kOutputBytes, 0x55), got = want;
        void* ptrs[] = {in.data(), want.data()};
        const std::int64_t ints[] = {n, static_cast<std::int64_t>(seed * 0x9e3779b97f4a7c15u)};
        interpret(k.kernel, ptrs, ints);
        ptrs[1] = got.data();
        f(ptrs, ints);
        const std::string difference = first_difference(k, want, got);
        ASSERT_EQ(difference, "") << "PIT_TEST_SEED=" << seed << " PIT_TEST_KERNELS=1, target " << target.name
                                  << ", n=" << n << "\n"
                                  << print(k.kernel);
      }
    }
  }
}

/// Every binary operation on every pair of 16 edge values, as scalars and as vectors: what random values seldom hit.
/// ptrs: in (16 values), out.
RandomKernel pairs_kernel(Scalar scalar, int lanes) {
  Builder b("pairs_" + to_string({scalar, lanes}));
  Value in = b.ptr_arg("in"), out = b.ptr_arg("out");
  const Type t{scalar, lanes};
  const int size = bytes_of(scalar);
  RandomKernel k;
  std::vector<Op> ops{Op::add, Op::sub, Op::mul, Op::div, Op::min, Op::max,
                      Op::eq,  Op::ne,  Op::lt,  Op::le,  Op::gt,  Op::ge};
  if (!is_float(scalar)) ops.insert(ops.end(), {Op::rem, Op::bit_and, Op::bit_or, Op::bit_xor});
  int used = 0;
  for (Op op : ops) {
    const Type gives = op >= Op::eq && op <= Op::ge ? Type{Scalar::i1, lanes} : t;
    const int out_size = bytes_of(gives.scalar);
    for (int first = 0; first < 16; first += lanes) {
      b.loop("j", Builder::i(0), Builder::i(16), Builder::i(1), [&](const Value& j) {
        Value y = b.let("y", Builder::load({scalar, 1}, in, Builder::binary(Op::mul, j, Builder::i(size))));
        Value v = Builder::binary(op, b.let("x", Builder::load(t, in, Builder::i(first * size))), y);
        b.store(out,
                Builder::binary(Op::add, Builder::i(used), Builder::binary(Op::mul, j, Builder::i(lanes * out_size))),
                v);
      });
      k.outputs.emplace_back(used, Type{gives.scalar, 16 * lanes});
      used += 16 * lanes * out_size;
    }
  }
  k.kernel = b.finish();
  return k;
}

template <class T>
std::vector<char> bytes_of_values(const std::vector<T>& v) {
  std::vector<char> out(16 * sizeof(T));
  for (std::size_t i = 0; i < 16; ++i) std::memcpy(&out[i * sizeof(T)], &v[i % v.size()], sizeof(T));
  return out;
}

template <class T>
std::vector<char> edge_floats() {
  using L = std::numeric_limits<T>;
  return bytes_of_values<T>({T(0), T(-0.0), T(1), T(-1), L::infinity(), -L::infinity(), L::quiet_NaN(), -L::quiet_NaN(),
                             L::denorm_min(), -L::denorm_min(), L::min(), L::max(), L::lowest(), T(0.1), T(3),
                             T(-2.5)});
}

template <class T>
std::vector<char> edge_integers() {
  using L = std::numeric_limits<T>;
  return bytes_of_values<T>(
      {T(0), T(1), T(-1), L::min(), L::max(), T(L::min() + 1), T(2), T(-2), T(7), T(-7), T(100), T(55)});
}

/// Numbers around the bounds of each integer type, which conversions truncate and saturate to.
template <class T>
std::vector<char> bounds_of_integers() {
  std::vector<T> v;
  for (const double bound : {127.0, 255.0, 32767.0, 2147483647.0, 9223372036854775807.0})
    for (const double x : {bound, bound + 1, -bound, -bound - 1, -bound - 2, bound - 0.5, bound + 0.5, -bound - 1.5})
      v.push_back(static_cast<T>(x));
  for (const double x : {0.0, -0.0, 0.5, -0.5, -0.99, 1e30, -1e30}) v.push_back(static_cast<T>(x));
  using L = std::numeric_limits<T>;
  v.insert(v.end(), {L::infinity(), -L::infinity(), L::quiet_NaN(), -L::quiet_NaN(), L::max(), L::lowest()});
  while (v.size() % 16 != 0) v.push_back(T(2.5));
  std::vector<char> bytes(v.size() * sizeof(T));
  std::memcpy(bytes.data(), v.data(), bytes.size());
  return bytes;
}

TEST(Differential, ConversionsToIntegersSaturate) {
  for (auto [scalar, in] :
       {std::pair{Scalar::f32, bounds_of_integers<float>()}, std::pair{Scalar::f64, bounds_of_integers<double>()}}) {
    const int size = bytes_of(scalar), count = static_cast<int>(in.size()) / size;
    for (const Scalar to : {Scalar::i8, Scalar::u8, Scalar::i32, Scalar::i64, Scalar::i1})
      for (const int lanes : {1, 4, 8, 16}) {
        Builder b("converted_" + to_string({scalar, lanes}) + "_" + to_string({to, lanes}));
        Value from = b.ptr_arg("in"), out = b.ptr_arg("out");
        for (int i = 0; i < count; i += lanes) {
          Value v = Builder::load({scalar, lanes}, from, Builder::i(i * size));
          b.store(out, Builder::i(i * bytes_of(to)), Builder::convert(v, to));
        }
        const Kernel k = b.finish();
        std::vector<char> want(static_cast<std::size_t>(count) * 8, 0x55);
        void* ptrs[] = {in.data(), want.data()};
        interpret(k, ptrs, nullptr);
        for (const CpuTarget& target : targets()) {
          std::vector<char> got(want.size(), 0x55);
          ptrs[1] = got.data();
          compile({k}, options_for(target))->function(k.name)(ptrs, nullptr);
          EXPECT_EQ(want, got) << k.name << " on " << target.name;
        }
      }
  }
}

TEST(Differential, EdgeValues) {
  const std::vector<std::pair<Scalar, std::vector<char>>> inputs{
      {Scalar::f32, edge_floats<float>()},          {Scalar::f64, edge_floats<double>()},
      {Scalar::i64, edge_integers<std::int64_t>()}, {Scalar::i32, edge_integers<std::int32_t>()},
      {Scalar::i8, edge_integers<std::int8_t>()},   {Scalar::u8, edge_integers<std::uint8_t>()}};
  for (auto [scalar, in] : inputs) {
    for (int lanes : {1, 8, 16}) {
      const RandomKernel k = pairs_kernel(scalar, lanes);
      std::vector<char> want(1 << 16, 0x55);
      void* ptrs[] = {in.data(), want.data()};
      interpret(k.kernel, ptrs, nullptr);
      for (const CpuTarget& target : targets()) {
        std::vector<char> got(want.size(), 0x55);
        ptrs[1] = got.data();
        compile({k.kernel}, options_for(target))->function(k.kernel.name)(ptrs, nullptr);
        EXPECT_EQ(first_difference(k, want, got), "") << k.kernel.name << " on " << target.name;
      }
    }
  }
}

TEST(Differential, MatmulTiles) {
  for (const CpuTarget& target : targets()) {
    const int lanes = target.lanes(4), rows = lanes == 16 ? 8 : 6, vectors = lanes == 16 ? 3 : 2;
    const std::vector<Kernel> set = testing::tile_set(rows, vectors, lanes);
    const auto code = compile(set, options_for(target));
    const std::int64_t kk = 37;
    std::mt19937_64 rng(7);
    std::vector<float> a(8 * kk), b(3 * 16 * kk);
    for (auto* v : {&a, &b}) {
      for (float& x : *v) x = static_cast<float>(static_cast<int>(rng() % 2001) - 1000) / 77.0f;
    }
    std::vector<std::int32_t> offsets;
    for (std::int64_t k : {int64_t{0}, int64_t{1}, kk}) {
      for (const Kernel& kernel : set) {
        std::vector<float> want(8 * 48, -1), got = want;
        int r = 0, v = 0;
        std::sscanf(kernel.name.c_str(), "tile_%dx%d", &r, &v);
        const int width = v * lanes;
        offsets.clear();
        for (std::int64_t i = 0; i < kk; ++i) offsets.push_back(static_cast<std::int32_t>((i * 5) % kk * width * 4));
        const std::int64_t ints[] = {k, 48 * 4};
        void* ptrs[] = {a.data(), b.data(), want.data(), offsets.data()};
        interpret(kernel, ptrs, ints);
        ptrs[2] = got.data();
        code->function(kernel.name)(ptrs, ints);
        ASSERT_EQ(std::memcmp(want.data(), got.data(), want.size() * 4), 0)
            << kernel.name << " k=" << k << " on " << target.name;
      }
    }
  }
}

TEST(Differential, NoSpillsInTiles) {
  for (const CpuTarget& target : targets()) {
    const int lanes = target.lanes(4), rows = lanes == 16 ? 8 : 6, vectors = lanes == 16 ? 3 : 2;
    for (bool indexed : {false, true}) {
      const std::string text = assembly({testing::matmul_tile(rows, vectors, lanes, indexed)}, target);
      EXPECT_EQ(text.find("(%rsp)"), std::string::npos) << text;
      EXPECT_NE(text.find("vfmadd231ps"), std::string::npos);
      EXPECT_EQ(text.find("call"), std::string::npos);
    }
  }
}

TEST(Differential, MinMaxTakeThreeInstructions) {
  const CpuTarget target = cpu_target("haswell");
  Builder b("max");
  Value x = b.ptr_arg("x"), y = b.ptr_arg("y");
  const Type vec{Scalar::f32, 8};
  b.store(y, Builder::i(0),
          Builder::binary(Op::max, Builder::load(vec, x, Builder::i(0)), Builder::load(vec, y, Builder::i(0))));
  const std::string text = assembly({b.finish()}, target);
  int vector_instructions = 0;
  for (std::size_t at = text.find("\tv"); at != std::string::npos; at = text.find("\tv", at + 1)) ++vector_instructions;
  EXPECT_LE(vector_instructions, 7) << text;  // loads, max, compare, blend, store, vzeroupper
}

/// Which accesses may overlap is what noalias says: without it, a store between two loads must be seen.
TEST(Differential, AliasingPointersAreRespected) {
  Builder b("alias");
  Value x = b.ptr_arg("x"), y = b.ptr_arg("y"), z = b.ptr_arg("z", true);
  const Type t{Scalar::i32, 1};
  Value first = b.let("first", Builder::load(t, x, Builder::i(0)));
  b.store(y, Builder::i(0), Builder::i(42, t));
  Value second = b.let("second", Builder::load(t, x, Builder::i(0)));
  b.store(z, Builder::i(0), first);
  b.store(z, Builder::i(4), second);
  const Kernel k = b.finish();
  const auto code = compile({k}, options_for(cpu_target("native")));
  std::int32_t cell = 7, out[2] = {};
  void* ptrs[] = {&cell, &cell, out};
  code->function("alias")(ptrs, nullptr);
  EXPECT_EQ(out[0], 7);
  EXPECT_EQ(out[1], 42);
}

TEST(Differential, PointerTables) {
  Builder b("rows");
  Value table = b.ptr_arg("table"), out = b.ptr_arg("out", true), n = b.int_arg("n");
  b.loop("i", Builder::i(0), n, Builder::i(1), [&](const Value& i) {
    Value row = b.let("row", Builder::load({Scalar::ptr, 1}, table, Builder::binary(Op::mul, i, Builder::i(8))));
    b.store(out, Builder::binary(Op::mul, i, Builder::i(4)), Builder::load({Scalar::f32, 1}, row, Builder::i(4)));
    b.prefetch(row, Builder::i(64));
  });
  const Kernel k = b.finish();
  float rows[3][2] = {{1, 2}, {3, 4}, {5, 6}}, want[3] = {}, got[3] = {};
  void* pointers[] = {rows[2], rows[0], rows[1]};
  void* ptrs[] = {pointers, want};
  const std::int64_t ints[] = {3};
  interpret(k, ptrs, ints);
  ptrs[1] = got;
  compile({k}, options_for(cpu_target("native")))->function("rows")(ptrs, ints);
  EXPECT_EQ(want[0], 6.0f);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(want[i], got[i]);
}

}  // namespace
}  // namespace pit::codegen
