// SPDX-License-Identifier: Apache-2.0
// Digests of many short messages at once. Checked entry points; the backends behind them are in impl.h.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/dispatch.h"
#include "common/messages.h"

namespace crypsis::hashing {

enum class Algorithm : std::uint8_t { kSha256, kSm3, kBlake3 };  // [FIPS 180-4], [GB/T 32905-2016], [BLAKE3]

// "sha256", "sm3", "blake3"; std::invalid_argument names anything else.
Algorithm parse_algorithm(std::string_view name);

// What is mixed into every message of a call. At most one of the two is not empty.
//   domain, 1 to 62 bytes: SHA-256 and SM3 hash one more 64-byte block before the message: the length of
//   `domain` in a
//     byte, `domain`, zeros; BLAKE3 runs its derive_key mode with `domain` as the context string.
//   key: HMAC [RFC 2104] with 1 to 64 bytes for SHA-256 and SM3; BLAKE3's keyed mode with 32 bytes.
struct Keying {
  std::span<const std::uint8_t> domain;
  std::span<const std::uint8_t> key;
};

inline constexpr std::size_t kDigestBytes = 32;
inline constexpr std::size_t kMaxDomainBytes = 62;

struct Request {
  Algorithm algorithm = Algorithm::kSha256;
  Keying keying;
  std::size_t digest_size = kDigestBytes;  // 16 to 32: the leading bytes of the digest
  std::string_view backend;                // empty: the best one
  int threads = 0;                         // 0: CRYPSIS_NUM_THREADS, else the CPUs of the process
};

// out[i * digest_size, (i + 1) * digest_size) = digest of message i; `out` must not overlap the messages.
// Every part follows the one before in `out`. Running time depends on the lengths only, not on the bytes or
// the key. Throws std::invalid_argument or BackendUnavailable before anything is written.
void digest(const Request& request, std::span<const Messages> parts, std::uint8_t* out);

// For benchmarks: Impl::operations of the backend that digests many messages.
std::size_t measure_operations(Algorithm algorithm, std::string_view backend, std::size_t repeats);

// Rows of `crypsis backends`, three variants.
std::vector<BackendStatus> backends();

}  // namespace crypsis::hashing
