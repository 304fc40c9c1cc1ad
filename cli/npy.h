// NumPy's .npy files, versions 1 to 3: one array, little-endian.
#pragma once

#include <string>

#include "pit/tensor.h"

namespace pit::cli {

/// The array in `path`, row-major whatever the order in the file. Throws InputError naming the path and `tensor`.
Tensor read_npy(const std::string& path, const std::string& tensor);

/// Writes beside `path` and renames, so that nobody sees half a file. Throws InputError naming the path.
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace pit::cli
