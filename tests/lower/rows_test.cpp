// The corpus: programs as the op set writes them, over shapes that hit every part of the vector loop.
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "lower/row_case.h"

namespace pit::lower::test {
namespace {

const std::vector<std::int64_t> kInner{0, 1, 7, 16, 31, 64, 100, 200};
constexpr float kInf = std::numeric_limits<float>::infinity();

/// Runs a case with inputs [b,r,c] for each inner extent.
void over_shapes(RowCase c, const std::map<std::string, std::string>& dims,
                 const std::vector<std::int64_t>& extents = kInner) {
  unsigned seed = 100;
  for (std::int64_t inner : extents) {
    std::map<char, std::int64_t> extent{{'b', 2}, {'r', 5}, {'c', inner}, {'v', 11}, {'m', 6}, {'1', 1}};
    for (auto& [tensor, letters] : dims) {
      Shape shape;
      for (char l : letters) shape.push_back(extent.at(l));
      c.shapes[tensor] = shape;
    }
    c.extents["c"] = inner;
    for (double live : {1.0, 0.5}) {
      c.seed = seed++;
      c.live = live;
      check(c);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(Rows, AddWithBroadcastOperands) {
  RowCase c;
  c.text = "Y[b,r,c] = X[b,r,c] + B[c] * S[r] - K[]";
  over_shapes(c, {{"X", "brc"}, {"B", "c"}, {"S", "r"}, {"K", ""}});
}

TEST(Rows, Relu) {
  RowCase c;
  c.text = "Y[r,c] = max(X[r,c], 0)";
  over_shapes(c, {{"X", "rc"}});
}

TEST(Rows, GeluWithErf) {
  RowCase c;
  c.text = "Y[r,c] = X[r,c] * 0.5 * (1 + erf(X[r,c] / 1.4142135))";
  over_shapes(c, {{"X", "rc"}});
}

TEST(Rows, GeluWithTanh) {
  RowCase c;
  c.text = "Y[r,c] = 0.5 * X[r,c] * (1 + tanh(0.7978845608 * (X[r,c] + 0.044715 * pow(X[r,c], 3))))";
  over_shapes(c, {{"X", "rc"}});
}

const char* kSoftmax =
    "m[b,r] max= X[b,r,c]; e[b,r,c] = exp(X[b,r,c] - m[b,r]); z[b,r] += e[b,r,c]; Y[b,r,c] = e[b,r,c] / z[b,r]";

TEST(Rows, Softmax) {
  RowCase c;
  c.text = kSoftmax;
  over_shapes(c, {{"X", "brc"}});
}

TEST(Rows, SoftmaxOfNaNAndInfinity) {
  RowCase c;
  c.text = kSoftmax;
  Tensor x(DType::f32, {1, 3, 37});
  for (int i = 0; i < x.size(); ++i) x.as<float>()[i] = static_cast<float>(i % 5);
  x.as<float>()[40] = std::nanf("");
  x.as<float>()[80] = -kInf;
  c.data["X"] = x;
  check(c);
}

TEST(Rows, MaskedSoftmax) {
  RowCase c;
  c.text =
      "s[b,r,c] = X[b,r,c] * 0.125; t[b,r,c] = s[b,r,c] + M[b,c]; m[b,r] max= t[b,r,c]; e[b,r,c] = exp(t[b,r,c] - "
      "m[b,r]);"
      "z[b,r] += e[b,r,c]; Y[b,r,c] = e[b,r,c] / z[b,r]";
  c.absorbing[1] = "M";
  over_shapes(c, {{"X", "brc"}, {"M", "bc"}});
  c.text =
      "t[b,r,c] = select(M[b,r,c], X[b,r,c], -inf); m[b,r] max= t[b,r,c]; e[b,r,c] = exp(t[b,r,c] - m[b,r]);"
      "z[b,r] += e[b,r,c]; Y[b,r,c] = select(isnan(e[b,r,c] / z[b,r]), 0, e[b,r,c] / z[b,r])";
  c.absorbing.clear();
  c.dtypes["M"] = DType::b8;
  over_shapes(c, {{"X", "brc"}, {"M", "brc"}});
}

TEST(Rows, AbsorbingSumIgnoresWhatItAbsorbs) {
  RowCase c;
  c.text = "Y[r,c] = X[r,c] + M[r,c]";
  c.absorbing[0] = "M";
  Tensor x(DType::f32, {1, 20}), m(DType::f32, {1, 20}), undefined(DType::f32, {1, 20});
  for (int i = 0; i < 20; ++i) {
    m.as<float>()[i] = i % 3 == 0 ? -kInf : i % 3 == 1 ? -3.4e38f : 0.5f;
    x.as<float>()[i] = 1;
    undefined.as<float>()[i] = i % 3 == 2 ? 1 : i % 2 ? kInf : std::nanf("");
  }
  c.data = {{"X", x}, {"M", m}};
  c.undefined["X"] = undefined;
  c.live = 1;
  check(c);
}

const char* kLayerNorm =
    "s[b,r] += X[b,r,c]; mean[b,r] = s[b,r] / cast_f32(|c|); d[b,r,c] = X[b,r,c] - mean[b,r]; v[b,r] += d[b,r,c] * "
    "d[b,r,c];"
    "i[b,r] = 1 / sqrt(v[b,r] / cast_f32(|c|) + 0.00001); Y[b,r,c] = d[b,r,c] * i[b,r] * G[c] + B[c]";

TEST(Rows, LayerNorm) {
  RowCase c;
  c.text = kLayerNorm;
  c.absolute = 1e-5;
  over_shapes(c, {{"X", "brc"}, {"G", "c"}, {"B", "c"}});
}

TEST(Rows, LayerNormAfterResidual) {
  RowCase c;
  c.text = std::string("X[b,r,c] = A[b,r,c] + R[b,r,c];") + kLayerNorm;
  c.absolute = 1e-5;
  over_shapes(c, {{"A", "brc"}, {"R", "brc"}, {"G", "c"}, {"B", "c"}});
  c.outputs = {"X", "Y"};
  over_shapes(c, {{"A", "brc"}, {"R", "brc"}, {"G", "c"}, {"B", "c"}});
}

TEST(Rows, RmsNorm) {
  RowCase c;
  c.text = "s[r] += X[r,c] * X[r,c]; i[r] = rsqrt(s[r] / cast_f32(|c|) + $eps); Y[r,c] = X[r,c] * i[r] * G[c]";
  c.params["eps"] = 1e-6;
  over_shapes(c, {{"X", "rc"}, {"G", "c"}});
}

TEST(Rows, L2Norm) {
  RowCase c;
  c.text = "s[r] += X[r,c] * X[r,c]; n[r] = max(sqrt(s[r]), 1e-12); Y[r,c] = X[r,c] / n[r]";
  over_shapes(c, {{"X", "rc"}});
}

TEST(Rows, Embedding) {
  RowCase c;
  c.text = "Y[b,r,c] = T[ids[b,r],c] + P[r,c] + Q[types[b,r],c]";
  c.dtypes = {{"ids", DType::i64}, {"types", DType::i32}};
  c.low = -1, c.high = 1;  // integers -5..4 into 11 rows: negative ones count from the end
  over_shapes(c, {{"T", "vc"}, {"ids", "br"}, {"P", "rc"}, {"Q", "vc"}, {"types", "br"}});
}

TEST(Rows, GatherElements) {
  RowCase c;
  c.text = "Y[r,c] = X[r,I[r,c]] * 2 + Z[I[r,c],r]";
  c.dtypes = {{"I", DType::i64}};
  c.low = -1, c.high = 1;
  over_shapes(c, {{"X", "rv"}, {"I", "rc"}, {"Z", "vr"}});
}

TEST(Rows, GatherOfBytesAndIntegers) {
  RowCase c;
  c.text = "Y[r,c] = X[I[r,c],c]; Z[r,c] = U[I[r,c]]";
  c.outputs = {"Y", "Z"};
  c.dtypes = {{"I", DType::i32}, {"X", DType::b8}, {"Y", DType::b8}, {"U", DType::i64}, {"Z", DType::i64}};
  c.low = -1, c.high = 1;
  over_shapes(c, {{"X", "vc"}, {"I", "rc"}, {"U", "v"}});
}

TEST(Rows, LookupExpressionIsNotFromTheEnd) {
  RowCase c;
  c.text = "Y[r,c] = T[ids[r]+1,c]";
  c.dtypes = {{"ids", DType::u8}};
  c.high = 1;
  over_shapes(c, {{"T", "vc"}, {"ids", "r"}});
}

TEST(Rows, MaskedMean) {
  RowCase c;
  c.text = "S[b,c] += X[b,m,c] * cast_f32(M[b,m]); n[b] += cast_f32(M[b,m]); Y[b,c] = S[b,c] / max(n[b], 1e-9)";
  c.mid = "m";
  c.dtypes = {{"M", DType::i64}};
  over_shapes(c, {{"X", "bmc"}, {"M", "bm"}});
}

TEST(Rows, MidReductions) {
  RowCase c;
  c.mid = "m";
  c.text = "A[b,c] max= X[b,m,c] - U[b,c]; n[b] min= X[b,m,c]; Y[b,c] = A[b,c] + n[b]";
  c.outputs = {"A", "n", "Y"};
  over_shapes(c, {{"X", "bmc"}, {"U", "bc"}});
  c.text =
      "e[b,c] = exp(U[b,c]); A[b,c] += e[b,c] * X[b,m,c]; s[b] += X[b,m,c] * e[b,c]; Y[b,c] = A[b,c] / (1 + s[b] * "
      "s[b])";
  c.outputs = {"Y"};
  over_shapes(c, {{"X", "bmc"}, {"U", "bc"}});
  c.text = "A[b,c] += T[ids[b,m],c]";
  c.outputs = {"A"};
  c.dtypes = {{"ids", DType::i64}};
  c.low = -1, c.high = 1;
  over_shapes(c, {{"T", "vc"}, {"ids", "bm"}});
}

TEST(Rows, ReductionsOfFloats) {
  RowCase c;
  c.text =
      "A[r] += X[r,c]; M[r] = A[r] / cast_f32(|c|); B[r] max= X[r,c]; C[r] min= X[r,c]; P[r] *= X[r,c]; L[r] "
      "logsumexp= X[r,c]";
  c.outputs = {"A", "M", "B", "C", "P", "L"};
  over_shapes(c, {{"X", "rc"}});
}

/// Around the ends of blocks of 16 x 4 vectors, of 8 and of 16 lanes.
TEST(Rows, ReductionsOverSeveralBlocks) {
  RowCase c;
  c.text =
      "S[r] += X[r,c]; D[r,c] = X[r,c] - S[r] / cast_f32(|c|); T[r] += D[r,c] + 1.0; V[r] += D[r,c] * D[r,c]; M[r] "
      "max= X[r,c]; L[r] min= X[r,c]";
  c.outputs = {"S", "D", "T", "V", "M", "L"};
  c.low = 0.5, c.high = 1.5, c.relative = 5e-5;  // the interpreter adds in one chain
  over_shapes(c, {{"X", "rc"}}, {511, 512, 513, 1024, 1031, 1536, 2051, 3000});
  c.text = "N[r] += X[r,c]; A[r] and= X[r,c] < 9; P[r] max= X[r,c]";
  c.outputs = {"N", "A", "P"};
  for (const char* name : {"X", "N", "P"}) c.dtypes[name] = DType::i64;
  c.dtypes["A"] = DType::b8;
  c.low = -5, c.high = 20;
  over_shapes(c, {{"X", "rc"}}, {512, 1031, 2500});
}

TEST(Rows, ReductionsOfIntegersAndBooleans) {
  for (DType t : {DType::i64, DType::i32, DType::i8, DType::u8}) {
    RowCase c;
    c.text =
        "A[r] += X[r,c]; B[r] max= X[r,c]; C[r] min= X[r,c]; P[r] *= X[r,c]; D[r] and= X[r,c] < 9; E[r] or= X[r,c] == "
        "3";
    c.outputs = {"A", "B", "C", "P", "D", "E"};
    for (const char* name : {"X", "A", "B", "C", "P"}) c.dtypes[name] = t;
    c.dtypes["D"] = c.dtypes["E"] = DType::b8;
    over_shapes(c, {{"X", "rc"}});
  }
}

TEST(Rows, MaximumPropagatesNaN) {
  for (int place : {0, 3, 17, 63, 64, 95, 99}) {
    RowCase c;
    c.text = "A[r] max= X[r,c]; B[r] min= X[r,c]; Y[r,c] = max(X[r,c], 0) + min(0, X[r,c])";
    c.outputs = {"A", "B", "Y"};
    Tensor x(DType::f32, {2, 100});
    for (int i = 0; i < 200; ++i) x.as<float>()[i] = static_cast<float>(i);
    x.as<float>()[place] = std::nanf("");
    c.data["X"] = x;
    c.live = 1;
    check(c);
  }
}

TEST(Rows, Casts) {
  const std::vector<DType> types{DType::f32, DType::f64, DType::f16, DType::i64,
                                 DType::i32, DType::i8,  DType::u8,  DType::b8};
  const char* names[] = {"f32", "f64", "f16", "i64", "i32", "i8", "u8", "bool"};
  for (DType from : types)
    for (std::size_t to = 0; to < types.size(); ++to) {
      RowCase c;
      c.text = std::string("Y[r,c] = cast_") + (types[to] == DType::b8 ? "bool" : names[to]) + "(X[r,c])";
      c.dtypes = {{"X", from}, {"Y", types[to]}};
      c.shapes["X"] = {3, 37};
      c.low = -100, c.high = 100;
      if (from == DType::u8 || from == DType::i8) c.low = -20, c.high = 20;
      check(c);
      if (::testing::Test::HasFailure()) return;
    }
}

TEST(Rows, CastsSaturate) {
  for (DType to : {DType::i64, DType::i32, DType::i8, DType::u8, DType::b8}) {
    RowCase c;
    c.text = std::string("Y[r,c] = cast_") + (to == DType::b8 ? "bool" : name_of(to)) + "(X[r,c])";
    c.dtypes["Y"] = to;
    Tensor x(DType::f32, {1, 20});
    const float v[] = {0,     -0.0f,         0.9f,           -0.9f,   1e20f,    -1e20f, kInf,
                       -kInf, std::nanf(""), 127.5f,         128,     -128.9f,  -129,   255.5f,
                       256,   2147483648.0f, -2147483648.0f, 9.3e18f, -9.3e18f, 1e-40f};
    std::copy(std::begin(v), std::end(v), x.as<float>());
    c.data["X"] = x;
    c.live = 1;
    check(c);
  }
}

TEST(Rows, ComparisonsAndLogic) {
  for (DType t : {DType::f32, DType::i64, DType::f64, DType::u8}) {
    RowCase c;
    c.text =
        "A[r,c] = X[r,c] < Y[r,c]; B[r,c] = X[r,c] == Y[c,r] || !(X[r,c] >= 1); C[r,c] = A[r,c] && B[r,c] ^^ X[r,c] != "
        "2;"
        "D[r,c] = select(A[r,c], X[r,c], Y[r,c])";
    c.outputs = {"A", "B", "C", "D"};
    c.dtypes = {{"X", t}, {"Y", t}, {"D", t}, {"A", DType::b8}, {"B", DType::b8}, {"C", DType::b8}};
    c.shapes = {{"X", {37, 37}}, {"Y", {37, 37}}};
    check(c);
  }
}

TEST(Rows, IntegerArithmetic) {
  for (DType t : {DType::i64, DType::i32, DType::i8, DType::u8}) {
    RowCase c;
    c.text =
        "A[r,c] = X[r,c] * Y[r,c] + X[r,c] - 3; B[r,c] = X[r,c] / Y[r,c]; C[r,c] = X[r,c] // Y[r,c]; D[r,c] = "
        "mod(X[r,c], Y[r,c]);"
        "E[r,c] = fmod(X[r,c], Y[r,c]); F[r,c] = pow(X[r,c], Y[r,c]); G[r,c] = min(abs(X[r,c]), sign(Y[r,c])); H[r,c] "
        "= -X[r,c]";
    c.outputs = {"A", "B", "C", "D", "E", "F", "G", "H"};
    for (const char* name : {"X", "Y", "A", "B", "C", "D", "E", "F", "G", "H"}) c.dtypes[name] = t;
    c.shapes = {{"X", {4, 50}}, {"Y", {4, 50}}};
    check(c);
  }
}

TEST(Rows, LowestIntegerByMinusOne) {
  RowCase c;
  c.text = "B[r,c] = X[r,c] / Y[r,c]; C[r,c] = X[r,c] // Y[r,c]; D[r,c] = mod(X[r,c], Y[r,c])";
  c.outputs = {"B", "C", "D"};
  for (const char* name : {"X", "Y", "B", "C", "D"}) c.dtypes[name] = DType::i64;
  Tensor x(DType::i64, {1, 3}), y(DType::i64, {1, 3});
  for (int i = 0; i < 3; ++i) x.as<std::int64_t>()[i] = INT64_MIN, y.as<std::int64_t>()[i] = i - 1;
  c.data = {{"X", x}, {"Y", y}};
  c.live = 1;
  check(c);
}

TEST(Rows, EveryFloatFunction) {
  for (DType t : {DType::f32, DType::f64}) {
    for (const char* fn : {"neg", "abs", "sqrt", "rsqrt", "exp", "log", "erf", "tanh", "sigmoid", "sin", "cos", "floor",
                           "ceil", "round", "sign", "recip"}) {
      RowCase c;
      c.text = std::string("Y[r,c] = ") + fn + "(X[r,c])";
      c.dtypes = {{"X", t}, {"Y", t}};
      c.shapes["X"] = {3, 37};
      c.low = -4, c.high = 4;
      check(c);
    }
    for (const char* fn : {"mod", "fmod", "pow", "min", "max"}) {
      RowCase c;
      c.text = std::string("Y[r,c] = ") + fn + "(X[r,c], Z[r,c])";
      c.dtypes = {{"X", t}, {"Y", t}, {"Z", t}};
      c.shapes = {{"X", {3, 37}}, {"Z", {3, 37}}};
      c.low = std::string(fn) == "pow" ? 0.1 : -4, c.high = 4;
      check(c);
    }
  }
}

TEST(Rows, ExactPowers) {
  for (const char* e : {"0", "1", "2", "3", "0.5", "-0.5", "-1", "-2", "2.5"}) {
    RowCase c;
    c.text = std::string("Y[r,c] = pow(X[r,c], ") + e + ")";
    c.low = 0;
    c.shapes["X"] = {3, 37};
    check(c);
  }
}

TEST(Rows, Rotary) {
  RowCase c;
  c.text =
      "Y[b,r,c] = X[b,r,c+0] * C[r,c] - X[b,r,c+$half] * S[r,c]; Z[b,r,c] = X[b,r,c+$half] * C[r,c] + X[b,r,c+0] * "
      "S[r,c]";
  c.outputs = {"Y", "Z"};
  c.params["half"] = 24;
  c.shapes = {{"X", {2, 5, 48}}, {"C", {5, 24}}, {"S", {5, 24}}};
  check(c);
  c.text = "Y[b,r,c] = X[b,r,2*c] * cos(cast_f32(P[b,r]) * F[c]) - X[b,r,2*c+1] * sin(cast_f32(P[b,r]) * F[c])";
  c.outputs = {"Y"};
  c.dtypes["P"] = DType::i64;
  c.shapes = {{"X", {2, 5, 48}}, {"P", {2, 5}}, {"F", {24}}};
  check(c);
}

TEST(Rows, AxesAsValues) {
  RowCase c;
  c.text = "Y[b,r,c] = select(c <= r + $off && r < |r| - 1, X[b,r,c], cast_f32(b * 100 + r * 10 + c))";
  c.params["off"] = 3;
  over_shapes(c, {{"X", "brc"}});
}

TEST(Rows, ConcatenationWritesTwoPlaces) {
  RowCase c;
  c.text = "Y[r,c] = -X[r,c]; Y[r,c+|c|] = X[r,c]";
  c.output_shapes["Y"] = {5, 40};
  c.shapes["X"] = {5, 20};
  check(c);
}

TEST(Rows, HalfPrecisionStorage) {
  RowCase c;
  c.text = "Y[r,c] = X[r,c] * X[r,c] + 1; s[r] += Y[r,c]; Z[r,c] = Y[r,c] - s[r]";
  c.outputs = {"Y", "Z"};
  for (const char* name : {"X", "Y", "Z", "s"}) c.dtypes[name] = DType::f16;
  c.absolute = 0.3, c.relative = 2e-3;
  over_shapes(c, {{"X", "rc"}});
}

TEST(Rows, WithoutAnInnerAxis) {
  RowCase c;
  c.text = "Y[b,r] = X[b,r] * 2 + Z[b]";
  c.inner = "none";
  c.shapes = {{"X", {3, 9}}, {"Z", {3}}};
  check(c);
}

TEST(Rows, Refusals) {
  CpuTarget target = targets()[0];
  auto why = [&](const char* text, const char* inner, const char* mid, std::map<std::string, Shape> shapes) {
    RowCase c;
    c.text = text;
    c.inner = inner;
    c.mid = mid;
    c.shapes = std::move(shapes);
    c.extents = {{"r", c.shapes["X"][0]}, {"c", 4}};
    return refuse_rows(spec_of(c, target)).value_or("");
  };
  EXPECT_NE(why("Y[r] += X[r,c] * X[r,d]", "c", "", {{"X", {3, 4}}}).find("reduces the outer axis d"),
            std::string::npos);
  EXPECT_NE(why("t[r,m] = X[r,m]; Y[r] += t[r,m]", "c", "m", {{"X", {3, 4}}}).find("per element of the mid axis"),
            std::string::npos);
  EXPECT_NE(why("t[r] += X[r,c]; Y[b,r,c] = X[r,c] * Z[b]", "c", "", {{"X", {3, 4}}, {"Z", {2}}}), "never");
  EXPECT_NE(why("Y[r] = X[r//2]", "c", "", {{"X", {3}}}).find("not affine"), std::string::npos);
  EXPECT_NE(why("Y[r,c] = X[r,c+1 | 0]", "c", "", {{"X", {3, 4}}}), "");
  EXPECT_NE(why("t[r,c] = X[r,c]; Y[r,c] = t[c,r]", "c", "", {{"X", {4, 4}}}).find("elsewhere"), std::string::npos);
  EXPECT_EQ(why("Y[r,c] = X[r,c]", "c", "", {{"X", {3, 4}}}), "");
}

}  // namespace
}  // namespace pit::lower::test
