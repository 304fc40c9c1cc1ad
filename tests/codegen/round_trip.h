// Kernels through their text and back.
#pragma once

#include <gtest/gtest.h>
#include <string>

#include "codegen/encode.h"
#include "codegen/kernel_ir.h"
#include "codegen/parse.h"
#include "codegen/share.h"

namespace pit::codegen::testing {

/// The kernel's text is that of one kernel: this one, byte for byte, up to which equal values are one node.
inline void expect_round_trip(const Kernel& k) {
  const std::string text = print(k);
  Kernel again;
  ASSERT_NO_THROW(again = parse(text)) << text;
  EXPECT_EQ(print(again), text);
  EXPECT_TRUE(encode(again) == encode(shared(k))) << text;
}

}  // namespace pit::codegen::testing
