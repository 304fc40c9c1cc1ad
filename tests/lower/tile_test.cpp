// Tiles bit for bit against a scalar chain of fused multiply-adds; packing against plain loops.
#include "lower/tile.h"

#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <random>

#include "codegen/codegen.h"
#include "codegen/round_trip.h"
#include "lower/guarded.h"
#include "lower/row_case.h"

namespace pit::lower::test {
namespace {

constexpr float kPoison = -12345.5f;

template <class T = float>
T uniform(std::mt19937& random) {
  return std::uniform_real_distribution<T>(-1, 1)(random);
}

template <class T>
constexpr DType kType = sizeof(T) == 8 ? DType::f64 : DType::f32;

/// Runs kernels compiled together, through LLVM or the kernel interpreter.
class Kernels {
 public:
  Kernels(std::vector<codegen::Kernel> kernels, const CpuTarget& target) : kernels_(std::move(kernels)) {
    for (const codegen::Kernel& k : kernels_) codegen::testing::expect_round_trip(k);
    codegen::Options o;
    o.target = target;
    code_ = codegen::compile(kernels_, o);
  }
  void call(std::size_t i, bool llvm, std::vector<void*> ptrs, std::vector<std::int64_t> ints) const {
    if (llvm) code_->function(kernels_[i].name)(ptrs.data(), ints.data());
    else codegen::interpret(kernels_[i], ptrs.data(), ints.data());
  }

 private:
  std::vector<codegen::Kernel> kernels_;
  std::shared_ptr<const codegen::Code> code_;
};

template <class T>
struct TileData {
  int rows, width, k;
  std::vector<T> a, b, c;
  std::vector<int> offset;  // bytes
  std::vector<T*> c_rows;
  std::int64_t pitch;

  TileData(int r, int w, int kk, std::mt19937& random) : rows(r), width(w), k(kk), pitch(w + 5) {
    for (int i = 0; i < k * rows; ++i) a.push_back(uniform<T>(random));
    for (int i = 0; i < 2 * k * width + width; ++i) b.push_back(uniform<T>(random));
    for (int i = 0; i < k; ++i)
      offset.push_back(static_cast<int>(random() % (2 * k + 1)) * width * static_cast<int>(sizeof(T)));
    c.assign(static_cast<std::size_t>(rows * pitch), kPoison);
    for (int i = 0; i < rows; ++i) c_rows.push_back(c.data() + ((i + 3) % rows) * pitch);
  }
  T chain(int i, int n, bool indexed) const {
    T acc = 0;
    for (int p = 0; p < k; ++p) {
      const T* row = b.data() + (indexed ? offset[p] / static_cast<int>(sizeof(T)) : p * width);
      acc = std::fma(a[p * rows + i], row[n], acc);
    }
    return acc;
  }
};

template <class T>
void expect_rows(const TileData<T>& d, int columns, bool indexed, const std::string& where) {
  for (int i = 0; i < d.rows; ++i)
    for (int n = 0; n < d.width + 5; ++n) {
      T got = d.c_rows[i][n], want = n < columns ? d.chain(i, n, indexed) : T{kPoison};
      if (n >= columns) {
        ASSERT_EQ(got, kPoison) << where << " wrote beyond its columns at " << n;
      } else if (std::memcmp(&got, &want, sizeof(T)) != 0) {
        ADD_FAILURE() << where << " row " << i << " column " << n << " of " << columns << ": got " << got
                      << ", expected " << want;
        return;
      }
    }
}

template <class T>
void expect_chains() {
  std::mt19937 random(7);
  const Algebra sums{.types = ElementTypes::all(kType<T>)};
  for (const CpuTarget& target : targets()) {
    TileShape shape = tile_shape(target, sums);
    std::vector<TileSpec> specs;
    std::vector<codegen::Kernel> kernels;
    for (int rows = 1; rows <= shape.rows; ++rows)
      for (int vectors = 1; vectors <= shape.vectors; ++vectors)
        for (bool indexed : {false, true}) {
          TileSpec s;
          s.rows = rows, s.vectors = vectors, s.indexed_k = indexed, s.algebra = sums, s.target = target;
          specs.push_back(s);
          kernels.push_back(lower_tile(s));
          if (indexed) continue;
          s.prefetch_bytes = 8192;  // beyond the end of B too, which nobody may notice
          specs.push_back(s);
          kernels.push_back(lower_tile(s));
        }
    Kernels code(kernels, target);
    for (std::size_t t = 0; t < specs.size(); ++t)
      for (int k : {0, 1, 3, 4, 5, 19}) {
        int width = specs[t].vectors * shape.lanes;
        for (int columns : {1, shape.lanes - 1, shape.lanes, width - 1, width}) {
          if (columns < 1 || columns > width) continue;
          bool llvm = random() % 8 != 0;
          TileData<T> d(specs[t].rows, width, k, random);
          int split = k == 0 ? 0 : static_cast<int>(random() % (k + 1));
          std::string where = fmt::format("{} {} rows {} vectors {} k {}+{} {} {}", target.name, name_of(kType<T>),
                                          specs[t].rows, specs[t].vectors, split, k - split,
                                          specs[t].indexed_k ? "indexed" : "", llvm ? "LLVM" : "interpreter");
          std::int64_t step = specs[t].indexed_k ? 0 : static_cast<std::int64_t>(split) * width;
          auto call = [&](int from, int count, bool first, bool last) {
            std::vector<void*> p{d.a.data() + from * d.rows, d.b.data() + (from > 0 ? step : 0)};
            if (specs[t].indexed_k) p.push_back(d.offset.data() + from);
            p.push_back(d.c_rows.data());
            code.call(t, llvm, p, {count, columns, first, last, 1, 0, 0, 0, 0, 0});
          };
          call(0, split, true, split == k);
          if (split < k) call(split, k - split, false, true);
          expect_rows(d, columns, specs[t].indexed_k, where);
          if (testing::Test::HasFailure()) return;
        }
      }
  }
}

TEST(Tile, IsTheChainOfFusedMultiplyAdds) {
  expect_chains<float>();
  expect_chains<double>();
}

Epilogue epilogue_of(const std::string& text, std::vector<EpilogueAccess> access, std::vector<DType> dtypes) {
  Epilogue e;
  e.program = expr::parse(text);
  e.operands = std::move(access);
  e.dtypes = std::move(dtypes);
  return e;
}

struct EpilogueCase {
  std::string name;
  Epilogue epilogue;
  std::function<float(float, int, int)> expected;
  double tolerance = 0;
};

TEST(Tile, Epilogues) {
  using A = EpilogueAccess;
  std::mt19937 random(9);
  std::vector<float> bias(64), scale(16), mask(16 * 64);
  std::vector<std::vector<float>> residual(16, std::vector<float>(64));
  std::vector<std::vector<std::uint8_t>> keep(16, std::vector<std::uint8_t>(64));
  std::vector<std::int64_t> number(64);
  for (float& v : bias) v = uniform(random);
  for (float& v : scale) v = uniform(random);
  for (auto& r : residual)
    for (float& v : r) v = uniform(random);
  for (auto& r : keep)
    for (auto& v : r) v = random() % 2;
  for (auto& v : number) v = static_cast<std::int64_t>(random() % 100) - 50;
  float factor = 0.125f;

  std::vector<EpilogueCase> cases;
  cases.push_back({"bias", epilogue_of("Y[m,n] = acc[m,n] + B[n]", {A::per_n}, {DType::f32}),
                   [&](float v, int, int n) { return v + bias[n]; }});
  cases.push_back({"bias_residual_relu",
                   epilogue_of("t[m,n] = acc[m,n] + B[n]; Y[m,n] = max(R[m,n] + t[m,n], 0)", {A::per_n, A::per_mn},
                               {DType::f32, DType::f32}),
                   [&](float v, int i, int n) {
                     float x = residual[i][n] + (v + bias[n]);
                     return x > 0 ? x : 0.0f;
                   }});
  cases.push_back({"scale_mask",
                   epilogue_of("t[m,n] = acc[m,n] * S[]; Y[m,n] = select(K[m,n], t[m,n], -inf) * D[m]",
                               {A::scalar, A::per_mn, A::per_m}, {DType::f32, DType::b8, DType::f32}),
                   [&](float v, int i, int n) { return (keep[i][n] ? v * factor : -INFINITY) * scale[i]; }});
  cases.push_back({"integers", epilogue_of("Y[m,n] = acc[m,n] + cast_f32(I[n])", {A::per_n}, {DType::i64}),
                   [&](float v, int, int n) { return v + static_cast<float>(number[n]); }});
  cases.push_back({"gelu",
                   epilogue_of("t[m,n] = acc[m,n] + B[n]; Y[m,n] = t[m,n] * 0.5 * (1 + erf(t[m,n] * 0.70710678))",
                               {A::per_n}, {DType::f32}),
                   [&](float v, int, int n) {
                     double t = v + bias[n];
                     return static_cast<float>(t * 0.5 * (1 + std::erf(t * 0.70710678)));
                   },
                   2e-6});
  cases.back().epilogue.absorbing = {-1, -1};
  for (const CpuTarget& target : targets()) {
    TileShape shape = tile_shape(target);
    for (EpilogueCase& c : cases) {
      ASSERT_EQ(refuse_epilogue(c.epilogue).value_or(""), "");
      for (int rows : {1, shape.rows})
        for (int k : {0, 9}) {
          TileSpec s;
          s.rows = rows, s.vectors = shape.vectors, s.target = target, s.epilogue = c.epilogue, s.epilogue_key = c.name;
          Kernels code({lower_tile(s)}, target);
          int width = shape.vectors * shape.lanes;
          for (bool llvm : {true, false})
            for (int columns : {1, width - 1, width}) {
              TileData<float> d(rows, width, k, random);
              std::vector<void*> scale_rows, residual_rows, keep_rows, p{d.a.data(), d.b.data(), d.c_rows.data()};
              for (int i = 0; i < rows; ++i)
                scale_rows.push_back(&scale[i]), residual_rows.push_back(residual[i].data()),
                    keep_rows.push_back(keep[i].data());
              if (c.name == "scale_mask") p.insert(p.end(), {&factor, keep_rows.data(), scale_rows.data()});
              else if (c.name == "integers") p.push_back(number.data());
              else p.push_back(bias.data());
              if (c.name == "bias_residual_relu") p.push_back(residual_rows.data());
              code.call(0, llvm, p, {k, columns, 1, 1, 1, 0, 0, 0, 0, 0});
              for (int i = 0; i < rows; ++i)
                for (int n = 0; n < width; ++n) {
                  float got = d.c_rows[i][n], want = n < columns ? c.expected(d.chain(i, n, false), i, n) : kPoison;
                  bool same =
                      got == want || (std::isnan(got) && std::isnan(want)) || std::fabs(got - want) <= c.tolerance;
                  ASSERT_TRUE(same) << c.name << " " << target.name << (llvm ? " LLVM" : " interpreter") << " row " << i
                                    << " column " << n << ": " << got << " not " << want;
                }
            }
        }
    }
  }
}

TEST(Tile, AbsorbingEpilogueIgnoresUndefinedSums) {
  CpuTarget target = targets()[0];
  TileSpec s;
  s.rows = 1, s.vectors = 1, s.target = target;
  s.epilogue = epilogue_of("Y[m,n] = acc[m,n] + M[n]", {EpilogueAccess::per_n}, {DType::f32});
  s.epilogue.absorbing = {s.epilogue.program.tensor("M")};
  s.epilogue_key = "mask";
  Kernels code({lower_tile(s)}, target);
  float a[1] = {1}, b[8], mask[8], c[8];
  for (int i = 0; i < 8; ++i) b[i] = i % 2 ? NAN : 2.0f, mask[i] = i % 2 ? -3.4e38f : 1.0f;
  float* rows[1] = {c};
  for (bool llvm : {true, false}) {
    code.call(0, llvm, {a, b, rows, mask}, {1, 8, 1, 1, 1, 0, 0, 0, 0, 0});
    for (int i = 0; i < 8; ++i) EXPECT_EQ(c[i], i % 2 ? -3.4e38f : 3.0f);
  }
}

TEST(Tile, EpilogueRefusals) {
  using A = EpilogueAccess;
  EXPECT_NE(refuse_epilogue(epilogue_of("Y[m] += acc[m,n]", {}, {})).value_or("").find("reduction"), std::string::npos);
  EXPECT_NE(refuse_epilogue(epilogue_of("Y[m,n] = acc[m,n] + cast_f32(n)", {}, {})).value_or("").find("axis"),
            std::string::npos);
  EXPECT_NE(refuse_epilogue(epilogue_of("Y[m,n] = acc[m,n] + T[I[n]]", {A::per_n, A::per_n}, {DType::f32, DType::i64}))
                .value_or("")
                .find("lookup"),
            std::string::npos);
  EXPECT_NE(refuse_epilogue(epilogue_of("Y[m,n] = acc[m,n] + B[n]", {A::per_n}, {DType::i64})), std::nullopt);
  EXPECT_EQ(refuse_epilogue(Epilogue{}), std::nullopt);
}

// -- Packing
// -------------------------------------------------------------------------------------------------------------

struct PackCase {
  int width, k, live;
  bool indexed;
};

std::vector<PackCase> pack_cases(const std::vector<int>& widths) {
  std::vector<PackCase> cases;
  for (int width : widths)
    for (int k : {0, 1, 7, 8, 15, 16, 17, 40})
      for (int live : {width, width - 1, 1})
        for (bool indexed : {false, true})
          if (live > 0) cases.push_back({width, k, live, indexed});
  return cases;
}

/// Source rows of 50 elements each; rows beyond `live` have pointers that must not be followed.
template <class T>
struct PackData {
  std::vector<Guarded> guarded;
  std::vector<T*> rows, pointers;
  std::vector<int> index;
  std::vector<T> dst;

  PackData(const PackCase& c, std::mt19937& random, std::int64_t stride) {
    for (int i = 0; i < c.width; ++i) {
      std::size_t count = c.k > 0 ? static_cast<std::size_t>((c.k - 1) * stride + 1) : 0;
      guarded.emplace_back(sizeof(T) * count);
      rows.push_back(reinterpret_cast<T*>(guarded.back().data()));
      for (std::size_t p = 0; p < count; ++p) rows.back()[p] = uniform<T>(random);
      pointers.push_back(i < c.live ? rows.back() : nullptr);
    }
    for (int p = 0; p < c.k; ++p) index.push_back(static_cast<int>(random() % std::max(c.k, 1)));
    dst.assign(static_cast<std::size_t>(c.k * c.width + 8 * c.width), kPoison);
  }
  void expect(const PackCase& c, std::int64_t stride, const std::string& where) const {
    for (int p = 0; p < c.k; ++p)
      for (int i = 0; i < c.width; ++i) {
        T want = i < c.live ? rows[i][(c.indexed ? index[p] : p) * stride] : T{0};
        ASSERT_EQ(dst[p * c.width + i], want)
            << where << " width " << c.width << " k " << p << " of " << c.k << " row " << i << " of " << c.live;
      }
    for (int i = c.width; i < 8 * c.width; ++i)
      ASSERT_EQ(dst[c.k * c.width + i], kPoison) << where << " wrote beyond the slack it needs";
  }
};

template <class T>
void expect_transposes() {
  std::mt19937 random(3);
  const DType type = kType<T>;
  const std::vector<int> widths{1, 2, 3, 4, 5, 6, 8, 12, 14, 16, 32, 48};
  for (const CpuTarget& target : targets())
    for (int width : widths) {
      Kernels code({lower_pack_transpose(width, false, target, type), lower_pack_transpose(width, true, target, type),
                    lower_pack_gather(width, false, target, type), lower_pack_gather(width, true, target, type)},
                   target);
      for (const PackCase& c : pack_cases({width}))
        for (bool gather : {false, true}) {
          std::int64_t stride = gather ? 3 : 1;
          bool llvm = random() % 8 != 0;
          PackData<T> d(c, random, stride);
          std::vector<void*> p{d.dst.data(), d.pointers.data()};
          if (c.indexed) p.push_back(d.index.data());
          std::vector<std::int64_t> ints{c.k, c.live};
          if (gather) ints.push_back(static_cast<std::int64_t>(sizeof(T)) * stride);
          code.call(2 * gather + c.indexed, llvm, p, ints);
          d.expect(c, stride,
                   fmt::format("{} {} {} {}", target.name, name_of(type), gather ? "gather" : "transpose",
                               c.indexed ? "indexed" : ""));
          if (testing::Test::HasFatalFailure()) return;
        }
    }
}

TEST(Pack, TransposeAndGather) {
  expect_transposes<float>();
  expect_transposes<double>();
}

template <class T>
void expect_copies() {
  std::mt19937 random(5);
  const auto size = static_cast<std::int64_t>(sizeof(T));
  for (const CpuTarget& target : targets())
    for (int width : {1, 2, 4, 6, 8, 16, 32, 48}) {
      Kernels code({lower_pack_copy(width, false, target, kType<T>), lower_pack_copy(width, true, target, kType<T>)},
                   target);
      for (const PackCase& c : pack_cases({width})) {
        Guarded memory(static_cast<std::size_t>(size * (c.k > 0 ? (c.k - 1) * 60 + c.live : 0)));
        T* src = reinterpret_cast<T*>(memory.data());
        for (std::size_t i = 0; i < memory.size() / sizeof(T); ++i) src[i] = uniform<T>(random);
        PackData<T> d(c, random, 1);
        std::vector<void*> p{d.dst.data(), src};
        if (c.indexed) p.push_back(d.index.data());
        code.call(c.indexed, random() % 8 != 0, p, {c.k, c.live, size * 60});
        for (int q = 0; q < c.k; ++q)
          for (int i = 0; i < c.width; ++i) {
            T want = i < c.live ? src[(c.indexed ? d.index[q] : q) * 60 + i] : T{0};
            ASSERT_EQ(d.dst[q * c.width + i], want)
                << target.name << " width " << c.width << " k " << q << " column " << i;
          }
        ASSERT_EQ(d.dst[c.k * c.width], kPoison);
      }
    }
}

TEST(Pack, Copy) {
  expect_copies<float>();
  expect_copies<double>();
}

}  // namespace
}  // namespace pit::lower::test
