// Buffers go back to their pool where there is no memory left, too: in the middle of the exception that says so.
#include "contract/buffers.h"

#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <new>

namespace {
bool no_memory = false;
}

void* operator new(std::size_t bytes) {
  void* p = no_memory ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (!p) throw std::bad_alloc();
  return p;
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace pit::contract {
namespace {

TEST(Buffers, GoBackWithoutMemory) {
  BufferPool pool;
  std::vector<Buffer> buffers;
  for (int i = 0; i < 40; ++i) buffers.push_back(pool.take(64 * (i + 1)));
  std::vector<const char*> before;
  for (const Buffer& b : buffers) before.push_back(b.data());
  no_memory = true;
  buffers.clear();
  no_memory = false;
  EXPECT_NE(std::find(before.begin(), before.end(), pool.take(64).data()), before.end());
}

}  // namespace
}  // namespace pit::contract
