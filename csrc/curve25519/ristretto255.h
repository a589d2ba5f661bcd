// SPDX-License-Identifier: Apache-2.0
// Ristretto255 [RFC 9496]: the group of prime order l over curve25519, for the bindings: threaded batches on arrays
// whose lengths the caller has checked. An element is 32 bytes, its only encoding; a scalar is 32 bytes,
// little-endian. One implementation, portable: protocols need hundreds of these, not millions.
#pragma once
#include <cstddef>
#include <cstdint>

namespace crypsis::curve25519::ristretto255 {

// Rows of elements from elsewhere: returns the first row that is no encoding [RFC 9496, 4.3.1], n if there is none.
// Each function below that decodes does the same; what it wrote to `out` is then to be thrown away. Constant-time but
// for which rows are valid.
std::size_t check(const std::uint8_t* elements, std::size_t n, int threads);

// out[i] = scalars[i] * elements[i]. Row i of the scalars starts at scalars + i * scalar_stride: 0 (one scalar for all)
// or 32; any 256 bits, reduced mod l. Constant-time in the scalars. The identity encodes as zeros.
std::size_t scalar_mult(const std::uint8_t* scalars, std::size_t scalar_stride, const std::uint8_t* elements,
                        std::uint8_t* out, std::size_t n, int threads);

// out[i] = scalars[i] * generator. Constant-time.
void scalar_mult_base(const std::uint8_t* scalars, std::uint8_t* out, std::size_t n, int threads);

// out[i] = a[i] + b[i], or a[i] - b[i]. Constant-time but for which rows are valid.
std::size_t add(const std::uint8_t* a, const std::uint8_t* b, bool subtract, std::uint8_t* out, std::size_t n,
                int threads);

// out[i] = the element derived from 64 uniform bytes [RFC 9496, 4.3.4]. Constant-time.
void derive(const std::uint8_t* uniform, std::uint8_t* out, std::size_t n, int threads);

// out[i] = 64 bytes, little-endian, mod l [RFC 9496, 4.4]. Constant-time.
void reduce_scalars(const std::uint8_t* wide, std::uint8_t* out, std::size_t n);

}  // namespace crypsis::curve25519::ristretto255
