// SPDX-License-Identifier: Apache-2.0
// Permutations of the transform's domain, kept between calls.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace crypsis::ntt {

// std::invalid_argument unless galois is odd and in [1, 2N).
void check_galois(int log_n, std::uint64_t galois);

// ntt.h: automorphism_table, shared. Those used last stay, up to 8 MB; thread-safe. Everything here is public.
std::shared_ptr<const std::vector<std::uint32_t>> shared_automorphism_table(int log_n, std::uint64_t galois);

}  // namespace crypsis::ntt
