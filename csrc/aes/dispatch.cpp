// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "aes/aes.h"
#include "aes/impl.h"
#include "common/threads.h"
#include "common/wipe.h"

namespace crypsis::aes {
namespace {

constexpr std::string_view kSlug = "aes";

// Blocks a thread takes at least: a megabyte, tens of microseconds of the fastest backend; a multiple of every group.
constexpr std::size_t kGrainBlocks = std::size_t{1} << 16;
constexpr std::size_t kGrainKeys = std::size_t{1} << 12;

// A key expanded by the backend, wiped at the end of the scope.
class Expanded {
 public:
  Expanded(const Impl& impl, const std::uint8_t* key) { impl.expand_keys(key, &schedule_, 1); }
  ~Expanded() { secure_wipe(&schedule_, sizeof schedule_); }
  Expanded(const Expanded&) = delete;
  Expanded& operator=(const Expanded&) = delete;
  operator const KeySchedule&() const { return schedule_; }

 private:
  KeySchedule schedule_;
};

}  // namespace

std::span<const Impl* const> compiled() {
  static constexpr std::array table{
#if defined(__x86_64__)
      &avx512,
      &avx2,
      &aesni,
#endif
      &portable,
  };
  return table;
}

const Impl& select(std::string_view backend) {
  return select_backend<Impl>(kSlug, {}, compiled(), backend, [](const Impl&) { return true; });
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 4> known{"avx512", "avx2", "aesni", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>(kSlug, {}, known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

void expand_keys(const Call& call, const std::uint8_t* keys, std::uint8_t* out, std::size_t n) {
  const Impl& impl = select(call.backend);
  parallel_for(n, kGrainKeys, call.threads, [=, &impl](std::size_t begin, std::size_t end) {
    KeySchedule schedule;
    const WipeGuard wipe(schedule);
    for (std::size_t i = begin; i < end; ++i) {
      impl.expand_keys(keys + i * kBlockBytes, &schedule, 1);
      std::memcpy(out + i * sizeof schedule.bytes, schedule.bytes, sizeof schedule.bytes);
    }
  });
}

void permute(const Call& call, const std::uint8_t* key, const std::uint8_t* in, std::uint8_t* out,
             std::size_t n) {
  const Impl& impl = select(call.backend);
  const Expanded schedule(impl, key);
  parallel_for(n, kGrainBlocks, call.threads, [=, &impl, &schedule](std::size_t begin, std::size_t end) {
    impl.permute(schedule, in + begin * kBlockBytes, out + begin * kBlockBytes, end - begin);
  });
}

void mmo(const Call& call, const std::uint8_t* key, const std::uint8_t* in, std::uint8_t* out,
         std::size_t n) {
  const Impl& impl = select(call.backend);
  const Expanded schedule(impl, key);
  parallel_for(n, kGrainBlocks, call.threads, [=, &impl, &schedule](std::size_t begin, std::size_t end) {
    impl.mmo(schedule, in + begin * kBlockBytes, out + begin * kBlockBytes, end - begin);
  });
}

void tmmo(const Call& call, const std::uint8_t* key, Counter first, const std::uint8_t* in, std::uint8_t* out,
          std::size_t n) {
  const Impl& impl = select(call.backend);
  const Expanded schedule(impl, key);
  parallel_for(n, kGrainBlocks, call.threads, [=, &impl, &schedule](std::size_t begin, std::size_t end) {
    impl.tmmo(schedule, first.plus(begin), in + begin * kBlockBytes, out + begin * kBlockBytes, end - begin);
  });
}

void ggm_level(const Call& call, const std::uint8_t* left, const std::uint8_t* right,
               const std::uint8_t* parents, std::uint8_t* children, std::size_t n) {
  const Impl& impl = select(call.backend);
  const Expanded left_schedule(impl, left), right_schedule(impl, right);
  parallel_for(n, kGrainBlocks / 2, call.threads, [&](std::size_t begin, std::size_t end) {
    impl.ggm_level(left_schedule, right_schedule, parents + begin * kBlockBytes,
                   children + 2 * begin * kBlockBytes, end - begin);
  });
}

void ctr(const Call& call, const std::uint8_t* key, Counter first, const std::uint8_t* in, std::uint8_t* out,
         std::size_t n_bytes) {
  const Impl& impl = select(call.backend);
  const Expanded schedule(impl, key);
  const std::size_t n = n_bytes / kBlockBytes;
  parallel_for(n, kGrainBlocks, call.threads, [=, &impl, &schedule](std::size_t begin, std::size_t end) {
    const std::size_t at = begin * kBlockBytes;
    impl.ctr(schedule, first.plus(begin), in == nullptr ? nullptr : in + at, out + at, end - begin);
  });
  if (const std::size_t rest = n_bytes % kBlockBytes; rest != 0) {
    std::uint8_t last[kBlockBytes] = {};
    const WipeGuard wipe(last);
    impl.ctr(schedule, first.plus(n), nullptr, last, 1);
    const std::size_t at = n * kBlockBytes;
    for (std::size_t i = 0; i < rest; ++i) {
      out[at + i] = static_cast<std::uint8_t>(last[i] ^ (in == nullptr ? 0 : in[at + i]));
    }
  }
}

std::size_t measure_rounds(const Call& call, std::size_t repeats) {
  const Impl& impl = select(call.backend);
  const std::uint8_t key[kBlockBytes] = {};
  return impl.rounds(Expanded(impl, key), repeats);
}

std::size_t measure_ctr(const Call& call, std::size_t n_bytes, std::size_t repeats) {
  const Impl& impl = select(call.backend);
  const std::uint8_t key[kBlockBytes] = {};
  const Expanded schedule(impl, key);
  const std::size_t n = n_bytes / kBlockBytes;
  std::vector<std::uint8_t> data(n * kBlockBytes);
  for (std::size_t i = 0; i < repeats; ++i) impl.ctr(schedule, {i * n, 0}, data.data(), data.data(), n);
  return n * repeats;
}

}  // namespace crypsis::aes
