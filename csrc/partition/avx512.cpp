// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "partition/backend.h"

namespace crypsis::partition {
namespace {

struct Stores {
  static void store_line(std::uint8_t* to, const std::uint8_t* line) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_load_si512(line));
  }
  static void finish() { _mm_sfence(); }
};

}  // namespace

const Impl avx512 = make_impl<Stores>("avx512", kAvx512f | kAvx512bw | kAvx512vl | kBmi2);

}  // namespace crypsis::partition
