// SPDX-License-Identifier: Apache-2.0
// VAES on 512-bit registers, four blocks each.
#include "aes/blocks_vaes512.h"
#include "bitmatrix/gf128_vpclmul.h"
#include "bitmatrix/transpose_avx512.h"
#include "vole/convolution_gfni.h"
#include "vole/encoders.h"
#include "vole/impl.h"
#include "vole/lanes_avx512.h"
#include "vole/random_keys.h"
#include "vole/small_field.h"
#include "vole/steps_avx512.h"
#include "vole/trees.h"

namespace crypsis::vole {
namespace {

struct Isa : LanesAvx512 {
  using Blocks = aes::blocks_vaes512::Blocks;
  using RoundKeys = aes::blocks_vaes512::RoundKeys;
  static constexpr int kWide = 8;

  template <int R>
  [[gnu::always_inline]] static void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
    aes::blocks_vaes512::encrypt(keys, x);
  }
  static void store_interleaved(Blocks left, Blocks right, std::uint8_t* to) {
    const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi64(left.v, low, right.v));
    _mm512_storeu_si512(to + 64, _mm512_permutex2var_epi64(left.v, high, right.v));
  }
  static Blocks sigma(Blocks x) {
    const __m512i swapped = _mm512_shuffle_epi32(x.v, _MM_PERM_BADC);
    return {_mm512_mask_xor_epi64(swapped, 0xaa, swapped, x.v)};
  }
  static Blocks select(Blocks x, std::uint64_t first, std::uint64_t index, Blocks value) {
    const __m512i places = _mm512_add_epi64(_mm512_set1_epi64(static_cast<long long>(first)),
                                            _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0));
    const __mmask8 same = _mm512_cmpeq_epi64_mask(places, _mm512_set1_epi64(static_cast<long long>(index)));
    return {_mm512_mask_mov_epi64(x.v, same, value.v)};
  }
};

using Kernel = SmallFieldKernel<Isa, bitmatrix::TransposeAvx512, bitmatrix::Gf128Vpclmul, StepsAvx512>;

}  // namespace

const Impl avx512{
    {"avx512", kAvx512f | kAvx512bw | kAvx512vl | kAvx512dq | kVaes | kVpclmul | kPclmul | kGfni},
    Trees<Isa>::expand,
    Trees<Isa>::reconstruct,
    Kernel::extend,
    Kernel::columns_to_rows,
    Kernel::hash_columns,
    RandomKeys<Isa>::keys,
    kLpnKernels<Isa, ConvolutionsGfni<Isa>>};

}  // namespace crypsis::vole
