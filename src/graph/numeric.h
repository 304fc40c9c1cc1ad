// Reading and writing single elements of tensors of any dtype. For constants and library routines, not for kernels.
#pragma once

#include <cstdint>

#include "pit/tensor.h"

namespace pit::graph {

float half_to_float(std::uint16_t h);
std::uint16_t float_to_half(float f);  ///< round to nearest even

double read_double(const Tensor& t, std::int64_t i);
std::int64_t read_int(const Tensor& t, std::int64_t i);  ///< floats truncate
void write_double(Tensor& t, std::int64_t i, double v);
void write_int(Tensor& t, std::int64_t i, std::int64_t v);

inline bool is_float(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16; }

}  // namespace pit::graph
