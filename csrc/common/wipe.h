// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>

namespace crypsis {

// Overwrites memory with zeros in a way the compiler may not drop.
void secure_wipe(void* memory, std::size_t n_bytes) noexcept;

// Overwrites the stack below the caller's frame, where the functions it called kept their locals and spilled
// registers. Call it from the function that called those (mark them noinline). Best effort: nothing binds a
// compiler's spills.
void secure_wipe_stack() noexcept;

// Wipes an object when the scope ends, on every path out of it.
template <class T>
class WipeGuard {
 public:
  explicit WipeGuard(T& object) noexcept : object_(object) {}
  ~WipeGuard() { secure_wipe(&object_, sizeof(T)); }
  WipeGuard(const WipeGuard&) = delete;
  WipeGuard& operator=(const WipeGuard&) = delete;

 private:
  T& object_;
};

}  // namespace crypsis
