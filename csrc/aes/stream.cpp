// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "aes/aes.h"
#include "common/wipe.h"

namespace crypsis::aes {
namespace {

std::uint64_t load_big_endian(const std::uint8_t* from) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | from[i];
  return value;
}

// The key stream of `state`, n_bytes from its block `skip` on.
void generate(const Call& call, const std::uint8_t* state, std::uint64_t skip, std::uint8_t* out,
              std::size_t n_bytes) {
  const Counter first{load_big_endian(state + 24), load_big_endian(state + 16)};
  ctr({call.backend, 1}, state, first.plus(skip), nullptr, out, n_bytes);
}

}  // namespace

Stream::Stream(const std::uint8_t seed[kSeedBytes]) {
  std::memcpy(state_, seed, kSeedBytes);
}

Stream::~Stream() {
  secure_wipe(state_, sizeof state_);
  secure_wipe(buffer_, sizeof buffer_);
}

void Stream::fill(const Call& call, std::uint8_t* out, std::size_t n_bytes) {
  const auto next_segment = [&](std::uint8_t* to) {
    std::uint8_t segment[2 * kBlockBytes];
    const WipeGuard wipe(segment);
    generate(call, state_, 0, segment, sizeof segment);
    generate(call, state_, 2, to, kSegmentBytes);
    std::memcpy(state_, segment,
                kSeedBytes);  // the old key is gone before anything of this segment is handed out
  };
  while (n_bytes > 0) {
    if (left_ == 0 && n_bytes >= kSegmentBytes) {
      next_segment(out);
      out += kSegmentBytes;
      n_bytes -= kSegmentBytes;
      continue;
    }
    if (left_ == 0) {
      next_segment(buffer_);
      left_ = kSegmentBytes;
    }
    const std::size_t take = std::min(left_, n_bytes);
    std::uint8_t* const from = buffer_ + (kSegmentBytes - left_);
    std::memcpy(out, from, take);
    secure_wipe(from, take);
    left_ -= take;
    out += take;
    n_bytes -= take;
  }
}

}  // namespace crypsis::aes
