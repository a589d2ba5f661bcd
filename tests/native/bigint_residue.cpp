// SPDX-License-Identifier: Apache-2.0
// Usage: bigint_residue BACKEND OPERATION
// Runs the operation and looks for words of the secrets, and of the result, in each heap block at the moment it is
// freed. Exit status 1: there are some; 2: bad usage. The operation `modulus` makes a modulus of secret words.
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "bigint_operations.h"

namespace {

using crypsis::bigint::Word;
using crypsis::native_tests::kWords;

const Word* wanted[2] = {nullptr, nullptr};  // kWords each
bool watching = false;
std::size_t n_found = 0;

void release(void* block) noexcept {
  if (watching && block != nullptr) {
    const Word* const words = static_cast<const Word*>(block);
    const std::size_t n_words = malloc_usable_size(block) / sizeof(Word);
    for (std::size_t i = 0; i < n_words; ++i) {
      if (words[i] < (Word{1} << 32)) continue;
      for (const Word* list : wanted) n_found += std::find(list, list + kWords, words[i]) != list + kWords;
    }
  }
  std::free(block);
}

void* allocate(std::size_t n_bytes, std::size_t alignment) {
  void* const block = std::aligned_alloc(alignment, (n_bytes + alignment - 1) / alignment * alignment);
  if (block == nullptr) std::abort();
  // Nothing of an earlier block: what is found was put there.
  std::fill_n(static_cast<unsigned char*>(block), malloc_usable_size(block), 0);
  return block;
}

}  // namespace

void* operator new(std::size_t n_bytes) {
  return allocate(n_bytes, 16);
}
void* operator new(std::size_t n_bytes, std::align_val_t alignment) {
  return allocate(n_bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept {
  release(block);
}
void operator delete(void* block, std::size_t) noexcept {
  release(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
  release(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  release(block);
}

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const Impl* impl = nullptr;
  for (const Impl* one : compiled()) {
    if (argc == 3 && one->name == argv[1]) impl = one;
  }
  const std::string_view operation = argc == 3 ? argv[2] : "";
  static Secret secret;
  static Word result[kWords], again[kWords];
  for (std::size_t i = 0; i < kWords; ++i) secret.words[i] = (0xd1342543de82ef95 * (i + 1) | 1) >> 1 | 1;
  wanted[0] = secret.words;
  wanted[1] = result;
  if (operation == "modulus") {
    watching = true;
    const crypsis::bigint::Modulus modulus(secret.words, kLimbs);
  } else {
    if (impl == nullptr || !run_into(operation, *impl, secret, result)) {
      std::fprintf(stderr, "usage: bigint_residue BACKEND OPERATION\n");
      return 2;
    }
    watching = true;
    run_into(operation, *impl, secret, again);
    watching = false;
  }
  if (n_found > 0) std::printf("%zu words of secrets in freed memory\n", n_found);
  return n_found == 0 ? 0 : 1;
}
