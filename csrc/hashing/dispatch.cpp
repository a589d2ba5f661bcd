// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>

#include "common/threads.h"
#include "common/wipe.h"
#include "hashing/constants.h"
#include "hashing/impl.h"
#include "hashing/scalar.h"

namespace crypsis::hashing {
namespace {

constexpr std::array<std::string_view, 3> kNames{"sha256", "sm3", "blake3"};
constexpr std::size_t kGrainItems = 1024;  // a thread is worth starting for some tens of microseconds of work
constexpr std::size_t kHmacChunkItems = 512;  // inner digests wait for the outer pass in 16 KiB
constexpr std::size_t kHmacMaxKeyBytes =
    64;  // one block; longer keys would have to be hashed first [RFC 2104, 2]

std::string_view name_of(Algorithm algorithm) {
  return kNames[static_cast<std::size_t>(algorithm)];
}

#if defined(__x86_64__)
constexpr std::array<const Impl*, 4> kManySha256{&avx512, &sha_ni, &avx2, &portable};
constexpr std::array<const Impl*, 4> kFewSha256{&sha_ni, &avx512, &avx2, &portable};
constexpr std::array<const Impl*, 3> kManyOther{&avx512, &avx2, &portable};
#else
constexpr std::array<const Impl*, 1> kManySha256{&portable};
constexpr std::array<const Impl*, 1> kFewSha256{&portable};
constexpr std::array<const Impl*, 1> kManyOther{&portable};
#endif
// Below this many messages the sixteen lanes are so empty that SHA-NI is faster, whatever the length
// (NOTES.md).
constexpr std::size_t kFewItems = 10;

void load_words(const std::uint8_t bytes[32], std::uint32_t words[8]) {
  for (int i = 0; i < 8; ++i) {
    words[i] = 0;
    for (int b = 0; b < 4; ++b) words[i] |= std::uint32_t{bytes[4 * i + b]} << (8 * b);
  }
}

void check_keying(const Request& request) {
  const auto& [domain, key] = request.keying;
  const bool blake3 = request.algorithm == Algorithm::kBlake3;
  if (!domain.empty() && !key.empty()) {
    throw std::invalid_argument("domain and key were both given: use one, or derive the key from the domain");
  }
  if (domain.size() > kMaxDomainBytes) {
    throw std::invalid_argument("domain has " + std::to_string(domain.size()) + " bytes: use 1 to " +
                                std::to_string(kMaxDomainBytes));
  }
  if (blake3 && !key.empty() && key.size() != kDigestBytes) {
    throw std::invalid_argument("key has " + std::to_string(key.size()) + " bytes: blake3 takes exactly 32");
  }
  if (!blake3 && key.size() > kHmacMaxKeyBytes) {
    throw std::invalid_argument("key has " + std::to_string(key.size()) + " bytes: HMAC here takes 1 to " +
                                std::to_string(kHmacMaxKeyBytes) + "; hash a longer key first");
  }
}

// The chaining values that every message of a call starts from; `outer` only for HMAC.
struct Start {
  std::uint32_t initial[8];
  std::uint32_t outer[8];
  std::uint64_t n_prefix_bytes = 0;
  std::uint32_t flags = 0;
  bool hmac = false;
};

void absorb(Algorithm algorithm, std::uint32_t state[8], const std::uint8_t block[64]) {
  const bool sha256 = algorithm == Algorithm::kSha256;
  std::copy_n(sha256 ? kSha256Initial : kSm3Initial, 8, state);
  (sha256 ? scalar::sha256_compress : scalar::sm3_compress)(state, block);
}

void start_blake3(const Keying& keying, Start& start) {
  std::copy_n(kSha256Initial, 8, start.initial);
  if (!keying.key.empty()) {
    load_words(keying.key.data(), start.initial);
    start.flags = kKeyedHash;
  } else if (!keying.domain.empty()) {
    std::uint32_t context_key[8];
    scalar::blake3_message(start.initial, kDeriveKeyContext, keying.domain.data(), keying.domain.size(),
                           context_key);
    std::copy_n(context_key, 8, start.initial);
    start.flags = kDeriveKeyMaterial;
  }
}

void start_message(const Request& request, Start& start) {
  const auto& [domain, key] = request.keying;
  if (request.algorithm == Algorithm::kBlake3) return start_blake3(request.keying, start);
  std::uint8_t block[kBlockBytes] = {};
  const WipeGuard wipe_block(block);
  if (!domain.empty()) {
    block[0] = static_cast<std::uint8_t>(domain.size());
    std::memcpy(block + 1, domain.data(), domain.size());
    absorb(request.algorithm, start.initial, block);
    start.n_prefix_bytes = kBlockBytes;
  } else if (!key.empty()) {
    std::memcpy(block, key.data(), key.size());
    for (auto& byte : block) byte ^= 0x36;
    absorb(request.algorithm, start.initial, block);
    for (auto& byte : block) byte ^= 0x36 ^ 0x5c;
    absorb(request.algorithm, start.outer, block);
    start.n_prefix_bytes = kBlockBytes;
    start.hmac = true;
  } else {
    std::copy_n(request.algorithm == Algorithm::kSha256 ? kSha256Initial : kSm3Initial, 8, start.initial);
  }
}

struct InnerDigests {
  std::uint8_t bytes[kHmacChunkItems * kDigestBytes];
};

// HMAC [RFC 2104]: the inner digests of a chunk are the rows of a second pass.
void digest_hmac(const Impl& impl, const Job& inner, const Job& outer, std::size_t begin, std::size_t end,
                 std::uint8_t* out) {
  InnerDigests digests;
  const WipeGuard wipe(digests);
  for (std::size_t at = begin; at < end; at += kHmacChunkItems) {
    const std::size_t stop = std::min(end, at + kHmacChunkItems);
    impl.digest(inner, at, stop, digests.bytes);
    Job second = outer;
    const WipeGuard wipe_second(second);
    second.messages =
        Messages{digests.bytes, stop - at, Messages::Layout::kRows, kDigestBytes, kDigestBytes, nullptr};
    impl.digest(second, 0, stop - at, out + (at - begin) * outer.digest_size);
  }
}

const Impl& select(Algorithm algorithm, std::string_view backend, std::size_t n_items) {
  return select_backend<Impl>("hashing", name_of(algorithm), compiled(algorithm, n_items), backend,
                              [=](const Impl& candidate) { return candidate.accepts(algorithm); });
}

}  // namespace

Algorithm parse_algorithm(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Algorithm>(i);
  }
  throw std::invalid_argument("algorithm is '" + std::string(name) + "': use sha256, sm3 or blake3");
}

std::span<const Impl* const> compiled(Algorithm algorithm, std::size_t n_items) {
  if (algorithm != Algorithm::kSha256) return kManyOther;
  return n_items < kFewItems ? std::span<const Impl* const>(kFewSha256) : kManySha256;
}

void digest(const Request& request, std::span<const Messages> parts, std::uint8_t* out) {
  check_keying(request);
  if (request.digest_size < 16 || request.digest_size > kDigestBytes) {
    throw std::invalid_argument("digest_size is " + std::to_string(request.digest_size) +
                                ": use 16 to 32 bytes");
  }
  std::size_t n_items = 0;
  for (const Messages& messages : parts) n_items += messages.n;
  const Algorithm algorithm = request.algorithm;
  const Impl& impl = select(algorithm, request.backend, n_items);
  const int threads = resolve_threads(request.threads);

  Start start;
  const WipeGuard wipe_start(start);
  start_message(request, start);
  Job job{algorithm,  {}, start.hmac ? kDigestBytes : request.digest_size, {}, start.n_prefix_bytes,
          start.flags};
  const WipeGuard wipe_job(job);
  std::copy_n(start.initial, 8, job.initial);
  Job outer = job;
  const WipeGuard wipe_outer(outer);
  outer.digest_size = request.digest_size;
  std::copy_n(start.outer, 8, outer.initial);
  for (const Messages& messages : parts) {
    job.messages = messages;
    parallel_for(messages.n, kGrainItems, threads, [&](std::size_t begin, std::size_t end) {
      std::uint8_t* const to = out + begin * request.digest_size;
      if (start.hmac) {
        digest_hmac(impl, job, outer, begin, end, to);
      } else {
        impl.digest(job, begin, end, to);
      }
    });
    out += messages.n * request.digest_size;
  }
}

std::size_t measure_operations(Algorithm algorithm, std::string_view backend, std::size_t repeats) {
  return select(algorithm, backend, SIZE_MAX).operations(repeats);
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 4> known_sha256{"avx512", "sha_ni", "avx2", "portable"};
  static constexpr std::array<std::string_view, 3> known_other{"avx512", "avx2", "portable"};
  std::vector<BackendStatus> rows;
  for (const std::string_view name : kNames) {
    const Algorithm algorithm = parse_algorithm(name);
    const std::span<const std::string_view> known =
        algorithm == Algorithm::kSha256 ? std::span<const std::string_view>(known_sha256) : known_other;
    report_backends<Impl>(
        "hashing", name, known, compiled(algorithm, SIZE_MAX),
        [=](const Impl& candidate) { return candidate.accepts(algorithm); }, rows);
  }
  return rows;
}

}  // namespace crypsis::hashing
