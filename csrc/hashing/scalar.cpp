// SPDX-License-Identifier: Apache-2.0
#include "hashing/scalar.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "hashing/constants.h"

namespace crypsis::hashing::scalar {
namespace {

using std::rotl;
using std::rotr;
using Word = std::uint32_t;

Word load_be(const std::uint8_t* p) noexcept {
  return (Word{p[0]} << 24) | (Word{p[1]} << 16) | (Word{p[2]} << 8) | Word{p[3]};
}

Word load_le(const std::uint8_t* p) noexcept {
  return (Word{p[3]} << 24) | (Word{p[2]} << 16) | (Word{p[1]} << 8) | Word{p[0]};
}

Word p0(Word x) noexcept {
  return x ^ rotl(x, 9) ^ rotl(x, 17);
}
Word p1(Word x) noexcept {
  return x ^ rotl(x, 15) ^ rotl(x, 23);
}

void mix(Word v[16], int a, int b, int c, int d, Word x, Word y) noexcept {
  v[a] += v[b] + x;
  v[d] = rotr(v[d] ^ v[a], 16);
  v[c] += v[d];
  v[b] = rotr(v[b] ^ v[c], 12);
  v[a] += v[b] + y;
  v[d] = rotr(v[d] ^ v[a], 8);
  v[c] += v[d];
  v[b] = rotr(v[b] ^ v[c], 7);
}

// The chaining value of one chunk of 0 to 1024 bytes; `last_flags` go into its last block only.
void blake3_chunk(Word cv[8], const std::uint8_t* data, std::uint64_t n_bytes, std::uint64_t counter,
                  Word flags, Word last_flags) noexcept {
  Word start = kChunkStart;
  while (n_bytes > kBlockBytes) {
    blake3_compress(cv, data, kBlockBytes, counter, flags | start);
    data += kBlockBytes;
    n_bytes -= kBlockBytes;
    start = 0;
  }
  std::uint8_t block[kBlockBytes] = {};
  if (n_bytes != 0) std::memcpy(block, data, n_bytes);
  blake3_compress(cv, block, static_cast<Word>(n_bytes), counter, flags | start | kChunkEnd | last_flags);
}

void blake3_parent(const Word key[8], const Word left[8], const Word right[8], Word flags,
                   Word cv[8]) noexcept {
  std::uint8_t block[kBlockBytes];
  for (int i = 0; i < 16; ++i) {
    const Word word = i < 8 ? left[i] : right[i - 8];
    for (int b = 0; b < 4; ++b) block[4 * i + b] = static_cast<std::uint8_t>(word >> (8 * b));
  }
  std::copy_n(key, 8, cv);
  blake3_compress(cv, block, kBlockBytes, 0, flags | kParent);
}

}  // namespace

void sha256_compress(Word state[8], const std::uint8_t block[64]) noexcept {
  Word w[64];
  for (int i = 0; i < 16; ++i) w[i] = load_be(block + 4 * i);
  for (int i = 16; i < 64; ++i) {
    const Word s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const Word s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  Word a = state[0], b = state[1], c = state[2], d = state[3];
  Word e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; ++i) {
    const Word sum1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
    const Word t1 = h + sum1 + ((e & f) ^ (~e & g)) + kSha256Round[i] + w[i];
    const Word sum0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
    const Word t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const Word out[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state[i] += out[i];
}

void sm3_compress(Word state[8], const std::uint8_t block[64]) noexcept {
  Word w[68];
  for (int i = 0; i < 16; ++i) w[i] = load_be(block + 4 * i);
  for (int i = 16; i < 68; ++i) {
    w[i] = p1(w[i - 16] ^ w[i - 9] ^ rotl(w[i - 3], 15)) ^ rotl(w[i - 13], 7) ^ w[i - 6];
  }
  Word a = state[0], b = state[1], c = state[2], d = state[3];
  Word e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; ++i) {
    const Word a12 = rotl(a, 12);
    const Word ss1 = rotl(a12 + e + kSm3Round.t[i], 7);
    const Word ff = i < 16 ? a ^ b ^ c : (a & b) | (a & c) | (b & c);
    const Word gg = i < 16 ? e ^ f ^ g : (e & f) | (~e & g);
    const Word tt1 = ff + d + (ss1 ^ a12) + (w[i] ^ w[i + 4]);
    const Word tt2 = gg + h + ss1 + w[i];
    d = c;
    c = rotl(b, 9);
    b = a;
    a = tt1;
    h = g;
    g = rotl(f, 19);
    f = e;
    e = p0(tt2);
  }
  const Word out[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state[i] ^= out[i];
}

void blake3_compress(Word cv[8], const std::uint8_t block[64], Word n_block_bytes, std::uint64_t counter,
                     Word flags) noexcept {
  Word m[16];
  for (int i = 0; i < 16; ++i) m[i] = load_le(block + 4 * i);
  Word v[16];
  std::copy_n(cv, 8, v);
  std::copy_n(kSha256Initial, 4, v + 8);
  v[12] = static_cast<Word>(counter);
  v[13] = static_cast<Word>(counter >> 32);
  v[14] = n_block_bytes;
  v[15] = flags;
  for (const auto& s : kBlake3Schedule.word) {
    for (int i = 0; i < 4; ++i) mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
    for (int i = 0; i < 4; ++i) {
      mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
    }
  }
  for (int i = 0; i < 8; ++i) cv[i] = v[i] ^ v[i + 8];
}

void blake3_message(const Word key[8], Word flags, const std::uint8_t* data, std::uint64_t n_bytes,
                    Word digest[8]) noexcept {
  // Chaining values of complete subtrees on the way to the root, one for each set bit of the number of chunks
  // absorbed; 2^54 chunks are 2^64 bytes, so 54 entries are enough.
  Word stack[54][8];
  int depth = 0;
  std::uint64_t counter = 0;
  while (n_bytes > kBlake3ChunkBytes) {
    Word cv[8];
    std::copy_n(key, 8, cv);
    blake3_chunk(cv, data, kBlake3ChunkBytes, counter, flags, 0);
    data += kBlake3ChunkBytes;
    n_bytes -= kBlake3ChunkBytes;
    ++counter;
    for (std::uint64_t merged = counter; (merged & 1) == 0; merged >>= 1) {
      blake3_parent(key, stack[--depth], cv, flags, cv);
    }
    std::copy_n(cv, 8, stack[depth++]);
  }
  std::copy_n(key, 8, digest);
  blake3_chunk(digest, data, n_bytes, counter, flags, depth == 0 ? Word{kRoot} : 0);
  while (depth > 0) {
    --depth;
    blake3_parent(key, stack[depth], digest, flags | (depth == 0 ? Word{kRoot} : 0), digest);
  }
}

}  // namespace crypsis::hashing::scalar
