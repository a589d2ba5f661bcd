# SPDX-License-Identifier: Apache-2.0
list(APPEND sources
  csrc/curve25519/dispatch.cpp
  csrc/curve25519/hash_to_curve.cpp
  csrc/curve25519/portable.cpp
)
# -O2 leaves a third of the speed of the 128-bit column sums (NOTES.md).
set_source_files_properties(csrc/curve25519/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND EXISTS ${CMAKE_CURRENT_LIST_DIR}/avx512.cpp)
  list(APPEND sources csrc/curve25519/avx512.cpp)
  # GCC 12 warns of its own headers: _mm512_undefined_epi32() is read uninitialised on purpose.
  set_source_files_properties(csrc/curve25519/avx512.cpp PROPERTIES
    COMPILE_OPTIONS "-O3;-mavx512f;-mavx512dq;-mavx512ifma;-Wno-uninitialized;$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>")
  set_source_files_properties(csrc/curve25519/dispatch.cpp PROPERTIES COMPILE_DEFINITIONS CRYPSIS_CURVE25519_AVX512)
endif()
