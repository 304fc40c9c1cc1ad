// The interpreter against loops written by hand, and the binding of its arguments. Its semantics: semantics.pit.
#include <chrono>
#include <gtest/gtest.h>

#include "expr/expr.h"
#include "pit/error.h"

namespace pit::expr {
namespace {

Tensor numbers(Shape shape, int seed) {
  Tensor t(DType::f32, std::move(shape));
  for (std::int64_t i = 0; i < t.size(); ++i) t.as<float>()[i] = static_cast<float>((i * 37 + seed * 101) % 23 - 11);
  return t;
}

TEST(Interpreter, Convolution) {
  const Program p = parse("O[n,f,x,y] += I[n,c,x*$s+i-$p, y*$s+j-$p | 0.0] * W[f,c,i,j]");
  const std::int64_t size = 7, stride = 2, pad = 1, out = 4;
  const Tensor image = numbers({2, 3, size, size}, 1), weight = numbers({4, 3, 3, 3}, 2);
  Bindings b;
  b.inputs = {image, weight};
  b.params = {static_cast<double>(stride), static_cast<double>(pad)};
  b.output_shapes = {{2, 4, out, out}};
  b.output_dtypes = {DType::f32};
  const Tensor result = interpret(p, b).at(0);
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t f = 0; f < 4; ++f)
      for (std::int64_t x = 0; x < out; ++x)
        for (std::int64_t y = 0; y < out; ++y) {
          float sum = 0;
          for (std::int64_t c = 0; c < 3; ++c)
            for (std::int64_t i = 0; i < 3; ++i)
              for (std::int64_t j = 0; j < 3; ++j) {
                const std::int64_t u = x * stride + i - pad, v = y * stride + j - pad;
                if (u < 0 || v < 0 || u >= size || v >= size) continue;
                sum += image.as<float>()[((n * 3 + c) * size + u) * size + v] *
                       weight.as<float>()[((f * 3 + c) * 3 + i) * 3 + j];
              }
          EXPECT_EQ(result.as<float>()[((n * 4 + f) * out + x) * out + y], sum);
        }
}

TEST(Interpreter, OutputsComeInTheOrderOfTheTensors) {
  const Program p = parse("a[i] = X[i] + 1.0; b[i] = a[i] * 2.0", {"b", "a"});
  Bindings b;
  b.inputs = {numbers({3}, 0)};
  const auto outputs = interpret(p, b);
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].as<float>()[0], b.inputs[0].as<float>()[0] + 1);
  EXPECT_EQ(outputs[1].as<float>()[2], (b.inputs[0].as<float>()[2] + 1) * 2);
}

TEST(Interpreter, OrderOfVisitsIsThatOfThePermutation) {
  // In f32, 1e8 + 1 - 1e8 depends on the order.
  const Program p = parse("s[] += X[i]");
  Tensor x(DType::f32, {3});
  x.as<float>()[0] = 1e8f;
  x.as<float>()[1] = 1;
  x.as<float>()[2] = -1e8f;
  Bindings b;
  b.inputs = {x};
  EXPECT_EQ(interpret(p, b)[0].as<float>()[0], 0);
  b.permutation[0] = {0, 2, 1};
  EXPECT_EQ(interpret(p, b)[0].as<float>()[0], 1);
  b.permutation[0] = {0, 0, 1};
  EXPECT_THROW(interpret(p, b), InputError);
}

TEST(Interpreter, ArgumentsAreChecked) {
  const Program p = parse("C[m,n] += A[m,k] * B[k,n] * $alpha");
  Bindings b;
  b.inputs = {numbers({2, 3}, 0), numbers({3, 2}, 0)};
  EXPECT_THROW(interpret(p, b), InputError) << "a parameter is missing";
  b.params = {2};
  EXPECT_NO_THROW(interpret(p, b));
  b.output_shapes = {{2, 3}};
  EXPECT_THROW(interpret(p, b), InputError) << "shape";
  b.output_shapes.clear();
  b.output_dtypes = {DType::f64};
  EXPECT_THROW(interpret(p, b), InputError) << "type";
  b.output_dtypes.clear();
  b.inputs.pop_back();
  EXPECT_THROW(interpret(p, b), InputError) << "an input is missing";
  Program declared = p;
  declared.tensors[1].dtype = DType::f64;
  b.inputs.push_back(numbers({3, 2}, 0));
  EXPECT_THROW(interpret(declared, b), InputError) << "the program wants f64";
}

TEST(Interpreter, ShapesBeyondAllNumbersAreRefused) {
  for (const char* text : {"Y[i * 9007199254740992 * 9007199254740992] = X[i]", "Y[(i + $big) + $big] = X[i]",
                           "Y[i - (-$big) * 9] = X[i]", "Y[i + $big * 4] = X[i]", "Y[i + $big, i + $big] = X[i]"}) {
    const Program p = parse(text);
    Bindings b;
    b.inputs = {numbers({3}, 0)};
    for (const double big : {0x1p62, 1e300, -1e300}) {
      b.params.assign(p.params.size(), big);
      EXPECT_THROW(interpret(p, b), InputError) << text << " with " << big;
    }
  }
}

TEST(Interpreter, EmptyTensors) {
  const Program p = parse("C[m,n] += A[m,k] * B[k,n]");
  Bindings b;
  b.inputs = {numbers({0, 3}, 0), numbers({3, 2}, 0)};
  EXPECT_EQ(interpret(p, b)[0].shape(), (Shape{0, 2}));
}

TEST(Interpreter, IsNotAbsurdlySlow) {
  const Program p = parse("C[m,n] += A[m,k] * B[k,n]");
  Bindings b;
  b.inputs = {numbers({100, 100}, 0), numbers({100, 100}, 0)};
  const auto start = std::chrono::steady_clock::now();
  interpret(p, b);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  RecordProperty("ns_per_term", std::to_string(took.count() / 1e6));
  EXPECT_LT(took.count() / 1e6, 2000)
      << "nanoseconds per term (a debug build under a sanitizer on a busy machine included)";
  std::printf("%.1f ns per term\n", took.count() / 1e6);
}

}  // namespace
}  // namespace pit::expr
