// SPDX-License-Identifier: Apache-2.0
#include "aes/key_schedule.h"

#include "aes/bitsliced.h"
#include "common/wipe.h"

namespace crypsis::aes {
namespace {

// SubWord of four bytes [FIPS 197, 5.2]: byte i is bit i of each word of the circuit.
void sub_word(std::uint8_t (&bytes)[4]) {
  std::uint64_t q[8] = {};
  const WipeGuard wipe(q);
  for (int i = 0; i < 4; ++i) {
    for (int b = 0; b < 8; ++b) q[b] |= std::uint64_t{(bytes[i] >> b) & 1u} << i;
  }
  bitsliced::sub_bytes(q);
  for (int i = 0; i < 4; ++i) {
    bytes[i] = 0;
    for (int b = 0; b < 8; ++b) bytes[i] |= static_cast<std::uint8_t>(((q[b] >> i) & 1) << b);
  }
}

}  // namespace

void expand_key(const std::uint8_t key[kBlockBytes], KeySchedule& out) noexcept {
  std::uint8_t* w = out.bytes;
  for (std::size_t i = 0; i < kBlockBytes; ++i) w[i] = key[i];
  std::uint8_t round_constant = 1;
  for (int round = 0; round < kRounds; ++round, w += kBlockBytes) {
    std::uint8_t word[4] = {w[13], w[14], w[15], w[12]};  // RotWord of the last column
    const WipeGuard wipe(word);
    sub_word(word);
    word[0] ^= round_constant;
    round_constant = static_cast<std::uint8_t>(round_constant << 1 ^ (round_constant >> 7) * 0x1b);
    for (std::size_t i = 0; i < kBlockBytes; ++i) {
      w[kBlockBytes + i] = static_cast<std::uint8_t>(w[i] ^ (i < 4 ? word[i] : w[kBlockBytes + i - 4]));
    }
  }
}

}  // namespace crypsis::aes
