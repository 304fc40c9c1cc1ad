// Fills memory with what nobody could take for a result.
#pragma once

#include <cstdint>

#include "pit/poison.h"
#include "pit/tensor.h"

namespace pit {

/// `count` elements from `data` on; nothing with Poison::none.
void fill_poison(void* data, DType dtype, std::int64_t count, Poison poison);

}  // namespace pit
