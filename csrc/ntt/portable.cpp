// SPDX-License-Identifier: Apache-2.0
#include "ntt/impl.h"
#include "ntt/pointwise_portable.h"
#include "ntt/transform_portable.h"

namespace crypsis::ntt {

const Impl portable{{"portable", 0},
                    forward_portable,
                    inverse_portable,
                    add_portable,
                    subtract_portable,
                    negate_portable,
                    multiply_portable,
                    multiply_add_portable,
                    scale_portable,
                    permute_portable,
                    {from_signed_portable<std::int8_t>, from_signed_portable<std::int16_t>,
                     from_signed_portable<std::int32_t>, from_signed_portable<std::int64_t>}};

}  // namespace crypsis::ntt
