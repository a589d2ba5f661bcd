// SPDX-License-Identifier: Apache-2.0
// Constants of the three functions. `static`: each file has its own copy, none is shared with an ISA file.
#pragma once
#include <cstdint>

namespace crypsis::hashing {

// [FIPS 180-4, 5.3.3 and 4.2.2]: leading fraction bits of square roots of the first 8 primes, cube roots of
// the first 64. BLAKE3 starts from the same eight words [BLAKE3, 2.2].
[[maybe_unused]] static constexpr std::uint32_t kSha256Initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

[[maybe_unused]] alignas(64) static constexpr std::uint32_t kSha256Round[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

// [GB/T 32905-2016, 4.1 and 4.2].
[[maybe_unused]] static constexpr std::uint32_t kSm3Initial[8] = {
    0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e,
};

struct Sm3Constants {
  std::uint32_t t[64];  // T_j rotated left by j mod 32, as every round uses it
};

constexpr Sm3Constants make_sm3_constants() {
  Sm3Constants c{};
  for (unsigned j = 0; j < 64; ++j) {
    const std::uint32_t t = j < 16 ? 0x79cc4519u : 0x7a879d8au;
    const unsigned r = j % 32;
    c.t[j] = r == 0 ? t : (t << r) | (t >> (32 - r));
  }
  return c;
}

[[maybe_unused]] alignas(64) static constexpr Sm3Constants kSm3Round = make_sm3_constants();

// [BLAKE3, table 3].
enum Blake3Flag : std::uint32_t {
  kChunkStart = 1u << 0,
  kChunkEnd = 1u << 1,
  kParent = 1u << 2,
  kRoot = 1u << 3,
  kKeyedHash = 1u << 4,
  kDeriveKeyContext = 1u << 5,
  kDeriveKeyMaterial = 1u << 6,
};

inline constexpr std::uint64_t kBlockBytes = 64;
inline constexpr std::uint64_t kBlake3ChunkBytes = 1024;
inline constexpr std::uint64_t kBlake3ChunkBlocks = kBlake3ChunkBytes / kBlockBytes;

// Which message word round r feeds to slot i: the permutation of [BLAKE3, table 2] applied r times to 0..15.
struct Blake3Schedule {
  std::uint8_t word[7][16];
};

constexpr Blake3Schedule make_blake3_schedule() {
  constexpr std::uint8_t permutation[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
  Blake3Schedule s{};
  for (std::uint8_t i = 0; i < 16; ++i) s.word[0][i] = i;
  for (int r = 1; r < 7; ++r) {
    for (int i = 0; i < 16; ++i) s.word[r][i] = s.word[r - 1][permutation[i]];
  }
  return s;
}

[[maybe_unused]] static constexpr Blake3Schedule kBlake3Schedule = make_blake3_schedule();

}  // namespace crypsis::hashing
