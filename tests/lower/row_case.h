// One program with data, run as a row kernel in every way there is, against the expression interpreter.
//
// A case owns its tensors in storage of any order and pitch, works out each operand's base and strides as a driver
// would, runs the kernel over a subset of rows through the kernel interpreter and through LLVM for each target, and
// compares: rows in the subset with expr::interpret, all other bytes of the outputs with the poison that was there
// before.
#pragma once

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "expr/expr.h"
#include "lower/rows.h"

namespace pit::lower::test {

struct RowCase {
  std::string text;
  std::vector<std::string> outputs;     ///< empty: the last statement's
  std::map<std::string, Shape> shapes;  ///< of inputs
  std::map<std::string, DType> dtypes;  ///< of tensors; default f32
  std::map<std::string, Tensor> data;   ///< of inputs; default random
  /// what the kernel gets instead of an input: same answer expected
  std::map<std::string, Tensor> undefined;
  std::map<std::string, double> params;
  std::map<std::string, std::int64_t> extents;  ///< of axes that never stand bare in an input
  std::map<std::string, Shape> output_shapes;   ///< where they do not follow
  std::string inner = "c", mid;
  std::map<int, std::string> absorbing;  ///< statement -> tensor
  double low = -2, high = 2;             ///< of random data
  double relative = 2e-5, absolute = 2e-6;
  double live = 0.6;              ///< fraction of rows in the subset; 1: all
  bool scattered_storage = true;  ///< odd orders and pitches, so that strided operands occur
  unsigned seed = 1;
};

/// Targets that this machine can run: the host's, and haswell.
std::vector<CpuTarget> targets();

/// Runs the case; adds test failures.
void check(const RowCase& c);

/// The row kernel of a case's program (for looking at it).
RowSpec spec_of(const RowCase& c, const CpuTarget& target);

Tensor random_tensor(DType t, const Shape& shape, std::mt19937& random, double low, double high);

}  // namespace pit::lower::test
