# SPDX-License-Identifier: Apache-2.0
list(APPEND sources
  csrc/curve25519/dispatch.cpp
  csrc/curve25519/hash_to_curve.cpp
  csrc/curve25519/portable.cpp
  csrc/curve25519/ristretto255.cpp
)
# -O2 leaves a third of the speed of the 128-bit column sums (NOTES.md).
set_source_files_properties(csrc/curve25519/portable.cpp csrc/curve25519/ristretto255.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND sources csrc/curve25519/avx512.cpp)
  # g++ 12 takes the undefined operand inside its own intrinsics for ours (GCC PR 105593).
  set_source_files_properties(csrc/curve25519/avx512.cpp PROPERTIES
    COMPILE_OPTIONS "-O3;-mavx512f;-mavx512dq;-mavx512ifma;-Wno-uninitialized;-Wno-maybe-uninitialized")
endif()
