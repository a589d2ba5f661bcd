// SPDX-License-Identifier: Apache-2.0
// One block of one message in plain C++: the portable backend's kernel, and what dispatch.cpp derives keys
// with.
#pragma once
#include <cstddef>
#include <cstdint>

namespace crypsis::hashing::scalar {

// The chaining value after one more 64-byte block.
void sha256_compress(std::uint32_t state[8], const std::uint8_t block[64]) noexcept;
void sm3_compress(std::uint32_t state[8], const std::uint8_t block[64]) noexcept;

// The first eight output words of BLAKE3's compression function [BLAKE3, 2.2] replace `cv`. The block is
// zero-padded.
void blake3_compress(std::uint32_t cv[8], const std::uint8_t block[64], std::uint32_t n_block_bytes,
                     std::uint64_t counter, std::uint32_t flags) noexcept;

// The 32-byte digest of a message of any length, as eight words, from the key words `key` and mode flags
// [BLAKE3, 2.4, 2.5].
void blake3_message(const std::uint32_t key[8], std::uint32_t flags, const std::uint8_t* data,
                    std::uint64_t n_bytes, std::uint32_t digest[8]) noexcept;

}  // namespace crypsis::hashing::scalar
