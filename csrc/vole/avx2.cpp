// SPDX-License-Identifier: Apache-2.0
// AES-NI, one block a register, and AVX2 for everything that is not AES.
#include "aes/blocks_aesni.h"
#include "bitmatrix/gf128_pclmul.h"
#include "bitmatrix/transpose_avx2.h"
#include "vole/encoders.h"
#include "vole/impl.h"
#include "vole/lanes_avx2.h"
#include "vole/random_keys.h"
#include "vole/small_field.h"
#include "vole/trees.h"

namespace crypsis::vole {
namespace {

struct Isa : LanesAvx2 {
  using Blocks = aes::blocks_aesni::Blocks;
  using RoundKeys = aes::blocks_aesni::RoundKeys;
  static constexpr int kWide = 8;

  template <int R>
  [[gnu::always_inline]] static void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
    aes::blocks_aesni::encrypt(keys, x);
  }
  static void store_interleaved(Blocks left, Blocks right, std::uint8_t* to) {
    left.store(to);
    right.store(to + kBlockBytes);
  }
  static Blocks sigma(Blocks x) {
    const __m128i high = _mm_and_si128(x.v, _mm_set_epi64x(-1, 0));
    return {_mm_xor_si128(_mm_shuffle_epi32(x.v, 0x4e), high)};
  }
  static Blocks select(Blocks x, std::uint64_t first, std::uint64_t index, Blocks value) {
    const __m128i same = _mm_cmpeq_epi64(_mm_set1_epi64x(static_cast<long long>(first)),  //
                                         _mm_set1_epi64x(static_cast<long long>(index)));
    return {_mm_blendv_epi8(x.v, value.v, same)};
  }
};

using Kernel = SmallFieldKernel<Isa, bitmatrix::TransposeAvx2, bitmatrix::Gf128Pclmul,
                                WholeSteps<bitmatrix::TransposeAvx2>>;

}  // namespace

const Impl avx2{{"avx2", kAvx2 | kAesNi | kPclmul},
                Trees<Isa>::expand,
                Trees<Isa>::reconstruct,
                Kernel::extend,
                Kernel::columns_to_rows,
                Kernel::hash_columns,
                RandomKeys<Isa>::keys,
                kLpnKernels<Isa>};

}  // namespace crypsis::vole
