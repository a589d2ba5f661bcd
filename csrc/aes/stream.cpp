// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "aes/aes.h"
#include "aes/impl.h"
#include "common/wipe.h"

namespace crypsis::aes {
namespace {

std::uint64_t load_big_endian(const std::uint8_t* from) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | from[i];
  return value;
}

}  // namespace

Stream::Stream(const std::uint8_t seed[kSeedBytes]) {
  std::memcpy(state_, seed, kSeedBytes);
}

Stream::~Stream() {
  secure_wipe(state_, sizeof state_);
  secure_wipe(buffer_, sizeof buffer_);
}

void Stream::next_segment(const Impl& impl, std::uint8_t* out) {
  KeySchedule schedule;
  std::uint8_t next[kSeedBytes];
  const WipeGuard wipe_schedule(schedule);
  const WipeGuard wipe_next(next);
  impl.expand_keys(state_, &schedule, 1);
  const Counter first{load_big_endian(state_ + 24), load_big_endian(state_ + 16)};
  impl.ctr(schedule, first, nullptr, next, 2);
  impl.ctr(schedule, first.plus(2), nullptr, out, kSegmentBlocks - 2);
  std::memcpy(state_, next, kSeedBytes);  // the old key is gone before anything of this segment is handed out
}

void Stream::fill(std::string_view backend, std::uint8_t* out, std::size_t n_bytes) {
  const Impl& impl = select(backend);
  bool generated = false;
  while (n_bytes > 0) {
    generated |= left_ == 0;
    if (left_ == 0 && n_bytes >= kSegmentBytes) {
      next_segment(impl, out);
      out += kSegmentBytes;
      n_bytes -= kSegmentBytes;
      continue;
    }
    if (left_ == 0) {
      next_segment(impl, buffer_);
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
  if (generated) secure_wipe_stack();  // what the kernels spilled of the key's state
}

}  // namespace crypsis::aes
