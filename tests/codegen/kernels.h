// Kernels that several tests build.
#pragma once

#include <string>
#include <vector>

#include "codegen/kernel_ir.h"

namespace pit::codegen::testing {

/// C[rows][vectors*lanes] = sum over k of A packed [k][rows] times B, a panel [k][vectors*lanes] whose rows stand one
/// after the other or, with `indexed`, at b + offsets[k] bytes. ptrs: a, b, c, offsets (i32); ints: k, ldc (bytes).
inline Kernel matmul_tile(int rows, int vectors, int lanes, bool indexed, const std::string& prefix = "tile") {
  using B = Builder;
  B b(prefix + "_" + std::to_string(rows) + "x" + std::to_string(vectors) + "x" + std::to_string(lanes) +
      (indexed ? "_indexed" : ""));
  const Type vec{Scalar::f32, lanes};
  const auto mul = [](Value x, std::int64_t y) { return B::binary(Op::mul, std::move(x), B::i(y)); };
  const auto add = [](Value x, Value y) { return B::binary(Op::add, std::move(x), std::move(y)); };
  Value a = b.ptr_arg("a", true), panel = b.ptr_arg("b", true), c = b.ptr_arg("c", true),
        offsets = b.ptr_arg("offsets", true);
  Value k = b.int_arg("k"), ldc = b.int_arg("ldc");

  std::vector<Value> acc;
  for (int i = 0; i < rows * vectors; ++i) acc.push_back(b.var("acc", B::f(0, vec)));
  b.loop("p", B::i(0), k, B::i(1), [&](const Value& p) {
    Value row =
        indexed ? B::convert(B::load({Scalar::i32, 1}, offsets, mul(p, 4)), Scalar::i64) : mul(p, 4 * lanes * vectors);
    row = b.let("row", row);
    std::vector<Value> bv;
    for (int j = 0; j < vectors; ++j) bv.push_back(b.let("b", B::load(vec, panel, add(row, B::i(4 * lanes * j)))));
    for (int i = 0; i < rows; ++i) {
      Value x = b.let("a", B::splat(B::load({Scalar::f32, 1}, a, add(mul(p, 4 * rows), B::i(4 * i))), lanes));
      for (int j = 0; j < vectors; ++j) {
        const Value& sum = acc[static_cast<std::size_t>(i * vectors + j)];
        b.assign(sum, B::fma(x, bv[static_cast<std::size_t>(j)], sum));
      }
    }
  });
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < vectors; ++j) {
      b.store(c, add(mul(ldc, i), B::i(4 * lanes * j)), acc[static_cast<std::size_t>(i * vectors + j)]);
    }
  }
  return b.finish();
}

/// Every tile with up to `rows` rows and `vectors` vectors, plain and indexed.
inline std::vector<Kernel> tile_set(int rows, int vectors, int lanes) {
  std::vector<Kernel> out;
  for (int r = 1; r <= rows; ++r) {
    for (int v = 1; v <= vectors; ++v) {
      for (bool indexed : {false, true}) out.push_back(matmul_tile(r, v, lanes, indexed));
    }
  }
  return out;
}

}  // namespace pit::codegen::testing
