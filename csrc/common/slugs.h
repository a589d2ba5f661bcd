// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <string_view>

namespace crypsis {

// Every slug of this build, in the order of `crypsis backends`. The only list of them: CRYPSIS_BACKEND is checked
// against it, crypsis.backends.SLUGS is made of it and tools/check_layers.py reads it. A new slug adds a line.
inline constexpr auto kSlugs = std::to_array<std::string_view>({
    "hashing",
    "curve25519",
    "bigint",
    "aes",
    "bitmatrix",
    "vole",
    "partition",
    "okvs",
    "ntt",
    "rns",
    "embedding",
    "sampling",
});

}  // namespace crypsis
