// MurmurHash3_x64_128 (Austin Appleby's public-domain algorithm, seed 0), written anew: 128 bits, several GB/s without
// special instructions, known test vectors. Good enough to key caches and to notice corruption; not for security.
#include <cstdint>
#include <cstring>
#include <fmt/format.h>

#include "support/files.h"

namespace pit {
namespace {

constexpr std::uint64_t kC1 = 0x87c37b91114253d5u, kC2 = 0x4cf5ad432745937fu;

std::uint64_t rotl(std::uint64_t x, int r) { return (x << r) | (x >> (64 - r)); }

std::uint64_t finish(std::uint64_t k) {
  k ^= k >> 33;
  k *= 0xff51afd7ed558ccdu;
  k ^= k >> 33;
  k *= 0xc4ceb9fe1a85ec53u;
  return k ^ (k >> 33);
}

std::uint64_t mix1(std::uint64_t k) { return rotl(k * kC1, 31) * kC2; }
std::uint64_t mix2(std::uint64_t k) { return rotl(k * kC2, 33) * kC1; }

}  // namespace

std::string content_hash(std::string_view bytes) {
  std::uint64_t h1 = 0, h2 = 0;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 16; at += 16, left -= 16) {
    std::uint64_t k[2];
    std::memcpy(k, at, 16);  // little-endian, as all targets of ours are
    h1 = (rotl(h1 ^ mix1(k[0]), 27) + h2) * 5 + 0x52dce729;
    h2 = (rotl(h2 ^ mix2(k[1]), 31) + h1) * 5 + 0x38495ab5;
  }
  std::uint64_t tail[2] = {0, 0};
  if (left > 0) std::memcpy(tail, at, left);
  if (left > 8) h2 ^= mix2(tail[1]);
  if (left > 0) h1 ^= mix1(tail[0]);
  h1 ^= bytes.size();
  h2 ^= bytes.size();
  h1 += h2;
  h2 += h1;
  h1 = finish(h1);
  h2 = finish(h2);
  h1 += h2;
  h2 += h1;
  return fmt::format("{:016x}{:016x}", h1, h2);
}

}  // namespace pit
